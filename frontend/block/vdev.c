/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdev.c - see vdev.h */
#include "frontend/block/vdev.h"

#include <errno.h>
#include <stdio.h>

#include "common/span/span.h"

#define VDEV_EXTENDED (1u << 28)
#define XVD_MAJOR     202u
#define SD_MAJOR      8u
#define IDE0_MAJOR    3u
#define IDE1_MAJOR    22u
#define MAX_DISK      (1u << 20)

/* Disk number as letters: a..z, aa..zz, ... */
static void letters(uint32_t disk, char *out)
{
	char rev[8];
	size_t n = 0;

	disk++;
	while (disk && n < sizeof(rev)) {
		disk--;
		rev[n++] = (char)('a' + disk % 26);
		disk /= 26;
	}
	while (n)
		*out++ = rev[--n];
	*out = '\0';
}

const char *vdev_name(uint32_t vdev, char name[VDEV_NAME_MAX])
{
	uint32_t major = vdev >> 8, minor = vdev & 0xff, disk, part;
	const char *prefix = "xvd";
	char let[9];

	if (vdev & VDEV_EXTENDED && vdev >> 29 == 0) {
		disk = vdev >> 8 & (MAX_DISK - 1);
		part = minor;
	} else if (major == XVD_MAJOR || major == SD_MAJOR) {
		disk = minor >> 4;
		part = minor & 15;
		prefix = major == SD_MAJOR ? "sd" : prefix;
	} else if ((major == IDE0_MAJOR || major == IDE1_MAJOR) && minor < 128) {
		disk = (minor >> 6) + (major == IDE1_MAJOR ? 2u : 0);
		part = minor & 63;
		prefix = "hd";
	} else {
		snprintf(name, VDEV_NAME_MAX, "%u", vdev);
		return name;
	}
	letters(disk, let);
	if (part)
		snprintf(name, VDEV_NAME_MAX, "%s%s%u", prefix, let, part);
	else
		snprintf(name, VDEV_NAME_MAX, "%s%s", prefix, let);
	return name;
}

/* Letters, then an optional partition number. */
static int parse_letters(const char *s, uint32_t *disk, uint32_t *part)
{
	uint64_t d = 0;

	if (*s < 'a' || *s > 'z')
		return -EINVAL;
	for (; *s >= 'a' && *s <= 'z'; s++) {
		d = d * 26 + (uint64_t)(*s - 'a') + 1;
		if (d > MAX_DISK)
			return -EINVAL;
	}
	*disk = (uint32_t)d - 1;
	*part = 0;
	if (*s && (*s == '0' || parse_str_u32(s, 255, part) < 0))
		return -EINVAL;
	return 0;
}

static int encode_xvd(uint32_t disk, uint32_t part, uint32_t *ret)
{
	if (disk < 16 && part < 16)
		*ret = XVD_MAJOR << 8 | disk << 4 | part;
	else if (part < 256)
		*ret = VDEV_EXTENDED | disk << 8 | part;
	else
		return -EINVAL;
	return 0;
}

int vdev_parse(const char *text, uint32_t *ret)
{
	uint32_t disk, part = 0;
	const char *p;

	if (parse_str_u32(text, UINT32_MAX, ret) == 0)
		return 0;
	if (!strncmp(text, "xvd", 3))
		return parse_letters(text + 3, &disk, &part) < 0 ? -EINVAL : encode_xvd(disk, part, ret);
	if (!strncmp(text, "sd", 2)) {
		if (parse_letters(text + 2, &disk, &part) < 0 || disk > 15 || part > 15)
			return -EINVAL;
		*ret = SD_MAJOR << 8 | disk << 4 | part;
		return 0;
	}
	if (!strncmp(text, "hd", 2)) {
		if (parse_letters(text + 2, &disk, &part) < 0 || disk > 3 || part > 63)
			return -EINVAL;
		*ret = (disk < 2 ? IDE0_MAJOR : IDE1_MAJOR) << 8 | (disk & 1) << 6 | part;
		return 0;
	}
	if (text[0] == 'd') {
		p = strchr(text, 'p');
		if (p && parse_str_u32(p + 1, 255, &part) < 0)
			return -EINVAL;
		uint64_t n;

		if (parse_u64(text + 1, p ? (size_t)(p - text - 1) : strlen(text + 1), MAX_DISK - 1, &n) < 0)
			return -EINVAL;
		return encode_xvd((uint32_t)n, part, ret);
	}
	return -EINVAL;
}

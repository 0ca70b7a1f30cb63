/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdev.c - see vdev.h */
#include <errno.h>
#include <stdio.h>
#include "common/span/span.h"
#include "common/xen/vdev.h"

#define DISK_MAX (26u * (1 + 26 * (1 + 26))) /* xvda to xvdzzz */

static int parse_letters(const char **text, uint32_t *disk)
{
	const char *p = *text;
	uint32_t n = 0;

	while (*p >= 'a' && *p <= 'z') {
		n = n * 26 + (uint32_t)(*p - 'a') + 1;
		if (n > DISK_MAX)
			return -EINVAL;
		p++;
	}
	if (n == 0)
		return -EINVAL;
	*disk = n - 1;
	*text = p;
	return 0;
}

static uint32_t xvd(uint32_t disk, uint32_t part)
{
	return disk < 16 && part < 16 ? 202u << 8 | disk << 4 | part : 1u << 28 | disk << 8 | part;
}

int vdev_parse(const char *text, uint32_t *ret)
{
	const char *p;
	uint32_t disk, part = 0;

	if (*text >= '0' && *text <= '9')
		return parse_str_u32(text, VDEV_MAX, ret) < 0 ? -EINVAL : 0;
	p = strncmp(text, "xvd", 3) == 0 ? text + 3 : text + 2;
	if (p == text + 2 && strncmp(text, "sd", 2) != 0 && strncmp(text, "hd", 2) != 0)
		return -EINVAL;
	if (parse_letters(&p, &disk) < 0)
		return -EINVAL;
	if (*p != '\0' && (*p == '0' || parse_str_u32(p, 255, &part) < 0))
		return -EINVAL;
	switch (text[0]) {
	case 'x':
		*ret = xvd(disk, part);
		return 0;
	case 's':
		if (disk >= 16 || part > 15)
			return -EINVAL;
		*ret = 8u << 8 | disk << 4 | part;
		return 0;
	default:
		if (disk >= 4 || part > 63)
			return -EINVAL;
		*ret = (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part;
		return 0;
	}
}

static void put_name(char name[VDEV_NAME_MAX], const char *prefix, uint32_t disk, uint32_t part)
{
	char letters[4], *p = letters + sizeof(letters) - 1;

	*p = '\0';
	for (uint32_t n = disk + 1; n; n = (n - 1) / 26)
		*--p = (char)('a' + (n - 1) % 26);
	if (part)
		snprintf(name, VDEV_NAME_MAX, "%s%s%u", prefix, p, part);
	else
		snprintf(name, VDEV_NAME_MAX, "%s%s", prefix, p);
}

void vdev_name(uint32_t vdev, char name[VDEV_NAME_MAX])
{
	if (vdev >> 28 == 1 && (vdev >> 8 & 0xfffff) < DISK_MAX)
		put_name(name, "xvd", vdev >> 8 & 0xfffff, vdev & 0xff);
	else if (vdev >> 8 == 202)
		put_name(name, "xvd", vdev >> 4 & 0xf, vdev & 0xf);
	else if (vdev >> 8 == 8)
		put_name(name, "sd", vdev >> 4 & 0xf, vdev & 0xf);
	else if ((vdev >> 8 == 3 || vdev >> 8 == 22) && (vdev & 0xff) < 128)
		put_name(name, "hd", (vdev >> 8 == 22 ? 2u : 0u) + (vdev >> 6 & 1), vdev & 0x3f);
	else
		snprintf(name, VDEV_NAME_MAX, "%u", vdev);
}

int vdev_nth(uint32_t n, uint32_t *ret)
{
	if (n >= DISK_MAX)
		return -ENOENT;
	*ret = xvd(n, 0);
	return 0;
}

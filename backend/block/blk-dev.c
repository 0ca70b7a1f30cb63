/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-dev.c - disk names <-> virtual device numbers.  Pure.
 *
 *   xvdX   1<<28 | disk<<8 | partition   disk >= 16 or partition > 15
 *          202<<8 | disk<<4 | partition  else
 *   sdX      8<<8 | disk<<4 | partition  disk < 16
 *   hdX    3<<8 or 22<<8 | (disk&1)<<6 | partition   disk < 4
 */
#include <errno.h>
#include <stdio.h>
#include "backend/block/blk-control.h"
#include "common/span/span.h"

#define DISK_MAX 702u /* xvda to xvdzz */

static int disk_letters(const char **text, uint32_t *disk)
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

int blk_dev_parse(const char *text, uint32_t *vdev)
{
	const char *p;
	uint32_t disk, part = 0;

	if (*text >= '0' && *text <= '9')
		return parse_str_u32(text, (2u << 28) - 1, vdev) < 0 ? -EINVAL : 0;
	p = strncmp(text, "xvd", 3) == 0 ? text + 3 : text + 2;
	if (p == text + 2 && strncmp(text, "sd", 2) != 0 && strncmp(text, "hd", 2) != 0)
		return -EINVAL;
	if (disk_letters(&p, &disk) < 0)
		return -EINVAL;
	if (*p != '\0' && (parse_str_u32(p, 255, &part) < 0 || part == 0 || *p == '0'))
		return -EINVAL;
	switch (text[0]) {
	case 'x':
		*vdev = disk < 16 && part < 16 ? 202u << 8 | disk << 4 | part : 1u << 28 | disk << 8 | part;
		return 0;
	case 's':
		if (disk >= 16 || part > 15)
			return -EINVAL;
		*vdev = 8u << 8 | disk << 4 | part;
		return 0;
	default:
		if (disk >= 4 || part > 63)
			return -EINVAL;
		*vdev = (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part;
		return 0;
	}
}

static void put_name(char name[VDEV_NAME_MAX], const char *prefix, uint32_t disk, uint32_t part)
{
	char letters[3] = "";

	if (disk >= 26) {
		letters[0] = (char)('a' + (disk / 26 - 1));
		letters[1] = (char)('a' + disk % 26);
	} else {
		letters[0] = (char)('a' + disk);
	}
	if (part)
		snprintf(name, VDEV_NAME_MAX, "%s%s%u", prefix, letters, part);
	else
		snprintf(name, VDEV_NAME_MAX, "%s%s", prefix, letters);
}

void blk_dev_name(uint32_t vdev, char name[VDEV_NAME_MAX])
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

int blk_dev_nth(uint32_t n, uint32_t *vdev)
{
	if (n >= DISK_MAX)
		return -ENOENT;
	*vdev = n < 16 ? 202u << 8 | n << 4 : 1u << 28 | n << 8;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdev.h - virtual disk numbers and their names (xen-vbd-interface(7)).  Pure.
 *
 *   xvdX   202<<8 | disk<<4 | partition          disk < 16 and partition < 16
 *          1<<28 | disk<<8 | partition           else
 *   sdX    8<<8 | disk<<4 | partition            disk < 16
 *   hdX    3<<8 or 22<<8 | (disk&1)<<6 | partition   disk < 4
 */
#ifndef SYNTH_VDEV_H
#define SYNTH_VDEV_H

#include "common/base/base.h"

#define VDEV_NAME_MAX 16u              /* bytes of a disk's or a nic's name, with the NUL */
#define VDEV_MAX      ((2u << 28) - 1) /* the largest number that the interface gives a meaning */

/* "xvda", "xvdb3", "xvdaa", "hda", "sdb1", or a number up to VDEV_MAX.  0 or -EINVAL. */
int vdev_parse(const char *text, uint32_t *ret) __must_check;
/* The other way, for any number; where no name fits it is the number in decimal. */
void vdev_name(uint32_t vdev, char name[VDEV_NAME_MAX]);
/* The number of the disk xvda, xvdb, ... counted from 0.  0, or -ENOENT: there are no more. */
int vdev_nth(uint32_t n, uint32_t *ret) __must_check;

#endif

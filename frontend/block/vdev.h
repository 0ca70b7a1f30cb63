/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdev.h - virtual disk numbers and their names (xen-vbd-interface(7)).  Pure.
 */
#ifndef SYNTH_VDEV_H
#define SYNTH_VDEV_H

#include "common/base/base.h"

#define VDEV_NAME_MAX 16u

/* "xvda", "xvdb3", "xvdaa", "hda", "sdb1"; the number in decimal where no name fits. */
const char *vdev_name(uint32_t vdev, char name[VDEV_NAME_MAX]);
/* The other way: also accepts "dN", "dNpM" and decimal numbers.  0 or -EINVAL. */
int vdev_parse(const char *text, uint32_t *ret) __must_check;

#endif

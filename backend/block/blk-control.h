/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-control.h - the block class, control plane half: a disk's arguments, its xenstore nodes, its image.
 */
#ifndef SYNTH_BLK_CONTROL_H
#define SYNTH_BLK_CONTROL_H

#include "backend/control/class.h"

/* Disk names and virtual device numbers (xen/docs vbd-interface): pure. */
int blk_dev_parse(const char *text, uint32_t *vdev) __must_check;
void blk_dev_name(uint32_t vdev, char name[VDEV_NAME_MAX]);
int blk_dev_nth(uint32_t n, uint32_t *vdev) __must_check;

#endif

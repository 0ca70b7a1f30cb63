/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nodes.h - a bounded list of xenstore leaves (name, value) of one directory, made by a device class and
 * written by layout.c.  Pure.
 */
#ifndef SYNTH_NODES_H
#define SYNTH_NODES_H

#include "common/base/base.h"

#define NODES_MAX 48u

/* Which of a device's three directories a leaf goes to. */
#define NODE_FRONT  0x1u /* /local/domain/N/device/TYPE/ID: the guest owns it */
#define NODE_BACK   0x2u /* .../backend/TYPE/N/ID */
#define NODE_MIRROR 0x4u /* /libxl/N/device/TYPE/ID: libxl's own copy */

struct nodes {
	uint32_t nr;
	int err; /* first failure of nodes_add(); checked once, at the end */
	struct node {
		char name[40];
		uint32_t where; /* NODE_* */
		char *value;    /* owned */
	} v[NODES_MAX];
};

void nodes_add(struct nodes *n, uint32_t where, const char *name, const char *fmt, ...) __printf(4, 5);
void nodes_free(struct nodes *n);

#endif

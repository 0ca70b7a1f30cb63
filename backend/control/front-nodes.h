/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * front-nodes.h - what classes' parsers of a front end's nodes share.  Pure.  The guest wrote the nodes: each value is
 * bounded before it shifts, multiplies or counts anything, and a refusal says which node and why.
 *
 * Each int is 0, -ENOENT (no such node), -EINVAL (refused, the reason in @why) or the getter's own error (@why too).
 */
#ifndef SYNTH_FRONT_NODES_H
#define SYNTH_FRONT_NODES_H

#include "backend/control/class.h"

struct front_parse {
	const struct node_getter *g;
	char *why; /* REASON_MAX bytes */
};

/* Gives -EINVAL. */
int front_refuse(struct front_parse *p, const char *fmt, ...) __printf(2, 3);
int front_get(struct front_parse *p, const char *name, char value[FRONT_VALUE_MAX]) __must_check;
int front_get_number(struct front_parse *p, const char *name, uint32_t max, uint32_t *ret) __must_check;
/* "0" or "1"; without the node *ret stays as it is, and that is success. */
int front_get_switch(struct front_parse *p, const char *name, bool *ret) __must_check;
/* Must be there, and no 0. */
int front_get_port(struct front_parse *p, const char *prefix, const char *name, uint32_t *port) __must_check;
/* multi-queue-num-queues: 1 without the node; 0 and more than @max are refused. */
int front_get_queues(struct front_parse *p, uint32_t max, uint32_t *nr) __must_check;
/* A page or port given twice would make two rings of one. */
int front_check_unique(struct front_parse *p, const struct front_params *f) __must_check;

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-front.h - what a block front end publishes in xenstore -> checked parameters.  Pure: nodes come through a
 * getter.  The guest wrote them, so each is bounded before it shifts, multiplies or counts anything.
 *
 * Nodes (xen/io/blkif.h): protocol, feature-persistent, ring-page-order or num-ring-pages (deprecated), multi-queue-num-queues;
 * then per queue ring-ref, or ring-ref0..N when there is an order, and event-channel.  Several queues: below queue-K/.  One
 * queue: at the top, or below queue-0/.
 */
#ifndef SYNTH_BLK_FRONT_H
#define SYNTH_BLK_FRONT_H

#include "backend/block/blk-wire.h"
#include "backend/control/class.h"

/* What we offered. */
struct blk_front_limits {
	uint32_t max_queues; /* 1..WIRE_MAX_QUEUES */
	uint32_t max_order;  /* 0..WIRE_MAX_ORDER */
	bool persistent;
};

/* 0, or -EINVAL (-EPROTO..., the getter's own error) and the reason, fit for a log, in @why. */
int blk_front_parse(const struct node_getter *g, const struct blk_front_limits *lim, struct front_params *ret,
		    char why[REASON_MAX]) __must_check;

#endif

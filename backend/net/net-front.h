/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-front.h - what a network front end publishes in xenstore -> checked parameters.  Pure: nodes come through a getter.
 *
 * Nodes (xen/io/netif.h): request-rx-copy (must be 1), the feature-* of what it can take, multi-queue-num-queues; then per queue tx-ring-ref,
 * rx-ring-ref and event-channel, or event-channel-tx and -rx.  Several queues: below queue-K/.  One queue: at the top, or below queue-0/.
 */
#ifndef SYNTH_NET_FRONT_H
#define SYNTH_NET_FRONT_H

#include "backend/control/class.h"
#include "backend/net/net-wire.h"

/* 0, or -EINVAL (or the getter's own error) and the reason, fit for a log, in @why. */
int net_front_parse(const struct node_getter *g, uint32_t max_queues, struct front_params *ret,
		    char why[REASON_MAX]) __must_check;

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-journal.h - the network class's part of a nic's journal (backend/journal.h).  Pure.
 *
 * What a guest told us on its rings, and what is half said to it: the multicast addresses it asked for, and a redo log for
 * each ring (common/ring/redo.h).  All else a successor gets anew: features and rings from the head, settings from
 * the control plane, the link's fds too.
 *
 * Changes of this layout change JOURNAL_VERSION.
 */
#ifndef SYNTH_NET_JOURNAL_H
#define SYNTH_NET_JOURNAL_H

#include "backend/net/net-mcast.h"
#include "backend/net/net-rx.h"
#include "backend/net/net-wire.h"
#include "common/ring/redo.h"

#define NET_RING_SLOTS 256u /* of a page */

struct net_journal {
	struct net_mcast mcast;
	struct net_journal_queue {
		_Alignas(64) uint8_t tx[sizeof(struct redo_log) + NET_RING_SLOTS * sizeof(union net_tx_slot)];
		_Alignas(64) uint8_t rx[sizeof(struct redo_log) + NET_RING_SLOTS * sizeof(union net_rx_slot)];
	} queue[]; /* wire_connect.nr_queues */
};

static inline uint64_t net_journal_bytes(const struct wire_connect *c)
{
	return sizeof(struct net_journal) + c->nr_queues * (uint64_t)sizeof(struct net_journal_queue);
}

static inline struct redo_log *net_journal_log(struct net_journal *j, uint32_t queue, uint32_t ring)
{
	struct net_journal_queue *q = &j->queue[queue];

	return (struct redo_log *)(void *)(ring == NET_RING_TX ? q->tx : q->rx);
}

#endif

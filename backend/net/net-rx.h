/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-rx.h - a frame -> the receive slots it takes and what is put into them.  Pure.
 *
 * Each response must stand in the slot of its request, in order, extras too (netfront finds its buffers by position; Windows
 * checks the id besides).  Pages are packed full: Linux refuses a packet of more than 18 slots.
 */
#ifndef SYNTH_NET_RX_H
#define SYNTH_NET_RX_H

#include <stdint.h>
#include <xen/io/netif.h>
#include "backend/net/net-hdr.h"
#include "common/base/base.h"

/* Longest frame: the largest TCP packet to be cut, with its Ethernet header and a tag. */
#define NET_RX_MAX_FRAME 65562u
#define NET_RX_MAX_SLOTS ((NET_RX_MAX_FRAME + PAGE_BYTES - 1) / PAGE_BYTES + 1)
_Static_assert(NET_RX_MAX_SLOTS <= XEN_NETIF_NR_SLOTS_MIN, "front ends accept so many");

union net_rx_slot { /* as in the ring */
	struct netif_rx_request req;
	struct netif_rx_response rsp;
	struct netif_extra_info extra;
	uint8_t bytes[8];
};
_Static_assert(sizeof(union net_rx_slot) == 8, "xen/io/netif.h fixes the slot at 8 bytes");

/* Slots a frame takes. */
static inline uint32_t net_rx_slots(uint32_t bytes, const struct net_meta *m)
{
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES + (m->gso_type ? 1 : 0);
}

/* A piece of the frame that goes to the start of a slot's page. */
struct net_rx_piece {
	uint32_t slot, offset, bytes; /* index in the plan; offset in the frame */
};

/*
 * Fill out[0..n) from the requests req[0..n), n = net_rx_slots(); pieces of the frame to copy go to @pieces (as many as
 * there are data slots).  Returns their number.  @out and @req may be the same memory.
 */
uint32_t net_rx_plan(uint32_t bytes, const struct net_meta *m, const union net_rx_slot *req, union net_rx_slot *out,
		     struct net_rx_piece pieces[NET_RX_MAX_SLOTS]);
/* A copy failed: the plan's answers become errors, in the same slots. */
void net_rx_fail(union net_rx_slot *out, uint32_t n, const struct net_meta *m);

#endif

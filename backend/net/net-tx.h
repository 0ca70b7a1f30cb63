/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-tx.h - transmit slots of a guest -> one packet, or why not.  Pure.
 *
 * A packet is a chain (xen/io/netif.h): the first request, whose size is the whole packet's; extra slots if its
 * flags say so; one more request for each more_data.  The first fragment's own size is what the others leave of the
 * total.  Slots are private copies; each is looked at once here, and what comes out is bounded.
 */
#ifndef SYNTH_NET_TX_H
#define SYNTH_NET_TX_H

#include <stdint.h>
#include <xen/io/netif.h>
#include "common/base/base.h"
#include "common/net/mac.h"

/* Data slots of a packet: the protocol promises front ends 18; Linux accepts 20. */
#define NET_TX_MAX_FRAGS 20u
#define NET_MIN_FRAME    14u

union net_tx_slot { /* as in the ring */
	struct netif_tx_request req;
	struct netif_extra_info extra;
	uint8_t bytes[12];
};
_Static_assert(sizeof(union net_tx_slot) == 12, "xen/io/netif.h fixes the slot at 12 bytes");

enum net_tx_kind {
	NET_TX_PACKET,
	NET_TX_MCAST_ADD, /* no packet: `mac` is to be let through, */
	NET_TX_MCAST_DEL, /* or no longer */
};

struct net_tx_frag {
	uint32_t ref;
	uint16_t offset, bytes; /* bytes > 0; offset + bytes <= 4096 */
};

struct net_tx_packet {
	enum net_tx_kind kind;
	uint32_t nr_slots;  /* of the ring, all to be answered; 1.. */
	uint32_t nr_extras; /* of them, behind the first */
	uint32_t nr_frags;  /* fragments that have bytes */
	uint32_t bytes;     /* of the frame: the fragments' sum, NET_MIN_FRAME..65535 */
	bool csum_blank, data_validated;
	uint8_t gso_type; /* XEN_NETIF_GSO_TYPE_* */
	uint16_t gso_size;
	uint8_t mac[MAC_BYTES];
	struct net_tx_frag frags[NET_TX_MAX_FRAGS];
};

/*
 * The packet that starts at slots[0]; @nr > 0 are there.  0; -EINVAL: to be dropped, with nr_slots and nr_extras set,
 * so that each slot can be answered; -EPROTO: the front end cannot be followed any further.  @why says it in words.
 */
int net_tx_parse(const union net_tx_slot *slots, uint32_t nr, struct net_tx_packet *p, const char **why) __must_check;

/* The answer to slot @i of a packet: extras have no status of their own. */
struct netif_tx_response net_tx_answer(const struct net_tx_packet *p, const union net_tx_slot *slots, uint32_t i,
				       int16_t status);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-tx.c - see net-tx.h.
 *
 * Dropped or fatal.  A packet that is whole but impossible is dropped: front ends exist that send one now and then (more
 * than 64 KiB in all, so that the 16-bit total wraps and is less than its parts).  What leaves the next slot's meaning in doubt, or
 * reaches beyond a page, is fatal, as it is for Linux's back end.
 *
 * Short fragments.  Linux drops a packet whose first fragment is less than an Ethernet header.  Here all fragments are copied into
 * one piece before anybody looks (XSA-423, XSA-432), so it does not matter how the guest cut them; the whole must have one.
 */
#include <errno.h>
#include "backend/net/net-tx.h"

static int fatal(const char **why, const char *text)
{
	*why = text;
	return -EPROTO;
}

static int drop(const char **why, const char *text)
{
	*why = text;
	return -EINVAL;
}

static int take_gso(const struct netif_extra_info *e, struct net_tx_packet *p, const char **why)
{
	if (e->u.gso.size == 0)
		return fatal(why, "a GSO extra of size 0");
	if (e->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV4 && e->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV6)
		return fatal(why, "a GSO extra of unknown type");
	p->gso_type = e->u.gso.type;
	p->gso_size = e->u.gso.size;
	return 0;
}

static int take_extras(const union net_tx_slot *slots, uint32_t nr, struct net_tx_packet *p, const char **why)
{
	const struct netif_extra_info *e;
	int rc = 0;

	do {
		if (p->nr_slots == nr)
			return fatal(why, "an extra slot is announced and missing");
		e = &slots[p->nr_slots++].extra;
		p->nr_extras++;
		switch (e->type) {
		case XEN_NETIF_EXTRA_TYPE_GSO:
			rc = take_gso(e, p, why);
			break;
		case XEN_NETIF_EXTRA_TYPE_MCAST_ADD:
		case XEN_NETIF_EXTRA_TYPE_MCAST_DEL:
			p->kind = e->type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD ? NET_TX_MCAST_ADD : NET_TX_MCAST_DEL;
			memcpy(p->mac, e->u.mcast.addr, MAC_BYTES);
			break;
		case XEN_NETIF_EXTRA_TYPE_HASH: /* a hint we have no use for */
			break;
		default:
			rc = fatal(why, "an extra slot of unknown type");
		}
	} while (rc == 0 && (e->flags & XEN_NETIF_EXTRA_FLAG_MORE));
	return rc;
}

/* Of the fragments behind the first, which keeps its place in front. */
static int take_frags(const union net_tx_slot *slots, uint32_t nr, struct net_tx_packet *p, uint64_t *sum,
		      uint32_t *data_slots, const char **why)
{
	uint16_t flags = slots[0].req.flags;

	while (flags & NETTXF_more_data) {
		const struct netif_tx_request *r;

		if (p->nr_slots == nr)
			return fatal(why, "more data is announced and missing");
		r = &slots[p->nr_slots++].req;
		flags = r->flags;
		if ((uint32_t)r->offset + r->size > PAGE_BYTES)
			return fatal(why, "a fragment crosses the end of its page");
		*sum += r->size;
		(*data_slots)++;
		/* Nothing looks at an empty one's grant (XSA-448); too many are consumed, and not kept. */
		if (r->size == 0 || *data_slots > NET_TX_MAX_FRAGS)
			continue;
		p->frags[p->nr_frags++] = (struct net_tx_frag){ r->gref, r->offset, r->size };
	}
	return 0;
}

int net_tx_parse(const union net_tx_slot *slots, uint32_t nr, struct net_tx_packet *p, const char **why)
{
	const struct netif_tx_request *first = &slots[0].req;
	uint32_t data_slots = 1, own;
	uint64_t sum = 0;
	int rc = 0;

	p->kind = NET_TX_PACKET;
	p->nr_slots = 1;
	p->nr_extras = p->nr_frags = p->bytes = 0;
	p->gso_type = XEN_NETIF_GSO_TYPE_NONE;
	p->gso_size = 0;
	p->csum_blank = first->flags & NETTXF_csum_blank;
	p->data_validated = first->flags & NETTXF_data_validated;
	if (first->flags & NETTXF_extra_info)
		rc = take_extras(slots, nr, p, why);
	if (rc < 0 || p->kind != NET_TX_PACKET) /* the request around a multicast extra is a dummy */
		return rc;
	p->nr_frags = 1;
	rc = take_frags(slots, nr, p, &sum, &data_slots, why);
	if (rc < 0)
		return rc;
	if (data_slots > NET_TX_MAX_FRAGS)
		return drop(why, "a packet of too many slots");
	if (sum > first->size)
		return drop(why, "a packet is smaller than its fragments");
	own = first->size - (uint32_t)sum;
	if (first->offset + own > PAGE_BYTES)
		return fatal(why, "a fragment crosses the end of its page");
	if (first->size < NET_MIN_FRAME)
		return drop(why, "a packet is shorter than an Ethernet header");
	p->bytes = first->size;
	if (own == 0) {
		p->nr_frags--;
		memmove(&p->frags[0], &p->frags[1], p->nr_frags * sizeof(p->frags[0]));
	} else {
		p->frags[0] = (struct net_tx_frag){ first->gref, first->offset, (uint16_t)own };
	}
	return 0;
}

struct netif_tx_response net_tx_answer(const struct net_tx_packet *p, const union net_tx_slot *slots, uint32_t i,
				       int16_t status)
{
	bool extra = i >= 1 && i <= p->nr_extras;

	return (struct netif_tx_response){ .id = slots[i].req.id, .status = extra ? NETIF_RSP_NULL : status };
}

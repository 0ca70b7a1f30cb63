/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-rsp.c - see net-rsp.h */
#include "frontend/net/net-rsp.h"

#include <errno.h>

static const struct {
	const char *name, *text;
} faults[NET_NR_FAULTS] = {
	[NET_OK] = { "ok", "nothing" },
	[NET_BAD_PRODUCER] = { "producer", "a producer index beyond what was asked" },
	[NET_TX_BAD_ID] = { "tx_bad_id", "a transmit response with an id we never use" },
	[NET_TX_IDLE_ID] = { "tx_idle_id", "a transmit response to a request that is not in flight" },
	[NET_TX_BAD_NULL] = { "tx_bad_null", "more empty transmit responses than extra slots" },
	[NET_RX_BAD_ID] = { "rx_bad_id", "a receive response that is not in its request's slot" },
	[NET_TX_STATUS] = { "tx_status", "a transmit status that does not exist" },
	[NET_RX_STATUS] = { "rx_status", "a receive response that is an error" },
	[NET_RX_PAGE] = { "rx_page", "a frame that leaves its page" },
	[NET_RX_CHAIN] = { "rx_chain", "a frame of too many slots" },
	[NET_RX_SHORT] = { "rx_short", "a frame without an Ethernet header" },
	[NET_RX_LONG] = { "rx_long", "a frame that is too long" },
	[NET_RX_UNASKED] = { "rx_unasked", "a frame of a kind we did not ask for" },
	[NET_RX_PREFIX] = { "rx_prefix", "a GSO prefix" },
	[NET_RX_EXTRA_PLACE] = { "rx_extra_place", "an extra slot behind the first slot" },
	[NET_RX_EXTRA_TYPE] = { "rx_extra_type", "an extra slot of an unknown type" },
	[NET_RX_EXTRA_CHAIN] = { "rx_extra_chain", "too many extra slots" },
	[NET_RX_GSO_SIZE] = { "rx_gso_size", "an impossible GSO size" },
	[NET_RX_GSO_TYPE] = { "rx_gso_type", "an impossible GSO type" },
	[NET_RX_HEADER] = { "rx_header", "offloads for a frame that cannot have them" },
};

const char *net_fault_text(enum net_fault f)
{
	return (unsigned)f < NET_NR_FAULTS ? faults[f].text : "?";
}

const char *net_fault_name(enum net_fault f)
{
	return (unsigned)f < NET_NR_FAULTS ? faults[f].name : "?";
}

/* ------------------------------------------------------------------ transmit */

void net_tx_init(struct net_tx *t, uint32_t nr_pages)
{
	memset(t, 0, sizeof(*t));
	t->nr = MIN(nr_pages, NET_MAX_PAGES);
	for (uint32_t i = t->nr; i-- > 0;)
		t->free[t->nr_free++] = (uint8_t)i;
}

uint32_t net_tx_peek(const struct net_tx *t, uint32_t i)
{
	return i < t->nr_free ? t->free[t->nr_free - 1 - i] : NET_NONE;
}

uint32_t net_tx_take(struct net_tx *t, uint16_t *id)
{
	uint32_t page = t->free[--t->nr_free];

	t->busy[page] = true;
	*id = (uint16_t)(page | (uint32_t)t->gen[page] << 8);
	return page;
}

enum net_fault net_tx_accept(struct net_tx *t, const void *bytes, struct net_tx_done *ret)
{
	struct netif_tx_response r;
	uint32_t page;

	memcpy(&r, bytes, sizeof(r));
	if (r.status == NETIF_RSP_NULL) {
		if (t->extras == 0)
			return NET_TX_BAD_NULL;
		t->extras--;
		*ret = (struct net_tx_done){ .extra = true };
		return NET_OK;
	}
	page = r.id & 0xffu;
	if (page >= t->nr)
		return NET_TX_BAD_ID;
	if (!t->busy[page] || t->gen[page] != r.id >> 8)
		return NET_TX_IDLE_ID;
	t->busy[page] = false;
	t->gen[page]++;
	t->free[t->nr_free++] = (uint8_t)page;
	*ret = (struct net_tx_done){ .status = r.status == NETIF_RSP_OKAY      ? 0
					       : r.status == NETIF_RSP_DROPPED ? -ENOBUFS
									       : -EIO };
	return r.status > 0 || r.status < NETIF_RSP_DROPPED ? NET_TX_STATUS : NET_OK;
}

/* ------------------------------------------------------------------ receive */

void net_rx_init(struct net_rx *r, bool sg, bool gso4, bool gso6)
{
	memset(r, 0, sizeof(*r));
	r->sg = sg;
	r->gso4 = gso4;
	r->gso6 = gso6;
}

static void spoil(struct net_rx *r, enum net_fault why)
{
	if (r->fault == NET_OK)
		r->fault = why;
}

static void start(struct net_rx *r)
{
	r->slots = r->extras = r->seen = 0;
	r->fault = NET_OK;
	memset(&r->frame, 0, offsetof(struct net_rx_frame, seg));
	r->frame.csum_blank = r->frame.data_validated = false;
	r->frame.gso_type = XEN_NETIF_GSO_TYPE_NONE;
	r->frame.gso_size = 0;
}

static void add_extra(struct net_rx *r, const struct netif_extra_info *x)
{
	/* HASH is taken and not looked at: it can do no harm. */
	if (x->type != XEN_NETIF_EXTRA_TYPE_GSO && x->type != XEN_NETIF_EXTRA_TYPE_HASH) {
		spoil(r, NET_RX_EXTRA_TYPE);
		return;
	}
	if (r->seen & 1u << x->type || ++r->extras > NET_MAX_EXTRAS) {
		spoil(r, NET_RX_EXTRA_CHAIN);
		return;
	}
	r->seen |= 1u << x->type;
	if (x->type != XEN_NETIF_EXTRA_TYPE_GSO)
		return;
	if (x->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV4 && x->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV6)
		spoil(r, NET_RX_GSO_TYPE);
	else if (x->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4 ? !r->gso4 : !r->gso6)
		spoil(r, NET_RX_UNASKED);
	else if (x->u.gso.size == 0)
		spoil(r, NET_RX_GSO_SIZE);
	r->frame.gso_type = x->u.gso.type;
	r->frame.gso_size = x->u.gso.size;
}

static void add_data(struct net_rx *r, uint32_t page, const struct netif_rx_response *d)
{
	struct net_rx_frame *f = &r->frame;
	uint32_t n;

	if (d->flags & NETRXF_gso_prefix)
		spoil(r, NET_RX_PREFIX);
	if (d->status < 0) {
		spoil(r, NET_RX_STATUS);
		return;
	}
	n = (uint32_t)d->status;
	if (n > PAGE_BYTES || d->offset > PAGE_BYTES - n) {
		spoil(r, NET_RX_PAGE);
		return;
	}
	if (n == 0) /* legal, and of no use (XSA-448) */
		return;
	if (f->nr_segs == NET_MAX_SEGS) {
		spoil(r, NET_RX_CHAIN);
		return;
	}
	if (n > NET_FRAME_MAX - f->bytes) {
		spoil(r, NET_RX_LONG);
		return;
	}
	f->seg[f->nr_segs++] = (struct net_seg){ page, d->offset, n };
	f->bytes += n;
}

static enum net_rx_verdict end(struct net_rx *r)
{
	r->at = NET_RX_AT_HEAD;
	r->slots = 0;
	if (r->frame.bytes < NET_FRAME_MIN)
		spoil(r, NET_RX_SHORT);
	if (r->frame.gso_size > r->frame.bytes)
		spoil(r, NET_RX_GSO_SIZE);
	return r->fault == NET_OK ? NET_RX_FRAME : NET_RX_DROP;
}

enum net_rx_verdict net_rx_feed(struct net_rx *r, uint32_t page, const void *bytes)
{
	struct netif_extra_info x;
	struct netif_rx_response d;

	if (r->at == NET_RX_AT_EXTRA) {
		/* Its id is overwritten; that it is in its place the next data slot will show. */
		memcpy(&x, bytes, sizeof(x));
		r->slots++;
		add_extra(r, &x);
		if (x.flags & XEN_NETIF_EXTRA_FLAG_MORE)
			return NET_RX_MORE;
		r->at = NET_RX_AT_DATA;
		return r->more_data ? NET_RX_MORE : end(r);
	}
	memcpy(&d, bytes, sizeof(d));
	if (d.id != page) {
		r->fault = NET_RX_BAD_ID;
		return NET_RX_HALT;
	}
	if (r->at == NET_RX_AT_HEAD) {
		start(r);
		r->frame.csum_blank = d.flags & NETRXF_csum_blank;
		r->frame.data_validated = d.flags & NETRXF_data_validated;
		r->at = d.flags & NETRXF_extra_info ? NET_RX_AT_EXTRA : NET_RX_AT_DATA;
	} else if (d.flags & NETRXF_extra_info) {
		spoil(r, NET_RX_EXTRA_PLACE);
	}
	r->slots++;
	r->more_data = d.flags & NETRXF_more_data;
	if (r->more_data && !r->sg)
		spoil(r, NET_RX_UNASKED);
	/* Empty slots count too. */
	if (r->slots > NET_MAX_SEGS + NET_MAX_EXTRAS)
		spoil(r, NET_RX_CHAIN);
	add_data(r, page, &d);
	if (r->more_data || r->at == NET_RX_AT_EXTRA)
		return NET_RX_MORE;
	return end(r);
}

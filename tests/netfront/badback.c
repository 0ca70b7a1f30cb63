/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * badback.c - a network back end for sinners: connects by the book, sends each frame back to where it came from (and
 * answers pings for any address), then does what it is told.
 *
 *   badback DOMID HANDLE SIN [AFTER]
 *
 * It makes both xenstore directories itself (backend/badback, device/svif), prints "ready", serves one front end after
 * the other, and ends on SIGTERM.  AFTER: frames sent back honestly before the sin (default 8).  An honest one ("none")
 * has all features: four queues, split event channels, scatter-gather, GSO, checksums.  The sins' names: badback alone.
 *
 * It also looks for what a front end must not show: padding in ring slots.  What it finds is printed as "leak: ...".
 */
#include "tests/lib/badback.h"
#include <xen/io/netif.h>

#define MAX_QUEUES 4u
#define MAX_FRAME  66000u
#define RX_ROOM    31u /* slots wanted before a frame is taken: the largest one, and what a sin needs */

struct queue {
	struct ring_back tx, rx;
	uint32_t *tx_raw, *rx_raw; /* the pages */
	uint32_t tx_port, rx_port; /* the same when not split */
	/* the frame at hand */
	struct netif_tx_request req[32];
	struct netif_extra_info gso;
	uint32_t nr_reqs, nr_extras, bytes;
	bool has_gso;
	uint8_t frame[MAX_FRAME];
};

static uint32_t nr_queues; /* of the connection */

/* ------------------------------------------------------------------ nodes */

void offer(struct back *b)
{
	static const char *const on[] = { "feature-rx-copy",           "feature-sg",
					  "feature-gso-tcpv4",         "feature-gso-tcpv6",
					  "feature-ipv6-csum-offload", "feature-split-event-channels" };

	for (size_t i = 0; i < ARRAY_SIZE(on); i++)
		put(b, &b->back, on[i], "1");
	put(b, &b->back, "multi-queue-max-queues", "4");
	put(b, &b->front, "mac", "02:00:00:00:00:01");
}

/* The front end's directory is there before anything is put into it. */
void make_dirs(struct back *b)
{
	make_front(b);
	make_back(b, XenbusStateInitWait);
	make_front_nodes(b);
}

/* ------------------------------------------------------------------ answers */

static void push_tx(struct back *b, struct queue *q)
{
	if (ring_back_push(&q->tx))
		evtchn_notify(b->evtchn, q->tx_port);
}

static void push_rx(struct back *b, struct queue *q)
{
	if (ring_back_push(&q->rx))
		evtchn_notify(b->evtchn, q->rx_port);
}

static void answer_tx(struct queue *q, uint32_t id, int status)
{
	struct netif_tx_response r = { .id = (uint16_t)id, .status = (int16_t)status };

	ring_back_put(&q->tx, &r, sizeof(r));
}

/* The next receive slot's request. */
static struct netif_rx_request take_rx(struct queue *q)
{
	struct netif_rx_request r;

	ring_back_take(&q->rx, &r);
	return r;
}

static void answer_rx(struct queue *q, uint32_t id, uint32_t offset, uint32_t flags, int status)
{
	struct netif_rx_response r = {
		.id = (uint16_t)id, .offset = (uint16_t)offset, .flags = (uint16_t)flags, .status = (int16_t)status
	};

	ring_back_put(&q->rx, &r, sizeof(r));
}

/* One receive slot, as it is; its page is not touched. */
static void raw_rx(struct queue *q, uint32_t offset, uint32_t flags, int status)
{
	answer_rx(q, take_rx(q).id, offset, flags, status);
}

static void raw_extra(struct queue *q, uint32_t type, uint32_t flags, uint32_t size, uint32_t gso_type)
{
	struct netif_extra_info x;

	memset(&x, 0, sizeof(x));
	take_rx(q);
	x.type = (uint8_t)type;
	x.flags = (uint8_t)flags;
	x.u.gso.size = (uint16_t)size;
	x.u.gso.type = (uint8_t)gso_type;
	ring_back_put(&q->rx, &x, sizeof(x));
}

/* ------------------------------------------------------------------ sins: transmit responses */

static bool tx_bad_id(struct back *b, struct queue *q)
{
	answer_tx(q, 0xff, NETIF_RSP_OKAY);
	return true;
}

/* A page that nothing was sent from: the pool is a stack, so the other end of it. */
static bool tx_idle_id(struct back *b, struct queue *q)
{
	answer_tx(q, (q->req[0].id & 0xff) ^ 31, NETIF_RSP_OKAY);
	return true;
}

static bool tx_old_id(struct back *b, struct queue *q)
{
	answer_tx(q, q->req[0].id - 0x100u, NETIF_RSP_OKAY);
	return true;
}

static bool tx_double(struct back *b, struct queue *q)
{
	answer_tx(q, q->req[0].id, NETIF_RSP_OKAY);
	answer_tx(q, q->req[0].id, NETIF_RSP_OKAY);
	return true;
}

static bool tx_null(struct back *b, struct queue *q)
{
	answer_tx(q, q->req[0].id, NETIF_RSP_NULL);
	return true;
}

static bool tx_status(struct back *b, struct queue *q)
{
	answer_tx(q, q->req[0].id, -77);
	return true;
}

static bool tx_error(struct back *b, struct queue *q)
{
	answer_tx(q, q->req[0].id, NETIF_RSP_ERROR);
	return true;
}

static bool tx_jump(struct back *b, struct queue *q)
{
	force(b, q->tx_raw, q->tx_port, q->tx.rsp_prod + q->tx.nr_ents + 1);
	return true;
}

static bool tx_jump_far(struct back *b, struct queue *q)
{
	force(b, q->tx_raw, q->tx_port, q->tx.rsp_prod + 0x80000000u);
	return true;
}

static bool tx_backwards(struct back *b, struct queue *q)
{
	force(b, q->tx_raw, q->tx_port, q->tx.rsp_prod - q->tx.nr_ents - 1);
	return true;
}

static bool tx_too_many(struct back *b, struct queue *q)
{
	answer_tx(q, q->req[0].id, NETIF_RSP_OKAY);
	force(b, q->tx_raw, q->tx_port, q->tx_raw[0] + 1); /* req_prod, and one */
	return true;
}

static bool silent(struct back *b, struct queue *q)
{
	b->halted = true;
	return true;
}

/* ------------------------------------------------------------------ sins: receive responses */

static bool rx_id(struct back *b, struct queue *q)
{
	answer_rx(q, take_rx(q).id ^ 1u, 0, 0, 60);
	return false;
}

/* Two answers, each in the other's slot. */
static bool rx_order(struct back *b, struct queue *q)
{
	uint32_t first = take_rx(q).id, second = take_rx(q).id;

	answer_rx(q, second, 0, 0, 60);
	answer_rx(q, first, 0, 0, 60);
	return false;
}

static bool rx_jump(struct back *b, struct queue *q)
{
	force(b, q->rx_raw, q->rx_port, q->rx.rsp_prod + q->rx.nr_ents + 1);
	return true;
}

static bool rx_jump_far(struct back *b, struct queue *q)
{
	force(b, q->rx_raw, q->rx_port, q->rx.rsp_prod + 0x80000000u);
	return true;
}

static bool rx_backwards(struct back *b, struct queue *q)
{
	/* further than what may not have been looked at yet */
	force(b, q->rx_raw, q->rx_port, q->rx.rsp_prod - q->rx.nr_ents - 1);
	return true;
}

static bool rx_too_many(struct back *b, struct queue *q)
{
	/* When all slots are asked for, so that it stays one too many. */
	while (!over && READ_ONCE(q->rx_raw[0]) - q->rx.rsp_prod < q->rx.nr_ents)
		usleep(100);
	force(b, q->rx_raw, q->rx_port, q->rx_raw[0] + 1);
	return true;
}

static bool rx_page(struct back *b, struct queue *q)
{
	raw_rx(q, 4000, 0, 200);
	raw_rx(q, 0, 0, 4097);
	raw_rx(q, 0, 0, 32767);
	raw_rx(q, 65535, 0, 1);
	raw_rx(q, 65535, 0, 4096);
	raw_rx(q, 4096, 0, 1);
	return false;
}

static bool rx_status(struct back *b, struct queue *q)
{
	raw_rx(q, 0, 0, NETIF_RSP_ERROR);
	raw_rx(q, 0, NETRXF_more_data, 1000);
	raw_rx(q, 0, 0, -32768);
	return false;
}

static bool rx_short(struct back *b, struct queue *q)
{
	raw_rx(q, 0, 0, 0);
	raw_rx(q, 0, 0, 13);
	raw_rx(q, 4096, NETRXF_more_data, 0);
	raw_rx(q, 0, 0, 1);
	return false;
}

static bool rx_long(struct back *b, struct queue *q)
{
	for (int i = 0; i < 17; i++)
		raw_rx(q, 0, i < 16 ? NETRXF_more_data : 0, 4096);
	return false;
}

static bool rx_chain(struct back *b, struct queue *q)
{
	for (int i = 0; i < 30; i++)
		raw_rx(q, 0, i < 29 ? NETRXF_more_data : 0, 16);
	return false;
}

/* A frame that goes on for as long as there are slots, and later ends. */
static bool rx_endless(struct back *b, struct queue *q)
{
	for (int n = 0; n < 3000;) {
		int have = ring_back_pending(&q->rx);

		for (; have > 1; have--, n++)
			raw_rx(q, 0, NETRXF_more_data, n & 1 ? 0 : 4096);
		push_rx(b, q);
		if (over)
			break;
	}
	raw_rx(q, 0, 0, 100);
	return false;
}

static bool rx_half(struct back *b, struct queue *q)
{
	raw_rx(q, 0, NETRXF_more_data, 1000);
	push_rx(b, q);
	b->halted = true;
	return true;
}

static bool rx_extra_type(struct back *b, struct queue *q)
{
	static const uint8_t types[] = { XEN_NETIF_EXTRA_TYPE_NONE, XEN_NETIF_EXTRA_TYPE_MAX, 255,
					 XEN_NETIF_EXTRA_TYPE_MCAST_ADD };

	for (size_t i = 0; i < sizeof(types); i++) {
		raw_rx(q, 0, NETRXF_extra_info, 100);
		raw_extra(q, types[i], 0, 1000, XEN_NETIF_GSO_TYPE_TCPV4);
	}
	return false;
}

static bool rx_extra_endless(struct back *b, struct queue *q)
{
	raw_rx(q, 0, NETRXF_extra_info, 100);
	for (int n = 0; n < 2000;) {
		int have = ring_back_pending(&q->rx);

		for (; have > 1; have--, n++)
			raw_extra(q, XEN_NETIF_EXTRA_TYPE_HASH, XEN_NETIF_EXTRA_FLAG_MORE, 0, 0);
		push_rx(b, q);
		if (over)
			break;
	}
	raw_extra(q, XEN_NETIF_EXTRA_TYPE_HASH, 0, 0, 0);
	return false;
}

static bool rx_extra_place(struct back *b, struct queue *q)
{
	raw_rx(q, 0, NETRXF_more_data, 100);
	raw_rx(q, 0, NETRXF_extra_info, 100);
	return false;
}

static bool rx_gso_size(struct back *b, struct queue *q)
{
	raw_rx(q, 0, NETRXF_extra_info | NETRXF_csum_blank, 100);
	raw_extra(q, XEN_NETIF_EXTRA_TYPE_GSO, 0, 0, XEN_NETIF_GSO_TYPE_TCPV4);
	raw_rx(q, 0, NETRXF_extra_info | NETRXF_csum_blank, 100);
	raw_extra(q, XEN_NETIF_EXTRA_TYPE_GSO, 0, 65535, XEN_NETIF_GSO_TYPE_TCPV4);
	return false;
}

static bool rx_gso_type(struct back *b, struct queue *q)
{
	raw_rx(q, 0, NETRXF_extra_info, 100);
	raw_extra(q, XEN_NETIF_EXTRA_TYPE_GSO, 0, 50, 7);
	return false;
}

static bool rx_prefix(struct back *b, struct queue *q)
{
	raw_rx(q, 1448, NETRXF_gso_prefix | NETRXF_more_data, 0);
	raw_rx(q, 0, 0, 100);
	return false;
}

/* Offloads for a page of zeroes, which has no headers. */
static bool rx_header(struct back *b, struct queue *q)
{
	raw_rx(q, 0, NETRXF_csum_blank | NETRXF_data_validated, 100);
	raw_rx(q, 0, NETRXF_extra_info, 100);
	raw_extra(q, XEN_NETIF_EXTRA_TYPE_GSO, 0, 50, XEN_NETIF_GSO_TYPE_TCPV4);
	return false;
}

/* Harmless: an extra that we have not asked for, and zero bytes in front. */
static bool rx_hash(struct back *b, struct queue *q)
{
	raw_rx(q, 4096, NETRXF_extra_info | NETRXF_more_data, 0);
	raw_extra(q, XEN_NETIF_EXTRA_TYPE_HASH, 0, 0, 0);
	raw_rx(q, 0, 0, 100);
	return false;
}

static bool sin_storm(struct back *b, struct queue *q)
{
	storm(b, q->rx_port);
	return false;
}

/* Random bytes all over both rings, for a while. */
static bool scribble(struct back *b, struct queue *q)
{
	for (int round = 0; round < 2000; round++) {
		for (uint32_t i = 0; i < PAGE_BYTES / 4; i += 1 + b->rnd % 7) {
			uint32_t word = rnd(b);

			__atomic_store_n(&(word & 0x10000 ? q->tx_raw : q->rx_raw)[i], word, __ATOMIC_RELAXED);
		}
		evtchn_notify(b->evtchn, q->rx_port);
	}
	b->halted = true;
	return true;
}

/* ------------------------------------------------------------------ sins: states and nodes */

static bool detach(struct back *b, struct queue *q)
{
	remove_dir(b, &b->front);
	remove_dir(b, &b->back);
	over = 1;
	return true;
}

/* Made anew, with less to offer and another address. */
static bool redo(struct back *b, struct queue *q)
{
	make_anew(b);
	put(b, &b->front, "mac", "02:00:00:00:00:77");
	put(b, &b->back, "feature-sg", "0");
	put(b, &b->back, "feature-gso-tcpv4", "0");
	put(b, &b->back, "multi-queue-max-queues", "1");
	return true;
}

/* All states and none, in no order, as fast as xenstore takes them; then it is left closed. */
static bool flap(struct back *b, struct queue *q)
{
	uint64_t end = now_ns() + 3000000000u;

	let_go(b);
	while (now_ns() < end)
		put_any_state(b);
	printf("flapped\n");
	fflush(stdout);
	set_state(b, XenbusStateClosed);
	return true;
}

static bool carrier(struct back *b, struct queue *q)
{
	static const char *const games[] = { "0", "1", "x", "", "4294967296", "0", "1" };

	for (size_t i = 0; i < ARRAY_SIZE(games); i++) {
		put(b, &b->back, "carrier", games[i]);
		usleep(50000);
	}
	return false;
}

/* As fast as xenstore takes it; up in the end. */
static bool carrier_flood(struct back *b, struct queue *q)
{
	for (int i = 0; i < 10000; i++)
		put(b, &b->back, "carrier", i % 2 ? "1" : "0");
	printf("flooded\n");
	fflush(stdout);
	return false;
}

static void no_copy(struct back *b)
{
	put(b, &b->back, "feature-rx-copy", "0");
}

static void bad_mac(struct back *b)
{
	put(b, &b->front, "mac", "02:00:00:00:00:0g");
}

static void group_mac(struct back *b)
{
	put(b, &b->front, "mac", "03:00:00:00:00:01");
}

static void no_mac(struct back *b)
{
	struct path p;

	must("remove", store_rm(b->store, NULL, path_join(&p, b->front.s, "mac")));
}

static void long_mac(struct back *b)
{
	put(b, &b->front, "mac", "02:00:00:00:00:01 and then some more text");
}

static void bad_mtu(struct back *b)
{
	put(b, &b->front, "mtu", "67");
}

static void huge_mtu(struct back *b)
{
	put(b, &b->front, "mtu", "4294967295");
}

/* Values that are no switch: each counts as not offered. */
static void offers(struct back *b)
{
	static const char *const nodes[][2] = {
		{ "feature-sg", "2" },
		{ "feature-gso-tcpv4", "x" },
		{ "feature-gso-tcpv6", "" },
		{ "feature-ipv6-csum-offload", "-1" },
		{ "feature-no-csum-offload", "maybe" },
		{ "feature-split-event-channels", "4294967297" },
		{ "multi-queue-max-queues", "0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		put(b, &b->back, nodes[i][0], nodes[i][1]);
}

static void many_queues(struct back *b)
{
	put(b, &b->back, "multi-queue-max-queues", "4294967294");
}

/* An old back end: one queue, one event channel, one slot a frame. */
static void plain(struct back *b)
{
	static const char *const off[] = { "feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6",
					   "feature-ipv6-csum-offload", "feature-split-event-channels" };

	for (size_t i = 0; i < ARRAY_SIZE(off); i++)
		put(b, &b->back, off[i], "0");
	put(b, &b->back, "feature-no-csum-offload", "1");
	put(b, &b->back, "multi-queue-max-queues", "1");
}

static const struct sin sins[] = {
	{ "none", ALWAYS, NULL, NULL },
	{ "plain", AT_INITWAIT, NULL, plain },
	{ "tx-bad-id", AT_REQUEST, tx_bad_id, NULL },
	{ "tx-idle-id", AT_REQUEST, tx_idle_id, NULL },
	{ "tx-old-id", AT_REQUEST, tx_old_id, NULL },
	{ "tx-double", AT_REQUEST, tx_double, NULL },
	{ "tx-null", AT_REQUEST, tx_null, NULL },
	{ "tx-status", AT_REQUEST, tx_status, NULL },
	{ "tx-error", AT_REQUEST, tx_error, NULL },
	{ "tx-jump", AT_REQUEST, tx_jump, NULL },
	{ "tx-jump-far", AT_REQUEST, tx_jump_far, NULL },
	{ "tx-backwards", AT_REQUEST, tx_backwards, NULL },
	{ "tx-too-many", AT_REQUEST, tx_too_many, NULL },
	{ "silent", AT_REQUEST, silent, NULL },
	{ "rx-id", AT_REQUEST, rx_id, NULL },
	{ "rx-order", AT_REQUEST, rx_order, NULL },
	{ "rx-jump", AT_REQUEST, rx_jump, NULL },
	{ "rx-jump-far", AT_REQUEST, rx_jump_far, NULL },
	{ "rx-backwards", AT_REQUEST, rx_backwards, NULL },
	{ "rx-too-many", AT_REQUEST, rx_too_many, NULL },
	{ "rx-page", AT_REQUEST, rx_page, NULL },
	{ "rx-status", AT_REQUEST, rx_status, NULL },
	{ "rx-short", AT_REQUEST, rx_short, NULL },
	{ "rx-long", AT_REQUEST, rx_long, NULL },
	{ "rx-chain", AT_REQUEST, rx_chain, NULL },
	{ "rx-endless", AT_REQUEST, rx_endless, NULL },
	{ "rx-half", AT_REQUEST, rx_half, NULL },
	{ "rx-extra-type", AT_REQUEST, rx_extra_type, NULL },
	{ "rx-extra-endless", AT_REQUEST, rx_extra_endless, NULL },
	{ "rx-extra-place", AT_REQUEST, rx_extra_place, NULL },
	{ "rx-gso-size", AT_REQUEST, rx_gso_size, NULL },
	{ "rx-gso-type", AT_REQUEST, rx_gso_type, NULL },
	{ "rx-prefix", AT_REQUEST, rx_prefix, NULL },
	{ "rx-header", AT_REQUEST, rx_header, NULL },
	{ "rx-hash", AT_REQUEST, rx_hash, NULL },
	{ "storm", AT_REQUEST, sin_storm, NULL },
	{ "scribble", AT_REQUEST, scribble, NULL },
	{ "closing", AT_REQUEST, sin_closing, NULL },
	{ "closed", AT_REQUEST, sin_closed, NULL },
	{ "vanish", AT_REQUEST, sin_vanish, NULL },
	{ "detach", AT_REQUEST, detach, NULL },
	{ "vanish-back", AT_REQUEST, sin_vanish_back, NULL },
	{ "forget", AT_REQUEST, sin_forget, NULL },
	{ "redo", AT_REQUEST, redo, NULL },
	{ "vain-lives", AT_REQUEST, sin_vain_lives, NULL },
	{ "flap", AT_REQUEST, flap, NULL },
	{ "states", AT_REQUEST, sin_states, NULL },
	{ "carrier", AT_REQUEST, carrier, NULL },
	{ "carrier-flood", AT_REQUEST, carrier_flood, NULL },
	{ "no-copy", AT_INITWAIT, NULL, no_copy },
	{ "bad-mac", AT_INITWAIT, NULL, bad_mac },
	{ "group-mac", AT_INITWAIT, NULL, group_mac },
	{ "no-mac", AT_INITWAIT, NULL, no_mac },
	{ "long-mac", AT_INITWAIT, NULL, long_mac },
	{ "bad-mtu", AT_INITWAIT, NULL, bad_mtu },
	{ "huge-mtu", AT_INITWAIT, NULL, huge_mtu },
	{ "offers", AT_INITWAIT, NULL, offers },
	{ "many-queues", AT_INITWAIT, NULL, many_queues },
	{ "refuse", AT_CONNECT, NULL, sin_refuse },
	{ "refuse-closed", AT_CONNECT, NULL, sin_refuse_closed },
	{ "never", AT_CONNECT, NULL, NULL },
	{ "no-close", ALWAYS, NULL, NULL },
	{ "swallow", ALWAYS, NULL, NULL },
};

/* ------------------------------------------------------------------ frames, by the book */

/* Take the slots of one frame and copy what they name. */
static void take_frame(struct back *b, struct queue *q)
{
	struct grant_seg seg[32];
	struct netif_extra_info x;
	uint32_t left, at = 0, nr = 0;
	bool more;

	q->nr_reqs = q->nr_extras = 0;
	q->has_gso = false;
	do {
		struct netif_tx_request *r = &q->req[q->nr_reqs];

		if (q->nr_reqs == ARRAY_SIZE(q->req))
			must("a frame of too many slots", -EPROTO);
		ring_back_take(&q->tx, r);
		more = q->nr_reqs == 0 && r->flags & NETTXF_extra_info;
		q->nr_reqs++;
		while (more) {
			uint8_t raw[sizeof(struct netif_tx_request)];

			ring_back_take(&q->tx, raw);
			memcpy(&x, raw, sizeof(x));
			for (size_t i = sizeof(x); i < sizeof(raw); i++)
				if (raw[i])
					leak(b, "bytes behind an extra");
			q->nr_extras++;
			q->has_gso = x.type == XEN_NETIF_EXTRA_TYPE_GSO;
			q->gso = x;
			if (x.u.gso.pad || x.u.gso.features)
				leak(b, "padding of an extra");
			more = x.flags & XEN_NETIF_EXTRA_FLAG_MORE;
		}
	} while (q->req[q->nr_reqs - 1].flags & NETTXF_more_data);
	left = q->bytes = q->req[0].size;
	for (uint32_t i = 1; i < q->nr_reqs; i++)
		left -= q->req[i].size;
	for (uint32_t i = 0; i < q->nr_reqs; i++) {
		uint32_t n = i ? q->req[i].size : left;

		if (n > PAGE_BYTES || q->req[i].offset > PAGE_BYTES - n)
			must("a request that leaves its page", -EPROTO);
		if (n)
			seg[nr++] = (struct grant_seg){ .ref = q->req[i].gref,
							.offset = q->req[i].offset,
							.bytes = (uint16_t)n,
							.local = q->frame + at };
		at += n;
	}
	must("copy a frame", grant_copy(b->grant, b->domid, seg, nr));
}

static void answer_frame(struct back *b, struct queue *q)
{
	for (uint32_t i = 0; i < q->nr_reqs; i++) {
		answer_tx(q, q->req[i].id, NETIF_RSP_OKAY);
		/* An extra's answer has no id: what is in the slot is the extra itself. */
		for (uint32_t k = 0; i == 0 && k < q->nr_extras; k++)
			answer_tx(q, 0xdead, NETIF_RSP_NULL);
	}
	push_tx(b, q);
}

/* A host behind the wire: questions for any address are answered as if it were ours, so that ping works. */
static void answer_ping(uint8_t *f, uint32_t bytes)
{
	static const uint8_t us[6] = { 2, 0, 0, 0, 0, 2 };
	uint8_t *ip = f + 14, *icmp = ip + 20, t[10];
	uint32_t sum;

	if (bytes >= 42 && !memcmp(f + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10)) {
		memcpy(t, f + 22, 10); /* who asks: their MAC and IP */
		memcpy(f + 6, us, 6);
		memcpy(f + 22, us, 6);
		memcpy(f + 28, f + 38, 4);
		memcpy(f + 32, t, 10);
		f[21] = 2;
	} else if (bytes >= 42 && !memcmp(f + 12, "\x08\x00\x45", 3) && ip[9] == 1 && icmp[0] == 8 && !(ip[6] & 0x3f) &&
		   !ip[7]) {
		memcpy(t, ip + 12, 4);
		memcpy(ip + 12, ip + 16, 4);
		memcpy(ip + 16, t, 4);
		icmp[0] = 0;
		sum = ((uint32_t)icmp[2] << 8 | icmp[3]) + 0x0800;
		sum = (sum & 0xffff) + (sum >> 16);
		icmp[2] = (uint8_t)(sum >> 8);
		icmp[3] = (uint8_t)sum;
	}
}

/* Back to where it came from: the Ethernet addresses change places. */
static void echo_frame(struct back *b, struct queue *q)
{
	uint32_t left = q->bytes, at = 0, pad = b->done & 1 ? 2 : 0;
	uint8_t mac[6];

	memcpy(mac, q->frame, 6);
	memcpy(q->frame, q->frame + 6, 6);
	memcpy(q->frame + 6, mac, 6);
	answer_ping(q->frame, q->bytes);
	for (bool first = true; left; first = false) {
		struct netif_rx_request r = take_rx(q);
		uint32_t offset = left + pad <= PAGE_BYTES ? pad : 0, n = MIN(left, PAGE_BYTES - offset), flags;
		struct grant_seg s = { .ref = r.gref,
				       .offset = (uint16_t)offset,
				       .bytes = (uint16_t)n,
				       .local = q->frame + at,
				       .to_guest = true };

		must("copy to a frame", grant_copy(b->grant, b->domid, &s, 1));
		left -= n;
		at += n;
		flags = left ? NETRXF_more_data : 0;
		if (first && q->req[0].flags & NETTXF_csum_blank)
			flags |= NETRXF_csum_blank | NETRXF_data_validated;
		if (first && q->has_gso)
			flags |= NETRXF_extra_info;
		answer_rx(q, r.id, offset, flags, (int)n);
		if (first && q->has_gso)
			raw_extra(q, XEN_NETIF_EXTRA_TYPE_GSO, 0, q->gso.u.gso.size, q->gso.u.gso.type);
	}
}

static void serve(struct back *b, struct queue *q)
{
	bool swallows = !strcmp(b->sin->name, "swallow"); /* what the second queue sends */

	while (b->connected && !b->halted && ring_back_pending(&q->tx) > 0 &&
	       ring_back_pending(&q->rx) >= (int)RX_ROOM && !over) {
		take_frame(b, q);
		if (time_to_sin(b)) {
			if (b->sin->request(b, q)) {
				if (!b->halted && !over) {
					push_tx(b, q);
					push_rx(b, q);
				}
				continue;
			}
			/* The sin has used slots. */
			push_rx(b, q);
			while (!over && ring_back_pending(&q->rx) < (int)RX_ROOM)
				usleep(100);
		}
		answer_frame(b, q);
		if (swallows && q == &b->queue[1])
			continue;
		echo_frame(b, q);
		push_rx(b, q);
		b->done++;
	}
}

/* ------------------------------------------------------------------ connecting */

void disconnect_rings(struct back *b)
{
	for (uint32_t i = 0; i < nr_queues; i++) {
		struct queue *q = &b->queue[i];

		evtchn_unbind(b->evtchn, q->tx_port);
		if (q->rx_port != q->tx_port)
			evtchn_unbind(b->evtchn, q->rx_port);
		grant_unmap(b->grant, q->tx_raw, 1);
		grant_unmap(b->grant, q->rx_raw, 1);
	}
}

static uint32_t *map_ring(struct back *b, const struct path *dir, const char *leaf, struct ring_back *r, uint32_t size,
			  uint32_t rsp_size)
{
	uint32_t ref = get(b, dir, leaf, 0);
	void *page;

	must("map a ring", grant_map(b->grant, b->domid, &ref, 1, true, &page));
	must("attach", ring_back_attach(r, page, PAGE_BYTES, size, rsp_size));
	return page;
}

static void connect_queue(struct back *b, struct queue *q, const struct path *dir)
{
	uint32_t both = get(b, dir, "event-channel", 0);

	q->tx_raw = map_ring(b, dir, "tx-ring-ref", &q->tx, sizeof(struct netif_tx_request),
			     sizeof(struct netif_tx_response));
	q->rx_raw = map_ring(b, dir, "rx-ring-ref", &q->rx, sizeof(struct netif_rx_request),
			     sizeof(struct netif_rx_response));
	q->tx_port = bind_port(b, both ? both : get(b, dir, "event-channel-tx", 0));
	q->rx_port = both ? q->tx_port : bind_port(b, get(b, dir, "event-channel-rx", 0));
}

void connect_rings(struct back *b)
{
	nr_queues = get(b, &b->front, "multi-queue-num-queues", 1);
	if (nr_queues == 0 || nr_queues > MAX_QUEUES)
		must("number of queues", -EPROTO);
	for (uint32_t i = 0; i < nr_queues; i++) {
		struct path dir = b->front;
		char leaf[24];

		snprintf(leaf, sizeof(leaf), "queue-%u", i);
		if (nr_queues > 1)
			path_join(&dir, b->front.s, leaf);
		connect_queue(b, &b->queue[i], &dir);
	}
}

/* Nothing to do on any queue, and events asked for.  Waiting for room is waiting for receive requests. */
static bool idle(struct back *b)
{
	for (uint32_t i = 0; b->connected && !b->halted && i < nr_queues; i++) {
		struct queue *q = &b->queue[i];
		bool work = ring_back_arm(&q->tx) > 0;

		if (ring_back_pending(&q->rx) >= (int)RX_ROOM) {
			if (work)
				return false;
			continue;
		}
		/* An event when there is room for a frame. */
		__atomic_store_n(&q->rx_raw[1], q->rx.req_cons + RX_ROOM, __ATOMIC_SEQ_CST);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (ring_back_pending(&q->rx) >= (int)RX_ROOM)
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct queue queues[MAX_QUEUES];
	struct back b = { .after = 8, .rnd = 1, .queue = queues };

	if (argc < 4 || parse_str_u32(argv[1], 32751, &b.domid) < 0 || parse_str_u32(argv[2], 65535, &b.id) < 0 ||
	    (argc > 4 && parse_str_u32(argv[4], UINT32_MAX, &b.after) < 0)) {
		fprintf(stderr, "usage: badback DOMID HANDLE SIN [AFTER]\nsins:");
		for (size_t i = 0; i < ARRAY_SIZE(sins); i++)
			fprintf(stderr, " %s", sins[i].name);
		fputc('\n', stderr);
		return 2;
	}
	b.sin = find_sin(sins, ARRAY_SIZE(sins), argv[3]);
	back_open(&b, "svif");
	while (!over) {
		for (uint32_t i = 0; b.connected && i < nr_queues; i++)
			serve(&b, &b.queue[i]);
		if (!over && idle(&b))
			back_wait(&b, 1000);
	}
	let_go(&b);
	back_close(&b);
	return 0;
}

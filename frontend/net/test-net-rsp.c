/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-net-rsp.c - what a network back end may answer, and what it may not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/net/net-rsp.h"

/* ------------------------------------------------------------------ transmit */

static enum net_fault answer(struct net_tx *t, uint32_t id, int status, struct net_tx_done *d)
{
	struct netif_tx_response r = { .id = (uint16_t)id, .status = (int16_t)status };

	return net_tx_accept(t, &r, d);
}

static void tx_answers_in_any_order(void **state)
{
	struct net_tx_done d;
	struct net_tx t;
	uint16_t id[3];

	net_tx_init(&t, 3);
	for (int i = 0; i < 3; i++)
		net_tx_take(&t, &id[i]);
	assert_int_equal(net_tx_peek(&t, 0), NET_NONE);
	assert_int_equal(answer(&t, id[2], NETIF_RSP_OKAY, &d), NET_OK);
	assert_int_equal(answer(&t, id[0], NETIF_RSP_ERROR, &d), NET_OK);
	assert_int_equal(d.status, -EIO);
	assert_int_equal(answer(&t, id[1], NETIF_RSP_DROPPED, &d), NET_OK);
	assert_int_equal(d.status, -ENOBUFS);
	assert_int_equal(t.nr_free, 3);
}

static void tx_peek_tells_what_take_gives(void **state)
{
	struct net_tx t;
	uint16_t id;

	net_tx_init(&t, 256);
	for (int i = 0; i < 256; i++) {
		uint32_t page = net_tx_peek(&t, 0);

		assert_true(page < 256);
		assert_int_equal(net_tx_take(&t, &id), page);
		assert_int_equal(id & 0xff, page);
	}
}

static void tx_id_out_of_range(void **state)
{
	struct net_tx_done d;
	struct net_tx t;
	uint16_t id;

	net_tx_init(&t, 32);
	net_tx_take(&t, &id);
	assert_int_equal(answer(&t, 32, NETIF_RSP_OKAY, &d), NET_TX_BAD_ID);
	assert_int_equal(answer(&t, 0xff, NETIF_RSP_OKAY, &d), NET_TX_BAD_ID);
	assert_int_equal(t.nr_free, 31);
}

static void tx_id_not_in_flight_or_twice(void **state)
{
	struct net_tx_done d;
	struct net_tx t;
	uint16_t id;

	net_tx_init(&t, 32);
	net_tx_take(&t, &id);
	assert_int_equal(answer(&t, id ^ 1u, NETIF_RSP_OKAY, &d), NET_TX_IDLE_ID);
	assert_int_equal(answer(&t, id, NETIF_RSP_OKAY, &d), NET_OK);
	assert_int_equal(answer(&t, id, NETIF_RSP_OKAY, &d), NET_TX_IDLE_ID);
	assert_int_equal(t.nr_free, 32);
}

/* The page is in flight again: an answer to what it sent before is not one to what it sends now. */
static void tx_id_of_an_older_request(void **state)
{
	struct net_tx_done d;
	uint16_t old, id;
	struct net_tx t;

	net_tx_init(&t, 32);
	net_tx_take(&t, &old);
	assert_int_equal(answer(&t, old, NETIF_RSP_OKAY, &d), NET_OK);
	net_tx_take(&t, &id);
	assert_int_equal(id & 0xff, old & 0xff);
	assert_int_not_equal(id, old);
	assert_int_equal(answer(&t, old, NETIF_RSP_OKAY, &d), NET_TX_IDLE_ID);
	assert_int_equal(answer(&t, id, NETIF_RSP_OKAY, &d), NET_OK);
}

static void tx_empty_answers_are_counted(void **state)
{
	struct net_tx_done d;
	struct net_tx t;

	net_tx_init(&t, 32);
	assert_int_equal(answer(&t, 0, NETIF_RSP_NULL, &d), NET_TX_BAD_NULL);
	t.extras = 1;
	assert_int_equal(answer(&t, 0xdead, NETIF_RSP_NULL, &d), NET_OK);
	assert_true(d.extra);
	assert_int_equal(answer(&t, 0xdead, NETIF_RSP_NULL, &d), NET_TX_BAD_NULL);
	assert_int_equal(t.nr_free, 32);
}

static void tx_unknown_status_frees_the_page(void **state)
{
	static const int statuses[] = { 2, 100, 32767, -3, -77, -32768 };
	struct net_tx_done d;
	struct net_tx t;
	uint16_t id;

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		net_tx_init(&t, 32);
		net_tx_take(&t, &id);
		assert_int_equal(answer(&t, id, statuses[i], &d), NET_TX_STATUS);
		assert_int_equal(d.status, -EIO);
		assert_int_equal(t.nr_free, 32);
	}
}

/* ------------------------------------------------------------------ receive: a table */

#define MORE  NETRXF_more_data
#define EXTRA NETRXF_extra_info
#define BLANK NETRXF_csum_blank
#define VALID NETRXF_data_validated
#define XMORE XEN_NETIF_EXTRA_FLAG_MORE
#define V4    XEN_NETIF_GSO_TYPE_TCPV4
#define V6    XEN_NETIF_GSO_TYPE_TCPV6
#define GSO   XEN_NETIF_EXTRA_TYPE_GSO
#define HASH  XEN_NETIF_EXTRA_TYPE_HASH

/* A slot as the back end writes it; the id is right unless wrong_id. */
#define D(o, f, s)                                                          \
	{                                                                   \
		.d = {.offset = (o), .flags = (f), .status = (int16_t)(s) } \
	}
#define X(t, f, sz, ty)                                                                                   \
	{                                                                                                 \
		.extra = true, .x = {.type = (t), .flags = (f), .u.gso = { .size = (sz), .type = (ty) } } \
	}
#define WRONG(o, f, s)                                                                        \
	{                                                                                     \
		.wrong_id = true, .d = {.offset = (o), .flags = (f), .status = (int16_t)(s) } \
	}
#define MAX_SLOTS 40

static const struct {
	const char *name;
	enum { SG = 1, G4 = 2, G6 = 4, ALL = 7 } takes;
	struct {
		bool extra, wrong_id;
		struct netif_rx_response d;
		struct netif_extra_info x;
	} slot[MAX_SLOTS];
	uint32_t nr;
	enum net_rx_verdict want;
	enum net_fault fault;
	uint32_t segs, bytes;
} table[] = {
	{ "one slot", ALL, { D(0, 0, 60) }, 1, NET_RX_FRAME, NET_OK, 1, 60 },
	{ "one slot, full", ALL, { D(0, 0, 4096) }, 1, NET_RX_FRAME, NET_OK, 1, 4096 },
	{ "at the end of its page", ALL, { D(4082, 0, 14) }, 1, NET_RX_FRAME, NET_OK, 1, 14 },
	{ "two slots", ALL, { D(0, MORE, 4096), D(2, 0, 100) }, 2, NET_RX_FRAME, NET_OK, 2, 4196 },
	{ "an empty slot first", ALL, { D(4096, MORE, 0), D(0, 0, 60) }, 2, NET_RX_FRAME, NET_OK, 1, 60 },
	{ "an empty slot last", ALL, { D(0, MORE, 60), D(0, 0, 0) }, 2, NET_RX_FRAME, NET_OK, 1, 60 },
	{ "GSO", ALL, { D(0, EXTRA | BLANK, 2000), X(GSO, 0, 1448, V4) }, 2, NET_RX_FRAME, NET_OK, 1, 2000 },
	{ "GSO and more data",
	  ALL,
	  { D(0, EXTRA | MORE | BLANK, 4096), X(GSO, 0, 1448, V6), D(0, 0, 4096) },
	  3,
	  NET_RX_FRAME,
	  NET_OK,
	  2,
	  8192 },
	{ "hash, then GSO",
	  ALL,
	  { D(0, EXTRA, 2000), X(HASH, XMORE, 0, 0), X(GSO, 0, 1448, V4) },
	  3,
	  NET_RX_FRAME,
	  NET_OK,
	  1,
	  2000 },
	{ "unknown flags are not ours to judge", ALL, { D(0, 0xffe0, 60) }, 1, NET_RX_FRAME, NET_OK, 1, 60 },

	{ "another id", ALL, { WRONG(0, 0, 60) }, 1, NET_RX_HALT, NET_RX_BAD_ID, 0, 0 },
	{ "another id later in the frame",
	  ALL,
	  { D(0, MORE, 60), WRONG(0, 0, 60) },
	  2,
	  NET_RX_HALT,
	  NET_RX_BAD_ID,
	  0,
	  0 },

	{ "beyond the page by one", ALL, { D(4083, 0, 14) }, 1, NET_RX_DROP, NET_RX_PAGE, 0, 0 },
	{ "longer than a page", ALL, { D(0, 0, 4097) }, 1, NET_RX_DROP, NET_RX_PAGE, 0, 0 },
	{ "the longest", ALL, { D(0, 0, 32767) }, 1, NET_RX_DROP, NET_RX_PAGE, 0, 0 },
	{ "offset and length wrap in 16 bits", ALL, { D(65535, 0, 4096) }, 1, NET_RX_DROP, NET_RX_PAGE, 0, 0 },
	{ "offset behind the page, empty", ALL, { D(4097, MORE, 0), D(0, 0, 60) }, 2, NET_RX_DROP, NET_RX_PAGE, 0, 0 },
	{ "a bad second slot", ALL, { D(0, MORE, 60), D(4096, 0, 1) }, 2, NET_RX_DROP, NET_RX_PAGE, 0, 0 },
	{ "an error", ALL, { D(0, 0, NETIF_RSP_ERROR) }, 1, NET_RX_DROP, NET_RX_STATUS, 0, 0 },
	{ "the most negative", ALL, { D(0, 0, -32768) }, 1, NET_RX_DROP, NET_RX_STATUS, 0, 0 },
	{ "an error in the middle",
	  ALL,
	  { D(0, MORE, 60), D(0, MORE, -1), D(0, 0, 60) },
	  3,
	  NET_RX_DROP,
	  NET_RX_STATUS,
	  0,
	  0 },
	{ "nothing", ALL, { D(0, 0, 0) }, 1, NET_RX_DROP, NET_RX_SHORT, 0, 0 },
	{ "13 bytes", ALL, { D(0, 0, 13) }, 1, NET_RX_DROP, NET_RX_SHORT, 0, 0 },
	{ "more data where one slot was asked for",
	  0,
	  { D(0, MORE, 60), D(0, 0, 60) },
	  2,
	  NET_RX_DROP,
	  NET_RX_UNASKED,
	  0,
	  0 },
	{ "GSO that was not asked for",
	  SG,
	  { D(0, EXTRA, 2000), X(GSO, 0, 1448, V4) },
	  2,
	  NET_RX_DROP,
	  NET_RX_UNASKED,
	  0,
	  0 },
	{ "GSO v6 where v4 was asked for",
	  SG | G4,
	  { D(0, EXTRA, 2000), X(GSO, 0, 1448, V6) },
	  2,
	  NET_RX_DROP,
	  NET_RX_UNASKED,
	  0,
	  0 },
	{ "GSO size 0", ALL, { D(0, EXTRA, 2000), X(GSO, 0, 0, V4) }, 2, NET_RX_DROP, NET_RX_GSO_SIZE, 0, 0 },
	{ "GSO size beyond the frame",
	  ALL,
	  { D(0, EXTRA, 2000), X(GSO, 0, 2001, V4) },
	  2,
	  NET_RX_DROP,
	  NET_RX_GSO_SIZE,
	  0,
	  0 },
	{ "GSO type 0", ALL, { D(0, EXTRA, 2000), X(GSO, 0, 1448, 0) }, 2, NET_RX_DROP, NET_RX_GSO_TYPE, 0, 0 },
	{ "GSO type 3", ALL, { D(0, EXTRA, 2000), X(GSO, 0, 1448, 3) }, 2, NET_RX_DROP, NET_RX_GSO_TYPE, 0, 0 },
	{ "GSO twice",
	  ALL,
	  { D(0, EXTRA, 2000), X(GSO, XMORE, 1448, V4), X(GSO, 0, 1, V4) },
	  3,
	  NET_RX_DROP,
	  NET_RX_EXTRA_CHAIN,
	  0,
	  0 },
	{ "extra type 0", ALL, { D(0, EXTRA, 60), X(0, 0, 0, 0) }, 2, NET_RX_DROP, NET_RX_EXTRA_TYPE, 0, 0 },
	{ "extra type beyond all", ALL, { D(0, EXTRA, 60), X(5, 0, 0, 0) }, 2, NET_RX_DROP, NET_RX_EXTRA_TYPE, 0, 0 },
	{ "extra type 255", ALL, { D(0, EXTRA, 60), X(255, 0, 0, 0) }, 2, NET_RX_DROP, NET_RX_EXTRA_TYPE, 0, 0 },
	{ "multicast makes no sense here",
	  ALL,
	  { D(0, EXTRA, 60), X(2, 0, 0, 0) },
	  2,
	  NET_RX_DROP,
	  NET_RX_EXTRA_TYPE,
	  0,
	  0 },
	{ "an unknown extra, and the frame goes on",
	  ALL,
	  { D(0, EXTRA | MORE, 60), X(9, XMORE, 0, 0), X(HASH, 0, 0, 0), D(0, 0, 60) },
	  4,
	  NET_RX_DROP,
	  NET_RX_EXTRA_TYPE,
	  0,
	  0 },
	{ "an extra behind the second slot",
	  ALL,
	  { D(0, MORE, 60), D(0, EXTRA, 60) },
	  2,
	  NET_RX_DROP,
	  NET_RX_EXTRA_PLACE,
	  0,
	  0 },
	{ "the old GSO prefix",
	  ALL,
	  { D(1448, NETRXF_gso_prefix | MORE, 0), D(0, 0, 60) },
	  2,
	  NET_RX_DROP,
	  NET_RX_PREFIX,
	  0,
	  0 },
	{ "20 slots",
	  ALL,
	  { D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9),
	    D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9),
	    D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, 0, 9) },
	  20,
	  NET_RX_FRAME,
	  NET_OK,
	  20,
	  180 },
	{ "21 slots",
	  ALL,
	  { D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9),
	    D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9),
	    D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, MORE, 9), D(0, 0, 9) },
	  21,
	  NET_RX_DROP,
	  NET_RX_CHAIN,
	  0,
	  0 },
	{ "65553 bytes",
	  ALL,
	  { D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096),
	    D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096),
	    D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, 0, 17) },
	  17,
	  NET_RX_FRAME,
	  NET_OK,
	  17,
	  65553 },
	{ "65554 bytes",
	  ALL,
	  { D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096),
	    D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096),
	    D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, MORE, 4096), D(0, 0, 18) },
	  17,
	  NET_RX_DROP,
	  NET_RX_LONG,
	  0,
	  0 },
};

static enum net_rx_verdict feed(struct net_rx *r, size_t row, uint32_t i, uint32_t page)
{
	struct netif_rx_response d = table[row].slot[i].d;

	if (table[row].slot[i].extra)
		return net_rx_feed(r, page, &table[row].slot[i].x);
	d.id = (uint16_t)(table[row].slot[i].wrong_id ? page + 1 : page);
	return net_rx_feed(r, page, &d);
}

static void rx_table(void **state)
{
	struct net_rx r;

	for (size_t row = 0; row < ARRAY_SIZE(table); row++) {
		enum net_rx_verdict v = NET_RX_MORE;

		net_rx_init(&r, table[row].takes & SG, table[row].takes & G4, table[row].takes & G6);
		for (uint32_t i = 0; i < table[row].nr; i++) {
			if (v != NET_RX_MORE)
				fail_msg("%s: ends after %u slots", table[row].name, i);
			v = feed(&r, row, i, 7 + i);
		}
		if (v != table[row].want || r.fault != table[row].fault)
			fail_msg("%s: verdict %d, fault %s", table[row].name, v, net_fault_name(r.fault));
		if (v != NET_RX_FRAME)
			continue;
		if (r.frame.nr_segs != table[row].segs || r.frame.bytes != table[row].bytes)
			fail_msg("%s: %u segments, %u bytes", table[row].name, r.frame.nr_segs, r.frame.bytes);
		assert_int_equal(net_rx_held(&r), 0);
	}
}

/* After a frame that was dropped comes one that is not, and nothing of the first is in it. */
static void rx_a_good_frame_after_each(void **state)
{
	struct netif_rx_response d = { .id = 99, .status = 60 };
	struct net_rx r;

	for (size_t row = 0; row < ARRAY_SIZE(table); row++) {
		if (table[row].want == NET_RX_HALT)
			continue;
		net_rx_init(&r, table[row].takes & SG, table[row].takes & G4, table[row].takes & G6);
		for (uint32_t i = 0; i < table[row].nr; i++)
			if (feed(&r, row, i, 7 + i) == NET_RX_HALT)
				fail_msg("%s: halted", table[row].name);
		if (net_rx_feed(&r, 99, &d) != NET_RX_FRAME)
			fail_msg("%s: no frame after it: %s", table[row].name, net_fault_name(r.fault));
		assert_int_equal(r.frame.bytes, 60);
		assert_int_equal(r.frame.nr_segs, 1);
		assert_int_equal(r.frame.gso_type, 0);
		assert_false(r.frame.csum_blank);
	}
}

/* A chain without an end holds no pages once it is known to be one, and ends when it ends. */
static void rx_endless_chains_hold_nothing(void **state)
{
	struct netif_rx_response d = { .flags = MORE, .status = 0 };
	struct netif_extra_info x = { .type = HASH, .flags = XMORE };
	struct net_rx r;

	net_rx_init(&r, true, true, true);
	for (uint32_t i = 0; i < 10000; i++) {
		assert_int_equal(net_rx_feed(&r, 0, &d), NET_RX_MORE);
		assert_true(net_rx_held(&r) <= NET_MAX_SEGS + NET_MAX_EXTRAS);
	}
	assert_int_equal(net_rx_held(&r), 0);
	d.flags = 0;
	assert_int_equal(net_rx_feed(&r, 0, &d), NET_RX_DROP);
	assert_int_equal(r.fault, NET_RX_CHAIN);

	d.flags = EXTRA;
	d.status = 60;
	assert_int_equal(net_rx_feed(&r, 0, &d), NET_RX_MORE);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(net_rx_feed(&r, 0, &x), NET_RX_MORE);
	assert_int_equal(net_rx_held(&r), 0);
	x.flags = 0;
	assert_int_equal(net_rx_feed(&r, 0, &x), NET_RX_DROP);
	assert_int_equal(r.fault, NET_RX_EXTRA_CHAIN);
}

static void rx_held_is_what_is_under_way(void **state)
{
	struct netif_rx_response d = { .flags = MORE, .status = 100 };
	struct net_rx r;

	net_rx_init(&r, true, true, true);
	for (uint32_t i = 0; i < 5; i++) {
		d.id = (uint16_t)i;
		assert_int_equal(net_rx_feed(&r, i, &d), NET_RX_MORE);
		assert_int_equal(net_rx_held(&r), i + 1);
	}
}

static void faults_have_names(void **state)
{
	for (int i = 0; i < NET_NR_FAULTS; i++) {
		assert_non_null(net_fault_text((enum net_fault)i));
		assert_non_null(net_fault_name((enum net_fault)i));
	}
	assert_true(net_fault_fatal(NET_RX_BAD_ID));
	assert_false(net_fault_fatal(NET_TX_STATUS));
	assert_false(net_fault_fatal(NET_OK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tx_answers_in_any_order),
		cmocka_unit_test(tx_peek_tells_what_take_gives),
		cmocka_unit_test(tx_id_out_of_range),
		cmocka_unit_test(tx_id_not_in_flight_or_twice),
		cmocka_unit_test(tx_id_of_an_older_request),
		cmocka_unit_test(tx_empty_answers_are_counted),
		cmocka_unit_test(tx_unknown_status_frees_the_page),
		cmocka_unit_test(rx_table),
		cmocka_unit_test(rx_a_good_frame_after_each),
		cmocka_unit_test(rx_endless_chains_hold_nothing),
		cmocka_unit_test(rx_held_is_what_is_under_way),
		cmocka_unit_test(faults_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

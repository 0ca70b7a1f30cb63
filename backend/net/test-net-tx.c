/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-net-tx.c - chains of transmit slots, honest and hostile, as a table. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/net/net-tx.h"

#define MORE  NETTXF_more_data
#define EXTRA NETTXF_extra_info
#define BLANK NETTXF_csum_blank
#define AGAIN XEN_NETIF_EXTRA_FLAG_MORE

/* One slot: a request (kind R), a GSO, multicast or any other extra. */
struct slot {
	char kind; /* R request, G gso, A add, D del, H hash, X type as given */
	uint16_t flags, size, offset;
	uint8_t type;
};

static const struct row {
	const char *name;
	int rc;
	const char *why; /* part of it */
	uint32_t slots, extras, frags, bytes;
	struct slot s[24];
} rows[] = {
	{ "one slot", 0, NULL, 1, 0, 1, 60, { { 'R', 0, 60, 0, 0 } } },
	{ "one slot that ends its page", 0, NULL, 1, 0, 1, 60, { { 'R', 0, 60, 4036, 0 } } },
	{ "a whole page", 0, NULL, 1, 0, 1, 4096, { { 'R', 0, 4096, 0, 0 } } },
	{ "three fragments",
	  0,
	  NULL,
	  3,
	  0,
	  3,
	  9000,
	  { { 'R', MORE, 9000, 0, 0 }, { 'R', MORE, 4096, 0, 0 }, { 'R', 0, 1000, 96, 0 } } },
	{ "flags of later fragments mean nothing else",
	  0,
	  NULL,
	  2,
	  0,
	  2,
	  200,
	  { { 'R', MORE, 200, 0, 0 }, { 'R', EXTRA | BLANK, 100, 0, 0 } } },
	{ "a slot behind the packet is not touched",
	  0,
	  NULL,
	  1,
	  0,
	  1,
	  60,
	  { { 'R', 0, 60, 0, 0 }, { 'R', MORE, 4097, 0, 0 } } },
	{ "gso",
	  0,
	  NULL,
	  3,
	  1,
	  2,
	  5000,
	  { { 'R', EXTRA | MORE | BLANK, 5000, 0, 0 }, { 'G', 0, 1448, 0, 1 }, { 'R', 0, 1000, 0, 0 } } },
	{ "gso and hash",
	  0,
	  NULL,
	  3,
	  2,
	  1,
	  100,
	  { { 'R', EXTRA, 100, 0, 0 }, { 'H', AGAIN, 0, 0, 0 }, { 'G', 0, 1, 0, 2 } } },
	{ "a multicast address is added: no packet, more_data is not looked at",
	  0,
	  NULL,
	  2,
	  1,
	  0,
	  0,
	  { { 'R', EXTRA | MORE, 0, 0, 0 }, { 'A', 0, 0, 0, 0 } } },
	{ "a multicast address is deleted", 0, NULL, 2, 1, 0, 0, { { 'R', EXTRA, 0, 0, 0 }, { 'D', 0, 0, 0, 0 } } },
	{ "14 bytes", 0, NULL, 1, 0, 1, 14, { { 'R', 0, 14, 0, 0 } } },
	{ "13 bytes", -EINVAL, "Ethernet", 1, 0, 1, 0, { { 'R', 0, 13, 0, 0 } } },
	{ "a first fragment of 1 byte", 0, NULL, 2, 0, 2, 60, { { 'R', MORE, 60, 0, 0 }, { 'R', 0, 59, 0, 0 } } },
	{ "XSA-448: the first is empty", 0, NULL, 2, 0, 1, 60, { { 'R', MORE, 60, 0, 0 }, { 'R', 0, 60, 0, 0 } } },
	{ "XSA-448: one in the middle is empty",
	  0,
	  NULL,
	  3,
	  0,
	  2,
	  60,
	  { { 'R', MORE, 60, 0, 0 }, { 'R', MORE, 0, 0, 0 }, { 'R', 0, 30, 0, 0 } } },
	{ "XSA-448: the last is empty", 0, NULL, 2, 0, 1, 60, { { 'R', MORE, 60, 0, 0 }, { 'R', 0, 0, 4096, 0 } } },
	{ "XSA-448: all are empty",
	  -EINVAL,
	  "Ethernet",
	  3,
	  0,
	  1,
	  0,
	  { { 'R', MORE, 0, 0, 0 }, { 'R', MORE, 0, 0, 0 }, { 'R', 0, 0, 0, 0 } } },
	{ "an empty one with an impossible offset",
	  -EPROTO,
	  "page",
	  0,
	  0,
	  0,
	  0,
	  { { 'R', MORE, 60, 0, 0 }, { 'R', 0, 0, 4097, 0 } } },
	{ "smaller than its fragments",
	  -EINVAL,
	  "smaller",
	  2,
	  0,
	  1,
	  0,
	  { { 'R', MORE, 60, 0, 0 }, { 'R', 0, 61, 0, 0 } } },
	{ "the 16-bit total wrapped",
	  -EINVAL,
	  "smaller",
	  18,
	  0,
	  17,
	  0,
	  { { 'R', MORE, 4064, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', MORE, 4096, 0, 0 },
	    { 'R', 0, 4096, 0, 0 } } },
	{ "the first crosses its page", -EPROTO, "page", 0, 0, 0, 0, { { 'R', 0, 60, 4037, 0 } } },
	{ "the first is longer than a page",
	  -EPROTO,
	  "page",
	  0,
	  0,
	  0,
	  0,
	  { { 'R', MORE, 5000, 0, 0 }, { 'R', 0, 60, 0, 0 } } },
	{ "offset and size wrap together", -EPROTO, "page", 0, 0, 0, 0, { { 'R', 0, 65535, 65535, 0 } } },
	{ "a later one crosses its page",
	  -EPROTO,
	  "page",
	  0,
	  0,
	  0,
	  0,
	  { { 'R', MORE, 200, 0, 0 }, { 'R', 0, 100, 3997, 0 } } },
	{ "a later one's offset and size wrap together",
	  -EPROTO,
	  "page",
	  0,
	  0,
	  0,
	  0,
	  { { 'R', MORE, 200, 0, 0 }, { 'R', 0, 100, 65530, 0 } } },
	{ "more data is missing", -EPROTO, "missing", 0, 0, 0, 0, { { 'R', MORE, 60, 0, 0 } } },
	{ "more data is missing behind an extra",
	  -EPROTO,
	  "missing",
	  0,
	  0,
	  0,
	  0,
	  { { 'R', MORE | EXTRA, 60, 0, 0 }, { 'G', 0, 9, 0, 1 } } },
	{ "the extra is missing", -EPROTO, "missing", 0, 0, 0, 0, { { 'R', EXTRA, 60, 0, 0 } } },
	{ "the second extra is missing",
	  -EPROTO,
	  "missing",
	  0,
	  0,
	  0,
	  0,
	  { { 'R', EXTRA, 60, 0, 0 }, { 'G', AGAIN, 9, 0, 1 } } },
	{ "an extra of type 0", -EPROTO, "unknown", 0, 0, 0, 0, { { 'R', EXTRA, 60, 0, 0 }, { 'X', 0, 0, 0, 0 } } },
	{ "an extra of the first type there is not",
	  -EPROTO,
	  "unknown",
	  0,
	  0,
	  0,
	  0,
	  { { 'R', EXTRA, 60, 0, 0 }, { 'X', 0, 0, 0, XEN_NETIF_EXTRA_TYPE_MAX } } },
	{ "an extra of type 255", -EPROTO, "unknown", 0, 0, 0, 0, { { 'R', EXTRA, 60, 0, 0 }, { 'X', 0, 0, 0, 255 } } },
	{ "gso of size 0", -EPROTO, "size 0", 0, 0, 0, 0, { { 'R', EXTRA, 60, 0, 0 }, { 'G', 0, 0, 0, 1 } } },
	{ "gso of type 0", -EPROTO, "type", 0, 0, 0, 0, { { 'R', EXTRA, 60, 0, 0 }, { 'G', 0, 9, 0, 0 } } },
	{ "gso of type 3", -EPROTO, "type", 0, 0, 0, 0, { { 'R', EXTRA, 60, 0, 0 }, { 'G', 0, 9, 0, 3 } } },
	{ "20 data slots of 3 bytes", 0, NULL, 20, 0, 20, 60, { { 'R', MORE, 60, 0, 0 }, { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 },
								{ 'R', MORE, 3, 0, 0 },  { 'R', 0, 3, 0, 0 } } },
	{ "21 data slots are one too many",
	  -EINVAL,
	  "too many",
	  21,
	  0,
	  20,
	  0,
	  { { 'R', MORE, 63, 0, 0 }, { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 },
	    { 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 },
	    { 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 },
	    { 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 },
	    { 'R', MORE, 3, 0, 0 },  { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 }, { 'R', MORE, 3, 0, 0 },
	    { 'R', 0, 3, 0, 0 } } },
};

static union net_tx_slot make(const struct slot *s, uint32_t i)
{
	union net_tx_slot t = { 0 };
	static const uint8_t mac[6] = { 1, 0, 0x5e, 1, 2, 3 };

	if (s->kind == 'R') {
		t.req = (struct netif_tx_request){ 100 + i, s->offset, s->flags, (uint16_t)(7 + i), s->size };
		return t;
	}
	t.extra.flags = (uint8_t)s->flags;
	switch (s->kind) {
	case 'G':
		t.extra.type = XEN_NETIF_EXTRA_TYPE_GSO;
		t.extra.u.gso.size = s->size;
		t.extra.u.gso.type = s->type;
		break;
	case 'H':
		t.extra.type = XEN_NETIF_EXTRA_TYPE_HASH;
		break;
	case 'X':
		t.extra.type = s->type;
		break;
	default:
		t.extra.type = s->kind == 'A' ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD : XEN_NETIF_EXTRA_TYPE_MCAST_DEL;
		memcpy(t.extra.u.mcast.addr, mac, 6);
	}
	return t;
}

static void test_table(void **state)
{
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		const struct row *row = &rows[r];
		/* exactly as many as there are, so that a sanitizer sees a look behind them */
		union net_tx_slot *slots;
		struct {
			struct net_tx_packet p;
			uint64_t behind[32]; /* where too many fragments would end up (XSA-432) */
		} out;
		const char *why = "";
		uint32_t nr = 0, sum = 0;
		int rc;

		memset(out.behind, 0x5a, sizeof(out.behind));
		while (nr < ARRAY_SIZE(row->s) && row->s[nr].kind)
			nr++;
		slots = malloc(nr * sizeof(*slots));
		for (uint32_t i = 0; i < nr; i++)
			slots[i] = make(&row->s[i], i);
		rc = net_tx_parse(slots, nr, &out.p, &why);
		for (uint32_t i = 0; i < ARRAY_SIZE(out.behind); i++)
			if (out.behind[i] != 0x5a5a5a5a5a5a5a5a)
				fail_msg("%s: writes behind its fragments", row->name);
		if (rc != row->rc || (row->why && !strstr(why, row->why)))
			fail_msg("%s: %d \"%s\", wanted %d \"%s\"", row->name, rc, why, row->rc,
				 row->why ? row->why : "");
		if (rc != -EPROTO && (out.p.nr_slots != row->slots || out.p.nr_extras != row->extras))
			fail_msg("%s: %u slots, %u extras", row->name, out.p.nr_slots, out.p.nr_extras);
		if (rc == 0 && (out.p.nr_frags != row->frags || out.p.bytes != row->bytes))
			fail_msg("%s: %u frags, %u bytes", row->name, out.p.nr_frags, out.p.bytes);
		for (uint32_t i = 0; rc == 0 && i < out.p.nr_frags; i++)
			sum += out.p.frags[i].bytes;
		if (rc == 0 && sum != out.p.bytes)
			fail_msg("%s: fragments have %u bytes of %u", row->name, sum, out.p.bytes);
		free(slots);
	}
}

static void test_fields(void **state)
{
	const struct slot s[] = { { 'R', EXTRA | MORE | BLANK | NETTXF_data_validated, 5000, 8, 0 },
				  { 'G', 0, 1448, 0, 2 },
				  { 'R', 0, 1000, 16, 0 } };
	union net_tx_slot slots[3];
	struct net_tx_packet p;
	const char *why;

	for (uint32_t i = 0; i < 3; i++)
		slots[i] = make(&s[i], i);
	assert_int_equal(net_tx_parse(slots, 3, &p, &why), 0);
	assert_true(p.csum_blank && p.data_validated);
	assert_int_equal(p.gso_type, XEN_NETIF_GSO_TYPE_TCPV6);
	assert_int_equal(p.gso_size, 1448);
	assert_int_equal(p.frags[0].ref, 100);
	assert_int_equal(p.frags[0].offset, 8);
	assert_int_equal(p.frags[0].bytes, 4000);
	assert_int_equal(p.frags[1].ref, 102);
	assert_int_equal(p.frags[1].offset, 16);
}

/* Every slot has an answer; an extra's says nothing. */
static void test_answers(void **state)
{
	const struct slot s[] = { { 'R', EXTRA | MORE, 5000, 0, 0 }, { 'G', 0, 1448, 0, 1 }, { 'R', 0, 1000, 0, 0 } };
	union net_tx_slot slots[3];
	struct net_tx_packet p;
	const char *why;

	for (uint32_t i = 0; i < 3; i++)
		slots[i] = make(&s[i], i);
	assert_int_equal(net_tx_parse(slots, 3, &p, &why), 0);
	assert_int_equal(net_tx_answer(&p, slots, 0, NETIF_RSP_ERROR).status, NETIF_RSP_ERROR);
	assert_int_equal(net_tx_answer(&p, slots, 0, NETIF_RSP_ERROR).id, 7);
	assert_int_equal(net_tx_answer(&p, slots, 1, NETIF_RSP_ERROR).status, NETIF_RSP_NULL);
	assert_int_equal(net_tx_answer(&p, slots, 2, NETIF_RSP_OKAY).status, NETIF_RSP_OKAY);
	assert_int_equal(net_tx_answer(&p, slots, 2, NETIF_RSP_OKAY).id, 9);
}

static void test_multicast(void **state)
{
	const struct slot s[] = { { 'R', EXTRA, 0, 0, 0 }, { 'D', 0, 0, 0, 0 } };
	union net_tx_slot slots[2] = { make(&s[0], 0), make(&s[1], 1) };
	struct net_tx_packet p;
	const char *why;

	assert_int_equal(net_tx_parse(slots, 2, &p, &why), 0);
	assert_int_equal(p.kind, NET_TX_MCAST_DEL);
	assert_int_equal(p.mac[5], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_multicast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

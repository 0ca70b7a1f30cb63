/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-net-front.c - a network front end's nodes, honest and hostile; rates; the multicast list. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "backend/net/net-front.h"
#include "backend/net/net-mcast.h"
#include "backend/net/net-rate.h"

struct tree {
	struct {
		const char *name, *value;
	} v[32];
	unsigned reads;
};

static int get(void *arg, const char *name, char *value, size_t bytes)
{
	struct tree *t = arg;

	t->reads++;
	for (size_t i = 0; i < ARRAY_SIZE(t->v) && t->v[i].name; i++) {
		if (strcmp(t->v[i].name, name) != 0 || !t->v[i].value)
			continue;
		if (strlen(t->v[i].value) >= bytes)
			return -EMSGSIZE;
		strcpy(value, t->v[i].value);
		return 0;
	}
	return -ENOENT;
}

static int parse(struct tree *t, struct front_params *p, char why[REASON_MAX])
{
	const struct node_getter g = { get, t };

	return net_front_parse(&g, 4, p, why);
}

#define LINUX                                                                                                     \
	{ "tx-ring-ref", "8" }, { "rx-ring-ref", "9" }, { "event-channel-tx", "5" }, { "event-channel-rx", "6" }, \
		{ "request-rx-copy", "1" }, { "feature-rx-notify", "1" }, { "feature-sg", "1" },                  \
		{ "feature-gso-tcpv4", "1" }, { "feature-gso-tcpv6", "1" },                                       \
	{                                                                                                         \
		"feature-ipv6-csum-offload", "1"                                                                  \
	}

static void test_linux(void **state)
{
	struct tree t = { .v = { LINUX } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.features, NET_F_ALL);
	assert_int_equal(p.wire.nr_queues, 1);
	assert_int_equal(p.wire.nr_rings, 2);
	assert_int_equal(p.wire.order, 0);
	assert_int_equal(p.wire.nr_ports, 2);
	assert_int_equal(p.wire.queue[0].refs[NET_RING_TX], 8);
	assert_int_equal(p.wire.queue[0].refs[NET_RING_RX], 9);
	assert_int_equal(p.remote_port[0][NET_RING_TX], 5);
	assert_int_equal(p.remote_port[0][NET_RING_RX], 6);
}

/* Missing: IPv4's checksum offload is on, all else is off. */
static void test_least(void **state)
{
	struct tree t = { .v = { { "tx-ring-ref", "8" },
				 { "rx-ring-ref", "9" },
				 { "event-channel", "5" },
				 { "request-rx-copy", "1" } } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.features, NET_F_CSUM4);
	assert_int_equal(p.wire.nr_ports, 1);
	t.v[4].name = "feature-no-csum-offload";
	t.v[4].value = "1";
	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.features, 0);
}

static void test_queues(void **state)
{
	struct tree t = { .v = { { "multi-queue-num-queues", "2" },
				 { "queue-0/tx-ring-ref", "1" },
				 { "queue-0/rx-ring-ref", "2" },
				 { "queue-0/event-channel", "3" },
				 { "queue-1/tx-ring-ref", "4" },
				 { "queue-1/rx-ring-ref", "5" },
				 { "queue-1/event-channel", "6" },
				 { "request-rx-copy", "1" } } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.nr_queues, 2);
	assert_int_equal(p.wire.queue[1].refs[NET_RING_RX], 5);
	assert_int_equal(p.remote_port[1][0], 6);
	/* one that is split and one that is not are a contradiction */
	t.v[3].name = "queue-0/event-channel-tx";
	t.v[8].name = "queue-0/event-channel-rx";
	t.v[8].value = "7";
	assert_int_equal(parse(&t, &p, why), -EINVAL);
	assert_non_null(strstr(why, "queue-1/event-channel-tx is missing"));
}

/* Windows writes the number always, also 1. */
static void test_one_queue_said(void **state)
{
	struct tree t = { .v = { LINUX, { "multi-queue-num-queues", "1" } } };
	struct tree below = { .v = { { "multi-queue-num-queues", "1" },
				     { "queue-0/tx-ring-ref", "1" },
				     { "queue-0/rx-ring-ref", "2" },
				     { "queue-0/event-channel", "3" },
				     { "request-rx-copy", "1" } } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(parse(&below, &p, why), 0);
	assert_int_equal(p.wire.queue[0].refs[0], 1);
}

static void test_refused(void **state)
{
	static const struct {
		const char *name, *value, *reason;
	} cases[] = {
		{ "request-rx-copy", NULL, "request-rx-copy" },
		{ "request-rx-copy", "0", "request-rx-copy" },
		{ "request-rx-copy", "2", "at most 1" },
		{ "request-rx-copy", "", "no number" },
		{ "feature-sg", "yes", "no number" },
		{ "feature-gso-tcpv4", "-1", "no number" },
		{ "feature-gso-tcpv6", "1 ", "no number" },
		{ "feature-no-csum-offload", "4294967297", "at most 1" },
		{ "feature-ipv6-csum-offload", "0x1", "no number" },
		{ "feature-rx-notify", "0000000000000000000000000000000000000000000000000000000000000000000001",
		  "longer" },
		{ "tx-ring-ref", "-8", "no number" },
		{ "rx-ring-ref", NULL, "rx-ring-ref is missing" },
		{ "rx-ring-ref", "4294967296", "at most" },
		{ "rx-ring-ref", "8", "two ring pages" },
		{ "event-channel-tx", "0", "no port" },
		{ "event-channel-tx", "131072", "at most" },
		{ "event-channel-rx", NULL, "event-channel-rx is missing" },
		{ "event-channel-rx", "5", "two queues or directions" },
		{ "event-channel-tx", NULL, "event-channel is missing" },
		{ "multi-queue-num-queues", "0", "is 0" },
		{ "multi-queue-num-queues", "5", "at most 4" },
		{ "multi-queue-num-queues", "1000000", "at most 4" },
		{ "multi-queue-num-queues", "99999999999999999999", "at most 4" },
		{ "multi-queue-num-queues", "2", "event-channel" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tree t = { .v = { LINUX } };
		struct front_params p;
		char why[REASON_MAX];
		size_t k = 0;
		int err;

		while (t.v[k].name && strcmp(t.v[k].name, cases[i].name) != 0)
			k++;
		t.v[k].name = cases[i].name;
		t.v[k].value = cases[i].value;
		err = parse(&t, &p, why);
		if (err != -EINVAL || (!strstr(why, cases[i].reason) && strcmp(cases[i].reason, "event-channel") != 0))
			fail_msg("%s = %s: %d, \"%s\", wanted \"%s\"", cases[i].name,
				 cases[i].value ? cases[i].value : "(none)", err, why, cases[i].reason);
		if (t.reads > 40)
			fail_msg("%s: %u reads", cases[i].name, t.reads);
	}
}

static void test_rate_text(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t bytes;
		uint32_t usec;
	} cases[] = {
		{ "62500,50000", 0, 62500, 50000 },
		{ "0,50000", 0, 0, 0 },
		{ "62500,0", 0, 0, 0 },
		{ "", -EINVAL, 0, 0 },
		{ ",", -EINVAL, 0, 0 },
		{ "1", -EINVAL, 0, 0 },
		{ "1,", -EINVAL, 0, 0 },
		{ ",1", -EINVAL, 0, 0 },
		{ "1,2,3", -EINVAL, 0, 0 },
		{ "1,2x", -EINVAL, 0, 0 },
		{ " 1,2", -EINVAL, 0, 0 },
		{ "-1,2", -EINVAL, 0, 0 },
		{ "1,-2", -EINVAL, 0, 0 },
		{ "0x10,2", -EINVAL, 0, 0 },
		{ "18446744073709551616,1", -EINVAL, 0, 0 },
		{ "18446744073709551615,1", -EINVAL, 0, 0 },
		{ "1,4294967296", -EINVAL, 0, 0 },
	};
	static const struct {
		const char *text;
		int rc;
		uint64_t bytes;
		uint32_t usec;
	} xl[] = {
		{ "10Mb/s", 0, 62500, 50000 },      { "10Mb/s@20ms", 0, 25000, 20000 },
		{ "1GB/s", 0, 50000000, 50000 },    { "100KB/s@1s", 0, 100000, 1000000 },
		{ "8b/s@1s", 0, 1, 1000000 },       { "0Mb/s", 0, 0, 0 },
		{ "62500,50000", 0, 62500, 50000 }, { "10", -EINVAL, 0, 0 },
		{ "Mb/s", -EINVAL, 0, 0 },          { "1.5Mb/s", -EINVAL, 0, 0 },
		{ "10Mb/s@", -EINVAL, 0, 0 },       { "10Mb/s@5", -EINVAL, 0, 0 },
		{ "10Mb/s@0ms", -EINVAL, 0, 0 },    { "10Mbs", -EINVAL, 0, 0 },
		{ "1b/s@1us", -EINVAL, 0, 0 },      { "10Mb/s@20ms@3ms", -EINVAL, 0, 0 },
	};
	uint64_t bytes;
	uint32_t usec;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bytes = usec = 0;
		if (net_rate_parse(cases[i].text, &bytes, &usec) != cases[i].rc || bytes != cases[i].bytes ||
		    usec != cases[i].usec)
			fail_msg("\"%s\": %llu,%u", cases[i].text, (unsigned long long)bytes, usec);
	}
	for (size_t i = 0; i < ARRAY_SIZE(xl); i++) {
		bytes = usec = 0;
		if (net_rate_parse_xl(xl[i].text, &bytes, &usec) != xl[i].rc || bytes != xl[i].bytes ||
		    usec != xl[i].usec)
			fail_msg("\"%s\": %llu,%u", xl[i].text, (unsigned long long)bytes, usec);
	}
}

/* What goes through in a second, packets of @packet, asked again when told to. */
static uint64_t second(struct net_rate *r, uint64_t from, uint32_t packet)
{
	uint64_t now = from, sent = 0, wait;

	while (now < from + 1000000000ull) {
		wait = net_rate_take(r, now, packet);
		if (wait == 0)
			sent += packet;
		else
			now += wait;
		assert_true(wait <= 1000000000ull);
	}
	return sent;
}

static void test_rate_bucket(void **state)
{
	struct net_rate r = { 0 };
	uint64_t sent;

	assert_int_equal(net_rate_take(&r, 1, 65535), 0); /* no limit */
	net_rate_set(&r, 62500, 50000, 1000);
	sent = second(&r, 1000, 1500); /* the burst, and 1.25 MB */
	assert_in_range(sent, 1250000, 1250000 + NET_RATE_BURST);
	sent = second(&r, 1000000001000ull, 1500); /* a long pause saves no more than the burst */
	assert_in_range(sent, 1250000, 1250000 + NET_RATE_BURST);
	net_rate_set(&r, 1, 1000, 0); /* slower than one packet a burst: each still goes in the end */
	assert_int_equal(net_rate_take(&r, 0, 65535), 0);
	assert_int_equal(net_rate_take(&r, 0, 65535), 0);
	assert_int_not_equal(net_rate_take(&r, 0, 65535), 0);
	net_rate_set(&r, UINT64_MAX, 1, 0); /* absurd: none */
	assert_int_equal(net_rate_take(&r, 0, 65535), 0);
	net_rate_set(&r, 1ull << 40, 1, 0);
	for (uint64_t now = 0; now < 1u << 20; now += 999)
		assert_int_equal(net_rate_take(&r, now, 65535), 0);
}

static void test_mcast(void **state)
{
	const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 }, one[6] = { 1, 0, 0x5e, 0, 0, 1 },
		      uni[6] = { 2, 0, 0, 0, 0, 1 };
	struct net_mcast m = { 0 };
	uint8_t mac[6] = { 1, 0, 0x5e, 0, 0, 0 };

	assert_true(net_mcast_is(one));
	assert_false(net_mcast_is(all));
	assert_false(net_mcast_is(uni));
	for (uint8_t i = 0; i < NET_MCAST_MAX; i++) {
		mac[5] = i;
		assert_int_equal(net_mcast_add(&m, mac), 0);
	}
	assert_int_equal(net_mcast_add(&m, mac), 0); /* again */
	mac[5] = NET_MCAST_MAX;
	assert_int_equal(net_mcast_add(&m, mac), -ENOSPC);
	assert_false(net_mcast_has(&m, mac));
	net_mcast_del(&m, one);
	net_mcast_del(&m, one);
	assert_int_equal(net_mcast_nr(&m), NET_MCAST_MAX - 1);
	assert_false(net_mcast_has(&m, one));
	assert_int_equal(net_mcast_add(&m, mac), 0);
	assert_true(net_mcast_has(&m, mac));
	mac[5] = NET_MCAST_MAX - 1;
	assert_true(net_mcast_has(&m, mac));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux),          cmocka_unit_test(test_least),   cmocka_unit_test(test_queues),
		cmocka_unit_test(test_one_queue_said), cmocka_unit_test(test_refused), cmocka_unit_test(test_rate_text),
		cmocka_unit_test(test_rate_bucket),    cmocka_unit_test(test_mcast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

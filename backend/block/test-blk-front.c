/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-blk-front.c - what a front end publishes: every node missing, empty, huge, negative, absurd. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "backend/block/blk-front.h"

#define MAX_NODES 64

struct tree {
	struct {
		const char *name, *value;
	} v[MAX_NODES];
	int fail; /* what each read fails with, if not 0 */
	unsigned reads;
};

static int get(void *arg, const char *name, char *value, size_t bytes)
{
	struct tree *t = arg;

	t->reads++;
	if (t->fail)
		return t->fail;
	for (int i = 0; i < MAX_NODES && t->v[i].name; i++) {
		if (strcmp(t->v[i].name, name) != 0)
			continue;
		if (strlen(t->v[i].value) >= bytes)
			return -EMSGSIZE;
		memcpy(value, t->v[i].value, strlen(t->v[i].value) + 1);
		return 0;
	}
	return -ENOENT;
}

static const struct blk_front_limits limits = { .max_queues = 4, .max_order = WIRE_MAX_ORDER, .persistent = true };

static int parse(struct tree *t, struct front_params *p, char why[REASON_MAX])
{
	const struct node_getter g = { .get = get, .arg = t };

	return blk_front_parse(&g, &limits, p, why);
}

/* A good front end with one node set to @value (NULL: removed). */
static struct tree with(const char *name, const char *value)
{
	struct tree t = { .v = { { "protocol", "x86_64-abi" },
				 { "ring-ref", "8" },
				 { "event-channel", "5" },
				 { "feature-persistent", "1" } } };
	int i;

	for (i = 0; t.v[i].name; i++)
		if (strcmp(t.v[i].name, name) == 0)
			break;
	if (value) {
		t.v[i].name = name;
		t.v[i].value = value;
		return t;
	}
	for (; t.v[i].name; i++)
		t.v[i] = t.v[i + 1];
	return t;
}

static void test_linux_one_ring(void **state)
{
	struct tree t = with("protocol", "x86_64-abi");
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.abi, BLK_ABI_X86_64);
	assert_int_equal(p.wire.features, BLK_F_PERSISTENT);
	assert_int_equal(p.wire.nr_queues, 1);
	assert_int_equal(p.wire.order, 0);
	assert_int_equal(p.wire.queue[0].refs[0], 8);
	assert_int_equal(p.remote_port[0][0], 5);
}

static void test_no_protocol_is_x86_32(void **state)
{
#if !defined(__x86_64__) && !defined(__i386__)
	skip();
#endif
	struct tree t = with("protocol", NULL);
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.abi, BLK_ABI_X86_32);
}

static void test_freebsd_names_pages_twice(void **state)
{
	struct tree t = { .v = { { "num-ring-pages", "4" },
				 { "ring-page-order", "2" },
				 { "ring-ref0", "1" },
				 { "ring-ref1", "2" },
				 { "ring-ref2", "3" },
				 { "ring-ref3", "4294967295" },
				 { "event-channel", "131071" } } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.order, 2);
	assert_int_equal(p.wire.queue[0].refs[3], UINT32_MAX);
	assert_int_equal(p.remote_port[0][0], 131071);
}

static void test_deprecated_pages_alone(void **state)
{
	struct tree t = {
		.v = { { "num-ring-pages", "2" }, { "ring-ref0", "1" }, { "ring-ref1", "2" }, { "event-channel", "3" } }
	};
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.order, 1);
}

static void test_order_0_with_either_name(void **state)
{
	struct tree a = { .v = { { "ring-page-order", "0" }, { "ring-ref0", "7" }, { "event-channel", "3" } } };
	struct tree b = { .v = { { "ring-page-order", "0" }, { "ring-ref", "7" }, { "event-channel", "3" } } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&a, &p, why), 0);
	assert_int_equal(p.wire.queue[0].refs[0], 7);
	assert_int_equal(parse(&b, &p, why), 0);
	assert_int_equal(p.wire.queue[0].refs[0], 7);
}

static void test_windows_says_one_queue_at_the_top(void **state)
{
	struct tree t = with("multi-queue-num-queues", "1");
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.nr_queues, 1);
	assert_int_equal(p.remote_port[0][0], 5);
}

static void test_one_queue_in_its_directory(void **state)
{
	struct tree t = { .v = { { "multi-queue-num-queues", "1" },
				 { "queue-0/ring-ref", "9" },
				 { "queue-0/event-channel", "6" } } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.queue[0].refs[0], 9);
	assert_int_equal(p.remote_port[0][0], 6);
}

static void test_several_queues(void **state)
{
	struct tree t = { .v = { { "multi-queue-num-queues", "2" },
				 { "ring-page-order", "1" },
				 { "queue-0/ring-ref0", "1" },
				 { "queue-0/ring-ref1", "2" },
				 { "queue-0/event-channel", "3" },
				 { "queue-1/ring-ref0", "4" },
				 { "queue-1/ring-ref1", "5" },
				 { "queue-1/event-channel", "6" } } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), 0);
	assert_int_equal(p.wire.nr_queues, 2);
	assert_int_equal(p.wire.queue[1].refs[1], 5);
	assert_int_equal(p.remote_port[1][0], 6);
}

static void test_refusals(void **state)
{
	static const char huge[] = "1111111111111111111111111111111111111111111111111111111111111111111111";
	static const struct {
		const char *name, *value, *reason;
	} cases[] = {
		{ "ring-ref", NULL, "ring-ref is missing" },
		{ "ring-ref", "", "no number" },
		{ "ring-ref", "-1", "no number" },
		{ "ring-ref", "1x", "no number" },
		{ "ring-ref", " 1", "no number" },
		{ "ring-ref", "0x8", "no number" },
		{ "ring-ref", "4294967296", "at most 4294967295" },
		{ "ring-ref", "99999999999999999999999", "at most" },
		{ "ring-ref", huge, "longer than any legal value" },
		{ "event-channel", NULL, "event-channel is missing" },
		{ "event-channel", "", "no number" },
		{ "event-channel", "-5", "no number" },
		{ "event-channel", "0", "no port" },
		{ "event-channel", "131072", "at most 131071" },
		{ "event-channel", huge, "longer" },
		{ "protocol", "", "unknown" },
		{ "protocol", "x86_64", "unknown" },
		{ "protocol", "x86_64-abi ", "unknown" },
		{ "protocol", "\x1b[31mred\n", "?[31mred?" },
		{ "protocol", huge, "longer" },
		{ "feature-persistent", "", "no number" },
		{ "feature-persistent", "2", "at most 1" },
		{ "feature-persistent", "yes", "no number" },
		{ "feature-persistent", "-1", "no number" },
		{ "ring-page-order", "", "no number" },
		{ "ring-page-order", "-1", "no number" },
		{ "ring-page-order", "1x", "no number" },
		{ "ring-page-order", "5", "at most 4" },
		{ "ring-page-order", "31", "at most 4" },
		{ "ring-page-order", "32", "at most 4" },
		{ "ring-page-order", "2147483648", "at most 4" },
		{ "ring-page-order", "18446744073709551616", "at most 4" },
		{ "ring-page-order", "4", "ring-ref0 is missing" },
		{ "num-ring-pages", "0", "no power of two" },
		{ "num-ring-pages", "3", "no power of two" },
		{ "num-ring-pages", "17", "at most 16" },
		{ "num-ring-pages", "1x", "no number" },
		{ "num-ring-pages", "2", "ring-ref0 is missing" },
		{ "multi-queue-num-queues", "", "no number" },
		{ "multi-queue-num-queues", "0", "is 0" },
		{ "multi-queue-num-queues", "-1", "no number" },
		{ "multi-queue-num-queues", "5", "at most 4" },
		{ "multi-queue-num-queues", "1000000", "at most 4" },
		{ "multi-queue-num-queues", "2", "queue-0/ring-ref is missing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tree t = with(cases[i].name, cases[i].value);
		char why[REASON_MAX];
		struct front_params p;
		int err = parse(&t, &p, why);

		if (err != -EINVAL || !strstr(why, cases[i].reason))
			fail_msg("%s = %s: %d, \"%s\", wanted \"%s\"", cases[i].name,
				 cases[i].value ? cases[i].value : "(none)", err, why, cases[i].reason);
		/* a bound that came too late would read on and on */
		if (t.reads > 40)
			fail_msg("%s = %s: %u reads", cases[i].name, cases[i].value ? cases[i].value : "(none)",
				 t.reads);
	}
}

static void test_contradictions(void **state)
{
	struct tree order = {
		.v = { { "ring-page-order", "1" }, { "num-ring-pages", "4" }, { "event-channel", "3" } }
	};
	struct tree grant = { .v = { { "ring-page-order", "1" },
				     { "ring-ref0", "4" },
				     { "ring-ref1", "4" },
				     { "event-channel", "3" } } };
	struct tree port = { .v = { { "multi-queue-num-queues", "2" },
				    { "queue-0/ring-ref", "1" },
				    { "queue-0/event-channel", "3" },
				    { "queue-1/ring-ref", "2" },
				    { "queue-1/event-channel", "3" } } };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&order, &p, why), -EINVAL);
	assert_non_null(strstr(why, "but ring-page-order"));
	assert_int_equal(parse(&grant, &p, why), -EINVAL);
	assert_non_null(strstr(why, "two ring pages"));
	assert_int_equal(parse(&port, &p, why), -EINVAL);
	assert_non_null(strstr(why, "two queues"));
}

static void test_nul_inside(void **state)
{
	struct tree t = { .fail = -EINVAL };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), -EINVAL);
	assert_non_null(strstr(why, "NUL"));
}

static void test_xenstore_fails(void **state)
{
	struct tree t = { .fail = -EIO };
	struct front_params p;
	char why[REASON_MAX];

	assert_int_equal(parse(&t, &p, why), -EIO);
	assert_non_null(strstr(why, "cannot read"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux_one_ring),
		cmocka_unit_test(test_no_protocol_is_x86_32),
		cmocka_unit_test(test_freebsd_names_pages_twice),
		cmocka_unit_test(test_deprecated_pages_alone),
		cmocka_unit_test(test_order_0_with_either_name),
		cmocka_unit_test(test_windows_says_one_queue_at_the_top),
		cmocka_unit_test(test_one_queue_in_its_directory),
		cmocka_unit_test(test_several_queues),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_nul_inside),
		cmocka_unit_test(test_xenstore_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

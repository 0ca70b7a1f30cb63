/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-net-pace.c - a stream is read in batches; what is no stream is not made to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backend/net/net-pace.h"

#define MS 1000000ull

/* A frame each @ns, for @ms milliseconds from @now on; the gap then. */
static uint32_t stream(struct net_pace *p, uint64_t *now, uint64_t ns, uint64_t ms)
{
	for (uint64_t end = *now + ms * MS; *now < end; *now += ns)
		net_pace_count(p, *now, 1);
	return p->gap_ns;
}

static void test_rates(void **state)
{
	struct net_pace p = { 0 };
	uint64_t now = 1000 * MS;

	assert_int_equal(stream(&p, &now, 100000, 10), 0);            /* 10000 frames/s */
	assert_int_equal(stream(&p, &now, PACE_SLOW_NS + 500, 5), 0); /* just no stream */
	assert_in_range(stream(&p, &now, 5000, 5), PACE_MAX_NS - 1000, PACE_MAX_NS);
	assert_in_range(stream(&p, &now, 2000, 5), 63000, 65000); /* 32 frames of 2 us */
	assert_in_range(stream(&p, &now, 1000, 5), 31000, 33000);
	assert_int_equal(stream(&p, &now, 400, 5), 0); /* so fast that going to sleep does not pay */
}

static void test_the_first_frame_does_not_wait(void **state)
{
	struct net_pace p = { 0 };

	net_pace_count(&p, 5000 * MS, 1);
	assert_int_equal(p.gap_ns, 0);
	/* Nor do 63 that came after a long time. */
	net_pace_count(&p, 6000 * MS, 63);
	assert_int_equal(p.gap_ns, 0);
}

static void test_the_end_of_a_stream_is_noticed(void **state)
{
	struct net_pace p = { 0 };
	uint64_t now = 1000 * MS;

	assert_true(stream(&p, &now, 2000, 5) > 0);
	/* Looked at each gap, and there is nothing: for two windows at most. */
	for (uint64_t end = now + 2 * PACE_WINDOW_NS; now < end; now += PACE_MAX_NS)
		net_pace_count(&p, now, 0);
	assert_int_equal(p.gap_ns, 0);
}

static void test_never_longer_than_the_limit(void **state)
{
	struct net_pace p = { 0 };
	uint64_t now = 1000 * MS;

	for (uint64_t ns = 100; ns < 20000; ns += 100)
		assert_true(stream(&p, &now, ns, 3) <= PACE_MAX_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_the_first_frame_does_not_wait),
		cmocka_unit_test(test_the_end_of_a_stream_is_noticed),
		cmocka_unit_test(test_never_longer_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

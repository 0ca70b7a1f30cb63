/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-pace.c - a back end that flaps is tried at most every five seconds, one that came back after a good life at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/core/pace.h"

#define MS 1000000u

static void the_first_try_is_made_at_once(void **state)
{
	struct pace p = { 0 };

	assert_int_equal(pace_next(&p, 7), 0);
}

static void tries_in_vain_become_rare(void **state)
{
	static const uint32_t ms[] = { 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000 };
	struct pace p = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(ms); i++)
		assert_int_equal(pace_next(&p, i), ms[i] * (uint64_t)MS);
}

static void short_lives_make_it_slower_and_a_long_one_makes_up_for_them(void **state)
{
	struct pace p = { 0 };
	uint64_t now = 1;

	for (int i = 0; i < 20; i++) {
		now += pace_next(&p, now);
		pace_connected(&p, now);
		now += PACE_LASTED_NS - 1;
		assert_false(pace_lasted(&p, now));
	}
	assert_int_equal(pace_next(&p, now), PACE_MOST_NS);
	pace_connected(&p, now);
	assert_true(pace_lasted(&p, now + PACE_LASTED_NS));
	assert_int_equal(pace_next(&p, now + PACE_LASTED_NS), 0);
	/* It counts once. */
	assert_int_equal(pace_next(&p, now + 2 * PACE_LASTED_NS), PACE_FIRST_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_try_is_made_at_once),
		cmocka_unit_test(tries_in_vain_become_rare),
		cmocka_unit_test(short_lives_make_it_slower_and_a_long_one_makes_up_for_them),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}

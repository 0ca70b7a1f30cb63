/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-poll.c - the busy-poll's window and budget, on a clock made of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/worker/poll.h"

static void zero_never_polls(void **state)
{
	struct poll_ctl p;

	poll_init(&p, 0, 1000);
	assert_int_equal(poll_window(&p, 5000), 0);
	poll_slept(&p, 1);
	assert_int_equal(poll_window(&p, 6000), 0);
}

static void looking_in_vain_ends_the_habit(void **state)
{
	struct poll_ctl p;
	uint64_t now = 0, spent = 0, w;

	poll_init(&p, 50000, 0);
	while ((w = poll_window(&p, now)) != 0) {
		now += w;
		spent += w;
		poll_miss(&p, w);
		assert_true(spent < 1000000);
	}
	assert_true(spent <= 100000); /* 50 + 25 + 12.5 .. us */
}

static void work_that_comes_soon_after_sleeping_brings_it_back(void **state)
{
	struct poll_ctl p;

	poll_init(&p, 50000, 0);
	for (int i = 0; i < 6; i++)
		poll_miss(&p, 0);
	assert_int_equal(poll_window(&p, 1000000), 0);
	poll_slept(&p, 30000);
	assert_true(poll_window(&p, 2000000) >= 30000);
	poll_slept(&p, 90000);
	assert_int_equal(poll_window(&p, 3000000), 50000); /* never beyond the limit */
}

static void work_that_comes_late_does_not(void **state)
{
	struct poll_ctl p;

	poll_init(&p, 50000, 0);
	for (int i = 0; i < 20; i++)
		poll_miss(&p, 0);
	poll_slept(&p, 5000000);
	assert_int_equal(poll_window(&p, 1000000), 0);
}

/* The worst guest: its work comes just after we gave up, so that looking seems to be worth it each time, and now and then just before. */
static void no_guest_makes_us_waste_more_than_the_share(void **state)
{
	struct poll_ctl p;
	uint64_t now = 0, wasted = 0;
	uint32_t looks = 0;

	poll_init(&p, 50000, 0);
	while (now < 10000000000ull) {
		uint64_t w = poll_window(&p, now);

		if (w && ++looks % POLL_VAIN == 0) {
			poll_hit(&p, w);
			now += w + 1000;
			continue;
		}
		if (w) {
			poll_miss(&p, w);
			wasted += w;
			now += w;
		}
		now += 1000;
		poll_slept(&p, w + 1000);
	}
	assert_true(wasted > 1000000000ull); /* it does try */
	assert_true(wasted <= (now * POLL_SHARE / 100) + POLL_BURST_NS);
}

/* What the guest does next takes it @work_ns of the CPU that we look on, or (@apart) of another.  For 10 s; what we wasted, hits. */
static uint64_t guest_works(struct poll_ctl *p, uint64_t *now, uint64_t work_ns, bool apart, uint32_t *hits,
			    uint32_t *turns)
{
	uint64_t end = *now + 10000000000ull, wasted = 0;

	*hits = *turns = 0;
	for (; *now < end; ++*turns) {
		uint64_t w = poll_window(p, *now), left = work_ns;

		if (w >= work_ns && apart) {
			poll_hit(p, work_ns);
			*now += work_ns;
			++*hits;
			continue;
		}
		if (w) {
			poll_miss(p, w);
			wasted += w;
			left -= apart ? w : 0;
		}
		*now += w + left;
		poll_slept(p, w + left);
	}
	return wasted;
}

static void a_guest_on_our_own_CPU_is_not_kept_from_it(void **state)
{
	static const uint64_t max[] = { 50000, 2000000 }, work[] = { 5000, 20000, 45000, 80000, 1000000 };

	for (size_t i = 0; i < ARRAY_SIZE(max); i++)
		for (size_t k = 0; k < ARRAY_SIZE(work); k++) {
			uint32_t hits, turns;
			uint64_t now = 0;
			struct poll_ctl p;

			poll_init(&p, max[i], 0);
			assert_true(guest_works(&p, &now, work[k], false, &hits, &turns) < 10000000000ull / 40);
		}
}

static void when_it_has_moved_to_another_that_is_found_out(void **state)
{
	uint32_t hits, turns;
	struct poll_ctl p;
	uint64_t now = 0;

	poll_init(&p, 50000, 0);
	(void)guest_works(&p, &now, 20000, false, &hits, &turns);
	(void)guest_works(&p, &now, 20000, true, &hits, &turns);
	assert_true(hits > 0 && turns - hits <= POLL_REST + 1);
	poll_init(&p, 50000, now); /* as if nothing had been before */
	(void)guest_works(&p, &now, 20000, true, &hits, &turns);
	assert_int_equal(hits, turns);
}

/* Work that comes at times of all lengths, most of them below the limit: looking goes on. */
static void a_guest_of_no_fixed_habits_is_still_looked_for(void **state)
{
	uint32_t hits = 0, rng = 1;
	struct poll_ctl p;
	uint64_t now = 0;

	poll_init(&p, 50000, 0);
	for (uint32_t i = 0; i < 100000; i++) {
		uint64_t w = poll_window(&p, now), t;

		rng = rng * 1664525 + 1013904223;
		t = 5000 + (rng >> 16) % 60000;
		now += t;
		if (w >= t) {
			poll_hit(&p, t);
			hits++;
			continue;
		}
		if (w)
			poll_miss(&p, w);
		poll_slept(&p, t);
	}

	assert_true(hits > 55000);
}

static void useful_looking_may_go_on_for_ever(void **state)
{
	struct poll_ctl p;
	uint64_t now = 0;

	poll_init(&p, 50000, 0);
	for (int i = 0; i < 1000000; i++) {
		assert_true(poll_window(&p, now) > 0);
		now += 25000;
		poll_hit(&p, 25000);
		now += 2000;
	}
}

/* Looking for another reason than that it pays: from the same budget, and the window does not hear of it. */
static void other_reasons_to_look_share_the_budget(void **state)
{
	struct poll_ctl p;
	uint64_t now = 0, spent = 0;

	poll_init(&p, 0, 0);
	assert_false(poll_affords(&p, 1000000000, 1)); /* never polls */
	poll_init(&p, 50000, 0);
	while (poll_affords(&p, now, 20000)) {
		poll_spent(&p, 20000);
		now += 20000;
		spent += 20000;
		assert_true(spent <= 2 * POLL_BURST_NS);
	}
	assert_true(spent > POLL_BURST_NS);
	now += 1000000;
	assert_int_equal(poll_window(&p, now), 50000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_never_polls),
		cmocka_unit_test(looking_in_vain_ends_the_habit),
		cmocka_unit_test(work_that_comes_soon_after_sleeping_brings_it_back),
		cmocka_unit_test(work_that_comes_late_does_not),
		cmocka_unit_test(no_guest_makes_us_waste_more_than_the_share),
		cmocka_unit_test(a_guest_on_our_own_CPU_is_not_kept_from_it),
		cmocka_unit_test(when_it_has_moved_to_another_that_is_found_out),
		cmocka_unit_test(a_guest_of_no_fixed_habits_is_still_looked_for),
		cmocka_unit_test(other_reasons_to_look_share_the_budget),
		cmocka_unit_test(useful_looking_may_go_on_for_ever),
	};

	return cmocka_run_group_tests_name("poll", tests, NULL, NULL);
}

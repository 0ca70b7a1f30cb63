/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-moderate.c - when an event is held back, on a clock made of numbers and with front ends made of rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/worker/moderate.h"

#define US 1000u

/*
 * A front end of a kernel: keeps @depth requests in flight, asks for an event at the next response, and posts again when
 * it was told.  The image answers one each @every ns.
 */
struct sim {
	struct moderate m;
	uint64_t now, every, longest, held_ns;
	uint32_t unseen, work, posted;
	uint64_t answers, events, holds;
};

static void told(struct sim *s, uint64_t since)
{
	if (since) {
		s->longest = MAX(s->longest, s->now - since);
		s->held_ns += s->now - since;
	}
	s->events++;
	s->work += s->unseen;
	s->posted += s->unseen;
	s->unseen = 0;
}

static void run(struct sim *s, uint32_t depth, uint64_t every, uint64_t answers)
{
	uint64_t since = 0, next = s->now + every;

	s->every = every;
	s->posted += depth - s->work;
	s->work = depth;
	for (answers += s->answers; s->answers < answers;) {
		struct moderate_load l;

		/* what comes first: the next answer, or the end of the hold */
		if (since && (s->work == 0 || s->m.until < next)) {
			s->now = s->m.until;
			next = MAX(next, s->now + every);
		} else {
			s->now = next;
			next += every;
			s->work--;
			s->unseen++;
			s->answers++;
		}
		l = (struct moderate_load){ s->unseen, s->work, s->posted };
		if (moderate_hold(&s->m, s->now, &l)) {
			assert_true(s->work == 0 || s->work > s->unseen); /* nothing to do, or more than to tell */
			assert_true(s->m.until > s->now);
			s->holds += since == 0;
			since = since ? since : s->now;
		} else {
			assert_int_equal(s->m.until, 0);
			told(s, since);
			since = 0;
		}
	}
	if (since)
		told(s, since);
	moderate_let_go(&s->m, s->posted);
}

static struct sim fresh(void)
{
	struct sim s = { .now = 1000000000 };

	moderate_init(&s.m, HOLD_NS, 16);
	return s;
}

static void slowness_is_what_a_call_takes_within_bounds(void **state)
{
	assert_int_equal(moderate_slowness(0), 1);
	assert_int_equal(moderate_slowness(120), 1);
	assert_int_equal(moderate_slowness(999), 1);
	assert_int_equal(moderate_slowness(5000), 10);
	assert_int_equal(moderate_slowness(20000), SLOWNESS_MAX);
	assert_int_equal(moderate_slowness(UINT64_MAX), SLOWNESS_MAX);
}

static void a_front_end_that_waits_for_its_answers_is_hardly_ever_held(void **state)
{
	for (uint32_t depth = 1; depth <= 2; depth++) {
		struct sim s = fresh();

		run(&s, 32, 2 * US, 10000); /* whatever was learnt before */
		s = (struct sim){ .m = s.m, .now = s.now };
		run(&s, depth, 2 * US, 100000);
		assert_true(s.holds <= 100000 / MODERATE_GAP_MAX + 16);
		assert_true(s.events >= 100000 - 16);
	}
}

/*
 * A front end that is the slow one: it posts a request each @think ns while fewer than @depth are out, answers come at
 * once, and an event lets it see them.  Returns how many events it took.
 */
static uint64_t slow_front(struct moderate *m, uint64_t *now, uint32_t depth, uint64_t think, uint64_t requests,
			   uint64_t *held)
{
	uint64_t next = *now + think, events = 0, since = 0;
	uint32_t out = 0, unseen = 0, posted = 0;

	for (*held = 0; requests > 0;) {
		struct moderate_load l;

		if (since && (out == depth || m->until < next)) {
			*now = m->until;
		} else {
			*now = next;
			next += think;
			out++, posted++, unseen++, requests--;
		}
		l = (struct moderate_load){ unseen, 0, posted };
		if (moderate_hold(m, *now, &l)) {
			*held += since == 0;
			since = since ? since : *now;
			assert_true(*now - since <= HOLD_NS);
			continue;
		}
		if (out == depth)
			next = MAX(next, *now + think);
		events++;
		out -= unseen;
		unseen = 0, since = 0;
	}
	return events;
}

static void a_slow_front_end_that_streams_gets_one_event_for_many(void **state)
{
	struct moderate m;
	uint64_t now = 1000000000, held;

	moderate_init(&m, HOLD_NS, 8);
	assert_true(slow_front(&m, &now, 32, 2 * US, 10000, &held) < 10000 / 5);
	moderate_init(&m, HOLD_NS, 8);
	assert_true(slow_front(&m, &now, 32, 9 * US, 10000, &held) < 10000 * 6 / 10); /* two fit */
	moderate_init(&m, HOLD_NS, 8);
	assert_true(slow_front(&m, &now, 4, 2 * US, 10000, &held) < 10000 / 3);
}

static void a_slow_front_end_of_depth_one_is_hardly_ever_held(void **state)
{
	struct moderate m;
	uint64_t now = 1000000000, held;

	moderate_init(&m, HOLD_NS, 8);
	(void)slow_front(&m, &now, 32, 2 * US, 10000, &held);
	assert_int_equal(slow_front(&m, &now, 1, 2 * US, 100000, &held), 100000);
	assert_true(held <= 100000 / MODERATE_GAP_MAX + 16);
}

static void no_time_is_no_hold(void **state)
{
	struct sim s = fresh();

	moderate_init(&s.m, 0, 16);
	run(&s, 32, 1 * US, 10000);
	assert_int_equal(s.holds, 0);
	moderate_init(&s.m, HOLD_NS, 1); /* a ring of two */
	run(&s, 32, 1 * US, 10000);
	assert_int_equal(s.holds, 0);
}

static void a_stream_gets_one_event_for_many(void **state)
{
	struct sim s = fresh();

	run(&s, 32, 2 * US, 10000);
	assert_true(s.events < 10000 / 5);
	assert_true(s.longest <= HOLD_NS);
	s = fresh();
	run(&s, 32, 500, 10000);
	assert_true(s.events < 10000 / 10);
	s = fresh();
	run(&s, 4, 2 * US, 10000); /* half of 4 */
	assert_true(s.events <= 10000 / 2 + 50);
}

static void no_response_waits_longer_than_the_bound(void **state)
{
	static const uint64_t every[] = { 300, 900, 3100, 7300, 19999, 20001, 170000 };
	struct sim s = fresh();

	for (uint32_t i = 0; i < ARRAY_SIZE(every); i++) {
		for (uint32_t depth = 3; depth <= 32; depth += 7)
			run(&s, depth, every[i], 5000);
		assert_true(s.longest <= HOLD_NS);
	}
	assert_true(s.longest > HOLD_NS / 2); /* some did wait */
}

/* Deep queue, slow image: each hold would be in vain. */
static void waiting_in_vain_becomes_rare(void **state)
{
	struct sim s = fresh();

	run(&s, 32, 100 * US, 20000);
	assert_int_equal(s.events, 20000);
	assert_true(s.holds > 0);
	assert_true(s.holds <= 20000 / MODERATE_GAP_MAX + 10);
}

static void it_is_tried_again_when_the_image_is_fast_again(void **state)
{
	struct sim s = fresh();

	run(&s, 32, 100 * US, 20000);
	s = (struct sim){ .m = s.m, .now = s.now };
	run(&s, 32, 2 * US, 20000);
	assert_true(s.events < 10000);
}

static bool ask(struct moderate *m, uint64_t now, uint32_t unseen, uint32_t work, uint32_t posted)
{
	struct moderate_load l = { unseen, work, posted };

	return moderate_hold(m, now, &l);
}

static void a_wait_in_vain_halves_the_batch(void **state)
{
	struct moderate m = { .max_ns = HOLD_NS, .max_batch = 16, .batch = 8, .gap = MODERATE_GAP_MIN };

	assert_true(ask(&m, 1000, 2, 20, 0));
	assert_int_equal(m.until, 1000 + HOLD_NS);
	assert_true(ask(&m, 1000 + HOLD_NS - 1, 2, 20, 5));
	assert_false(ask(&m, 1000 + HOLD_NS, 2, 20, 5));
	assert_int_equal(m.batch, 4);
	assert_int_equal(m.until, 0);
}

static void a_wait_that_brings_some_makes_the_batch_that_many(void **state)
{
	struct moderate m = { .max_ns = HOLD_NS, .max_batch = 16, .batch = 8, .gap = MODERATE_GAP_MIN };

	assert_true(ask(&m, 1000, 2, 20, 0));
	assert_false(ask(&m, 1000 + HOLD_NS, 5, 17, 0));
	assert_int_equal(m.batch, 5);
}

static void the_last_trial_failed_so_the_next_is_later(void **state)
{
	struct moderate m = { .max_ns = HOLD_NS, .max_batch = 16, .batch = 2, .gap = MODERATE_GAP_MIN };
	uint32_t sent = 0;

	assert_true(ask(&m, 0, 1, 20, 0));
	assert_false(ask(&m, HOLD_NS, 1, 20, 0));
	assert_int_equal(m.batch, 1);
	while (!ask(&m, HOLD_NS, 1, 20, sent + 1))
		sent++;
	assert_int_equal(sent, 2 * MODERATE_GAP_MIN + 1);
}

static void a_trial_that_fails_is_taken_back(void **state)
{
	struct moderate m = { .max_ns = HOLD_NS, .max_batch = 16, .batch = 4, .gap = MODERATE_GAP_MIN };

	assert_false(ask(&m, 0, 4, 0, 4)); /* all of them, and it posts: 5 is tried */
	assert_int_equal(m.batch, 5);
	assert_true(ask(&m, 0, 4, 0, 8));
	assert_false(ask(&m, HOLD_NS, 4, 0, 8));
	assert_int_equal(m.batch, 4);
	for (uint32_t i = 0; i < 2 * MODERATE_GAP_MIN; i++)
		assert_false(ask(&m, HOLD_NS, 4, 0, 12 + i));
	assert_int_equal(m.batch, 4);
	assert_false(ask(&m, HOLD_NS, 4, 0, 100));
	assert_int_equal(m.batch, 5);
}

static void who_runs_dry_is_told_at_once(void **state)
{
	struct moderate m = { .max_ns = HOLD_NS, .max_batch = 16, .batch = 16, .gap = MODERATE_GAP_MIN };

	assert_true(ask(&m, 0, 1, 3, 0));
	assert_false(ask(&m, 10, 2, 2, 0));
	assert_int_equal(m.batch, 16); /* the image was not slow */
}

static void who_does_not_post_gets_no_longer_batch(void **state)
{
	struct moderate m = { .max_ns = HOLD_NS, .max_batch = 16, .batch = 2, .gap = MODERATE_GAP_MIN, .posted = 7 };

	assert_false(ask(&m, 0, 2, 20, 7));
	assert_int_equal(m.batch, 2);
	assert_false(ask(&m, 0, 2, 20, 8));
	assert_int_equal(m.batch, 3);
}

static void letting_go_teaches_nothing(void **state)
{
	struct moderate m = { .max_ns = HOLD_NS, .max_batch = 16, .batch = 8, .gap = MODERATE_GAP_MIN };

	assert_true(ask(&m, 1000, 2, 20, 0));
	moderate_let_go(&m, 3);
	assert_int_equal(m.until, 0);
	assert_int_equal(m.batch, 8);
	assert_true(ask(&m, 50000, 2, 20, 3)); /* a hold of its own, with its own time */
	assert_int_equal(m.until, 50000 + HOLD_NS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(slowness_is_what_a_call_takes_within_bounds),
		cmocka_unit_test(a_front_end_that_waits_for_its_answers_is_hardly_ever_held),
		cmocka_unit_test(a_slow_front_end_that_streams_gets_one_event_for_many),
		cmocka_unit_test(a_slow_front_end_of_depth_one_is_hardly_ever_held),
		cmocka_unit_test(no_time_is_no_hold),
		cmocka_unit_test(a_stream_gets_one_event_for_many),
		cmocka_unit_test(no_response_waits_longer_than_the_bound),
		cmocka_unit_test(waiting_in_vain_becomes_rare),
		cmocka_unit_test(it_is_tried_again_when_the_image_is_fast_again),
		cmocka_unit_test(a_wait_in_vain_halves_the_batch),
		cmocka_unit_test(a_wait_that_brings_some_makes_the_batch_that_many),
		cmocka_unit_test(the_last_trial_failed_so_the_next_is_later),
		cmocka_unit_test(a_trial_that_fails_is_taken_back),
		cmocka_unit_test(who_runs_dry_is_told_at_once),
		cmocka_unit_test(who_does_not_post_gets_no_longer_batch),
		cmocka_unit_test(letting_go_teaches_nothing),
	};

	return cmocka_run_group_tests_name("moderate", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-xenbus.c - stories of real front ends, and properties that hold in every cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "common/xenbus/xenbus.h"

/* Feed events, note what the table asks for: "3>connecting:connect 4>connected:write4 ..." */
struct story {
	enum back_state state;
	char told[1024];
};

static void feed(struct story *s, enum back_event e)
{
	struct back_step t = back_step(s->state, e);
	size_t n = strlen(s->told);

	s->state = t.next;
	n += (size_t)snprintf(s->told + n, sizeof(s->told) - n, "%s", back_state_name(t.next));
	if (t.todo & BACK_DO_CONNECT)
		n += (size_t)snprintf(s->told + n, sizeof(s->told) - n, "+connect");
	if (t.todo & BACK_DO_DISCONNECT)
		n += (size_t)snprintf(s->told + n, sizeof(s->told) - n, "+disconnect");
	if (t.todo & BACK_DO_WRITE)
		n += (size_t)snprintf(s->told + n, sizeof(s->told) - n, "+write%u", t.xenbus);
	if (t.todo & BACK_DO_ERROR)
		n += (size_t)snprintf(s->told + n, sizeof(s->told) - n, "+error");
	if (t.todo & BACK_DO_REMOVE)
		n += (size_t)snprintf(s->told + n, sizeof(s->told) - n, "+remove");
	snprintf(s->told + n, sizeof(s->told) - n, " ");
}

static void tells(const enum back_event *events, unsigned nr, const char *expect)
{
	struct story s = { .state = BACK_INITWAIT };

	for (unsigned i = 0; i < nr; i++)
		feed(&s, events[i]);
	assert_string_equal(s.told, expect);
}
#define STORY(expect, ...)                                                 \
	do {                                                               \
		static const enum back_event ev[] = { __VA_ARGS__ };       \
		tells(ev, (unsigned)(sizeof(ev) / sizeof(ev[0])), expect); \
	} while (0)

static void linux_connects_and_leaves(void **state)
{
	STORY("initwait connecting+connect connected+write4 connected closing+disconnect half+write5 closed+write6 "
	      "initwait+write2 ",
	      BACK_EV_FRONT_INITIALISING, BACK_EV_FRONT_INITIALISED, BACK_EV_CONNECTED, BACK_EV_FRONT_CONNECTED,
	      BACK_EV_FRONT_CLOSING, BACK_EV_DRAINED, BACK_EV_FRONT_CLOSED, BACK_EV_FRONT_INITIALISING);
}

static void windows_closes_before_it_connects(void **state)
{
	STORY("closing+disconnect half+write5 closed+write6 initwait+write2 connecting+connect connected+write4 ",
	      BACK_EV_FRONT_CLOSING, BACK_EV_DRAINED, BACK_EV_FRONT_CLOSED, BACK_EV_FRONT_INITIALISING,
	      BACK_EV_FRONT_INITIALISED, BACK_EV_CONNECTED);
}

static void grub_says_closed_at_once(void **state)
{
	STORY("connecting+connect connected+write4 finishing+disconnect closed+write6 initwait+write2 ",
	      BACK_EV_FRONT_INITIALISED, BACK_EV_CONNECTED, BACK_EV_FRONT_CLOSED, BACK_EV_DRAINED,
	      BACK_EV_FRONT_INITIALISING);
}

static void mini_os_skips_initialised(void **state)
{
	STORY("connecting+connect connected+write4 ", BACK_EV_FRONT_CONNECTED, BACK_EV_CONNECTED);
}

static void toolstack_detaches_a_linux_guest(void **state)
{
	STORY("connecting+connect connected+write4 detaching+write5 removing+disconnect removed+write6+remove ",
	      BACK_EV_FRONT_INITIALISED, BACK_EV_CONNECTED, BACK_EV_DETACH, BACK_EV_FRONT_CLOSED, BACK_EV_DRAINED);
}

static void guest_crashes_and_starts_again(void **state)
{
	STORY("connecting+connect connected+write4 resetting+disconnect initwait+write2 ", BACK_EV_FRONT_INITIALISED,
	      BACK_EV_CONNECTED, BACK_EV_FRONT_INITIALISING, BACK_EV_DRAINED);
}

static void bad_parameters_are_told_and_not_tried_again(void **state)
{
	STORY("connecting+connect failing+disconnect+error failed+write5 failed closed+write6 initwait+write2 ",
	      BACK_EV_FRONT_INITIALISED, BACK_EV_REFUSED, BACK_EV_DRAINED, BACK_EV_FRONT_INITIALISED,
	      BACK_EV_FRONT_CLOSED, BACK_EV_FRONT_INITIALISING);
}

static bool drains(enum back_state s)
{
	return s == BACK_CLOSING || s == BACK_FAILING || s == BACK_FINISHING || s == BACK_RESETTING ||
	       s == BACK_REMOVING;
}

#define EVERY_CELL(s, e)                              \
	for (unsigned s = 0; s < BACK_NR_STATES; s++) \
		for (unsigned e = 0; e < BACK_NR_EVENTS; e++)

static void state_one_is_never_written(void **state)
{
	EVERY_CELL(s, e)
	{
		struct back_step t = back_step((enum back_state)s, (enum back_event)e);

		if (t.todo & BACK_DO_WRITE)
			assert_in_range(t.xenbus, XenbusStateInitWait, XenbusStateClosed);
	}
}

/* What was mapped is let go of before anything says so. */
static void nothing_connected_is_left_without_draining(void **state)
{
	EVERY_CELL(s, e)
	{
		struct back_step t = back_step((enum back_state)s, (enum back_event)e);
		bool served = s == BACK_CONNECTING || s == BACK_CONNECTED || s == BACK_DETACHING;
		bool still = t.next == BACK_CONNECTING || t.next == BACK_CONNECTED || t.next == BACK_DETACHING;

		if (served && !still) {
			assert_true(drains(t.next));
			assert_true(t.todo & BACK_DO_DISCONNECT);
		}
		if (drains((enum back_state)s) && !drains(t.next))
			assert_true(e == BACK_EV_DRAINED || e == BACK_EV_LOST);
	}
}

static void force_always_leads_to_removal(void **state)
{
	for (unsigned s = 0; s < BACK_NR_STATES; s++) {
		struct story st = { .state = (enum back_state)s };

		feed(&st, BACK_EV_FORCE);
		feed(&st, BACK_EV_DRAINED);
		assert_int_equal(st.state, BACK_REMOVED);
	}
}

static void removed_stays_removed(void **state)
{
	for (unsigned e = 0; e < BACK_NR_EVENTS; e++)
		assert_int_equal(back_step(BACK_REMOVED, (enum back_event)e).next, BACK_REMOVED);
}

/* Whatever a front end did before, starting afresh gets it to InitWait again. */
static void fresh_start_reaches_initwait_from_anywhere(void **state)
{
	for (unsigned s = 0; s < BACK_NR_STATES; s++) {
		struct story st = { .state = (enum back_state)s };

		if (s == BACK_DETACHING || s == BACK_REMOVING || s == BACK_REMOVED)
			continue;
		feed(&st, BACK_EV_FRONT_INITIALISING);
		feed(&st, BACK_EV_DRAINED);
		assert_int_equal(st.state, BACK_INITWAIT);
	}
}

static void front_survives_any_back_end(void **state)
{
	for (unsigned s = 0; s < FRONT_NR_STATES; s++)
		for (unsigned e = 0; e < FRONT_NR_EVENTS; e++) {
			struct front_step t = front_step((enum front_state)s, (enum front_event)e);

			assert_in_range(t.next, 0, FRONT_NR_STATES - 1);
			if (t.todo & FRONT_DO_WRITE)
				assert_in_range(t.xenbus, XenbusStateInitialised, XenbusStateClosed);
			/* rings are released exactly when the state is left for good */
			if ((t.next == FRONT_CLOSED || t.next == FRONT_DEAD) && t.next != s)
				assert_true(t.todo & FRONT_DO_RELEASE);
			/* back to the start by our own wish alone, whatever it says; and never with rings of the life before */
			if (t.next == FRONT_WAITING && s != FRONT_WAITING) {
				assert_int_equal(e, FRONT_EV_AGAIN);
				assert_true(t.todo & FRONT_DO_RELEASE);
			}
		}
}

static void front_begins_again_from_anywhere(void **state)
{
	for (unsigned s = 0; s < FRONT_NR_STATES; s++) {
		struct front_step t = front_step((enum front_state)s, FRONT_EV_AGAIN);

		assert_int_equal(t.next, FRONT_WAITING);
		assert_false(t.todo & (FRONT_DO_PUBLISH | FRONT_DO_WRITE | FRONT_DO_CONNECT));
	}
}

/* Whatever it says that is not "your rings are served": the connection is over. */
static void connected_front_knows_when_it_is_forgotten(void **state)
{
	static const enum front_event over[] = { FRONT_EV_BACK_UNKNOWN, FRONT_EV_BACK_INITIALISING,
						 FRONT_EV_BACK_INITWAIT, FRONT_EV_BACK_CLOSED, FRONT_EV_FATAL };

	for (unsigned e = 0; e < FRONT_NR_EVENTS; e++) {
		bool dead = front_step(FRONT_CONNECTED, (enum front_event)e).next == FRONT_DEAD, want = false;

		for (unsigned i = 0; i < ARRAY_SIZE(over); i++)
			want = want || e == over[i];
		assert_int_equal(dead, want);
	}
	/* A network interface is Connected on its side while the back end still is in InitWait. */
	assert_int_equal(front_step(FRONT_PUBLISHED, FRONT_EV_BACK_INITWAIT).next, FRONT_PUBLISHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linux_connects_and_leaves),
		cmocka_unit_test(windows_closes_before_it_connects),
		cmocka_unit_test(grub_says_closed_at_once),
		cmocka_unit_test(mini_os_skips_initialised),
		cmocka_unit_test(toolstack_detaches_a_linux_guest),
		cmocka_unit_test(guest_crashes_and_starts_again),
		cmocka_unit_test(bad_parameters_are_told_and_not_tried_again),
		cmocka_unit_test(state_one_is_never_written),
		cmocka_unit_test(nothing_connected_is_left_without_draining),
		cmocka_unit_test(force_always_leads_to_removal),
		cmocka_unit_test(removed_stays_removed),
		cmocka_unit_test(fresh_start_reaches_initwait_from_anywhere),
		cmocka_unit_test(front_survives_any_back_end),
		cmocka_unit_test(front_begins_again_from_anywhere),
		cmocka_unit_test(connected_front_knows_when_it_is_forgotten),
	};

	return cmocka_run_group_tests_name("xenbus", tests, NULL, NULL);
}

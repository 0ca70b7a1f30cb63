/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-ring.c - what the ring promises, with both ends in one process and with a peer that lies. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "common/ring/ring.h"

#define ENT 112u
#define RSP 16u

struct raw { /* xen/io/ring.h, as the peer sees it */
	uint32_t req_prod, req_event, rsp_prod, rsp_event;
};

static _Alignas(4096) uint8_t page[4 * 4096];
static struct ring_back back;
static struct ring_front front;

static struct raw *raw(void)
{
	return (struct raw *)(void *)page;
}

static int fresh(void **state)
{
	assert_int_equal(ring_front_init(&front, page, 4096, ENT, RSP), 0);
	assert_int_equal(ring_back_attach(&back, page, 4096, ENT, RSP), 0);
	return 0;
}

/* Where it does not matter whether the peer sleeps. */
static void push_requests(void)
{
	if (ring_front_push(&front))
		return;
}

static void push_responses(void)
{
	if (ring_back_push(&back))
		return;
}

static void put(uint64_t id)
{
	uint8_t req[ENT] = { 0 };

	memcpy(req, &id, 8);
	ring_front_put(&front, req, ENT);
}

static uint64_t take(void)
{
	uint8_t copy[ENT];
	uint64_t id;

	ring_back_take(&back, copy);
	memcpy(&id, copy, 8);
	return id;
}

static void entries_round_down_to_a_power_of_two(void **state)
{
	assert_int_equal(ring_entries(4096, 112), 32);
	assert_int_equal(ring_entries(4096, 108), 32);
	assert_int_equal(ring_entries(16 * 4096, 112), 512);
	assert_int_equal(ring_entries(4096, 12), 256);
	assert_int_equal(ring_entries(64, 112), 0);
	assert_int_equal(ring_entries(4096, 0), 0);
}

static void impossible_sizes_are_refused(void **state)
{
	struct ring_back b;

	assert_int_equal(ring_back_attach(&b, page, 4096, 200, RSP), -EINVAL);
	assert_int_equal(ring_back_attach(&b, page, 4096, 110, RSP), -EINVAL);
	assert_int_equal(ring_back_attach(&b, page, 4096, 112, 116), -EINVAL);
	assert_int_equal(ring_back_attach(&b, page, 100, 112, RSP), -EINVAL);
}

static void requests_arrive_in_order(void **state)
{
	for (uint64_t i = 0; i < 5; i++)
		put(100 + i);
	assert_int_equal(ring_back_pending(&back), 0); /* not pushed yet */
	assert_true(ring_front_push(&front));
	assert_int_equal(ring_back_pending(&back), 5);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(take(), 100 + i);
	assert_int_equal(ring_back_pending(&back), 0);
	assert_int_equal(ring_back_inflight(&back), 5);
}

static void full_ring_is_served_every_time(void **state)
{
	for (int turn = 0; turn < 10; turn++) {
		uint8_t rsp[RSP] = { 1 };

		for (uint64_t i = 0; i < 32; i++)
			put(i);
		assert_int_equal(ring_front_free(&front), 0);
		push_requests();
		assert_int_equal(ring_back_pending(&back), 32);
		for (uint64_t i = 0; i < 32; i++)
			assert_int_equal(take(), i);
		for (int i = 0; i < 32; i++)
			ring_back_put(&back, rsp, RSP);
		push_responses();
		assert_int_equal(ring_front_pending(&front), 32);
		for (int i = 0; i < 32; i++)
			ring_front_take(&front, rsp);
	}
}

static void indices_wrap_round_32_bits(void **state)
{
	raw()->req_prod = raw()->rsp_prod = UINT32_MAX - 3;
	front.req_prod = front.rsp_cons = UINT32_MAX - 3;
	assert_int_equal(ring_back_attach(&back, page, 4096, ENT, RSP), 0);
	for (uint64_t i = 0; i < 8; i++)
		put(i);
	push_requests();
	assert_int_equal(ring_back_pending(&back), 8);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(take(), i);
}

/* XSA-39, XSA-86: every jump a front end can make. */
static void producer_that_jumps_is_refused(void **state)
{
	static const uint32_t jumps[] = { 33, 34, 1u << 31, UINT32_MAX, UINT32_MAX - 31, 1000 };

	for (unsigned i = 0; i < ARRAY_SIZE(jumps); i++) {
		fresh(NULL);
		raw()->req_prod = jumps[i];
		assert_int_equal(ring_back_pending(&back), -EPROTO);
		assert_int_equal(ring_back_arm(&back), -EPROTO);
	}
	fresh(NULL);
	raw()->req_prod = 32;
	assert_int_equal(ring_back_pending(&back), 32);
}

static void producer_that_goes_backwards_is_refused(void **state)
{
	for (uint64_t i = 0; i < 10; i++)
		put(i);
	push_requests();
	for (int i = 0; i < 10; i++)
		take();
	raw()->req_prod = 9;
	assert_int_equal(ring_back_pending(&back), -EPROTO);
}

static void producer_ahead_of_unanswered_requests_is_refused(void **state)
{
	for (uint64_t i = 0; i < 32; i++)
		put(i);
	push_requests();
	for (int i = 0; i < 32; i++)
		take();
	raw()->req_prod = 33; /* its slot still holds an unanswered request */
	assert_int_equal(ring_back_pending(&back), -EPROTO);
}

static void attach_to_an_overfull_ring_is_refused(void **state)
{
	raw()->rsp_prod = 7;
	raw()->req_prod = 7 + 33;
	assert_int_equal(ring_back_attach(&back, page, 4096, ENT, RSP), -EPROTO);
	raw()->req_prod = 7 + 32;
	assert_int_equal(ring_back_attach(&back, page, 4096, ENT, RSP), 0);
	assert_int_equal(ring_back_pending(&back), 32);
}

/* XSA-216: no byte of ours, nor an old one of theirs, stays in a response slot. */
static void response_slot_is_written_whole(void **state)
{
	uint8_t rsp[11];

	memset(rsp, 0x11, sizeof(rsp));
	memset(page + 64, 0xee, 112);
	ring_back_put(&back, rsp, sizeof(rsp));
	for (int i = 0; i < 11; i++)
		assert_int_equal(page[64 + i], 0x11);
	for (int i = 11; i < 16; i++)
		assert_int_equal(page[64 + i], 0);
	assert_int_equal(page[64 + 16], 0xee);
}

static void notify_only_when_asked(void **state)
{
	uint8_t rsp[RSP] = { 0 };

	put(0);
	assert_true(ring_front_push(&front)); /* req_event starts at 1 */
	put(1);
	assert_false(ring_front_push(&front));
	take();
	take();
	assert_int_equal(ring_back_arm(&back), 0);
	put(2);
	assert_true(ring_front_push(&front));
	assert_int_equal(ring_back_arm(&back), 1);
	take();
	for (int i = 0; i < 3; i++)
		ring_back_put(&back, rsp, RSP);
	assert_true(ring_back_push(&back)); /* rsp_event 1 lies in (0, 3] */
	assert_false(ring_back_push(&back));
}

static void front_can_ask_for_fewer_events(void **state)
{
	uint8_t rsp[RSP] = { 0 };

	for (uint64_t i = 0; i < 8; i++)
		put(i);
	push_requests();
	for (int i = 0; i < 8; i++)
		take();
	assert_int_equal(ring_front_arm(&front, 4), 0);
	for (int i = 0; i < 3; i++) {
		ring_back_put(&back, rsp, RSP);
		assert_false(ring_back_push(&back));
	}
	ring_back_put(&back, rsp, RSP);
	assert_true(ring_back_push(&back));
}

/* @n requests there and back, told or not. */
static void answer(int n)
{
	uint8_t rsp[RSP] = { 0 };

	for (int i = 0; i < n; i++)
		put(0);
	push_requests();
	for (int i = 0; i < n; i++)
		take();
	for (int i = 0; i < n; i++)
		ring_back_put(&back, rsp, RSP);
	ring_back_publish(&back);
}

static void see(int n)
{
	uint8_t rsp[RSP];

	assert_int_equal(ring_front_pending(&front), n);
	for (int i = 0; i < n; i++)
		ring_front_take(&front, rsp);
	assert_int_equal(ring_front_arm(&front, 1), 0);
}

static void an_event_not_sent_is_asked_for_until_it_is(void **state)
{
	answer(2); /* rsp_event is 1 */
	assert_true(ring_back_asked(&back));
	answer(3); /* in (2, 5] they have asked for nothing, in (0, 5] they have */
	assert_int_equal(ring_back_unseen(&back), 5);
	assert_true(ring_back_asked(&back));
	ring_back_told(&back);
	assert_int_equal(ring_back_unseen(&back), 0);
	assert_false(ring_back_asked(&back));
}

static void an_event_not_sent_lapses_when_they_have_looked(void **state)
{
	answer(4);
	assert_true(ring_back_asked(&back));
	see(4);
	assert_false(ring_back_asked(&back));
	answer(1);
	assert_true(ring_back_asked(&back));
}

static void what_was_placed_is_not_published_by_asking(void **state)
{
	uint8_t rsp[RSP] = { 0 };

	put(0);
	push_requests();
	take();
	ring_back_put(&back, rsp, RSP);
	assert_int_equal(raw()->rsp_prod, 0);
	assert_int_equal(ring_back_unseen(&back), 1);
	ring_back_publish(&back);
	assert_int_equal(raw()->rsp_prod, 1);
}

static void from(uint32_t index)
{
	raw()->req_prod = raw()->rsp_prod = index;
	raw()->req_event = raw()->rsp_event = index + 1;
	front.req_prod = front.rsp_cons = index;
	assert_int_equal(ring_back_attach(&back, page, 4096, ENT, RSP), 0);
}

/* Everywhere around the wrap: an event is asked for from the response they named on, and not before it. */
static void asking_survives_the_wrap(void **state)
{
	for (uint32_t before = 0; before < 12; before++)
		for (uint32_t more = 1; more <= 8; more++) {
			fresh(NULL);
			from(0 - before);
			assert_int_equal(ring_back_unseen(&back), 0);
			assert_int_equal(ring_front_arm(&front, more), 0);
			for (uint32_t i = 1; i <= 10; i++) {
				answer(1);
				assert_int_equal(ring_back_unseen(&back), i);
				assert_int_equal(ring_back_asked(&back), i >= more);
			}
			see(10);
			assert_false(ring_back_asked(&back));
			ring_back_told(&back);
			assert_int_equal(ring_back_unseen(&back), 0);
			answer(1);
			assert_true(ring_back_asked(&back));
		}
}

/* A page that says anything: asking is a yes or a no, and what was told stays told. */
static void a_wild_rsp_event_is_harmless(void **state)
{
	static const uint32_t wild[] = { 0, 6, 1u << 31, UINT32_MAX, UINT32_MAX - 3 };

	answer(5);
	for (uint32_t i = 0; i < ARRAY_SIZE(wild); i++) {
		raw()->rsp_event = wild[i];
		assert_false(ring_back_asked(&back));
	}
	raw()->rsp_event = 5;
	assert_true(ring_back_asked(&back));
	ring_back_told(&back);
	for (uint32_t i = 0; i < ARRAY_SIZE(wild); i++) {
		raw()->rsp_event = wild[i];
		assert_false(ring_back_asked(&back));
	}
}

static void what_was_not_looked_at_is_unread(void **state)
{
	answer(10);
	assert_int_equal(ring_back_unread(&back, 10), 10);
	see(10);
	assert_int_equal(ring_back_unread(&back, 10), 0);
	answer(4);
	assert_int_equal(ring_back_unread(&back, 14), 4);
	raw()->rsp_event = 14; /* an event at the last one will do */
	assert_int_equal(ring_back_unread(&back, 14), 1);
	raw()->rsp_event = 16;
	assert_int_equal(ring_back_unread(&back, 14), 0);
	raw()->rsp_event = 0xf0000000u;
	assert_int_equal(ring_back_unread(&back, 14), 32);
}

/* The front end's view of a back end that lies. */
static void response_producer_beyond_what_was_asked_is_refused(void **state)
{
	put(0);
	push_requests();
	raw()->rsp_prod = 2;
	assert_int_equal(ring_front_pending(&front), -EPROTO);
	raw()->rsp_prod = UINT32_MAX;
	assert_int_equal(ring_front_pending(&front), -EPROTO);
	raw()->rsp_prod = 1;
	assert_int_equal(ring_front_pending(&front), 1);
}

/* XSA-155: while a peer rewrites the slot, what we took stays what it was. */
static volatile int stop_flipping; /* an int: gcc with -fsanitize=bool reads a volatile bool once and for all */

static void *flip(void *arg)
{
	volatile uint64_t *w = (volatile uint64_t *)(void *)(page + 64);

	while (!stop_flipping)
		*w = ~*w;
	return NULL;
}

static void copy_does_not_change_after_it_was_taken(void **state)
{
	pthread_t t;

	stop_flipping = 0;
	assert_int_equal(pthread_create(&t, NULL, flip, NULL), 0);
	for (int i = 0; i < 20000; i++) {
		uint8_t copy[ENT];
		uint64_t first, again;

		back.req_cons = 0;
		ring_back_take(&back, copy);
		memcpy(&first, copy, 8);
		assert_true(first == 0 || first == UINT64_MAX); /* whole words, no mixture */
		for (volatile int spin = 0; spin < 20; spin++)
			;
		memcpy(&again, copy, 8);
		assert_true(first == again);
	}
	stop_flipping = 1;
	pthread_join(t, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(entries_round_down_to_a_power_of_two, fresh),
		cmocka_unit_test_setup(impossible_sizes_are_refused, fresh),
		cmocka_unit_test_setup(requests_arrive_in_order, fresh),
		cmocka_unit_test_setup(full_ring_is_served_every_time, fresh),
		cmocka_unit_test_setup(indices_wrap_round_32_bits, fresh),
		cmocka_unit_test_setup(producer_that_jumps_is_refused, fresh),
		cmocka_unit_test_setup(producer_that_goes_backwards_is_refused, fresh),
		cmocka_unit_test_setup(producer_ahead_of_unanswered_requests_is_refused, fresh),
		cmocka_unit_test_setup(attach_to_an_overfull_ring_is_refused, fresh),
		cmocka_unit_test_setup(response_slot_is_written_whole, fresh),
		cmocka_unit_test_setup(notify_only_when_asked, fresh),
		cmocka_unit_test_setup(front_can_ask_for_fewer_events, fresh),
		cmocka_unit_test_setup(an_event_not_sent_is_asked_for_until_it_is, fresh),
		cmocka_unit_test_setup(an_event_not_sent_lapses_when_they_have_looked, fresh),
		cmocka_unit_test_setup(what_was_placed_is_not_published_by_asking, fresh),
		cmocka_unit_test_setup(asking_survives_the_wrap, fresh),
		cmocka_unit_test_setup(a_wild_rsp_event_is_harmless, fresh),
		cmocka_unit_test_setup(what_was_not_looked_at_is_unread, fresh),
		cmocka_unit_test_setup(response_producer_beyond_what_was_asked_is_refused, fresh),
		cmocka_unit_test_setup(copy_does_not_change_after_it_was_taken, fresh),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}

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
		cmocka_unit_test_setup(response_producer_beyond_what_was_asked_is_refused, fresh),
		cmocka_unit_test_setup(copy_does_not_change_after_it_was_taken, fresh),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}

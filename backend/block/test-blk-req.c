/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-blk-req.c - the request table: states, order of flushes and barriers, one response each, status codes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/block/blk-req.h"

static struct blk_table t;

static int make(void **state)
{
	return blk_table_init(&t, 8);
}

static int unmake(void **state)
{
	blk_table_fini(&t);
	blk_table_fini(&t); /* idempotent */
	return 0;
}

static struct blk_slot *take(enum blk_kind kind, uint16_t nr_segs, uint64_t id)
{
	struct blk_slot *s;

	assert_true(blk_table_open(&t));
	s = blk_table_take(&t, 1);
	s->req = (struct blk_req){ .id = id, .kind = (uint8_t)kind, .nr_segs = nr_segs, .op = BLKIF_OP_READ };
	blk_slot_parsed(&t, s);
	return s;
}

static int16_t answer(struct blk_slot *s, uint64_t id)
{
	struct blk_rsp rsp;
	uint64_t got;
	int16_t status;

	s->state = BLK_DONE;
	rsp = blk_table_answer(&t, s);
	memcpy(&got, rsp.bytes, 8);
	memcpy(&status, rsp.bytes + 10, 2);
	assert_int_equal(got, id);
	return status;
}

/* A successor takes the places its predecessor used, in any order, and then whatever is left. */
static void given_places_are_taken_first(void **state)
{
	static const uint32_t places[] = { 5, 0, 7, 2 };
	bool used[8] = { false };

	for (uint32_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct blk_slot *s = blk_table_take_at(&t, places[i], 1);

		assert_int_equal(s->index, places[i]);
		assert_int_equal(s->state, BLK_PARSED);
		used[s->index] = true;
	}
	assert_int_equal(blk_table_inflight(&t), 4);
	while (blk_table_open(&t)) {
		struct blk_slot *s = take(BLK_READ, 1, 0);

		assert_false(used[s->index]);
		used[s->index] = true;
	}
	for (uint32_t i = 0; i < 8; i++)
		assert_true(used[i]);
}

static void as_many_as_the_ring_holds_and_no_more(void **state)
{
	struct blk_slot *s[8];

	for (uint32_t i = 0; i < 8; i++)
		s[i] = take(BLK_READ, 1, i);
	assert_false(blk_table_open(&t));
	assert_int_equal(blk_table_inflight(&t), 8);
	for (uint32_t i = 8; i-- > 0;)
		assert_int_equal(answer(s[i], i), BLKIF_RSP_OKAY);
	assert_int_equal(blk_table_inflight(&t), 0);
}

static void steps(enum blk_kind kind, uint16_t nr_segs, const char *want)
{
	static const char letter[] = { 'r', 'w', 'f', 'd', 's' };
	struct blk_slot *s = take(kind, nr_segs, 1);
	char got[8] = "";

	for (uint32_t n = 0; blk_slot_next_step(s); n++)
		got[n] = letter[s->io.op];
	assert_string_equal(got, want);
	answer(s, 1);
}

static void each_kind_has_its_steps(void **state)
{
	steps(BLK_READ, 1, "r");
	steps(BLK_WRITE, 1, "w");
	steps(BLK_DISCARD, 0, "d");
	steps(BLK_FLUSH, 0, "f");
	steps(BLK_FLUSH, 1, "fw");
	steps(BLK_BARRIER, 0, "f");
	steps(BLK_BARRIER, 1, "fwf");
}

static void a_secure_discard_stays_secure(void **state)
{
	struct blk_slot *s = take(BLK_DISCARD, 0, 1);

	s->req.secure = true;
	assert_true(blk_slot_next_step(s));
	assert_int_equal(s->io.op, STORE_SECURE_DISCARD);
	answer(s, 1);
}

static void an_error_ends_a_request_and_the_first_sticks(void **state)
{
	struct blk_slot *s = take(BLK_BARRIER, 1, 1);

	assert_true(blk_slot_next_step(s));
	blk_slot_fail(s, -EIO);
	blk_slot_fail(s, -EOPNOTSUPP);
	assert_false(blk_slot_next_step(s)); /* its data is not written behind a failed flush */
	assert_int_equal(answer(s, 1), BLKIF_RSP_ERROR);
}

static void a_barrier_waits_for_all_before_it_and_holds_all_after_it(void **state)
{
	struct blk_slot *w = take(BLK_WRITE, 1, 1), *b = take(BLK_BARRIER, 1, 2);

	assert_false(blk_table_open(&t));
	assert_false(blk_slot_may_start(&t, b));
	assert_true(blk_slot_may_start(&t, w));
	answer(w, 1);
	assert_true(blk_slot_may_start(&t, b));
	assert_false(blk_table_open(&t));
	answer(b, 2);
	assert_true(blk_table_open(&t));
}

static void a_flush_waits_for_nothing_and_holds_up_nothing(void **state)
{
	struct blk_slot *w = take(BLK_WRITE, 1, 1), *f = take(BLK_FLUSH, 0, 2);

	assert_true(blk_slot_may_start(&t, f));
	assert_true(blk_table_open(&t));
	answer(f, 2);
	answer(w, 1);
}

static void indirect_requests_do_not_share_their_segments(void **state)
{
	struct blk_slot *s[8];

	for (uint32_t i = 0; i < 8; i++) {
		s[i] = take(BLK_READ, 256, i);
		s[i]->req.indirect = true;
		blk_slot_parsed(&t, s[i]);
		for (uint32_t k = 0; k < BLK_MAX_SEGS; k++) {
			s[i]->segs[k].gref = i * 1000 + k;
			s[i]->iov[k].iov_len = i * 1000 + k;
			s[i]->pages[k] = (uint16_t)(i * 1000 + k);
		}
	}
	for (uint32_t i = 0; i < 8; i++) {
		for (uint32_t k = 0; k < BLK_MAX_SEGS; k++) {
			assert_int_equal(s[i]->segs[k].gref, i * 1000 + k);
			assert_int_equal(s[i]->iov[k].iov_len, i * 1000 + k);
			assert_int_equal(s[i]->pages[k], i * 1000 + k);
		}
		answer(s[i], i);
	}
	blk_table_idle(&t);
}

static void errors_become_protocol_status_in_one_place(void **state)
{
	assert_int_equal(blk_status(0), BLKIF_RSP_OKAY);
	assert_int_equal(blk_status(-EOPNOTSUPP), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(blk_status(-EIO), BLKIF_RSP_ERROR);
	assert_int_equal(blk_status(-ENOSPC), BLKIF_RSP_ERROR);
	assert_int_equal(blk_status(-EROFS), BLKIF_RSP_ERROR);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, unmake)
	static const struct CMUnitTest tests[] = {
		T(given_places_are_taken_first),
		T(as_many_as_the_ring_holds_and_no_more),
		T(each_kind_has_its_steps),
		T(a_secure_discard_stays_secure),
		T(an_error_ends_a_request_and_the_first_sticks),
		T(a_barrier_waits_for_all_before_it_and_holds_all_after_it),
		T(a_flush_waits_for_nothing_and_holds_up_nothing),
		T(indirect_requests_do_not_share_their_segments),
		T(errors_become_protocol_status_in_one_place),
	};

	return cmocka_run_group_tests_name("blk-req", tests, NULL, NULL);
}

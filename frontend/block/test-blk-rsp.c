/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-blk-rsp.c - which responses of a back end are accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include "frontend/block/blk-rsp.h"

#define NR 32u

static struct blk_flight flight;

static int setup(void **state)
{
	return blk_flight_again(&flight, NR);
}

static int teardown(void **state)
{
	blk_flight_fini(&flight);
	return 0;
}

static enum blk_rsp_fault answer(uint64_t id, uint8_t op, int16_t status, struct blk_rsp *ret)
{
	uint8_t bytes[BLK_RSP_BYTES];
	struct blkif_response r;

	/* What is in the padding does not matter. */
	memset(&r, 0xa5, sizeof(r));
	r.id = id;
	r.operation = op;
	r.status = status;
	memcpy(bytes, &r, sizeof(r));
	return blk_rsp_accept(&flight, bytes, ret);
}

static void answer_to_each_request_is_accepted_once(void **state)
{
	struct blk_rsp r;
	uint64_t id[NR];
	uint32_t slot[NR];

	for (uint32_t i = 0; i < NR; i++)
		slot[i] = blk_flight_take(&flight, BLKIF_OP_READ, &id[i]);
	for (uint32_t i = NR; i-- > 0;) {
		assert_int_equal(answer(id[i], BLKIF_OP_READ, BLKIF_RSP_OKAY, &r), BLK_RSP_OK);
		assert_int_equal(r.slot, slot[i]);
		assert_int_equal(r.status, 0);
	}
	assert_int_equal(flight.used, 0);
	for (uint32_t i = 0; i < NR; i++)
		assert_int_equal(answer(id[i], BLKIF_OP_READ, BLKIF_RSP_OKAY, &r), BLK_RSP_NOT_INFLIGHT);
}

static void ids_of_a_full_table_are_all_different(void **state)
{
	uint64_t id[NR], more;

	for (uint32_t i = 0; i < NR; i++) {
		assert_int_not_equal(blk_flight_take(&flight, BLKIF_OP_WRITE, &id[i]), BLK_RSP_NONE);
		for (uint32_t k = 0; k < i; k++)
			assert_true(id[i] != id[k]);
	}
	assert_int_equal(blk_flight_take(&flight, BLKIF_OP_WRITE, &more), BLK_RSP_NONE);
}

static void id_out_of_range_is_refused(void **state)
{
	static const uint32_t slots[] = { NR, NR + 1, 255, 65535, 0x7fffffff, 0x80000000, 0xffffffff };
	struct blk_rsp r = { .slot = 77 };
	uint64_t id;

	(void)blk_flight_take(&flight, BLKIF_OP_READ, &id);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++)
		assert_int_equal(answer(slots[i], BLKIF_OP_READ, 0, &r), BLK_RSP_BAD_ID);
	assert_int_equal(r.slot, 77);
	assert_int_equal(flight.used, 1);
}

static void id_of_no_request_is_refused(void **state)
{
	struct blk_rsp r;
	uint64_t id;

	(void)blk_flight_take(&flight, BLKIF_OP_READ, &id);
	for (uint32_t slot = 0; slot < NR; slot++)
		if (slot != (uint32_t)id)
			assert_int_equal(answer(slot, BLKIF_OP_READ, 0, &r), BLK_RSP_NOT_INFLIGHT);
}

static void second_answer_is_refused_when_its_slot_serves_another_request(void **state)
{
	struct blk_rsp r;
	uint64_t old, new;

	(void)blk_flight_take(&flight, BLKIF_OP_READ, &old);
	assert_int_equal(answer(old, BLKIF_OP_READ, 0, &r), BLK_RSP_OK);
	(void)blk_flight_take(&flight, BLKIF_OP_READ, &new);
	assert_int_equal((uint32_t)old, (uint32_t) new);
	assert_int_equal(answer(old, BLKIF_OP_READ, 0, &r), BLK_RSP_NOT_INFLIGHT);
	assert_int_equal(answer(new, BLKIF_OP_READ, 0, &r), BLK_RSP_OK);
}

/* The back end went away with requests, and another ring, of whatever size, begins with as many. */
static void ids_of_the_life_before_are_none(void **state)
{
	static const uint32_t sizes[] = { NR, NR / 2, 1, NR * 2, NR };
	uint64_t old[NR * 2], new[NR * 2];
	uint32_t before = 3;
	struct blk_rsp r;

	for (uint32_t i = 0; i < before; i++)
		(void)blk_flight_take(&flight, BLKIF_OP_READ, &old[i]);
	/* One slot has been used more often than the others. */
	assert_int_equal(answer(old[1], BLKIF_OP_READ, 0, &r), BLK_RSP_OK);
	(void)blk_flight_take(&flight, BLKIF_OP_READ, &old[1]);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		assert_int_equal(blk_flight_again(&flight, sizes[s]), 0);
		assert_int_equal(flight.used, 0);
		for (uint32_t i = 0; i < sizes[s]; i++) {
			assert_int_not_equal(blk_flight_take(&flight, BLKIF_OP_READ, &new[i]), BLK_RSP_NONE);
			for (uint32_t k = 0; k < before; k++)
				assert_int_not_equal(answer(old[k], BLKIF_OP_READ, 0, &r), BLK_RSP_OK);
		}
		before = sizes[s];
		memcpy(old, new, before * sizeof(new[0]));
		assert_int_equal(blk_flight_take(&flight, BLKIF_OP_READ, &new[0]), BLK_RSP_NONE);
	}
}

static void id_with_other_high_bits_is_refused(void **state)
{
	struct blk_rsp r;
	uint64_t id;

	(void)blk_flight_take(&flight, BLKIF_OP_READ, &id);
	for (int bit = 32; bit < 64; bit++)
		assert_int_equal(answer(id ^ (uint64_t)1 << bit, BLKIF_OP_READ, 0, &r), BLK_RSP_NOT_INFLIGHT);
}

static void other_operation_is_refused(void **state)
{
	struct blk_rsp r;
	uint64_t id;

	(void)blk_flight_take(&flight, BLKIF_OP_WRITE, &id);
	for (int op = 0; op < 256; op++)
		if (op != BLKIF_OP_WRITE)
			assert_int_equal(answer(id, (uint8_t)op, 0, &r), BLK_RSP_WRONG_OP);
	/* The request is still in flight: a refused answer changed nothing. */
	assert_int_equal(answer(id, BLKIF_OP_WRITE, 0, &r), BLK_RSP_OK);
}

static void op_that_marks_an_idle_slot_answers_nothing(void **state)
{
	struct blk_rsp r;

	for (uint32_t slot = 0; slot < NR; slot++) {
		uint64_t id = (uint64_t)flight.slot[slot].gen << 32 | slot; /* of its next request */

		assert_int_equal(answer(id, BLK_RSP_IDLE, 0, &r), BLK_RSP_NOT_INFLIGHT);
	}
}

static void status_becomes_errno(void **state)
{
	static const struct {
		int16_t wire;
		int err;
	} cases[] = { { 0, 0 },     { -1, -EIO },     { -2, -EOPNOTSUPP }, { 1, -EIO },
		      { -3, -EIO }, { 0x7fff, -EIO }, { -0x8000, -EIO } };
	struct blk_rsp r;
	uint64_t id;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		(void)blk_flight_take(&flight, BLKIF_OP_READ, &id);
		assert_int_equal(answer(id, BLKIF_OP_READ, cases[i].wire, &r), BLK_RSP_OK);
		assert_int_equal(r.status, cases[i].err);
	}
}

static void dropped_request_is_not_answered(void **state)
{
	struct blk_rsp r;
	uint64_t id;
	uint32_t slot = blk_flight_take(&flight, BLKIF_OP_READ, &id);

	blk_flight_drop(&flight, slot);
	assert_int_equal(answer(id, BLKIF_OP_READ, 0, &r), BLK_RSP_NOT_INFLIGHT);
}

/* Random answers among random requests: what is accepted is exactly what a plain list of ids says is in flight. */
static void random_answers_agree_with_a_list(void **state)
{
	uint64_t id[NR], rng = 88172645463325252u;
	uint32_t nr = 0;
	struct blk_rsp r;

	for (int i = 0; i < 200000; i++) {
		uint64_t try;
		uint32_t k;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		if (rng & 1 && nr < NR) {
			assert_int_not_equal(blk_flight_take(&flight, (uint8_t)BLKIF_OP_READ, &id[nr]), BLK_RSP_NONE);
			nr++;
			continue;
		}
		try = nr && rng & 2 ? id[(rng >> 8) % nr] : (rng >> 40 & 15) << 32 | (rng >> 8 & 63);
		for (k = 0; k < nr && id[k] != try;)
			k++;
		assert_int_equal(answer(try, BLKIF_OP_READ, 0, &r) == BLK_RSP_OK, k < nr);
		if (k < nr)
			id[k] = id[--nr];
		assert_int_equal(flight.used, nr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answer_to_each_request_is_accepted_once, setup, teardown),
		cmocka_unit_test_setup_teardown(ids_of_a_full_table_are_all_different, setup, teardown),
		cmocka_unit_test_setup_teardown(id_out_of_range_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(id_of_no_request_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(second_answer_is_refused_when_its_slot_serves_another_request, setup,
						teardown),
		cmocka_unit_test_setup_teardown(ids_of_the_life_before_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(id_with_other_high_bits_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(other_operation_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(op_that_marks_an_idle_slot_answers_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(status_becomes_errno, setup, teardown),
		cmocka_unit_test_setup_teardown(dropped_request_is_not_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(random_answers_agree_with_a_list, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

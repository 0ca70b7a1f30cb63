/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-blk-journal.c - what a journal says of requests that were under way.  (Taking, completing, recovering: tests/model,
 * tests/fuzz/fuzz-blk-journal.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/block/blk-journal.h"

static const struct wire_connect two_rings = {
	.abi = BLK_ABI_NATIVE, .nr_queues = 2, .order = 0, .nr_rings = 1, .nr_ports = 1
};
static void *part;
static struct blk_journal_queue *queue[2];

static int make(void **state)
{
	part = calloc(1, blk_journal_bytes(&two_rings));
	for (uint32_t i = 0; part && i < 2; i++) {
		queue[i] = blk_journal_queue(part, &two_rings, i);
		blk_journal_format(queue[i], 32, 5);
	}
	return part ? 0 : -1;
}

static int unmake(void **state)
{
	free(part);
	return 0;
}

static bool unanswered(void)
{
	return blk_journal_unanswered(part, &two_rings);
}

static void only_what_is_in_flight_is_unanswered(void **state)
{
	uint8_t request[BLK_SLOT_MAX] = { 1 };

	for (uint32_t i = 0; i < 2; i++)
		for (uint32_t slot = 0; slot < 32; slot += 31) {
			assert_false(unanswered());
			blk_journal_take(queue[i], slot, 1, request, 112);
			assert_true(unanswered());
			blk_journal_base(queue[i], queue[i]->req_cons - 1);
			blk_journal_done(queue[i], slot, 0, queue[i]->req_cons - 1);
			assert_false(unanswered()); /* its I/O is over, whoever was told */
			blk_journal_free(queue[i], slot);
		}
	assert_false(unanswered());
}

static void what_is_damaged_may_have_been_under_way(void **state)
{
	queue[1]->slot[31].state = 1;
	assert_true(unanswered());
}

static void a_claim_is_of_the_request_that_was_taken_with_it(void **state)
{
	uint8_t request[BLK_SLOT_MAX] = { 1 };
	struct blk_journal_queue *q = queue[0];
	uint16_t stale;

	blk_journal_take(q, 3, 1, request, 112);
	assert_int_equal(blk_journal_claim(q, 3), BLK_J_WAITS);
	blk_journal_claimed(q, 3);
	assert_int_equal(blk_journal_claim(q, 3), BLK_J_CLAIMED);
	blk_journal_claimed(q, 3);
	assert_int_equal(blk_journal_claim(q, 3), BLK_J_CLAIMED);
	stale = q->slot[3].claim;
	blk_journal_take(q, 3, 1, request, 112); /* the same, at another place in the ring */
	assert_int_equal(blk_journal_claim(q, 3), BLK_J_WAITS);
	/* A program that knows of no claims leaves what it finds. */
	q->slot[3].claim = stale;
	assert_int_equal(blk_journal_claim(q, 3), BLK_J_UNKNOWN);
	q->slot[3].claim = 0;
	assert_int_equal(blk_journal_claim(q, 3), BLK_J_UNKNOWN);
}

/* Programs of before know it, and go on from it: no version is theirs alone. */
static void a_journal_with_claims_is_one_for_who_knows_of_none(void **state)
{
	uint8_t request[BLK_SLOT_MAX] = { 1 };
	struct blk_journal_slot was;

	blk_journal_take(queue[0], 3, 1, request, 112);
	was = queue[0]->slot[3];
	blk_journal_claimed(queue[0], 3);
	was.claim = queue[0]->slot[3].claim;
	assert_memory_equal(&was, &queue[0]->slot[3], sizeof(was)); /* nothing else of it, and not its check */
	assert_int_equal(offsetof(struct blk_journal_slot, claim), 30);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_is_in_flight_is_unanswered, make, unmake),
		cmocka_unit_test_setup_teardown(a_claim_is_of_the_request_that_was_taken_with_it, make, unmake),
		cmocka_unit_test_setup_teardown(a_journal_with_claims_is_one_for_who_knows_of_none, make, unmake),
		cmocka_unit_test_setup_teardown(what_is_damaged_may_have_been_under_way, make, unmake),
	};

	return cmocka_run_group_tests_name("blk-journal", tests, NULL, NULL);
}

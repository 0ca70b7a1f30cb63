/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-blk-verify.c - the blocks that --verify writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "frontend/block/blk-verify.h"

static void verify_tells_each_kind_of_wrong_data(void **state)
{
	uint8_t a[VERIFY_UNIT], b[VERIFY_UNIT];

	verify_fill(a, 8192, 7, 1);
	assert_int_equal(verify_check(a, 8192, 7, 1), VERIFY_OK);
	assert_int_equal(verify_check(a, 8192, 0, 99), VERIFY_OK);
	assert_int_equal(verify_check(a, 4096, 7, 1), VERIFY_OFFSET);
	assert_int_equal(verify_check(a, 8192, 8, 1), VERIFY_STALE);
	assert_int_equal(verify_check(a, 8192, 7, 2), VERIFY_STALE);
	memset(b, 0, sizeof(b));
	assert_int_equal(verify_check(b, 8192, 0, 1), VERIFY_FOREIGN);
	assert_int_equal(verify_check(b, 8192, 7, 1), VERIFY_CORRUPT);
}

static void verify_sees_every_flipped_bit(void **state)
{
	uint8_t a[VERIFY_UNIT];

	verify_fill(a, 1u << 30, 3, 5);
	for (uint32_t bit = 0; bit < VERIFY_UNIT * 8; bit++) {
		a[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(verify_check(a, 1u << 30, 3, 5), VERIFY_OK);
		a[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verify_tells_each_kind_of_wrong_data),
		cmocka_unit_test(verify_sees_every_flipped_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

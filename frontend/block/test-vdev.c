/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-vdev.c - names of virtual disks, and the blocks that --verify writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include "frontend/block/blk-verify.h"
#include "frontend/block/vdev.h"

static const struct {
	const char *name;
	uint32_t vdev;
} known[] = {
	{ "xvda", 51712 },
	{ "xvda1", 51713 },
	{ "xvdb", 51728 },
	{ "xvdp15", 51967 },
	{ "xvdq", 1u << 28 | 4096 },
	{ "xvdaa", 1u << 28 | 26 << 8 },
	{ "xvda16", 1u << 28 | 16 },
	{ "hda", 768 },
	{ "hdb1", 833 },
	{ "hdc", 5632 },
	{ "hdd", 5696 },
	{ "sda", 2048 },
	{ "sdp15", 2303 },
	{ "xvdzz", 1u << 28 | 701 << 8 },
};

static void name_and_number_agree(void **state)
{
	char name[VDEV_NAME_MAX];
	uint32_t vdev;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		assert_int_equal(vdev_parse(known[i].name, &vdev), 0);
		assert_int_equal(vdev, known[i].vdev);
		assert_string_equal(vdev_name(known[i].vdev, name), known[i].name);
	}
}

static void number_of_no_disk_is_its_own_name(void **state)
{
	static const uint32_t numbers[] = { 0, 1, 767, 896, 5760, 1u << 29, 1u << 31, UINT32_MAX };
	char name[VDEV_NAME_MAX], text[16];

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		snprintf(text, sizeof(text), "%u", numbers[i]);
		assert_string_equal(vdev_name(numbers[i], name), text);
	}
}

static void numbers_and_d_names_are_read_too(void **state)
{
	uint32_t vdev;

	assert_int_equal(vdev_parse("51712", &vdev), 0);
	assert_int_equal(vdev, 51712);
	assert_int_equal(vdev_parse("d0", &vdev), 0);
	assert_int_equal(vdev, 51712);
	assert_int_equal(vdev_parse("d1p2", &vdev), 0);
	assert_int_equal(vdev, 51730);
	assert_int_equal(vdev_parse("d536", &vdev), 0);
	assert_int_equal(vdev, 1u << 28 | 536u << 8);
}

static void nonsense_is_no_name(void **state)
{
	static const char *const bad[] = { "",        "xvd",         "xvd1",     "xvda0",      "xvda01", "xvdA",
					   "xvda256", "xvdaaaaaaaa", "hde",      "hda64",      "sdq",    "sda16",
					   "-1",      "51712x",      "0x10",     "4294967296", "d",      "dp1",
					   "d1p",     "d1p256",      "d1048576", "eth0",       " xvda",  "xvda " };
	uint32_t vdev;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(vdev_parse(bad[i], &vdev), -EINVAL);
}

static void every_number_has_a_name_that_fits_and_reads_back(void **state)
{
	char name[VDEV_NAME_MAX];
	uint32_t vdev, n = 1;

	for (int i = 0; i < 200000; i++) {
		n = n * 1664525 + 1013904223;
		vdev_name(n, name);
		assert_true(strlen(name) < VDEV_NAME_MAX);
		assert_int_equal(vdev_parse(name, &vdev), 0);
		/* Low disks written in the extended form are known by their short number. */
		if (!(n >> 28 == 1 && (n >> 8 & 0xfffff) < 16 && (n & 0xff) < 16))
			assert_int_equal(vdev, n);
	}
}

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
		cmocka_unit_test(name_and_number_agree),
		cmocka_unit_test(number_of_no_disk_is_its_own_name),
		cmocka_unit_test(numbers_and_d_names_are_read_too),
		cmocka_unit_test(nonsense_is_no_name),
		cmocka_unit_test(every_number_has_a_name_that_fits_and_reads_back),
		cmocka_unit_test(verify_tells_each_kind_of_wrong_data),
		cmocka_unit_test(verify_sees_every_flipped_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

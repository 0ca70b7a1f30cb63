/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-vdev.c - names of virtual disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include "common/xen/vdev.h"

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
	{ "hdd63", 5759 },
	{ "xvdzz", 1u << 28 | 701 << 8 },
	{ "xvdaaa", 1u << 28 | 702 << 8 },
	{ "xvdzzz255", 1u << 28 | 18277 << 8 | 255 },
};

static void name_and_number_agree(void **state)
{
	char name[VDEV_NAME_MAX];
	uint32_t vdev;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		assert_int_equal(vdev_parse(known[i].name, &vdev), 0);
		assert_int_equal(vdev, known[i].vdev);
		vdev_name(known[i].vdev, name);
		assert_string_equal(name, known[i].name);
	}
}

static void number_of_no_disk_is_its_own_name(void **state)
{
	static const uint32_t numbers[] = {
		0, 1, 767, 896, 5760, 1u << 28 | 18278 << 8, 1u << 29, 1u << 31, UINT32_MAX
	};
	char name[VDEV_NAME_MAX], text[16];

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		snprintf(text, sizeof(text), "%u", numbers[i]);
		vdev_name(numbers[i], name);
		assert_string_equal(name, text);
	}
}

static void numbers_are_read_too(void **state)
{
	uint32_t vdev;

	assert_int_equal(vdev_parse("51712", &vdev), 0);
	assert_int_equal(vdev, 51712);
	assert_int_equal(vdev_parse("536870911", &vdev), 0);
	assert_int_equal(vdev, VDEV_MAX);
}

static void nonsense_is_no_name(void **state)
{
	static const char *const bad[] = { "",      "x",      "s",    "sd",        "xvd",        "xvd1",
					   "xvda0", "xvda01", "xvdA", "xvda256",   "xvdaaaa",    "xvdaaaaaaaa",
					   "hde",   "hda64",  "sdq",  "sda16",     "vda",        "-1",
					   "1x",    "51712x", "0x10", "536870912", "4294967296", "99999999999",
					   "d0",    "d1p2",   "eth0", " xvda",     "xvda ",      "xvda/.." };
	uint32_t vdev = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (vdev_parse(bad[i], &vdev) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(vdev, 7);
}

static void disks_are_counted_to_the_last_name(void **state)
{
	char name[VDEV_NAME_MAX];
	uint32_t vdev, again, n = 0;

	for (; vdev_nth(n, &vdev) == 0; n++) {
		vdev_name(vdev, name);
		assert_int_equal(vdev_parse(name, &again), 0);
		assert_int_equal(again, vdev);
	}
	assert_string_equal(name, "xvdzzz");
	assert_int_equal(vdev_nth(n, &vdev), -ENOENT);
}

static void every_number_has_a_name_that_fits_and_reads_back(void **state)
{
	char name[VDEV_NAME_MAX];
	uint32_t vdev, n = 1;

	for (int i = 0; i < 200000; i++) {
		n = n * 1664525 + 1013904223;
		vdev_name(n, name);
		assert_true(strlen(name) < VDEV_NAME_MAX);
		assert_int_equal(vdev_parse(name, &vdev), n > VDEV_MAX ? -EINVAL : 0);
		if (n > VDEV_MAX)
			continue;
		/* Low disks written in the extended form are known by their short number. */
		if (!(n >> 28 == 1 && (n >> 8 & 0xfffff) < 16 && (n & 0xff) < 16))
			assert_int_equal(vdev, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_and_number_agree),
		cmocka_unit_test(number_of_no_disk_is_its_own_name),
		cmocka_unit_test(numbers_are_read_too),
		cmocka_unit_test(nonsense_is_no_name),
		cmocka_unit_test(disks_are_counted_to_the_last_name),
		cmocka_unit_test(every_number_has_a_name_that_fits_and_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

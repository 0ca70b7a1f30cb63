/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-span.c - words and numbers in foreign text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "common/span/span.h"

static void until_consumes_the_separator(void **state)
{
	struct span s = span_of("ab::c", 5), w;

	assert_int_equal(span_get_until(&s, ':', &w), 0);
	assert_int_equal(w.left, 2);
	assert_int_equal(span_get_until(&s, ':', &w), 0);
	assert_int_equal(w.left, 0);
	assert_int_equal(span_get_until(&s, ':', &w), 0);
	assert_int_equal(w.left, 1);
	assert_int_equal(span_get_until(&s, ':', &w), -EBADMSG);
}

static void only_plain_decimal_is_a_number(void **state)
{
	static const char *const bad[] = { "",    "-1",  "+1",  " 1", "1 ",  "1x", "x1", "0x10",
					   "1.0", "1e3", "\t1", "--", "1\n", "½",  "٣",  "on" };
	uint64_t v = 7;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse_str_u64(bad[i], UINT64_MAX, &v), -EINVAL);
		assert_int_equal(v, 7);
	}
	assert_int_equal(parse_str_u64(NULL, UINT64_MAX, &v), -ENOENT);
	assert_int_equal(parse_u64("1\0002", 3, UINT64_MAX, &v), -EINVAL);
	assert_int_equal(parse_str_u64("007", 7, &v), 0);
	assert_int_equal(v, 7);
}

static void numbers_are_bounded(void **state)
{
	uint64_t v = 7;
	uint32_t u = 7;

	assert_int_equal(parse_str_u64("18446744073709551615", UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(parse_str_u64("18446744073709551616", UINT64_MAX, &v), -ERANGE);
	assert_int_equal(parse_str_u64("99999999999999999999999999", UINT64_MAX, &v), -ERANGE);
	assert_int_equal(parse_str_u32("32", 31, &u), -ERANGE);
	assert_int_equal(u, 7);
	assert_int_equal(parse_str_u32("4294967296", UINT32_MAX, &u), -ERANGE);
	assert_int_equal(parse_str_u32("31", 31, &u), 0);
}

static void sizes_take_binary_suffixes(void **state)
{
	uint64_t v;

	assert_int_equal(parse_size("40G", &v), 0);
	assert_true(v == 40ull << 30);
	assert_int_equal(parse_size("512", &v), 0);
	assert_int_equal(v, 512);
	assert_int_equal(parse_size("1k", &v), 0);
	assert_int_equal(v, 1024);
	assert_int_equal(parse_size("G", &v), -EINVAL);
	assert_int_equal(parse_size("1GG", &v), -EINVAL);
	assert_int_equal(parse_size("-1G", &v), -EINVAL);
	assert_int_equal(parse_size("1GiB", &v), -EINVAL);
	assert_int_equal(parse_size("99999999T", &v), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(until_consumes_the_separator),
		cmocka_unit_test(only_plain_decimal_is_a_number),
		cmocka_unit_test(numbers_are_bounded),
		cmocka_unit_test(sizes_take_binary_suffixes),
	};

	return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}

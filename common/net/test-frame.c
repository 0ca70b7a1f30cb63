/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-frame.c - headers found, or found not to be there; checksums.  (More, with frames that verify themselves: test-net-probe.c.) */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/net/frame.h"
#include "common/net/test-frame.h"

static void test_parse(void **state)
{
	const uint8_t exts[] = { 0, 43, 60, 51 }, fragment[] = { 44 }, many[] = { 60, 60, 60, 60, 60, 60, 60, 60 };
	struct frame f;
	struct frame_head h;

	for (uint32_t tags = 0; tags <= 2; tags++)
		for (uint32_t options = 0; options <= 10; options++) {
			ip4(&f, tags, options, 6, 10);
			assert_int_equal(frame_parse(f.b, f.n, &h), 0);
			assert_int_equal(h.l4, 14 + 4 * tags + 20 + 4 * options);
			assert_int_equal(h.csum, 16);
			assert_int_equal(h.bytes, h.l4 + 20);
		}
	ip4(&f, 3, 0, 6, 10);
	assert_int_equal(frame_parse(f.b, f.n, &h), -EOPNOTSUPP);
	ip6(&f, exts, 4, 17, 5);
	assert_int_equal(frame_parse(f.b, f.n, &h), 0);
	assert_int_equal(h.l4, 14 + 40 + 8 + 8 + 8 + 16);
	assert_int_equal(h.csum, 6);
	ip6(&f, fragment, 1, 17, 5);
	assert_int_equal(frame_parse(f.b, f.n, &h), -EOPNOTSUPP);
	ip6(&f, many, 7, 6, 5);
	assert_int_equal(frame_parse(f.b, f.n, &h), 0);
	ip6(&f, many, 8, 6, 5);
	assert_int_equal(frame_parse(f.b, f.n, &h), -EOPNOTSUPP);
}

/* Cut anywhere before the end of the TCP header it is no whole header, and nothing behind the end is read (sanitizer). */
static void test_truncated(void **state)
{
	const uint8_t exts[] = { 0, 51 };
	struct frame f;
	struct frame_head h;

	for (int v6 = 0; v6 < 2; v6++) {
		if (v6)
			ip6(&f, exts, 2, 6, 0);
		else
			ip4(&f, 1, 2, 6, 0);
		for (uint32_t n = 0; n <= f.n; n++) {
			uint8_t *copy = malloc(n + 1);

			memcpy(copy, f.b, n);
			assert_int_equal(frame_parse(copy, n, &h), n < f.n ? -EBADMSG : 0);
			free(copy);
		}
	}
}

static void test_bad_headers(void **state)
{
	static const struct {
		const char *name;
		uint32_t at;
		uint8_t value;
		int want;
	} sins[] = {
		{ "IP version 5", 14, 0x55, -EBADMSG },
		{ "IHL of 4 words", 14, 0x44, -EBADMSG },
		{ "IHL beyond the frame", 14, 0x4f, -EBADMSG },
		{ "more fragments", 20, 0x20, -EOPNOTSUPP },
		{ "a later fragment", 21, 1, -EOPNOTSUPP },
		{ "ICMP", 23, 1, -EOPNOTSUPP },
		{ "no IP", 12, 9, -EOPNOTSUPP },
		{ "data offset 4", 46, 0x40, -EBADMSG },
		{ "data offset beyond", 46, 0xf0, -EBADMSG },
	};
	struct frame_head h;
	struct frame f;

	for (size_t i = 0; i < ARRAY_SIZE(sins); i++) {
		ip4(&f, 0, 0, 6, 0);
		f.b[sins[i].at] = sins[i].value;
		if (frame_parse(f.b, f.n, &h) != sins[i].want)
			fail_msg("%s: %d", sins[i].name, frame_parse(f.b, f.n, &h));
	}
}

/* Blank, then finished: every length, odd ones too, TCP and UDP, IPv4 and IPv6. */
static void test_sums(void **state)
{
	const uint8_t exts[] = { 60 };
	struct frame_head h;
	struct frame f;

	for (uint32_t payload = 0; payload < 40; payload++)
		for (uint32_t way = 0; way < 4; way++) {
			uint8_t proto = way % 2 ? FRAME_PROTO_UDP : FRAME_PROTO_TCP;
			uint16_t sum;

			if (way < 2)
				ip4(&f, 0, 3, proto, payload);
			else
				ip6(&f, exts, 1, proto, payload);
			assert_int_equal(frame_parse(f.b, f.n, &h), 0);
			assert_false(csum_right(f.b, &h, f.n) && (f.b[h.l4 + h.csum] || f.b[h.l4 + h.csum + 1]));
			sum = frame_pseudo(f.b, &h, f.n - h.l4);
			memcpy(f.b + h.l4 + h.csum, &sum, 2);
			assert_int_equal(frame_finish(f.b, f.n, h.l4, h.csum), 0);
			assert_int_equal(verify(&f, way < 2 ? 26 : 22, way < 2 ? 8 : 32, proto), 0xffff);
			assert_true(csum_right(f.b, &h, f.n));
			f.b[f.n - 1] ^= 1;
			assert_false(csum_right(f.b, &h, f.n));
		}
}

static void test_udp_sum_of_zero(void **state)
{
	uint8_t b[8] = { 0xff, 0xff, 0, 0, 0, 0, 0, 0 };

	assert_int_equal(frame_finish(b, 8, 0, 6), 0);
	assert_int_equal(b[6] << 8 | b[7], 0xffff);
}

static void test_sum_out_of_bounds(void **state)
{
	uint8_t b[20] = { 0 };

	assert_int_equal(frame_finish(b, 20, 18, 0), 0);
	assert_int_equal(frame_finish(b, 20, 18, 1), -EBADMSG);
	assert_int_equal(frame_finish(b, 20, 19, 0), -EBADMSG);
	assert_int_equal(frame_finish(b, 20, 21, 0), -EBADMSG);
	assert_int_equal(frame_finish(b, 20, 65535, 65535), -EBADMSG);
	assert_int_equal(frame_finish(b, 20, 0, 65535), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),           cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_bad_headers),     cmocka_unit_test(test_sums),
		cmocka_unit_test(test_udp_sum_of_zero), cmocka_unit_test(test_sum_out_of_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

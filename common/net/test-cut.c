/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-cut.c - segments: what each says of itself, and that together they are the packet. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/net/cut.h"
#include "common/net/test-frame.h"

#define FIN_PSH_ACK 0x19
#define CWR         0x80

static uint32_t get(const uint8_t *p, uint32_t bytes)
{
	uint32_t v = 0;

	while (bytes--)
		v = v << 8 | *p++;
	return v;
}

/* 0xffff when it is right. */
static uint32_t ip_sum(const uint8_t *ip, uint32_t bytes)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < bytes; i += 2)
		sum += get(ip + i, 2);
	return (sum & 0xffff) + (sum >> 16);
}

/* @f: headers with @l3 and the data behind them.  Cut in @size; what is looked at of each segment is taken from its bytes alone. */
static void cut_all(struct frame *f, uint32_t l3, bool six, uint32_t size)
{
	uint32_t head = f->l4 + 20, data = f->n - head, nr = (data + size - 1) / size, at = 0;
	struct net_cut c;

	memcpy(f->b + f->l4 + 4, "\xff\xff\xff\x00", 4); /* wraps */
	f->b[f->l4 + 13] = FIN_PSH_ACK | CWR;
	if (!six)
		memcpy(f->b + l3 + 4, "\xff\xfe", 2);
	assert_int_equal(net_cut_begin(&c, f->b, f->n, size), 0);
	for (uint32_t i = 0; i < nr; i++) {
		static struct frame s;
		uint32_t piece = MIN(size, data - at);
		uint8_t flags = 0x10;

		assert_true(net_cut_more(&c));
		s.n = net_cut_next(&c, s.b);
		s.l4 = f->l4;
		assert_int_equal(s.n, head + piece);
		assert_memory_equal(s.b, f->b, l3);
		assert_memory_equal(s.b + head, f->b + head + at, piece);
		assert_int_equal(get(s.b + s.l4 + 4, 4), (uint32_t)(0xffffff00u + at));
		flags |= i == 0 ? CWR : 0;
		flags |= i + 1 == nr ? FIN_PSH_ACK : 0;
		assert_int_equal(s.b[s.l4 + 13], flags);
		if (six) {
			assert_int_equal(get(s.b + l3 + 4, 2), s.n - l3 - 40);
		} else {
			assert_int_equal(get(s.b + l3 + 2, 2), s.n - l3);
			assert_int_equal(get(s.b + l3 + 4, 2), (0xfffe + i) & 0xffff);
			assert_int_equal(ip_sum(s.b + l3, s.l4 - l3), 0xffff);
		}
		assert_int_equal(verify(&s, l3 + (six ? 8 : 12), six ? 32 : 8, 6), 0xffff);
		at += piece;
	}
	assert_false(net_cut_more(&c));
}

static void segments_are_whole_packets(void **state)
{
	const uint8_t exts[] = { 0, 60 };
	struct frame f;

	for (uint32_t tags = 0; tags <= 2; tags++)
		for (uint32_t options = 0; options <= 10; options += 5)
			for (uint32_t data = 1; data < 5000; data += 777) {
				ip4(&f, tags, options, 6, data);
				cut_all(&f, 14 + 4 * tags, false, 48);
				ip4(&f, tags, options, 6, data);
				cut_all(&f, 14 + 4 * tags, false, 1447);
				ip4(&f, tags, options, 6, data);
				cut_all(&f, 14 + 4 * tags, false, 65535);
			}
	for (uint32_t nr = 0; nr <= 2; nr++) {
		ip6(&f, exts, nr, 6, 5000);
		cut_all(&f, 14, true, 1428);
	}
}

/* A packet with known sums, computed elsewhere: 100 bytes of zeroes in two segments of 64 and 36, 10.0.0.1:1 to 10.0.0.2:2. */
static void a_known_packet(void **state)
{
	struct net_cut c;
	struct frame f;
	uint8_t s[200];

	ip4(&f, 1, 0, 6, 100);
	memset(f.b + f.l4 + 20, 0, 100);
	memcpy(f.b + f.l4, "\0\1\0\2\0\0\0\0\0\0\0\0\x50\x18\1\0", 16);
	assert_int_equal(net_cut_begin(&c, f.b, f.n, 64), 0);
	assert_int_equal(net_cut_next(&c, s), 18 + 40 + 64);
	assert_int_equal(get(s + 18 + 10, 2), 0x668e);
	assert_int_equal(get(s + f.l4 + 16, 2), 0x9a8f);
	assert_int_equal(net_cut_next(&c, s), 18 + 40 + 36);
	assert_int_equal(get(s + 18 + 10, 2), 0x66a9);
	assert_int_equal(get(s + f.l4 + 16, 2), 0x9a63);
}

static void what_is_no_tcp_with_data_is_not_cut(void **state)
{
	struct net_cut c = { 0 };
	struct frame f;

	assert_false(net_cut_more(&c));
	ip4(&f, 1, 0, 17, 1000);
	assert_int_equal(net_cut_begin(&c, f.b, f.n, 500), -EBADMSG);
	ip4(&f, 1, 0, 6, 0);
	assert_int_equal(net_cut_begin(&c, f.b, f.n, 500), -EBADMSG);
	ip4(&f, 1, 0, 6, 1000);
	assert_int_equal(net_cut_begin(&c, f.b, 40, 500), -EBADMSG);
	assert_int_equal(net_cut_begin(&c, f.b, f.n, NET_CUT_MIN - 1), -EBADMSG);
	assert_int_equal(net_cut_begin(&c, f.b, f.n, NET_CUT_MIN), 0);
	net_cut_drop(&c);
	assert_false(net_cut_more(&c));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_are_whole_packets),
		cmocka_unit_test(a_known_packet),
		cmocka_unit_test(what_is_no_tcp_with_data_is_not_cut),
	};

	return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}

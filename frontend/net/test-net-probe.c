/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-net-probe.c - headers found, checksums finished, offloads translated; and frames that tell what became of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <xen/io/netif.h>

#include "common/net/offload.h"
#include "frontend/net/net-probe.h"

static uint8_t buf[70000];

static struct probe probe_of(enum probe_kind kind, uint64_t seq)
{
	return (struct probe){
		.kind = kind, .src = { 2, 0, 0, 0, 0, 1 }, .dst = { 2, 0, 0, 0, 0, 2 }, .run = 7, .flow = 3, .seq = seq
	};
}

/* ------------------------------------------------------------------ headers */

static void headers_are_found(void **state)
{
	static const struct {
		enum probe_kind kind;
		uint16_t l4, csum, bytes;
	} rows[] = { { PROBE_UDP4, 34, 6, 42 },
		     { PROBE_UDP6, 54, 6, 62 },
		     { PROBE_TCP4, 34, 16, 54 },
		     { PROBE_TCP6, 54, 16, 74 } };
	struct frame_head h;
	struct probe p;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		p = probe_of(rows[i].kind, 0);
		probe_build(&p, buf, 200, true, false);
		assert_int_equal(frame_parse(buf, 200, &h), 0);
		assert_int_equal(h.l4, rows[i].l4);
		assert_int_equal(h.csum, rows[i].csum);
		assert_int_equal(h.bytes, rows[i].bytes);
		/* Cut anywhere in its headers it is not taken. */
		for (uint32_t n = 0; n < h.bytes; n++)
			assert_int_equal(frame_parse(buf, n, &h), -EBADMSG);
	}
}

static void headers_behind_tags(void **state)
{
	struct probe p = probe_of(PROBE_TCP4, 0);
	struct frame_head h;
	uint8_t f[220];

	probe_build(&p, buf, 200, true, false);
	memcpy(f, buf, 12);
	memcpy(f + 12, "\x88\xa8\x00\x05\x81\x00\x00\x06", 8);
	memcpy(f + 20, buf + 12, 188);
	assert_int_equal(frame_parse(f, 208, &h), 0);
	assert_int_equal(h.l4, 42);
	memcpy(f + 12, "\x81\x00\x00\x05\x81\x00\x00\x06\x81\x00\x00\x07", 12);
	assert_int_equal(frame_parse(f, 208, &h), -EOPNOTSUPP);
}

static void headers_behind_ipv6_options(void **state)
{
	struct probe p = probe_of(PROBE_TCP6, 0);
	struct frame_head h;
	uint8_t f[300];

	probe_build(&p, buf, 200, true, false);
	memcpy(f, buf, 54);
	f[20] = 0; /* hop by hop, of 16 bytes */
	memset(f + 54, 0, 16);
	f[54] = 6;
	f[55] = 1;
	memcpy(f + 70, buf + 54, 146);
	assert_int_equal(frame_parse(f, 216, &h), 0);
	assert_int_equal(h.l4, 70);
	f[55] = 255; /* longer than the frame */
	assert_int_equal(frame_parse(f, 216, &h), -EBADMSG);
	/* Options for ever: not followed for ever. */
	memset(f + 54, 0, 200);
	assert_int_equal(frame_parse(f, 254, &h), -EOPNOTSUPP);
}

static void headers_that_lie(void **state)
{
	static const struct {
		const char *what;
		uint32_t at;
		uint8_t value;
		int want;
	} rows[] = {
		{ "version", 14, 0x55, -EBADMSG },
		{ "IP header of 16 bytes", 14, 0x44, -EBADMSG },
		{ "IP header of 60 bytes, of which the TCP length is nonsense", 14, 0x4f, -EBADMSG },
		{ "TCP header of 16 bytes", 46, 0x40, -EBADMSG },
		{ "TCP header of 60 bytes", 46, 0xf0, -EBADMSG },
		{ "a later fragment", 21, 1, -EOPNOTSUPP },
		{ "more fragments", 20, 0x20, -EOPNOTSUPP },
		{ "ICMP", 23, 1, -EOPNOTSUPP },
		{ "neither IPv4 nor IPv6", 13, 6, -EOPNOTSUPP },
	};
	struct probe p = probe_of(PROBE_TCP4, 0);
	struct frame_head h;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		probe_build(&p, buf, 60, false, false);
		memset(buf + 54, 0, 6);
		buf[rows[i].at] = rows[i].value;
		if (frame_parse(buf, 60, &h) != rows[i].want)
			fail_msg("%s: %d", rows[i].what, frame_parse(buf, 60, &h));
	}
}

/* ------------------------------------------------------------------ checksums */

/* RFC 1071, section 3 */
static void sum_of_the_rfc(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	static const uint8_t want[] = { 0xdd, 0xf2 };
	uint16_t sum = csum_fold(csum_add(0, bytes, sizeof(bytes)));

	assert_memory_equal(&sum, want, 2);
}

/* However the frame lies in pieces, odd ones too. */
static void finished_over_any_pieces(void **state)
{
	for (uint32_t bytes = 100; bytes < 104; bytes++)
		for (uint32_t a = 1; a < bytes; a += 3)
			for (uint32_t b = a; b < bytes; b += 7) {
				struct iovec iov[3] = { { buf, a }, { buf + a, b - a }, { buf + b, bytes - b } };
				struct probe p = probe_of(PROBE_UDP4, 1), got;
				uint32_t data;

				probe_build(&p, buf, bytes, true, true);
				assert_int_equal(probe_check(buf, bytes, true, false, &got, &data), PROBE_CSUM);
				assert_int_equal(csum_finish(iov, 3, 34, 6), 0);
				assert_int_equal(probe_check(buf, bytes, true, false, &got, &data), PROBE_OK);
			}
}

static void finish_outside_the_frame(void **state)
{
	struct iovec iov = { buf, 60 };

	assert_int_equal(csum_finish(&iov, 1, 0, 58), 0);
	assert_int_equal(csum_finish(&iov, 1, 0, 59), -EBADMSG);
	assert_int_equal(csum_finish(&iov, 1, 60, 0), -EBADMSG);
	assert_int_equal(csum_finish(&iov, 1, UINT32_MAX, 2), -EBADMSG);
}

/* ------------------------------------------------------------------ to and from a TAP */

static void blank_checksum_to_a_tap(void **state)
{
	struct net_meta m = { .csum_blank = true, .data_validated = true };
	struct probe p = probe_of(PROBE_UDP6, 0);
	struct virtio_net_hdr v;

	probe_build(&p, buf, 200, true, true);
	assert_int_equal(offload_to_vnet(&m, buf, 200, 200, &v), 0);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(v.csum_start, 54);
	assert_int_equal(v.csum_offset, 6);
	assert_int_equal(v.gso_type, 0);
	/* A header that is not there to be found. */
	assert_int_equal(offload_to_vnet(&m, buf, 50, 200, &v), -EBADMSG);
	memset(buf, 0, 200);
	assert_int_equal(offload_to_vnet(&m, buf, 200, 200, &v), -EBADMSG);
}

static void gso_to_a_tap(void **state)
{
	struct net_meta m = { .csum_blank = true, .gso_type = XEN_NETIF_GSO_TYPE_TCPV6, .gso_size = 1440 };
	struct probe p = probe_of(PROBE_TCP6, 0);
	struct virtio_net_hdr v;
	uint8_t sum[2];

	probe_build(&p, buf, 5000, true, true);
	assert_int_equal(offload_to_vnet(&m, buf, FRAME_HEAD_MAX, 5000, &v), 0);
	assert_int_equal(v.gso_type, VIRTIO_NET_HDR_GSO_TCPV6); /* 4; netif's is 2 */
	assert_int_equal(v.gso_size, 1440);
	assert_int_equal(v.hdr_len, 74);
	/* Forgotten to say that the checksum is blank: it is made so. */
	memcpy(sum, buf + 70, 2);
	memset(buf + 70, 0x55, 2);
	m.csum_blank = false;
	assert_int_equal(offload_to_vnet(&m, buf, FRAME_HEAD_MAX, 5000, &v), 0);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_memory_equal(buf + 70, sum, 2);
	/* The headers say otherwise. */
	m.gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	assert_int_equal(offload_to_vnet(&m, buf, FRAME_HEAD_MAX, 5000, &v), -EPROTOTYPE);
	p = probe_of(PROBE_UDP4, 0);
	probe_build(&p, buf, 5000, true, true);
	assert_int_equal(offload_to_vnet(&m, buf, FRAME_HEAD_MAX, 5000, &v), -EPROTOTYPE);
	/* Nothing to cut: the checksum is all that is left to do. */
	p = probe_of(PROBE_TCP4, 0);
	probe_build(&p, buf, 54, true, true);
	assert_int_equal(offload_to_vnet(&m, buf, 54, 54, &v), 0);
	assert_int_equal(v.gso_type, 0);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

static const struct net_takes take_all = { true, true, true, true }, take_none = { 0 },
			      take_v4 = { .csum4 = true, .gso4 = true };
static const struct {
	const char *what;
	enum probe_kind kind;
	const struct net_takes *takes;
	struct virtio_net_hdr v;
	int want;
	bool blank, finish;
	uint8_t gso;
} from_tap[] = {
	{ "plain", PROBE_UDP4, &take_none, { 0 }, 0, false, false, 0 },
	{ "checksum", PROBE_UDP4, &take_all, { .flags = 1, .csum_start = 34, .csum_offset = 6 }, 0, true, false, 0 },
	{ "checksum v6", PROBE_UDP6, &take_all, { .flags = 1, .csum_start = 54, .csum_offset = 6 }, 0, true, false, 0 },
	{ "checksum v6 that it does not take",
	  PROBE_UDP6,
	  &take_v4,
	  { .flags = 1, .csum_start = 54, .csum_offset = 6 },
	  0,
	  false,
	  true,
	  0 },
	{ "checksum that it does not take",
	  PROBE_UDP4,
	  &take_none,
	  { .flags = 1, .csum_start = 34, .csum_offset = 6 },
	  0,
	  false,
	  true,
	  0 },
	{ "checksum in a place that it would not look",
	  PROBE_UDP4,
	  &take_all,
	  { .flags = 1, .csum_start = 44, .csum_offset = 6 },
	  0,
	  false,
	  true,
	  0 },
	{ "GSO",
	  PROBE_TCP4,
	  &take_all,
	  { .flags = 1, .gso_type = 1, .gso_size = 1448, .csum_start = 34, .csum_offset = 16 },
	  0,
	  true,
	  false,
	  1 },
	{ "GSO v6",
	  PROBE_TCP6,
	  &take_all,
	  { .flags = 1, .gso_type = 4, .gso_size = 1448, .csum_start = 54, .csum_offset = 16 },
	  0,
	  true,
	  false,
	  2 },
	{ "GSO v6 that it does not take",
	  PROBE_TCP6,
	  &take_v4,
	  { .flags = 1, .gso_type = 4, .gso_size = 1448, .csum_start = 54, .csum_offset = 16 },
	  -EOPNOTSUPP,
	  false,
	  false,
	  0 },
	{ "GSO whose checksum is said to be done: it is undone",
	  PROBE_TCP4,
	  &take_all,
	  { .gso_type = 1, .gso_size = 1448 },
	  0,
	  true,
	  false,
	  1 },
	{ "GSO whose checksum is elsewhere",
	  PROBE_TCP4,
	  &take_all,
	  { .flags = 1, .gso_type = 1, .gso_size = 1448, .csum_start = 34, .csum_offset = 6 },
	  -EBADMSG,
	  false,
	  false,
	  0 },
	{ "GSO of size 0",
	  PROBE_TCP4,
	  &take_all,
	  { .flags = 1, .gso_type = 1, .csum_start = 34, .csum_offset = 16 },
	  -EBADMSG,
	  false,
	  false,
	  0 },
	{ "GSO v4 of an IPv6 packet",
	  PROBE_TCP6,
	  &take_all,
	  { .flags = 1, .gso_type = 1, .gso_size = 1448, .csum_start = 54, .csum_offset = 16 },
	  -EBADMSG,
	  false,
	  false,
	  0 },
	{ "GSO of UDP",
	  PROBE_UDP4,
	  &take_all,
	  { .flags = 1, .gso_type = 3, .gso_size = 1448, .csum_start = 34, .csum_offset = 6 },
	  -EOPNOTSUPP,
	  false,
	  false,
	  0 },
	{ "GSO with ECN, which netif has no name for",
	  PROBE_TCP4,
	  &take_all,
	  { .flags = 1, .gso_type = 0x81, .gso_size = 1448, .csum_start = 34, .csum_offset = 16 },
	  -EOPNOTSUPP,
	  false,
	  false,
	  0 },
};

static void from_a_tap(void **state)
{
	struct net_meta m;
	bool finish;

	for (size_t i = 0; i < ARRAY_SIZE(from_tap); i++) {
		struct probe p = probe_of(from_tap[i].kind, 0);
		int err;

		probe_build(&p, buf, 3000, true, from_tap[i].v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
		err = offload_from_vnet(&from_tap[i].v, buf, FRAME_HEAD_MAX, 3000, from_tap[i].takes, &m, &finish);
		if (err != from_tap[i].want)
			fail_msg("%s: %d", from_tap[i].what, err);
		if (err == 0 && m.gso_type) { /* whatever was in the field */
			struct frame_head h;
			uint16_t pseudo;

			assert_int_equal(frame_parse(buf, FRAME_HEAD_MAX, &h), 0);
			pseudo = frame_pseudo(buf, &h, 3000 - h.l4);
			assert_memory_equal(buf + h.l4 + h.csum, &pseudo, 2);
		}
		if (err == 0 && (m.csum_blank != from_tap[i].blank || finish != from_tap[i].finish ||
				 m.gso_type != from_tap[i].gso))
			fail_msg("%s: blank %d, finish %d, gso %d", from_tap[i].what, m.csum_blank, finish, m.gso_type);
	}
}

/* ------------------------------------------------------------------ probes */

static void probes_are_recognised(void **state)
{
	for (int k = 0; k < PROBE_NR_KINDS; k++)
		for (uint32_t more = 0; more < 2000; more += 333) {
			struct probe p = probe_of((enum probe_kind)k, 1000), got;
			uint32_t bytes = probe_head_bytes(p.kind) + more, data;

			probe_build(&p, buf, bytes, true, false);
			assert_int_equal(probe_check(buf, bytes, true, false, &got, &data), PROBE_OK);
			assert_int_equal(got.kind, k);
			assert_int_equal(got.seq, 1000);
			assert_int_equal(got.run, 7);
			assert_int_equal(got.flow, 3);
			assert_int_equal(data, probe_is_tcp(p.kind) ? more : 0);
			probe_turn(buf, bytes);
			assert_int_equal(probe_check(buf, bytes, true, false, &got, &data), PROBE_OK);
			assert_memory_equal(buf, p.src, 6);
		}
}

/* A changed bit anywhere behind the addresses is noticed. */
static void every_bit_counts(void **state)
{
	for (int k = 0; k < PROBE_NR_KINDS; k++) {
		struct probe p = probe_of((enum probe_kind)k, 5), got;
		uint32_t bytes = probe_head_bytes(p.kind) + 50, data,
			 from = k == PROBE_ETH ? 14 : probe_head_bytes(p.kind) - 20;

		for (uint32_t bit = from * 8; bit < bytes * 8; bit++) {
			probe_build(&p, buf, bytes, true, false);
			buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (probe_check(buf, bytes, true, false, &got, &data) == PROBE_OK)
				fail_msg("%s: bit %u", probe_kinds[k], bit);
		}
	}
}

/* TCP cut into segments by somebody else: each carries its part of the stream, also where positions wrap. */
static void segments_verify(void **state)
{
	static uint8_t seg[2000];
	struct probe p = probe_of(PROBE_TCP4, 0xfffffff0u), got;
	struct probe_flow f = { .used = true, .next = 0xfffffff0u };
	uint32_t data;

	for (uint32_t at = 0; at < 5000; at += 1000) {
		struct probe part = p;

		part.seq = p.seq + at;
		probe_build(&p, buf, 54 + 5000, true, false);
		probe_build(&part, seg, 54 + 1000, false, true);
		memcpy(seg + 54, buf + 54 + at, 1000);
		assert_int_equal(csum_finish(&(struct iovec){ seg, 1054 }, 1, 34, 16), 0);
		assert_int_equal(probe_check(seg, 1054, true, false, &got, &data), PROBE_OK);
		assert_int_equal(data, 1000);
		probe_count(&f, &got, 1054, data);
	}
	assert_int_equal(f.unique, 5000);
	assert_int_equal(probe_lost(&f), 0xfffffff0u); /* all that was before we looked */
}

static void count(struct probe_flow *f, uint64_t seq, bool end)
{
	struct probe p = probe_of(PROBE_ETH, seq);

	p.end = end;
	probe_count(f, &p, 64, 0);
}

static void losses_are_counted(void **state)
{
	struct probe_flow f;

	memset(&f, 0, sizeof(f));
	count(&f, 0, false);
	count(&f, 1, false);
	count(&f, 5, false);
	assert_int_equal(probe_lost(&f), 3);
	count(&f, 3, false);
	assert_int_equal(probe_lost(&f), 2);
	assert_int_equal(f.late, 1);
	count(&f, 5, false);
	count(&f, 3, false);
	assert_int_equal(f.twice, 2);
	assert_int_equal(probe_lost(&f), 2);
	count(&f, 10, true);
	assert_int_equal(probe_lost(&f), 6);
	assert_int_equal(f.frames, 6);
	/* Far ahead, and too far back. */
	count(&f, 1000000, false);
	count(&f, 7, false);
	assert_int_equal(f.late, 2);
	assert_int_equal(f.unique, 5);
	count(&f, 999999 - 4094, false);
	count(&f, 999999 - 4094, false);
	assert_int_equal(f.unique, 6);
	assert_int_equal(f.twice, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_found),
		cmocka_unit_test(headers_behind_tags),
		cmocka_unit_test(headers_behind_ipv6_options),
		cmocka_unit_test(headers_that_lie),
		cmocka_unit_test(sum_of_the_rfc),
		cmocka_unit_test(finished_over_any_pieces),
		cmocka_unit_test(finish_outside_the_frame),
		cmocka_unit_test(blank_checksum_to_a_tap),
		cmocka_unit_test(gso_to_a_tap),
		cmocka_unit_test(from_a_tap),
		cmocka_unit_test(probes_are_recognised),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(segments_verify),
		cmocka_unit_test(losses_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

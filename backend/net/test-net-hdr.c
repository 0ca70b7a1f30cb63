/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-net-hdr.c - headers, checksums, and the way between netif and virtio, both ways; then receive slots. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/net/net-rx.h"
#include "backend/net/net-wire.h"

static uint32_t put(uint8_t *to, uint32_t at, const void *from, uint32_t bytes)
{
	memcpy(to + at, from, bytes);
	return at + bytes;
}

struct frame {
	uint8_t b[9000];
	uint32_t n, l4;
};

/* Ethernet, @tags VLAN tags, IPv4 with @options words of options, TCP or UDP, @payload bytes. */
static void ip4(struct frame *f, uint32_t tags, uint32_t options, uint8_t proto, uint32_t payload)
{
	static const uint8_t eth[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
	uint32_t at, len, l4 = proto == 6 ? 20 : 8;

	memset(f, 0, sizeof(*f));
	at = put(f->b, 0, eth, 12);
	for (uint32_t i = 0; i < tags; i++)
		at = put(f->b, at, "\x81\x00\x00\x05", 4);
	at = put(f->b, at, "\x08\x00", 2);
	len = 20 + options * 4 + l4 + payload;
	f->b[at] = (uint8_t)(0x45 + options);
	f->b[at + 2] = (uint8_t)(len >> 8);
	f->b[at + 3] = (uint8_t)len;
	f->b[at + 8] = 64;
	f->b[at + 9] = proto;
	put(f->b, at + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	f->l4 = at + 20 + options * 4;
	if (proto == 6)
		f->b[f->l4 + 12] = 0x50;
	f->n = f->l4 + l4 + payload;
	for (uint32_t i = f->l4 + l4; i < f->n; i++)
		f->b[i] = (uint8_t)(i * 7);
}

/* @exts: header types in order, each 8 bytes (a fragment's too); 51 is an authentication header of 16. */
static void ip6(struct frame *f, const uint8_t *exts, uint32_t nr, uint8_t proto, uint32_t payload)
{
	static const uint8_t eth[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd };
	uint32_t at, l4 = proto == 6 ? 20 : 8, next = 20, len = 0;

	memset(f, 0, sizeof(*f));
	at = put(f->b, 0, eth, 14);
	f->b[at] = 0x60;
	f->b[at + 7] = 64;
	put(f->b, at + 8, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 32);
	at += 40;
	for (uint32_t i = 0; i < nr; i++) {
		f->b[next] = exts[i];
		next = at;
		f->b[at + 1] = exts[i] == 51 ? 2 : 0;
		at += exts[i] == 51 ? 16 : 8;
		len += exts[i] == 51 ? 16 : 8;
	}
	f->b[next] = proto;
	f->l4 = at;
	if (proto == 6)
		f->b[at + 12] = 0x50;
	f->n = at + l4 + payload;
	len += l4 + payload;
	f->b[18] = (uint8_t)(len >> 8);
	f->b[19] = (uint8_t)len;
	for (uint32_t i = at + l4; i < f->n; i++)
		f->b[i] = (uint8_t)(i * 5);
}

/* The sum of everything a checksum covers, which is 0xffff when it is right: computed apart from the code under test. */
static uint32_t verify(const struct frame *f, uint32_t src, uint32_t addrs, uint8_t proto)
{
	uint32_t sum = proto, len = f->n - f->l4;

	for (uint32_t i = 0; i < addrs; i += 2)
		sum += (uint32_t)f->b[src + i] << 8 | f->b[src + i + 1];
	sum += len;
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 ? f->b[f->l4 + i] : (uint32_t)f->b[f->l4 + i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void put_pseudo(struct frame *f)
{
	struct net_hdr h;
	uint16_t sum;

	assert_int_equal(net_hdr_parse(f->b, f->n, &h), 0);
	sum = net_csum_pseudo(f->b, &h, f->n - h.l4);
	f->b[h.l4 + h.csum] = (uint8_t)(sum >> 8);
	f->b[h.l4 + h.csum + 1] = (uint8_t)sum;
}

static void test_parse(void **state)
{
	const uint8_t exts[] = { 0, 43, 60, 51 }, fragment[] = { 44 }, many[] = { 60, 60, 60, 60, 60, 60, 60, 60 };
	struct frame f;
	struct net_hdr h;

	for (uint32_t tags = 0; tags <= 2; tags++)
		for (uint32_t options = 0; options <= 10; options++) {
			ip4(&f, tags, options, 6, 10);
			assert_int_equal(net_hdr_parse(f.b, f.n, &h), 0);
			assert_int_equal(h.l4, 14 + 4 * tags + 20 + 4 * options);
			assert_int_equal(h.csum, 16);
			assert_int_equal(h.end, h.l4 + 20);
		}
	ip4(&f, 3, 0, 6, 10);
	assert_int_equal(net_hdr_parse(f.b, f.n, &h), -EINVAL);
	ip6(&f, exts, 4, 17, 5);
	assert_int_equal(net_hdr_parse(f.b, f.n, &h), 0);
	assert_int_equal(h.l4, 14 + 40 + 8 + 8 + 8 + 16);
	assert_int_equal(h.csum, 6);
	ip6(&f, fragment, 1, 17, 5);
	assert_int_equal(net_hdr_parse(f.b, f.n, &h), -EINVAL);
	ip6(&f, many, 7, 6, 5);
	assert_int_equal(net_hdr_parse(f.b, f.n, &h), 0);
	ip6(&f, many, 8, 6, 5);
	assert_int_equal(net_hdr_parse(f.b, f.n, &h), -EINVAL);
}

/* Cut anywhere before the end of the TCP header it is no whole header, and nothing behind the end is read (sanitizer). */
static void test_truncated(void **state)
{
	const uint8_t exts[] = { 0, 51 };
	struct frame f;
	struct net_hdr h;

	for (int v6 = 0; v6 < 2; v6++) {
		if (v6)
			ip6(&f, exts, 2, 6, 0);
		else
			ip4(&f, 1, 2, 6, 0);
		for (uint32_t n = 0; n <= f.n; n++) {
			uint8_t *copy = malloc(n + 1);

			memcpy(copy, f.b, n);
			assert_int_equal(net_hdr_parse(copy, n, &h), n < f.n ? -EINVAL : 0);
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
	} sins[] = {
		{ "IP version 5", 14, 0x55 },
		{ "IHL of 4 words", 14, 0x44 },
		{ "IHL beyond the frame", 14, 0x4f },
		{ "more fragments", 20, 0x20 },
		{ "a later fragment", 21, 1 },
		{ "ICMP", 23, 1 },
		{ "no IP", 12, 9 },
		{ "data offset 4", 46, 0x40 },
		{ "data offset beyond", 46, 0xf0 },
	};
	struct net_hdr h;
	struct frame f;

	for (size_t i = 0; i < ARRAY_SIZE(sins); i++) {
		ip4(&f, 0, 0, 6, 0);
		f.b[sins[i].at] = sins[i].value;
		if (net_hdr_parse(f.b, f.n, &h) != -EINVAL)
			fail_msg("%s is taken", sins[i].name);
	}
}

static void test_from_guest(void **state)
{
	struct net_tx_packet p = { 0 };
	struct virtio_net_hdr v;
	struct frame f;

	ip4(&f, 0, 1, 6, 3000);
	p.bytes = f.n;
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), 0);
	assert_int_equal(v.flags | v.gso_type, 0);
	p.data_validated = true;
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), 0);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	p.csum_blank = true;
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), 0);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(v.csum_start, f.l4);
	assert_int_equal(v.csum_offset, 16);
	p.gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	p.gso_size = 1448;
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), 0);
	assert_int_equal(v.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(v.gso_size, 1448);
	assert_int_equal(v.hdr_len, f.l4 + 20);
	p.gso_size = 3000; /* it fits */
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), 0);
	assert_int_equal(v.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	p.gso_type = XEN_NETIF_GSO_TYPE_TCPV6;
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), -EINVAL);
	ip4(&f, 0, 0, 17, 3000);
	p.bytes = f.n;
	p.gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), -EINVAL); /* UDP cannot be cut */
	p.gso_type = XEN_NETIF_GSO_TYPE_NONE;
	f.b[23] = 1; /* a blank checksum of ICMP has no place */
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), -EINVAL);
}

/* A packet to be cut whose checksum is said to be done: the pseudo-header's sum takes its place. */
static void test_gso_without_blank(void **state)
{
	struct net_tx_packet p = { .gso_type = XEN_NETIF_GSO_TYPE_TCPV4, .gso_size = 100 };
	struct virtio_net_hdr v;
	struct frame f;

	ip4(&f, 0, 0, 6, 1000);
	f.b[f.l4 + 16] = 0x12;
	p.bytes = f.n;
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), 0);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(net_csum_finish(f.b, f.n, v.csum_start, v.csum_offset), 0);
	assert_int_equal(verify(&f, 26, 8, 6), 0xffff);
}

static void test_sums(void **state)
{
	const uint8_t exts[] = { 60 };
	struct net_rx_meta m;
	struct frame f;

	for (uint32_t payload = 0; payload < 40; payload++)
		for (int proto = 6; proto <= 17; proto += 11) {
			struct virtio_net_hdr v = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						    .csum_offset = proto == 6 ? 16 : 6 };

			ip4(&f, 0, 3, (uint8_t)proto, payload);
			put_pseudo(&f);
			v.csum_start = (uint16_t)f.l4;
			assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, 0, &m), 0);
			assert_false(m.csum_blank);
			assert_int_equal(verify(&f, 26, 8, (uint8_t)proto), 0xffff);
			ip6(&f, exts, 1, (uint8_t)proto, payload);
			put_pseudo(&f);
			v.csum_start = (uint16_t)f.l4;
			assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_CSUM4, &m), 0);
			assert_false(m.csum_blank);
			assert_int_equal(verify(&f, 22, 32, (uint8_t)proto), 0xffff);
		}
}

static void test_udp_sum_of_zero(void **state)
{
	uint8_t b[8] = { 0xff, 0xff, 0, 0, 0, 0, 0, 0 };

	assert_int_equal(net_csum_finish(b, 8, 0, 6), 0);
	assert_int_equal(b[6] << 8 | b[7], 0xffff);
}

static void test_sum_out_of_bounds(void **state)
{
	uint8_t b[20] = { 0 };

	assert_int_equal(net_csum_finish(b, 20, 18, 0), 0);
	assert_int_equal(net_csum_finish(b, 20, 18, 1), -EINVAL);
	assert_int_equal(net_csum_finish(b, 20, 19, 0), -EINVAL);
	assert_int_equal(net_csum_finish(b, 20, 21, 0), -EINVAL);
	assert_int_equal(net_csum_finish(b, 20, 65535, 65535), -EINVAL);
	assert_int_equal(net_csum_finish(b, 20, 0, 65535), -EINVAL);
}

static void test_to_guest(void **state)
{
	struct virtio_net_hdr v = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	struct net_rx_meta m;
	struct frame f;

	ip4(&f, 0, 0, 6, 5000);
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, 0, &m), 0);
	assert_true(m.data_validated && !m.csum_blank);
	v = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				     .csum_start = (uint16_t)f.l4,
				     .csum_offset = 16 };
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_CSUM4, &m), 0);
	assert_true(m.data_validated && m.csum_blank);
	v.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	v.gso_size = 1448;
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), 0);
	assert_true(m.data_validated && m.csum_blank);
	assert_int_equal(m.gso_type, XEN_NETIF_GSO_TYPE_TCPV4);
	assert_int_equal(m.gso_size, 1448);
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL & ~NET_F_GSO4, &m), -EOPNOTSUPP);
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL & ~NET_F_SG, &m), -EOPNOTSUPP);
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL & ~NET_F_CSUM4, &m), -EOPNOTSUPP);
	v.gso_size = 0;
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), -EINVAL);
	v.gso_size = 1448;
	v.gso_type = VIRTIO_NET_HDR_GSO_TCPV6; /* 4 on this side, 2 on the other */
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), -EINVAL);
	v.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), -EOPNOTSUPP);
	assert_int_equal(net_hdr_to_guest(&v, f.b, 13, NET_F_ALL, &m), -EINVAL);
}

/* ------------------------------------------------------------------ receive slots */

static void test_rx_plan(void **state)
{
	static const struct {
		uint32_t bytes, gso, slots;
	} cases[] = { { 14, 0, 1 },
		      { 4096, 0, 1 },
		      { 4097, 0, 2 },
		      { 9000, 0, 3 },
		      { 100, 100, 2 },
		      { 8192, 100, 3 },
		      { NET_RX_MAX_FRAME, 1448, 18 } };
	union net_rx_slot s[NET_RX_MAX_SLOTS];
	struct net_rx_piece pieces[NET_RX_MAX_SLOTS];

	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		struct net_rx_meta m = { .gso_type = cases[c].gso ? 1 : 0, .gso_size = (uint16_t)cases[c].gso };
		uint32_t n = net_rx_slots(cases[c].bytes, &m), nr, at = 0;

		assert_int_equal(n, cases[c].slots);
		for (uint32_t i = 0; i < n; i++)
			s[i].req = (struct netif_rx_request){ .id = (uint16_t)(40 + i), .gref = i };
		nr = net_rx_plan(cases[c].bytes, &m, s, s, pieces);
		for (uint32_t i = 0; i < nr; i++) {
			const struct netif_rx_response *r = &s[pieces[i].slot].rsp;

			assert_int_equal(pieces[i].offset, at);
			at += pieces[i].bytes;
			assert_int_equal(r->status, pieces[i].bytes);
			assert_int_equal(r->id, 40 + pieces[i].slot);
			assert_int_equal(r->offset, 0);
			assert_int_equal(!!(r->flags & NETRXF_more_data), i + 1 < nr);
			assert_int_equal(!!(r->flags & NETRXF_extra_info), i == 0 && cases[c].gso);
		}
		assert_int_equal(at, cases[c].bytes);
		if (cases[c].gso) {
			assert_int_equal(s[1].extra.type, XEN_NETIF_EXTRA_TYPE_GSO);
			assert_int_equal(s[1].extra.flags, 0);
			assert_int_equal(s[1].extra.u.gso.size, cases[c].gso);
			assert_int_equal(s[1].extra.u.gso.type, 1);
		}
		net_rx_fail(s, n, &m);
		for (uint32_t i = 0; i < n; i++)
			if (i != 1 || !cases[c].gso)
				assert_int_equal(s[i].rsp.status, NETIF_RSP_ERROR);
	}
}

/* The bits are in another order than on the way out. */
static void test_rx_flags(void **state)
{
	union net_rx_slot s[2] = { 0 };
	struct net_rx_piece pieces[NET_RX_MAX_SLOTS];

	net_rx_plan(60, &(struct net_rx_meta){ .data_validated = true }, s, s, pieces);
	assert_int_equal(s[0].rsp.flags, 1);
	net_rx_plan(60, &(struct net_rx_meta){ .csum_blank = true }, s, s, pieces);
	assert_int_equal(s[0].rsp.flags, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_from_guest),
		cmocka_unit_test(test_gso_without_blank),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_udp_sum_of_zero),
		cmocka_unit_test(test_sum_out_of_bounds),
		cmocka_unit_test(test_to_guest),
		cmocka_unit_test(test_rx_plan),
		cmocka_unit_test(test_rx_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

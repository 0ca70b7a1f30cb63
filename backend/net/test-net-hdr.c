/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-net-hdr.c - the way between netif and virtio, both ways; then receive slots. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/net/net-rx.h"
#include "backend/net/net-wire.h"
#include "common/net/test-frame.h"

static void put_pseudo(struct frame *f)
{
	struct frame_head h;
	uint16_t sum;

	assert_int_equal(frame_parse(f->b, f->n, &h), 0);
	sum = frame_pseudo(f->b, &h, f->n - h.l4);
	memcpy(f->b + h.l4 + h.csum, &sum, 2);
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
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), -EPROTOTYPE);
	ip4(&f, 0, 0, 17, 3000);
	p.bytes = f.n;
	p.gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), -EPROTOTYPE); /* UDP cannot be cut */
	p.gso_type = XEN_NETIF_GSO_TYPE_NONE;
	f.b[23] = 1; /* a blank checksum of ICMP has no place */
	assert_int_equal(net_hdr_from_guest(&p, f.b, &v), -EBADMSG);
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
	assert_int_equal(frame_finish(f.b, f.n, v.csum_start, v.csum_offset), 0);
	assert_int_equal(verify(&f, 26, 8, 6), 0xffff);
}

static void test_sums(void **state)
{
	const uint8_t exts[] = { 60 };
	struct net_meta m;
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

static void test_to_guest(void **state)
{
	struct virtio_net_hdr v = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	struct net_meta m;
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
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), -EBADMSG);
	v.gso_size = 1448;
	v.gso_type = VIRTIO_NET_HDR_GSO_TCPV6; /* 4 on this side, 2 on the other */
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), -EBADMSG);
	v.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), -EOPNOTSUPP);
	assert_int_equal(net_hdr_to_guest(&v, f.b, 13, NET_F_ALL, &m), -EBADMSG);
}

/* Linux looks for the IP header where it is without a tag: nothing behind one may be left to it. */
static void behind_a_tag_all_is_finished(void **state)
{
	for (uint32_t tags = 1; tags <= 2; tags++) {
		struct virtio_net_hdr v = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = 16 };
		struct net_meta m;
		struct frame f;

		ip4(&f, tags, 0, 6, 1000);
		put_pseudo(&f);
		v.csum_start = (uint16_t)f.l4;
		assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), 0);
		assert_false(m.csum_blank);
		assert_int_equal(verify(&f, 26 + 4 * tags, 8, 6), 0xffff);
		v.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		v.gso_size = 500;
		assert_true(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m) > 0); /* to be cut */
		assert_false(m.csum_blank || m.gso_type);
		v.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
		assert_int_equal(net_hdr_to_guest(&v, f.b, f.n, NET_F_ALL, &m), -EBADMSG);
	}
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
		struct net_meta m = { .gso_type = cases[c].gso ? 1 : 0, .gso_size = (uint16_t)cases[c].gso };
		uint32_t n = net_rx_slots(cases[c].bytes, &m), nr, at = 0;

		assert_int_equal(n, cases[c].slots);
		for (uint32_t i = 0; i < n; i++)
			s[i].req = (struct netif_rx_request){ .id = (uint16_t)(40 + i), .gref = 0xeeeeee00 + i };
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
			assert_int_equal(s[1].extra.u.gso.pad, 0); /* XSA-216: nothing of the request is left */
			assert_int_equal(s[1].extra.u.gso.features, 0);
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

	net_rx_plan(60, &(struct net_meta){ .data_validated = true }, s, s, pieces);
	assert_int_equal(s[0].rsp.flags, 1);
	net_rx_plan(60, &(struct net_meta){ .csum_blank = true }, s, s, pieces);
	assert_int_equal(s[0].rsp.flags, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_guest),
		cmocka_unit_test(test_gso_without_blank),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_to_guest),
		cmocka_unit_test(test_rx_plan),
		cmocka_unit_test(test_rx_flags),
		cmocka_unit_test(behind_a_tag_all_is_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

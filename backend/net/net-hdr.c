/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-hdr.c - see net-hdr.h.
 *
 * netif carries no place of the checksum, virtio does: a guest's "checksum blank" is believed only for a whole TCP or
 * UDP header, whose place we find ourselves.  The field then holds the sum over the pseudo-header; so it does for a
 * packet to be cut, with the length of the whole.
 */
#include <errno.h>
#include "backend/net/net-hdr.h"
#include "backend/net/net-wire.h"

#define ETH_IP   0x0800u
#define ETH_IP6  0x86ddu
#define ETH_VLAN 0x8100u
#define ETH_QINQ 0x88a8u
#define MAX_TAGS 2u
#define MAX_EXTS 8u /* IPv6 extension headers: more than any real packet has */

#define PROTO_HOPOPTS  0u
#define PROTO_TCP      6u
#define PROTO_UDP      17u
#define PROTO_ROUTING  43u
#define PROTO_FRAGMENT 44u
#define PROTO_AH       51u
#define PROTO_DSTOPTS  60u

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static int parse_ip4(const uint8_t *f, uint32_t bytes, struct net_hdr *h)
{
	const uint8_t *ip = f + h->l3;
	uint32_t len;

	if (bytes - h->l3 < 20 || ip[0] >> 4 != 4)
		return -EINVAL;
	len = (ip[0] & 0xfu) * 4;
	if (len < 20 || bytes - h->l3 < len)
		return -EINVAL;
	if (get16(ip + 6) & 0x3fff) /* more fragments, or not the first */
		return -EINVAL;
	h->ip = 4;
	h->proto = ip[9];
	h->l4 = (uint16_t)(h->l3 + len);
	h->ip_bytes = get16(ip + 2);
	return 0;
}

static int parse_ip6(const uint8_t *f, uint32_t bytes, struct net_hdr *h)
{
	const uint8_t *ip = f + h->l3;
	uint32_t at = h->l3 + 40u;
	uint8_t next;

	if (bytes - h->l3 < 40 || ip[0] >> 4 != 6)
		return -EINVAL;
	next = ip[6];
	for (uint32_t i = 0; i < MAX_EXTS; i++) {
		uint32_t len;

		if (next != PROTO_HOPOPTS && next != PROTO_ROUTING && next != PROTO_DSTOPTS && next != PROTO_AH) {
			if (next == PROTO_FRAGMENT)
				return -EINVAL;
			h->ip = 6;
			h->proto = next;
			h->l4 = (uint16_t)at;
			h->ip_bytes = get16(ip + 4) ? get16(ip + 4) + 40u : 0;
			return 0;
		}
		if (at + 8 > bytes)
			return -EINVAL;
		len = next == PROTO_AH ? (f[at + 1] + 2u) * 4 : (f[at + 1] + 1u) * 8;
		next = f[at];
		at += len;
		if (at > bytes || at > UINT16_MAX)
			return -EINVAL;
	}
	return -EINVAL;
}

int net_hdr_parse(const uint8_t *f, uint32_t bytes, struct net_hdr *h)
{
	uint32_t at = 12;
	uint16_t type;
	uint32_t need;
	int rc;

	if (bytes < NET_MIN_FRAME)
		return -EINVAL;
	type = get16(f + at);
	for (uint32_t i = 0; i < MAX_TAGS && (type == ETH_VLAN || type == ETH_QINQ); i++) {
		at += 4;
		if (at + 2 > bytes)
			return -EINVAL;
		type = get16(f + at);
	}
	h->l3 = (uint16_t)(at + 2);
	if (type == ETH_IP)
		rc = parse_ip4(f, bytes, h);
	else
		rc = type == ETH_IP6 ? parse_ip6(f, bytes, h) : -EINVAL;
	if (rc < 0)
		return rc;
	if (h->proto != PROTO_TCP && h->proto != PROTO_UDP)
		return -EINVAL;
	need = h->proto == PROTO_TCP ? 20 : 8;
	if (bytes - h->l4 < need)
		return -EINVAL;
	if (h->proto == PROTO_TCP) {
		need = (f[h->l4 + 12] >> 4) * 4u;
		if (need < 20 || bytes - h->l4 < need)
			return -EINVAL;
	}
	h->csum = h->proto == PROTO_TCP ? 16 : 6;
	h->end = (uint16_t)(h->l4 + need);
	return 0;
}

/* ------------------------------------------------------------------ sums */

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of big-endian words; an odd last byte counts as the high one. */
static uint64_t sum_bytes(const uint8_t *p, uint32_t bytes)
{
	uint64_t sum = 0;

	for (; bytes >= 2; p += 2, bytes -= 2)
		sum += get16(p);
	return bytes ? sum + ((uint64_t)p[0] << 8) : sum;
}

uint16_t net_csum_pseudo(const uint8_t *f, const struct net_hdr *h, uint32_t l4_bytes)
{
	uint64_t sum = h->proto + (l4_bytes >> 16) + (l4_bytes & 0xffff);

	if (h->ip == 4)
		sum += sum_bytes(f + h->l3 + 12, 8);
	else
		sum += sum_bytes(f + h->l3 + 8, 32);
	return fold(sum);
}

int net_csum_finish(uint8_t *f, uint32_t bytes, uint32_t start, uint32_t offset)
{
	uint16_t sum;

	if (start > bytes || bytes - start < 2 || offset > bytes - start - 2)
		return -EINVAL;
	sum = (uint16_t)~fold(sum_bytes(f + start, bytes - start));
	/* UDP has no sum of 0: that would say there is none.  For TCP 0 and 0xffff are the same. */
	put16(f + start + offset, sum ? sum : 0xffff);
	return 0;
}

/* ------------------------------------------------------------------ from a guest */

int net_hdr_from_guest(const struct net_tx_packet *p, uint8_t *f, struct virtio_net_hdr *v)
{
	struct net_hdr h;
	bool gso = p->gso_type != XEN_NETIF_GSO_TYPE_NONE;

	memset(v, 0, sizeof(*v));
	if (!p->csum_blank && !gso) {
		if (p->data_validated)
			v->flags = VIRTIO_NET_HDR_F_DATA_VALID;
		return 0;
	}
	if (net_hdr_parse(f, p->bytes, &h) < 0)
		return -EINVAL;
	v->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	v->csum_start = h.l4;
	v->csum_offset = h.csum;
	if (!gso)
		return 0;
	if (h.proto != PROTO_TCP || (h.ip == 4) != (p->gso_type == XEN_NETIF_GSO_TYPE_TCPV4))
		return -EINVAL;
	if (!p->csum_blank)
		put16(f + h.l4 + h.csum, net_csum_pseudo(f, &h, p->bytes - h.l4));
	if (p->bytes - h.end <= p->gso_size)
		return 0; /* it fits as it is: nothing to cut */
	v->gso_type = h.ip == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	v->gso_size = p->gso_size;
	v->hdr_len = h.end;
	return 0;
}

/* ------------------------------------------------------------------ to a guest */

static int cut_to_guest(const struct virtio_net_hdr *v, const struct net_hdr *h, bool parsed, uint32_t features,
			struct net_rx_meta *m)
{
	uint8_t type = v->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint8_t ip = type == VIRTIO_NET_HDR_GSO_TCPV4 ? 4 : 6;

	if (type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6)
		return -EOPNOTSUPP;
	if (!parsed || h->proto != PROTO_TCP || h->ip != ip || v->gso_size == 0)
		return -EINVAL;
	if (!(features & (ip == 4 ? NET_F_GSO4 : NET_F_GSO6)) || !(features & (ip == 4 ? NET_F_CSUM4 : NET_F_CSUM6)) ||
	    !(features & NET_F_SG))
		return -EOPNOTSUPP;
	m->gso_type = ip == 4 ? XEN_NETIF_GSO_TYPE_TCPV4 : XEN_NETIF_GSO_TYPE_TCPV6;
	m->gso_size = v->gso_size;
	/* Windows asserts that a packet to be cut has no checksum yet; Linux repairs it. */
	m->csum_blank = m->data_validated = true;
	return 0;
}

int net_hdr_to_guest(const struct virtio_net_hdr *v, uint8_t *f, uint32_t bytes, uint32_t features,
		     struct net_rx_meta *m)
{
	struct net_hdr h;
	bool parsed;

	memset(m, 0, sizeof(*m));
	if (bytes < NET_MIN_FRAME)
		return -EINVAL;
	if (v->gso_type == VIRTIO_NET_HDR_GSO_NONE && !(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		m->data_validated = v->flags & VIRTIO_NET_HDR_F_DATA_VALID;
		return 0;
	}
	parsed = net_hdr_parse(f, bytes, &h) == 0;
	if (v->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return cut_to_guest(v, &h, parsed, features, m);
	/* The guest looks for the field itself, where we would. */
	if (parsed && v->csum_start == h.l4 && v->csum_offset == h.csum &&
	    (features & (h.ip == 4 ? NET_F_CSUM4 : NET_F_CSUM6))) {
		m->csum_blank = m->data_validated = true;
		return 0;
	}
	return net_csum_finish(f, bytes, v->csum_start, v->csum_offset);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* frame.c - see frame.h */
#include <errno.h>
#include "common/net/frame.h"

#define ETH_IPV4 0x0800u
#define ETH_IPV6 0x86ddu
#define ETH_VLAN 0x8100u
#define ETH_QINQ 0x88a8u
#define MAX_TAGS 2u
#define MAX_EXTS \
	8u /* IPv6 extension headers: more than any real packet has; of 2 KiB at most, so offsets fit 16 bits */

#define PROTO_HOPOPTS 0u
#define PROTO_ROUTING 43u
#define PROTO_AH      51u
#define PROTO_DSTOPTS 60u

static inline uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/* ------------------------------------------------------------------ headers */

static int parse_l4(const uint8_t *p, size_t have, uint32_t l4, uint32_t proto, struct frame_head *h)
{
	uint32_t n;

	if (proto == FRAME_PROTO_UDP) {
		n = 8;
		h->csum = 6;
	} else if (proto == FRAME_PROTO_TCP) {
		if (have < l4 + 20)
			return -EBADMSG;
		n = (uint32_t)(p[l4 + 12] >> 4) * 4;
		if (n < 20)
			return -EBADMSG;
		h->csum = 16;
	} else {
		return -EOPNOTSUPP;
	}
	if (have < l4 + n)
		return -EBADMSG;
	h->proto = (uint8_t)proto;
	h->l4 = (uint16_t)l4;
	h->bytes = (uint16_t)(l4 + n);
	return 0;
}

static int parse_ipv4(const uint8_t *p, size_t have, uint32_t at, struct frame_head *h)
{
	uint32_t n;

	if (have < at + 20 || p[at] >> 4 != 4)
		return -EBADMSG;
	n = (p[at] & 0xfu) * 4;
	if (n < 20 || have < at + n)
		return -EBADMSG;
	if (be16(p + at + 6) & 0x3fff) /* more fragments, or not the first */
		return -EOPNOTSUPP;
	h->family = 4;
	return parse_l4(p, have, at + n, p[at + 9], h);
}

static int parse_ipv6(const uint8_t *p, size_t have, uint32_t at, struct frame_head *h)
{
	uint32_t next, n;

	if (have < at + 40 || p[at] >> 4 != 6)
		return -EBADMSG;
	h->family = 6;
	next = p[at + 6];
	at += 40;
	for (uint32_t i = 0; i < MAX_EXTS; i++) {
		if (next != PROTO_HOPOPTS && next != PROTO_ROUTING && next != PROTO_DSTOPTS && next != PROTO_AH)
			return parse_l4(p, have, at, next, h); /* not a fragment's: that is neither TCP nor UDP */
		if (have < at + 8)
			return -EBADMSG;
		n = next == PROTO_AH ? (p[at + 1] + 2u) * 4 : (p[at + 1] + 1u) * 8;
		next = p[at];
		at += n;
	}
	return -EOPNOTSUPP;
}

int frame_parse(const uint8_t *p, size_t have, struct frame_head *ret)
{
	struct frame_head h = { 0 };
	uint32_t at = 12, type;
	int err;

	if (have < FRAME_ETH_LEN)
		return -EBADMSG;
	type = be16(p + at);
	for (uint32_t tags = 0; type == ETH_VLAN || type == ETH_QINQ; tags++) {
		if (tags == MAX_TAGS)
			return -EOPNOTSUPP;
		at += 4;
		if (have < at + 2)
			return -EBADMSG;
		type = be16(p + at);
	}
	at += 2;
	h.l3 = (uint16_t)at;
	err = type == ETH_IPV4   ? parse_ipv4(p, have, at, &h)
	      : type == ETH_IPV6 ? parse_ipv6(p, have, at, &h)
				 : -EOPNOTSUPP;
	if (err == 0)
		*ret = h;
	return err;
}

/* ------------------------------------------------------------------ checksums */

uint32_t csum_add(uint32_t sum, const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t s = sum;
	uint32_t w;
	uint16_t half;

	/* Ones' complement sums do not care for the order of bytes, so long as it is the same throughout (RFC 1071). */
	for (; n >= 4; n -= 4, b += 4) {
		memcpy(&w, b, 4);
		s += w;
	}
	if (n >= 2) {
		memcpy(&half, b, 2);
		s += half;
		b += 2;
		n -= 2;
	}
	if (n) {
		half = 0;
		memcpy(&half, b, 1);
		s += half;
	}
	s = (s & 0xffffffffu) + (s >> 32);
	return (uint32_t)((s & 0xffffffffu) + (s >> 32));
}

uint16_t csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

uint16_t frame_pseudo(const uint8_t *p, const struct frame_head *h, uint32_t l4_bytes)
{
	uint8_t rest[8] = { (uint8_t)(l4_bytes >> 24),
			    (uint8_t)(l4_bytes >> 16),
			    (uint8_t)(l4_bytes >> 8),
			    (uint8_t)l4_bytes,
			    0,
			    0,
			    0,
			    h->proto };
	uint32_t sum;

	sum = h->family == 4 ? csum_add(0, p + h->l3 + 12, 8) : csum_add(0, p + h->l3 + 8, 32);
	return csum_fold(csum_add(sum, rest, sizeof(rest)));
}

/* The piece of @iov that byte @at is in, and where in it; NULL behind the end. */
static uint8_t *byte_at(const struct iovec *iov, uint32_t nr, uint32_t at)
{
	for (uint32_t i = 0; i < nr; i++) {
		if (at < iov[i].iov_len)
			return (uint8_t *)iov[i].iov_base + at;
		at -= (uint32_t)iov[i].iov_len;
	}
	return NULL;
}

int csum_finish(const struct iovec *iov, uint32_t nr, uint32_t start, uint32_t offset)
{
	uint8_t *hi = byte_at(iov, nr, start + offset), *lo = byte_at(iov, nr, start + offset + 1);
	uint32_t sum = 0, at = start;
	bool odd = false;
	uint16_t c;

	if (!hi || !lo || start + offset < start)
		return -EBADMSG;
	for (uint32_t i = 0; i < nr; i++) {
		size_t n = iov[i].iov_len;
		uint32_t part;

		if (at >= n) {
			at -= (uint32_t)n;
			continue;
		}
		part = csum_fold(csum_add(0, (uint8_t *)iov[i].iov_base + at, n - at));
		/* A piece that starts at an odd byte of the sum counts with its bytes swapped. */
		sum += odd ? (part >> 8 | (part & 0xff) << 8) : part;
		odd ^= (n - at) & 1;
		at = 0;
	}
	c = (uint16_t)~csum_fold(sum);
	if (c == 0) /* which for UDP would say that there is none; for TCP it is the same number */
		c = 0xffff;
	memcpy(hi, &c, 1);
	memcpy(lo, (uint8_t *)&c + 1, 1);
	return 0;
}

bool csum_right(const uint8_t *p, const struct frame_head *h, uint32_t bytes)
{
	uint32_t l4_bytes = bytes - h->l4, sum;

	if (bytes < h->bytes)
		return false;
	if (h->proto == FRAME_PROTO_UDP && h->family == 4 && be16(p + h->l4 + h->csum) == 0)
		return true;
	sum = csum_add(frame_pseudo(p, h, l4_bytes), p + h->l4, l4_bytes);
	return csum_fold(sum) == 0xffff;
}

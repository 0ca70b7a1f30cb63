/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cut.c - see cut.h. */
#include <errno.h>
#include "common/net/cut.h"

#define TCP_SEQ   4u
#define TCP_FLAGS 13u
#define FIN       0x01u
#define PSH       0x08u
#define CWR       0x80u

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

int net_cut_begin(struct net_cut *c, const uint8_t *frame, uint32_t bytes, uint32_t size)
{
	struct frame_head h;

	if (frame_parse(frame, bytes, &h) < 0 || h.proto != FRAME_PROTO_TCP || h.bytes >= bytes || size < NET_CUT_MIN)
		return -EBADMSG;
	*c = (struct net_cut){ .frame = frame, .bytes = bytes, .at = h.bytes, .size = size, .h = h };
	return 0;
}

/* Its length, its number, its sum. */
static void fit_ipv4(uint8_t *ip, uint32_t head, uint32_t bytes, uint32_t nr)
{
	uint16_t sum = 0;

	put16(ip + 2, bytes);
	put16(ip + 4, ((uint32_t)ip[4] << 8 | ip[5]) + nr);
	memcpy(ip + 10, &sum, sizeof(sum));
	sum = (uint16_t)~csum_fold(csum_add(0, ip, head));
	memcpy(ip + 10, &sum, sizeof(sum));
}

uint32_t net_cut_next(struct net_cut *c, uint8_t *to)
{
	const struct frame_head *h = &c->h;
	uint32_t data = MIN(c->size, c->bytes - c->at), before = c->at - h->bytes, bytes = h->bytes + data;
	uint8_t *ip = to + h->l3, *tcp = to + h->l4;
	uint16_t sum;

	memcpy(to, c->frame, h->bytes);
	memcpy(to + h->bytes, c->frame + c->at, data);
	c->at += data;
	if (h->family == 4)
		fit_ipv4(ip, (uint32_t)h->l4 - h->l3, bytes - h->l3, before / c->size);
	else
		put16(ip + 4, bytes - h->l3 - 40);
	put32(tcp + TCP_SEQ, get32(tcp + TCP_SEQ) + before);
	if (before) /* said once, by the first */
		tcp[TCP_FLAGS] &= (uint8_t)~CWR;
	if (net_cut_more(c)) /* by the last */
		tcp[TCP_FLAGS] &= (uint8_t) ~(FIN | PSH);
	sum = frame_pseudo(to, h, bytes - h->l4);
	memcpy(tcp + h->csum, &sum, sizeof(sum));
	sum = (uint16_t)~csum_fold(csum_add(0, tcp, bytes - h->l4));
	memcpy(tcp + h->csum, &sum, sizeof(sum));
	return bytes;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-probe.c - see net-probe.h */
#include "frontend/net/net-probe.h"

#include <errno.h>

#define MAGIC     0x626f7250u /* "Prob" */
#define ETHERTYPE 0x88b5u
#define UDP_PORT  9u /* discard */
#define TCP_PORT  9u
#define MAX_SEQ   ((uint64_t)1 << 62)
#define FLOW_PORT 0xc000u /* + flow: the source port */

struct head {
	uint32_t magic, run;
	uint16_t flow, flags; /* 1: the last one */
	uint32_t bytes;
	uint64_t seq, sent_ns, check;
};
_Static_assert(sizeof(struct head) == 40, "no padding: it goes on the wire");

const char *const probe_kinds[PROBE_NR_KINDS] = { "eth", "udp4", "udp6", "tcp4", "tcp6" };

static const struct {
	uint8_t family, proto;
	uint16_t l4, data; /* offsets; where the head, or TCP's data, starts */
} shape[PROBE_NR_KINDS] = {
	[PROBE_ETH] = { 0, 0, 14, 14 },
	[PROBE_UDP4] = { 4, FRAME_PROTO_UDP, 34, 42 },
	[PROBE_UDP6] = { 6, FRAME_PROTO_UDP, 54, 62 },
	[PROBE_TCP4] = { 4, FRAME_PROTO_TCP, 34, 54 },
	[PROBE_TCP6] = { 6, FRAME_PROTO_TCP, 54, 74 },
};

static inline uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

uint32_t probe_head_bytes(enum probe_kind k)
{
	return shape[k].data + (probe_is_tcp(k) ? 0 : (uint32_t)sizeof(struct head));
}

/* ------------------------------------------------------------------ what is carried */

/* Eight bytes of the stream @seed at word @i. */
static inline uint64_t word_at(uint64_t seed, uint64_t i)
{
	return mix(seed + i * 0x9e3779b97f4a7c15u);
}

/* @at wraps at 32 bits, as TCP's positions do. */
static void fill_from(uint8_t *p, uint32_t bytes, uint64_t seed, uint32_t at)
{
	while (bytes) {
		uint64_t w = word_at(seed, at / 8);
		uint32_t in = at % 8, n = MIN(bytes, 8 - in);

		memcpy(p, (uint8_t *)&w + in, n);
		p += n;
		at += n;
		bytes -= n;
	}
}

static bool same_from(const uint8_t *p, uint32_t bytes, uint64_t seed, uint32_t at)
{
	while (bytes) {
		uint64_t w = word_at(seed, at / 8);
		uint32_t in = at % 8, n = MIN(bytes, 8 - in);

		if (memcmp(p, (uint8_t *)&w + in, n) != 0)
			return false;
		p += n;
		at += n;
		bytes -= n;
	}
	return true;
}

static uint64_t seed_of(uint32_t run, uint32_t flow, uint64_t seq)
{
	return mix(((uint64_t)run << 16 | flow) + mix(seq + 1));
}

static uint64_t check_of(const struct head *h)
{
	return mix(h->magic ^ (uint64_t)h->run << 32) ^
	       mix(((uint64_t)h->flow << 48 | (uint64_t)h->flags << 32 | h->bytes) + 1) ^ mix(h->seq + 2) ^
	       mix(h->sent_ns + 3);
}

/* ------------------------------------------------------------------ building */

static void put_ip(const struct probe *p, uint8_t *b, uint32_t bytes)
{
	uint8_t *ip = b + FRAME_ETH_LEN;
	uint16_t c;

	if (shape[p->kind].family == 4) {
		memset(ip, 0, 20);
		ip[0] = 0x45;
		put16(ip + 2, bytes - FRAME_ETH_LEN);
		ip[6] = 0x40; /* do not fragment */
		ip[8] = 64;
		ip[9] = shape[p->kind].proto;
		/* 192.0.2.0/24 is for documentation; the hosts are told apart by their MAC's last byte. */
		memcpy(ip + 12, (uint8_t[4]){ 192, 0, 2, p->src[5] }, 4);
		memcpy(ip + 16, (uint8_t[4]){ 192, 0, 2, p->dst[5] }, 4);
		c = (uint16_t)~csum_fold(csum_add(0, ip, 20));
		memcpy(ip + 10, &c, 2);
		return;
	}
	memset(ip, 0, 40);
	ip[0] = 0x60;
	put16(ip + 4, bytes - FRAME_ETH_LEN - 40);
	ip[6] = shape[p->kind].proto;
	ip[7] = 64;
	/* 2001:db8::/32 likewise */
	put32(ip + 8, 0x20010db8);
	put32(ip + 24, 0x20010db8);
	ip[23] = p->src[5];
	ip[39] = p->dst[5];
}

static void put_l4(const struct probe *p, uint8_t *l4, uint32_t l4_bytes)
{
	if (shape[p->kind].proto == FRAME_PROTO_UDP) {
		put16(l4, FLOW_PORT + p->flow);
		put16(l4 + 2, UDP_PORT);
		put16(l4 + 4, l4_bytes);
		put16(l4 + 6, 0);
		return;
	}
	memset(l4, 0, 20);
	put16(l4, FLOW_PORT + p->flow);
	put16(l4 + 2, TCP_PORT);
	put32(l4 + 4, (uint32_t)p->seq);
	put32(l4 + 8, p->run);
	l4[12] = 0x50;
	l4[13] = p->end ? 0x11 : 0x10; /* ACK, and FIN */
	put16(l4 + 14, 0xffff);
}

void probe_build(const struct probe *p, uint8_t *b, uint32_t bytes, bool fill, bool blank)
{
	uint32_t at = shape[p->kind].data;
	struct frame_head h = { .family = shape[p->kind].family,
				.proto = shape[p->kind].proto,
				.l3 = FRAME_ETH_LEN,
				.l4 = shape[p->kind].l4,
				.bytes = shape[p->kind].data };
	struct head d = { .magic = MAGIC,
			  .run = p->run,
			  .flow = p->flow,
			  .flags = p->end,
			  .bytes = bytes,
			  .seq = p->seq,
			  .sent_ns = p->sent_ns };
	uint16_t pseudo;

	memcpy(b, p->dst, 6);
	memcpy(b + 6, p->src, 6);
	put16(b + 12, h.family == 4 ? 0x0800 : h.family == 6 ? 0x86dd : ETHERTYPE);
	if (h.family)
		put_ip(p, b, bytes);
	if (h.proto)
		put_l4(p, b + h.l4, bytes - h.l4);
	if (probe_is_tcp(p->kind)) {
		if (fill)
			fill_from(b + at, bytes - at, seed_of(p->run, p->flow, 0), (uint32_t)p->seq);
	} else {
		d.check = check_of(&d);
		memcpy(b + at, &d, sizeof(d));
		at += (uint32_t)sizeof(d);
		if (fill)
			fill_from(b + at, bytes - at, seed_of(p->run, p->flow, p->seq), 0);
	}
	if (!h.proto)
		return;
	h.csum = h.proto == FRAME_PROTO_TCP ? 16 : 6;
	pseudo = frame_pseudo(b, &h, bytes - h.l4);
	memcpy(b + h.l4 + h.csum, &pseudo, 2);
	if (!blank && frame_finish(b, bytes, h.l4, h.csum) < 0)
		memset(b + h.l4 + h.csum, 0, 2); /* (cannot be: the field is inside) */
}

/* ------------------------------------------------------------------ checking */

/* The frame's length without an Ethernet padding; 0 when the IP header does not fit the frame. */
static uint32_t ip_end(const uint8_t *b, const struct frame_head *h, uint32_t bytes)
{
	uint32_t n = h->family == 4 ? h->l3 + get16(b + h->l3 + 2) : h->l3 + 40 + get16(b + h->l3 + 4);

	return n <= bytes && n >= h->bytes ? n : 0;
}

static enum probe_result check_l4(const uint8_t *b, const struct frame_head *h, uint32_t bytes, bool blank)
{
	uint16_t c;

	if (!blank)
		return csum_right(b, h, bytes) ? PROBE_OK : PROBE_CSUM;
	memcpy(&c, b + h->l4 + h->csum, 2);
	return c == frame_pseudo(b, h, bytes - h->l4) ? PROBE_OK : PROBE_CSUM;
}

static enum probe_result check_tcp(const uint8_t *b, const struct frame_head *h, uint32_t bytes, bool check,
				   struct probe *p, uint32_t *data)
{
	const uint8_t *l4 = b + h->l4;

	p->kind = h->family == 4 ? PROBE_TCP4 : PROBE_TCP6;
	if (get16(l4 + 2) != TCP_PORT || get16(l4) < FLOW_PORT)
		return PROBE_FOREIGN;
	p->flow = (uint16_t)(get16(l4) - FLOW_PORT);
	p->run = get32(l4 + 8);
	p->seq = get32(l4 + 4);
	p->end = l4[13] & 1;
	*data = bytes - h->bytes;
	if (check && !same_from(b + h->bytes, *data, seed_of(p->run, p->flow, 0), (uint32_t)p->seq))
		return PROBE_CORRUPT;
	return PROBE_OK;
}

static enum probe_result check_head(const uint8_t *b, uint32_t at, uint32_t bytes, bool check, struct probe *p)
{
	struct head d;

	if (bytes < at + sizeof(d))
		return PROBE_FOREIGN;
	memcpy(&d, b + at, sizeof(d));
	if (d.magic != MAGIC)
		return PROBE_FOREIGN;
	if (d.check != check_of(&d) || d.bytes > bytes || d.bytes < at + sizeof(d) || d.seq > MAX_SEQ)
		return PROBE_CORRUPT;
	p->run = d.run;
	p->flow = d.flow;
	p->end = d.flags & 1;
	p->seq = d.seq;
	p->sent_ns = d.sent_ns;
	at += (uint32_t)sizeof(d);
	if (check && !same_from(b + at, d.bytes - at, seed_of(d.run, d.flow, d.seq), 0))
		return PROBE_CORRUPT;
	return PROBE_OK;
}

enum probe_result probe_check(const uint8_t *b, uint32_t bytes, bool check, bool blank, struct probe *ret,
			      uint32_t *data)
{
	struct probe p = { 0 };
	struct frame_head h = { 0 };
	enum probe_result r;
	bool ip;

	*data = 0;
	if (bytes < FRAME_ETH_LEN)
		return PROBE_FOREIGN;
	memcpy(p.dst, b, 6);
	memcpy(p.src, b + 6, 6);
	ip = get16(b + 12) != ETHERTYPE;
	if (ip) {
		if (frame_parse(b, bytes, &h) < 0)
			return PROBE_FOREIGN;
		bytes = ip_end(b, &h, bytes);
		if (bytes == 0)
			return PROBE_FOREIGN;
	}
	if (ip && h.proto == FRAME_PROTO_TCP) {
		r = check_tcp(b, &h, bytes, check, &p, data);
	} else {
		r = check_head(b, ip ? h.bytes : FRAME_ETH_LEN, bytes, check, &p);
		p.kind = !ip ? PROBE_ETH : h.family == 4 ? PROBE_UDP4 : PROBE_UDP6;
	}
	if (r == PROBE_OK && ip && check)
		r = check_l4(b, &h, bytes, blank);
	if (r == PROBE_OK)
		*ret = p;
	return r;
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t t[16];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

void probe_turn(uint8_t *b, uint32_t bytes)
{
	uint8_t *ip = b + FRAME_ETH_LEN;

	/* Sums do not change when summands change places. */
	if (bytes < FRAME_ETH_LEN)
		return;
	swap(b, b + 6, 6);
	if (get16(b + 12) == 0x0800 && bytes >= FRAME_ETH_LEN + 20)
		swap(ip + 12, ip + 16, 4);
	else if (get16(b + 12) == 0x86dd && bytes >= FRAME_ETH_LEN + 40)
		swap(ip + 8, ip + 24, 16);
}

/* ------------------------------------------------------------------ counting */

/* TCP's 32 bits, continued: the position nearest to what is expected. */
static uint64_t unwrap(uint64_t next, uint32_t seq)
{
	int32_t d = (int32_t)(seq - (uint32_t)next);

	return d < 0 && (uint64_t) - (int64_t)d > next ? seq : next + (uint64_t)(int64_t)d;
}

static void count_tcp(struct probe_flow *f, const struct probe *p, uint32_t data)
{
	uint64_t at = unwrap(f->next, (uint32_t)p->seq);

	if (p->end) {
		f->ended = true;
		f->sent = at + data;
	}
	if (at < f->next) { /* again, or out of order: positions are not remembered */
		f->late += data;
		return;
	}
	f->unique += data;
	f->next = at + data;
}

static void count_numbered(struct probe_flow *f, const struct probe *p)
{
	bool late = false;
	uint64_t bit;

	if (p->end) { /* carries the number of frames before it */
		f->ended = true;
		f->sent = p->seq;
		return;
	}
	if (p->seq >= f->next) {
		uint64_t from = MAX(f->next, p->seq >= PROBE_WINDOW ? p->seq - PROBE_WINDOW + 1 : 0);

		for (uint64_t i = from; i <= p->seq; i++)
			f->window[i % PROBE_WINDOW / 64] &= ~((uint64_t)1 << i % 64);
		f->next = p->seq + 1;
	} else {
		late = true;
	}
	if (f->next - p->seq > PROBE_WINDOW) {
		f->late++;
		return;
	}
	bit = (uint64_t)1 << p->seq % 64;
	if (f->window[p->seq % PROBE_WINDOW / 64] & bit) {
		f->twice++;
		return;
	}
	f->window[p->seq % PROBE_WINDOW / 64] |= bit;
	f->unique++;
	f->late += late;
}

void probe_count(struct probe_flow *f, const struct probe *p, uint32_t frame_bytes, uint32_t data)
{
	f->used = true;
	f->run = p->run;
	f->flow = p->flow;
	if (!p->end || probe_is_tcp(p->kind)) {
		f->frames++;
		f->bytes += frame_bytes;
	}
	if (probe_is_tcp(p->kind))
		count_tcp(f, p, data);
	else
		count_numbered(f, p);
}

uint64_t probe_lost(const struct probe_flow *f)
{
	uint64_t sent = f->ended ? MAX(f->sent, f->next) : f->next;

	return sent > f->unique ? sent - f->unique : 0;
}

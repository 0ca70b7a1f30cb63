/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-frame.h - frames for tests, and a checksum computed apart from the code under test. */
#ifndef SYNTH_TEST_FRAME_H
#define SYNTH_TEST_FRAME_H

#include "common/base/base.h"

static inline uint32_t put(uint8_t *to, uint32_t at, const void *from, uint32_t bytes)
{
	memcpy(to + at, from, bytes);
	return at + bytes;
}

struct frame {
	uint8_t b[9000];
	uint32_t n, l4;
};

/* Ethernet, @tags VLAN tags, IPv4 with @options words of options, TCP or UDP, @payload bytes. */
static inline void ip4(struct frame *f, uint32_t tags, uint32_t options, uint8_t proto, uint32_t payload)
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
static inline void ip6(struct frame *f, const uint8_t *exts, uint32_t nr, uint8_t proto, uint32_t payload)
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
static inline uint32_t verify(const struct frame *f, uint32_t src, uint32_t addrs, uint8_t proto)
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

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-pair-ring.c - libFuzzer target: the memory two guests' workers share, with the other worker taken over: each index, each
 * length and each flag may be anything at any time.
 * links: backend/net/pair-ring.c
 * Input: steps, a byte and its operands.
 */
#include <errno.h>
#include "backend/net/pair-ring.h"
#include "tests/fuzz/fuzz.h"

#define ROOM 70000u

/* Where the words are (pair-ring.c keeps that to itself). */
enum { PUT = 0, WRITER_SLEEPS = 4, TAKEN = 64, READER_SLEEPS = 68 };

static void set(uint8_t *mem, uint32_t at, uint32_t v)
{
	memcpy(mem + at, &v, 4);
}

static uint32_t get(const uint8_t *mem, uint32_t at)
{
	uint32_t v;

	memcpy(&v, mem + at, 4);
	return v;
}

static void take(struct pair_in *in)
{
	struct virtio_net_hdr v;
	uint8_t *frame = malloc(ROOM);
	int rc;

	must(frame);
	do {
		rc = pair_in_take(in, &v, frame, ROOM);
		must(rc == -EPROTO || rc == -EMSGSIZE || (rc >= 0 && rc <= (int)ROOM));
		must(rc != -EPROTO || in->broken);
		must(in->seen - in->taken <= PAIR_RING_DATA || in->broken);
	} while (rc > 0 || rc == -EMSGSIZE);
	free(frame);
}

static void put(struct pair_out *out, uint32_t bytes)
{
	struct virtio_net_hdr v = { .flags = 1 };
	uint8_t *frame = calloc(1, MIN(bytes, PAIR_RING_FRAME_MAX) + 1) /* more is refused unread */;
	bool fits = pair_out_fits(out, bytes);
	int rc;

	must(frame);
	rc = pair_out_put(out, &v, frame, bytes);
	must(rc == 0 || rc == -EAGAIN || rc == -EMSGSIZE || rc == -EPROTO);
	must(fits || rc != 0);
	must(rc != -EPROTO || out->broken);
	must(out->put - out->seen <= PAIR_RING_DATA || out->broken);
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t lies[] = { 0,
					 1,
					 16,
					 32,
					 0x1000,
					 PAIR_RING_DATA - 16,
					 PAIR_RING_DATA,
					 PAIR_RING_DATA + 16,
					 0x80000000,
					 0xfffffff0,
					 0xffffffff,
					 PAIR_RING_FRAME_MAX };
	static const uint32_t words[] = { PUT, WRITER_SLEEPS, TAKEN, READER_SLEEPS };
	static uint8_t *mem;
	struct feed f = { data, size };
	struct pair_out out;
	struct pair_in in;
	uint32_t at;
	uint32_t bell = 0;

	if (!mem) {
		mem = aligned_alloc(PAGE_BYTES, PAIR_RING_SIZE);
		must(mem);
	}
	memset(mem, 0, PAIR_RING_HEAD + 256);
	memset(mem + PAIR_RING_SIZE - 256, 0, 256);
	pair_out_attach(&out, (struct pair_ring *)(void *)mem);
	pair_in_attach(&in, (struct pair_ring *)(void *)mem);
	for (int steps = 0; f.left && steps < 200; steps++) {
		uint8_t what = feed_u8(&f);

		at = words[(what >> 3) & 3];
		switch (what & 7) {
		case 0:
			set(mem, at, get(mem, at) + lies[feed_u8(&f) % ARRAY_SIZE(lies)]);
			break;
		case 1:
			set(mem, at, feed_u32(&f));
			break;
		case 2: /* the length of a record, where the reader is or near */
			at = (in.taken + (what >> 3) * 16u) & (PAIR_RING_DATA - 16);
			set(mem + PAIR_RING_HEAD, at, what & 8 ? feed_u16(&f) : lies[feed_u8(&f) % ARRAY_SIZE(lies)]);
			break;
		case 3:
			put(&out, feed_u16(&f));
			break;
		case 4:
			put(&out, lies[feed_u8(&f) % ARRAY_SIZE(lies)]);
			break;
		case 5:
			take(&in);
			break;
		case 6:
			bell += what & 8 ? pair_out_publish(&out) : pair_in_release(&in);
			bell += what & 16 ? pair_out_arm(&out, feed_u16(&f)) : pair_in_arm(&in);
			(void)(pair_in_due(&in) && pair_in_peek(&in));
			break;
		default: /* a worker is replaced */
			if (what & 8)
				pair_out_attach(&out, (struct pair_ring *)(void *)mem);
			else
				pair_in_attach(&in, (struct pair_ring *)(void *)mem);
		}
	}
	must(bell <= 400); /* two a step */
	return 0;
}

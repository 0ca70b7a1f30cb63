/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pair-ring.c - see pair-ring.h. */
#include <errno.h>
#include <stddef.h>
#include "backend/net/pair-ring.h"

struct pair_ring {
	/* the writer's line */
	uint32_t put;
	uint32_t writer_sleeps;
	uint8_t pad1[56];
	/* the reader's */
	uint32_t taken;
	uint32_t reader_sleeps;
	uint8_t pad2[PAIR_RING_HEAD - 72];
	uint8_t data[];
};
_Static_assert(offsetof(struct pair_ring, data) == PAIR_RING_HEAD, "data starts at a page");

struct record {
	uint32_t bytes; /* of the frame; 0: nothing up to the end of the ring */
	struct virtio_net_hdr v;
	uint8_t pad[2];
};
#define HEAD  16u
#define ALIGN 16u
_Static_assert(sizeof(struct record) == HEAD, "a head is one unit");

static inline uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* The other one sleeps, and is told only once.  What was published before must be seen by whoever sets the flag after. */
static bool wake(uint32_t *flag)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0 && __atomic_exchange_n(flag, 0, __ATOMIC_SEQ_CST) != 0;
}

static void say_asleep(uint32_t *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint32_t record_bytes(uint32_t frame)
{
	return HEAD + (frame + ALIGN - 1) / ALIGN * ALIGN;
}

/* Bytes from @at to the end of the ring. */
static uint32_t to_end(uint32_t at)
{
	return PAIR_RING_DATA - (at & (PAIR_RING_DATA - 1));
}

/* ------------------------------------------------------------------ writing */

void pair_out_attach(struct pair_out *o, struct pair_ring *ring)
{
	*o = (struct pair_out){ .ring = ring, .put = load(&ring->put), .seen = load(&ring->taken) };
	/* Not a place where records start: nobody has written these. */
	o->broken = o->put % ALIGN != 0 || o->put - o->seen > PAIR_RING_DATA;
}

/* Look where the reader is.  It cannot be ahead of us, nor go back. */
static void look_at_reader(struct pair_out *o)
{
	uint32_t taken = load(&o->ring->taken);

	if (unlikely(o->put - taken > o->put - o->seen))
		o->broken = true;
	else
		o->seen = taken;
}

/* What such a frame takes here and now, the gap before it included. */
static uint32_t need(const struct pair_out *o, uint32_t bytes)
{
	uint32_t want = record_bytes(bytes), end = to_end(o->put);

	return want <= end ? want : end + want;
}

static bool has_room(struct pair_out *o, uint32_t bytes)
{
	uint32_t want = need(o, bytes);

	if (PAIR_RING_DATA - (o->put - o->seen) >= want)
		return true;
	look_at_reader(o);
	return !o->broken && PAIR_RING_DATA - (o->put - o->seen) >= want;
}

bool pair_out_fits(struct pair_out *o, uint32_t bytes)
{
	/* What can never be put need not wait. */
	return o->broken || bytes > PAIR_RING_FRAME_MAX || has_room(o, bytes) || o->broken;
}

int pair_out_put(struct pair_out *o, const struct virtio_net_hdr *v, const uint8_t *frame, uint32_t bytes)
{
	struct record r = { .bytes = bytes, .v = *v };
	uint32_t end = to_end(o->put);
	uint8_t *to;

	if (unlikely(bytes == 0 || bytes > PAIR_RING_FRAME_MAX))
		return -EMSGSIZE;
	if (unlikely(o->broken))
		return -EPROTO;
	if (!has_room(o, bytes))
		return o->broken ? -EPROTO : -EAGAIN;
	if (unlikely(record_bytes(bytes) > end)) {
		struct record none = { 0 };

		memcpy(o->ring->data + (o->put & (PAIR_RING_DATA - 1)), &none, HEAD);
		o->put += end;
	}
	to = o->ring->data + (o->put & (PAIR_RING_DATA - 1));
	memcpy(to, &r, HEAD);
	memcpy(to + HEAD, frame, bytes);
	o->put += record_bytes(bytes);
	return 0;
}

bool pair_out_publish(struct pair_out *o)
{
	if (o->broken)
		return false;
	/* Records before the index that names them. */
	__atomic_store_n(&o->ring->put, o->put, __ATOMIC_RELEASE);
	return wake(&o->ring->reader_sleeps);
}

bool pair_out_arm(struct pair_out *o, uint32_t bytes)
{
	if (pair_out_fits(o, bytes))
		return true;
	say_asleep(&o->ring->writer_sleeps);
	return pair_out_fits(o, bytes);
}

/* ------------------------------------------------------------------ reading */

void pair_in_attach(struct pair_in *i, struct pair_ring *ring)
{
	uint32_t taken = load(&ring->taken);

	*i = (struct pair_in){ .ring = ring, .taken = taken, .told = taken, .seen = taken };
	i->broken = taken % ALIGN != 0;
}

/* All that was seen of it is taken. */
static void look_at_writer(struct pair_in *i)
{
	uint32_t put = load(&i->ring->put);

	/* Never more than a ring ahead, and in whole units. */
	if (unlikely(put - i->taken > PAIR_RING_DATA || put % ALIGN != 0))
		i->broken = true;
	else
		i->seen = put;
}

bool pair_in_peek(struct pair_in *i)
{
	if (i->seen == i->taken && !i->broken)
		look_at_writer(i);
	return i->seen != i->taken || i->broken;
}

int pair_in_take(struct pair_in *i, struct virtio_net_hdr *v, uint8_t *frame, uint32_t room)
{
	while (pair_in_peek(i)) {
		uint32_t end = to_end(i->taken), there = i->seen - i->taken;
		const uint8_t *from = i->ring->data + (i->taken & (PAIR_RING_DATA - 1));
		struct record r;

		if (unlikely(i->broken))
			return -EPROTO;
		memcpy(&r, from, HEAD); /* once: what follows looks at the copy */
		__asm__ volatile("" ::: "memory");
		if (r.bytes == 0) {
			if (unlikely(end > there))
				i->broken = true;
			i->taken += end;
			continue;
		}
		if (unlikely(r.bytes > PAIR_RING_FRAME_MAX || record_bytes(r.bytes) > MIN(there, end))) {
			i->broken = true;
			return -EPROTO;
		}
		i->taken += record_bytes(r.bytes);
		if (unlikely(r.bytes > room))
			return -EMSGSIZE;
		*v = r.v;
		memcpy(frame, from + HEAD, r.bytes);
		return (int)r.bytes;
	}
	return 0;
}

void pair_in_skip(struct pair_in *i)
{
	i->taken = i->seen;
	look_at_writer(i);
	if (!i->broken)
		i->taken = i->seen; /* a record starts there, or the writer lies to itself */
}

bool pair_in_release(struct pair_in *i)
{
	if (i->told == i->taken || i->broken)
		return false;
	i->told = i->taken;
	/* What was there has been copied before it may be written over. */
	__atomic_store_n(&i->ring->taken, i->taken, __ATOMIC_RELEASE);
	return wake(&i->ring->writer_sleeps);
}

bool pair_in_arm(struct pair_in *i)
{
	if (pair_in_peek(i))
		return true;
	say_asleep(&i->ring->reader_sleeps);
	return pair_in_peek(i);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.c - indices shared with the peer, and the barriers between them.
 *
 * Every acquire/release and fence below says who must see what before what.  "They" is the other domain.
 */
#include <errno.h>
#include "common/ring/ring.h"

struct ring_shared {
	uint32_t req_prod, req_event;
	uint32_t rsp_prod, rsp_event;
	uint8_t pad[48];
	uint8_t ents[];
};
_Static_assert(sizeof(struct ring_shared) == 64, "xen/io/ring.h fixes the header at 64 bytes");

static inline uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

uint32_t ring_entries(size_t bytes, uint32_t ent_size)
{
	size_t n;

	if (ent_size == 0 || bytes < sizeof(struct ring_shared) + ent_size)
		return 0;
	n = (bytes - sizeof(struct ring_shared)) / ent_size;
	if (n > UINT32_MAX / 2)
		return 0;
	return 1u << (31 - __builtin_clz((uint32_t)n));
}

static bool sizes_ok(size_t bytes, uint32_t ent_size, uint32_t rsp_size)
{
	/* Slots are copied in words: 4-byte multiples. */
	return ent_size <= RING_MAX_ENTRY && ent_size % 4 == 0 && rsp_size % 4 == 0 && rsp_size > 0 &&
	       rsp_size <= ent_size && ring_entries(bytes, ent_size) > 0;
}

static uint8_t *slot(struct ring_shared *s, uint32_t index, uint32_t nr, uint32_t size)
{
	return s->ents + (size_t)(index & (nr - 1)) * size;
}

/* Read each word once: the peer may be changing them, and the copy is all that anybody looks at (XSA-155). */
static void copy_from_slot(void *to, const uint8_t *from, uint32_t bytes)
{
	if (bytes % 8 == 0) {
		const volatile uint64_t *f = (const volatile uint64_t *)(const void *)from;

		for (uint32_t i = 0; i < bytes / 8; i++) {
			uint64_t w = f[i];

			memcpy((uint8_t *)to + i * 8, &w, 8);
		}
	} else {
		const volatile uint32_t *f = (const volatile uint32_t *)(const void *)from;

		for (uint32_t i = 0; i < bytes / 4; i++) {
			uint32_t w = f[i];

			memcpy((uint8_t *)to + i * 4, &w, 4);
		}
	}
}

/* Never leaves a stale byte of ours or theirs in the slot: what @bytes does not cover is zero (XSA-216). */
static void copy_to_slot(uint8_t *to, uint32_t size, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
	if (bytes < size)
		memset(to + bytes, 0, size - bytes);
}

int ring_back_attach(struct ring_back *r, void *pages, size_t bytes, uint32_t ent_size, uint32_t rsp_size)
{
	struct ring_shared *s = pages;
	uint32_t nr, at;

	if (!sizes_ok(bytes, ent_size, rsp_size))
		return -EINVAL;
	nr = ring_entries(bytes, ent_size);
	at = load(&s->rsp_prod);
	if (load(&s->req_prod) - at > nr)
		return -EPROTO;
	*r = (struct ring_back){ s, nr, ent_size, rsp_size, at, at, at };
	return 0;
}

int ring_back_resume(struct ring_back *r, void *pages, size_t bytes, uint32_t ent_size, uint32_t rsp_size,
		     uint32_t req_cons)
{
	int rc = ring_back_attach(r, pages, bytes, ent_size, rsp_size);

	if (rc)
		return rc;
	if (req_cons - r->rsp_prod > r->nr_ents)
		return -EPROTO;
	r->req_cons = req_cons;
	return ring_back_pending(r) < 0 ? -EPROTO : 0;
}

int ring_back_pending(const struct ring_back *r)
{
	uint32_t prod = load(&r->shared->req_prod), n;

	/* They wrote the slots before req_prod: we must not read a slot before we read req_prod. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	/*
	 * The honest producer is at most a ring ahead of the responses we published.  Compared before any masking;
	 * a full ring (== nr_ents) is legal, one more is not, and going backwards is a huge number.
	 */
	if (unlikely(prod - r->rsp_prod > r->nr_ents))
		return -EPROTO;
	n = prod - r->req_cons;
	if (unlikely(n > r->nr_ents)) /* behind what we have consumed */
		return -EPROTO;
	return (int)n;
}

void ring_back_take(struct ring_back *r, void *copy)
{
	copy_from_slot(copy, slot(r->shared, r->req_cons, r->nr_ents, r->ent_size), r->ent_size);
	/* Consumed before any response is placed: responses overwrite request slots. */
	r->req_cons++;
}

void ring_back_put(struct ring_back *r, const void *rsp, size_t bytes)
{
	copy_to_slot(slot(r->shared, r->rsp_prod, r->nr_ents, r->ent_size), r->rsp_size, rsp, bytes);
	r->rsp_prod++;
}

void ring_back_publish(struct ring_back *r)
{
	/* They must see the responses before rsp_prod says so. */
	__atomic_store_n(&r->shared->rsp_prod, r->rsp_prod, __ATOMIC_RELEASE);
}

bool ring_back_asked(const struct ring_back *r)
{
	/* They must see rsp_prod before we look whether they sleep: else both could believe the other will act. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return r->rsp_prod - load(&r->shared->rsp_event) < ring_back_unseen(r);
}

bool ring_back_push(struct ring_back *r)
{
	bool asked;

	ring_back_publish(r);
	asked = ring_back_asked(r);
	ring_back_told(r);
	return asked;
}

uint32_t ring_back_unread(const struct ring_back *r, uint32_t prod)
{
	int32_t unread = (int32_t)(prod - (READ_ONCE(r->shared->rsp_event) - 1));

	return unread < 0 ? 0 : MIN((uint32_t)unread, r->nr_ents);
}

int ring_back_arm(struct ring_back *r)
{
	return ring_back_arm_for(r, 1);
}

int ring_back_arm_for(struct ring_back *r, uint32_t n)
{
	int pending = ring_back_pending(r);

	if (pending < 0 || (uint32_t)pending >= n)
		return pending;
	__atomic_store_n(&r->shared->req_event, r->req_cons + n, __ATOMIC_RELAXED);
	/* They must see req_event before we look at req_prod for the last time. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_back_pending(r);
}

int ring_front_init(struct ring_front *r, void *pages, size_t bytes, uint32_t ent_size, uint32_t rsp_size)
{
	struct ring_shared *s = pages;

	if (!sizes_ok(bytes, ent_size, rsp_size))
		return -EINVAL;
	memset(pages, 0, bytes);
	s->req_event = s->rsp_event = 1;
	*r = (struct ring_front){ s, ring_entries(bytes, ent_size), ent_size, rsp_size, 0, 0 };
	return 0;
}

void ring_front_put(struct ring_front *r, const void *req, size_t bytes)
{
	copy_to_slot(slot(r->shared, r->req_prod, r->nr_ents, r->ent_size), r->ent_size, req, bytes);
	r->req_prod++;
}

bool ring_front_push(struct ring_front *r)
{
	uint32_t old = load(&r->shared->req_prod), new = r->req_prod;

	/* They must see the requests before req_prod says so. */
	__atomic_store_n(&r->shared->req_prod, new, __ATOMIC_RELEASE);
	/* They must see req_prod before we look whether they sleep. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return new - load(&r->shared->req_event) < new - old;
}

int ring_front_pending(const struct ring_front *r)
{
	uint32_t n = load(&r->shared->rsp_prod) - r->rsp_cons;

	/* They wrote the responses before rsp_prod: we must not read a response before rsp_prod. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (unlikely(n > r->req_prod - r->rsp_cons))
		return -EPROTO;
	return (int)n;
}

void ring_front_take(struct ring_front *r, void *copy)
{
	copy_from_slot(copy, slot(r->shared, r->rsp_cons, r->nr_ents, r->ent_size), r->rsp_size);
	r->rsp_cons++;
}

int ring_front_arm(struct ring_front *r, uint32_t more)
{
	int n = ring_front_pending(r);

	if (n != 0)
		return n;
	__atomic_store_n(&r->shared->rsp_event, r->rsp_cons + more, __ATOMIC_RELAXED);
	/* They must see rsp_event before we look at rsp_prod for the last time. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_front_pending(r);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-overlap.c - see blk-overlap.h. */
#include <errno.h>
#include "backend/block/blk-overlap.h"
#include "backend/journal.h"

#define CELL_SECTORS 8u
#define READER       1u
#define WRITER       0x10000u
#define DISCARD      (1ull << 63) /* in blk_range.end */
_Static_assert(BLK_MAX_SEGS < BLK_OVERLAP_CELLS, "a transfer covers no cell twice");

int blk_overlap_init(struct blk_overlap *o, bool shared)
{
	memset(o, 0, sizeof(*o));
	o->shared = shared;
	pthread_mutex_init(&o->lock, NULL);
	o->cell = calloc(BLK_OVERLAP_CELLS, sizeof(*o->cell));
	return o->cell ? 0 : -ENOMEM;
}

void blk_overlap_fini(struct blk_overlap *o)
{
	free(o->cell);
	o->cell = NULL;
	for (uint32_t i = 0; i < o->nr_rings; i++)
		free(o->ring[i].range);
	o->nr_rings = 0;
}

int blk_overlap_add_ring(struct blk_overlap *o, struct blk_table *t)
{
	struct blk_overlap_ring *r = &o->ring[o->nr_rings];
	size_t bytes = (t->nr * sizeof(*r->range) + 63) / 64 * 64;

	*r = (struct blk_overlap_ring){ .range = aligned_alloc(64, bytes), .nr = t->nr }; /* a thread's own lines */
	if (!r->range)
		return -ENOMEM;
	memset(r->range, 0, bytes);
	t->ring = o->nr_rings++;
	return 0;
}

/* ------------------------------------------------------------------ what other rings can read */

/*
 * A transfer publishes its range, then looks for discards.  A discard publishes its own, then looks for transfers.  Both stores and both
 * loads have one order (SEQ_CST), so at least one of the two sees the other: never neither.  A ring's count and that of all are raised
 * between a discard's store and its look, so the same is true of a transfer that sees no discard counted.
 *
 * Between a look's two loads a slot's next request may come, so that .end is of one and .sector of another.  The first is over then, and
 * need not be seen.  The next looks itself once it is published, and finds the one that looks here, which is published already; but for a
 * discard that looks for discards, where the lock keeps others out, and a transfer will be found by its second look.
 */
static void publish(struct blk_overlap *o, const struct blk_table *t, const struct blk_slot *s)
{
	struct blk_range *r = &o->ring[t->ring].range[s->index];
	uint64_t end = (s->req.sector + s->req.nr_sectors) | (s->req.kind == BLK_DISCARD ? DISCARD : 0);

	__atomic_store_n(&r->sector, s->req.sector, __ATOMIC_RELAXED);
	if (o->shared)
		__atomic_store_n(&r->end, end, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&r->end, end, __ATOMIC_RELAXED);
}

static void withdraw(struct blk_overlap *o, const struct blk_table *t, const struct blk_slot *s)
{
	/* Whoever misses it now sees all that was done for it. */
	__atomic_store_n(&o->ring[t->ring].range[s->index].end, 0, __ATOMIC_RELEASE);
}

/* Has a request of this ring, a discard or not, published a range that overlaps with @s?  One of the two is a discard, so it writes. */
static bool published(const struct blk_overlap_ring *r, const struct blk_slot *s, uint64_t discard)
{
	for (uint32_t i = 0; i < r->nr; i++) {
		uint64_t end = __atomic_load_n(&r->range[i].end, __ATOMIC_SEQ_CST);

		if (end && (end & DISCARD) == discard && s->req.sector < (end & ~DISCARD) &&
		    __atomic_load_n(&r->range[i].sector, __ATOMIC_RELAXED) < s->req.sector + s->req.nr_sectors)
			return true;
	}
	return false;
}

static bool discards_in_the_way(const struct blk_overlap *o, const struct blk_slot *s)
{
	if (likely(__atomic_load_n(&o->discards, __ATOMIC_SEQ_CST) == 0))
		return false;
	for (uint32_t i = 0; i < o->nr_rings; i++)
		if (__atomic_load_n(&o->ring[i].discards, __ATOMIC_RELAXED) > 0 && published(&o->ring[i], s, DISCARD))
			return true;
	return false;
}

static bool transfers_in_the_way(const struct blk_overlap *o, const struct blk_slot *s)
{
	for (uint32_t i = 0; i < o->nr_rings; i++)
		if (published(&o->ring[i], s, 0))
			return true;
	return false;
}

/* ------------------------------------------------------------------ discards */

static void announce(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s)
{
	uint32_t *of_ring = &o->ring[t->ring].discards; /* written by its thread only */

	publish(o, t, s);
	__atomic_store_n(of_ring, *of_ring + 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&o->discards, 1, __ATOMIC_SEQ_CST);
	s->announced = true;
}

static void unannounce(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s)
{
	uint32_t *of_ring = &o->ring[t->ring].discards;

	withdraw(o, t, s);
	__atomic_store_n(of_ring, *of_ring - 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&o->discards, 1, __ATOMIC_SEQ_CST);
	s->announced = false;
}

/* Once it is announced it waits for transfers that were claimed before, and for nothing that comes. */
static bool claim_discard(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s)
{
	if (!s->announced) {
		pthread_mutex_lock(&o->lock); /* of two that overlap one is first */
		if (!discards_in_the_way(o, s))
			announce(o, t, s);
		pthread_mutex_unlock(&o->lock);
	}
	return s->announced && !transfers_in_the_way(o, s);
}

/* ------------------------------------------------------------------ transfers */

static uint32_t weight(const struct blk_slot *s)
{
	return s->req.kind == BLK_READ ? READER : WRITER;
}

/* Would somebody counted in @count stand in the way of @s? */
static bool in_the_way(uint32_t count, const struct blk_slot *s)
{
	return s->req.kind == BLK_READ ? count >= WRITER : count != 0;
}

static uint64_t first_cell(const struct blk_slot *s)
{
	return s->req.sector / CELL_SECTORS;
}

static uint32_t nr_cells(const struct blk_slot *s)
{
	return (uint32_t)((s->req.sector + s->req.nr_sectors - 1) / CELL_SECTORS - first_cell(s) + 1);
}

static uint32_t *cell(const struct blk_overlap *o, uint64_t n)
{
	return &o->cell[n % BLK_OVERLAP_CELLS];
}

/* Count it.  True: somebody was in the way. */
static bool add(struct blk_overlap *o, const struct blk_slot *s)
{
	uint32_t w = weight(s), n = nr_cells(s);
	uint64_t at = first_cell(s);
	bool met = false;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t *c = cell(o, at + i), old;

		/* Either they see us or we see them: the additions to one cell have an order. */
		if (o->shared) {
			old = __atomic_fetch_add(c, w, __ATOMIC_SEQ_CST);
		} else {
			old = *c;
			*c = old + w;
		}
		met = met || in_the_way(old, s);
	}
	return met;
}

static void subtract(struct blk_overlap *o, const struct blk_slot *s)
{
	uint32_t w = weight(s), n = nr_cells(s);
	uint64_t at = first_cell(s);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t *c = cell(o, at + i);

		if (o->shared)
			__atomic_fetch_sub(c, w, __ATOMIC_SEQ_CST);
		else
			*c -= w;
	}
}

static bool overlap(const struct blk_slot *a, const struct blk_slot *b)
{
	return a->req.sector < b->req.sector + b->req.nr_sectors && b->req.sector < a->req.sector + a->req.nr_sectors &&
	       (a->req.kind != BLK_READ || b->req.kind != BLK_READ);
}

static bool overlaps_own(const struct blk_table *t, const struct blk_slot *s)
{
	for (uint32_t i = 0; i < t->nr; i++) {
		const struct blk_slot *o = &t->slots[i];

		if (o != s && o->state != BLK_FREE && o->claimed && overlap(o, s))
			return true;
	}
	return false;
}

static bool covers(const struct blk_slot *s, uint64_t folded)
{
	uint64_t into = (folded - first_cell(s)) % BLK_OVERLAP_CELLS;

	return s->req.kind != BLK_DISCARD && into < nr_cells(s);
}

/* What this ring counts in a cell, @s included. */
static uint32_t own_count(const struct blk_table *t, const struct blk_slot *s, uint64_t folded)
{
	uint32_t n = weight(s);

	for (uint32_t i = 0; i < t->nr; i++) {
		const struct blk_slot *o = &t->slots[i];

		if (o != s && o->state != BLK_FREE && o->claimed && covers(o, folded))
			n += weight(o);
	}
	return n;
}

static bool others_in_the_way(const struct blk_overlap *o, const struct blk_table *t, const struct blk_slot *s)
{
	uint32_t n = nr_cells(s);
	uint64_t at = first_cell(s);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t count = __atomic_load_n(cell(o, at + i), __ATOMIC_SEQ_CST);

		if (in_the_way(count - weight(s), s) &&
		    in_the_way(count - own_count(t, s, (at + i) % BLK_OVERLAP_CELLS), s))
			return true;
	}
	return false;
}

static bool claim_transfer(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s)
{
	publish(o, t, s);
	if (unlikely(discards_in_the_way(o, s))) {
		withdraw(o, t, s);
		return false;
	}
	if (unlikely(add(o, s)) && (overlaps_own(t, s) || (o->shared && others_in_the_way(o, t, s)))) {
		subtract(o, s);
		withdraw(o, t, s);
		return false;
	}
	return true;
}

/* ------------------------------------------------------------------ both */

bool blk_overlap_claim(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s)
{
	if (JOURNAL_OFF || s->claimed || s->req.nr_sectors == 0)
		return true;
	s->claimed = unlikely(s->req.kind == BLK_DISCARD) ? claim_discard(o, t, s) : claim_transfer(o, t, s);
	return s->claimed;
}

static void claim_again(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s)
{
	if (s->req.kind == BLK_DISCARD) {
		announce(o, t, s);
	} else {
		publish(o, t, s);
		(void)add(o, s);
	}
	s->claimed = true;
}

/* Those that had their claims have them again.  What is left, or NULL. */
static struct blk_slot *inherit_marked(struct blk_overlap *o, const struct blk_heritage *ring)
{
	struct blk_slot *s = ring->first;

	for (; s && (s->err || blk_journal_claim(ring->journal, s->index) == BLK_J_CLAIMED); s = s->next)
		if (!s->err && s->req.nr_sectors > 0)
			claim_again(o, ring->table, s);
	return s;
}

static void inherit_unknown(struct blk_overlap *o, const struct blk_heritage *ring, struct blk_slot *s)
{
	for (; s; s = s->next) {
		if (s->err)
			continue;
		if (blk_journal_claim(ring->journal, s->index) != BLK_J_UNKNOWN ||
		    !blk_overlap_claim(o, ring->table, s))
			return;
		blk_journal_claimed(ring->journal, s->index);
	}
}

void blk_overlap_inherit(struct blk_overlap *o, const struct blk_heritage *ring, uint32_t nr)
{
	struct blk_slot *left[WIRE_MAX_QUEUES] = { NULL };

	if (JOURNAL_OFF)
		return;
	for (uint32_t i = 0; i < nr; i++)
		left[i] = inherit_marked(o, &ring[i]);
	for (uint32_t i = 0; i < nr; i++)
		inherit_unknown(o, &ring[i], left[i]);
}

void blk_overlap_release(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s)
{
	if (unlikely(s->announced)) {
		unannounce(o, t, s);
	} else if (s->claimed) {
		subtract(o, s);
		withdraw(o, t, s);
	}
	s->claimed = false;
}

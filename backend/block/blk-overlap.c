/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-overlap.c - see blk-overlap.h. */
#include <errno.h>
#include "backend/block/blk-overlap.h"
#include "backend/journal.h"

#define CELL_SECTORS 8u
#define READER       1u
#define WRITER       0x10000u

int blk_overlap_init(struct blk_overlap *o, bool shared)
{
	o->shared = shared;
	o->cell = calloc(BLK_OVERLAP_CELLS, sizeof(*o->cell));
	return o->cell ? 0 : -ENOMEM;
}

void blk_overlap_fini(struct blk_overlap *o)
{
	free(o->cell);
	o->cell = NULL;
}

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

/* A range longer than the table covers each cell once. */
static uint32_t nr_cells(const struct blk_slot *s)
{
	uint64_t n = (s->req.sector + s->req.nr_sectors - 1) / CELL_SECTORS - first_cell(s) + 1;

	return (uint32_t)MIN(n, (uint64_t)BLK_OVERLAP_CELLS);
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

	return into < nr_cells(s);
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

bool blk_overlap_claim(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s)
{
	if (JOURNAL_OFF || s->claimed || s->req.nr_sectors == 0)
		return true;
	if (unlikely(add(o, s)) && (overlaps_own(t, s) || (o->shared && others_in_the_way(o, t, s)))) {
		subtract(o, s);
		return false;
	}
	s->claimed = true;
	return true;
}

/* Those that had their claims have them again.  What is left, or NULL. */
static struct blk_slot *inherit_marked(struct blk_overlap *o, const struct blk_heritage *ring)
{
	struct blk_slot *s = ring->first;

	for (; s && (s->err || blk_journal_claim(ring->journal, s->index) == BLK_J_CLAIMED); s = s->next)
		if (!s->err && s->req.nr_sectors > 0) {
			(void)add(o, s);
			s->claimed = true;
		}
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

void blk_overlap_release(struct blk_overlap *o, struct blk_slot *s)
{
	if (!s->claimed)
		return;
	s->claimed = false;
	subtract(o, s);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-overlap.h - no two requests that overlap are under way together, unless both read.  Pure.
 *
 * Why.  A write that was done but not answered is done again by a successor of its worker.  If another write to the same
 * sectors was answered in between, the disk would go back to the older of the two.  A file system never has such
 * two under way; who uses the disk raw may.
 *
 * How.  A disk counts, for each 4 KiB of it (by a table of CELLS that the disk is folded onto), the transfers that read
 * and that write there.  One whose cells nobody else writes (and, if it writes itself, nobody reads) may go: two
 * additions for a small one.  Else it is looked at closely: the requests of its own ring are compared sector by sector;
 * what other rings count in its cells holds it up, which may also be a neighbour's or a folded one's: rare, and it only waits.
 *
 * A discard may be of all of the disk, and last for minutes: counted so, it would hold up everything.  So each ring publishes the ranges
 * of what it has claimed, sector by sector, and there discards look for what they overlap, and all others, while there is a discard, for it.  One
 * that cannot go yet is published all the same: what overlaps and comes later waits for it, else it might never go.
 *
 * Each ring begins its requests in the order they were taken, and begins none behind one that waits.  So in each ring those that have
 * their claim come before those that have not; were it otherwise, two rings could wait for each other.  A discard that is published, and
 * waits, waits for claims only, and these for nobody.
 */
#ifndef SYNTH_BLK_OVERLAP_H
#define SYNTH_BLK_OVERLAP_H

#include <pthread.h>
#include "backend/block/blk-journal.h"
#include "backend/block/blk-req.h"

#define BLK_OVERLAP_CELLS 16384u

/* What a slot of a ring has claimed; atomic, written by its thread. */
struct blk_range {
	uint64_t sector;
	uint64_t end; /* the sector after it; 0: nothing.  The top bit: of a discard */
};

struct blk_overlap_ring {
	struct blk_range *range; /* one a slot */
	uint32_t nr;
	uint32_t discards; /* of these; atomic */
};

struct blk_overlap {
	uint32_t *cell; /* readers in the low half, writers in the high one */
	bool shared;    /* by rings with threads of their own */
	uint32_t nr_rings;
	uint32_t discards;    /* published, of all rings; atomic */
	pthread_mutex_t lock; /* to publish one */
	struct blk_overlap_ring ring[WIRE_MAX_QUEUES];
};

int blk_overlap_init(struct blk_overlap *o, bool shared) __must_check;
void blk_overlap_fini(struct blk_overlap *o); /* idempotent; or zeroed */
/* Before anything of any ring is claimed: @t is one of the disk's.  -ENOMEM. */
int blk_overlap_add_ring(struct blk_overlap *o, struct blk_table *t) __must_check;

/* @s of table @t may go: it is claimed until blk_overlap_release().  False: not now. */
bool blk_overlap_claim(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s) __must_check;

/* What a dead worker had under way in one ring. */
struct blk_heritage {
	const struct blk_table *table;
	struct blk_journal_queue *journal;
	struct blk_slot *first; /* list by .next, in the order they were taken; those with .err are not looked at */
};

/*
 * Give all rings' requests their claims back, when nobody else has any: those that had one were under way together, may have been done,
 * and must not be overtaken by what overlaps them.  Those that had none get none, nor those behind them.  Where it is not known (the journal
 * of an older program), in each ring as many as can from the first on.
 */
void blk_overlap_inherit(struct blk_overlap *o, const struct blk_heritage *ring, uint32_t nr);
/* Its response is published.  Harmless when it is not claimed. */
void blk_overlap_release(struct blk_overlap *o, const struct blk_table *t, struct blk_slot *s);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-overlap.h - no two requests that overlap are under way together, unless both read.  Pure.
 *
 * Why.  A write that was done but not answered is done again by a successor of its worker.  If another write to the same
 * sectors was answered in between, the disk would go back to the older of the two.  A file system never has such
 * two under way; who uses the disk raw may.
 *
 * How.  A disk counts, for each 4 KiB of it (by a table of CELLS that the disk is folded onto), the requests that read
 * and that write there.  A request whose cells nobody else writes (and, if it writes itself, nobody reads) may go: two
 * additions for a small one.  Else it is looked at closely: the requests of its own ring are compared sector by sector;
 * what other rings count in its cells holds it up, which may also be a neighbour's or a folded one's: rare, and it only waits.
 *
 * Each ring begins its requests in the order they were taken, and begins none behind one that waits.  So in each ring those that have
 * their claim come before those that have not; were it otherwise, two rings could wait for each other.
 */
#ifndef SYNTH_BLK_OVERLAP_H
#define SYNTH_BLK_OVERLAP_H

#include "backend/block/blk-journal.h"
#include "backend/block/blk-req.h"

#define BLK_OVERLAP_CELLS 16384u

struct blk_overlap {
	uint32_t *cell; /* readers in the low half, writers in the high one */
	bool shared;    /* by rings with threads of their own */
};

int blk_overlap_init(struct blk_overlap *o, bool shared) __must_check;
void blk_overlap_fini(struct blk_overlap *o); /* idempotent */

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
void blk_overlap_release(struct blk_overlap *o, struct blk_slot *s);

#endif

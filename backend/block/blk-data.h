/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-data.h - the guest's pages of a request: found in the cache of persistent grants, or stood in for by
 * bounce pages and batched grant copy.
 *
 * A bounce page belongs to one segment.  Pages come from a fixed arena per queue (BOUNCE_BYTES), the last given
 * back first, so a queue touches as many as it has in use at once.  What is in a bounce page reaches the guest
 * only after a transfer that succeeded whole: stale bytes cannot leak.
 *
 * Memory of a guest.  What a queue has touched is its own until it is idle; beyond BOUNCE_OWN_PAGES, which the largest request fits,
 * it is counted against a limit of all queues of this process, which are one guest's.  A request that finds none there waits
 * for the others of its own queue to end, and without any of these it needs no more than its queue has.
 */
#ifndef SYNTH_BLK_DATA_H
#define SYNTH_BLK_DATA_H

#include "backend/block/blk-req.h"
#include "common/xen/grant.h"

#define BOUNCE_BYTES       (8u << 20)
#define BOUNCE_PAGES       (BOUNCE_BYTES / PAGE_BYTES)
#define BOUNCE_OWN_PAGES   BLK_MAX_SEGS
#define BOUNCE_LIMIT_PAGES ((64u << 20) / PAGE_BYTES) /* unless said otherwise */
#define BLK_MAX_COPIES     512u                       /* segments a grant_copy() call of ours has at most */
#define BLK_PERSISTENT_MAX 1056u                      /* grants a ring, as blkback */

struct blk_data {
	struct grant *grant;
	uint32_t domid;
	struct grant_cache *cache; /* NULL: persistent grants not negotiated */
	char *arena;
	uint16_t *free;
	uint32_t nr_free;
	uint32_t touched;         /* pages that have memory */
	struct grant_seg *copies; /* collected for the next call */
	struct blk_slot **owner;  /* of each: who fails with it */
	uint32_t nr_copies;
	/* metrics; the queue's thread writes */
	uint64_t copy_calls, copy_segs, cache_hits;
};

void blk_data_limit(uint32_t pages); /* of all queues, beyond what each has for its own */

int blk_data_init(struct blk_data *d, struct grant *g, uint32_t domid, bool persistent) __must_check;
void blk_data_fini(struct blk_data *d); /* zeroed, or initialised; unmaps all */
void blk_data_idle(struct blk_data *d);

static inline uint32_t blk_data_bounce_pages(const struct blk_data *d)
{
	return BOUNCE_PAGES - d->nr_free;
}

/*
 * Find every segment's page and build the iovec; for a write, collect the copies to make.  0, or -EAGAIN: not
 * enough bounce pages now, nothing is held.
 */
int blk_data_get(struct blk_data *d, struct blk_slot *s) __must_check;
/* Collect the copies to the guest of a read that succeeded. */
void blk_data_give(struct blk_data *d, struct blk_slot *s);
/* Read @req's indirect page into @page (private memory). */
int blk_data_indirect(struct blk_data *d, uint32_t gref, void *page) __must_check;
/* Make the collected copies; a request with a failed one gets its error. */
void blk_data_copy(struct blk_data *d);
/* Let go of every page; none of them is touched after this. */
void blk_data_put(struct blk_data *d, struct blk_slot *s);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-req.h - the request table of one ring: which requests are in flight, in what state, in what order they may
 * start, and the one response each gets.  Pure; fixed memory made at connect.
 *
 *	FREE -> PARSED     blk_table_take(): the slot was consumed from the ring, the request is whole and valid
 *	PARSED -> COPYING  its data is being moved from the guest (write), or its pages are being found
 *	COPYING -> QUEUED  with the store; a flush or barrier comes back and goes again, one step after the other
 *	QUEUED -> DONE     nothing is outstanding for it; its grants are let go of now
 *	any -> DONE        by an error
 *	DONE -> FREE       blk_table_answer(): exactly one response
 *
 * Order.  Reads, writes and discards start as they come and finish in any order.  FLUSH covers what was answered
 * before it was sent: it may run beside others.  FLUSH with data is flush, then write.  BARRIER waits until all
 * before it are done, and nothing after it starts until it is: drain, flush, write, flush.
 *
 * Replay.  A slot's number is also that of its copy in the journal (blk-journal.h), from which a successor takes it up
 * again: blk_table_take_at().
 */
#ifndef SYNTH_BLK_REQ_H
#define SYNTH_BLK_REQ_H

#include "backend/block/blk-parse.h"
#include "backend/block/store.h"

enum blk_state { BLK_FREE, BLK_PARSED, BLK_COPYING, BLK_QUEUED, BLK_DONE };

/* How a segment's page is reached. */
#define BLK_PAGE_CACHE 0xffffu /* persistent grant; any other value is a bounce page's number */

#define BLK_INLINE_SEGS BLKIF_MAX_SEGMENTS_PER_REQUEST

struct blk_slot {
	struct store_io io;    /* first: ios come back as slots */
	uint64_t start_ns;     /* when its turn began; 0 in a free slot; read by the main thread, relaxed */
	uint8_t state;         /* enum blk_state */
	uint8_t step;          /* how far a flush or barrier has come */
	bool has_pages;        /* segs' pages are held */
	bool bounced;          /* some of them are bounce pages */
	bool copy_failed;      /* a grant of it was no good */
	bool claimed;          /* blk-overlap.h */
	bool announced;        /* the same: a discard that is published, claimed or not yet */
	bool replayed;         /* begun by a predecessor, not again yet */
	int32_t err;           /* the first error sticks (XSA-365) */
	struct blk_slot *next; /* batch list */
	struct blk_seg *segs;  /* nr_segs: req.seg or big_segs */
	uint16_t *pages;       /* nr_segs: small_pages or big_pages */
	struct iovec *iov;     /* nr_segs: small_iov or big_iov */
	uint16_t index;
	struct blk_req req;
	uint16_t small_pages[BLK_INLINE_SEGS];
	struct iovec small_iov[BLK_INLINE_SEGS];
};

struct blk_table {
	struct blk_slot *slots;
	uint16_t *free; /* stack, so that hot slots are used again */
	uint32_t nr, nr_free;
	uint32_t ring;            /* which of its disk's: blk_overlap_add_ring() */
	struct blk_slot *barrier; /* holds up everything behind it */
	/* for indirect requests, BLK_MAX_SEGS each a slot; memory appears as it is touched */
	struct blk_seg *big_segs;
	uint16_t *big_pages;
	struct iovec *big_iov;
	void *big;
	size_t big_bytes;
};

int blk_table_init(struct blk_table *t, uint32_t nr) __must_check;
void blk_table_fini(struct blk_table *t); /* zeroed, or initialised; idempotent */
void blk_table_idle(struct blk_table *t); /* give memory back; only when nothing is in flight */

static inline uint32_t blk_table_inflight(const struct blk_table *t)
{
	return t->nr - t->nr_free;
}

/* May another request be taken from the ring? */
static inline bool blk_table_open(const struct blk_table *t)
{
	return t->nr_free > 0 && !t->barrier;
}

/* A slot to parse into, PARSED; only when blk_table_open().  Its req is garbage. */
struct blk_slot *blk_table_take(struct blk_table *t, uint64_t now);
/* The same for slot @index, which is free, of a table nothing else was taken from by blk_table_take() yet. */
struct blk_slot *blk_table_take_at(struct blk_table *t, uint32_t index, uint64_t now);
/* After a good parse: where segments go, and whether it is a barrier. */
void blk_slot_parsed(struct blk_table *t, struct blk_slot *s);
/* It may go to the store now: always, but for a barrier that is not alone. */
bool blk_slot_may_start(const struct blk_table *t, const struct blk_slot *s);
/* What to ask the store for next, filled into s->io (op only); false: nothing more, it is done. */
bool blk_slot_next_step(struct blk_slot *s);
/* Will any step of it move data? */
bool blk_slot_has_data(const struct blk_slot *s);

static inline void blk_slot_fail(struct blk_slot *s, int err)
{
	if (!s->err)
		s->err = err;
}

/* DONE -> FREE; the response to place. */
struct blk_rsp blk_table_answer(struct blk_table *t, struct blk_slot *s);
/* The one place where -errno becomes BLKIF_RSP_*. */
int16_t blk_status(int err);

#endif

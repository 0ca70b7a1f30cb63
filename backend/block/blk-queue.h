/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-queue.h - one ring of a disk: what its thread does in a turn.
 */
#ifndef SYNTH_BLK_QUEUE_H
#define SYNTH_BLK_QUEUE_H

#include "backend/block/blk-data.h"
#include "backend/block/blk-journal.h"
#include "backend/block/blk-overlap.h"
#include "backend/worker/device.h"
#include "common/ring/ring.h"

/* Written by the queue's thread (STAT_ADD, STAT_SET), summed by the main thread. */
struct blk_stats {
	uint64_t requests[BLK_NR_KINDS], sectors[BLK_NR_KINDS], errors[BLK_NR_KINDS];
	uint64_t bad, indirect, responses;
	uint64_t replayed, overlaps, bounce_waits;
	uint64_t copy_calls, copy_segs, cache_hits;
	uint32_t published;                                               /* the ring's index, to be read by others */
	uint64_t in_flight, bounce_bytes, bounce_held, persistent_mapped; /* now */
	struct hist latency[BLK_NR_KINDS];
};
void blk_stats_add(struct blk_stats *to, const struct blk_stats *from);

/* One disk. */
struct blk_dev {
	struct device *dev;
	struct store *store;
	uint32_t flags;             /* BLK_O_* */
	uint64_t sectors;           /* written by a resize, read relaxed by each turn */
	struct blk_overlap overlap; /* while connected */
	bool left;                  /* something is left to a successor; relaxed, set by queues' threads */
	struct blk_stats past;      /* of queues that are gone */
};

struct blk_queue {
	struct queue *q;
	struct blk_dev *disk;
	const struct store_ops *ops;
	struct store_queue *store;
	enum blk_abi abi;
	struct blk_limits lim;
	struct ring_back ring;
	struct blk_table table;
	struct blk_data data;
	struct moderate moderate;
	struct blk_journal_queue *journal;
	uint64_t seq;            /* of the last request taken */
	struct blk_slot *replay; /* list by .next: a predecessor's, not begun yet; nothing is taken before */
	uint32_t executing;      /* taken, begun, not answered */
	uint32_t left;           /* of these: cut short, in the journal for a successor */
	bool resumed;            /* the front end may have missed an event */
	bool held_up;            /* .parked, or the barrier, may wait for requests of other rings */
	struct blk_slot *alone;  /* tried before, and under way: nothing begins beside it */
	uint64_t alone_until;    /* for so long */
	struct blk_slot *
		parked; /* taken, waiting for bounce pages or for an overlapping one; nothing is taken before it goes */
	uint32_t submitted;    /* since the last kick */
	uint32_t sins;         /* of the guest in this turn, to be paid for */
	uint64_t aged_ns;      /* when the full cache was last aged */
	struct blk_slot *done; /* list by .next: answered at the end of the turn */
	struct blk_stats stats;
	uint8_t slot_copy[RING_MAX_ENTRY] __attribute__((aligned(16)));
	uint8_t page_copy[PAGE_BYTES] __attribute__((aligned(64)));
};

int blk_queue_open(struct queue *q, const struct wire_connect *c);
void blk_queue_close(struct queue *q);
int blk_queue_start(struct queue *q);
int blk_queue_turn(struct queue *q, bool take);
bool blk_queue_peek(struct queue *q);
int blk_queue_arm(struct queue *q);
void blk_queue_settle(struct queue *q, uint64_t now);
uint32_t blk_queue_wait(struct queue *q, int64_t timeout_ns);
bool blk_queue_drained(const struct queue *q);
uint64_t blk_queue_idle(struct queue *q, uint64_t now, uint64_t idle_ns);
void blk_queue_hurry(struct queue *q);
uint64_t blk_queue_oldest_ns(const struct blk_queue *b, uint64_t now);

#endif

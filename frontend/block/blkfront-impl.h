/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blkfront-impl.h - what the files of blkfront.h share, and nobody else includes.
 *
 *	blkfront.c        the device: its status, what is agreed on with the back end, the control thread, open and close
 *	blkfront-queue.c  a queue's memory, and how it follows the device from one life to the next
 *	blkfront-io.c     requests: submitted, placed, answered, waited for
 *
 * One thread uses a queue at a time.  What the control thread has to say to it is in `link` and `status`, which it looks at in
 * blkfront_poll(); what it takes over from it is in `agreed` and `next_ring`, under the mutex.
 */
#ifndef SYNTH_BLKFRONT_IMPL_H
#define SYNTH_BLKFRONT_IMPL_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <xen/io/blkif.h>

#include "common/log/log.h"
#include "common/ring/ring.h"
#include "frontend/block/blk-rsp.h"
#include "frontend/block/blkfront.h"
#include "frontend/core/watch.h"

#define SEGS_DIRECT   ((uint32_t)BLKIF_MAX_SEGMENTS_PER_REQUEST)
#define SEGS_INDIRECT ((uint32_t)(PAGE_BYTES / sizeof(struct blkif_request_segment))) /* one indirect page: 2 MiB */

/* What we know of a request in flight; same index as its blk_flight slot. */
struct slot {
	blkfront_done_fn *done;
	void *arg;
	struct blkfront_xfer *xfer; /* a part of it; done and arg are unused */
	uint8_t *buf;               /* pool memory of the request */
	struct blkfront_buf *own;   /* goes back to the pool when answered */
	uint8_t *copy;              /* part of a read: where to copy it when answered */
	void *shared;               /* pages granted for this request alone */
	uint64_t sector, nr;        /* 512 bytes each */
	uint64_t seq;               /* its place in the order of submission */
	uint32_t bytes, nr_shared;
	uint32_t indirect; /* index of its indirect page, or NO_INDIRECT */
	enum blkfront_op op;
	bool ours; /* nobody's but the queue's: the flush before it lets go */
};

/* A request that a life of the device ended without answering, or that this one cannot take whole: it is done as an xfer. */
struct replay {
	struct list all; /* of the queue */
	struct blkfront_queue *q;
	struct slot saved;
	struct blkfront_xfer xfer;
};

struct buf {
	struct blkfront_buf pub;
	bool taken;
};

/* What was agreed on when this life began. */
struct agreed {
	struct blkfront_info info;
	uint32_t life; /* 0: none */
	uint32_t domid;
	uint32_t suspect_life; /* the last one that began where what was not flushed before it may be lost; 0: none */
};

/* struct blkfront.link: the life, and what goes on in it. */
enum phase { LIVE, DRAIN, AWAY };
#define PHASE_BITS 2u

struct blkfront_queue {
	struct blkfront *b;
	uint32_t index;
	uint32_t link; /* what we have followed */
	bool parked;   /* there is no ring, nothing is granted */
	bool live;     /* requests may be placed */
	bool woken;    /* wake_fd is to be read */
	bool dirty;    /* a write was answered, and no flush asked for since */
	bool suspect;  /* the next flush has failed */
	uint32_t told; /* the link of the drain that we have reported to be done with */
	uint32_t answered_life;
	int wake_fd; /* eventfd: link or status has changed */

	struct agreed agreed;
	struct front_queue fq;
	struct ring_front ring;
	struct blk_flight flight;
	struct slot *slot;
	uint64_t seq;
	uint32_t unpublished; /* requests placed since the last push */
	bool due;             /* an event is to be read */
	bool masked;          /* it was read and is not unmasked yet */
	bool worked;          /* something was answered since the last event */
	bool nap;             /* sleep a little, deaf */
	uint32_t idle;        /* events without work, in a row */

	uint8_t *pool;  /* parked: memory of our own alone, unless granted per I/O, when it always is */
	uint32_t *refs; /* of each pool page; NULL when none is granted */
	uint32_t pool_pages, buf_pages;
	struct buf *buf;
	struct buf **free_buf; /* LIFO */
	uint32_t nr_free, nr_bufs;

	uint8_t *indirect; /* pages */
	uint32_t *indirect_refs, *free_indirect, nr_indirect, nr_free_indirect;

	struct list again;   /* replays that are not placed whole yet: before .xfers */
	struct list replays; /* all of them */
	uint32_t nr_replays;
	struct list xfers;  /* not placed whole yet */
	struct list failed; /* ended without an answer; their callbacks are made by blkfront_poll() */
	struct blkfront_counts counts;
} __attribute__((aligned(128)));

struct blkfront {
	struct front *front;
	struct blkfront_config config;
	struct blkfront_info info; /* as of open */
	_Atomic uint64_t sectors;
	_Atomic int status; /* 0 or -errno, see blkfront_status() */
	_Atomic uint32_t link;
	_Atomic uint32_t drained;       /* queues that have nothing in flight any more */
	_Atomic uint32_t answered_life; /* the last one in which a request was answered */
	_Atomic bool flush_failed;      /* before we let go */
	struct front_watcher watcher;
	struct blkfront_queue *queue;
	uint32_t nr_queues;

	/* the control thread's */
	int news_fd; /* eventfd: a queue has drained */
	bool opened;
	uint64_t away_ns; /* since when requests wait */
	uint32_t last_domid;
	char params[STORE_PATH_MAX]; /* which disk it is, as its back end says; "": it does not */
	char refusal[96];            /* why what there is cannot be connected to */
	struct log_limit resized;

	pthread_mutex_t mutex;
	struct agreed agreed;
	struct ring_front next_ring[FRONT_MAX_QUEUES];
	char why[BLKFRONT_WHY_MAX];
};

static inline bool has_data(enum blkfront_op op)
{
	return op == BLKFRONT_READ || op == BLKFRONT_WRITE;
}

static inline enum phase phase_of(uint32_t link)
{
	return (enum phase)(link & ((1u << PHASE_BITS) - 1));
}

static inline uint32_t link_now(const struct blkfront *b)
{
	return atomic_load_explicit(&b->link, memory_order_acquire);
}

/* -ESHUTDOWN still completes what is in flight. */
static inline bool is_dead(const struct blkfront *b)
{
	int st = blkfront_status(b);

	return unlikely(st != 0) && st != -ESHUTDOWN;
}

static inline bool in_pool(const struct blkfront_queue *q, const uint8_t *p, uint64_t bytes)
{
	uint64_t size = (uint64_t)q->pool_pages * PAGE_BYTES;
	uintptr_t off = (uintptr_t)p - (uintptr_t)q->pool;

	return off < size && bytes <= size - off;
}

/* blkfront.c.  First reason wins, but a closing back end may still go or turn out to be lying. True when it is news. */
bool blkfront_set_status(struct blkfront *b, int err, const char *why);

/* blkfront-queue.c.  From open to close. */
int blkfront_queue_init(struct blkfront *b, struct blkfront_queue *q, uint32_t index) __must_check;
void blkfront_queue_fini(struct blkfront_queue *q);
/* From any later life; 0, -EAGAIN: that one is over already, -errno. */
int blkfront_adopt(struct blkfront_queue *q, uint32_t life) __must_check;
/* Go where the control thread has gone: the number of callbacks made. */
uint32_t blkfront_follow(struct blkfront_queue *q);
/* The back end asks, and nothing is in flight: flush what is not, then say so. */
void blkfront_drained(struct blkfront_queue *q);
/* A copy of @s to be done as an xfer: its caller puts it into a list.  NULL: no memory. */
struct replay *blkfront_new_replay(struct blkfront_queue *q, const struct slot *s);

/* blkfront-io.c.  Place a flush or discard: 0, or -EAGAIN when there is no room. */
int blkfront_place_other(struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, uint64_t nr,
			 const struct slot *what) __must_check;
/* What the back end has answered: the number of callbacks made. */
uint32_t blkfront_take_answers(struct blkfront_queue *q);
void blkfront_replay_done(void *arg, int err);

#endif

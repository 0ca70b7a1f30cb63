/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blkfront.h - the block front end as a library: open a disk, submit, complete.
 *
 * Theory.  One `struct blkfront` a disk, one `struct blkfront_queue` a ring.  A queue is used by one thread at a
 * time; queues share nothing that is written on the data path.  Opening and closing belong to one control
 * thread; between them the xenstore connection is the watching thread's (blkfront_watch()).
 *
 * Memory.  Each queue has a pool of buffers, zeroed and granted at connect.  I/O on a pool buffer moves no byte
 * in this process; I/O on other memory (blkfront_xfer) is copied through the pool.  Grants:
 *   persistent  the back end keeps the pages mapped (announced, and it agreed)
 *   reuse       the same grants for ever, not announced: the back end maps or copies for each request
 *   per I/O     pages are granted for each request, read-only for writes, and revoked after it; always copied
 * In the first two the back end can read and change the pool whenever it likes.  Copy what you check before you
 * check it, and put nothing into a buffer that the back end must not know.
 *
 * Reconnecting.  When the back end goes away (it closes, its directory vanishes, it forgets us), the watching thread
 * waits for it and begins another life of the device (front.h): blkfront_status() stays 0, blkfront_away() is true, no call
 * fails but for lack of room, and requests wait.  What belongs to a queue is taken down and made anew in blkfront_poll() of
 * that queue, by its thread:
 *   - what the back end has answered counts; what it has not is sent again, in the order of its submission, and before
 *     anything that is submitted later.  So a request may be carried out twice, and is answered once.
 *   - Its rings, ports, and granted pages are given up, whether or not the back end still uses them, and never used again: the new ones
 *     are other pages, zeroed.  What the caller keeps in pool buffers is copied: buf->mem changes, in blkfront_poll() alone.
 *   - The new back end may offer less.  Requests are split if they must be; what it does not take any more fails: past
 *     the new end -ERANGE, writes to what is read-only now -EROFS, a flush or discard it does not know -EOPNOTSUPP.  What it
 *     can not be used for at all (another disk by its "params", larger sectors, fewer queues) is not connected to, and told.
 *
 * Flushes.  A flush that is answered with 0 covers every write that was answered before it was submitted, over any
 * number of lives, with one exception that is told.  While the domain of the back end stays the same, what its kernel was given is
 * there for the next flush to find (synth-blkd keeps nothing to itself).  A back end that asks to close is sent a flush before we
 * let go.  But when a back end was lost without asking, and the next one is in another domain, what was written and not flushed
 * may be gone with the first: then the first flush in each queue fails with -EIO, though it was done.
 *
 * Trust.  The back end is not trusted with anything but the data it stores.  Responses are copied, then checked
 * (blk-rsp.h); a wrong one ends the device: it is told once in the log, everything in flight and everything later
 * fails with -EIO, and no page is taken back from the back end by asking whether it still uses it.
 *
 * Events.  Submitting only places requests; blkfront_kick(), _poll() and _wait() publish them, with one
 * notification if the back end asked for one.  blkfront_wait() asks to be woken after `wake` responses, so a
 * queue kept deep costs few interrupts; while a thread polls, it asks for none.
 */
#ifndef SYNTH_BLKFRONT_H
#define SYNTH_BLKFRONT_H

#include "common/base/base.h"
#include "common/base/list.h"
#include "frontend/core/front.h"

enum blkfront_op { BLKFRONT_READ, BLKFRONT_WRITE, BLKFRONT_FLUSH, BLKFRONT_DISCARD, BLKFRONT_SECURE_DISCARD };

enum blkfront_grants { BLKFRONT_PERSISTENT, BLKFRONT_REUSE, BLKFRONT_PER_IO };

struct blkfront_config {
	uint32_t queues;    /* at most so many; 0: 1 */
	uint32_t max_order; /* ring pages at most 1 << this; no more than offered */
	uint32_t buf_bytes; /* of a pool buffer, rounded up to pages; 0: 64 KiB */
	uint32_t bufs;      /* a queue; 0: 16 */
	enum blkfront_grants grants;
	bool no_indirect;
	uint32_t timeout_ms;  /* to connect; 0: 30 s */
	bool reconnect;       /* once blkfront_watch() has been called: see "Reconnecting" above */
	uint32_t reconnect_s; /* so many seconds at most without a request being answered, then all fail; 0: for ever */
	/*
	 * For users whose threads poll a queue only while they wait for a request, with reconnect: the watching thread calls it
	 * when the device has gone on, and again and again while the back end waits for its flush.  It is to blkfront_poll()
	 * each queue that no thread polls or sleeps on at that moment.  NULL: there is always one.
	 */
	void (*attend)(void *arg);
	void *attend_arg;
};
#define BLKFRONT_RECONNECT_S 120u /* what tools take if they are not told otherwise */
#define BLKFRONT_WHY_MAX     256u

struct blkfront_info {
	uint32_t sector_size, physical_sector; /* bytes; I/O is in multiples of the first */
	bool readonly, cdrom, removable;
	bool flush, discard, secure_discard;
	uint32_t discard_granularity, discard_alignment; /* bytes */
	uint32_t nr_queues, ring_pages, ring_entries;    /* a queue */
	uint32_t max_segments;                           /* pages a request can name */
	uint32_t max_bytes;                              /* of one request on a page-aligned buffer */
	enum blkfront_grants grants;                     /* what was agreed */
};

struct blkfront;
struct blkfront_queue;

extern const char *const blkfront_types[2]; /* for front_list(): "svbd", "vbd" */

/* 0, -EBUSY (in use by another), -ENODEV (no back end), -ETIMEDOUT, -ENOSPC (no more grants), -errno.  On failure the
 * device is left closed. */
int blkfront_open(struct store *s, const struct front_dev *d, const struct blkfront_config *c,
		  struct blkfront **ret) __must_check;
/* No thread uses a queue any more.  Frees all.  0, or -ETIMEDOUT when the back end did not follow. */
int blkfront_close(struct blkfront *b, uint32_t ms); /* NULL ok */

/* As of open; requests may be so large in any life. */
const struct blkfront_info *blkfront_info(const struct blkfront *b);
/* As of the last connection. From any thread. */
void blkfront_now(struct blkfront *b, struct blkfront_info *ret);
uint64_t blkfront_sectors(const struct blkfront *b); /* 512 bytes each; may change at any time (resize) */
/* 0; -ESHUTDOWN: the back end is closing, new I/O is refused (not when we reconnect); -ENODEV: it has gone, and has not come back in
 * time if we reconnect; -EIO: it broke the protocol; -ENOSPC, -ENOMEM: it could not be connected to again; -ETIMEDOUT: our
 * user gave up. */
int blkfront_status(const struct blkfront *b);
/* What blkfront_status() means, in words, for people; "" while it is 0. */
void blkfront_why(struct blkfront *b, char why[BLKFRONT_WHY_MAX]);
/* The back end is away, and we wait for it. */
bool blkfront_away(const struct blkfront *b);
/* Wait no longer for what is in flight: all fails with -ETIMEDOUT, on every queue, and only closing is left.  Whether
 * writes among it reach the disk is not known. */
void blkfront_give_up(struct blkfront *b);
/* A thread of the library's looks at the back end until blkfront_close(); the xenstore connection is its own meanwhile. */
int blkfront_watch(struct blkfront *b) __must_check;

struct blkfront_queue *blkfront_queue(struct blkfront *b, uint32_t i);

/* A pool buffer: @mem is page-aligned, buf_bytes long, and another address after a blkfront_poll() that found another
 * life; what was in it stays, but for what a read was to bring.  Nobody else may write to it during blkfront_poll(). */
struct blkfront_buf {
	void *mem;
};
/* The one freed last comes first.  NULL: all in use. */
struct blkfront_buf *blkfront_buf_get(struct blkfront_queue *q);
void blkfront_buf_put(struct blkfront_queue *q, struct blkfront_buf *buf);

/* Called from blkfront_poll().  @err: 0, -EIO, -EOPNOTSUPP.  May submit. */
typedef void blkfront_done_fn(void *arg, int err);

/*
 * Place one request.  @buf: sector-aligned memory of this queue's pool, NULL for flush and discard; the request
 * owns it until done.  @sector and @nr in units of 512 bytes.
 * -EAGAIN: the ring is full (or no indirect page is left, or the back end is away): poll first.  -EINVAL: not in the pool, not aligned, more
 * than max_bytes.  -ERANGE: past the end.  -EROFS, -EOPNOTSUPP.  Else as blkfront_status().
 */
int blkfront_submit(struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, uint64_t nr, void *buf,
		    blkfront_done_fn *done, void *arg) __must_check;

/* An I/O of any length, split as the ring needs, copied unless its memory is in the pool. */
struct blkfront_xfer {
	enum blkfront_op op;
	uint64_t sector, nr;
	void *mem;              /* follows its pool buffer when that moves */
	blkfront_done_fn *done; /* from blkfront_poll(); the first error is reported, when all parts are back */
	void *arg;
	/* private */
	struct list entry;
	uint64_t placed; /* sectors */
	uint32_t parts;  /* in flight */
	int err;
};
/* Checks as blkfront_submit(), -EAGAIN never. @x must live until done. */
int blkfront_xfer(struct blkfront_queue *q, struct blkfront_xfer *x) __must_check;

void blkfront_kick(struct blkfront_queue *q);
/* Complete what is answered, start what waits, publish.  The number of callbacks made. */
uint32_t blkfront_poll(struct blkfront_queue *q);
/*
 * Publish, then sleep until @wake responses are there (at most those in flight), the device is dead, the back end goes
 * or comes back, or @ms have passed.  Spins for @spin_us first.  Returns at once when there is something to poll.  Asks xenstore nothing.
 */
void blkfront_wait(struct blkfront_queue *q, uint32_t wake, uint32_t spin_us, uint32_t ms);

/*
 * The same in two halves, for threads that share a queue under a lock: _arm() asks for the event (true: do not sleep,
 * poll), _sleep() is called without the lock, by one thread at a time, and touches nothing that the other calls do, but
 * for blkfront_poll(): nobody may call that meanwhile.
 */
bool blkfront_arm(struct blkfront_queue *q, uint32_t wake) __must_check;
void blkfront_sleep(struct blkfront_queue *q, uint32_t ms);

uint32_t blkfront_inflight(const struct blkfront_queue *q);

struct blkfront_counts {
	uint64_t requests, events_sent, events_received, events_idle, sleeps;
	uint64_t reconnects, replayed; /* replayed: requests sent again */
};
struct blkfront_counts blkfront_counts(const struct blkfront_queue *q);

#endif

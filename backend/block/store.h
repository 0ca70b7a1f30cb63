/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store.h - where the bytes of a disk are: file, block device, NBD server, nothing.  The asynchronous contract.
 *
 * A struct store is one image; a struct store_queue is one thread's way to it.  All calls on a store_queue come
 * from its thread but queue_new and queue_free, which come from the main thread while the other does not run
 * (so that kernel rings exist before a thread is confined).
 *
 *	submit(q, io)  take the io; it may be held back until kick()
 *	kick(q)        start what was submitted: one system call a turn where possible
 *	reap(q)        a list of finished ios, linked by .next; never sleeps
 *	ready(q)       cheap look: would reap() find something
 *	wait(q, ...)   sleep; without one the caller polls .fd (when >= 0) itself
 *
 * The caller owns io, iovec array and buffers; all must stay until the io comes back by reap().  The store may
 * change the iovec array meanwhile.  Each io comes back exactly once, result 0 or -errno, in any order.  A
 * transfer is whole or failed: short ones are continued, the end of the file inside one is -EIO.
 *
 * Offsets and sizes are multiples of 512.  A FLUSH covers every write that came back before it was submitted.
 * The size is the image's at open or the last resize; ios reach a store already checked against it.
 */
#ifndef SYNTH_BACK_STORE_H
#define SYNTH_BACK_STORE_H

#include <sys/uio.h>
#include "backend/block/blk-wire.h"
#include "common/base/base.h"

enum store_op { STORE_READ, STORE_WRITE, STORE_FLUSH, STORE_DISCARD, STORE_SECURE_DISCARD };

struct store_io {
	struct store_io *next;
	uint64_t offset, bytes;
	struct iovec *iov;
	uint32_t nr_iov;
	uint8_t op;                /* enum store_op */
	uint8_t tries;             /* the store's: retries so far */
	int32_t result;            /* 0 or -errno, once reaped */
	uint64_t done;             /* the store's: bytes so far */
	uint32_t parts;            /* the store's: pieces out */
	void *stage;               /* the store's: contiguous stand-in for the pieces */
	struct store_queue *queue; /* the store's: where it goes back to */
};

/* Singly linked list of ios, in order. */
struct store_list {
	struct store_io *head, **tail;
};

static inline void store_list_init(struct store_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static inline void store_list_add(struct store_list *l, struct store_io *io)
{
	io->next = NULL;
	*l->tail = io;
	l->tail = &io->next;
}

/* What woke wait() */
#define STORE_WOKE_EVENT   1u /* event_fd is readable */
#define STORE_WOKE_CONTROL 2u /* control_fd is readable */

struct store;
struct store_queue;

struct store_ops {
	const char *name; /* blk_info.engine */
	/* Requests, and bytes of them, a turn should take before it publishes: few where io is synchronous, so that the
	 * front end works on the first while we work on the next. */
	uint32_t batch, batch_bytes;
	bool outlives; /* io under way may still be done when the process is gone: the kernel has it */
	/* @event_fd, @control_fd: what wait() watches besides completions. @depth: ios in flight at most. */
	int (*queue_new)(struct store *s, int event_fd, int control_fd, uint32_t depth, struct store_queue **ret);
	void (*queue_free)(struct store_queue *q); /* nothing is in flight */
	int (*queue_start)(struct store_queue *q); /* first call in the queue's thread; may be NULL */
	void (*submit)(struct store_queue *q, struct store_io *io);
	void (*kick)(struct store_queue *q);
	struct store_io *(*reap)(struct store_queue *q);
	bool (*ready)(const struct store_queue *q);
	uint32_t (*wait)(struct store_queue *q, int64_t timeout_ns); /* may be NULL; < 0: for ever */
	/* Hurry: give up long discards; secure ones come back with -ECANCELED.  Any thread; may be NULL. */
	void (*cancel)(struct store_queue *q);
	void (*idle)(struct store_queue *q);                  /* give back memory; may be NULL */
	int (*resize)(struct store *s, struct blk_info *ret); /* look at the size again */
	void (*close)(struct store *s);                       /* no queues are left */
};

/* Why every flush fails from now on, until the disk is attached again. */
enum store_poison {
	STORE_SOUND,
	STORE_FLUSH_FAILED, /* where a retry would lie */
	STORE_LOST, /* its server, with what was acknowledged and not flushed; what was under way may still be done */
};

/* Each engine embeds these first. */
struct store {
	const struct store_ops *ops;
	struct blk_info info;
	char name[64];         /* for messages */
	uint32_t poisoned;     /* enum store_poison; atomic */
	uint32_t *poison_mark; /* NULL, or where a successor finds it */
};

struct store_queue {
	struct store *store;
	int fd; /* readable: completions wait; -1: they never come by themselves */
};

/* Before anybody is told of it; any thread.  True: it is worse than it was. */
bool store_poison(struct store *s, enum store_poison why);
/* From now on it is marked there (NULL: nowhere).  What a predecessor has marked there poisons this one; its requests have been waited for. */
void store_poison_mark(struct store *s, uint32_t *mark);

/* What can only be had before the process is confined: libraries (of those that not all need, @parts: BLK_PART_*), kernel rings. */
void store_prepare(uint32_t parts);
/* @fds become the store's (closed also on failure). */
int store_image_open(const struct blk_open *o, const int *fds, uint32_t nr_fds, struct store **ret) __must_check;
int store_null_open(const struct blk_open *o, struct store **ret) __must_check;
int store_file_open(const struct blk_open *o, int fd, struct store **ret) __must_check;
/* What the module synth-store-nbd.so exports, and store_image_open() looks up by name. */
int synth_store_nbd_open(const struct blk_open *o, int fd, struct store **ret) __must_check;

#endif

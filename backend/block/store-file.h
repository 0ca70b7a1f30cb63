/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-file.h - what the three engines of the file store share.
 */
#ifndef SYNTH_STORE_FILE_H
#define SYNTH_STORE_FILE_H

#include <pthread.h>
#include "backend/block/store.h"
#include "common/base/list.h"

/* What of a disk waits for helpers, and what they do: store-pool.c's. */
struct pool_line {
	struct list link;
	struct pool_part {
		struct store_list todo;
		uint32_t waiting, busy; /* ios in todo; threads */
	} others, discards;
};

struct file {
	struct store s;
	int fd;
	uint32_t flags;           /* BLK_O_* */
	uint64_t size;            /* bytes; written by resize in the main thread, read relaxed */
	bool sparse;              /* may hold holes; relaxed */
	struct window *window;    /* store-window.h; NULL: none */
	pthread_mutex_t flushing; /* of the page cache: one at a time */
	struct pool_line line;
};

static inline struct file *file_of(struct store *s)
{
	return container_of(s, struct file, s);
}

/* Do what is left of the transfer (io->done is done), the flush or a piece of the discard, sleeping as long as it takes.  True: io->result
 * is set. */
bool file_execute(struct file *f, struct store_io *io, bool cancelled);
/* Move io->iov past @n bytes. */
void file_advance(struct store_io *io, uint64_t n);
ssize_t file_transfer_copied(struct file *f, struct store_io *io); /* some of what is not done; as preadv() */

/* Finished ios on their way from helper threads to the queue's thread. */
struct mailbox {
	pthread_mutex_t lock;
	struct store_list done;
	struct store_io *peek; /* done.head, for a look without the lock */
	bool told;             /* the eventfd was written since the last take */
	int fd;
};
int mailbox_init(struct mailbox *m) __must_check;
void mailbox_fini(struct mailbox *m);
void mailbox_post(struct mailbox *m, struct store_io *io);
struct store_io *mailbox_take(struct mailbox *m);
static inline bool mailbox_ready(const struct mailbox *m)
{
	return __atomic_load_n(&m->peek, __ATOMIC_RELAXED);
}

/*
 * Every engine's queue embeds this: ios that may sleep long (discards, all ios of the thread engine) go to the
 * helpers by pool_submit() and come back in @box.
 */
struct file_queue {
	struct store_queue q;
	struct mailbox box;
	bool cancelled; /* atomic, set by the main thread */
};

static inline struct file_queue *file_queue_of(struct store_queue *q)
{
	return container_of(q, struct file_queue, q);
}

int file_queue_init(struct file_queue *fq, struct store *s) __must_check;
void file_queue_fini(struct file_queue *fq);
void file_queue_cancel(struct store_queue *q);
int file_resize(struct store *s, struct blk_info *ret);
void file_close(struct store *s);
/* A discard is going to punch holes. */
void file_note_discard(struct file *f);

void pool_join(struct file *f);
void pool_leave(struct file *f); /* nothing is in flight */
void pool_submit(struct file_queue *fq, struct store_io *io);
void pool_go_on(struct file_queue *fq, struct store_io *io); /* with what of it is not done yet */

extern const struct store_ops store_inline_ops, store_uring_ops, store_threads_ops;
bool store_uring_usable(void);
/* Make @nr kernel rings, all that this process will ever have; fewer where the kernel allows no more. */
void store_uring_prepare(uint32_t nr);

#endif

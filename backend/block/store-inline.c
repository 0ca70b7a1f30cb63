/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-inline.c - engine "inline", for files that live in memory: a transfer is a memory copy, so it is done at
 * once in the queue's thread; asking another thread or io_uring to do it costs more than it saves.
 *
 * Through the window where it is open, else by preadv and pwritev, with adjacent requests of a turn put into one
 * call.  Discards may take long and go to the helpers.
 */
#include <errno.h>
#include <unistd.h>

#include "backend/block/store-file.h"
#include "backend/block/store-window.h"

#define MERGE_IOV   64u
#define MERGE_BYTES (1u << 20)

struct inline_queue {
	struct file_queue fq;
	struct store_list todo, done;
};

static struct inline_queue *inline_of(struct store_queue *q)
{
	return container_of(q, struct inline_queue, fq.q);
}

static int inline_queue_new(struct store *s, int event_fd, int control_fd, uint32_t depth, struct store_queue **ret)
{
	struct inline_queue *n = calloc(1, sizeof(*n));
	struct file *f = file_of(s);
	int rc;

	if (!n)
		return -ENOMEM;
	rc = file_queue_init(&n->fq, s);
	if (rc) {
		free(n);
		return rc;
	}
	store_list_init(&n->todo);
	store_list_init(&n->done);
	if (f->window)
		window_recheck(f->window, f);
	*ret = &n->fq.q;
	return 0;
}

static void inline_queue_free(struct store_queue *q)
{
	struct inline_queue *n = inline_of(q);

	if (file_of(q->store)->window) /* the guest has gone: its disk is no memory of ours */
		window_idle(file_of(q->store)->window);
	file_queue_fini(&n->fq);
	free(n);
}

static void inline_submit(struct store_queue *q, struct store_io *io)
{
	struct inline_queue *n = inline_of(q);
	struct file *f = file_of(q->store);

	io->done = 0;
	switch (io->op) {
	case STORE_READ:
	case STORE_WRITE:
		if (f->window && window_usable(f->window, f) && window_transfer(f->window, io))
			store_list_add(&n->done, io);
		else
			store_list_add(&n->todo, io);
		break;
	case STORE_DISCARD:
	case STORE_SECURE_DISCARD:
		file_note_discard(f);
		pool_submit(&n->fq, io);
		break;
	default:
		file_execute(f, io, false);
		store_list_add(&n->done, io);
	}
}

static bool follows(const struct store_io *a, const struct store_io *b)
{
	return b && b->op == a->op && b->offset == a->offset + a->bytes;
}

/* Do a run of adjacent ios in one call. False: not whole, nothing is said about any of them. */
static bool run_merged(const struct file *f, const struct store_io *first, uint32_t nr, uint32_t nr_iov, uint64_t bytes)
{
	struct iovec iov[MERGE_IOV];
	const struct store_io *io = first;
	uint32_t k = 0;
	ssize_t n;

	for (uint32_t i = 0; i < nr; i++, io = io->next) {
		memcpy(&iov[k], io->iov, io->nr_iov * sizeof(*iov));
		k += io->nr_iov;
	}
	if (first->op == STORE_READ)
		n = preadv(f->fd, iov, (int)nr_iov, (off_t)first->offset);
	else
		n = pwritev(f->fd, iov, (int)nr_iov, (off_t)first->offset);
	return n >= 0 && (uint64_t)n == bytes;
}

static void inline_kick(struct store_queue *q)
{
	struct inline_queue *n = inline_of(q);
	struct file *f = file_of(q->store);
	struct store_io *io = n->todo.head;

	while (io) {
		uint32_t nr = 1, nr_iov = io->nr_iov;
		uint64_t bytes = io->bytes;
		bool whole = false;

		for (struct store_io *i = io; follows(i, i->next) && nr_iov + i->next->nr_iov <= MERGE_IOV &&
					      bytes + i->next->bytes <= MERGE_BYTES;
		     i = i->next) {
			nr_iov += i->next->nr_iov;
			bytes += i->next->bytes;
			nr++;
		}
		if (nr > 1)
			whole = run_merged(f, io, nr, nr_iov, bytes);
		for (; nr > 0; nr--) {
			struct store_io *next = io->next;

			if (whole)
				io->result = 0;
			else
				file_execute(f, io, false);
			store_list_add(&n->done, io);
			io = next;
		}
	}
	store_list_init(&n->todo);
}

static struct store_io *inline_reap(struct store_queue *q)
{
	struct inline_queue *n = inline_of(q);
	struct store_io *l = n->done.head, *boxed = mailbox_take(&n->fq.box);

	if (l)
		*n->done.tail = boxed;
	else
		l = boxed;
	store_list_init(&n->done);
	return l;
}

static bool inline_ready(const struct store_queue *q)
{
	const struct inline_queue *n = container_of(q, const struct inline_queue, fq.q);

	return n->done.head || mailbox_ready(&n->fq.box);
}

static void inline_idle(struct store_queue *q)
{
	struct file *f = file_of(q->store);

	if (f->window) {
		window_idle(f->window);
		window_recheck(f->window, f);
	}
}

const struct store_ops store_inline_ops = {
	.name = "inline",
	.batch = 8,
	.batch_bytes = 64u << 10,
	.queue_new = inline_queue_new,
	.queue_free = inline_queue_free,
	.submit = inline_submit,
	.kick = inline_kick,
	.reap = inline_reap,
	.ready = inline_ready,
	.cancel = file_queue_cancel,
	.idle = inline_idle,
	.resize = file_resize,
	.close = file_close,
};

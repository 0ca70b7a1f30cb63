/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-pool.c - helper threads for what may sleep: long discards of every engine, and everything where
 * io_uring is forbidden (the "threads" engine, at the end of this file).
 *
 * One pool a process, in which each disk has a line and a share: POOL_MAX threads, of which POOL_DISCARDS may be in
 * discards.  So storage that does not answer holds up its own disk only, and discards hold up nothing else.  Threads
 * start when something waits that may begin and none is idle, and leave after POOL_IDLE_S without work, so an idle worker
 * carries none.  One stays with its disk while there is something to do: where no more can be started, a disk that has a
 * thread keeps it.  A discard goes back to the end of the line after each piece, so that a whole-disk one does not hold a
 * thread for minutes.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

#include "backend/block/store-file.h"
#include "common/log/log.h"

#define POOL_MAX      16u
#define POOL_DISCARDS 12u
#define POOL_IDLE_S   5
#define POOL_STACK    (128u * 1024)

static struct {
	pthread_mutex_t lock; /* of all lines, too */
	pthread_cond_t work;
	struct list lines;
	uint32_t idle; /* threads that have nothing to do, or not yet */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .lines = { &pool.lines, &pool.lines } };

static struct pool_part *part_of(struct file *f, const struct store_io *io)
{
	return io->op == STORE_DISCARD || io->op == STORE_SECURE_DISCARD ? &f->line.discards : &f->line.others;
}

/* This, and what follows up to pool_due(), with pool.lock held. */
static void line_add(struct file *f, struct store_io *io)
{
	store_list_add(&part_of(f, io)->todo, io);
	part_of(f, io)->waiting++;
}

static struct store_io *part_take(struct pool_part *p)
{
	struct store_io *io = p->todo.head;

	p->todo.head = io->next;
	if (!io->next)
		p->todo.tail = &p->todo.head;
	p->waiting--;
	p->busy++;
	return io;
}

/* NULL: nothing that may begin. */
static struct store_io *line_take(struct pool_line *l)
{
	if (l->others.busy + l->discards.busy == POOL_MAX)
		return NULL;
	if (l->others.waiting)
		return part_take(&l->others);
	return l->discards.waiting && l->discards.busy < POOL_DISCARDS ? part_take(&l->discards) : NULL;
}

static struct store_io *pool_take(void)
{
	struct store_io *io = NULL;
	struct pool_line *l;

	list_for_each (l, &pool.lines, link) {
		io = line_take(l);
		if (io)
			break;
	}
	return io;
}

/* How many threads could begin something. */
static uint32_t pool_due(void)
{
	const struct pool_line *l;
	uint32_t n = 0;

	list_for_each (l, &pool.lines, link)
		n += MIN(l->others.waiting + MIN(l->discards.waiting, POOL_DISCARDS - l->discards.busy),
			 POOL_MAX - l->others.busy - l->discards.busy);
	return n;
}

void pool_join(struct file *f)
{
	store_list_init(&f->line.others.todo);
	store_list_init(&f->line.discards.todo);
	pthread_mutex_lock(&pool.lock);
	list_add_tail(&pool.lines, &f->line.link);
	pthread_mutex_unlock(&pool.lock);
}

void pool_leave(struct file *f)
{
	pthread_mutex_lock(&pool.lock);
	list_del(&f->line.link);
	pthread_mutex_unlock(&pool.lock);
}

/* NULL: nothing came for a while. */
static struct store_io *pool_wait(void)
{
	struct timespec until;
	struct store_io *io;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += POOL_IDLE_S;
	pthread_mutex_lock(&pool.lock);
	while (!(io = pool_take()) && rc == 0)
		rc = pthread_cond_timedwait(&pool.work, &pool.lock, &until);
	pool.idle--;
	pthread_mutex_unlock(&pool.lock);
	return io;
}

/* What is to be done after @io by the same thread; NULL: it is idle. */
static struct store_io *pool_do(struct store_io *io)
{
	struct file_queue *fq = file_queue_of(io->queue);
	struct file *f = file_of(fq->q.store);
	bool done = file_execute(f, io, __atomic_load_n(&fq->cancelled, __ATOMIC_ACQUIRE));
	struct store_io *next;

	pthread_mutex_lock(&pool.lock);
	part_of(f, io)->busy--;
	if (!done)
		line_add(f, io);
	next = line_take(&f->line);
	pool.idle += !next;
	pthread_mutex_unlock(&pool.lock);
	if (done)
		mailbox_post(&fq->box, io); /* io, fq and f may be gone after this */
	return next;
}

static void *pool_thread(void *arg)
{
	struct store_io *io;

	while ((io = pool_wait()))
		while (io)
			io = pool_do(io);
	return NULL;
}

/* With pool.lock held.  All signals stay with the main thread. */
static int pool_start_thread(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t t;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
#ifndef __SANITIZE_THREAD__
	pthread_attr_setstacksize(&attr, MAX(POOL_STACK, (size_t)PTHREAD_STACK_MIN));
#endif
	rc = pthread_create(&t, &attr, pool_thread, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0)
		pool.idle++;
	return -rc;
}

void pool_submit(struct file_queue *fq, struct store_io *io)
{
	io->done = 0;
	pool_go_on(fq, io);
}

/*
 * No thread can be had, and the disk has none.  The queue's own does it, and what comes meanwhile waits.  The guest is
 * not told: Linux does not flush any more after a flush that failed, and the image is well.
 */
static void pool_help_yourself(struct file_queue *fq, struct store_io *io, int err)
{
	static bool told; /* atomic */

	if (!__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
		log_warn("%s: cannot start a helper thread: %s; a queue that needs one does without, and waits",
			 fq->q.store->name, strerror(-err));
	while (!file_execute(file_of(fq->q.store), io, __atomic_load_n(&fq->cancelled, __ATOMIC_ACQUIRE)))
		;
	mailbox_post(&fq->box, io);
}

void pool_go_on(struct file_queue *fq, struct store_io *io)
{
	struct file *f = file_of(fq->q.store);
	struct pool_part *p = part_of(f, io);
	bool own;
	int rc = 0;

	io->queue = &fq->q;
	pthread_mutex_lock(&pool.lock);
	p->waiting++;
	if (pool_due() > pool.idle)
		rc = pool_start_thread();
	p->waiting--;
	own = rc && f->line.others.busy + f->line.discards.busy == 0; /* else one of its threads comes by */
	if (!own) {
		line_add(f, io);
		pthread_cond_signal(&pool.work);
	}
	pthread_mutex_unlock(&pool.lock);
	if (own)
		pool_help_yourself(fq, io, rc);
}

int file_queue_init(struct file_queue *fq, struct store *s)
{
	int rc = mailbox_init(&fq->box);

	fq->q = (struct store_queue){ s, rc ? -1 : fq->box.fd };
	fq->cancelled = false;
	return rc;
}

void file_queue_fini(struct file_queue *fq)
{
	mailbox_fini(&fq->box);
}

void file_queue_cancel(struct store_queue *q)
{
	/* who sees it sees why: q->leaving */
	__atomic_store_n(&file_queue_of(q)->cancelled, true, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ engine "threads" */

static int threads_queue_new(struct store *s, int event_fd, int control_fd, uint32_t depth, struct store_queue **ret)
{
	struct file_queue *fq = calloc(1, sizeof(*fq));
	int rc;

	if (!fq)
		return -ENOMEM;
	rc = file_queue_init(fq, s);
	if (rc) {
		free(fq);
		return rc;
	}
	*ret = &fq->q;
	return 0;
}

static void threads_queue_free(struct store_queue *q)
{
	file_queue_fini(file_queue_of(q));
	free(file_queue_of(q));
}

static void threads_submit(struct store_queue *q, struct store_io *io)
{
	pool_submit(file_queue_of(q), io);
}

static void threads_kick(struct store_queue *q)
{
}

static struct store_io *threads_reap(struct store_queue *q)
{
	return mailbox_take(&file_queue_of(q)->box);
}

static bool threads_ready(const struct store_queue *q)
{
	return mailbox_ready(&container_of(q, const struct file_queue, q)->box);
}

const struct store_ops store_threads_ops = {
	.name = "threads",
	.batch = 32,
	.batch_bytes = UINT32_MAX,
	.queue_new = threads_queue_new,
	.queue_free = threads_queue_free,
	.submit = threads_submit,
	.kick = threads_kick,
	.reap = threads_reap,
	.ready = threads_ready,
	.cancel = file_queue_cancel,
	.resize = file_resize,
	.close = file_close,
};

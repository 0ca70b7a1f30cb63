/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-pool.c - helper threads for what may sleep: long discards of every engine, and everything where
 * io_uring is forbidden (the "threads" engine, at the end of this file).
 *
 * One pool a process.  Threads start when work waits and none is idle, up to POOL_MAX, and leave after
 * POOL_IDLE_S without work, so an idle worker carries none.  A discard goes back to the end of the line after
 * each piece, so that a whole-disk one does not hold a thread for minutes.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

#include "backend/block/store-file.h"
#include "common/log/log.h"

#define POOL_MAX    16u
#define POOL_IDLE_S 5
#define POOL_STACK  (128u * 1024)

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct store_list todo;
	uint32_t waiting; /* ios on todo */
	uint32_t threads, idle;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER };

static struct store_io *pool_next(void)
{
	struct store_io *io = pool.todo.head;

	pool.todo.head = io->next;
	if (!io->next)
		pool.todo.tail = &pool.todo.head;
	pool.waiting--;
	return io;
}

/* Called and left with pool.lock held. False: nothing came for a while. */
static bool pool_wait(void)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += POOL_IDLE_S;
	pool.idle++;
	while (!pool.todo.head && rc == 0)
		rc = pthread_cond_timedwait(&pool.work, &pool.lock, &until);
	pool.idle--;
	return pool.todo.head;
}

static void *pool_thread(void *arg)
{
	pthread_mutex_lock(&pool.lock);
	while (pool.todo.head || pool_wait()) {
		struct store_io *io = pool_next();
		struct file_queue *fq = file_queue_of(io->queue);
		bool done;

		pthread_mutex_unlock(&pool.lock);
		done = file_execute(file_of(fq->q.store), io, __atomic_load_n(&fq->cancelled, __ATOMIC_ACQUIRE));
		if (done)
			mailbox_post(&fq->box, io); /* io and fq may be gone after this */
		pthread_mutex_lock(&pool.lock);
		if (!done) {
			store_list_add(&pool.todo, io);
			pool.waiting++;
		}
	}
	pool.threads--;
	pthread_mutex_unlock(&pool.lock);
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
		pool.threads++;
	return -rc;
}

void pool_submit(struct file_queue *fq, struct store_io *io)
{
	io->done = 0;
	pool_go_on(fq, io);
}

/*
 * No thread can be had.  The queue's own does it, and what comes meanwhile waits.  The guest is not told: Linux does not flush any more
 * after a flush that failed, and the image is well.
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
	int rc = 0;

	io->queue = &fq->q;
	pthread_mutex_lock(&pool.lock);
	if (!pool.todo.head)
		store_list_init(&pool.todo);
	if (pool.waiting >= pool.idle && pool.threads < POOL_MAX)
		rc = pool_start_thread();
	if (pool.threads > 0) {
		store_list_add(&pool.todo, io);
		pool.waiting++;
		pthread_cond_signal(&pool.work);
		io = NULL;
	}
	pthread_mutex_unlock(&pool.lock);
	if (io)
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

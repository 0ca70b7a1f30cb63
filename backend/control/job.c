/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * job.c - see job.h.  A thread lives while there is work for it.  Finished jobs come back through a list and an eventfd.
 * `cancelled` belongs to the loop's thread alone.
 *
 * What waits for storage that does not answer may wait for ever, and cannot be interrupted.  So only threads that have had
 * their job for less than JOB_STUCK_MS count among the JOB_THREADS; the others are bounded in all, and for each domain.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "backend/control/job.h"
#include "common/event/loop.h"

#define JOB_THREADS  8u
#define JOB_STUCK_MS 1000u /* a job that has taken so long may take for ever */
#define JOB_MAX      256u  /* threads, with those */
#define JOB_SHARE    32u   /* of them for one domain */
#define JOB_END_MS   1000u /* what runs when all is to end gets so long */
#define JOB_STACK    (256u * 1024u)

struct jobs {
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_timer *look; /* while jobs wait: are all threads stuck? */
	int fd;                  /* eventfd: something is finished */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct list todo, running, finished;
	uint32_t threads;
	bool held;
};

/* The first one whose domain has not got its share. */
static struct job *job_next(struct jobs *js)
{
	struct job *j, *r;

	if (js->held)
		return NULL;
	list_for_each (j, &js->todo, link) {
		uint32_t nr = 0;

		list_for_each (r, &js->running, link)
			nr += r->domid == j->domid;
		if (nr < JOB_SHARE)
			return j;
	}
	return NULL;
}

static void *job_thread(void *arg)
{
	struct jobs *js = arg;
	struct job *j;
	uint64_t one = 1;

	pthread_mutex_lock(&js->lock);
	while ((j = job_next(js))) {
		list_del(&j->link);
		list_add_tail(&js->running, &j->link);
		j->began_ns = now_ns();
		pthread_mutex_unlock(&js->lock);
		j->run(j);
		pthread_mutex_lock(&js->lock);
		list_del(&j->link);
		list_add_tail(&js->finished, &j->link);
		/* An eventfd write fails only when the counter is full: then the loop is woken anyhow. */
		if (write(js->fd, &one, sizeof(one)) < 0)
			continue;
	}
	js->threads--;
	pthread_cond_signal(&js->idle);
	pthread_mutex_unlock(&js->lock);
	return NULL;
}

static void job_reap(struct jobs *js)
{
	struct job *j;

	pthread_mutex_lock(&js->lock);
	while (!list_empty(&js->finished)) {
		j = list_entry(js->finished.next, struct job, link);
		list_del(&j->link);
		pthread_mutex_unlock(&js->lock);
		j->done(j, j->cancelled);
		pthread_mutex_lock(&js->lock);
	}
	pthread_mutex_unlock(&js->lock);
}

static void job_ready(struct loop *l, int fd, uint32_t events, void *arg)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
	job_reap(arg);
}

int jobs_new(struct loop *l, struct jobs **ret)
{
	struct jobs *js = calloc(1, sizeof(*js));
	pthread_condattr_t attr;
	int err;

	if (!js)
		return -ENOMEM;
	js->loop = l;
	list_init(&js->todo);
	list_init(&js->running);
	list_init(&js->finished);
	pthread_mutex_init(&js->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&js->idle, &attr);
	pthread_condattr_destroy(&attr);
	js->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = js->fd < 0 ? -errno : loop_add_fd(l, js->fd, EPOLLIN, job_ready, js, &js->watch);
	if (err < 0) {
		if (js->fd >= 0)
			close(js->fd);
		free(js);
		return err;
	}
	*ret = js;
	return 0;
}

uint32_t jobs_free(struct jobs *js)
{
	struct timespec end;
	struct list *e;
	uint32_t left;

	if (!js)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += JOB_END_MS / 1000;
	loop_del_timer(js->look);
	js->look = NULL;
	pthread_mutex_lock(&js->lock);
	while (!list_empty(&js->todo)) {
		e = js->todo.next;
		list_del(e);
		list_add_tail(&js->finished, e);
	}
	while (js->threads > 0 && pthread_cond_timedwait(&js->idle, &js->lock, &end) == 0)
		;
	left = js->threads;
	for (e = js->finished.next; e != &js->finished; e = e->next)
		job_cancel(list_entry(e, struct job, link));
	pthread_mutex_unlock(&js->lock);
	job_reap(js);
	loop_del_fd(js->watch);
	if (left > 0)
		return left; /* they need what is here */
	close(js->fd);
	pthread_cond_destroy(&js->idle);
	pthread_mutex_destroy(&js->lock);
	free(js);
	return 0;
}

static int job_spawn(struct jobs *js)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t t;
	int err;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, JOB_STACK);
	err = pthread_create(&t, &attr, job_thread, js);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err == 0)
		js->threads++;
	return -err;
}

/* May there be another thread, and is there work for it? */
static bool job_wants_thread(struct jobs *js)
{
	uint64_t now = now_ns();
	uint32_t stuck = 0;
	struct job *j;

	list_for_each (j, &js->running, link)
		stuck += now - j->began_ns >= JOB_STUCK_MS * 1000000ull;
	return js->threads < JOB_MAX && js->threads - stuck < JOB_THREADS && job_next(js);
}

static void job_look(struct loop *l, void *arg);

static void job_look_later(struct jobs *js)
{
	/* Without it, a thread that gets free comes to what waits, or the next one that is started. */
	if (!js->look && loop_add_timer(js->loop, JOB_STUCK_MS, job_look, js, &js->look) < 0)
		js->look = NULL;
}

static void job_look(struct loop *l, void *arg)
{
	struct jobs *js = arg;
	bool waiting;

	js->look = NULL;
	pthread_mutex_lock(&js->lock);
	for (uint32_t n = 0; n < JOB_THREADS && job_wants_thread(js) && job_spawn(js) == 0; n++)
		;
	waiting = !list_empty(&js->todo);
	pthread_mutex_unlock(&js->lock);
	if (waiting)
		job_look_later(js);
}

uint32_t jobs_hold(struct jobs *js, bool hold)
{
	uint32_t nr = 0;
	struct job *j;

	pthread_mutex_lock(&js->lock);
	js->held = hold;
	list_for_each (j, &js->running, link)
		nr++;
	pthread_mutex_unlock(&js->lock);
	if (!hold) {
		loop_del_timer(js->look);
		job_look(js->loop, js);
	}
	return nr;
}

int jobs_start(struct jobs *js, struct job *j)
{
	int err = 0;
	bool wait;

	j->cancelled = false;
	pthread_mutex_lock(&js->lock);
	list_add_tail(&js->todo, &j->link);
	wait = !job_wants_thread(js);
	if (!wait)
		err = job_spawn(js);
	if (err < 0 && js->threads > 0) {
		err = 0; /* those that run will come to it */
		wait = true;
	} else if (err < 0) {
		list_del(&j->link);
	}
	pthread_mutex_unlock(&js->lock);
	if (wait)
		job_look_later(js);
	return err;
}

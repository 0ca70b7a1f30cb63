/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * job.c - see job.h.  A thread lives while there is work for it; at most JOB_THREADS at once.  Finished jobs come
 * back through a list and an eventfd.  `cancelled` belongs to the loop's thread alone.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "backend/control/job.h"
#include "common/event/loop.h"

#define JOB_THREADS 8u
#define JOB_STACK   (256u * 1024u)

struct jobs {
	struct loop_fd *watch;
	int fd; /* eventfd: something is finished */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct list todo, finished;
	uint32_t threads;
};

static void *job_thread(void *arg)
{
	struct jobs *js = arg;
	struct job *j;
	uint64_t one = 1;

	pthread_mutex_lock(&js->lock);
	while (!list_empty(&js->todo)) {
		j = list_entry(js->todo.next, struct job, link);
		list_del(&j->link);
		pthread_mutex_unlock(&js->lock);
		j->run(j);
		pthread_mutex_lock(&js->lock);
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
	int err;

	if (!js)
		return -ENOMEM;
	list_init(&js->todo);
	list_init(&js->finished);
	pthread_mutex_init(&js->lock, NULL);
	pthread_cond_init(&js->idle, NULL);
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

void jobs_free(struct jobs *js)
{
	struct list *e;

	if (!js)
		return;
	pthread_mutex_lock(&js->lock);
	while (!list_empty(&js->todo)) {
		e = js->todo.next;
		list_del(e);
		list_add_tail(&js->finished, e);
	}
	while (js->threads > 0)
		pthread_cond_wait(&js->idle, &js->lock);
	for (e = js->finished.next; e != &js->finished; e = e->next)
		job_cancel(list_entry(e, struct job, link));
	pthread_mutex_unlock(&js->lock);
	job_reap(js);
	loop_del_fd(js->watch);
	close(js->fd);
	pthread_cond_destroy(&js->idle);
	pthread_mutex_destroy(&js->lock);
	free(js);
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
	return -err;
}

int jobs_start(struct jobs *js, struct job *j)
{
	int err = 0;

	j->cancelled = false;
	pthread_mutex_lock(&js->lock);
	list_add_tail(&js->todo, &j->link);
	if (js->threads < JOB_THREADS) {
		err = job_spawn(js);
		if (err == 0) {
			js->threads++;
		} else if (js->threads > 0) {
			err = 0; /* those that run will come to it */
		} else {
			list_del(&j->link);
		}
	}
	pthread_mutex_unlock(&js->lock);
	return err;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loop.c - epoll, a sorted list of timers, signalfd.
 *
 * A watch deleted during a turn is only marked dead and freed at the end of it, so that events already
 * collected for it find memory that is still there.  Timers are few (one a device at most): a sorted list does.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "common/base/list.h"
#include "common/event/loop.h"

struct loop_fd {
	struct loop *loop;
	struct list list;
	int fd;
	bool dead;
	loop_fd_fn *fn;
	void *arg;
};

struct loop_timer {
	struct list list;
	uint64_t due; /* ns */
	loop_timer_fn *fn;
	void *arg;
};

struct sig {
	struct list list;
	int sig;
	loop_signal_fn *fn;
	void *arg;
};

struct loop {
	int epfd, sigfd;
	bool stop;
	sigset_t mask;
	struct loop_fd *sigwatch;
	struct list fds, dead, timers, deferred, sigs;
};

int loop_new(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		int r = -errno;

		free(l);
		return r;
	}
	l->sigfd = -1;
	sigemptyset(&l->mask);
	list_init(&l->fds);
	list_init(&l->dead);
	list_init(&l->timers);
	list_init(&l->deferred);
	list_init(&l->sigs);
	*ret = l;
	return 0;
}

static void reap(struct list *head)
{
	struct loop_fd *w, *n;

	list_for_each_safe (w, n, head, list) {
		list_del(&w->list);
		free(w);
	}
}

static void free_timers(struct list *head)
{
	struct loop_timer *t, *n;

	list_for_each_safe (t, n, head, list) {
		list_del(&t->list);
		free(t);
	}
}

void loop_free(struct loop *l)
{
	struct sig *s, *n;

	if (!l)
		return;
	reap(&l->fds);
	reap(&l->dead);
	free_timers(&l->timers);
	free_timers(&l->deferred);
	list_for_each_safe (s, n, &l->sigs, list) {
		list_del(&s->list);
		free(s);
	}
	if (l->sigfd >= 0)
		close(l->sigfd);
	close(l->epfd);
	free(l);
}

int loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg, struct loop_fd **ret)
{
	struct loop_fd *w = calloc(1, sizeof(*w));
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (!w)
		return -ENOMEM;
	*w = (struct loop_fd){ .loop = l, .fd = fd, .fn = fn, .arg = arg };
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = -errno;

		free(w);
		return r;
	}
	list_add_tail(&l->fds, &w->list);
	if (ret)
		*ret = w;
	return 0;
}

int loop_mod_fd(struct loop_fd *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(w->loop->epfd, EPOLL_CTL_MOD, w->fd, &ev) < 0 ? -errno : 0;
}

void loop_del_fd(struct loop_fd *w)
{
	if (!w || w->dead)
		return;
	/* The fd may be closed already, which removed it from the set. */
	(void)epoll_ctl(w->loop->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->dead = true;
	list_del(&w->list);
	list_add_tail(&w->loop->dead, &w->list);
}

static int new_timer(uint64_t due, loop_timer_fn *fn, void *arg, struct loop_timer **ret)
{
	struct loop_timer *t = malloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	*t = (struct loop_timer){ .due = due, .fn = fn, .arg = arg };
	*ret = t;
	return 0;
}

int loop_add_timer(struct loop *l, uint64_t ms, loop_timer_fn *fn, void *arg, struct loop_timer **ret)
{
	struct loop_timer *t, *at;
	int r = new_timer(now_ns() + ms * 1000000u, fn, arg, &t);

	if (r)
		return r;
	list_for_each (at, &l->timers, list)
		if (at->due > t->due)
			break;
	list_add_tail(&at->list, &t->list); /* before the first later one, or at the end */
	if (ret)
		*ret = t;
	return 0;
}

void loop_del_timer(struct loop_timer *t)
{
	if (!t)
		return;
	list_del(&t->list);
	free(t);
}

int loop_defer(struct loop *l, loop_timer_fn *fn, void *arg)
{
	struct loop_timer *t;
	int r = new_timer(0, fn, arg, &t);

	if (r == 0)
		list_add_tail(&l->deferred, &t->list);
	return r;
}

static void on_signal(struct loop *l, int fd, uint32_t events, void *arg)
{
	struct signalfd_siginfo si;
	struct sig *s, *n;

	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		list_for_each_safe (s, n, &l->sigs, list)
			if (s->sig == (int)si.ssi_signo)
				s->fn(l, s->sig, s->arg);
}

int loop_add_signal(struct loop *l, int sig, loop_signal_fn *fn, void *arg)
{
	struct sig *s = calloc(1, sizeof(*s));
	int fd, r;

	if (!s)
		return -ENOMEM;
	*s = (struct sig){ .sig = sig, .fn = fn, .arg = arg };
	sigaddset(&l->mask, sig);
	sigprocmask(SIG_BLOCK, &l->mask, NULL);
	fd = signalfd(l->sigfd, &l->mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		free(s);
		return r;
	}
	list_add_tail(&l->sigs, &s->list);
	l->sigfd = fd;
	return l->sigwatch ? 0 : loop_add_fd(l, fd, EPOLLIN, on_signal, NULL, &l->sigwatch);
}

static int timeout_ms(const struct loop *l)
{
	const struct loop_timer *t;
	uint64_t now;

	if (!list_empty(&l->deferred))
		return 0;
	if (list_empty(&l->timers))
		return -1;
	t = list_entry(l->timers.next, const struct loop_timer, list);
	now = now_ns();
	return t->due <= now ? 0 : (int)MIN((t->due - now + 999999u) / 1000000u, 3600000u);
}

static void run_timer(struct loop *l, struct loop_timer *t)
{
	loop_timer_fn *fn = t->fn;
	void *arg = t->arg;

	loop_del_timer(t);
	fn(l, arg);
}

static void run_timers(struct loop *l)
{
	uint64_t now = now_ns();

	while (!list_empty(&l->timers)) {
		struct loop_timer *t = list_entry(l->timers.next, struct loop_timer, list);

		if (t->due > now)
			break;
		run_timer(l, t);
	}
}

/* What is deferred while this runs waits for the next turn. */
static void run_deferred(struct loop *l)
{
	struct list batch;

	if (list_empty(&l->deferred))
		return;
	batch = l->deferred;
	batch.next->prev = batch.prev->next = &batch;
	list_init(&l->deferred);
	while (!list_empty(&batch))
		run_timer(l, list_entry(batch.next, struct loop_timer, list));
}

int loop_run(struct loop *l)
{
	struct epoll_event ev[32];
	int n;

	l->stop = false;
	while (!l->stop) {
		n = epoll_wait(l->epfd, ev, ARRAY_SIZE(ev), timeout_ms(l));
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			struct loop_fd *w = ev[i].data.ptr;

			if (!w->dead)
				w->fn(l, w->fd, ev[i].events, w->arg);
		}
		run_timers(l);
		run_deferred(l);
		reap(&l->dead);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

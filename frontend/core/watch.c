/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* watch.c - see watch.h */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "common/log/log.h"
#include "frontend/core/watch.h"

static void *watch_thread(void *arg)
{
	struct front_watcher *w = arg;
	struct pollfd p[2] = { { .fd = store_fd(w->front->store), .events = POLLIN },
			       { .fd = w->quit_fd, .events = POLLIN } };

	while (!p[1].revents) {
		/* First without waiting: news may have come while we connected. */
		if (front_dispatch(w->front) < 0) {
			/* Without xenstore we would not learn that the back end goes; the rings still work. */
			log_warn("%s: the connection to xenstore is lost", w->front->dev.dir);
			break;
		}
		if (w->over && front_over(w->front)) {
			if (!w->over(w->arg))
				w->over = NULL;
			p[1].revents = 0;
			if (poll(&p[1], 1, 0) < 0)
				break;
			continue; /* to look again before we sleep */
		}
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
	}
	return NULL;
}

int front_watcher_start(struct front_watcher *w, struct front *f)
{
	sigset_t all, before;
	int err;

	w->front = f;
	w->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->quit_fd < 0)
		return -errno;
	f->cancel_fd = w->quit_fd;
	/* Signals are for the threads of who uses us. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&w->thread, NULL, watch_thread, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		f->cancel_fd = -1;
		close(w->quit_fd);
	}
	w->running = err == 0;
	return -err;
}

void front_watcher_stop(struct front_watcher *w)
{
	uint64_t one = 1;

	if (w->running && write(w->quit_fd, &one, sizeof(one)) == sizeof(one)) {
		pthread_join(w->thread, NULL);
		w->front->cancel_fd = -1;
		close(w->quit_fd);
	}
	w->running = false;
}

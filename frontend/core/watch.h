/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* watch.h - a thread that looks at the back end's state while others move data. */
#ifndef SYNTH_FRONT_WATCH_H
#define SYNTH_FRONT_WATCH_H

#include <pthread.h>
#include "frontend/core/front.h"

/* Zeroed: not running. */
struct front_watcher {
	struct front *front;
	/* NULL ok.  Called in the thread while the connection is over, or the back end asks: takes it to its next life, for as long as that takes
	 * (front_again()).  False: there will be none, and it is not called again. */
	bool (*over)(void *arg);
	void *arg;
	pthread_t thread;
	int quit_fd; /* eventfd, readable when it shall end; the front's cancel_fd */
	bool running;
};

/* front_dispatch() is the thread's from here on.  0 or -errno. */
int front_watcher_start(struct front_watcher *w, struct front *f) __must_check;
void front_watcher_stop(struct front_watcher *w); /* nothing when it does not run */

#endif

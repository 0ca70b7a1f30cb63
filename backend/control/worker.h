/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * worker.h - a worker as supervise.c (its life) and find.c (those of a daemon before us) see it.  Not for others, who have
 * control.h.
 */
#ifndef SYNTH_CONTROL_WORKER_H
#define SYNTH_CONTROL_WORKER_H

#include "backend/control/control.h"
#include "backend/control/listener.h"

enum worker_state { WORKER_IDLE, WORKER_BACKOFF, WORKER_STARTING, WORKER_READY, WORKER_QUITTING };

struct worker {
	struct list link;
	struct control *c;
	uint32_t domid;
	uint32_t refs;
	enum worker_state state;
	pid_t pid;                        /* 0: none */
	int pidfd;                        /* of one that is no child of ours, as far as we know; else -1 */
	struct loop_fd *pid_watch;        /* of pidfd */
	char listener[LISTENER_NAME_MAX]; /* where the next control plane finds it; "": cannot be found */
	int sock;                         /* -1: none */
	struct loop_fd *watch;
	uint32_t seq;
	uint32_t last_handle;     /* of a device; a worker's own, since what it says of them is no other's business */
	uint32_t parts;           /* its process was started with (device_parts()) */
	uint64_t file_bytes;      /* of the longest file it writes to; found: that it may write to */
	uint32_t grants_told;     /* its share, as it knows it; 0: nothing was said yet */
	struct list asks;         /* in order; unsent ones at the end */
	struct loop_timer *timer; /* hello, backoff or quit */
	uint64_t timer_due_ns;
	uint64_t started_ns;
	uint32_t crashes;  /* early deaths in a row */
	uint32_t deaths;   /* in all */
	bool hung;         /* killed by us, since it did not answer */
	bool own_fault;    /* how the last one died */
	bool backoff_over; /* but the process is not reaped yet */
	/* found again (find.c) */
	struct list found; /* struct found_device, nobody's yet */
	uint32_t expected; /* of these, still to be told */
	size_t told_bytes; /* memory that these took, claimed ones included */
	uint32_t told_fds;
	bool greeted;
	uint32_t era; /* upgrades there were before it was started, as its listener's name says */
};

/* Not listed before it is complete. */
struct worker *worker_new(struct control *c, uint32_t domid) __must_check;
void worker_free(struct worker *w);
void worker_start(struct worker *w);
/* Tell it to quit, and @fn when it has let go of all, or is dead; late, it is killed. */
void worker_hand_over(struct worker *w, uint32_t ms, worker_reply_fn *fn, void *arg);
/* It said HELLO: it is watched over from here on, as one that we started. */
int worker_found_ready(struct worker *w) __must_check;
void worker_kill(const struct worker *w, int sig);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * job.h - work that may block (opening images, connecting to NBD servers), done on a few threads.  A job's run()
 * sees only what is in the job; done() is called on the loop.  One that never ends keeps neither another domain's waiting
 * nor the end of the daemon.
 */
#ifndef SYNTH_JOB_H
#define SYNTH_JOB_H

#include "common/base/base.h"
#include "common/base/list.h"

struct loop;
struct jobs;

struct job {
	struct list link;
	void (*run)(struct job *j);
	void (*done)(struct job *j, bool cancelled); /* owns the job again */
	uint32_t domid;                              /* whose share of the threads it takes; any number for nobody's */
	bool cancelled;
	uint64_t began_ns; /* job.c's */
};

int jobs_new(struct loop *l, struct jobs **ret) __must_check;
/*
 * Waits for what is running, a second at most; done() is called, cancelled, for all that are over.  Returns how many are not:
 * they and their threads are left alone, and the process is to end without the usual ceremonies.
 */
uint32_t jobs_free(struct jobs *js) __must_check;
int jobs_start(struct jobs *js, struct job *j) __must_check;
/* From here on no job begins, until they are let go: how many run still. */
uint32_t jobs_hold(struct jobs *js, bool hold);
/* done() will still come, cancelled. */
static inline void job_cancel(struct job *j)
{
	j->cancelled = true;
}

#endif

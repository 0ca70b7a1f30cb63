/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * job.h - work that may block (opening images, connecting to NBD servers), done on a few threads.  A job's run()
 * sees only what is in the job; done() is called on the loop.
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
	bool cancelled;
};

int jobs_new(struct loop *l, struct jobs **ret) __must_check;
/* Waits for what is running; done() is called, cancelled, for all. */
void jobs_free(struct jobs *js);
int jobs_start(struct jobs *js, struct job *j) __must_check;
/* done() will still come, cancelled. */
static inline void job_cancel(struct job *j)
{
	j->cancelled = true;
}

#endif

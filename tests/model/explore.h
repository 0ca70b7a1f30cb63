/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * explore.h - visit every state that a small model can reach, breadth first, so that what it finds has no shorter story.
 *
 * A model is a function from a state to the states that may follow it.  A state is plain bytes, compared whole: a model
 * zeroes what no longer matters.  Two kinds of fault are found: a state that the model itself calls wrong, and a state
 * from which the end cannot be reached any more, however the processes are scheduled.  In the second sense a kill is no
 * help: a system that only goes on because somebody kills it hangs.
 */
#ifndef SYNTH_MODEL_EXPLORE_H
#define SYNTH_MODEL_EXPLORE_H

#include <stdio.h>
#include "common/base/base.h"

struct explorer;

struct model {
	size_t bytes; /* of a state: a multiple of 8, at most EXPLORE_MAX_BYTES */
	void (*start)(struct explorer *e, const void *config);
	void (*next)(struct explorer *e, const void *config, const void *state);
	bool (*ended)(const void *config, const void *state); /* NULL: whether it ends is not asked */
	void (*show)(FILE *to, const void *config, const void *state);
};

#define EXPLORE_MAX_BYTES 128u

/* Called by start() and next().  @step: a constant. */
void explore_to(struct explorer *e, const void *state, const char *step);
void explore_kill(struct explorer *e, const void *state,
		  const char *step); /* the same; a way out that does not count */
void explore_fault(struct explorer *e, const void *state, const char *step, const char *why);

struct explore_result {
	uint64_t states, edges;
	uint32_t depth;    /* steps to the last state found, or to the fault */
	const char *fault; /* NULL: none */
};

/* Runs out of memory by exiting.  @trace: where the story of a fault is told, or NULL. */
struct explore_result explore(const struct model *m, const void *config, FILE *trace);

/* Was a step of this name ever taken, by any exploration of this process? */
bool explore_took(const char *step);

#endif

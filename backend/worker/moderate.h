/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * moderate.h - when a notification may wait for more responses.  Pure: the clock is passed in.
 *
 * A kernel's front end asks for an event at the next response, always: with 32 requests in flight it gets nearly 32
 * interrupts, each of which finds one answer.  Held back for some microseconds, one event covers several.
 *
 * What it may cost.  An event is held in two cases.  Either what is still to be done here (@work) is more than what would
 * be told (@unseen): the front end never waits for an answer while we have nothing to do for it, and at least half of
 * its requests keep the image busy.  Or there is nothing to be done here at all: then the front end is what is slow,
 * and where it goes on to post requests without being told, each event it is spared makes it faster; the next responses
 * come of those.  In both cases for max_ns at most since the first of the responses: the caller looks at the clock
 * while one is held, and sends it before it sleeps.  A front end of depth 1 posts nothing until it is told: it is
 * held in vain once in MODERATE_GAP_MAX events.
 *
 * How many responses are waited for follows what pays.  An event that covers a whole batch while the front end goes
 * on to post makes the next batch longer by one, on trial. A trial that fails takes that back; another wait in vain halves
 * it, and one that brought some, but not all, makes it that many.  After that the next trial is a gap of events away,
 * which doubles with each that fails.
 * A batch of 1 holds nothing.
 */
#ifndef SYNTH_MODERATE_H
#define SYNTH_MODERATE_H

#include "common/base/base.h"

#define HOLD_NS          20000u /* longest hold where a system call takes SLOWNESS_CALL_NS */
#define SLOWNESS_CALL_NS 500u
#define SLOWNESS_MAX     40u
#define MODERATE_GAP_MIN 16u /* events */
#define MODERATE_GAP_MAX 4096u

struct moderate {
	uint64_t max_ns; /* 0: nothing is held */
	uint32_t max_batch;
	uint32_t batch;  /* responses an event should cover */
	uint32_t gap;    /* events between trials */
	uint32_t wait;   /* of these, still to come */
	bool trial;      /* the batch is one longer than what has paid */
	uint64_t until;  /* ns: the end of the hold; 0: nothing is held */
	uint32_t first;  /* @unseen when it began */
	uint32_t posted; /* @posted at the last event */
};

/* What the front end may wait for, and what it does. */
struct moderate_load {
	uint32_t unseen; /* responses an event would tell of: > 0 */
	uint32_t work;   /* requests here, taken or not, that are not answered */
	uint32_t posted; /* running number of requests posted */
};

/* How many times slower than usual this machine is at what costs us most, of what a system call takes: 1..SLOWNESS_MAX. */
uint32_t moderate_slowness(uint64_t call_ns);

void moderate_init(struct moderate *m, uint64_t max_ns, uint32_t max_batch);
/* The front end asked for an event at one of the unseen responses.  True: not now; ask again by m->until at the latest. */
bool moderate_hold(struct moderate *m, uint64_t now, const struct moderate_load *l) __must_check;
/* The event goes out whatever moderate_hold() would say, or is no longer asked for: nothing is learnt. */
void moderate_let_go(struct moderate *m, uint32_t posted);

#endif

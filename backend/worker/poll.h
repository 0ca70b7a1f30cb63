/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * poll.h - how long a queue's thread looks at the ring before it sleeps.  Pure: the clock is passed in.
 *
 * Sleeping costs a wake-up (tens of microseconds on a virtual machine) and the front end a notification.  Looking
 * costs a CPU.  So the window follows what would have paid lately: it grows when work came soon after the thread
 * went to sleep, halves when the thread looked for nothing, and is never longer than the device's limit.
 *
 * Cost cap.  Looking spends from a budget that fills at POLL_SHARE per cent of the time, POLL_BURST_NS at most.
 * Looking in vain is charged in full; looking that found work is charged half, since it saved a wake-up.  So a
 * thread never wastes more than POLL_SHARE per cent of its time, whatever a guest does.
 */
#ifndef SYNTH_POLL_H
#define SYNTH_POLL_H

#include "common/base/base.h"

#define POLL_SHARE    50u
#define POLL_BURST_NS 10000000ull

struct poll_ctl {
	uint64_t max_ns, window_ns, budget_ns, last_ns;
};

void poll_init(struct poll_ctl *p, uint64_t max_ns, uint64_t now);
/* May look for so many ns now; 0: sleep. */
uint64_t poll_window(struct poll_ctl *p, uint64_t now);
void poll_hit(struct poll_ctl *p, uint64_t spent_ns);
void poll_miss(struct poll_ctl *p, uint64_t spent_ns);
/* May @ns be spent all the same, where there is another reason to look? */
bool poll_affords(struct poll_ctl *p, uint64_t now, uint64_t ns);
/* It was, in vain; this tells nothing of the window. */
void poll_spent(struct poll_ctl *p, uint64_t ns);
/* The thread slept, and work came @gap_ns after the last work was done. */
void poll_slept(struct poll_ctl *p, uint64_t gap_ns);

#endif

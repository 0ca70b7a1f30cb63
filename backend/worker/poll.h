/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * poll.h - how long a queue's thread looks at the ring before it sleeps.  Pure: the clock is passed in.
 *
 * Sleeping costs a wake-up (tens of microseconds on a virtual machine) and the front end a notification.  Looking
 * costs a CPU.  So the window follows what would have paid lately: it grows when work came soon after the thread
 * went to sleep, halves when the thread looked for nothing, and is never longer than the device's limit.
 *
 * Habit.  A guest that shares the CPU with this thread cannot send anything while the thread looks, and does as soon as it sleeps: work
 * always comes "soon", and each look is in vain, for the longest time there is, which is part of the next gap.  So after
 * POLL_VAIN looks in vain in a row the thread goes to sleep at once, 1, 2, 4 .. POLL_REST times, before it tries again.  The next window
 * is learned from the last of these gaps, which had no look in it.  A look that finds something ends that.
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
#define POLL_VAIN     8u
#define POLL_REST     64u /* sleeps */

struct poll_ctl {
	uint64_t max_ns, window_ns, budget_ns, last_ns;
	uint32_t vain;        /* looks in a row that found nothing */
	uint32_t pause, rest; /* sleeps before the next try: as chosen, and still to come; 0: no habit was broken */
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

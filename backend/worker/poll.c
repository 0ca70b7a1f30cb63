/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* poll.c - see poll.h. */
#include "backend/worker/poll.h"

#define WINDOW_MIN_NS 2000u /* below this, looking again is not worth the call */

void poll_init(struct poll_ctl *p, uint64_t max_ns, uint64_t now)
{
	*p = (struct poll_ctl){ .max_ns = max_ns, .window_ns = max_ns, .budget_ns = POLL_BURST_NS, .last_ns = now };
}

bool poll_affords(struct poll_ctl *p, uint64_t now, uint64_t ns)
{
	if (p->max_ns == 0)
		return false;
	p->budget_ns = MIN(p->budget_ns + (now - p->last_ns) * POLL_SHARE / 100, POLL_BURST_NS);
	p->last_ns = now;
	return p->budget_ns >= ns;
}

uint64_t poll_window(struct poll_ctl *p, uint64_t now)
{
	return p->window_ns >= WINDOW_MIN_NS && poll_affords(p, now, p->window_ns) ? p->window_ns : 0;
}

void poll_spent(struct poll_ctl *p, uint64_t ns)
{
	p->budget_ns -= MIN(p->budget_ns, ns);
}

void poll_hit(struct poll_ctl *p, uint64_t spent_ns)
{
	poll_spent(p, spent_ns / 2);
	p->vain = p->pause = p->rest = 0;
}

void poll_miss(struct poll_ctl *p, uint64_t spent_ns)
{
	poll_spent(p, spent_ns);
	p->window_ns /= 2;
	if (++p->vain < POLL_VAIN)
		return;
	p->pause = p->pause ? MIN(p->pause * 2, POLL_REST) : 1;
	p->rest = p->pause + 1; /* the sleep that comes now ends a gap with a look in it */
	p->window_ns = 0;
}

void poll_slept(struct poll_ctl *p, uint64_t gap_ns)
{
	/* The gap holds our own wake-up, which looking would have saved: so up to twice the limit is close enough. */
	if (gap_ns > p->max_ns * 2)
		return;
	if (p->rest > 0 && --p->rest > 0)
		return;
	p->window_ns = MIN(MAX(p->window_ns * 2, gap_ns), p->max_ns);
}

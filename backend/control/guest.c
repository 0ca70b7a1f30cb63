/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest.c - see guest.h. */
#include "backend/control/control.h"

#define LOOK 1000000000u /* nanolooks */

struct guest *guest_get(struct control *c, uint32_t domid)
{
	struct guest *g;

	list_for_each (g, &c->guests, link)
		if (g->domid == domid) {
			g->refs++;
			return g;
		}
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->c = c;
	g->domid = domid;
	g->refs = 1;
	g->filled_ns = now_ns();
	g->budget_ns = GUEST_BURST_NS;
	g->nanolooks = (uint64_t)GUEST_LOOKS_BURST * LOOK;
	list_init(&g->due);
	list_init(&g->turn);
	list_add_tail(&c->guests, &g->link);
	return g;
}

void guest_put(struct guest *g)
{
	if (!g || --g->refs > 0)
		return;
	loop_del_timer(g->rest);
	list_del(&g->turn);
	list_del(&g->link);
	free(g);
}

void guest_enter(struct guest *g)
{
	if (g->depth++ == 0)
		g->entered_ns = now_ns();
}

void guest_leave(struct guest *g)
{
	uint64_t ns;

	if (--g->depth > 0)
		return;
	ns = MIN(now_ns() - g->entered_ns, (uint64_t)GUEST_CHARGE_MAX_NS);
	g->spent_ns += ns;
	g->budget_ns -= (int64_t)ns;
}

static void refill(struct guest *g)
{
	const uint64_t looks_full = (uint64_t)GUEST_LOOKS_BURST * LOOK;
	uint64_t now = now_ns(), gone = MIN(now - g->filled_ns, (uint64_t)1000000000 * 3600);

	g->filled_ns = now;
	g->budget_ns = MIN(g->budget_ns + (int64_t)(gone * GUEST_SHARE / 100), (int64_t)GUEST_BURST_NS);
	g->nanolooks = MIN(g->nanolooks + gone * GUEST_LOOKS_PER_SEC, looks_full);
}

/* 0: it may look now; else ms until it may. */
static uint64_t must_rest(struct guest *g)
{
	uint64_t ms = 0;

	refill(g);
	if (g->budget_ns <= 0)
		ms = (uint64_t)-g->budget_ns * 100 / GUEST_SHARE / 1000000 + 1;
	if (g->nanolooks < LOOK)
		ms = MAX(ms, (uint64_t)(LOOK - g->nanolooks) / GUEST_LOOKS_PER_SEC / 1000000 + 1);
	return ms;
}

static void turns_run(struct loop *l, void *arg);

static void turn_wanted(struct guest *g)
{
	struct control *c = g->c;

	if (list_empty(&g->turn))
		list_add_tail(&c->turns, &g->turn);
	if (c->turning)
		return;
	c->turning = loop_defer(c->loop, turns_run, c) == 0;
	if (!c->turning)
		log_error("out of memory: domain %u is looked at later", g->domid);
}

static void rest_over(struct loop *l, void *arg)
{
	struct guest *g = arg;

	g->rest = NULL;
	if (!list_empty(&g->due))
		turn_wanted(g);
}

static void turn(struct guest *g)
{
	struct device *d;
	uint64_t ms = must_rest(g);

	if (ms > 0) {
		list_for_each (d, &g->due, due)
			d->throttled++;
		if (loop_add_timer(g->c->loop, ms, rest_over, g, &g->rest) == 0)
			return;
		g->rest = NULL; /* no memory for a timer: rather look than be blind */
	}
	d = list_entry(g->due.next, struct device, due);
	list_del(&d->due);
	g->nanolooks -= MIN(g->nanolooks, (uint64_t)LOOK);
	g->refs++; /* the device may be its last */
	guest_enter(g);
	device_look_now(d);
	guest_leave(g);
	if (!list_empty(&g->due))
		turn_wanted(g);
	guest_put(g);
}

/* Each guest that waits has one look; who comes again meanwhile is for the next turn of the loop. */
static void turns_run(struct loop *l, void *arg)
{
	struct control *c = arg;
	struct guest *g, *last;

	c->turning = false;
	if (list_empty(&c->turns))
		return;
	last = list_entry(c->turns.prev, struct guest, turn);
	do {
		g = list_entry(c->turns.next, struct guest, turn);
		list_del(&g->turn);
		turn(g);
	} while (g != last && !list_empty(&c->turns));
}

void guest_look(struct device *d)
{
	struct guest *g = d->guest;

	if (!list_empty(&d->due))
		return;
	list_add_tail(&g->due, &d->due);
	if (g->rest)
		d->throttled++;
	else
		turn_wanted(g);
}

void guest_look_not(struct device *d)
{
	struct guest *g = d->guest;

	list_del(&d->due);
	if (list_empty(&g->due))
		list_del(&g->turn);
}

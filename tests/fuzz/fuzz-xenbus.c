/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-xenbus.c - libFuzzer target: both ends' state machines under any sequence of events, against what must hold in the world
 * they drive.
 * links: common/xenbus/back.c common/xenbus/front.c
 * Input: byte 0: which end; for the back end also whether its worker answers in order (0) or events come as they like.
 *        Then a byte an event.
 */
#include "common/xenbus/xenbus.h"
#include "tests/fuzz/fuzz.h"

/* ------------------------------------------------------------------ back end */

#define MAX_ANSWERS 64u

struct back_world {
	enum back_state state;
	uint32_t front;  /* what its state node says */
	bool mapped;     /* the worker may be touching the front end's pages */
	bool connecting; /* CONNECT is not answered yet */
	bool ordered;    /* events of the worker are true */
	char answer[MAX_ANSWERS];
	uint32_t nr;
};

static bool serves(enum back_state s)
{
	return s == BACK_CONNECTING || s == BACK_CONNECTED || s == BACK_DETACHING;
}

static void ask(struct back_world *w, char what)
{
	if (w->nr < MAX_ANSWERS)
		w->answer[w->nr++] = what;
}

static void back_feed(struct back_world *w, enum back_event e, int depth)
{
	enum back_state was = w->state;
	struct back_step t = back_step(was, e);

	must(depth < 4); /* looking again comes to an end */
	must(t.next < BACK_NR_STATES && back_state_name(t.next)[0] != '?' && back_event_name(e)[0] != '?');
	if (t.todo & BACK_DO_CONNECT) {
		must(!w->ordered || (!w->mapped && !w->connecting)); /* one life at a time */
		w->mapped = w->connecting = true;
		ask(w, 'c');
	}
	if (t.todo & BACK_DO_DISCONNECT)
		ask(w, 'd');
	if (t.todo & BACK_DO_WRITE) {
		must(t.xenbus >= XenbusStateInitWait && t.xenbus <= XenbusStateClosed &&
		     t.xenbus != XenbusStateInitialised);
		must(xenbus_state_name(t.xenbus)[0] != '?');
		/* 5 and 6 say that we have let go; but 5 may be our question */
		if (w->ordered && t.xenbus >= XenbusStateClosing)
			must(!w->mapped || t.next == BACK_DETACHING);
		/* 2 invites new rings: the old ones must be gone, unless this very step takes them */
		if (w->ordered && t.xenbus == XenbusStateInitWait)
			must(!w->mapped || (t.todo & BACK_DO_CONNECT));
		if (t.xenbus == XenbusStateConnected)
			must(t.next == BACK_CONNECTED);
	} else {
		must(t.xenbus == 0);
	}
	/* What was served is drained before it is anything else. */
	if (serves(was) && !serves(t.next))
		must(t.todo & BACK_DO_DISCONNECT);
	must(!(t.todo & BACK_DO_REMOVE) || t.next == BACK_REMOVED);
	must(was != BACK_REMOVED || (t.next == BACK_REMOVED && !t.todo));
	w->state = t.next;
	if (w->ordered && w->state == BACK_REMOVED)
		must(!w->mapped);
	if ((t.todo & BACK_DO_RECHECK) && w->state != was)
		back_feed(w, (enum back_event)w->front, depth + 1);
}

/* The worker comes to its next answer. */
static void worker_answers(struct back_world *w, bool refuse)
{
	char what;

	if (!w->nr)
		return;
	what = w->answer[0];
	memmove(w->answer, w->answer + 1, --w->nr);
	if (what == 'c') {
		w->connecting = false;
		if (refuse)
			w->mapped = false;
		back_feed(w, refuse ? BACK_EV_REFUSED : BACK_EV_CONNECTED, 0);
	} else {
		w->mapped = false;
		back_feed(w, BACK_EV_DRAINED, 0);
	}
}

static void worker_dies(struct back_world *w)
{
	w->nr = 0;
	w->mapped = w->connecting = false;
	back_feed(w, BACK_EV_LOST, 0);
}

static void back_ordered(struct feed *f)
{
	struct back_world w = { .state = BACK_INITWAIT, .front = 1, .ordered = true };

	while (f->left) {
		uint8_t e = feed_u8(f) % 15;

		if (e <= BACK_EV_FRONT_RECONFIGURED)
			back_feed(&w, (enum back_event)(w.front = e), 0);
		else if (e == BACK_EV_DETACH || e == BACK_EV_FORCE)
			back_feed(&w, (enum back_event)e, 0);
		else if (e == BACK_EV_LOST)
			worker_dies(&w);
		else
			worker_answers(&w, e == BACK_EV_REFUSED);
		must(w.nr < MAX_ANSWERS); /* questions do not pile up */
		if (w.nr > 8)
			worker_answers(&w, false);
	}
	/* However it got there, force and an answering worker end it. */
	back_feed(&w, BACK_EV_FORCE, 0);
	for (int i = 0; i < 16; i++)
		worker_answers(&w, false);
	must(w.state == BACK_REMOVED && !w.mapped);
}

static void back_any(struct feed *f)
{
	struct back_world w = { .state = BACK_INITWAIT, .front = 1 };

	while (f->left) {
		uint8_t e = feed_u8(f) % BACK_NR_EVENTS;

		if (e <= BACK_EV_FRONT_RECONFIGURED)
			w.front = e;
		back_feed(&w, (enum back_event)e, 0);
		w.nr = 0;
	}
}

/* ------------------------------------------------------------------ front end */

static void front(struct feed *f)
{
	enum front_state s = FRONT_WAITING;
	bool held = false, over = false;

	while (f->left) {
		enum front_event e = (enum front_event)(feed_u8(f) % FRONT_NR_EVENTS);
		struct front_step t = front_step(s, e);

		must(t.next < FRONT_NR_STATES && front_state_name(t.next)[0] != '?');
		must(!over || e == FRONT_EV_AGAIN || (t.next == s && !t.todo));
		/* Another life begins with nothing of the one before, and not by itself. */
		must(e != FRONT_EV_AGAIN || (t.next == FRONT_WAITING && !(t.todo & ~FRONT_DO_RELEASE)));
		must(t.next != FRONT_WAITING || s == FRONT_WAITING || e == FRONT_EV_AGAIN);
		if (t.todo & FRONT_DO_PUBLISH) {
			must(!held && t.xenbus == XenbusStateInitialised);
			held = true;
		}
		if (t.todo & FRONT_DO_CONNECT)
			must(held && t.xenbus == XenbusStateConnected);
		must(!(t.todo & FRONT_DO_RESIZED) || (s == FRONT_CONNECTED && t.next == FRONT_CONNECTED));
		if (t.todo & FRONT_DO_RELEASE)
			held = false;
		if (t.todo & FRONT_DO_WRITE) {
			must(t.xenbus >= XenbusStateInitialised && t.xenbus <= XenbusStateClosed);
			must(t.xenbus != XenbusStateClosed || !held); /* 6 gives the pages back to others */
			must(t.xenbus != XenbusStateConnected || (t.todo & FRONT_DO_CONNECT));
		}
		s = t.next;
		over = s == FRONT_CLOSED || s == FRONT_DEAD;
		must(!over || !held);
		must(over || s == FRONT_WAITING || held);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };

	switch (feed_u8(&f) % 3) {
	case 0:
		back_ordered(&f);
		break;
	case 1:
		back_any(&f);
		break;
	default:
		front(&f);
	}
	must(back_state_name(BACK_NR_STATES)[0] == '?' && back_event_name(BACK_NR_EVENTS)[0] == '?' &&
	     front_state_name(FRONT_NR_STATES)[0] == '?' && xenbus_state_name(99)[0] == '?');
	return 0;
}

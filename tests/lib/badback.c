/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* badback.c - see badback.h. */
#include <poll.h>
#include <stdarg.h>
#include "tests/lib/badback.h"

#define TYPE     "badback"
#define RSP_PROD 2 /* word in a ring's header */

volatile sig_atomic_t over;

static void on_term(int sig)
{
	over = 1;
}

void must(const char *what, int err)
{
	if (err >= 0)
		return;
	fprintf(stderr, "badback: %s: %s\n", what, strerror(-err));
	exit(3);
}

void leak(struct back *b, const char *fmt, ...)
{
	va_list ap;

	if (b->leaks++ > 5)
		return;
	va_start(ap, fmt);
	printf("leak: ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
}

uint32_t rnd(struct back *b)
{
	return b->rnd = b->rnd * 1664525 + 1013904223;
}

/* ------------------------------------------------------------------ nodes */

void put(struct back *b, const struct path *dir, const char *leaf, const char *value)
{
	struct path p;

	must(leaf, store_write(b->store, NULL, path_join(&p, dir->s, leaf), value));
}

uint32_t get(struct back *b, const struct path *dir, const char *leaf, uint32_t otherwise)
{
	struct path p;
	uint32_t v;

	return store_read_u32(b->store, NULL, path_join(&p, dir->s, leaf), UINT32_MAX, &v) == 0 ? v : otherwise;
}

void set_state(struct back *b, uint32_t state)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", state);
	put(b, &b->back, "state", text);
	b->state = state;
}

void remove_dir(struct back *b, const struct path *dir)
{
	must("remove", store_rm(b->store, NULL, dir->s));
}

void make_back(struct back *b, uint32_t state)
{
	char text[12];

	must("back directory", store_mkdir(b->store, NULL, b->back.s));
	must("permissions", store_perms(b->store, NULL, b->back.s, b->back_domid, b->domid));
	snprintf(text, sizeof(text), "%u", b->domid);
	put(b, &b->back, "frontend-id", text);
	put(b, &b->back, "frontend", b->front.s);
	offer(b);
	set_state(b, state);
}

void make_front(struct back *b)
{
	must("front directory", store_mkdir(b->store, NULL, b->front.s));
	must("permissions", store_perms(b->store, NULL, b->front.s, b->domid, 0));
}

void make_front_nodes(struct back *b)
{
	put(b, &b->front, "backend-id", "0");
	put(b, &b->front, "backend", b->back.s);
	put(b, &b->front, "state", "1");
}

/* ------------------------------------------------------------------ connections */

uint32_t bind_port(struct back *b, uint32_t remote)
{
	int port = evtchn_bind(b->evtchn, b->domid, remote);

	must("bind", port);
	return (uint32_t)port;
}

void force(struct back *b, uint32_t *raw, uint32_t port, uint32_t rsp_prod)
{
	__atomic_store_n(&raw[RSP_PROD], rsp_prod, __ATOMIC_SEQ_CST);
	b->halted = true;
	evtchn_notify(b->evtchn, port);
}

void let_go(struct back *b)
{
	if (b->connected)
		disconnect_rings(b);
	b->connected = false;
}

static void connect_front(struct back *b)
{
	if (b->sin->when == AT_CONNECT && !b->sinned) {
		b->sinned = true;
		if (!b->sin->other)
			return;
		b->sin->other(b);
		if (b->state != XenbusStateInitWait)
			return;
	}
	connect_rings(b);
	b->connected = true;
	b->halted = false;
	b->done = 0;
	set_state(b, XenbusStateConnected);
}

static void front_changed(struct back *b)
{
	bool follows = strcmp(b->sin->name, "no-close") != 0;

	switch (get(b, &b->front, "state", 0)) {
	case XenbusStateInitialised: /* it has published; which of the two it says is the class's */
	case XenbusStateConnected:
		if (!b->connected && b->state == XenbusStateInitWait)
			connect_front(b);
		break;
	case XenbusStateClosing:
		if (follows && b->state != XenbusStateClosed)
			set_state(b, XenbusStateClosing);
		break;
	case XenbusStateClosed:
		if (!follows)
			break;
		let_go(b);
		if (b->state != XenbusStateClosed)
			set_state(b, XenbusStateClosed);
		break;
	case XenbusStateInitialising:
		let_go(b);
		if (b->state == XenbusStateInitWait)
			break;
		if (b->sinned && b->sin->when == AT_REQUEST && b->sin->other)
			b->sin->other(b);
		set_state(b, XenbusStateInitWait);
		break;
	default:
		break;
	}
}

/* ------------------------------------------------------------------ sins */

bool time_to_sin(struct back *b)
{
	if (b->sin->when != AT_REQUEST || b->done < b->after || b->sinned)
		return false;
	b->sinned = true;
	return true;
}

bool sin_closing(struct back *b, struct queue *q)
{
	set_state(b, XenbusStateClosing);
	return false;
}

bool sin_closed(struct back *b, struct queue *q)
{
	set_state(b, XenbusStateClosed);
	return true;
}

bool sin_states(struct back *b, struct queue *q)
{
	static const char *const games[] = { "2", "3", "7", "8", "1", "4", "4", "99", "", "x", "-1", "4" };

	/* Slowly, so that each is seen. */
	for (size_t i = 0; i < ARRAY_SIZE(games); i++) {
		put(b, &b->back, "state", games[i]);
		usleep(50000);
	}
	return false;
}

bool sin_vanish(struct back *b, struct queue *q)
{
	remove_dir(b, &b->back);
	return true;
}

/* Removed, and made anew a little later. */
bool sin_vanish_back(struct back *b, struct queue *q)
{
	remove_dir(b, &b->back);
	let_go(b);
	usleep(300000);
	make_back(b, XenbusStateInitWait);
	return true;
}

/* It forgets the front end, and waits for one. */
bool sin_forget(struct back *b, struct queue *q)
{
	let_go(b);
	set_state(b, XenbusStateInitWait);
	return true;
}

/* Nothing is ever answered, and no life lasts. */
bool sin_vain_lives(struct back *b, struct queue *q)
{
	b->sinned = false;
	b->halted = true;
	set_state(b, XenbusStateClosed);
	return true;
}

void sin_refuse(struct back *b)
{
	set_state(b, XenbusStateClosing);
}

void sin_refuse_closed(struct back *b)
{
	set_state(b, XenbusStateClosed);
}

void storm(struct back *b, uint32_t port)
{
	for (int i = 0; i < 3000 && !over; i++) {
		evtchn_notify(b->evtchn, port);
		usleep(200);
	}
}

void put_any_state(struct back *b)
{
	static const char *const games[] = { "0", "1", "2",  "3", "4", "5",  "6",
					     "7", "8", "99", "",  "x", "-1", "4294967298" };

	put(b, &b->back, "state", games[(rnd(b) >> 16) % ARRAY_SIZE(games)]);
}

void make_anew(struct back *b)
{
	remove_dir(b, &b->back);
	remove_dir(b, &b->front);
	let_go(b);
	usleep(300000);
	make_dirs(b);
}

/* ------------------------------------------------------------------ its life */

const struct sin *find_sin(const struct sin *sins, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(name, sins[i].name))
			return &sins[i];
	fprintf(stderr, "badback: no such sin: %s\n", name);
	exit(2);
}

static void on_watch(struct store *s, const char *path, void *arg)
{
	if (!over)
		front_changed(arg);
}

void back_open(struct back *b, const char *device)
{
	struct store_watch *w;
	struct path p;

	signal(SIGTERM, on_term);
	must("xenstore", store_open(&b->store));
	must("grants", grant_open(&b->grant));
	must("event channels", evtchn_open(&b->evtchn));
	path_front(&b->front, b->domid, device, b->id);
	path_back(&b->back, b->back_domid, TYPE, b->domid, b->id);
	make_dirs(b);
	if (b->sin->when == AT_INITWAIT)
		b->sin->other(b);
	must("watch", store_watch(b->store, path_join(&p, b->front.s, "state"), on_watch, b, &w));
	printf("ready\n");
	fflush(stdout);
}

void back_wait(struct back *b, int ms)
{
	struct pollfd p[2] = { { .fd = store_fd(b->store), .events = POLLIN },
			       { .fd = evtchn_fd(b->evtchn), .events = POLLIN } };
	int port;

	if (poll(p, 2, ms) <= 0)
		return;
	while (p[1].revents && (port = evtchn_next(b->evtchn)) > 0)
		evtchn_unmask(b->evtchn, (uint32_t)port);
	if (p[0].revents)
		must("xenstore", store_dispatch(b->store));
}

void back_close(struct back *b)
{
	if (!b->back_domid)
		must("clean", store_rm(b->store, NULL, b->front.s));
	must("clean", store_rm(b->store, NULL, b->back.s));
	store_close(b->store);
	evtchn_close(b->evtchn);
	grant_close(b->grant);
}

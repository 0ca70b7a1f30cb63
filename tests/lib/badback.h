/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * badback.h - what back ends for sinners share: both directories, the other end's states, when to sin, and the sins that need no ring.
 * A program brings its class's rings (the functions at the end) and its table of sins.  What fails is told, and ends it with status 3.
 */
#ifndef SYNTH_TESTS_BADBACK_H
#define SYNTH_TESTS_BADBACK_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "common/base/base.h"
#include "common/ring/ring.h"
#include "common/span/span.h"
#include "common/xen/evtchn.h"
#include "common/xen/grant.h"
#include "common/xen/paths.h"
#include "common/xen/store.h"
#include "common/xenbus/xenbus.h"

enum sin_when { AT_REQUEST, AT_CONNECT, AT_INITWAIT, ALWAYS };

struct back;
struct queue; /* the program's own: rings, and what was taken from them and is at hand */
struct sin {
	const char *name;
	enum sin_when when;
	/* AT_REQUEST: true when what is at hand was dealt with, else it is answered honestly after this */
	bool (*request)(struct back *b, struct queue *q);
	/* at the other times; AT_REQUEST: before the front end may connect once more */
	void (*other)(struct back *b);
};

struct back {
	/* set by the program */
	uint32_t domid, back_domid, id;
	uint32_t after; /* requests answered honestly before the sin */
	uint32_t rnd;   /* the seed, then the last of rnd() */
	const struct sin *sin;
	struct queue *queue;

	uint32_t done; /* requests of this connection answered honestly */
	uint32_t state, leaks;
	struct store *store;
	struct grant *grant;
	struct evtchn *evtchn;
	struct path front, back;
	bool connected, sinned;
	bool halted; /* the rings stay as the sin left them */
};

extern volatile sig_atomic_t over; /* by SIGTERM, or by a sin */

void must(const char *what, int err);
/* What a front end must not show: told, the first few times. */
void leak(struct back *b, const char *fmt, ...) __printf(2, 3);
uint32_t rnd(struct back *b);

/* @name in a table of @nr; the program ends with status 2 when it is not there. */
const struct sin *find_sin(const struct sin *sins, size_t nr, const char *name);
/* Open all, make the directories of a @device ("svbd"), say "ready". */
void back_open(struct back *b, const char *device);
/* Wait @ms for an event or a change of the front end's state, and follow that. */
void back_wait(struct back *b, int ms);
/* After let_go(): the directories go, too. */
void back_close(struct back *b);

/* ------------------------------------------------------------------ nodes */

void put(struct back *b, const struct path *dir, const char *leaf, const char *value);
uint32_t get(struct back *b, const struct path *dir, const char *leaf, uint32_t otherwise);
void set_state(struct back *b, uint32_t state);
void remove_dir(struct back *b, const struct path *dir);
/* Parts of make_dirs(). */
void make_back(struct back *b, uint32_t state);
void make_front(struct back *b); /* without the nodes */
void make_front_nodes(struct back *b);

/* ------------------------------------------------------------------ connections */

uint32_t bind_port(struct back *b, uint32_t remote);
/* Another response producer than the ring's, and an event. */
void force(struct back *b, uint32_t *raw, uint32_t port, uint32_t rsp_prod);
void let_go(struct back *b);

/* ------------------------------------------------------------------ sins */

bool time_to_sin(struct back *b); /* AT_REQUEST, honest for long enough, and not done yet: true once */

bool sin_closing(struct back *b, struct queue *q);
bool sin_closed(struct back *b, struct queue *q);
bool sin_states(struct back *b, struct queue *q);
bool sin_vanish(struct back *b, struct queue *q);
bool sin_vanish_back(struct back *b, struct queue *q);
bool sin_forget(struct back *b, struct queue *q);
bool sin_vain_lives(struct back *b, struct queue *q);
void sin_refuse(struct back *b);
void sin_refuse_closed(struct back *b);

/* Parts of sins. */
void storm(struct back *b, uint32_t port); /* events without work, as fast as it goes */
void put_any_state(struct back *b);        /* at random, also none */
void make_anew(struct back *b);            /* the whole device, as a toolstack does it by force */

/* ------------------------------------------------------------------ what the program has */

void make_dirs(struct back *b);
void offer(struct back *b); /* the class's nodes, when the back directory is made */
void connect_rings(struct back *b);
void disconnect_rings(struct back *b);

#endif

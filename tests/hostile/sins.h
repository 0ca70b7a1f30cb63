/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sins.h - what badfront can do to a back end.  Each prints what came of it in plain lines; the tests compare.
 */
#ifndef SYNTH_TEST_SINS_H
#define SYNTH_TEST_SINS_H

#include "tests/hostile/guest.h"

struct sin_args {
	uint32_t ms;    /* how long, for those that go on for a while */
	uint32_t count; /* how often, for those that count; 0: their own default */
	uint32_t seed;
	uint32_t ref;   /* a number that is somebody else's grant */
	uint32_t other; /* a domain that is neither us nor the back end's */
	const char *node;
};

/* sins-request.c: one bad request at a time on a connected device: "NAME STATUS". */
bool sin_request(struct guest *g, const struct sin_args *a, const char *name); /* false: no such name */
void sin_request_all(struct guest *g, const struct sin_args *a); /* but those that need a special device */
/* One good read.  False: not answered with success. */
bool good_request(struct guest *g, struct guest_queue *q, uint64_t sector);

/* sins-ring.c: indices and slots. */
void sin_jump(struct guest *g, const struct sin_args *a, uint32_t by);
void sin_repent(struct guest *g, const struct sin_args *a);
void sin_backwards(struct guest *g, const struct sin_args *a);
void sin_full(struct guest *g, const struct sin_args *a);
void sin_never_consume(struct guest *g, const struct sin_args *a);
void sin_storm(struct guest *g, const struct sin_args *a);
void sin_flip(struct guest *g, const struct sin_args *a);
void sin_jumps(struct guest *g, const struct sin_args *a);
void sin_rewrite(struct guest *g, const struct sin_args *a);
void sin_bad_flood(struct guest *g, const struct sin_args *a);

/* sins-teardown.c: states, deaths, revocations. */
void sin_toggle(struct guest *g, const struct sin_args *a);
void sin_walk(struct guest *g, const struct sin_args *a);
void sin_die(struct guest *g, const struct sin_args *a) __attribute__((noreturn));
void sin_revoke(struct guest *g, const struct sin_args *a);
void sin_rmdir(struct guest *g, const struct sin_args *a);
void sin_reconnect(struct guest *g, const struct sin_args *a);
void sin_close_busy(struct guest *g, const struct sin_args *a);
void sin_publish(struct guest *g, const struct sin_args *a);
void sin_flood(struct guest *g, const struct sin_args *a);
/* A ring full of reads and writes, published; nobody waits for the answers. */
void fill_ring(struct guest *g, struct guest_queue *q);

/* honest.c: no sin. */
void act_verify(struct guest *g, const struct sin_args *a);
void act_grefs(struct guest *g, const struct sin_args *a);
void act_load(struct guest *g, const struct sin_args *a);
void act_hold(struct guest *g, const struct sin_args *a);

#endif

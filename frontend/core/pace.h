/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pace.h - how soon a front end tries again, so that a back end whose states flap costs it little.  Pure.
 *
 * At once when the connection before lasted; else after 100 ms, 200 ms ... 5 s.
 */
#ifndef SYNTH_FRONT_PACE_H
#define SYNTH_FRONT_PACE_H

#include "common/base/base.h"

#define PACE_FIRST_NS  100000000u
#define PACE_MOST_NS   5000000000u
#define PACE_LASTED_NS 10000000000u /* a connection so long makes up for those before */

/* Zeroed: nothing has happened yet. */
struct pace {
	uint64_t born_ns; /* the connection there is, or was; 0: none since the last try */
	uint64_t pause_ns;
};

/* Connected. */
void pace_connected(struct pace *p, uint64_t now_ns);
/* The connection there was has lasted. */
bool pace_lasted(const struct pace *p, uint64_t now_ns);
/* About to try: how long to wait before. */
uint64_t pace_next(struct pace *p, uint64_t now_ns) __must_check;

#endif

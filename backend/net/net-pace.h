/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-pace.h - how often a link with many frames is read.  Pure: the clock is passed in.
 *
 * A thread that sleeps until there is a frame is woken for each few of them when they come in a stream, and so is the guest.
 * When they come faster than one in PACE_SLOW_NS, a link that was found empty is left alone for a while, so that PACE_FRAMES
 * come together: one wake-up, one grant copy and one event for all of them.  PACE_MAX_NS is the latency that this may
 * cost; a link with fewer frames is not made to wait at all.
 */
#ifndef SYNTH_NET_PACE_H
#define SYNTH_NET_PACE_H

#include "common/base/base.h"

#define PACE_SLOW_NS   10000u
#define PACE_FRAMES    32u
#define PACE_MIN_NS    20000u /* less is not worth going to sleep for */
#define PACE_MAX_NS    100000u
#define PACE_WINDOW_NS 1000000u /* the rate is measured over so long */

struct net_pace {
	uint64_t since; /* ns: the window's start */
	uint32_t frames;
	uint32_t gap_ns; /* what an empty link is left alone for; 0: it is not */
};

/* @frames were read, the last at @now. */
void net_pace_count(struct net_pace *p, uint64_t now, uint32_t frames);

#endif

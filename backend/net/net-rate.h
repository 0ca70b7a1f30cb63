/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-rate.h - how much a guest may send: bytes a period, as the `rate` node says it ("BYTES,MICROSECONDS"; xl's way
 * "10Mb/s@50ms" is put into that).  Pure: the clock is passed in.
 */
#ifndef SYNTH_NET_RATE_H
#define SYNTH_NET_RATE_H

#include "common/base/base.h"

#define NET_RATE_BURST 131072u /* bytes: at least two of the largest packets */
#define NET_RATE_TEXT  40u

struct net_rate {
	uint64_t bytes; /* a period; 0: no limit */
	uint32_t usec;
	uint64_t credit; /* bytes that may go now */
	uint64_t last_ns;
};

/* "62500,50000": 0, or -EINVAL.  Either number 0: no limit. */
int net_rate_parse(const char *text, uint64_t *bytes, uint32_t *usec) __must_check;
/* "10Mb/s", "1.5" is none; "100KB/s@20ms", or as above: 0, or -EINVAL. */
int net_rate_parse_xl(const char *text, uint64_t *bytes, uint32_t *usec) __must_check;

/* A new limit, or none: starts with a full burst. */
void net_rate_set(struct net_rate *r, uint64_t bytes, uint32_t usec, uint64_t now);
/* 0: @packet bytes may go (and are paid for); else how many ns later to ask again. */
uint64_t net_rate_take(struct net_rate *r, uint64_t now, uint32_t packet);

#endif

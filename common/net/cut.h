/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cut.h - a TCP packet cut into segments, for an end that would do it, were it not for a VLAN tag.  Pure.
 *
 * Linux' netfront and netback look for the IP header where it is without a tag, and throw away what has an open checksum or is to be
 * cut and has one.  A TAP gives such frames all the same, since the kernel takes for granted that it can do behind a tag what it can
 * do without.  So they are finished here.
 */
#ifndef SYNTH_NET_CUT_H
#define SYNTH_NET_CUT_H

#include "common/net/frame.h"

#define NET_CUT_MIN 48u /* bytes of a segment: less no TCP agrees on (Linux: 88 with options) */

/* Zeroed: nothing to cut. */
struct net_cut {
	const uint8_t *frame;
	uint32_t bytes, at; /* at: what has not been given yet, from the frame's start */
	uint32_t size;      /* bytes of data a segment */
	struct frame_head h;
};

/* @frame stays as it is until the last segment was taken.  0; -EBADMSG: no TCP with data, or crumbs. */
int net_cut_begin(struct net_cut *c, const uint8_t *frame, uint32_t bytes, uint32_t size) __must_check;
static inline bool net_cut_more(const struct net_cut *c)
{
	return c->at < c->bytes;
}
/* The next segment to @to, its checksums finished; its length, which is not more than the whole frame's.  Not without net_cut_more(). */
uint32_t net_cut_next(struct net_cut *c, uint8_t *to);
/* What is left of it is thrown away. */
static inline void net_cut_drop(struct net_cut *c)
{
	c->at = c->bytes;
}

#endif

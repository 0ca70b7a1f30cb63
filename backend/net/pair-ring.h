/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pair-ring.h - frames from one worker to another through memory that both have mapped: one writer, one reader, no lock, no
 * system call.  Pure.
 *
 * The two workers serve different guests, and neither trusts the other: each may have been taken over by its guest.  An index is
 * read once and compared before it is used; a length is copied, then checked; a frame is copied out before anybody
 * looks at it.  Nonsense ends the ring for the one that finds it (-EPROTO).  What is left to a bad neighbour is to send bad frames,
 * which any guest may do, and to ring the bell for nothing.
 *
 * Both ends hold bytes since the beginning, modulo 2^32.  A record is a head, the frame, and padding; it never wraps: one that
 * does not fit before the end of the ring starts anew, behind a record of no frame.  Either end starts at what it has published
 * before, so a worker that is replaced goes on where the last one was.
 *
 * Sleeping.  Whoever is going to says so in its flag, and looks once more; the other takes the flag away and rings the bell, which
 * is the caller's.
 */
#ifndef SYNTH_PAIR_RING_H
#define SYNTH_PAIR_RING_H

#include <linux/virtio_net.h>
#include "common/base/base.h"

#define PAIR_RING_DATA 524288u /* bytes; a power of two */
#define PAIR_RING_HEAD 4096u
#define PAIR_RING_SIZE (PAIR_RING_HEAD + PAIR_RING_DATA)
/* Frames are at most this long: any of them must fit into an empty ring, wherever it starts. */
#define PAIR_RING_FRAME_MAX (PAIR_RING_DATA / 2 - 64)

struct pair_ring; /* PAIR_RING_SIZE bytes, zeroed to begin with */

/* The writer's end. */
struct pair_out {
	struct pair_ring *ring;
	uint32_t put;  /* behind the last record written */
	uint32_t seen; /* how far the reader was when last looked at */
	bool broken;
};

/* The reader's. */
struct pair_in {
	struct pair_ring *ring;
	uint32_t taken; /* behind the last record read */
	uint32_t told;  /* how far the writer knows that we are */
	uint32_t seen;  /* how far the writer was when last looked at */
	bool broken;
};

void pair_out_attach(struct pair_out *o, struct pair_ring *ring);
/* May a frame of so many bytes be put, now? */
bool pair_out_fits(struct pair_out *o, uint32_t bytes);
/* 0; -EAGAIN: no room; -EMSGSIZE; -EPROTO.  Nobody sees it before pair_out_publish(). */
int pair_out_put(struct pair_out *o, const struct virtio_net_hdr *v, const uint8_t *frame, uint32_t bytes) __must_check;
/* True: ring the bell, the reader sleeps. */
bool pair_out_publish(struct pair_out *o) __must_check;
/* Before sleeping for room.  True: there is room for such a frame after all. */
bool pair_out_arm(struct pair_out *o, uint32_t bytes) __must_check;

void pair_in_attach(struct pair_in *i, struct pair_ring *ring);
/* The next frame's length, the frame and its header copied; 0: none; -EMSGSIZE: one longer than @room, gone; -EPROTO. */
int pair_in_take(struct pair_in *i, struct virtio_net_hdr *v, uint8_t *frame, uint32_t room) __must_check;
/* All that is there now is thrown away, without being looked at. */
void pair_in_skip(struct pair_in *i);
/* Let the writer know how far we are.  True: ring the bell, it sleeps. */
bool pair_in_release(struct pair_in *i) __must_check;
/* So much was read that the writer should know. */
static inline bool pair_in_due(const struct pair_in *i)
{
	return i->taken - i->told >= PAIR_RING_DATA / 8;
}
/* Before sleeping.  True: there is something to take after all. */
bool pair_in_arm(struct pair_in *i) __must_check;
/* Would pair_in_take() find something? */
bool pair_in_peek(struct pair_in *i);

#endif

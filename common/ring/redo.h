/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * redo.h - responses that survive whoever places them: for rings whose responses are placed in the order of their
 * requests, each in the slot of its own.  Pure: plain memory, no system call.
 *
 * A response overwrites its request.  Who is killed between the first byte of one and the store that publishes it leaves
 * a ring that tells nobody what stood there, and the slot would be lost: to the front end it stays in use for ever.  So a
 * batch goes, in this order,
 *
 *	1. into a log, in memory that outlives the process, at the place it will have in the ring;
 *	2. `prod` of the log says that it is whole: one store, before which no byte of the ring was touched;
 *	3. into the ring;
 *	4. rsp_prod of the ring publishes it.
 *
 * A successor finds P, the ring's rsp_prod, and R, the log's prod.  P == R: killed before 2 or after 4, the ring is
 * whole.  Else R is ahead of P by what 2 said is whole: all of it is put into the ring again, and published.  Nothing
 * else reads or writes the ring meanwhile, and the log's slots of P..R stay as they are until a batch after that: so it
 * does not matter where it was, and a successor may be killed as well.  What follows R has not been answered, and its
 * requests are untouched: they are taken (again) from there.
 *
 * Who was killed before 2 may have acted on the requests of the batch.  It is as if it had not: right for a nic,
 * where a packet may be lost, or come twice.
 *
 * The log is validated like a ring: a predecessor may have been taken over.  All it can say is how many of the front
 * end's requests are answered, and with what.
 */
#ifndef SYNTH_REDO_H
#define SYNTH_REDO_H

#include "common/ring/ring.h"

struct redo_log { /* in memory that survives; redo_bytes() of it */
	uint32_t prod;
	uint8_t pad[60];
	uint8_t slots[];
};
_Static_assert(sizeof(struct redo_log) == 64, "a log's slots start on a cache line");

struct redo {
	struct redo_log *log;
	struct ring_back *ring;
	uint32_t placed; /* responses up to here are in the log: ring->rsp_prod, or ahead of it */
};

static inline size_t redo_bytes(uint32_t nr_ents, uint32_t rsp_size)
{
	return sizeof(struct redo_log) + (size_t)nr_ents * rsp_size;
}

/* A log for @ring, which was just attached to.  @log: redo_bytes(), aligned to 8; whatever it holds. */
void redo_begin(struct redo *r, struct redo_log *log, struct ring_back *ring);

/*
 * Go on where a predecessor was, @ring just attached to: what it owed is published, and @ring is where it stopped.  The
 * caller notifies the front end, which may have missed it.  -EBADMSG: the ring and the log do not fit together.
 */
int redo_resume(struct redo *r, struct redo_log *log, struct ring_back *ring) __must_check;

/* Place one response, as ring_back_put(): nothing of it is in the ring before redo_push(). */
void redo_put(struct redo *r, const void *rsp, size_t bytes);
/* All that is placed, as one: into the ring, and published.  True: the front end asked to be notified. */
bool redo_push(struct redo *r) __must_check;

#endif

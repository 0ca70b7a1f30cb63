/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - the shared ring of a PV device, seen from either end.  Pure: plain memory, no system call.
 *
 * This is the only code that touches indices shared with the peer.  Layout (xen/io/ring.h, DEFINE_RING_TYPES):
 *
 *   0 req_prod   4 req_event   8 rsp_prod   12 rsp_event   16..63 private   64.. entries, nr_ents a power of two
 *
 * An entry holds a request, later overwritten by some response.  The macros of xen/io/ring.h fix the entry
 * type at compile time; a back end serves three ABIs whose entries differ in size, so here the size is data.
 *
 * Every number read from the shared page is read once, compared as an unsigned difference, and rejected when
 * it is more than the ring holds (XSA-38/39/86).  Slots are copied whole to private memory before anything
 * looks at them (XSA-155), and written whole, zero-padded (XSA-216).  An exactly full ring is legal.
 *
 * One thread uses a ring_back or ring_front at a time.
 */
#ifndef SYNTH_RING_H
#define SYNTH_RING_H

#include "common/base/base.h"

#define RING_MAX_ENTRY 128u /* bytes of the largest entry we copy: blkif native is 112 */

struct ring_shared; /* the page(s) */

struct ring_back {
	struct ring_shared *shared;
	uint32_t nr_ents;  /* power of two */
	uint32_t ent_size; /* bytes */
	uint32_t rsp_size; /* bytes written for a response: the entry type's response, padding included */
	uint32_t req_cons; /* next request to take */
	uint32_t rsp_prod; /* next response to place, not yet published past the last push */
	uint32_t rsp_told; /* up to here the front end was told of responses, or did not ask to be */
};

struct ring_front {
	struct ring_shared *shared;
	uint32_t nr_ents, ent_size, rsp_size;
	uint32_t req_prod; /* next request to place */
	uint32_t rsp_cons; /* next response to take */
};

/* Entries that fit @bytes of ring: rounded down to a power of two, 0 when none does. */
uint32_t ring_entries(size_t bytes, uint32_t ent_size);

/*
 * Attach to a ring that the front end has initialised (and may have put requests on): both private indices
 * start at the published rsp_prod.  -EPROTO when req_prod is further ahead of it than the ring holds, -EINVAL for impossible sizes.
 */
int ring_back_attach(struct ring_back *r, void *pages, size_t bytes, uint32_t ent_size, uint32_t rsp_size) __must_check;

/*
 * Attach where a predecessor left off: responses go on at the published rsp_prod, requests at @req_cons, which it wrote
 * down.  -EPROTO when the three indices cannot be true together.
 */
int ring_back_resume(struct ring_back *r, void *pages, size_t bytes, uint32_t ent_size, uint32_t rsp_size,
		     uint32_t req_cons) __must_check;

/* Requests waiting: 0..nr_ents, or -EPROTO when the producer index cannot be true (stop serving this ring). */
int ring_back_pending(const struct ring_back *r) __must_check;

/* Copy the next request to @copy (ent_size bytes) and consume it.  Only when ring_back_pending() said > 0. */
void ring_back_take(struct ring_back *r, void *copy);

/* Place one response (up to rsp_size bytes; the rest is zeroed).  It must answer a request taken before. */
void ring_back_put(struct ring_back *r, const void *rsp, size_t bytes);

/* Requests taken and not yet answered by ring_back_put(). */
static inline uint32_t ring_back_inflight(const struct ring_back *r)
{
	return r->req_cons - r->rsp_prod;
}

/* Publish placed responses.  True: the front end asked to be notified. */
bool ring_back_push(struct ring_back *r) __must_check;

/*
 * The same in pieces, for who may let a notification wait for more responses: publish; then, now and whenever it
 * is looked at again, asked(), and told() once the front end was notified or has not asked.  All since the last
 * told() counts: a front end may have asked at any of those, and it may also have found them by itself since and
 * asked for a later one.  Not told() for long is a front end that sleeps on answers: somebody must look again.
 */
void ring_back_publish(struct ring_back *r);
bool ring_back_asked(const struct ring_back *r) __must_check; /* only when all that is placed is published */

/* Responses placed since told(): what a notification would be about. */
static inline uint32_t ring_back_unseen(const struct ring_back *r)
{
	return r->rsp_prod - r->rsp_told;
}

/*
 * Of responses published up to @prod, those that the front end has not said to have seen: it does by asking for an event at a
 * later one.  For any thread.  Of one that never asks, all that the ring holds.
 */
uint32_t ring_back_unread(const struct ring_back *r, uint32_t prod);

static inline void ring_back_told(struct ring_back *r)
{
	r->rsp_told = r->rsp_prod;
}

/*
 * Before sleeping: ask for an event at the next request, then look once more.  Returns as
 * ring_back_pending(): > 0 means do not sleep.
 */
int ring_back_arm(struct ring_back *r) __must_check;
/* The same for an event at the @n-th request from here: fewer are of no use.  Sleep when the answer is less than @n. */
int ring_back_arm_for(struct ring_back *r, uint32_t n) __must_check;

/* A front end's new ring: clears the pages. */
int ring_front_init(struct ring_front *r, void *pages, size_t bytes, uint32_t ent_size, uint32_t rsp_size) __must_check;

/* Free request slots. */
static inline uint32_t ring_front_free(const struct ring_front *r)
{
	return r->nr_ents - (r->req_prod - r->rsp_cons);
}

/* Place one request (ent_size bytes at most; the rest is zeroed).  Only when ring_front_free() > 0. */
void ring_front_put(struct ring_front *r, const void *req, size_t bytes);

/* Publish placed requests.  True: the back end asked to be notified. */
bool ring_front_push(struct ring_front *r) __must_check;

/* Responses waiting: 0..outstanding, or -EPROTO when the producer index cannot be true. */
int ring_front_pending(const struct ring_front *r) __must_check;

/* Copy the next response (rsp_size bytes) and consume it.  Only when ring_front_pending() said > 0. */
void ring_front_take(struct ring_front *r, void *copy);

/* Ask for an event after @more further responses (1: the next one), then look once more, as ring_front_pending(). */
int ring_front_arm(struct ring_front *r, uint32_t more) __must_check;

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * redo.c - see redo.h.
 *
 * The fences here are not for another CPU: a killed thread's stores all arrive, in the order of its instructions.  They
 * keep compiler and CPU from making that another order than the one written.
 */
#include <errno.h>
#include "common/base/crash.h"
#include "common/ring/redo.h"

static uint8_t *slot(const struct redo *r, uint32_t index)
{
	return r->log->slots + (size_t)(index & (r->ring->nr_ents - 1)) * r->ring->rsp_size;
}

void redo_begin(struct redo *r, struct redo_log *log, struct ring_back *ring)
{
	*r = (struct redo){ log, ring, ring->rsp_prod };
	__atomic_store_n(&log->prod, ring->rsp_prod, __ATOMIC_RELEASE);
}

/* From the log into the ring, whose requests they answer are taken. */
static void place(struct redo *r)
{
	while (r->ring->rsp_prod != r->placed) {
		ring_back_put(r->ring, slot(r, r->ring->rsp_prod), r->ring->rsp_size);
		CRASH_POINT("net.ring.write");
	}
}

int redo_resume(struct redo *r, struct redo_log *log, struct ring_back *ring)
{
	uint32_t prod = __atomic_load_n(&log->prod, __ATOMIC_ACQUIRE);

	/* No more than a ring ahead, and of requests that are there: what pending() says of a ring that has taken them. */
	if (prod - ring->rsp_prod > ring->nr_ents)
		return -EBADMSG;
	ring->req_cons = prod;
	if (ring_back_pending(ring) < 0)
		return -EBADMSG;
	*r = (struct redo){ log, ring, prod };
	place(r);
	CRASH_POINT("net.recover.write");
	ring_back_publish(ring);
	CRASH_POINT("net.recover.publish");
	ring_back_told(ring); /* by the caller */
	return 0;
}

void redo_put(struct redo *r, const void *rsp, size_t bytes)
{
	uint8_t *s = slot(r, r->placed);

	memcpy(s, rsp, bytes);
	if (bytes < r->ring->rsp_size)
		memset(s + bytes, 0, r->ring->rsp_size - bytes);
	r->placed++;
	CRASH_POINT("net.redo.write");
}

bool redo_push(struct redo *r)
{
	bool asked;

	/* The log's slots before its prod, */
	__atomic_store_n(&r->log->prod, r->placed, __ATOMIC_RELEASE);
	/* and that before the first byte of the ring. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	CRASH_POINT("net.redo.commit");
	place(r);
	asked = ring_back_push(r->ring);
	CRASH_POINT("net.publish");
	return asked;
}

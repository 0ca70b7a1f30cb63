/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-rsp.h - is this response one that the back end may give?  Pure.
 *
 * A request's id is made of its slot in the table and of the slot's generation, so that a second answer to a
 * request that has been answered, whose slot now serves another one, is told from the answer to that one.
 */
#ifndef SYNTH_BLK_RSP_H
#define SYNTH_BLK_RSP_H

#include "common/base/base.h"
#include <xen/io/blkif.h>

#define BLK_RSP_BYTES sizeof(struct blkif_response) /* 16 but on i386, where it is 12 */
#define BLK_RSP_IDLE  0xffu
#define BLK_RSP_NONE  UINT32_MAX

/* What is in flight on one ring. */
struct blk_flight {
	struct blk_flight_slot {
		uint32_t gen;  /* of the request in it, or of the next */
		uint32_t next; /* free list, BLK_RSP_NONE at its end */
		uint8_t op;    /* BLKIF_OP_* the response must name; BLK_RSP_IDLE when none is in flight */
	} * slot;
	uint32_t nr, free, used;
};

enum blk_rsp_fault {
	BLK_RSP_OK,
	BLK_RSP_BAD_ID,       /* no such slot */
	BLK_RSP_NOT_INFLIGHT, /* nothing asked, or answered before */
	BLK_RSP_WRONG_OP,
	BLK_RSP_BAD_PRODUCER, /* more responses than requests; found by ring_front_pending() */
	BLK_RSP_NR_FAULTS
};

struct blk_rsp {
	uint32_t slot;
	uint8_t op;
	int status; /* 0, -EIO, -EOPNOTSUPP */
};

void blk_flight_fini(struct blk_flight *f);
/* For a ring, or another ring, of @nr entries (@f zeroed for the first): nothing is in flight, and no id of before is one that
 * is.  0, or -ENOMEM: nothing has changed. */
int blk_flight_again(struct blk_flight *f, uint32_t nr) __must_check;
/* A slot for a request answered with @op, BLK_RSP_NONE when all are in flight; *id is what goes on the wire. */
uint32_t blk_flight_take(struct blk_flight *f, uint8_t op, uint64_t *id);
/* Forget a request that was not published after all, or whose device is dead. */
void blk_flight_drop(struct blk_flight *f, uint32_t slot);

/*
 * Check one response, copied out of the ring (BLK_RSP_BYTES at @bytes).  BLK_RSP_OK: *ret is filled and the request is no longer in
 * flight.  Anything else: nothing changed, and the back end must not be trusted with another one.
 */
enum blk_rsp_fault blk_rsp_accept(struct blk_flight *f, const void *bytes, struct blk_rsp *ret) __must_check;
/* For people. */
const char *blk_rsp_fault_text(enum blk_rsp_fault fault);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-journal.h - the disk's part of a journal (backend/journal.h): which requests each ring's worker had taken and not
 * answered.  Pure; in words, with the orders that lose data: docs/reliability.md.
 *
 * A blkif response overwrites a request's slot, so the ring cannot tell a successor what was in flight.  Each request
 * has a journal slot, of the same number as its place in the request table:
 *
 *	FREE -> INFLIGHT   take: the request is copied, INFLIGHT is stored, then req_cons; nothing happens before
 *	INFLIGHT -> DONE   complete: rsp_base, then status, the response's index, DONE, for all of a batch; then the
 *			   responses are written into the ring and rsp_prod is stored, which is the commit point
 *	DONE -> FREE       after that
 *
 * In between, INFLIGHT, it is marked when its range is claimed (blk-overlap.h), before anything of it is submitted: what is not marked
 * was not begun.  A successor gives those that are marked, of all rings, their claims back before anything else may claim.
 *
 * All stores are to memory that outlives the process; each of these steps is one store with release order, so that
 * whoever finds the journal sees everything that came before it.
 *
 * recover() judges a journal as a guest's bytes are judged: a predecessor that was taken over may have written it.
 */
#ifndef SYNTH_BLK_JOURNAL_H
#define SYNTH_BLK_JOURNAL_H

#include "backend/block/blk-parse.h"
#include "backend/control/wire.h"
#include "common/base/base.h"

/* Far apart, so that no flipped bit makes one of the other. */
enum blk_journal_state { BLK_J_FREE = 0, BLK_J_INFLIGHT = 0x5a, BLK_J_DONE = 0xa5 };

struct blk_journal_slot {
	uint64_t seq;      /* in the order they were taken, from 1 */
	uint64_t check;    /* over seq, ring_idx and request */
	uint32_t ring_idx; /* where it was taken */
	uint32_t rsp_idx;  /* DONE: where its response goes */
	int16_t status;    /* DONE: BLKIF_RSP_* */
	uint8_t state;     /* enum blk_journal_state */
	uint8_t attempts;  /* of successors to execute it */
	uint8_t bytes;     /* of request that matter; the rest is 0 */
	uint8_t pad;
	/* INFLIGHT: is its range claimed?  Tied to the request by its check: a program that knows nothing of it leaves another's. */
	uint16_t claim;
	uint8_t request[BLK_SLOT_MAX]; /* as it was in the ring */
};
_Static_assert(sizeof(struct blk_journal_slot) == 144, "the format is fixed");

struct blk_journal_queue {
	uint32_t nr_ents;
	uint32_t req_cons; /* next to be taken */
	uint32_t rsp_base; /* rsp_prod when the batch of responses under way began */
	uint32_t pad;
	struct blk_journal_slot slot[];
};

/* Bytes of the class's part, and a queue's place in it. */
uint64_t blk_journal_bytes(const struct wire_connect *c);
struct blk_journal_queue *blk_journal_queue(void *class_part, const struct wire_connect *c, uint32_t index);

/* A new connection's: the ring is taken from @req_cons on. */
void blk_journal_format(struct blk_journal_queue *j, uint32_t nr_ents, uint32_t req_cons);

/* take: @request is a private copy of the slot at j->req_cons, of which @bytes matter.  Advances req_cons. */
void blk_journal_take(struct blk_journal_queue *j, uint32_t slot, uint64_t seq, const void *request, uint32_t bytes);

/* Its range is claimed, and nothing of it is submitted yet. */
void blk_journal_claimed(struct blk_journal_queue *j, uint32_t slot);

/* complete, before the first of a batch, for each, and for each after rsp_prod was stored. */
void blk_journal_base(struct blk_journal_queue *j, uint32_t rsp_prod);
void blk_journal_done(struct blk_journal_queue *j, uint32_t slot, int16_t status, uint32_t rsp_idx);
void blk_journal_free(struct blk_journal_queue *j, uint32_t slot);

/* recover: of a slot in flight.  UNKNOWN: its worker kept no account of it. */
enum blk_journal_claim { BLK_J_UNKNOWN, BLK_J_WAITS, BLK_J_CLAIMED };
enum blk_journal_claim blk_journal_claim(const struct blk_journal_queue *j, uint32_t slot);

/* recover: one more try of this one begins. */
void blk_journal_attempt(struct blk_journal_queue *j, uint32_t slot);

/* Is there anything that was taken and is not done, in the class's part @part of such a connection?  Of any bytes. */
bool blk_journal_unanswered(const void *part, const struct wire_connect *c);

/* What recover() found. */
struct blk_journal_found {
	uint32_t req_cons;
	uint32_t nr_done, nr_inflight;
	uint64_t last_seq;
	uint16_t *done;     /* slots, in the order of their responses, which go to rsp_prod and on; nr_ents long */
	uint16_t *inflight; /* slots, in the order they were taken; nr_ents long */
};

/*
 * Validate all of it against the ring (@rsp_prod as it is there, read once), free what was never taken and what was
 * published, and list the rest.  @blame: false: the attempts so far were ended by somebody else, and do not count.
 * 0, or -EBADMSG and the reason in *why (static): nothing was changed.
 */
int blk_journal_recover(struct blk_journal_queue *j, uint32_t nr_ents, uint32_t rsp_prod, bool blame,
			struct blk_journal_found *f, const char **why) __must_check;

#endif

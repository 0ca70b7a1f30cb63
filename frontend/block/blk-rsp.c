/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-rsp.c - see blk-rsp.h */
#include "frontend/block/blk-rsp.h"

#include <errno.h>
#include <xen/io/blkif.h>

int blk_flight_again(struct blk_flight *f, uint32_t nr)
{
	struct blk_flight_slot *slot = calloc(nr, sizeof(*slot));
	uint32_t gen = 0;

	if (!slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->nr; i++)
		gen = MAX(gen, f->slot[i].gen);
	for (uint32_t i = 0; i < nr; i++) {
		slot[i].gen = gen + 1;
		slot[i].op = BLK_RSP_IDLE;
		slot[i].next = i + 1 < nr ? i + 1 : BLK_RSP_NONE;
	}
	free(f->slot);
	*f = (struct blk_flight){ .slot = slot, .nr = nr };
	return 0;
}

void blk_flight_fini(struct blk_flight *f)
{
	free(f->slot);
	f->slot = NULL;
	f->nr = f->used = 0;
}

uint32_t blk_flight_take(struct blk_flight *f, uint8_t op, uint64_t *id)
{
	uint32_t i = f->free;
	struct blk_flight_slot *s;

	if (i == BLK_RSP_NONE)
		return i;
	s = &f->slot[i];
	f->free = s->next;
	f->used++;
	s->op = op;
	*id = (uint64_t)s->gen << 32 | i;
	return i;
}

void blk_flight_drop(struct blk_flight *f, uint32_t slot)
{
	struct blk_flight_slot *s = &f->slot[slot];

	s->op = BLK_RSP_IDLE;
	s->gen++;
	s->next = f->free;
	f->free = slot;
	f->used--;
}

enum blk_rsp_fault blk_rsp_accept(struct blk_flight *f, const void *bytes, struct blk_rsp *ret)
{
	struct blkif_response r;
	uint32_t slot;

	memcpy(&r, bytes, sizeof(r));
	slot = (uint32_t)r.id;
	if (slot >= f->nr)
		return BLK_RSP_BAD_ID;
	if (f->slot[slot].op == BLK_RSP_IDLE || f->slot[slot].gen != r.id >> 32)
		return BLK_RSP_NOT_INFLIGHT;
	if (f->slot[slot].op != r.operation)
		return BLK_RSP_WRONG_OP;
	blk_flight_drop(f, slot);
	ret->slot = slot;
	ret->op = r.operation;
	ret->status = r.status == BLKIF_RSP_OKAY ? 0 : r.status == BLKIF_RSP_EOPNOTSUPP ? -EOPNOTSUPP : -EIO;
	return BLK_RSP_OK;
}

const char *blk_rsp_fault_text(enum blk_rsp_fault fault)
{
	static const char *const text[BLK_RSP_NR_FAULTS] = {
		[BLK_RSP_OK] = "fine",
		[BLK_RSP_BAD_ID] = "a response with an id we never use",
		[BLK_RSP_NOT_INFLIGHT] = "a response to a request that is not in flight",
		[BLK_RSP_WRONG_OP] = "a response that names another operation than its request",
		[BLK_RSP_BAD_PRODUCER] = "a producer index beyond what was asked",
	};

	return (unsigned int)fault < BLK_RSP_NR_FAULTS ? text[fault] : "?";
}

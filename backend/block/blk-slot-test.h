/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-slot-test.h - slots made by hand, for tests; written from xen/io/blkif.h, not from blk-parse.c. */
#ifndef SYNTH_BLK_SLOT_TEST_H
#define SYNTH_BLK_SLOT_TEST_H

#include "backend/block/blk-parse.h"

static inline void slot_put(uint8_t *slot, size_t at, const void *v, size_t bytes)
{
	memcpy(slot + at, v, bytes);
}

/* x86_32 lays 64-bit fields at 4-byte alignment: everything behind the first word is 4 bytes earlier. */
static inline size_t slot_at(enum blk_abi abi, size_t x86_64)
{
	return abi == BLK_ABI_X86_32 ? x86_64 - 4 : x86_64;
}

static inline void slot_rw(uint8_t *slot, enum blk_abi abi, uint8_t op, uint8_t nr, uint64_t id, uint64_t sector)
{
	memset(slot, 0, BLK_SLOT_MAX);
	slot[0] = op;
	slot[1] = nr;
	slot_put(slot, slot_at(abi, 8), &id, 8);
	slot_put(slot, slot_at(abi, 16), &sector, 8);
}

static inline void slot_seg(uint8_t *slot, enum blk_abi abi, uint32_t i, uint32_t gref, uint8_t first, uint8_t last)
{
	size_t at = slot_at(abi, 24) + i * 8;

	slot_put(slot, at, &gref, 4);
	slot[at + 4] = first;
	slot[at + 5] = last;
}

static inline void slot_discard(uint8_t *slot, enum blk_abi abi, uint8_t flag, uint64_t id, uint64_t sector,
				uint64_t nr)
{
	slot_rw(slot, abi, BLKIF_OP_DISCARD, flag, id, sector);
	slot_put(slot, slot_at(abi, 24), &nr, 8);
}

static inline void slot_indirect(uint8_t *slot, enum blk_abi abi, uint8_t op, uint16_t nr, uint64_t id, uint64_t sector,
				 uint32_t gref)
{
	slot_rw(slot, abi, BLKIF_OP_INDIRECT, op, id, sector);
	slot_put(slot, 2, &nr, 2);
	slot_put(slot, slot_at(abi, 28), &gref, 4);
}

#endif

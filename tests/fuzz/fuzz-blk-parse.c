/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-blk-parse.c - libFuzzer target: any slot in any layout, with any indirect page.  tests/fuzz/run.sh builds it.
 * links: backend/block/blk-parse.c
 * Input: byte 0 chooses layout and limits, then a slot, then (for indirect requests) a page; both padded with zeroes.
 */
#include <stdlib.h>
#include "backend/block/blk-parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct blk_limits *lim, const struct blk_req *r, const struct blk_seg *segs)
{
	uint64_t sum = 0;

	must(r->kind < BLK_NR_KINDS);
	must(r->nr_segs <= (r->indirect ? BLK_MAX_SEGS : BLKIF_MAX_SEGMENTS_PER_REQUEST));
	if (r->nr_sectors)
		must(r->sector <= lim->sectors && r->nr_sectors <= lim->sectors - r->sector);
	else
		must(r->nr_segs == 0 && (r->kind == BLK_FLUSH || r->kind == BLK_BARRIER));
	must(!lim->readonly || r->kind == BLK_READ || (r->kind != BLK_DISCARD && r->nr_segs == 0));
	for (uint32_t i = 0; i < r->nr_segs; i++) {
		must(segs[i].first <= segs[i].last && segs[i].last <= 7);
		sum += segs[i].last - segs[i].first + 1u;
	}
	must(r->kind == BLK_DISCARD || sum == r->nr_sectors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct blk_limits lim = { 1ull << 21, .can_flush = true };
	uint8_t slot[BLK_SLOT_MAX] = { 0 }, choice;
	struct blk_seg *segs;
	uint8_t *page;
	struct blk_req r;
	size_t n;
	int rc;

	if (!size)
		return 0;
	choice = *data++;
	size--;
	lim.readonly = choice & 4;
	lim.can_barrier = choice & 8;
	lim.can_discard = choice & 16;
	lim.can_secure = choice & 32;
	if (choice & 64)
		lim.sectors = UINT64_MAX / 512;
	n = MIN(size, sizeof(slot));
	memcpy(slot, data, n);
	data += n;
	size -= n;
	rc = blk_parse((enum blk_abi)((choice & 3) % BLK_NR_ABIS), slot, &lim, &r);
	must(r.op == (slot[0] == BLKIF_OP_INDIRECT ? slot[1] : slot[0]));
	if (rc)
		return 0;
	if (!r.indirect) {
		check(&lim, &r, r.seg);
		return 0;
	}
	/* On the heap, so that a byte too far is seen. */
	page = calloc(1, PAGE_BYTES);
	segs = malloc(r.nr_segs * sizeof(*segs));
	must(page && segs);
	memcpy(page, data, MIN(size, PAGE_BYTES));
	if (blk_parse_indirect(page, &lim, &r, segs) == 0)
		check(&lim, &r, segs);
	free(segs);
	free(page);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-parse.c - the only code that knows what a blkif slot looks like, in the three layouts.
 *
 * x86_32 packs 64-bit fields at 4-byte alignment, so all but the first 4 bytes move; the table below holds the
 * offsets.  Sums cannot overflow: a segment is 1..8 sectors and there are at most 256; sector + sum is compared
 * as sum <= size - sector.
 */
#include <errno.h>
#include "backend/block/blk-parse.h"

static const struct layout {
	uint8_t slot, rsp;        /* bytes of an entry, of a response */
	uint8_t id, sector, segs; /* offsets: same for plain and discard */
	uint8_t discard_nr, ind_grefs;
} layouts[BLK_NR_ABIS] = {
#if defined(__i386__)
	[BLK_ABI_NATIVE] = { 108, 12, 4, 12, 20, 20, 24 },
#else
	[BLK_ABI_NATIVE] = { 112, 16, 8, 16, 24, 24, 28 },
#endif
	[BLK_ABI_X86_32] = { 108, 12, 4, 12, 20, 20, 24 },
	[BLK_ABI_X86_64] = { 112, 16, 8, 16, 24, 24, 28 },
};
#if !defined(__i386__)
_Static_assert(sizeof(struct blkif_request) == 112, "layouts[NATIVE].slot");
_Static_assert(offsetof(struct blkif_request, id) == 8 && offsetof(struct blkif_request, sector_number) == 16 &&
		       offsetof(struct blkif_request, seg) == 24,
	       "layouts[NATIVE]");
_Static_assert(offsetof(struct blkif_request_discard, nr_sectors) == 24, "layouts[NATIVE].discard_nr");
_Static_assert(offsetof(struct blkif_request_indirect, indirect_grefs) == 28, "layouts[NATIVE].ind_grefs");
_Static_assert(sizeof(struct blkif_response) == 16, "layouts[NATIVE].rsp");
#endif
_Static_assert(BLK_MAX_SEGS <= BLK_MAX_INDIRECT * BLK_SEGS_A_PAGE, "one indirect page is enough");

uint32_t blk_slot_bytes(enum blk_abi abi)
{
	return (uint32_t)abi < BLK_NR_ABIS ? layouts[abi].slot : 0;
}

uint32_t blk_rsp_bytes(enum blk_abi abi)
{
	return (uint32_t)abi < BLK_NR_ABIS ? layouts[abi].rsp : 0;
}

uint32_t blk_slot_used(enum blk_abi abi, const void *slot)
{
	const uint8_t *p = slot;
	const struct layout *l = &layouts[abi];

	if ((p[0] == BLKIF_OP_READ || p[0] == BLKIF_OP_WRITE) && p[1] <= BLKIF_MAX_SEGMENTS_PER_REQUEST)
		return l->segs + p[1] * 8u;
	return l->slot;
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static int check_range(const struct blk_limits *lim, uint64_t sector, uint64_t nr)
{
	return sector <= lim->sectors && nr <= lim->sectors - sector ? 0 : -ERANGE;
}

/* @p points at nr 8-byte segments: gref, first, last, 2 bytes of padding.  Adds up their sectors. */
static int get_segs(const uint8_t *p, uint32_t nr, struct blk_seg *segs, uint64_t *sectors)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < nr; i++, p += 8) {
		struct blk_seg s = { get32(p), p[4], p[5] };

		if (s.first > s.last || s.last >= PAGE_BYTES / SECTOR_BYTES)
			return -EINVAL;
		segs[i] = s;
		sum += (uint64_t)(s.last - s.first) + 1;
	}
	*sectors = sum;
	return 0;
}

static int parse_discard(const struct layout *l, const uint8_t *p, const struct blk_limits *lim, struct blk_req *r)
{
	if (lim->readonly)
		return -EROFS;
	if (!lim->can_discard)
		return -EOPNOTSUPP;
	r->nr_sectors = get64(p + l->discard_nr);
	/* The spec: the secure flag is ignored when discard-secure was not offered. */
	r->secure = lim->can_secure && (p[1] & BLKIF_DISCARD_SECURE);
	if (r->nr_sectors == 0)
		return -EINVAL;
	return check_range(lim, r->sector, r->nr_sectors);
}

static int parse_indirect(const struct layout *l, const uint8_t *p, const struct blk_limits *lim, struct blk_req *r)
{
	r->indirect = true;
	r->op = p[1];
	r->nr_segs = get16(p + 2);
	/* Nested, flush, anything else: only data moves indirectly. */
	if (r->op != BLKIF_OP_READ && r->op != BLKIF_OP_WRITE)
		return -EINVAL;
	r->kind = r->op == BLKIF_OP_WRITE ? BLK_WRITE : BLK_READ;
	if (r->nr_segs == 0 || r->nr_segs > BLK_MAX_SEGS)
		return -EINVAL;
	if (r->kind == BLK_WRITE && lim->readonly)
		return -EROFS;
	/* Some fronts fill all eight slots whatever nr_segs says: the others are not looked at. */
	r->nr_indirect = (uint16_t)((r->nr_segs + BLK_SEGS_A_PAGE - 1) / BLK_SEGS_A_PAGE);
	for (uint32_t i = 0; i < r->nr_indirect; i++)
		r->ind_gref[i] = get32(p + l->ind_grefs + i * 4);
	/* At least a sector a segment: refuse early what cannot fit. */
	return check_range(lim, r->sector, r->nr_segs);
}

static int parse_rw(const struct layout *l, const uint8_t *p, const struct blk_limits *lim, struct blk_req *r)
{
	bool data = r->kind == BLK_READ || r->kind == BLK_WRITE;
	int rc;

	r->nr_segs = p[1];
	if (r->nr_segs > BLKIF_MAX_SEGMENTS_PER_REQUEST || (data && r->nr_segs == 0))
		return -EINVAL;
	if (r->kind != BLK_READ && r->nr_segs && lim->readonly)
		return -EROFS;
	if (r->nr_segs == 0) /* an empty flush or barrier names no sectors */
		return 0;
	rc = get_segs(p + l->segs, r->nr_segs, r->seg, &r->nr_sectors);
	return rc ? rc : check_range(lim, r->sector, r->nr_sectors);
}

int blk_parse(enum blk_abi abi, const void *slot, const struct blk_limits *lim, struct blk_req *r)
{
	const struct layout *l = &layouts[abi];
	const uint8_t *p = slot;

	r->op = p[0];
	r->id = get64(p + l->id);
	r->sector = get64(p + l->sector);
	r->nr_sectors = 0;
	r->nr_segs = r->nr_indirect = 0;
	r->secure = r->indirect = false;
	switch (r->op) {
	case BLKIF_OP_READ:
		r->kind = BLK_READ;
		return parse_rw(l, p, lim, r);
	case BLKIF_OP_WRITE:
		r->kind = BLK_WRITE;
		return parse_rw(l, p, lim, r);
	case BLKIF_OP_FLUSH_DISKCACHE:
		r->kind = BLK_FLUSH;
		return lim->can_flush ? parse_rw(l, p, lim, r) : -EOPNOTSUPP;
	case BLKIF_OP_WRITE_BARRIER:
		r->kind = BLK_BARRIER;
		return lim->can_barrier ? parse_rw(l, p, lim, r) : -EOPNOTSUPP;
	case BLKIF_OP_DISCARD:
		r->kind = BLK_DISCARD;
		return parse_discard(l, p, lim, r);
	case BLKIF_OP_INDIRECT:
		r->kind = BLK_READ;
		return parse_indirect(l, p, lim, r);
	default:
		r->kind = BLK_READ;
		return -EOPNOTSUPP;
	}
}

int blk_parse_indirect(const void *page, const struct blk_limits *lim, struct blk_req *r, struct blk_seg *segs)
{
	int rc = get_segs(page, r->nr_segs, segs, &r->nr_sectors);

	return rc ? rc : check_range(lim, r->sector, r->nr_sectors);
}

struct blk_rsp blk_make_rsp(uint64_t id, uint8_t op, int16_t status)
{
	struct blk_rsp rsp = { { 0 } };

	memcpy(rsp.bytes, &id, 8);
	rsp.bytes[8] = op;
	memcpy(rsp.bytes + 10, &status, 2);
	return rsp;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-parse.h - a copied ring slot becomes a whole, checked request, or -errno.  Pure.
 *
 * Input is private memory: the caller has copied the slot (and each indirect page) once, since the guest may
 * go on changing the original.  Nothing after this looks at guest bytes again.  Sectors are 512 bytes, always.
 */
#ifndef SYNTH_BLK_PARSE_H
#define SYNTH_BLK_PARSE_H

#include "backend/block/blk-wire.h"
#include "common/base/base.h"
#include <xen/io/blkif.h>

#define BLK_MAX_SEGS     256u /* feature-max-indirect-segments */
#define BLK_SEGS_A_PAGE  512u
#define BLK_MAX_INDIRECT 1u   /* pages: BLK_MAX_SEGS / BLK_SEGS_A_PAGE, rounded up */
#define BLK_SLOT_MAX     112u /* bytes of the largest slot */

struct blk_limits {
	uint64_t sectors;
	bool readonly, can_flush, can_barrier, can_discard, can_secure;
};

enum blk_kind { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_BARRIER, BLK_DISCARD, BLK_NR_KINDS };

struct blk_seg {
	uint32_t gref;
	uint8_t first, last; /* sectors of the page, first <= last <= 7 */
};

struct blk_req {
	uint64_t id; /* the guest's, echoed */
	uint64_t sector;
	uint64_t nr_sectors; /* of data or to discard; 0 for an empty flush or barrier */
	uint8_t op;          /* BLKIF_OP_* for the response: an indirect request's inner operation */
	uint8_t kind;        /* enum blk_kind */
	bool secure;         /* discard */
	bool indirect;       /* segments come with blk_parse_indirect() */
	uint16_t nr_segs;
	uint16_t nr_indirect; /* grefs that matter: ceil(nr_segs / 512) */
	uint32_t ind_gref[BLK_MAX_INDIRECT];
	struct blk_seg seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};

/* Bytes of a ring entry and of a response in it. 0 for an unknown abi. */
uint32_t blk_slot_bytes(enum blk_abi abi);
uint32_t blk_rsp_bytes(enum blk_abi abi);
/* Bytes of this copied slot that blk_parse() may look at. */
uint32_t blk_slot_used(enum blk_abi abi, const void *slot);

/*
 * id and op are always filled in, so that the request can be answered: 0, -EINVAL, -ERANGE (past the end),
 * -EROFS, -EOPNOTSUPP.  An indirect request is checked as far as it can be without its page.
 */
int blk_parse(enum blk_abi abi, const void *slot, const struct blk_limits *lim, struct blk_req *ret) __must_check;

/* The segments of @req from the copy of its indirect page, into @segs[req->nr_segs]; completes nr_sectors. */
int blk_parse_indirect(const void *page, const struct blk_limits *lim, struct blk_req *req,
		       struct blk_seg *segs) __must_check;

/* The response, in the layout every ABI shares (16 bytes, zero-padded). */
struct blk_rsp {
	uint8_t bytes[16];
};
struct blk_rsp blk_make_rsp(uint64_t id, uint8_t op, int16_t status);

#endif

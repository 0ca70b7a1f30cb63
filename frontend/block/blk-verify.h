/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-verify.h - blocks that can tell whether they are what was written, where it was written.  Pure.
 *
 * A unit is a sector, so that runs with different block sizes understand each other's data.  It starts with a header: magic, its offset on the disk, the sequence number of the write,
 * the seed of the run, and a checksum of these four.  What follows is a function of them, so that every byte is checked.
 */
#ifndef SYNTH_BLK_VERIFY_H
#define SYNTH_BLK_VERIFY_H

#include "common/base/base.h"

#define VERIFY_UNIT 512u

struct verify_head {
	uint64_t magic, offset, seq, seed, check;
};

enum verify_result {
	VERIFY_OK,
	VERIFY_FOREIGN, /* not one of our units */
	VERIFY_OFFSET,  /* a unit of ours that belongs elsewhere */
	VERIFY_STALE,   /* another write than the last one of this run */
	VERIFY_CORRUPT, /* our header, other bytes */
	VERIFY_NR
};

void verify_fill(void *unit, uint64_t offset, uint64_t seq, uint64_t seed);
/* @seq 0: any write of any run will do, if it is whole and belongs here. */
enum verify_result verify_check(const void *unit, uint64_t offset, uint64_t seq, uint64_t seed);
const char *verify_text(enum verify_result r);

#endif

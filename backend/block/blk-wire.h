/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-wire.h - bodies of the block class on the control plane - worker socket (backend/control/wire.h).
 */
#ifndef SYNTH_BLK_WIRE_H
#define SYNTH_BLK_WIRE_H

#include "common/base/base.h"

enum blk_abi { BLK_ABI_NATIVE, BLK_ABI_X86_32, BLK_ABI_X86_64, BLK_NR_ABIS };

/* wire_connect.features */
#define BLK_F_PERSISTENT 0x1u

/* Parts of a worker. */
#define BLK_PART_NBD 0x1u /* libnbd and what it needs */

enum blk_store_kind { BLK_STORE_FILE, BLK_STORE_NBD, BLK_STORE_NULL };

#define BLK_O_READONLY 0x01u
#define BLK_O_DIRECT   0x02u /* the fd was opened O_DIRECT */
#define BLK_O_DISCARD  0x04u /* offer discard if the store can */
#define BLK_O_MEMORY \
	0x08u /* the file lives in memory (tmpfs, ramfs, hugetlbfs): do I/O inline, it cannot block on a device */
#define BLK_O_BLOCKDEV 0x10u
#define BLK_O_BARRIER  0x20u
#define BLK_O_POISONED 0x40u /* the page cache has lost something: every flush fails (store.h) */

/* WIRE_OPEN.  File: one fd, the image, opened and locked by the control plane.  NBD: one connected socket fd; @export is the export's name. */
struct blk_open {
	uint32_t kind;        /* enum blk_store_kind */
	uint32_t flags;       /* BLK_O_* */
	uint64_t size;        /* bytes; null: only */
	uint32_t poll_max_us; /* busy-poll limit before sleeping; 0 never polls */
	uint32_t sector;      /* bytes the image wants its I/O aligned to (file: logical block size under O_DIRECT) */
	char name[64];        /* "web1/xvda", for log messages */
	char export[256];
};

/* Reply to WIRE_OPEN and WIRE_RESIZE: what the front end is told. */
struct blk_info {
	uint64_t sectors;         /* 512-byte units */
	uint32_t physical_sector; /* bytes */
	uint32_t can_flush;       /* 0 or 1, and so on */
	uint32_t can_discard, can_secure_discard;
	uint32_t discard_granularity; /* bytes */
	uint32_t discard_alignment;   /* bytes */
	uint32_t readonly;
	char engine[32]; /* "io_uring", "threads", "inline", "nbd", "null" */
};

#endif

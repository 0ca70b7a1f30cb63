/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journal.h - the journal of a connected device: what a successor of its worker needs to go on.  Format, and its check.
 *
 * One file a device, in memory (the run directory is a tmpfs on a real host): it has to survive processes, not the host,
 * with which the guest dies too.  So nothing is ever synced.  In words: docs/reliability.md.
 *
 *	0                  struct journal_head, written by the control plane before a worker sees it, never changed after
 *	JOURNAL_LIVE_AT    struct journal_live, the workers'
 *	JOURNAL_CLASS_AT   the class's own part (class.h, journal_bytes()), the workers'
 *
 * A worker may have been taken over by its guest: what it left is checked by its successor as a guest's bytes are.
 */
#ifndef SYNTH_JOURNAL_H
#define SYNTH_JOURNAL_H

#include "backend/control/wire.h"
#include "common/base/base.h"

/* `./bench journal` measures against a worker that keeps none.  It loses what it had taken when it dies. */
#ifdef SYNTH_JOURNAL_OFF
#define JOURNAL_OFF true
#else
#define JOURNAL_OFF false
#endif

#define JOURNAL_MAGIC    0x4c4e4a53u /* "SJNL" */
#define JOURNAL_VERSION  1u          /* of all of it, the classes' parts too: a reader knows it or refuses */
#define JOURNAL_CLASS_AT 8192u
#define JOURNAL_LIVE_AT  (JOURNAL_CLASS_AT - 64u)

struct journal_head {
	uint32_t magic, version;
	uint32_t head_bytes; /* sizeof(struct journal_head) */
	uint32_t crc;        /* crc32c of the head, this field taken as 0 */
	uint64_t bytes;      /* of the file */
	uint64_t class_bytes;
	char class[16]; /* "disk" */
	char uuid[40];  /* of the device */
	uint32_t domid, vdev;
	uint64_t identity[2]; /* of the image, as open_job.id */
	struct wire_connect wire;
	uint32_t remote_port[WIRE_MAX_QUEUES][WIRE_MAX_RINGS];
};
_Static_assert(sizeof(struct journal_head) <= JOURNAL_LIVE_AT, "the head ends before what is live");

#define JOURNAL_STORAGE_LOST 2u /* poisoned: STORE_LOST */

struct journal_live {
	uint32_t life;     /* workers that have used it, this one included */
	uint32_t ready;    /* 1: the class's part is formatted; before that nothing was taken from the rings */
	uint32_t poisoned; /* enum store_poison of the disk (block/store.h), or 0 */
};
_Static_assert(sizeof(struct journal_live) <= JOURNAL_CLASS_AT - JOURNAL_LIVE_AT, "and this before the class's part");

/* Fill in magic, version, sizes and crc; all else is there already. */
void journal_head_seal(struct journal_head *h, uint64_t class_bytes);
/* 0, or -EBADMSG with the reason in *why (static). @bytes: of the file. */
int journal_head_check(const struct journal_head *h, uint64_t bytes, const char **why) __must_check;

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * crash-log.h - one log of what a guest asked and was told, and of what its disk's store did, in the order in which it
 * happened: a file that the processes share.  A record's place is taken by one atomic addition, so that of two records
 * the earlier one was begun earlier, whoever wrote them.
 *
 * A guest's record of asking is written before it asks, one of an answer after it has it; a store's record of a beginning before
 * it begins, of an end after it.  So what the log says of "before" is true, and of what overlaps nothing is said.
 */
#ifndef SYNTH_CRASH_LOG_H
#define SYNTH_CRASH_LOG_H

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/base.h"

#define CRASH_LOG_BYTES   (4ull << 30) /* sparse */
#define CRASH_LOG_RECORDS 4096u        /* where they begin */

enum crash_type {
	CRASH_NONE,
	GUEST_WRITE, /* id, sector at, nr */
	GUEST_TRIM,
	GUEST_DONE,  /* id: of one of these two */
	GUEST_FLUSH, /* id */
	GUEST_FLUSHED,
	STORE_WRITES, /* id, byte at, nr; the data */
	STORE_TRIMS,
	STORE_DID, /* id: of one of these two */
	STORE_SYNCS,
	STORE_SYNCED,
};

struct crash_record {
	uint32_t type; /* enum crash_type; stored last */
	uint32_t bytes;
	uint64_t id, at, nr;
	uint8_t data[];
};

struct crash_log {
	uint64_t head; /* bytes taken */
	uint64_t ids;  /* of store's operations */
	uint8_t pad[CRASH_LOG_RECORDS - 16];
	uint8_t records[];
};

/* What is in a sector that the guest wrote: of which write, and the rest follows from that. */
static inline void crash_sector(void *buf, uint64_t sector, uint64_t id)
{
	uint64_t *w = buf, x = (sector + 1) * 0x9e3779b97f4a7c15u ^ id * 0xff51afd7ed558ccdu;

	w[0] = sector;
	w[1] = id;
	for (uint32_t i = 2; i < SECTOR_BYTES / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		w[i] = x;
	}
}

/* NULL with errno.  @create: anybody may write it, since who serves a disk has a user of its own. */
static inline struct crash_log *crash_log_open(const char *path, bool create)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0666);
	void *p = MAP_FAILED;

	if (fd < 0)
		return NULL;
	if (!create || (fchmod(fd, 0666) == 0 && ftruncate(fd, (off_t)CRASH_LOG_BYTES) == 0))
		p = mmap(NULL, CRASH_LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static inline struct crash_record *crash_log_begin(struct crash_log *l, uint64_t id, uint64_t at, uint64_t nr,
						   uint64_t data_bytes)
{
	uint64_t bytes = (sizeof(struct crash_record) + data_bytes + 7) / 8 * 8;
	uint64_t place = __atomic_fetch_add(&l->head, bytes, __ATOMIC_SEQ_CST);
	struct crash_record *r = (void *)(l->records + place);

	if (place + bytes > CRASH_LOG_BYTES - CRASH_LOG_RECORDS)
		abort();
	r->bytes = (uint32_t)bytes;
	r->id = id;
	r->at = at;
	r->nr = nr;
	return r;
}

static inline void crash_log_end(struct crash_record *r, enum crash_type type)
{
	__atomic_store_n(&r->type, type, __ATOMIC_SEQ_CST);
}

static inline void crash_log_add(struct crash_log *l, enum crash_type type, uint64_t id, uint64_t at, uint64_t nr)
{
	crash_log_end(crash_log_begin(l, id, at, nr, 0), type);
}

static inline uint64_t crash_log_id(struct crash_log *l)
{
	return __atomic_add_fetch(&l->ids, 1, __ATOMIC_SEQ_CST);
}

#endif

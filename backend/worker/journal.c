/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* journal.c - see journal.h. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "backend/worker/journal.h"
#include "common/base/crash.h"
#include "common/log/log.h"

static int refuse(struct journal *j, const char *name, const char *why)
{
	log_error("%s: its journal cannot be used: %s", name, why);
	journal_unmap(j);
	return -EBADMSG;
}

/* The head says the same as the message: ports apart, which are bound anew. */
static bool same_rings(const struct wire_connect *a, const struct wire_connect *b)
{
	if (a->abi != b->abi || a->features != b->features || a->nr_queues != b->nr_queues || a->order != b->order ||
	    a->nr_rings != b->nr_rings || a->nr_ports != b->nr_ports)
		return false;
	for (uint32_t i = 0; i < a->nr_queues; i++)
		if (memcmp(a->queue[i].refs, b->queue[i].refs, sizeof(uint32_t) * (a->nr_rings << a->order)) != 0)
			return false;
	return true;
}

int journal_map(struct journal *j, int fd, const struct wire_connect *c, uint64_t class_bytes, const char *name)
{
	const char *why;
	struct stat st;

	*j = (struct journal){ 0 };
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)JOURNAL_CLASS_AT)
		return refuse(j, name, "it is too short");
	j->bytes = (size_t)st.st_size;
	j->map = mmap(NULL, j->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (j->map == MAP_FAILED) {
		j->map = NULL;
		return -errno;
	}
	if (journal_head_check(j->map, j->bytes, &why))
		return refuse(j, name, why);
	if (j->bytes - JOURNAL_CLASS_AT != class_bytes || !same_rings(&((const struct journal_head *)j->map)->wire, c))
		return refuse(j, name, "it is of another connection");
	j->live = (void *)((uint8_t *)j->map + JOURNAL_LIVE_AT);
	j->class_part = (uint8_t *)j->map + JOURNAL_CLASS_AT;
	j->class_bytes = class_bytes;
	/* A predecessor that died before its part was formatted has taken nothing. */
	j->resume = c->resume && __atomic_load_n(&j->live->ready, __ATOMIC_ACQUIRE) == 1;
	j->blame = c->resume == WIRE_RESUME_BLAME;
	crash_life(++j->live->life);
	return 0;
}

void journal_ready(struct journal *j)
{
	__atomic_store_n(&j->live->ready, 1, __ATOMIC_RELEASE);
}

void journal_unmap(struct journal *j)
{
	if (j->map)
		munmap(j->map, j->bytes);
	*j = (struct journal){ 0 };
}

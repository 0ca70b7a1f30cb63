/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-req.c - see blk-req.h. */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include "backend/block/blk-req.h"

int blk_table_init(struct blk_table *t, uint32_t nr)
{
	size_t segs = (size_t)nr * BLK_MAX_SEGS;

	memset(t, 0, sizeof(*t));
	t->slots = aligned_alloc(64, (nr * sizeof(*t->slots) + 63) / 64 * 64);
	t->free = malloc(nr * sizeof(*t->free));
	t->big_bytes = segs * (sizeof(*t->big_iov) + sizeof(*t->big_segs) + sizeof(*t->big_pages));
	t->big = mmap(NULL, t->big_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->big == MAP_FAILED)
		t->big = NULL;
	if (!t->slots || !t->free || !t->big) {
		blk_table_fini(t);
		return -ENOMEM;
	}
	t->big_iov = t->big;
	t->big_segs = (struct blk_seg *)(void *)(t->big_iov + segs);
	t->big_pages = (uint16_t *)(void *)(t->big_segs + segs);
	memset(t->slots, 0, nr * sizeof(*t->slots));
	t->nr = t->nr_free = nr;
	for (uint32_t i = 0; i < nr; i++) {
		t->slots[i].index = (uint16_t)i;
		t->free[i] = (uint16_t)(nr - 1 - i);
	}
	return 0;
}

void blk_table_fini(struct blk_table *t)
{
	free(t->slots);
	free(t->free);
	if (t->big)
		munmap(t->big, t->big_bytes);
	memset(t, 0, sizeof(*t));
}

void blk_table_idle(struct blk_table *t)
{
	assert(blk_table_inflight(t) == 0);
	madvise(t->big, t->big_bytes, MADV_DONTNEED);
}

struct blk_slot *blk_table_take_at(struct blk_table *t, uint32_t index, uint64_t now)
{
	uint32_t i = 0;

	while (t->free[i] != index)
		i++;
	/* To the top of the stack; the order of the others stays. */
	memmove(&t->free[i], &t->free[i + 1], (t->nr_free - i - 1) * sizeof(*t->free));
	t->free[t->nr_free - 1] = (uint16_t)index;
	return blk_table_take(t, now);
}

struct blk_slot *blk_table_take(struct blk_table *t, uint64_t now)
{
	struct blk_slot *s = &t->slots[t->free[--t->nr_free]];

	assert(s->state == BLK_FREE);
	s->state = BLK_PARSED;
	s->step = 0;
	s->err = 0;
	s->has_pages = s->bounced = s->copy_failed = s->claimed = s->announced = s->replayed = false;
	__atomic_store_n(&s->start_ns, now, __ATOMIC_RELAXED);
	return s;
}

void blk_slot_parsed(struct blk_table *t, struct blk_slot *s)
{
	if (s->req.indirect) {
		size_t at = (size_t)s->index * BLK_MAX_SEGS;

		s->segs = t->big_segs + at;
		s->pages = t->big_pages + at;
		s->iov = t->big_iov + at;
	} else {
		s->segs = s->req.seg;
		s->pages = s->small_pages;
		s->iov = s->small_iov;
	}
	if (s->req.kind == BLK_BARRIER)
		t->barrier = s;
}

bool blk_slot_may_start(const struct blk_table *t, const struct blk_slot *s)
{
	return s->req.kind != BLK_BARRIER || blk_table_inflight(t) == 1;
}

bool blk_slot_has_data(const struct blk_slot *s)
{
	return s->req.nr_segs > 0;
}

bool blk_slot_next_step(struct blk_slot *s)
{
	static const uint8_t end = 0xff;
	/* Data steps are left out when there is no data; the barrier's last flush then too. */
	static const uint8_t steps[BLK_NR_KINDS][4] = {
		[BLK_READ] = { STORE_READ, end },
		[BLK_WRITE] = { STORE_WRITE, end },
		[BLK_FLUSH] = { STORE_FLUSH, STORE_WRITE, end },
		[BLK_BARRIER] = { STORE_FLUSH, STORE_WRITE, STORE_FLUSH, end },
		[BLK_DISCARD] = { STORE_DISCARD, end },
	};
	uint8_t op = steps[s->req.kind][s->step];

	if (op == end || s->err || (s->step > 0 && !blk_slot_has_data(s)))
		return false;
	s->step++;
	s->io.op = op == STORE_DISCARD && s->req.secure ? STORE_SECURE_DISCARD : op;
	return true;
}

int16_t blk_status(int err)
{
	switch (err) {
	case 0:
		return BLKIF_RSP_OKAY;
	case -EOPNOTSUPP:
		return BLKIF_RSP_EOPNOTSUPP;
	default:
		return BLKIF_RSP_ERROR;
	}
}

struct blk_rsp blk_table_answer(struct blk_table *t, struct blk_slot *s)
{
	assert(s->state == BLK_DONE && !s->has_pages); /* grants are let go of before the answer */
	if (t->barrier == s)
		t->barrier = NULL;
	s->state = BLK_FREE;
	__atomic_store_n(&s->start_ns, 0, __ATOMIC_RELAXED);
	t->free[t->nr_free++] = s->index;
	return blk_make_rsp(s->req.id, s->req.op, blk_status(s->err));
}

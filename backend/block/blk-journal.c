/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-journal.c - see blk-journal.h. */
#include <errno.h>
#include "backend/block/blk-journal.h"
#include "backend/journal.h"
#include "common/base/crash.h"
#include "common/ring/ring.h"

static uint64_t queue_bytes(uint32_t nr_ents)
{
	return (sizeof(struct blk_journal_queue) + nr_ents * sizeof(struct blk_journal_slot) + 63) / 64 * 64;
}

static uint32_t entries(const struct wire_connect *c)
{
	return ring_entries((size_t)PAGE_BYTES << c->order, blk_slot_bytes((enum blk_abi)c->abi));
}

uint64_t blk_journal_bytes(const struct wire_connect *c)
{
	return c->nr_queues * queue_bytes(entries(c));
}

struct blk_journal_queue *blk_journal_queue(void *class_part, const struct wire_connect *c, uint32_t index)
{
	return (void *)((uint8_t *)class_part + index * queue_bytes(entries(c)));
}

void blk_journal_format(struct blk_journal_queue *j, uint32_t nr_ents, uint32_t req_cons)
{
	/* The file is new, or nobody got as far as taking a request. */
	j->nr_ents = nr_ents;
	j->req_cons = j->rsp_base = req_cons;
	for (uint32_t i = 0; i < nr_ents; i++)
		if (j->slot[i].state != BLK_J_FREE)
			j->slot[i].state = BLK_J_FREE;
}

/* Any change of one word changes it: each step is a bijection of what came before. */
static uint64_t check_of(const struct blk_journal_slot *s)
{
	uint64_t h = s->seq * 0x9e3779b97f4a7c15ull + s->ring_idx, w;

	for (uint32_t i = 0; i < s->bytes; i += 8) {
		memcpy(&w, s->request + i, sizeof(w));
		h = (h ^ w) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	return h ^ s->bytes;
}

static uint16_t claim_word(const struct blk_journal_slot *s, bool claimed)
{
	return (uint16_t)((s->check & 0xfffe) | claimed);
}

static void set_state(struct blk_journal_slot *s, enum blk_journal_state state)
{
	/* Whoever sees the state sees what it stands for. */
	__atomic_store_n(&s->state, (uint8_t)state, __ATOMIC_RELEASE);
}

void blk_journal_take(struct blk_journal_queue *j, uint32_t slot, uint64_t seq, const void *request, uint32_t bytes)
{
	struct blk_journal_slot *s = &j->slot[slot];
	uint32_t words = (bytes + 7) / 8 * 8;

	if (JOURNAL_OFF)
		return;
	s->seq = seq;
	s->ring_idx = j->req_cons;
	s->attempts = 0;
	s->bytes = (uint8_t)words;
	memcpy(s->request, request, words);
	s->check = check_of(s);
	s->claim = claim_word(s, false);
	CRASH_POINT("take.copy");
	set_state(s, BLK_J_INFLIGHT);
	CRASH_POINT("take.inflight");
	__atomic_store_n(&j->req_cons, s->ring_idx + 1, __ATOMIC_RELEASE);
	CRASH_POINT("take.cons");
}

void blk_journal_claimed(struct blk_journal_queue *j, uint32_t slot)
{
	struct blk_journal_slot *s = &j->slot[slot];

	if (!JOURNAL_OFF)
		__atomic_store_n(&s->claim, claim_word(s, true), __ATOMIC_RELEASE);
}

enum blk_journal_claim blk_journal_claim(const struct blk_journal_queue *j, uint32_t slot)
{
	const struct blk_journal_slot *s = &j->slot[slot];

	if (s->claim == claim_word(s, true))
		return BLK_J_CLAIMED;
	return s->claim == claim_word(s, false) ? BLK_J_WAITS : BLK_J_UNKNOWN;
}

void blk_journal_base(struct blk_journal_queue *j, uint32_t rsp_prod)
{
	if (JOURNAL_OFF)
		return;
	__atomic_store_n(&j->rsp_base, rsp_prod, __ATOMIC_RELEASE);
	CRASH_POINT("complete.base");
}

void blk_journal_done(struct blk_journal_queue *j, uint32_t slot, int16_t status, uint32_t rsp_idx)
{
	struct blk_journal_slot *s = &j->slot[slot];

	if (JOURNAL_OFF)
		return;
	s->status = status;
	s->rsp_idx = rsp_idx;
	set_state(s, BLK_J_DONE);
	CRASH_POINT("complete.done");
}

void blk_journal_free(struct blk_journal_queue *j, uint32_t slot)
{
	if (JOURNAL_OFF)
		return;
	set_state(&j->slot[slot], BLK_J_FREE);
	CRASH_POINT("complete.free");
}

void blk_journal_attempt(struct blk_journal_queue *j, uint32_t slot)
{
	struct blk_journal_slot *s = &j->slot[slot];

	if (s->attempts < UINT8_MAX)
		__atomic_store_n(&s->attempts, (uint8_t)(s->attempts + 1), __ATOMIC_RELEASE);
	CRASH_POINT("recover.attempt");
}

bool blk_journal_unanswered(const void *part, const struct wire_connect *c)
{
	const uint32_t nr = entries(c);
	bool any = false;

	for (uint32_t i = 0; i < c->nr_queues; i++) {
		const struct blk_journal_queue *j = (const void *)((const uint8_t *)part + i * queue_bytes(nr));

		for (uint32_t k = 0; k < nr; k++)
			any |= j->slot[k].state != BLK_J_FREE && j->slot[k].state != BLK_J_DONE;
	}
	return any;
}

/* ------------------------------------------------------------------ recovery */

static bool status_known(int16_t status)
{
	return status == BLKIF_RSP_OKAY || status == BLKIF_RSP_ERROR || status == BLKIF_RSP_EOPNOTSUPP;
}

/* One slot by itself. */
static const char *judge(const struct blk_journal_slot *s)
{
	if (s->state == BLK_J_FREE)
		return NULL;
	if (s->state != BLK_J_INFLIGHT && s->state != BLK_J_DONE)
		return "a slot is in no known state";
	if (s->bytes == 0 || s->bytes > BLK_SLOT_MAX || s->bytes % 8 || s->check != check_of(s))
		return "a request is damaged";
	if (s->seq == 0)
		return "a request has no place in the order";
	if (s->state == BLK_J_DONE && !status_known(s->status))
		return "an answer has an unknown status";
	return NULL;
}

/* The slot was filled for the request at req_cons, but never counted as taken. */
static bool never_taken(const struct blk_journal_queue *j, const struct blk_journal_slot *s)
{
	return s->state == BLK_J_INFLIGHT && s->ring_idx == j->req_cons;
}

static void insert_by_seq(const struct blk_journal_queue *j, struct blk_journal_found *f, uint16_t slot)
{
	uint32_t i = f->nr_inflight++;

	for (; i > 0 && j->slot[f->inflight[i - 1]].seq > j->slot[slot].seq; i--)
		f->inflight[i] = f->inflight[i - 1];
	f->inflight[i] = slot;
}

/* All slots: what is to be answered again by where, what is to be done by when.  What is to be freed is in neither. */
static const char *sort_slots(const struct blk_journal_queue *j, uint32_t rsp_prod, struct blk_journal_found *f)
{
	const uint32_t nr = j->nr_ents;
	const char *why;

	memset(f->done, 0xff, nr * sizeof(*f->done));
	for (uint32_t i = 0; i < nr; i++) {
		const struct blk_journal_slot *s = &j->slot[i];
		uint32_t at = s->rsp_idx - rsp_prod;

		why = judge(s);
		if (why)
			return why;
		if (s->state == BLK_J_FREE || never_taken(j, s))
			continue;
		f->last_seq = MAX(f->last_seq, s->seq);
		if (s->state == BLK_J_INFLIGHT) {
			insert_by_seq(j, f, (uint16_t)i);
			continue;
		}
		if (s->rsp_idx - j->rsp_base >= nr)
			return "an answer belongs nowhere in the ring";
		if (s->rsp_idx - j->rsp_base < rsp_prod - j->rsp_base)
			continue; /* published: the front end may have put another request there */
		if (at >= nr || f->done[at] != UINT16_MAX)
			return "two answers belong to one place";
		f->done[at] = (uint16_t)i;
		f->nr_done++;
	}
	for (uint32_t i = 0; i < f->nr_done; i++)
		if (f->done[i] == UINT16_MAX)
			return "an answer is missing";
	for (uint32_t i = 1; i < f->nr_inflight; i++)
		if (j->slot[f->inflight[i - 1]].seq == j->slot[f->inflight[i]].seq)
			return "two requests have one place in the order";
	/* What was taken is answered in the ring, to be answered, or in flight. */
	if (f->nr_inflight + f->nr_done != j->req_cons - rsp_prod)
		return "it does not fit the ring";
	return NULL;
}

int blk_journal_recover(struct blk_journal_queue *j, uint32_t nr_ents, uint32_t rsp_prod, bool blame,
			struct blk_journal_found *f, const char **why)
{
	*why = NULL;
	f->nr_done = f->nr_inflight = 0;
	f->last_seq = 0;
	f->req_cons = j->req_cons;
	/* The guest can write rsp_prod, a predecessor that was taken over the rest. */
	if (j->nr_ents != nr_ents)
		*why = "it is of a ring of another size";
	else if (rsp_prod - j->rsp_base > nr_ents || j->req_cons - rsp_prod > nr_ents)
		*why = "it does not fit the ring";
	else
		*why = sort_slots(j, rsp_prod, f);
	if (*why)
		return -EBADMSG;
	CRASH_POINT("recover.validate");
	for (uint32_t i = 0; i < nr_ents; i++) {
		struct blk_journal_slot *s = &j->slot[i];

		if (s->state == BLK_J_DONE && s->rsp_idx - j->rsp_base < rsp_prod - j->rsp_base)
			set_state(s, BLK_J_FREE);
		else if (never_taken(j, s))
			set_state(s, BLK_J_FREE);
		else if (s->state == BLK_J_INFLIGHT && !blame && s->attempts > 0)
			s->attempts--;
	}
	CRASH_POINT("recover.free");
	return 0;
}

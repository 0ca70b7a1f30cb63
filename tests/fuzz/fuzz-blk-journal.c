/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-blk-journal.c - libFuzzer target: a disk's journal.  Either any bytes are found in it (a worker that was taken over left them),
 * or it was kept by a worker that died at any step of taking, completing and recovering, as often as the input likes: then no
 * request may be lost or answered twice.
 * Input: byte 0: which.  Any bytes: a queue's part.  Deaths: a byte a step of the worker, and how many steps each life has.
 */
#include "tests/fuzz/mortal.h"
#include "backend/block/blk-journal.c"
#include "tests/fuzz/fuzz.h"

#define ENTS     8u
#define REQUESTS 4096u

struct found {
	struct blk_journal_found f;
	uint16_t done[ENTS], inflight[ENTS];
};

static void found_init(struct found *f)
{
	memset(f, 0xa5, sizeof(*f));
	f->f.done = f->done;
	f->f.inflight = f->inflight;
}

static size_t part_bytes(void)
{
	return sizeof(struct blk_journal_queue) + ENTS * sizeof(struct blk_journal_slot);
}

/* ------------------------------------------------------------------ any bytes */

static void in_range(const struct blk_journal_queue *j, const struct found *f, uint32_t rsp_prod)
{
	uint32_t seen = 0;
	uint64_t seq = 0;

	must(f->f.nr_done <= ENTS && f->f.nr_inflight <= ENTS &&
	     f->f.nr_done + f->f.nr_inflight == j->req_cons - rsp_prod);
	for (uint32_t i = 0; i < f->f.nr_done; i++) {
		must(f->done[i] < ENTS && !(seen & 1u << f->done[i]));
		must(j->slot[f->done[i]].state == BLK_J_DONE && j->slot[f->done[i]].rsp_idx == rsp_prod + i);
		seen |= 1u << f->done[i];
	}
	for (uint32_t i = 0; i < f->f.nr_inflight; i++) {
		const struct blk_journal_slot *s = &j->slot[f->inflight[i]];

		must(f->inflight[i] < ENTS && !(seen & 1u << f->inflight[i]));
		must(s->state == BLK_J_INFLIGHT && s->seq > seq && s->bytes <= BLK_SLOT_MAX);
		seen |= 1u << f->inflight[i];
		seq = s->seq;
	}
	/* all others are free now */
	for (uint32_t i = 0; i < ENTS; i++)
		must((seen & 1u << i) || j->slot[i].state == BLK_J_FREE);
}

static void any_bytes(struct feed *f, uint8_t how)
{
	struct blk_journal_queue *j = malloc(part_bytes()), *was = malloc(part_bytes());
	uint32_t rsp_prod = feed_u32(f);
	const char *why = "never set";
	struct found found;
	int rc;

	must(j && was);
	feed_bytes(f, j, part_bytes());
	if (how & 2) { /* a liar who knows the format */
		j->nr_ents = ENTS;
		j->rsp_base = rsp_prod - (how >> 6);
		j->req_cons = rsp_prod + (j->req_cons & 15);
		for (uint32_t i = 0; i < ENTS; i++) {
			struct blk_journal_slot *s = &j->slot[i];
			static const uint8_t states[4] = { BLK_J_FREE, BLK_J_INFLIGHT, BLK_J_DONE, BLK_J_INFLIGHT };

			if (how & 4)
				s->state = states[s->state & 3];
			if (how & 8)
				s->bytes = BLK_SLOT_MAX;
			if (how & 16)
				s->rsp_idx = rsp_prod + (s->rsp_idx & 15) - 4;
			if ((how & 32) && s->bytes <= BLK_SLOT_MAX)
				s->check = check_of(s);
		}
	}
	memcpy(was, j, part_bytes());
	found_init(&found);
	rc = blk_journal_recover(j, ENTS, rsp_prod, how & 1, &found.f, &why);
	must(rc == 0 || rc == -EBADMSG);
	if (rc) {
		must(why && *why && memcmp(was, j, part_bytes()) == 0);
	} else {
		must(!why);
		in_range(j, &found, rsp_prod);
	}
	free(j);
	free(was);
}

/* ------------------------------------------------------------------ deaths */

/* What outlives a worker: the ring, the journal, and what the guest has seen. */
static struct {
	struct blk_journal_queue *j;
	uint32_t req_prod, rsp_prod; /* in the ring */
	uint32_t rsp[ENTS];          /* placed in it: the request's number */
	uint32_t seen;               /* by the guest: up to rsp_prod */
	uint8_t answered[REQUESTS];
	uint8_t claimed[REQUESTS];
} world;

/* What does not. */
struct life {
	uint64_t seq;
	uint32_t rsp_prod;
	bool used[ENTS];
};

static uint32_t number_of(const struct blk_journal_slot *s)
{
	uint32_t n;

	memcpy(&n, s->request, sizeof(n));
	return n;
}

/* The guest looks: each answer is to a request of its own, and is the first. */
static void guest_looks(void)
{
	must(world.rsp_prod - world.seen <= ENTS && world.req_prod - world.rsp_prod <= ENTS);
	for (; world.seen != world.rsp_prod; world.seen++) {
		uint32_t n = world.rsp[world.seen % ENTS];

		must(n < world.req_prod && !world.answered[n]);
		world.answered[n] = 1;
	}
}

static void take(struct life *l)
{
	uint8_t request[BLK_SLOT_MAX] = { 0 };
	uint32_t slot = 0, n = world.j->req_cons;

	while (slot < ENTS && l->used[slot])
		slot++;
	if (slot == ENTS || n == world.req_prod)
		return;
	memcpy(request, &n, sizeof(n));
	request[8] = (uint8_t)n;
	blk_journal_take(world.j, slot, ++l->seq, request, 16);
	l->used[slot] = true;
}

static void claim_some(struct life *l, uint8_t which)
{
	for (uint16_t i = 0; i < ENTS; i++)
		if (l->used[i] && (which & 1u << i)) {
			world.claimed[number_of(&world.j->slot[i])] = 1;
			blk_journal_claimed(world.j, i);
		}
}

/* Answer @slots, as blk-queue.c does: base, done, ring, publish, free. */
static void complete(struct life *l, const uint16_t *slots, uint32_t nr)
{
	blk_journal_base(world.j, l->rsp_prod);
	for (uint32_t i = 0; i < nr; i++)
		blk_journal_done(world.j, slots[i], BLKIF_RSP_OKAY, l->rsp_prod + i);
	for (uint32_t i = 0; i < nr; i++) {
		world.rsp[l->rsp_prod++ % ENTS] = number_of(&world.j->slot[slots[i]]);
		crash_point("complete.write");
	}
	world.rsp_prod = l->rsp_prod;
	guest_looks();
	crash_point("complete.publish");
	for (uint32_t i = 0; i < nr; i++) {
		blk_journal_free(world.j, slots[i]);
		l->used[slots[i]] = false;
	}
}

static void complete_some(struct life *l, uint8_t which)
{
	uint16_t slots[ENTS];
	uint32_t nr = 0;

	for (uint16_t i = 0; i < ENTS; i++)
		if (l->used[i] && (which & 1u << i))
			slots[nr++] = i;
	if (nr)
		complete(l, slots, nr);
}

static void recover(struct life *l)
{
	const char *why;
	struct found f;

	memset(l, 0, sizeof(*l));
	found_init(&f);
	must(blk_journal_recover(world.j, ENTS, world.rsp_prod, true, &f.f, &why) == 0);
	in_range(world.j, &f, world.rsp_prod);
	l->seq = f.f.last_seq;
	l->rsp_prod = world.rsp_prod;
	for (uint32_t i = 0; i < f.f.nr_done; i++) {
		world.rsp[l->rsp_prod++ % ENTS] = number_of(&world.j->slot[f.done[i]]);
		crash_point("recover.rewrite");
	}
	world.rsp_prod = l->rsp_prod;
	guest_looks();
	crash_point("recover.publish");
	for (uint32_t i = 0; i < f.f.nr_done; i++)
		blk_journal_free(world.j, f.done[i]);
	for (uint32_t i = 0; i < f.f.nr_inflight; i++) {
		bool claimed = world.claimed[number_of(&world.j->slot[f.inflight[i]])];

		must(blk_journal_claim(world.j, f.inflight[i]) == (claimed ? BLK_J_CLAIMED : BLK_J_WAITS));
		blk_journal_attempt(world.j, f.inflight[i]);
		l->used[f.inflight[i]] = true;
	}
}

static void live(struct feed *f, struct life *l)
{
	while (f->left) {
		uint8_t what = feed_u8(f);

		switch (what & 3) {
		case 0: /* the guest asks, if there is room */
			for (int i = 0;
			     i < 1 + (what >> 5) && world.req_prod - world.seen < ENTS && world.req_prod < REQUESTS;
			     i++)
				world.req_prod++;
			break;
		case 1:
			take(l);
			if (what & 4)
				claim_some(l, what);
			break;
		case 2:
			complete_some(l, feed_u8(f));
			break;
		default: /* so long it has to live */
			mortal = true;
			steps_left = what >> 2;
		}
	}
}

static void deaths(struct feed *f)
{
	static struct life l; /* not in a register when it dies */

	memset(&world, 0, sizeof(world));
	world.j = calloc(1, part_bytes());
	must(world.j);
	blk_journal_format(world.j, ENTS, 0);
	mortal = false;
	if (sigsetjmp(grave, 0))
		mortal = f->left > 0; /* the last one lives on */
	if (f->left && mortal)
		steps_left = feed_u8(f) & 63;
	recover(&l);
	live(f, &l);
	mortal = false;
	/* Now all that was asked is done: each got its answer, and one. */
	while (world.j->req_cons != world.req_prod) {
		take(&l);
		complete_some(&l, 0xff);
	}
	complete_some(&l, 0xff);
	must(world.rsp_prod == world.req_prod);
	for (uint32_t i = 0; i < world.req_prod; i++)
		must(world.answered[i]);
	free(world.j);
}

/* Each queue's part lies in the class's part, by itself. */
static void layout(uint8_t how)
{
	const struct wire_connect c = { .abi = how & 3,
					.order = (how >> 2) % (WIRE_MAX_ORDER + 1),
					.nr_queues = 1 + (how >> 5) };
	uint64_t bytes = blk_journal_bytes(&c);
	uint8_t *part = malloc(bytes);

	must(part && bytes % 64 == 0);
	for (uint32_t i = 0; i < c.nr_queues; i++) {
		struct blk_journal_queue *q = blk_journal_queue(part, &c, i);

		must((uint8_t *)q - part == (ptrdiff_t)(bytes / c.nr_queues * i));
		must(sizeof(*q) + entries(&c) * sizeof(q->slot[0]) <= bytes / c.nr_queues);
		memset(q, 0, sizeof(*q));
		blk_journal_format(q, entries(&c), 5);
	}
	free(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };
	uint8_t how = feed_u8(&f);

	layout(how);
	mortal = false;
	if (how == 0xff)
		deaths(&f);
	else
		any_bytes(&f, how);
	return 0;
}

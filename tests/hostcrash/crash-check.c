/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * crash-check.c - reads a log (crash-log.h) and makes the images that a crash of the host would have left, wherever in it.
 *
 *	crash-check create LOG
 *	crash-check LOG SECTORS [STATES-A-FLUSH [SEED]]
 *
 * What a store has synced is there; of the rest, each sector by itself may be there or not.  For each answered flush:
 * nothing of the rest, all of it, and subsets by chance, just after the guest was told (the worst moment: nothing has
 * been synced since that it need not have been) and at moments by chance until the next.
 *
 * Right is: each sector holds, whole, a write or trim that was asked before the crash, not older than the last one that was
 * answered before a flush was asked which was answered.
 */
#include <stdio.h>
#include "tests/hostcrash/crash-log.h"

struct op {
	enum crash_type type;
	uint64_t sector, nr; /* or of a store: bytes */
	const uint8_t *data;
	uint64_t id;
	const struct crash_record *begun, *done; /* NULL: not yet */
	bool kept;
};

struct table { /* by id */
	struct op *op;
	uint64_t nr, room;
};

struct check {
	struct crash_log *log;
	uint64_t sectors;
	uint8_t *image, *sum; /* what has been synced; with what has not */
	uint64_t *must;       /* a sector's oldest write that may be there */
	uint64_t *trimmed;    /* its latest trim */
	struct table guest, store;
	uint64_t *acked, nr_acked, acked_room; /* ids, in the order of their answers */
	uint64_t nr_owed;                      /* of acked: those in must[] */
	uint64_t *loose, nr_loose, loose_room; /* the store's not synced, in the order they began */
	uint64_t states, wrong, flushes, loose_seen, owed_seen, rng, nr_subsets;
};

static void *room_for(void *p, uint64_t nr, uint64_t *room, size_t size)
{
	uint64_t old = *room;

	if (nr < *room)
		return p;
	*room = nr * 2 + 64;
	p = realloc(p, *room * size);
	if (!p)
		exit(2);
	memset((uint8_t *)p + old * size, 0, (*room - old) * size);
	return p;
}

static struct op *op_of(struct table *t, uint64_t id)
{
	t->op = room_for(t->op, id, &t->room, sizeof(*t->op));
	t->nr = MAX(t->nr, id + 1);
	return &t->op[id];
}

static uint64_t rnd(struct check *c)
{
	uint64_t x = c->rng += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* ------------------------------------------------------------------ one image */

/* NULL, or what is wrong with the sector. */
static const char *judge(struct check *c, const uint8_t *image, uint64_t sector)
{
	static const uint8_t zeros[SECTOR_BYTES];
	const uint8_t *p = image + sector * SECTOR_BYTES;
	uint8_t want[SECTOR_BYTES];
	uint64_t id;
	const struct op *o;

	if (memcmp(p, zeros, SECTOR_BYTES) == 0)
		return c->must[sector] == 0 || c->trimmed[sector] >= c->must[sector] ? NULL
										     : "an answered write is lost";
	memcpy(&id, p + 8, 8);
	if (id >= c->guest.nr)
		return "it holds what nobody wrote";
	o = &c->guest.op[id];
	crash_sector(want, sector, id);
	if (o->type != GUEST_WRITE || sector - o->sector >= o->nr || memcmp(p, want, SECTOR_BYTES) != 0)
		return "it holds what nobody wrote there";
	return id >= c->must[sector] ? NULL : "an answered write is lost, an older one is there";
}

static void judge_range(struct check *c, const uint8_t *image, uint64_t from, uint64_t nr)
{
	for (uint64_t s = from; s < from + nr; s++) {
		const char *why = judge(c, image, s);

		if (!why)
			continue;
		if (c->wrong++ < 5)
			printf("after flush %llu, sector %llu: %s (owed: request %llu)\n",
			       (unsigned long long)c->flushes, (unsigned long long)s, why,
			       (unsigned long long)c->must[s]);
	}
}

static void put(uint8_t *image, const struct op *o, uint64_t sector)
{
	uint8_t *to = image + o->sector * SECTOR_BYTES + sector * SECTOR_BYTES;

	if (o->data)
		memcpy(to, o->data + sector * SECTOR_BYTES, SECTOR_BYTES);
	else
		memset(to, 0, SECTOR_BYTES);
}

/* The image with each loose sector there with a chance of @percent; then undone. */
static void try_state(struct check *c, uint64_t percent)
{
	for (uint64_t i = 0; i < c->nr_loose; i++) {
		const struct op *o = &c->store.op[c->loose[i]];

		for (uint64_t s = 0; s < o->nr; s++)
			if (rnd(c) % 100 < percent)
				put(c->sum, o, s);
	}
	for (uint64_t i = 0; i < c->nr_loose; i++)
		judge_range(c, c->sum, c->store.op[c->loose[i]].sector, c->store.op[c->loose[i]].nr);
	for (uint64_t i = 0; i < c->nr_loose; i++) {
		const struct op *o = &c->store.op[c->loose[i]];

		memcpy(c->sum + o->sector * SECTOR_BYTES, c->image + o->sector * SECTOR_BYTES, o->nr * SECTOR_BYTES);
	}
	c->states++;
}

/* A crash here. */
static void crash(struct check *c, uint64_t subsets, bool whole)
{
	if (whole)
		judge_range(c, c->image, 0, c->sectors);
	try_state(c, 0);
	try_state(c, 100);
	for (uint64_t i = 0; i < subsets; i++)
		try_state(c, 10 + rnd(c) % 81);
	c->loose_seen += c->nr_loose;
}

/* ------------------------------------------------------------------ the log */

static void guest_asked(struct check *c, const struct crash_record *r)
{
	*op_of(&c->guest,
	       r->id) = (struct op){ .type = (enum crash_type)r->type, .sector = r->at, .nr = r->nr, .id = r->id };
	if (r->type == GUEST_FLUSH)
		c->guest.op[r->id].nr = c->nr_acked; /* what it has to cover */
	if (r->type == GUEST_TRIM)
		for (uint64_t s = r->at; s < r->at + r->nr; s++)
			c->trimmed[s] = r->id;
}

static void guest_answered(struct check *c, const struct crash_record *r)
{
	c->acked = room_for(c->acked, c->nr_acked, &c->acked_room, sizeof(*c->acked));
	c->acked[c->nr_acked++] = r->id;
}

static void guest_flushed(struct check *c, const struct crash_record *r)
{
	uint64_t covers = op_of(&c->guest, r->id)->nr;

	for (; c->nr_owed < covers; c->nr_owed++) {
		const struct op *o = &c->guest.op[c->acked[c->nr_owed]];

		for (uint64_t s = o->sector; s < o->sector + o->nr; s++)
			c->must[s] = MAX(c->must[s], o->id);
		c->owed_seen += o->nr;
	}
	c->flushes++;
	crash(c, c->nr_subsets, true);
}

static void store_began(struct check *c, const struct crash_record *r)
{
	struct op *o = op_of(&c->store, r->id);

	*o = (struct op){ .type = (enum crash_type)r->type,
			  .sector = r->at / SECTOR_BYTES,
			  .nr = r->nr / SECTOR_BYTES,
			  .id = r->id,
			  .begun = r };
	o->data = r->type == STORE_WRITES ? r->data : NULL;
	if (r->type == STORE_SYNCS || r->at + r->nr > c->sectors * SECTOR_BYTES)
		return; /* past the end: a question whether the file system can make holes */
	c->loose = room_for(c->loose, c->nr_loose, &c->loose_room, sizeof(*c->loose));
	c->loose[c->nr_loose++] = r->id;
}

/* All that was done before the sync began is kept from here on. */
static void store_synced(struct check *c, const struct crash_record *r)
{
	const struct crash_record *begun = op_of(&c->store, r->id)->begun;
	uint64_t left = 0;

	for (uint64_t i = 0; i < c->nr_loose; i++) {
		const struct op *o = &c->store.op[c->loose[i]];

		if (!o->done || o->done > begun) {
			c->loose[left++] = c->loose[i];
			continue;
		}
		for (uint64_t s = 0; s < o->nr; s++) {
			put(c->image, o, s);
			put(c->sum, o, s);
		}
	}
	c->nr_loose = left;
	crash(c, 1, false);
}

static bool read_log(struct check *c)
{
	uint64_t at = 0;

	while (at < c->log->head) {
		const struct crash_record *r = (void *)(c->log->records + at);

		if (r->bytes < sizeof(*r)) {
			printf("the log ends in the middle\n");
			return false;
		}
		at += r->bytes;
		switch ((enum crash_type)r->type) {
		case GUEST_WRITE:
		case GUEST_TRIM:
		case GUEST_FLUSH:
			guest_asked(c, r);
			break;
		case GUEST_DONE:
			guest_answered(c, r);
			break;
		case GUEST_FLUSHED:
			guest_flushed(c, r);
			break;
		case STORE_WRITES:
		case STORE_TRIMS:
		case STORE_SYNCS:
			store_began(c, r);
			break;
		case STORE_DID:
			op_of(&c->store, r->id)->done = r;
			break;
		case STORE_SYNCED:
			store_synced(c, r);
			break;
		case CRASH_NONE: /* of one who was killed in the middle of it */
			break;
		}
		if (rnd(c) % 16 == 0)
			crash(c, 1, false);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct check c = { .nr_subsets = 8 };
	bool whole, right;

	if (argc == 3 && strcmp(argv[1], "create") == 0)
		return crash_log_open(argv[2], true) ? 0 : 1;
	if (argc < 3) {
		fprintf(stderr, "usage: crash-check create LOG | LOG SECTORS [STATES-A-FLUSH [SEED]]\n");
		return 2;
	}
	c.log = crash_log_open(argv[1], false);
	c.sectors = strtoull(argv[2], NULL, 0);
	if (argc > 3)
		c.nr_subsets = strtoull(argv[3], NULL, 0);
	c.rng = argc > 4 ? strtoull(argv[4], NULL, 0) : 1;
	c.image = calloc(c.sectors, SECTOR_BYTES);
	c.sum = calloc(c.sectors, SECTOR_BYTES);
	c.must = calloc(c.sectors, sizeof(*c.must));
	c.trimmed = calloc(c.sectors, sizeof(*c.trimmed));
	if (!c.log || !c.image || !c.sum || !c.must || !c.trimmed) {
		fprintf(stderr, "crash-check: cannot start\n");
		return 2;
	}
	whole = read_log(&c);
	printf("%llu flushes, %llu states, %llu sectors owed, %.1f operations loose at a crash, %llu wrong\n",
	       (unsigned long long)c.flushes, (unsigned long long)c.states, (unsigned long long)c.owed_seen,
	       c.states ? (double)c.loose_seen / (double)c.states : 0, (unsigned long long)c.wrong);
	right = whole && c.wrong == 0 && c.owed_seen > 0;
	free(c.image);
	free(c.sum);
	free(c.must);
	free(c.trimmed);
	free(c.guest.op);
	free(c.store.op);
	free(c.acked);
	free(c.loose);
	return right ? 0 : 1;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-blk-overlap.c - no two requests that overlap are under way together, unless both read; all others are. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/block/blk-overlap.h"

#define NR          16u
#define CELL        8u                         /* sectors of a cell */
#define FOLD        (BLK_OVERLAP_CELLS * CELL) /* as far apart, two sectors share a cell */
#define RANDOM_ACTS 20000u
#define ROUNDS      20000u /* a thread */
#define DISK        64u    /* sectors the threads fight for */
#define ALL         (3u * FOLD)

static struct blk_overlap o;
static struct blk_table t[2]; /* of two rings */
static struct blk_journal_queue *journal[2];

static int make(bool shared)
{
	for (uint32_t i = 0; i < 2; i++) {
		journal[i] = calloc(1, sizeof(*journal[i]) + NR * sizeof(journal[i]->slot[0]));
		if (!journal[i])
			return -1;
	}
	if (blk_overlap_init(&o, shared) < 0)
		return -1;
	for (uint32_t i = 0; i < 2; i++)
		if (blk_table_init(&t[i], NR) < 0 || blk_overlap_add_ring(&o, &t[i]) < 0)
			return -1;
	return 0;
}

static int unmake(void **state)
{
	blk_overlap_fini(&o);
	blk_overlap_fini(&o); /* idempotent */
	for (uint32_t i = 0; i < 2; i++) {
		blk_table_fini(&t[i]);
		free(journal[i]);
	}
	return 0;
}

static int one_ring(void **state)
{
	return make(false);
}

static int two_rings(void **state)
{
	return make(true);
}

static struct blk_slot *take(struct blk_table *tab, enum blk_kind kind, uint64_t sector, uint64_t nr)
{
	struct blk_slot *s = blk_table_take(tab, 1);

	s->req = (struct blk_req){ .kind = (uint8_t)kind, .sector = sector, .nr_sectors = nr };
	blk_slot_parsed(tab, s);
	return s;
}

static struct blk_table *table_of(const struct blk_slot *s)
{
	return s >= t[0].slots && s < t[0].slots + NR ? &t[0] : &t[1];
}

static bool claim(struct blk_slot *s)
{
	return blk_overlap_claim(&o, table_of(s), s);
}

static void release(struct blk_slot *s)
{
	blk_overlap_release(&o, table_of(s), s);
}

static void assert_nothing_is_counted(void)
{
	for (uint32_t i = 0; i < BLK_OVERLAP_CELLS; i++)
		assert_int_equal(o.cell[i], 0);
}

/* When nothing is claimed nothing is counted, and nothing published. */
static void assert_empty(void)
{
	assert_nothing_is_counted();
	assert_int_equal(o.discards, 0);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(o.ring[i].discards, 0);
		for (uint32_t k = 0; k < NR; k++)
			assert_int_equal(o.ring[i].range[k].end, 0);
	}
}

/* @b, while @a is under way: waits or goes, and goes in any case once @a is over. */
static void together(struct blk_slot *a, struct blk_slot *b, bool go)
{
	assert_true(claim(a));
	assert_int_equal(claim(b), go);
	release(a);
	assert_true(claim(b));
	release(b);
	assert_empty();
	a->state = b->state = BLK_FREE;
}

static void only_readers_share_sectors(void **state)
{
	static const struct {
		enum blk_kind a, b;
		bool go;
	} pairs[] = {
		{ BLK_READ, BLK_READ, true },      { BLK_READ, BLK_WRITE, false },
		{ BLK_WRITE, BLK_READ, false },    { BLK_WRITE, BLK_WRITE, false },
		{ BLK_READ, BLK_DISCARD, false },  { BLK_DISCARD, BLK_READ, false },
		{ BLK_DISCARD, BLK_WRITE, false }, { BLK_BARRIER, BLK_READ, false },
		{ BLK_WRITE, BLK_BARRIER, false }, { BLK_FLUSH, BLK_WRITE, false },
		{ BLK_DISCARD, BLK_FLUSH, false }, { BLK_DISCARD, BLK_DISCARD, false },
	};

	const bool shared = o.shared;

	for (uint32_t ring = 0; ring < (shared ? 2u : 1u); ring++)
		for (uint32_t i = 0; i < ARRAY_SIZE(pairs); i++) {
			together(take(&t[0], pairs[i].a, 100, 16), take(&t[ring], pairs[i].b, 107, 3), pairs[i].go);
			together(take(&t[0], pairs[i].a, 100, 16), take(&t[ring], pairs[i].b, 115, 16), pairs[i].go);
			together(take(&t[0], pairs[i].a, 100, 16), take(&t[ring], pairs[i].b, 80, 21), pairs[i].go);
			together(take(&t[0], pairs[i].a, 100, 1), take(&t[ring], pairs[i].b, 100, 1), pairs[i].go);
			unmake(NULL);
			assert_int_equal(make(shared), 0);
		}
}

static void neighbours_in_one_ring_do_not_wait(void **state)
{
	together(take(&t[0], BLK_WRITE, 100, 4), take(&t[0], BLK_WRITE, 104, 4), true); /* of one cell */
	together(take(&t[0], BLK_WRITE, 104, 4), take(&t[0], BLK_READ, 100, 4), true);
	together(take(&t[0], BLK_WRITE, 3, 5), take(&t[0], BLK_WRITE, FOLD + 3, 5), true); /* folded onto one */
}

/* Of another ring it is only known that it has something there: it waits, which is safe. */
static void neighbours_in_two_rings_wait(void **state)
{
	together(take(&t[0], BLK_WRITE, 100, 4), take(&t[1], BLK_WRITE, 96, 4), false);
	together(take(&t[0], BLK_WRITE, 3, 5), take(&t[1], BLK_WRITE, FOLD + 3, 5), false);
	together(take(&t[0], BLK_READ, 100, 4), take(&t[1], BLK_READ, 96, 4), true);
	together(take(&t[0], BLK_WRITE, 100, 4), take(&t[1], BLK_WRITE, 104, 4), true); /* of the next cell */
}

/* The cell is busy, but with requests of the same ring that do not touch its sectors. */
static void own_neighbours_are_told_from_others(void **state)
{
	struct blk_slot *a = take(&t[0], BLK_WRITE, 96, 2), *b = take(&t[0], BLK_READ, 98, 2);
	struct blk_slot *c = take(&t[0], BLK_WRITE, 100, 2), *d = take(&t[1], BLK_READ, 102, 2);

	assert_true(claim(a) && claim(b) && claim(c));
	assert_false(claim(d));
	release(a);
	assert_false(claim(d)); /* c is left */
	release(c);
	assert_true(claim(d));  /* both read */
	assert_false(claim(c)); /* and now the other ring's is in the way */
	release(d);
	assert_true(claim(c));
	release(c);
	release(b);
	assert_empty();
}

/* However long it is, and however long it takes. */
static void a_discard_holds_up_only_what_it_overlaps(void **state)
{
	static const struct {
		enum blk_kind kind;
		uint64_t sector, nr;
		bool go;
	} others[] = {
		{ BLK_READ, 100, 8, false },        { BLK_WRITE, 2 * FOLD, 8, false },
		{ BLK_WRITE, ALL + 4, 1, false },   { BLK_READ, 0, 6, false },
		{ BLK_READ, 0, 5, true },           { BLK_WRITE, ALL + 5, 3, true },
		{ BLK_DISCARD, 0, 6, false },       { BLK_DISCARD, 0, 5, true },
		{ BLK_DISCARD, 0, ALL * 2, false }, { BLK_DISCARD, ALL + 5, ALL, true },
	};
	const bool shared = o.shared;

	for (uint32_t i = 0; i < ARRAY_SIZE(others); i++) {
		const uint64_t sector = others[i].sector, nr = others[i].nr;

		together(take(&t[0], BLK_DISCARD, 5, ALL), take(&t[shared], others[i].kind, sector, nr), others[i].go);
		together(take(&t[shared], others[i].kind, sector, nr), take(&t[0], BLK_DISCARD, 5, ALL), others[i].go);
		unmake(NULL);
		assert_int_equal(make(shared), 0);
	}
}

static void a_discard_is_not_counted_in_cells(void **state)
{
	struct blk_slot *d = take(&t[0], BLK_DISCARD, 0, ALL);

	assert_true(claim(d));
	assert_nothing_is_counted();
	release(d);
	assert_empty();
}

/* As long as there is always somebody who reads there it would never go. */
static void what_comes_after_a_discard_that_waits_waits_for_it(void **state)
{
	struct blk_table *other = &t[o.shared];
	struct blk_slot *before = take(other, BLK_READ, 100, 8), *d = take(&t[0], BLK_DISCARD, 64, ALL);
	struct blk_slot *after = take(other, BLK_READ, 200, 8), *elsewhere = take(other, BLK_WRITE, 0, 64);
	struct blk_slot *d2 = take(other, BLK_DISCARD, 63, 2);

	assert_true(claim(before));
	assert_false(claim(d));
	assert_false(claim(after));
	assert_false(claim(d2));
	assert_true(claim(elsewhere));
	release(elsewhere);
	assert_false(claim(d));
	release(before);
	assert_false(claim(after));
	assert_true(claim(d));
	assert_false(claim(after));
	assert_false(claim(d2));
	release(d);
	assert_true(claim(after));
	assert_true(claim(d2));
	release(after);
	release(d2);
	assert_empty();
}

/* As one that is refused after all: nobody waits for it any more. */
static void a_discard_that_waits_can_be_given_up(void **state)
{
	struct blk_slot *w = take(&t[0], BLK_WRITE, 100, 8), *d = take(&t[1], BLK_DISCARD, 0, ALL);
	struct blk_slot *r = take(&t[0], BLK_READ, 200, 8);

	assert_true(claim(w));
	assert_false(claim(d));
	assert_false(claim(r));
	release(d);
	assert_true(claim(r));
	release(r);
	release(w);
	assert_empty();
}

static void claims_and_releases_count_once(void **state)
{
	struct blk_slot *w = take(&t[0], BLK_WRITE, 0, 8), *f = take(&t[0], BLK_FLUSH, 0, 0);

	assert_true(claim(f)); /* of nothing */
	assert_false(f->claimed);
	release(f);
	assert_empty();
	assert_true(claim(w));
	assert_true(claim(w));
	release(w);
	release(w);
	assert_empty();
}

/* ------------------------------------------------------------------ what a dead worker leaves */

static struct blk_heritage left[2];

/* One more of its ring, and whether it had its claim. */
static struct blk_slot *was_under_way(uint32_t ring, enum blk_kind kind, uint64_t sector, uint64_t nr, bool claimed)
{
	struct blk_slot *s = take(&t[ring], kind, sector, nr), **tail = &left[ring].first;
	const uint8_t request[BLK_SLOT_MAX] = { (uint8_t)s->index };

	while (*tail)
		tail = &(*tail)->next;
	*tail = s;
	s->next = NULL;
	blk_journal_take(journal[ring], s->index, journal[ring]->req_cons + 1, request, 112);
	if (claimed)
		blk_journal_claimed(journal[ring], s->index);
	return s;
}

static void nothing_is_left(void)
{
	for (uint32_t i = 0; i < 2; i++)
		left[i] = (struct blk_heritage){ &t[i], journal[i], NULL };
}

static enum blk_journal_claim marked(const struct blk_slot *s)
{
	return blk_journal_claim(journal[s >= t[0].slots && s < t[0].slots + NR ? 0 : 1], s->index);
}

/* W waits for nobody, P and P1 for W. */
static void who_had_a_claim_has_it_before_who_had_none(void **state)
{
	struct blk_slot *w, *p, *p1, *f, *r;

	nothing_is_left();
	p = was_under_way(0, BLK_WRITE, 0, 8, false);
	w = was_under_way(1, BLK_WRITE, 0, 128, true);
	f = was_under_way(1, BLK_FLUSH, 0, 0, true);
	r = was_under_way(1, BLK_READ, 200, 8, true);
	p1 = was_under_way(1, BLK_WRITE, 120, 8, false);
	blk_overlap_inherit(&o, left, 2);
	assert_true(w->claimed && r->claimed && !f->claimed);
	assert_false(p->claimed || p1->claimed);
	assert_false(claim(p) || claim(p1));
	assert_false(claim(take(&t[0], BLK_WRITE, 200, 8))); /* a new one */
	release(w);
	assert_true(claim(p) && claim(p1));
	release(p);
	release(p1);
	release(r);
	assert_empty();
}

/* As a worker leaves it that does not know of them. */
static void forget_claims(void)
{
	for (uint32_t i = 0; i < NR; i++)
		journal[0]->slot[i].claim = journal[1]->slot[i].claim = 0;
}

/* Whatever is first of a ring waits for none behind it, so some go on always. */
static void where_claims_are_not_known_the_first_of_each_ring_get_them(void **state)
{
	struct blk_slot *p, *w, *p1;

	nothing_is_left();
	p = was_under_way(0, BLK_WRITE, 0, 8, true);
	w = was_under_way(1, BLK_WRITE, 0, 128, true);
	p1 = was_under_way(1, BLK_WRITE, 120, 8, true);
	forget_claims();
	assert_int_equal(marked(p), BLK_J_UNKNOWN);
	blk_overlap_inherit(&o, left, 2);
	assert_true(p->claimed && marked(p) == BLK_J_CLAIMED);
	assert_false(w->claimed || p1->claimed);
	assert_int_equal(marked(w), BLK_J_UNKNOWN);
	assert_false(claim(w));
	release(p);
	assert_true(claim(w));
	assert_false(claim(p1));
	release(w);
	assert_empty();
}

/* As an older program leaves it, which began some of what a newer one left. */
static void what_is_refused_gets_no_claim_and_holds_nobody_up(void **state)
{
	struct blk_slot *bad, *w, *unknown;

	nothing_is_left();
	bad = was_under_way(0, BLK_WRITE, 0, 8, false);
	bad->err = -ERANGE;
	w = was_under_way(0, BLK_WRITE, 0, 8, true);
	unknown = was_under_way(0, BLK_WRITE, 64, 8, true);
	journal[0]->slot[unknown->index].claim = 0;
	bad = was_under_way(0, BLK_WRITE, 64, 8, true);
	bad->err = -ERANGE;
	blk_overlap_inherit(&o, left, 1);
	assert_true(w->claimed && unknown->claimed && !bad->claimed);
	release(w);
	release(unknown);
	assert_empty();
}

/* A worker that was taken over may have marked any. */
static void false_marks_are_claims_that_end(void **state)
{
	struct blk_slot *a, *b, *w, *late;

	nothing_is_left();
	a = was_under_way(0, BLK_WRITE, 0, 8, true);
	b = was_under_way(0, BLK_WRITE, 0, 8, true);
	w = was_under_way(1, BLK_WRITE, 0, 8, false);
	late = was_under_way(1, BLK_WRITE, 64, 8, true); /* none behind one that waits has a claim */
	blk_overlap_inherit(&o, left, 2);
	assert_true(a->claimed && b->claimed && !w->claimed && !late->claimed);
	release(a);
	assert_false(claim(w));
	release(b);
	assert_empty();
	assert_true(claim(w));
	release(w);
}

/* Both were under way, and a discard only waited for one of them: it was published, which is no claim. */
static void discards_have_their_claims_again(void **state)
{
	struct blk_slot *d, *w, *waits, *r;

	nothing_is_left();
	d = was_under_way(0, BLK_DISCARD, 1024, ALL, true);
	w = was_under_way(1, BLK_WRITE, 0, 8, true);
	waits = was_under_way(1, BLK_DISCARD, 0, 1024, false);
	blk_overlap_inherit(&o, left, 2);
	assert_true(d->claimed && w->claimed && !waits->claimed);
	r = take(&t[0], BLK_READ, 512, 8);
	assert_true(claim(r)); /* nobody was before it */
	assert_false(claim(waits));
	release(r);
	assert_false(claim(take(&t[0], BLK_READ, 2048, 8)));
	assert_false(claim(waits));
	release(w);
	assert_true(claim(waits));
	release(d);
	release(waits);
	assert_empty();
}

static void discards_whose_claims_are_not_known_get_them_if_they_can(void **state)
{
	struct blk_slot *w, *d, *d2;

	nothing_is_left();
	w = was_under_way(0, BLK_WRITE, 0, 8, true);
	d = was_under_way(1, BLK_DISCARD, 8, ALL, true);
	d2 = was_under_way(1, BLK_DISCARD, 0, 8, true);
	forget_claims();
	blk_overlap_inherit(&o, left, 2);
	assert_true(w->claimed && d->claimed && !d2->claimed);
	release(w);
	assert_true(claim(d2));
	release(d);
	release(d2);
	assert_empty();
}

static void false_marks_of_discards_are_claims_that_end(void **state)
{
	struct blk_slot *d, *d2, *w, *r;

	nothing_is_left();
	d = was_under_way(0, BLK_DISCARD, 0, ALL, true);
	d2 = was_under_way(0, BLK_DISCARD, 0, 8, true);
	w = was_under_way(1, BLK_WRITE, 0, 8, true);
	r = was_under_way(1, BLK_READ, 0, 8, false);
	blk_overlap_inherit(&o, left, 2);
	assert_true(d->claimed && d2->claimed && w->claimed && !r->claimed);
	release(d);
	assert_false(claim(r));
	release(d2);
	assert_false(claim(take(&t[0], BLK_READ, 0, 8))); /* the write is left */
	release(w);
	assert_true(claim(r));
	release(r);
	assert_empty();
}

/* ------------------------------------------------------------------ by chance */

static uint32_t roll(uint64_t *x, uint32_t below)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*x >> 33) % below;
}

static bool truly_overlap(const struct blk_slot *a, const struct blk_slot *b, uint64_t grain)
{
	uint64_t a0 = a->req.sector / grain, a1 = (a->req.sector + a->req.nr_sectors - 1) / grain;
	uint64_t b0 = b->req.sector / grain, b1 = (b->req.sector + b->req.nr_sectors - 1) / grain;

	return a0 <= b1 && b0 <= a1 && (a->req.kind != BLK_READ || b->req.kind != BLK_READ);
}

/*
 * Requests come and go: one that overlaps waits, in one ring nobody else does, in two nobody else but a neighbour in a
 * cell of the other ring's, and a discard is nobody's neighbour.
 */
static void as_the_plain_rule_says(void **state)
{
	static const enum blk_kind kinds[] = { BLK_READ, BLK_READ, BLK_WRITE, BLK_WRITE, BLK_DISCARD };
	struct blk_slot *live[2 * NR] = { NULL };
	uint64_t x = 1;
	uint32_t held = 0, gone = 0;

	for (uint32_t n = 0; n < RANDOM_ACTS; n++) {
		uint32_t i = roll(&x, 2 * NR), ring = o.shared ? i / NR : 0;
		bool overlaps = false, near = false, went;
		struct blk_slot *s;

		if (live[i]) {
			release(live[i]);
			live[i]->state = BLK_DONE;
			(void)blk_table_answer(&t[ring], live[i]);
			live[i] = NULL;
			continue;
		}
		if (!blk_table_open(&t[ring]))
			continue;
		s = take(&t[ring], kinds[roll(&x, ARRAY_SIZE(kinds))], roll(&x, 200), 1 + roll(&x, 24));
		for (uint32_t k = 0; k < 2 * NR; k++) {
			bool cells = live[k] && live[k]->req.kind != BLK_DISCARD && s->req.kind != BLK_DISCARD;

			overlaps |= live[k] && truly_overlap(live[k], s, 1);
			near |= cells && (o.shared ? k / NR : 0) != ring && truly_overlap(live[k], s, CELL);
		}
		went = claim(s);
		assert_false(went && overlaps);
		assert_false(!went && !overlaps && !near);
		held += !went;
		gone += went;
		if (went) {
			live[i] = s;
		} else {
			release(s); /* a discard was published */
			s->state = BLK_DONE;
			(void)blk_table_answer(&t[ring], s);
		}
	}
	assert_true(held > RANDOM_ACTS / 20 && gone > RANDOM_ACTS / 20);
	for (uint32_t i = 0; i < 2 * NR; i++)
		if (live[i])
			release(live[i]);
	assert_empty();
}

/* Each ring's thread writes who it is into the sectors it was given, and must find nobody else there. */
static uint32_t owner[DISK];
static uint32_t broken; /* atomic, as owner[] */

static void *fight(void *arg)
{
	struct blk_table *tab = arg;
	uint32_t me = 1 + (uint32_t)(tab - t);
	uint64_t x = me;

	for (uint32_t n = 0; n < ROUNDS; n++) {
		struct blk_slot *s = take(tab, roll(&x, 3) ? BLK_WRITE : BLK_DISCARD, roll(&x, DISK - 8),
					  1 + roll(&x, 8));

		while (!blk_overlap_claim(&o, tab, s))
			sched_yield();
		for (uint64_t i = 0; i < s->req.nr_sectors; i++)
			if (__atomic_exchange_n(&owner[s->req.sector + i], me, __ATOMIC_RELAXED) != 0)
				__atomic_store_n(&broken, 1, __ATOMIC_RELAXED);
		if (n % 64 == 0)
			sched_yield();
		for (uint64_t i = 0; i < s->req.nr_sectors; i++)
			if (__atomic_exchange_n(&owner[s->req.sector + i], 0, __ATOMIC_RELAXED) != me)
				__atomic_store_n(&broken, 1, __ATOMIC_RELAXED);
		release(s);
		s->state = BLK_DONE;
		(void)blk_table_answer(tab, s);
	}
	return NULL;
}

static void two_threads_are_kept_apart(void **state)
{
	pthread_t th[2];

	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&th[i], NULL, fight, &t[i]), 0);
	for (uint32_t i = 0; i < 2; i++)
		pthread_join(th[i], NULL);
	assert_int_equal(broken, 0);
	assert_empty();
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, one_ring, unmake)
#define TWO(f) cmocka_unit_test_setup_teardown(f, two_rings, unmake)
	static const struct CMUnitTest tests[] = {
		ONE(only_readers_share_sectors),
		TWO(only_readers_share_sectors),
		ONE(neighbours_in_one_ring_do_not_wait),
		TWO(neighbours_in_one_ring_do_not_wait),
		TWO(neighbours_in_two_rings_wait),
		TWO(own_neighbours_are_told_from_others),
		ONE(a_discard_holds_up_only_what_it_overlaps),
		TWO(a_discard_holds_up_only_what_it_overlaps),
		ONE(a_discard_is_not_counted_in_cells),
		ONE(what_comes_after_a_discard_that_waits_waits_for_it),
		TWO(what_comes_after_a_discard_that_waits_waits_for_it),
		TWO(a_discard_that_waits_can_be_given_up),
		ONE(claims_and_releases_count_once),
		TWO(claims_and_releases_count_once),
		TWO(who_had_a_claim_has_it_before_who_had_none),
		TWO(where_claims_are_not_known_the_first_of_each_ring_get_them),
		ONE(what_is_refused_gets_no_claim_and_holds_nobody_up),
		TWO(false_marks_are_claims_that_end),
		TWO(discards_have_their_claims_again),
		TWO(discards_whose_claims_are_not_known_get_them_if_they_can),
		TWO(false_marks_of_discards_are_claims_that_end),
		ONE(as_the_plain_rule_says),
		TWO(as_the_plain_rule_says),
		TWO(two_threads_are_kept_apart),
	};

	return cmocka_run_group_tests_name("blk-overlap", tests, NULL, NULL);
}

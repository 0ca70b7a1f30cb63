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
	if (blk_overlap_init(&o, shared) < 0 || blk_table_init(&t[0], NR) < 0)
		return -1;
	return blk_table_init(&t[1], NR);
}

static int one_ring(void **state)
{
	return make(false);
}

static int two_rings(void **state)
{
	return make(true);
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

static struct blk_slot *take(struct blk_table *tab, enum blk_kind kind, uint64_t sector, uint64_t nr)
{
	struct blk_slot *s = blk_table_take(tab, 1);

	s->req = (struct blk_req){ .kind = (uint8_t)kind, .sector = sector, .nr_sectors = nr };
	blk_slot_parsed(tab, s);
	return s;
}

static bool claim(struct blk_slot *s)
{
	return blk_overlap_claim(&o, s >= t[0].slots && s < t[0].slots + NR ? &t[0] : &t[1], s);
}

/* When nothing is claimed nothing is counted. */
static void assert_empty(void)
{
	for (uint32_t i = 0; i < BLK_OVERLAP_CELLS; i++)
		assert_int_equal(o.cell[i], 0);
}

/* @b, while @a is under way: waits or goes, and goes in any case once @a is over. */
static void together(struct blk_slot *a, struct blk_slot *b, bool go)
{
	assert_true(claim(a));
	assert_int_equal(claim(b), go);
	blk_overlap_release(&o, a);
	assert_true(claim(b));
	blk_overlap_release(&o, b);
	assert_empty();
	a->state = b->state = BLK_FREE;
}

static void only_readers_share_sectors(void **state)
{
	static const struct {
		enum blk_kind a, b;
		bool go;
	} pairs[] = {
		{ BLK_READ, BLK_READ, true },      { BLK_READ, BLK_WRITE, false },    { BLK_WRITE, BLK_READ, false },
		{ BLK_WRITE, BLK_WRITE, false },   { BLK_READ, BLK_DISCARD, false },  { BLK_DISCARD, BLK_READ, false },
		{ BLK_DISCARD, BLK_WRITE, false }, { BLK_BARRIER, BLK_READ, false },  { BLK_WRITE, BLK_BARRIER, false },
		{ BLK_FLUSH, BLK_WRITE, false },   { BLK_DISCARD, BLK_FLUSH, false },
	};

	for (uint32_t ring = 0; ring < (o.shared ? 2u : 1u); ring++)
		for (uint32_t i = 0; i < ARRAY_SIZE(pairs); i++) {
			together(take(&t[0], pairs[i].a, 100, 16), take(&t[ring], pairs[i].b, 107, 3), pairs[i].go);
			together(take(&t[0], pairs[i].a, 100, 16), take(&t[ring], pairs[i].b, 115, 16), pairs[i].go);
			together(take(&t[0], pairs[i].a, 100, 16), take(&t[ring], pairs[i].b, 80, 21), pairs[i].go);
			together(take(&t[0], pairs[i].a, 100, 1), take(&t[ring], pairs[i].b, 100, 1), pairs[i].go);
			blk_table_fini(&t[0]);
			blk_table_fini(&t[1]);
			assert_int_equal(blk_table_init(&t[0], NR) | blk_table_init(&t[1], NR), 0);
		}
}

static void neighbours_in_one_ring_do_not_wait(void **state)
{
	together(take(&t[0], BLK_WRITE, 100, 4), take(&t[0], BLK_WRITE, 104, 4), true); /* of one cell */
	together(take(&t[0], BLK_WRITE, 104, 4), take(&t[0], BLK_READ, 100, 4), true);
	together(take(&t[0], BLK_WRITE, 3, 5), take(&t[0], BLK_WRITE, FOLD + 3, 5), true); /* folded onto one */
	together(take(&t[0], BLK_DISCARD, 0, FOLD), take(&t[0], BLK_WRITE, FOLD, 1), true);
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
	blk_overlap_release(&o, a);
	assert_false(claim(d)); /* c is left */
	blk_overlap_release(&o, c);
	assert_true(claim(d));  /* both read */
	assert_false(claim(c)); /* and now the other ring's is in the way */
	blk_overlap_release(&o, d);
	assert_true(claim(c));
	blk_overlap_release(&o, c);
	blk_overlap_release(&o, b);
	assert_empty();
}

static void a_range_beyond_the_table_counts_each_cell_once(void **state)
{
	struct blk_slot *all = take(&t[0], BLK_DISCARD, 5, 3 * FOLD), *w = take(&t[0], BLK_WRITE, 3 * FOLD + 4, 1);

	assert_true(claim(all));
	for (uint32_t i = 0; i < BLK_OVERLAP_CELLS; i++)
		assert_int_equal(o.cell[i], o.cell[0]);
	assert_false(claim(w));
	blk_overlap_release(&o, all);
	assert_empty();
	w->req.sector = 3 * FOLD + 5; /* the first that is not of it */
	assert_true(claim(all));
	assert_true(claim(w));
	blk_overlap_release(&o, w);
	blk_overlap_release(&o, all);
	assert_empty();
}

static void claims_and_releases_count_once(void **state)
{
	struct blk_slot *w = take(&t[0], BLK_WRITE, 0, 8), *f = take(&t[0], BLK_FLUSH, 0, 0);

	assert_true(claim(f)); /* of nothing */
	assert_false(f->claimed);
	blk_overlap_release(&o, f);
	assert_empty();
	assert_true(claim(w));
	assert_true(claim(w));
	blk_overlap_release(&o, w);
	blk_overlap_release(&o, w);
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
	blk_overlap_release(&o, w);
	assert_true(claim(p) && claim(p1));
	blk_overlap_release(&o, p);
	blk_overlap_release(&o, p1);
	blk_overlap_release(&o, r);
	assert_empty();
}

/* Whatever is first of a ring waits for none behind it, so some go on always. */
static void where_claims_are_not_known_the_first_of_each_ring_get_them(void **state)
{
	struct blk_slot *p, *w, *p1;

	nothing_is_left();
	p = was_under_way(0, BLK_WRITE, 0, 8, true);
	w = was_under_way(1, BLK_WRITE, 0, 128, true);
	p1 = was_under_way(1, BLK_WRITE, 120, 8, true);
	for (uint32_t i = 0; i < NR; i++)
		journal[0]->slot[i].claim = journal[1]->slot[i].claim = 0;
	assert_int_equal(marked(p), BLK_J_UNKNOWN);
	blk_overlap_inherit(&o, left, 2);
	assert_true(p->claimed && marked(p) == BLK_J_CLAIMED);
	assert_false(w->claimed || p1->claimed);
	assert_int_equal(marked(w), BLK_J_UNKNOWN);
	assert_false(claim(w));
	blk_overlap_release(&o, p);
	assert_true(claim(w));
	assert_false(claim(p1));
	blk_overlap_release(&o, w);
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
	blk_overlap_release(&o, w);
	blk_overlap_release(&o, unknown);
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
	blk_overlap_release(&o, a);
	assert_false(claim(w));
	blk_overlap_release(&o, b);
	assert_empty();
	assert_true(claim(w));
	blk_overlap_release(&o, w);
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
 * cell of the other ring's.
 */
static void as_the_plain_rule_says(void **state)
{
	struct blk_slot *live[2 * NR] = { NULL };
	uint64_t x = 1;
	uint32_t held = 0, gone = 0;

	for (uint32_t n = 0; n < RANDOM_ACTS; n++) {
		uint32_t i = roll(&x, 2 * NR), ring = o.shared ? i / NR : 0;
		bool overlaps = false, near = false, went;
		struct blk_slot *s;

		if (live[i]) {
			blk_overlap_release(&o, live[i]);
			live[i]->state = BLK_DONE;
			(void)blk_table_answer(&t[ring], live[i]);
			live[i] = NULL;
			continue;
		}
		if (!blk_table_open(&t[ring]))
			continue;
		s = take(&t[ring], roll(&x, 2) ? BLK_READ : BLK_WRITE, roll(&x, 200), 1 + roll(&x, 24));
		for (uint32_t k = 0; k < 2 * NR; k++) {
			overlaps |= live[k] && truly_overlap(live[k], s, 1);
			near |= live[k] && (o.shared ? k / NR : 0) != ring && truly_overlap(live[k], s, CELL);
		}
		went = claim(s);
		assert_false(went && overlaps);
		assert_false(!went && !overlaps && !near);
		held += !went;
		gone += went;
		if (went) {
			live[i] = s;
		} else {
			s->state = BLK_DONE;
			(void)blk_table_answer(&t[ring], s);
		}
	}
	assert_true(held > RANDOM_ACTS / 20 && gone > RANDOM_ACTS / 20);
	for (uint32_t i = 0; i < 2 * NR; i++)
		if (live[i])
			blk_overlap_release(&o, live[i]);
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
		struct blk_slot *s = take(tab, BLK_WRITE, roll(&x, DISK - 8), 1 + roll(&x, 8));

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
		blk_overlap_release(&o, s);
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
		ONE(a_range_beyond_the_table_counts_each_cell_once),
		TWO(a_range_beyond_the_table_counts_each_cell_once),
		ONE(claims_and_releases_count_once),
		TWO(claims_and_releases_count_once),
		TWO(who_had_a_claim_has_it_before_who_had_none),
		TWO(where_claims_are_not_known_the_first_of_each_ring_get_them),
		ONE(what_is_refused_gets_no_claim_and_holds_nobody_up),
		TWO(false_marks_are_claims_that_end),
		ONE(as_the_plain_rule_says),
		TWO(as_the_plain_rule_says),
		TWO(two_threads_are_kept_apart),
	};

	return cmocka_run_group_tests_name("blk-overlap", tests, NULL, NULL);
}

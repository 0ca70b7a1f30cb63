/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sins-ring.c - indices that cannot be true, slots that change while they are read, rings that are never drained. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include "tests/hostile/sins.h"

static void good_read(struct guest *g, struct guest_queue *q, uint64_t id)
{
	struct guest_req r;
	uint32_t page = (uint32_t)(id % GUEST_DATA_PAGES);

	req_init(g, &r, id & 1 ? BLKIF_OP_WRITE : BLKIF_OP_READ, 1, (id * 8) % (g->sectors - 8), id);
	req_seg(g, &r, 0, g->data_refs[page], 0, 7);
	guest_put(g, q, &r);
}

void fill_ring(struct guest *g, struct guest_queue *q)
{
	while (q->prod - q->cons < g->nr_ents)
		good_read(g, q, q->prod);
	guest_push(g, q);
}

static uint32_t count_answers(struct guest *g, uint32_t ms)
{
	struct guest_rsp rsp;
	uint32_t n = 0;

	while (n < 10 * g->nr_ents && guest_take(g, &g->q[0], &rsp, ms))
		n++;
	return n;
}

/* XSA-39: the producer says more than the ring holds.  The slots are full of good requests, so that a back end which believes it
 * would serve them. */
void sin_jump(struct guest *g, const struct sin_args *a, uint32_t by)
{
	struct guest_queue *q = &g->q[0];

	for (uint32_t i = 0; i < g->nr_ents; i++)
		good_read(g, q, i);
	q->prod = by;
	guest_push(g, q);
	printf("answered %u\n", count_answers(g, 700));
}

/* A lie, and once it is found out the truth: too late. */
void sin_repent(struct guest *g, const struct sin_args *a)
{
	struct guest_queue *q = &g->q[0];

	good_read(g, q, 0);
	q->prod = g->nr_ents + 1;
	guest_push(g, q);
	printf("answered %u\n", count_answers(g, 500));
	q->prod = 1;
	guest_push(g, q);
	printf("later %u\n", count_answers(g, 500));
}

void sin_backwards(struct guest *g, const struct sin_args *a)
{
	struct guest_queue *q = &g->q[0];

	for (uint32_t i = 0; i < 5; i++)
		good_read(g, q, i);
	guest_push(g, q);
	printf("before %u\n", count_answers(g, 300));
	q->prod = 2;
	guest_push(g, q);
	printf("answered %u\n", count_answers(g, 700));
}

/* Legal, though unusual: as soon as a response is taken its slot is used again, so the back end always sees a ring of exactly
 * nr_ents requests and responses. */
void sin_full(struct guest *g, const struct sin_args *a)
{
	struct guest_queue *q = &g->q[0];
	uint64_t end = now_ms() + a->ms;
	uint32_t served = 0, bad = 0;
	struct guest_rsp rsp;

	fill_ring(g, q);
	while (now_ms() < end) {
		if (!guest_take(g, q, &rsp, 5000)) {
			printf("stalled\n");
			return;
		}
		served++;
		bad += rsp.status != BLKIF_RSP_OKAY;
		fill_ring(g, q);
	}
	while (q->cons != q->prod && guest_take(g, q, &rsp, 5000))
		served++;
	printf("bad %u\nleft %u\nserved %s\n", bad, q->prod - q->cons, served > g->nr_ents ? "many" : "few");
}

/* The ring is full of responses nobody takes, and the producer of requests stands still. */
void sin_never_consume(struct guest *g, const struct sin_args *a)
{
	struct guest_queue *q = &g->q[0];
	uint64_t end = now_ms() + a->ms;

	fill_ring(g, q);
	while (now_ms() < end) {
		sleep_us(1000);
		xenevtchn_notify(g->evtchn, (evtchn_port_t)q->port);
	}
	printf("answered %u of %u\n", *guest_word(q, RING_RSP_PROD), g->nr_ents);
}

/* XSA-332.  No request is ever there. */
void sin_storm(struct guest *g, const struct sin_args *a)
{
	uint64_t end = now_ms() + a->ms, n = 0;

	while (now_ms() < end) {
		for (uint32_t i = 0; i < 100; i++)
			xenevtchn_notify(g->evtchn, (evtchn_port_t)g->q[0].port);
		n += 100;
		sleep_us(50); /* two processors are shared with the honest; still some 10^5 events a second */
	}
	printf("notified %s\n", n > 1000 ? "many" : "few");
	printf("alive %s\n", good_request(g, &g->q[0], 0) ? "yes" : "no");
}

/* One malformed request after the other, as fast as they are answered (a log and an error path under load). */
void sin_bad_flood(struct guest *g, const struct sin_args *a)
{
	struct guest_queue *q = &g->q[0];
	uint64_t end = now_ms() + a->ms;
	uint32_t answered = 0, ok = 0;
	struct guest_rsp rsp;
	struct guest_req r;

	while (now_ms() < end) {
		while (q->prod - q->cons < g->nr_ents) {
			req_init(g, &r, q->prod % 2 ? 99 : BLKIF_OP_WRITE, 200, UINT64_MAX, q->prod);
			guest_put(g, q, &r);
		}
		guest_push(g, q);
		if (!guest_take(g, q, &rsp, 5000)) {
			printf("stalled\n");
			return;
		}
		answered++;
		ok += rsp.status == BLKIF_RSP_OKAY;
	}
	while (q->cons != q->prod && guest_take(g, q, &rsp, 5000))
		answered++;
	printf("ok %u\nleft %u\nanswered %s\n", ok, q->prod - q->cons, answered > g->nr_ents ? "many" : "few");
}

/* ------------------------------------------------- XSA-155: slots that change */

struct flipper {
	struct guest *g;
	atomic_bool stop;
	uint32_t seed;
};

static uint32_t next(uint32_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

static void flip_segment(struct guest *g, volatile uint8_t *seg, uint32_t *s)
{
	static const uint8_t edges[] = { 0, 7, 8, 255, 1, 3 };
	static const uint32_t refs[] = { 0, 0x7fff1, UINT32_MAX };

	switch (next(s) % 3) {
	case 0:
		seg[4] = edges[next(s) % ARRAY_SIZE(edges)];
		break;
	case 1:
		seg[5] = edges[next(s) % ARRAY_SIZE(edges)];
		break;
	default:
		*(volatile uint32_t *)(volatile void *)seg = next(s) % 2 ? refs[next(s) % ARRAY_SIZE(refs)]
									 : g->data_refs[next(s) % GUEST_DATA_PAGES];
	}
}

static void *flip_run(void *arg)
{
	static const uint8_t counts[] = { 0, 1, 2, 11, 12, 255 };
	struct flipper *f = arg;
	struct guest *g = f->g;
	uint32_t s = f->seed;

	while (!atomic_load_explicit(&f->stop, memory_order_relaxed)) {
		volatile uint8_t *slot = guest_slot(g, &g->q[0], next(&s));

		switch (next(&s) % 6) {
		case 0:
			slot[0] = next(&s) % 8 ? (uint8_t)(next(&s) % 7) : 255;
			break;
		case 1:
			slot[1] = counts[next(&s) % ARRAY_SIZE(counts)];
			break;
		case 2: /* of an indirect request: its count */
			slot[2] = (uint8_t)next(&s);
			slot[3] = (uint8_t)(next(&s) % 3);
			break;
		case 3:
			slot[g->l->sector + next(&s) % 8] = (uint8_t)next(&s);
			break;
		case 4:
			flip_segment(g, slot + g->l->segs + 8 * (next(&s) % 11), &s);
			break;
		default:
			flip_segment(g, g->ind + 8 * (next(&s) % 512), &s);
		}
	}
	return NULL;
}

static void flip_put(struct guest *g, struct guest_queue *q)
{
	struct guest_req r;
	uint8_t op = rnd() % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE;
	uint64_t sector = rnd() % (g->sectors - 512);
	uint32_t nr = 1 + rnd() % 11;

	if (rnd() % 2) {
		req_indirect(g, &r, op, (uint16_t)(1 + rnd() % 256), sector, q->prod);
		req_indirect_ref(g, &r, 0, g->ind_ref);
		for (uint32_t i = 0; i < 64; i++)
			ind_seg(g, rnd() % 256, g->data_refs[rnd() % GUEST_DATA_PAGES], 0, 7);
	} else {
		req_init(g, &r, op, (uint8_t)nr, sector, q->prod);
		for (uint32_t i = 0; i < nr; i++)
			req_seg(g, &r, i, g->data_refs[rnd() % GUEST_DATA_PAGES], 0, 7);
	}
	guest_put(g, q, &r);
}

/* What the back end makes of each request is open; that each gets exactly one response is not. */
void sin_flip(struct guest *g, const struct sin_args *a)
{
	struct guest_queue *q = &g->q[0];
	struct flipper f = { .g = g, .seed = a->seed | 1 };
	uint64_t end = now_ms() + a->ms;
	struct guest_rsp rsp;
	pthread_t t;

	rnd_seed(a->seed);
	if (pthread_create(&t, NULL, flip_run, &f))
		die("no thread");
	while (now_ms() < end) {
		uint32_t n = 1 + rnd() % g->nr_ents;

		while (q->prod - q->cons < n)
			flip_put(g, q);
		guest_push(g, q);
		while (q->cons != q->prod && guest_take(g, q, &rsp, 5000))
			;
		if (q->cons != q->prod)
			break;
	}
	atomic_store(&f.stop, true);
	pthread_join(t, NULL);
	printf("unanswered %u\nsent %s\n", q->prod - q->cons, q->prod > 100 ? "many" : "few");
	printf("surplus %u\n", *guest_word(q, RING_RSP_PROD) - q->prod);
	if (q->cons == q->prod)
		printf("alive %s\n", good_request(g, q, 0) ? "yes" : "no");
}

/* ------------------------------------------- all that is shared is rewritten */

struct rewriter {
	struct guest *g;
	atomic_bool stop;
	uint32_t seed;
	uint64_t mutations;
};

/* Every word of the ring's pages and of the indirect page, the indices now and then. */
static void *rewrite_run(void *arg)
{
	struct rewriter *w = arg;
	struct guest *g = w->g;
	volatile uint32_t *ring = (volatile uint32_t *)(void *)g->q[0].ring;
	volatile uint32_t *ind = (volatile uint32_t *)(void *)g->ind;
	uint32_t words = (PAGE_BYTES << g->order) / 4;

	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		uint32_t r = next(&w->seed), at = next(&w->seed) % words;

		w->mutations++;
		if (r % 4 == 0)
			ind[at % (PAGE_BYTES / 4)] = r % 8 ? r >> 8 : g->data_refs[r % GUEST_DATA_PAGES];
		else if (at != RING_REQ_PROD && at != RING_RSP_PROD)
			ring[at] = r % 8 ? r >> (r % 32) : g->data_refs[r % GUEST_DATA_PAGES];
		else if (r % 1024 == 1)
			ring[at] += (r >> 20) % 70 - 3;
	}
	return NULL;
}

/* One life: asked as fast as there is room, until the back end has had enough of us or it is time. */
static void rewrite_life(struct guest *g, uint64_t end)
{
	struct guest_queue *q = &g->q[0];

	for (uint32_t quiet = 0; quiet < 50 && now_ms() < end;) {
		uint32_t answered = *guest_word(q, RING_RSP_PROD), asked = q->prod;

		while (q->prod - answered < g->nr_ents)
			flip_put(g, q);
		guest_push(g, q);
		sleep_us(1000);
		quiet = q->prod == asked ? quiet + 1 : 0;
	}
}

void sin_rewrite(struct guest *g, const struct sin_args *a)
{
	uint64_t end = now_ms() + a->ms, mutations = 0;
	uint32_t lives = 0, stuck = 0;

	rnd_seed(a->seed);
	while (now_ms() < end && !stuck) {
		struct rewriter w = { .g = g, .seed = (a->seed + lives) | 1 };
		pthread_t t;

		guest_connect(g);
		lives++;
		if (pthread_create(&t, NULL, rewrite_run, &w))
			die("no thread");
		rewrite_life(g, MIN(end, now_ms() + 500));
		stuck += !guest_close(g, 30000); /* while it goes on */
		atomic_store(&w.stop, true);
		pthread_join(t, NULL);
		mutations += w.mutations;
		guest_revoke(g);
		guest_write(g, "state", "1");
	}
	printf("stuck %u\nlives %s\nmutations %llu\n", stuck, lives > 1 ? "many" : "one",
	       (unsigned long long)mutations);
}

/* One lie about the ring after the other, each in a life of its own: what they cost is connecting. */
void sin_jumps(struct guest *g, const struct sin_args *a)
{
	static const uint32_t lies[] = { UINT32_MAX, 1u << 31, 1000, 65536 };
	uint64_t end = now_ms() + a->ms;
	uint32_t lives = 0, stuck = 0;

	for (; now_ms() < end && !stuck; lives++) {
		guest_connect(g);
		for (uint32_t i = 0; i < g->nr_ents / 2; i++)
			good_read(g, &g->q[0], i);
		g->q[0].prod = lies[lives % ARRAY_SIZE(lies)];
		guest_push(g, &g->q[0]);
		stuck += !guest_close(g, 30000);
		guest_revoke(g);
		guest_write(g, "state", "1");
	}
	printf("stuck %u\nlives %s\n", stuck, lives > 1 ? "many" : "one");
}

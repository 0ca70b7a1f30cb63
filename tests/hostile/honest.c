/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* honest.c - a front end that does nothing wrong: every byte written is read back and compared. */
#include <stdio.h>
#include <unistd.h>
#include "tests/hostile/sins.h"

static void pattern(uint8_t *p, uint32_t bytes, uint64_t sector, uint32_t seed)
{
	for (uint32_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(sector + i / 512 + i * 7 + seed);
}

/* One transfer of @pages pages, direct or indirect. */
static bool transfer(struct guest *g, struct guest_queue *q, uint8_t op, uint64_t sector, uint32_t pages, bool ind)
{
	struct guest_req r;
	struct guest_rsp rsp;

	if (ind) {
		req_indirect(g, &r, op, (uint16_t)pages, sector, sector + 1);
		req_indirect_ref(g, &r, 0, g->ind_ref);
		for (uint32_t i = 0; i < pages; i++)
			ind_seg(g, i, g->data_refs[i], 0, 7);
	} else {
		req_init(g, &r, op, (uint8_t)pages, sector, sector + 1);
		for (uint32_t i = 0; i < pages; i++)
			req_seg(g, &r, i, g->data_refs[i], 0, 7);
	}
	guest_put(g, q, &r);
	guest_push(g, q);
	return guest_take(g, q, &rsp, 10000) && rsp.status == BLKIF_RSP_OKAY && rsp.id == sector + 1 && rsp.op == op;
}

static bool flush(struct guest *g, struct guest_queue *q)
{
	struct guest_req r;
	struct guest_rsp rsp;

	req_init(g, &r, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 5);
	guest_put(g, q, &r);
	guest_push(g, q);
	return guest_take(g, q, &rsp, 10000) && rsp.status == BLKIF_RSP_OKAY;
}

static bool check(struct guest *g, uint32_t pages, uint64_t sector, uint32_t seed)
{
	for (uint32_t i = 0; i < pages; i++) {
		uint8_t want[PAGE_BYTES];

		pattern(want, PAGE_BYTES, sector + i * 8, seed);
		if (memcmp(want, guest_page(g, i), PAGE_BYTES) != 0)
			return false;
	}
	return true;
}

/* a->count transfers, round-robin over the queues, sizes 1..11 pages direct and up to 64 indirect. */
void act_verify(struct guest *g, const struct sin_args *a)
{
	uint32_t n = a->count ? a->count : 100, seed = a->seed;

	rnd_seed(a->seed);
	for (uint32_t i = 0; i < n; i++) {
		struct guest_queue *q = &g->q[i % g->nr_queues];
		bool ind = i % 3 == 2;
		uint32_t pages = 1 + rnd() % (ind ? GUEST_DATA_PAGES : BLKIF_MAX_SEGMENTS_PER_REQUEST);
		uint64_t sector = rnd() % (g->sectors - pages * 8 + 1);

		for (uint32_t k = 0; k < pages; k++)
			pattern(guest_page(g, k), PAGE_BYTES, sector + k * 8, seed + i);
		if (!transfer(g, q, BLKIF_OP_WRITE, sector, pages, ind))
			die("write %u of %u pages at %llu failed", i, pages, (unsigned long long)sector);
		memset(g->data, GUEST_FILL, (size_t)GUEST_DATA_PAGES * PAGE_BYTES);
		if (!transfer(g, q, BLKIF_OP_READ, sector, pages, ind))
			die("read %u of %u pages at %llu failed", i, pages, (unsigned long long)sector);
		if (!check(g, pages, sector, seed + i))
			die("transfer %u at %llu came back changed", i, (unsigned long long)sector);
		if (i % 16 == 0 && !flush(g, q))
			die("flush failed");
	}
	if (!guest_close(g, 10000))
		die("the back end does not close");
	guest_write(g, "state", "1");
	printf("verified %u\n", n);
}

/* Grant pages to the back end's domain, say the highest number, stay. */
void act_grefs(struct guest *g, const struct sin_args *a)
{
	uint32_t n = a->count ? a->count : 4000, refs[4000], top = 0;

	g->shr = xengntshr_open(NULL, 0);
	if (!g->shr || n > ARRAY_SIZE(refs) || !xengntshr_share_pages(g->shr, g->back_domid, (int)n, refs, 1))
		die("cannot grant %u pages", n);
	for (uint32_t i = 0; i < n; i++)
		top = MAX(top, refs[i]);
	printf("%u\n", top);
	fflush(stdout);
	sleep_us(a->ms * 1000);
}

/* Stay connected and answer nobody: a front end that hangs. */
void act_hold(struct guest *g, const struct sin_args *a)
{
	printf("holding\n");
	fflush(stdout);
	sleep_us(a->ms * 1000);
}

/* A ring kept full until we are killed; "serving" is said when the first answer has come. */
void act_load(struct guest *g, const struct sin_args *a)
{
	if (!good_request(g, &g->q[0], 0))
		die("not served");
	printf("serving\n");
	fflush(stdout);
	sin_full(g, a);
}

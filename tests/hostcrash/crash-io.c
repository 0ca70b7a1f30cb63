/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * crash-io.c - a guest that writes, trims and flushes, all at once, and tells in a log what was answered when.
 *
 *	crash-io LOG FLUSHES [SEED [QUEUES]]       on the only disk of this domain
 *
 * No two requests on one sector are in flight together, so that its contents have an order.  Nobody waits for a flush:
 * it runs beside writes that it need not cover.
 */
#include <stdio.h>
#include "common/log/log.h"
#include "tests/lib/guest-disk.h"
#include "tests/hostcrash/crash-log.h"

#define DEPTH       24u
#define BUF_BYTES   (16u << 10)
#define TRIM_UNIT   8u /* sectors */
#define MAX_SECTORS 65536u
#define CLOSE_MS    20000u

struct call {
	struct guest *g;
	enum blkfront_op op;
	uint64_t id, sector, nr;
	struct blkfront_buf *buf;
	uint32_t queue;
	bool busy;
};

struct guest {
	struct blkfront *b;
	struct crash_log *log;
	uint64_t sectors, ids, flushed, rng;
	uint32_t nr_queues, nr_busy;
	bool failed;
	bool taken[MAX_SECTORS];
	struct call call[DEPTH];
};

static uint64_t rnd(struct guest *g, uint64_t below)
{
	uint64_t x = g->rng += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (x ^ x >> 31) % below;
}

static void on_done(void *arg, int err)
{
	struct call *c = arg;
	struct guest *g = c->g;
	bool flush = c->op == BLKFRONT_FLUSH;

	if (err) {
		fprintf(stderr, "crash-io: request %llu: %s\n", (unsigned long long)c->id, strerror(-err));
		g->failed = true;
	} else {
		crash_log_add(g->log, flush ? GUEST_FLUSHED : GUEST_DONE, c->id, 0, 0);
	}
	g->flushed += flush;
	for (uint64_t i = 0; i < c->nr; i++)
		g->taken[c->sector + i] = false;
	if (c->buf)
		blkfront_buf_put(blkfront_queue(g->b, c->queue), c->buf);
	c->busy = false;
	g->nr_busy--;
}

/* False: not there, choose again. */
static bool choose(struct guest *g, struct call *c)
{
	uint64_t what = rnd(g, 100);

	c->queue = (uint32_t)rnd(g, g->nr_queues);
	c->buf = NULL;
	c->nr = c->sector = 0;
	c->op = BLKFRONT_FLUSH;
	if (what < 8)
		return true;
	c->op = what < 20 && blkfront_info(g->b)->discard ? BLKFRONT_DISCARD : BLKFRONT_WRITE;
	c->nr = 1 + rnd(g, BUF_BYTES / SECTOR_BYTES);
	c->sector = rnd(g, g->sectors - c->nr + 1);
	if (c->op == BLKFRONT_DISCARD) {
		c->nr = (c->nr + TRIM_UNIT - 1) / TRIM_UNIT * TRIM_UNIT;
		c->sector = rnd(g, (g->sectors - c->nr) / TRIM_UNIT + 1) * TRIM_UNIT;
	}
	for (uint64_t i = 0; i < c->nr; i++)
		if (g->taken[c->sector + i])
			return false;
	return true;
}

static void note_asked(struct guest *g, struct call *c)
{
	static const enum crash_type types[] = {
		[BLKFRONT_WRITE] = GUEST_WRITE, [BLKFRONT_DISCARD] = GUEST_TRIM, [BLKFRONT_FLUSH] = GUEST_FLUSH
	};

	c->id = ++g->ids;
	for (uint64_t i = 0; i < c->nr; i++) {
		g->taken[c->sector + i] = true;
		if (c->buf)
			crash_sector((uint8_t *)c->buf->mem + i * SECTOR_BYTES, c->sector + i, c->id);
	}
	crash_log_add(g->log, types[c->op], c->id, c->sector, c->nr);
}

static void start(struct guest *g, struct call *c)
{
	struct blkfront_queue *q;
	int err;

	if (!choose(g, c))
		return;
	q = blkfront_queue(g->b, c->queue);
	if (c->op == BLKFRONT_WRITE) {
		c->buf = blkfront_buf_get(q);
		if (!c->buf)
			return;
	}
	note_asked(g, c);
	c->g = g;
	c->busy = true;
	g->nr_busy++;
	err = blkfront_submit(q, c->op, c->sector, c->nr, c->buf ? c->buf->mem : NULL, on_done, c);
	while (err == -EAGAIN) { /* it has been said: it will be asked */
		if (blkfront_poll(q) == 0)
			blkfront_wait(q, 1, 0, 10);
		err = blkfront_submit(q, c->op, c->sector, c->nr, c->buf ? c->buf->mem : NULL, on_done, c);
	}
	if (err)
		on_done(c, err);
}

static void run(struct guest *g, uint64_t flushes)
{
	while (!g->failed && (g->flushed < flushes || g->nr_busy)) {
		uint32_t moved = 0;

		for (uint32_t i = 0; i < DEPTH && g->flushed < flushes; i++)
			if (!g->call[i].busy)
				start(g, &g->call[i]);
		for (uint32_t i = 0; i < g->nr_queues; i++) {
			blkfront_kick(blkfront_queue(g->b, i));
			moved += blkfront_poll(blkfront_queue(g->b, i));
		}
		for (uint32_t i = 0; moved == 0 && i < g->nr_queues; i++)
			if (blkfront_inflight(blkfront_queue(g->b, i)))
				blkfront_wait(blkfront_queue(g->b, i), 1, 0, 2);
	}
}

int main(int argc, char **argv)
{
	static struct guest g;
	struct blkfront_config c = { .queues = 1, .max_order = 1, .buf_bytes = BUF_BYTES, .bufs = DEPTH };
	struct guest_disk d = { 0 };
	int err = 0;

	if (argc < 3) {
		fprintf(stderr, "usage: crash-io LOG FLUSHES [SEED [QUEUES]]\n");
		return 2;
	}
	log_init("crash-io");
	g.log = crash_log_open(argv[1], false);
	g.rng = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	if (argc > 4)
		c.queues = (uint32_t)atoi(argv[4]);
	err = g.log ? guest_disk_open(&d, GUEST_DISK_ONLY, &c) : -errno;
	if (err < 0)
		return guest_disk_close(&d, "crash-io: cannot start", err);
	g.b = d.b;
	g.nr_queues = blkfront_info(g.b)->nr_queues;
	g.sectors = MIN(blkfront_sectors(g.b), (uint64_t)MAX_SECTORS);
	run(&g, strtoull(argv[2], NULL, 0));
	printf("%s: %llu requests, %llu flushes, %u queues\n", g.failed ? "failed" : "done", (unsigned long long)g.ids,
	       (unsigned long long)g.flushed, g.nr_queues);
	return guest_disk_close(&d, "crash-io", g.failed ? -EIO : 0);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blkfront-queue.c - see blkfront-impl.h: a queue's memory, and its way from one life of the device to the next. */
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "frontend/block/blkfront-impl.h"

#define MAX_POOL_PAGES (1u << 20) /* 4 GiB: beyond is a mistake of the caller */

/* ------------------------------------------------------------------ a queue's memory */

static size_t pool_bytes(const struct blkfront_queue *q)
{
	return (size_t)q->pool_pages * PAGE_BYTES;
}

static void *clean_pages(size_t bytes)
{
	void *p = aligned_alloc(PAGE_BYTES, bytes);

	if (p)
		memset(p, 0, bytes);
	return p;
}

/* From open to close. */
int blkfront_queue_init(struct blkfront *b, struct blkfront_queue *q, uint32_t index)
{
	const struct blkfront_config *c = &b->config;

	q->b = b;
	q->index = index;
	q->parked = true;
	list_init(&q->again);
	list_init(&q->replays);
	list_init(&q->xfers);
	list_init(&q->failed);
	q->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->wake_fd < 0)
		return -errno;
	q->buf_pages = (c->buf_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
	q->nr_bufs = c->bufs;
	if ((uint64_t)q->buf_pages * q->nr_bufs > MAX_POOL_PAGES)
		return -EINVAL;
	q->pool_pages = q->buf_pages * q->nr_bufs;
	q->buf = calloc(q->nr_bufs, sizeof(*q->buf));
	q->free_buf = calloc(q->nr_bufs, sizeof(struct buf *));
	if (c->grants == BLKFRONT_PER_IO)
		q->pool = clean_pages(pool_bytes(q));
	if (!q->buf || !q->free_buf || (c->grants == BLKFRONT_PER_IO && !q->pool))
		return -ENOMEM;
	for (uint32_t i = q->nr_bufs; i-- > 0;) {
		q->buf[i].pub.mem = q->pool ? q->pool + (size_t)i * q->buf_pages * PAGE_BYTES : NULL;
		q->free_buf[q->nr_free++] = &q->buf[i];
	}
	return 0;
}

/* Everything in the pool has another address. */
static void move_pool(struct blkfront_queue *q, uint8_t *to)
{
	struct blkfront_xfer *x;
	struct replay *r;

	list_for_each (x, &q->xfers, entry)
		if (has_data(x->op) && q->pool && in_pool(q, x->mem, x->nr * SECTOR_BYTES))
			x->mem = to + ((uint8_t *)x->mem - q->pool);
	list_for_each (r, &q->replays, all) {
		if (!r->saved.buf)
			continue;
		r->saved.buf = to + (r->saved.buf - q->pool);
		r->xfer.mem = r->saved.buf;
	}
	for (uint32_t i = 0; i < q->nr_bufs; i++)
		q->buf[i].pub.mem = to + (size_t)i * q->buf_pages * PAGE_BYTES;
	q->pool = to;
}

/* The pool's pages, granted; what it holds already is copied. */
static int grant_pool(struct blkfront_queue *q)
{
	uint8_t *before = q->pool;
	void *pages = NULL;
	int err;

	if (q->agreed.info.grants == BLKFRONT_PER_IO)
		return 0;
	q->refs = calloc(q->pool_pages, sizeof(*q->refs));
	if (!q->refs)
		return -ENOMEM;
	err = share_pages(q->fq.share, q->agreed.domid, q->pool_pages, true, q->refs, &pages);
	if (err < 0) {
		free(q->refs);
		q->refs = NULL;
		return err;
	}
	if (before)
		memcpy(pages, before, pool_bytes(q));
	move_pool(q, pages);
	free(before);
	return 0;
}

/* As many indirect pages as requests can need one at a time. */
static int alloc_indirect(struct blkfront_queue *q)
{
	uint32_t nr = MIN(q->ring.nr_ents, q->pool_pages / (SEGS_DIRECT + 1));
	void *pages = NULL;
	int err;

	if (q->agreed.info.max_segments <= SEGS_DIRECT || nr == 0)
		return 0;
	q->indirect_refs = calloc(nr, sizeof(*q->indirect_refs));
	q->free_indirect = calloc(nr, sizeof(*q->free_indirect));
	if (!q->indirect_refs || !q->free_indirect)
		return -ENOMEM;
	err = share_pages(q->fq.share, q->agreed.domid, nr, true, q->indirect_refs, &pages);
	if (err < 0)
		return err;
	q->indirect = pages;
	q->nr_indirect = nr;
	while (nr-- > 0)
		q->free_indirect[q->nr_free_indirect++] = nr;
	return 0;
}

/* Give up the rings and all else that is granted.  @spare, unless NULL, is the pool from here on. */
static void let_go(struct blkfront_queue *q, uint8_t *spare)
{
	for (uint32_t k = 0; q->slot && k < q->flight.nr; k++)
		if (q->slot[k].shared)
			share_revoke(q->fq.share, q->slot[k].shared, q->slot[k].nr_shared);
	if (q->indirect)
		share_revoke(q->fq.share, q->indirect, q->nr_indirect);
	if (q->refs) {
		uint8_t *before = q->pool;

		if (spare)
			move_pool(q, spare);
		else
			q->pool = NULL;
		share_revoke(q->fq.share, before, q->pool_pages);
	}
	free(q->refs);
	free(q->indirect_refs);
	free(q->free_indirect);
	free(q->slot);
	q->refs = q->indirect_refs = q->free_indirect = NULL;
	q->slot = NULL;
	q->indirect = NULL;
	q->nr_indirect = q->nr_free_indirect = q->unpublished = 0;
	q->due = q->masked = q->nap = false;
	front_queue_free(&q->fq);
	memset(&q->ring, 0, sizeof(q->ring));
	q->parked = true;
}

void blkfront_queue_fini(struct blkfront_queue *q)
{
	struct replay *r, *next;

	if (q->fq.evtchn || q->fq.share)
		let_go(q, NULL);
	list_for_each_safe (r, next, &q->replays, all)
		free(r);
	blk_flight_fini(&q->flight);
	free(q->pool);
	free(q->buf);
	free(q->free_buf);
	if (q->wake_fd >= 0)
		close(q->wake_fd);
}

/* ------------------------------------------------------------------ following the back end */

/* From any later life; 0, -EAGAIN: that one is over already, -errno. */
int blkfront_adopt(struct blkfront_queue *q, uint32_t life)
{
	struct blkfront *b = q->b;
	int err;

	pthread_mutex_lock(&b->mutex);
	err = b->agreed.life == life && front_take_queue(b->front, life, q->index, &q->fq) ? 0 : -EAGAIN;
	if (err == 0) {
		/* Until a flush has said so. */
		q->suspect = q->suspect || b->agreed.suspect_life > q->agreed.life;
		q->agreed = b->agreed;
		q->ring = b->next_ring[q->index];
	}
	pthread_mutex_unlock(&b->mutex);
	if (err < 0)
		return err;
	err = blk_flight_again(&q->flight, q->ring.nr_ents);
	q->slot = err == 0 ? calloc(q->ring.nr_ents, sizeof(*q->slot)) : NULL;
	if (err == 0 && !q->slot)
		err = -ENOMEM;
	if (err == 0)
		err = grant_pool(q);
	if (err == 0)
		err = alloc_indirect(q);
	if (err < 0)
		return err;
	q->parked = false;
	q->worked = false;
	q->idle = 0;
	return 0;
}

/* In the order of submission, which is not that of the slots. */
static void insert_replay(struct list *to, struct replay *r)
{
	struct list *at = to->prev;

	while (at != to && list_entry(at, struct replay, xfer.entry)->saved.seq > r->saved.seq)
		at = at->prev;
	list_add(at, &r->xfer.entry);
}

struct replay *blkfront_new_replay(struct blkfront_queue *q, const struct slot *s)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->q = q;
	r->saved = *s;
	r->saved.shared = NULL;
	r->xfer = (struct blkfront_xfer){
		.op = s->op, .sector = s->sector, .nr = s->nr, .mem = s->buf, .done = blkfront_replay_done, .arg = r
	};
	list_init(&r->xfer.entry);
	list_add_tail(&q->replays, &r->all);
	q->nr_replays++;
	return r;
}

/* What is in flight becomes .again, before what is there.  Without memory for all nothing changes. */
static int set_aside(struct blkfront_queue *q)
{
	struct list list;
	struct replay *r, *next;
	uint32_t n = 0;

	list_init(&list);
	for (uint32_t i = 0; i < q->flight.nr; i++) {
		if (q->flight.slot[i].op == BLK_RSP_IDLE || q->slot[i].ours)
			continue;
		r = blkfront_new_replay(q, &q->slot[i]);
		if (!r)
			goto fail;
		insert_replay(&list, r);
		n++;
	}
	for (uint32_t i = 0; i < q->flight.nr; i++)
		if (q->flight.slot[i].op != BLK_RSP_IDLE)
			blk_flight_drop(&q->flight, i);
	q->counts.replayed += n;
	while (!list_empty(&list)) {
		struct list *last = list.prev;

		list_del(last);
		list_add(&q->again, last);
	}
	return 0;
fail:
	list_for_each_safe (r, next, &list, xfer.entry) {
		list_del(&r->xfer.entry);
		list_del(&r->all);
		q->nr_replays--;
		free(r);
	}
	return -ENOMEM;
}

/* Where the pool's contents are kept while there is no back end: what our user holds, and what is to be written; nothing of what a
 * read was to bring, and of what nobody has. */
static uint8_t *keep_pool(const struct blkfront_queue *q)
{
	uint8_t *spare = clean_pages(pool_bytes(q));
	size_t bytes = (size_t)q->buf_pages * PAGE_BYTES;
	const struct replay *r;

	for (uint32_t i = 0; spare && i < q->nr_bufs; i++)
		if (q->buf[i].taken)
			memcpy(spare + i * bytes, q->pool + i * bytes, bytes);
	list_for_each (r, &q->replays, all)
		if (spare && r->saved.op == BLKFRONT_READ)
			memset(spare + (r->saved.buf - q->pool), 0, r->saved.bytes);
	return spare;
}

/* The back end is not there any more. */
static uint32_t park(struct blkfront_queue *q)
{
	uint8_t *spare = NULL;
	uint32_t n;
	int err;

	q->live = false;
	n = blkfront_take_answers(q); /* what it has done is done */
	if (is_dead(q->b))
		return n;
	err = set_aside(q);
	if (err == 0 && q->refs) {
		spare = keep_pool(q);
		err = spare ? 0 : -ENOMEM;
	}
	if (err == 0)
		let_go(q, spare);
	else
		blkfront_set_status(q->b, err, "no memory for what has to wait for the back end");
	return n;
}

/* Go where the control thread has gone. */
uint32_t blkfront_follow(struct blkfront_queue *q)
{
	struct blkfront *b = q->b;
	uint32_t n = 0, link;
	int err = 0;

	do {
		link = link_now(b);
		if (!q->parked && (link >> PHASE_BITS != q->agreed.life || phase_of(link) == AWAY))
			n += park(q);
		if (is_dead(b))
			return n;
		if (q->parked && phase_of(link) == LIVE) {
			err = blkfront_adopt(q, link >> PHASE_BITS);
			if (err == 0)
				q->counts.reconnects++;
		}
		q->link = link;
		q->live = !q->parked && phase_of(link) == LIVE;
	} while (err == -EAGAIN && link_now(b) != link);
	if (err < 0 && err != -EAGAIN) {
		log_error("%s: cannot connect to the back end again: %s", b->front->dev.dir, strerror(-err));
		blkfront_set_status(b, err,
				    err == -ENOSPC ? "no more pages can be granted to the back end that is there again"
						   : "no memory to connect to the back end again");
	}
	return n;
}

static void own_flush_done(void *arg, int err)
{
	struct blkfront_queue *q = arg;

	if (err < 0)
		atomic_store(&q->b->flush_failed, true);
}

/* The back end asks, and nothing is in flight: flush what is not, then say so. */
void blkfront_drained(struct blkfront_queue *q)
{
	const struct slot what = { .done = own_flush_done, .arg = q, .op = BLKFRONT_FLUSH, .ours = true };
	uint64_t one = 1;

	if (q->told == q->link)
		return;
	if (q->dirty && q->agreed.info.flush && blkfront_place_other(q, BLKFRONT_FLUSH, 0, 0, &what) == 0) {
		blkfront_kick(q);
		return;
	}
	q->told = q->link;
	atomic_fetch_add(&q->b->drained, 1);
	if (write(q->b->news_fd, &one, sizeof(one)) < 0)
		return; /* full, so readable */
}

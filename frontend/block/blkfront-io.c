/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blkfront-io.c - see blkfront-impl.h: requests, from blkfront_submit() to their callbacks. */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "frontend/block/blkfront-impl.h"

#define IDLE_EVENTS 32u /* so many events without work in a row: a storm (XSA-391) */
#define NAP_MS      1u
#define NO_INDIRECT UINT32_MAX

/* ------------------------------------------------------------------ buffers */

struct blkfront_buf *blkfront_buf_get(struct blkfront_queue *q)
{
	struct buf *b = q->nr_free ? q->free_buf[--q->nr_free] : NULL;

	if (!b)
		return NULL;
	b->taken = true;
	return &b->pub;
}

void blkfront_buf_put(struct blkfront_queue *q, struct blkfront_buf *buf)
{
	struct buf *b = container_of(buf, struct buf, pub);

	b->taken = false;
	q->free_buf[q->nr_free++] = b;
}

/* ------------------------------------------------------------------ submitting */

static const uint8_t wire_op[] = {
	[BLKFRONT_READ] = BLKIF_OP_READ,
	[BLKFRONT_WRITE] = BLKIF_OP_WRITE,
	[BLKFRONT_FLUSH] = BLKIF_OP_FLUSH_DISKCACHE,
	[BLKFRONT_DISCARD] = BLKIF_OP_DISCARD,
	[BLKFRONT_SECURE_DISCARD] = BLKIF_OP_DISCARD,
};

/* What holds for a request and for an I/O of many requests. */
static int check_io(const struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, uint64_t nr)
{
	const struct blkfront_info *i = &q->agreed.info;
	uint64_t mask = i->sector_size / SECTOR_BYTES - 1, sectors = blkfront_sectors(q->b);
	int st = blkfront_status(q->b);

	if (unlikely(st < 0))
		return st;
	if (op == BLKFRONT_FLUSH)
		return i->flush ? 0 : -EOPNOTSUPP;
	if (unlikely(nr == 0 || (sector | nr) & mask))
		return -EINVAL;
	if (unlikely(sector > sectors || nr > sectors - sector))
		return -ERANGE;
	if (op != BLKFRONT_READ && i->readonly)
		return -EROFS;
	if ((op == BLKFRONT_DISCARD && !i->discard) || (op == BLKFRONT_SECURE_DISCARD && !i->secure_discard))
		return -EOPNOTSUPP;
	return 0;
}

static void put_segs(struct blkif_request_segment *seg, const uint32_t *refs, uint32_t offset, uint32_t bytes)
{
	while (bytes) {
		uint32_t n = MIN(bytes, PAGE_BYTES - offset);

		seg->gref = *refs++;
		seg->first_sect = (uint8_t)(offset / SECTOR_BYTES);
		seg->last_sect = (uint8_t)((offset + n) / SECTOR_BYTES - 1);
		seg++;
		offset = 0;
		bytes -= n;
	}
}

static void put_indirect(struct blkfront_queue *q, struct slot *s, enum blkfront_op op, uint64_t id, uint64_t sector,
			 const uint32_t *refs, uint32_t offset, uint32_t nr_segs)
{
	struct blkif_request_indirect r;

	memset(&r, 0, sizeof(r)); /* its padding is seen by the back end */
	s->indirect = q->free_indirect[--q->nr_free_indirect];
	put_segs((struct blkif_request_segment *)(void *)(q->indirect + (size_t)s->indirect * PAGE_BYTES), refs, offset,
		 s->bytes);
	r.operation = BLKIF_OP_INDIRECT;
	r.indirect_op = wire_op[op];
	r.nr_segments = (uint16_t)nr_segs;
	r.id = id;
	r.sector_number = sector;
	r.handle = (blkif_vdev_t)q->b->front->dev.id;
	r.indirect_grefs[0] = q->indirect_refs[s->indirect];
	ring_front_put(&q->ring, &r, sizeof(r));
}

static void put_direct(struct blkfront_queue *q, struct slot *s, enum blkfront_op op, uint64_t id, uint64_t sector,
		       const uint32_t *refs, uint32_t offset, uint32_t nr_segs)
{
	struct blkif_request r;
	size_t bytes = offsetof(struct blkif_request, seg) + nr_segs * sizeof(r.seg[0]);

	memset(&r, 0, bytes); /* its padding is seen by the back end */
	r.operation = wire_op[op];
	r.nr_segments = (uint8_t)nr_segs;
	r.handle = (blkif_vdev_t)q->b->front->dev.id;
	r.id = id;
	r.sector_number = sector;
	put_segs(r.seg, refs, offset, s->bytes);
	ring_front_put(&q->ring, &r, bytes);
}

static void put_discard(struct blkfront_queue *q, enum blkfront_op op, uint64_t id, uint64_t sector, uint64_t nr)
{
	struct blkif_request_discard r;

	memset(&r, 0, sizeof(r));
	r.operation = BLKIF_OP_DISCARD;
	r.flag = op == BLKFRONT_SECURE_DISCARD ? BLKIF_DISCARD_SECURE : 0;
	r.handle = (blkif_vdev_t)q->b->front->dev.id;
	r.id = id;
	r.sector_number = sector;
	r.nr_sectors = nr;
	ring_front_put(&q->ring, &r, sizeof(r));
}

/* Grant pages for this request alone; the data goes to the same offset in them. */
static int share_for(struct blkfront_queue *q, struct slot *s, enum blkfront_op op, uint32_t offset, uint32_t nr,
		     uint32_t *refs)
{
	int err = share_pages(q->fq.share, q->agreed.domid, nr, op == BLKFRONT_READ, refs, &s->shared);

	if (err < 0) {
		s->shared = NULL;
		return err;
	}
	s->nr_shared = nr;
	if (op == BLKFRONT_WRITE)
		memcpy((uint8_t *)s->shared + offset, s->buf, s->bytes);
	return 0;
}

/* Place a request whose parameters are right; *s is filled by the caller but for what is made here. */
static int place_data(struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, const struct slot *what)
{
	uint32_t offset = (uint32_t)((uintptr_t)what->buf & (PAGE_BYTES - 1));
	uint32_t nr_segs = (offset + what->bytes + PAGE_BYTES - 1) / PAGE_BYTES, i;
	uint32_t refs_own[SEGS_INDIRECT], *refs = refs_own;
	struct slot *s;
	uint64_t id;
	int err;

	if (ring_front_free(&q->ring) == 0 || (nr_segs > SEGS_DIRECT && q->nr_free_indirect == 0))
		return -EAGAIN;
	i = blk_flight_take(&q->flight, wire_op[op], &id);
	if (i == BLK_RSP_NONE)
		return -EAGAIN;
	s = &q->slot[i];
	*s = *what;
	s->sector = sector;
	s->nr = what->bytes / SECTOR_BYTES;
	s->seq = q->seq++;
	s->indirect = NO_INDIRECT;
	if (q->refs) {
		refs = q->refs + (size_t)(what->buf - q->pool) / PAGE_BYTES;
	} else {
		err = share_for(q, s, op, offset, nr_segs, refs_own);
		if (err < 0) {
			blk_flight_drop(&q->flight, i);
			/* What is in flight will give its pages back. */
			return err == -ENOSPC && q->flight.used ? -EAGAIN : err;
		}
	}
	if (nr_segs > SEGS_DIRECT)
		put_indirect(q, s, op, id, sector, refs, offset, nr_segs);
	else
		put_direct(q, s, op, id, sector, refs, offset, nr_segs);
	q->unpublished++;
	return 0;
}

int blkfront_place_other(struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, uint64_t nr,
			 const struct slot *what)
{
	struct slot *s;
	uint64_t id;
	uint32_t i;

	if (ring_front_free(&q->ring) == 0)
		return -EAGAIN;
	i = blk_flight_take(&q->flight, wire_op[op], &id);
	if (i == BLK_RSP_NONE)
		return -EAGAIN;
	s = &q->slot[i];
	*s = *what;
	s->sector = sector;
	s->nr = nr;
	s->seq = q->seq++;
	s->indirect = NO_INDIRECT;
	if (op == BLKFRONT_FLUSH) {
		q->dirty = false;
		put_direct(q, s, op, id, 0, NULL, 0, 0);
	} else {
		put_discard(q, op, id, sector, nr);
	}
	q->unpublished++;
	return 0;
}

/* A request that was small enough once, and is not for this back end. */
static int place_parts(struct blkfront_queue *q, uint64_t sector, struct slot *what)
{
	struct replay *r;

	what->sector = sector;
	what->nr = what->bytes / SECTOR_BYTES;
	r = blkfront_new_replay(q, what);
	if (!r)
		return -ENOMEM;
	list_add_tail(&q->again, &r->xfer.entry);
	return 0;
}

int blkfront_submit(struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, uint64_t nr, void *buf,
		    blkfront_done_fn *done, void *arg)
{
	struct slot what = { .done = done, .arg = arg, .buf = buf, .op = op };
	uint32_t offset = (uint32_t)((uintptr_t)buf & (PAGE_BYTES - 1));
	int err = check_io(q, op, sector, nr);

	if (unlikely(err < 0))
		return err;
	/* What waits goes first. */
	if (unlikely(!q->live || link_now(q->b) != q->link || !list_empty(&q->again)))
		return -EAGAIN;
	if (!has_data(op))
		return blkfront_place_other(q, op, sector, nr, &what);
	if (unlikely(nr > q->b->info.max_bytes / SECTOR_BYTES))
		return -EINVAL;
	what.bytes = (uint32_t)nr * SECTOR_BYTES;
	if (unlikely(!in_pool(q, buf, what.bytes) || offset % q->agreed.info.sector_size ||
		     offset + what.bytes > q->b->info.max_segments * PAGE_BYTES))
		return -EINVAL;
	if (unlikely(offset + what.bytes > q->agreed.info.max_segments * PAGE_BYTES))
		return place_parts(q, sector, &what);
	return place_data(q, op, sector, &what);
}

/* ------------------------------------------------------------------ long I/O */

/* Place one more part of @x: 0, -EAGAIN, or the error that ends it. */
static int place_part(struct blkfront_queue *q, struct blkfront_xfer *x, bool pooled)
{
	struct slot what = { .xfer = x, .op = x->op };
	uint64_t left = (x->nr - x->placed) * SECTOR_BYTES, limit = q->agreed.info.max_bytes;
	uint8_t *mem = x->mem;
	int err;

	if (!has_data(x->op)) {
		err = blkfront_place_other(q, x->op, x->sector, x->nr, &what);
		if (err == 0)
			x->placed = x->nr;
		return err;
	}
	mem += x->placed * SECTOR_BYTES;
	if (pooled) {
		limit -= (uintptr_t)mem & (PAGE_BYTES - 1);
		what.buf = mem;
	} else {
		limit = MIN(limit, (uint64_t)q->buf_pages * PAGE_BYTES);
		what.own = blkfront_buf_get(q);
		if (!what.own)
			return -EAGAIN;
		what.buf = what.own->mem;
	}
	/* Without indirect requests, 44 KiB; whole device sectors in any case, since a page holds whole ones. */
	what.bytes = (uint32_t)MIN(left, limit);
	if (!pooled && x->op == BLKFRONT_WRITE)
		memcpy(what.buf, mem, what.bytes);
	if (!pooled && x->op == BLKFRONT_READ)
		what.copy = mem;
	err = place_data(q, x->op, x->sector + x->placed, &what);
	if (err < 0 && what.own)
		blkfront_buf_put(q, what.own);
	if (err == 0)
		x->placed += what.bytes / SECTOR_BYTES;
	return err;
}

/* Make the callback of @x if nothing of it is left. */
static uint32_t finish(struct blkfront_xfer *x)
{
	if (x->parts || (x->err == 0 && x->placed < x->nr))
		return 0;
	list_del(&x->entry);
	x->done(x->arg, x->err);
	return 1;
}

/* All of @x that fits: 0 when it is placed whole, -EAGAIN, or the error that ends it. */
static int place(struct blkfront_queue *q, struct blkfront_xfer *x)
{
	bool pooled = has_data(x->op) && in_pool(q, x->mem, x->nr * SECTOR_BYTES);
	int err = x->err ? x->err : check_io(q, x->op, x->sector, x->op == BLKFRONT_FLUSH ? 0 : x->nr);

	do {
		if (err == 0)
			err = place_part(q, x, pooled);
		if (err == 0)
			x->parts++;
	} while (err == 0 && x->placed < x->nr);
	return err;
}

/* Place what fits, in order: false when there is no more room. Calls nobody back. */
static bool pump_list(struct blkfront_queue *q, struct list *list)
{
	while (!list_empty(list)) {
		struct blkfront_xfer *x = list_entry(list->next, struct blkfront_xfer, entry);
		int err = place(q, x);

		if (err == -EAGAIN)
			return false;
		list_del(&x->entry);
		if (err < 0) {
			x->err = err;
			if (x->parts == 0)
				list_add_tail(&q->failed, &x->entry);
		}
	}
	return true;
}

static void pump(struct blkfront_queue *q)
{
	/* On a dead device everything fails; while the back end is away everything waits. */
	if (!is_dead(q->b) && (!q->live || link_now(q->b) != q->link))
		return;
	if (pump_list(q, &q->again))
		(void)pump_list(q, &q->xfers);
}

int blkfront_xfer(struct blkfront_queue *q, struct blkfront_xfer *x)
{
	int err = check_io(q, x->op, x->sector, x->nr);

	if (err < 0)
		return err;
	if (has_data(x->op) && (uintptr_t)x->mem % q->agreed.info.sector_size &&
	    in_pool(q, x->mem, x->nr * SECTOR_BYTES))
		return -EINVAL;
	if (x->op == BLKFRONT_FLUSH)
		x->nr = 0;
	x->placed = 0;
	x->parts = 0;
	x->err = 0;
	list_add_tail(&q->xfers, &x->entry);
	return 0;
}

/* ------------------------------------------------------------------ completing */

/* The device is dead, unless the back end is away already: nobody answers for what is in the ring then. */
static void broken(struct blkfront_queue *q, enum blk_rsp_fault fault)
{
	char why[BLKFRONT_WHY_MAX];

	if (link_now(q->b) != q->link)
		return;
	snprintf(why, sizeof(why), "the back end broke the protocol: %s", blk_rsp_fault_text(fault));
	if (blkfront_set_status(q->b, -EIO, why))
		log_error("%s: the back end (domain %u) broke the protocol: %s; the disk is not used any more",
			  q->b->front->dev.dir, q->agreed.domid, blk_rsp_fault_text(fault));
}

/* The end of a request, whether or not it took more than one life. */
static uint32_t end_request(struct blkfront_queue *q, const struct slot *s, int err)
{
	if (!s->xfer) {
		s->done(s->arg, err);
		return 1;
	}
	if (s->copy && err == 0)
		memcpy(s->copy, s->buf, s->bytes);
	if (s->own)
		blkfront_buf_put(q, s->own);
	if (err < 0 && s->xfer->err == 0)
		s->xfer->err = err;
	s->xfer->parts--;
	return finish(s->xfer);
}

void blkfront_replay_done(void *arg, int err)
{
	struct replay *r = arg;
	struct blkfront_queue *q = r->q;
	const struct slot saved = r->saved;

	list_del(&r->all);
	q->nr_replays--;
	free(r);
	end_request(q, &saved, err);
}

/* What an answer says of what will be there after the next crash. */
static int note_flush(struct blkfront_queue *q, const struct slot *s, int err)
{
	if (s->op == BLKFRONT_WRITE || s->op == BLKFRONT_DISCARD || s->op == BLKFRONT_SECURE_DISCARD)
		q->dirty = q->dirty || err == 0;
	if (s->op != BLKFRONT_FLUSH)
		return err;
	q->dirty = q->dirty || err < 0;
	if (err < 0 || s->ours || !q->suspect)
		return err;
	q->suspect = false;
	log_error("%s: what was written and not flushed before the back end's domain changed may be lost: a flush "
		  "fails for it",
		  q->b->front->dev.dir);
	return -EIO;
}

static uint32_t complete(struct blkfront_queue *q, uint32_t i, int err)
{
	struct slot s = q->slot[i]; /* its callback may submit, and get the same slot */
	uint32_t offset = (uint32_t)((uintptr_t)s.buf & (PAGE_BYTES - 1));

	q->slot[i].shared = NULL;
	if (s.indirect != NO_INDIRECT)
		q->free_indirect[q->nr_free_indirect++] = s.indirect;
	if (s.shared) {
		/* Revoked whatever the back end does with it: the driver keeps the page if it is still mapped. */
		if (err == 0 && s.op == BLKFRONT_READ)
			memcpy(s.buf, (uint8_t *)s.shared + offset, s.bytes);
		share_revoke(q->fq.share, s.shared, s.nr_shared);
	}
	return end_request(q, &s, note_flush(q, &s, err));
}

static uint32_t finish_failed(struct blkfront_queue *q)
{
	uint32_t n = 0;

	while (!list_empty(&q->failed))
		n += finish(list_entry(q->failed.next, struct blkfront_xfer, entry));
	return n;
}

/* The device is dead: everything ends here, with its status. */
static uint32_t fail_all(struct blkfront_queue *q)
{
	int err = blkfront_status(q->b);
	uint32_t n = 0;

	for (uint32_t i = 0; q->flight.used && i < q->flight.nr; i++)
		if (q->flight.slot[i].op != BLK_RSP_IDLE) {
			blk_flight_drop(&q->flight, i);
			n += complete(q, i, err);
		}
	pump(q);
	return n + finish_failed(q);
}

void blkfront_kick(struct blkfront_queue *q)
{
	if (!list_empty(&q->xfers) || !list_empty(&q->again))
		pump(q);
	if (!q->unpublished)
		return;
	q->counts.requests += q->unpublished;
	q->unpublished = 0;
	if (ring_front_push(&q->ring)) {
		q->counts.events_sent++;
		evtchn_notify(q->fq.evtchn, q->fq.ring[0].port);
	}
}

uint32_t blkfront_take_answers(struct blkfront_queue *q)
{
	struct blkif_response raw;
	struct blk_rsp rsp;
	uint32_t n = 0;
	int pending;

	pending = ring_front_pending(&q->ring);
	if (unlikely(pending < 0)) {
		broken(q, BLK_RSP_BAD_PRODUCER);
		return is_dead(q->b) ? fail_all(q) : 0;
	}
	if (pending > 0) {
		q->worked = true;
		if (unlikely(q->answered_life != q->agreed.life)) {
			q->answered_life = q->agreed.life;
			atomic_store(&q->b->answered_life, q->agreed.life);
		}
	}
	while (pending-- > 0) {
		enum blk_rsp_fault fault;

		ring_front_take(&q->ring, &raw);
		fault = blk_rsp_accept(&q->flight, &raw, &rsp);
		if (unlikely(fault != BLK_RSP_OK)) {
			broken(q, fault);
			return n + (is_dead(q->b) ? fail_all(q) : 0);
		}
		n += complete(q, rsp.slot, rsp.status);
	}
	return n;
}

uint32_t blkfront_poll(struct blkfront_queue *q)
{
	uint32_t n = 0;
	uint64_t v;

	if (unlikely(q->woken)) {
		q->woken = false;
		if (read(q->wake_fd, &v, sizeof(v)) < 0)
			v = 0; /* somebody else's: the state tells */
	}
	if (is_dead(q->b))
		return fail_all(q);
	if (unlikely(link_now(q->b) != q->link)) {
		n = blkfront_follow(q);
		if (is_dead(q->b))
			return n + fail_all(q);
	}
	if (!q->parked) {
		n += blkfront_take_answers(q);
		blkfront_kick(q);
		if (unlikely(phase_of(q->link) == DRAIN) && q->flight.used == 0 && !is_dead(q->b))
			blkfront_drained(q);
	}
	if (unlikely(!list_empty(&q->failed)))
		n += finish_failed(q);
	return n;
}

/* ------------------------------------------------------------------ waiting */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* True: something to poll, or nothing to wait for. */
static bool spin(struct blkfront_queue *q, uint32_t us)
{
	uint64_t end = us ? now_ns() + us * (uint64_t)1000 : 0;

	do {
		for (uint32_t i = 0; i < 32; i++) {
			if (ring_front_pending(&q->ring) != 0 || is_dead(q->b) || link_now(q->b) != q->link)
				return true;
			if (!us)
				return false;
			relax();
		}
	} while (now_ns() < end);
	return false;
}

/* An event that comes while nothing is answered is idle; some are, since we look without being told. */
static void read_events(struct blkfront_queue *q)
{
	bool heard = false;

	while (q->due && evtchn_next(q->fq.evtchn) > 0) {
		q->counts.events_received++;
		heard = q->masked = true;
	}
	q->due = false;
	if (q->worked) {
		q->idle = 0;
	} else if (heard) {
		q->idle++;
		q->counts.events_idle++;
	}
	q->worked = false;
}

bool blkfront_arm(struct blkfront_queue *q, uint32_t wake)
{
	uint32_t inflight = q->flight.used;

	if (!list_empty(&q->failed) || is_dead(q->b) || link_now(q->b) != q->link)
		return true;
	if (inflight == 0)
		return q->live; /* else until it is again */
	read_events(q);
	/* In a storm the port stays masked while we look away; the ring is served all the same. */
	q->nap = q->idle >= IDLE_EVENTS;
	if (q->nap) {
		q->idle = IDLE_EVENTS - 1;
	} else if (q->masked) {
		/* Before asking for the next event: one that comes while masked is delivered by this. */
		q->masked = false;
		evtchn_unmask(q->fq.evtchn, q->fq.ring[0].port);
	}
	/* @wake is at least 1 and no more than will ever come, so the event does come. */
	return ring_front_arm(&q->ring, MAX(MIN(wake, inflight), 1u)) != 0;
}

void blkfront_sleep(struct blkfront_queue *q, uint32_t ms)
{
	struct pollfd p[2] = { { .fd = q->fq.evtchn ? evtchn_fd(q->fq.evtchn) : -1, .events = POLLIN },
			       { .fd = q->wake_fd, .events = POLLIN } };

	q->counts.sleeps++;
	if (q->nap)
		ms = MIN(ms, NAP_MS);
	if (poll(p, 2, (int)MIN(ms, (uint32_t)INT32_MAX)) > 0) {
		q->due = p[0].revents != 0;
		q->woken = p[1].revents != 0;
	}
}

void blkfront_wait(struct blkfront_queue *q, uint32_t wake, uint32_t spin_us, uint32_t ms)
{
	blkfront_kick(q);
	if (q->live && (q->flight.used == 0 || spin(q, spin_us)))
		return;
	if (!blkfront_arm(q, wake))
		blkfront_sleep(q, ms);
}

uint32_t blkfront_inflight(const struct blkfront_queue *q)
{
	return MAX(q->flight.used, q->nr_replays);
}

struct blkfront_counts blkfront_counts(const struct blkfront_queue *q)
{
	return q->counts;
}

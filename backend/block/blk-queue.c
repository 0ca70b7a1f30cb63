/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-queue.c - a turn of one ring: take -> parse -> data -> store -> respond -> push -> notify if asked.
 *
 *	      ring                                       store
 *	take  --> slot copied, parsed: blk_slot
 *		  pages found, or copied in by one grant copy for the turn
 *		  submitted, then started by one kick      -->
 *		  finished ones                            <--
 *		  read data copied out by one grant copy for the turn
 *		  pages let go of
 *	<-- one response each, one push, a notification if asked for
 *
 * A turn takes at most ops->batch requests before it publishes.  Where io is synchronous that is few: the front
 * end can work on the first responses while we work on the next requests.  Where it is asynchronous it is many:
 * one system call starts them all.
 *
 * A response goes out after the request's pages were let go of: a front end may take back a page when it sees
 * the answer, and checks that it can (XSA-396).
 */
#include <errno.h>

#include "backend/block/blk-queue.h"

#define TRIM_EVERY_NS 10000000000ull /* persistent grants: how often an idle queue looks at them */
#define TRIM_IDLE_NS  60000000000ull /* and unmaps those unused for this long */
#define AGE_EVERY_NS  1000000000ull  /* a busy queue whose cache is full: lets unused ones make room */

static struct blk_queue *of(const struct queue *q)
{
	return q->priv;
}

/* ------------------------------------------------------------------ a request's way */

static void done(struct blk_queue *b, struct blk_slot *s)
{
	s->state = BLK_DONE;
	s->next = b->done;
	b->done = s;
}

/* The next step to the store, or done. */
static void advance(struct blk_queue *b, struct blk_slot *s)
{
	if (!blk_slot_next_step(s)) {
		done(b, s);
		return;
	}
	s->state = BLK_QUEUED;
	s->io.offset = s->req.sector * SECTOR_BYTES;
	s->io.bytes = s->req.nr_sectors * SECTOR_BYTES;
	s->io.tries = 0;
	b->submitted++;
	b->ops->submit(b->store, &s->io);
}

static void reap(struct blk_queue *b)
{
	struct store_io *io = b->ops->reap(b->store), *next;

	for (; io; io = next) {
		struct blk_slot *s = container_of(io, struct blk_slot, io);

		next = io->next;
		if (io->result)
			blk_slot_fail(s, io->result);
		advance(b, s);
	}
}

/* The guest's mistake: counted and told. */
static void blame(struct blk_queue *b, const struct blk_slot *s, int err)
{
	STAT_ADD(b->stats.bad, 1);
	b->sins++;
	device_log_guest(b->q->dev, LOG_LVL_WARN,
			 "%s: bad request: op %u%s, sector %llu, %llu sectors, %u segments: %s", b->q->dev->name,
			 s->req.op, s->req.indirect ? " (indirect)" : "", (unsigned long long)s->req.sector,
			 (unsigned long long)s->req.nr_sectors, s->req.nr_segs, strerror(-err));
}

static void reject(struct blk_queue *b, struct blk_slot *s, int err)
{
	blame(b, s, err);
	blk_slot_fail(s, err);
	s->req.nr_segs = 0; /* its segments are not to be trusted; it holds no page */
	done(b, s);
}

/* Copy the next request out of the ring and make sense of it.  NULL: it was refused. */
static struct blk_slot *take_one(struct blk_queue *b, uint64_t now)
{
	struct blk_slot *s = blk_table_take(&b->table, now);
	int rc;

	ring_back_take(&b->ring, b->slot_copy);
	rc = blk_parse(b->abi, b->slot_copy, &b->lim, &s->req);
	if (rc == 0 && s->req.indirect) {
		STAT_ADD(b->stats.indirect, 1);
		rc = blk_data_indirect(&b->data, s->req.ind_gref[0], b->page_copy);
		blk_slot_parsed(&b->table, s);
		if (rc == 0)
			rc = blk_parse_indirect(b->page_copy, &b->lim, &s->req, s->segs);
	} else if (rc == 0) {
		blk_slot_parsed(&b->table, s);
	}
	if (likely(rc == 0))
		return s;
	reject(b, s, rc);
	return NULL;
}

/* False: no bounce pages for it now. */
static bool get_pages(struct blk_queue *b, struct blk_slot *s)
{
	if (!blk_slot_has_data(s))
		return true;
	if (blk_data_get(&b->data, s))
		return false;
	s->state = BLK_COPYING;
	return true;
}

static bool may_take(const struct blk_queue *b)
{
	return blk_table_open(&b->table) && !b->parked;
}

/*
 * Take up to a batch, find pages, copy the data of writes in by one call, submit.  The list keeps ring order: what the
 * guest queued first goes to the store first.
 */
static uint32_t take_batch(struct blk_queue *b, uint32_t pending, uint64_t now)
{
	struct blk_slot *first = NULL, **tail = &first, *s, *next;
	uint32_t nr = 0, limit = MIN(pending, b->ops->batch);
	uint64_t sectors = 0, max_sectors = b->ops->batch_bytes / SECTOR_BYTES;

	if (b->parked && get_pages(b, b->parked)) {
		*tail = b->parked;
		tail = &b->parked->next;
		b->parked = NULL;
	}
	for (; nr < limit && sectors < max_sectors && may_take(b); nr++) {
		s = take_one(b, now);
		if (!s)
			continue;
		sectors += s->req.nr_segs ? s->req.nr_sectors : 0;
		if (s == b->table.barrier && !blk_slot_may_start(&b->table, s))
			break; /* consumed; blk_queue_turn() starts it when it is alone */
		if (!get_pages(b, s)) {
			b->parked = s;
			break;
		}
		*tail = s;
		tail = &s->next;
	}
	*tail = NULL;
	if (!first)
		return nr;
	blk_data_copy(&b->data);
	for (s = first; s; s = next) {
		next = s->next;
		advance(b, s); /* or done, when its copy failed */
	}
	return nr;
}

/* A barrier that has become alone. */
static void start_barrier(struct blk_queue *b)
{
	struct blk_slot *s = b->table.barrier;

	if (!s || s->state != BLK_PARSED || b->parked || !blk_slot_may_start(&b->table, s))
		return;
	if (!get_pages(b, s)) /* cannot be: it is alone, so all bounce pages are free */
		blk_slot_fail(s, -ENOMEM);
	blk_data_copy(&b->data);
	advance(b, s);
}

static void account(struct blk_queue *b, const struct blk_slot *s, uint64_t now)
{
	uint32_t k = s->req.kind;

	STAT_ADD(b->stats.requests[k], 1);
	if (unlikely(s->err))
		STAT_ADD(b->stats.errors[k], 1);
	else
		STAT_ADD(b->stats.sectors[k], s->req.nr_sectors);
	hist_add(&b->stats.latency[k], now - s->start_ns);
}

/* Answer all that is done.  Returns how many; the end of the turn in q->now. */
static uint32_t respond(struct blk_queue *b)
{
	struct blk_slot *s, *next;
	uint32_t nr = 0;

	for (s = b->done; s; s = s->next)
		if (s->bounced && s->req.kind == BLK_READ && !s->err)
			blk_data_give(&b->data, s);
	blk_data_copy(&b->data);
	b->q->now = now_ns();
	for (s = b->done; s; s = next) {
		struct blk_rsp rsp;

		next = s->next;
		if (unlikely(s->copy_failed))
			blame(b, s, s->err);
		if (s->has_pages)
			blk_data_put(&b->data, s);
		account(b, s, b->q->now);
		rsp = blk_table_answer(&b->table, s);
		ring_back_put(&b->ring, &rsp, MIN(sizeof(rsp), b->ring.rsp_size));
		nr++;
	}
	b->done = NULL;
	STAT_ADD(b->stats.responses, nr); /* counted before anybody can have seen them */
	if (ring_back_push(&b->ring))
		queue_notify(b->q, 0);
	for (; unlikely(b->sins); b->sins--)
		queue_penalty(b->q, b->q->now);
	return nr;
}

static void publish_gauges(struct blk_queue *b)
{
	STAT_SET(b->stats.in_flight, blk_table_inflight(&b->table));
	STAT_SET(b->stats.bounce_bytes, (uint64_t)blk_data_bounce_pages(&b->data) * PAGE_BYTES);
	STAT_SET(b->stats.copy_calls, b->data.copy_calls);
	STAT_SET(b->stats.copy_segs, b->data.copy_segs);
	STAT_SET(b->stats.cache_hits, b->data.cache_hits);
	STAT_SET(b->stats.persistent_mapped, b->data.cache ? grant_cache_mapped(b->data.cache) : 0);
}

static void age_cache(struct blk_queue *b, uint64_t now)
{
	if (!b->data.cache || grant_cache_mapped(b->data.cache) < BLK_PERSISTENT_MAX || now - b->aged_ns < AGE_EVERY_NS)
		return;
	b->aged_ns = now;
	(void)grant_cache_trim(b->data.cache, now, TRIM_IDLE_NS);
}

int blk_queue_turn(struct queue *q, bool take)
{
	struct blk_queue *b = of(q);
	int pending = take && may_take(b) ? ring_back_pending(&b->ring) : 0;
	uint32_t did = 0;

	if (pending > 0 || b->parked) {
		b->lim.sectors = STAT_GET(b->disk->sectors);
		did = take_batch(b, pending > 0 ? (uint32_t)pending : 0, now_ns());
	}
	if (b->ops->ready(b->store))
		reap(b);
	start_barrier(b);
	/* A flush or barrier needs several rounds; where io is synchronous they all happen here. */
	while (b->submitted) {
		did += b->submitted;
		b->submitted = 0;
		b->ops->kick(b->store);
		reap(b);
		start_barrier(b);
	}
	if (b->done)
		did += respond(b);
	else if (did)
		q->now = now_ns();
	if (did) {
		publish_gauges(b);
		age_cache(b, q->now);
	}
	return pending < 0 ? pending : (int)did;
}

/* ------------------------------------------------------------------ between turns */

bool blk_queue_peek(struct queue *q)
{
	struct blk_queue *b = of(q);

	return (may_take(b) && ring_back_pending(&b->ring) != 0) || b->ops->ready(b->store);
}

int blk_queue_arm(struct queue *q)
{
	struct blk_queue *b = of(q);

	if (!may_take(b)) /* full, or held up: a completion wakes us, and then we look */
		return b->ops->ready(b->store);
	return ring_back_arm(&b->ring);
}

uint32_t blk_queue_wait(struct queue *q, int64_t timeout_ns)
{
	struct blk_queue *b = of(q);

	if (b->ops->wait)
		return b->ops->wait(b->store, timeout_ns);
	return queue_wait_fds(q, b->store->fd, timeout_ns);
}

bool blk_queue_drained(const struct queue *q)
{
	return blk_table_inflight(&of(q)->table) == 0;
}

uint64_t blk_queue_idle(struct queue *q, uint64_t now, uint64_t idle_ns)
{
	struct blk_queue *b = of(q);

	blk_data_idle(&b->data);
	blk_table_idle(&b->table);
	if (b->ops->idle)
		b->ops->idle(b->store);
	if (!b->data.cache)
		return 0;
	(void)grant_cache_trim(b->data.cache, now, TRIM_IDLE_NS);
	publish_gauges(b);
	return grant_cache_mapped(b->data.cache) ? TRIM_EVERY_NS : 0;
}

void blk_queue_hurry(struct queue *q)
{
	struct blk_queue *b = of(q);

	if (b->ops->cancel)
		b->ops->cancel(b->store);
}

uint64_t blk_queue_oldest_ns(const struct blk_queue *b, uint64_t now)
{
	uint64_t oldest = 0;

	for (uint32_t i = 0; i < b->table.nr; i++) {
		uint64_t at = __atomic_load_n(&b->table.slots[i].start_ns, __ATOMIC_RELAXED);

		if (at && now > at)
			oldest = MAX(oldest, now - at);
	}
	return oldest;
}

/* ------------------------------------------------------------------ life */

int blk_queue_open(struct queue *q, const struct wire_connect *c)
{
	struct blk_dev *disk = q->dev->priv;
	const struct blk_info *i = &disk->store->info;
	struct blk_queue *b = aligned_alloc(64, (sizeof(*b) + 63) / 64 * 64);
	int rc;

	if (!b)
		return -ENOMEM;
	memset(b, 0, sizeof(*b));
	q->priv = b;
	b->q = q;
	b->disk = disk;
	b->abi = c->abi;
	b->ops = disk->store->ops;
	b->lim = (struct blk_limits){
		.readonly = i->readonly,
		.can_flush = i->can_flush,
		.can_barrier = (disk->flags & BLK_O_BARRIER) && c->nr_queues == 1,
		.can_discard = i->can_discard,
		.can_secure = i->can_secure_discard,
	};
	rc = ring_back_attach(&b->ring, queue_ring(q, 0), queue_ring_bytes(q), blk_slot_bytes(b->abi),
			      blk_rsp_bytes(b->abi));
	if (rc == 0)
		rc = blk_table_init(&b->table, b->ring.nr_ents);
	if (rc == 0)
		rc = blk_data_init(&b->data, worker.grant, worker.domid, c->features & BLK_F_PERSISTENT);
	if (rc == 0)
		rc = b->ops->queue_new(disk->store, evtchn_fd(q->evtchn), q->control_fd, b->table.nr, &b->store);
	return rc;
}

void blk_queue_close(struct queue *q)
{
	struct blk_queue *b = of(q);

	if (!b)
		return;
	q->priv = NULL;
	if (b->store)
		b->ops->queue_free(b->store);
	blk_data_fini(&b->data);
	blk_table_fini(&b->table);
	blk_stats_add(&b->disk->past, &b->stats);
	free(b);
}

int blk_queue_start(struct queue *q)
{
	struct blk_queue *b = of(q);

	return b->ops->queue_start ? b->ops->queue_start(b->store) : 0;
}

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
 * An event may be held back while there is more to answer (backend/worker/moderate.h).  It waits in q->held_until, and
 * blk_queue_settle() looks at it again: rsp_event is read anew then, over all responses since the last event.
 *
 * What is taken is in the journal first, what is answered is marked there first (blk-journal.h): when this process dies
 * anywhere in between, its successor goes on.  blk_queue_open() recovers, take_replayed() begins what was under way.
 *
 * A response goes out after the request's pages were let go of: a front end may take back a page when it sees
 * the answer, and checks that it can (XSA-396).
 */
#include <errno.h>
#include <poll.h>

#include "backend/block/blk-queue.h"
#include "common/base/crash.h"

#define TRIM_EVERY_NS 10000000000ull /* persistent grants: how often an idle queue looks at them */
#define TRIM_IDLE_NS  60000000000ull /* and unmaps those unused for this long */
#define AGE_EVERY_NS  1000000000ull  /* a busy queue whose cache is full: lets unused ones make room */
#define MAX_ATTEMPTS  2u             /* of successors: a request that killed so many is answered with an error */
#define OVERLAP_NS    200000         /* how long one waits for another ring's before it looks again */
#define ALONE_NS      1000000000ull  /* how long one that may kill us runs alone; times slowness */

/*
 * One that was tried before is under way, in whichever ring of whichever disk of this process: nothing else begins until it is answered, or
 * till then (now_ns()).  0: there is none.  What kills a worker does so at once, and a store that never answers must not hold up other disks.
 */
static struct {
	uint64_t until __attribute__((aligned(64))); /* read for each request */
} alone;

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
	if (unlikely(b->q->held_until && s->io.op > STORE_WRITE)) /* may take its time, here and now */
		blk_queue_settle(b->q, UINT64_MAX);
	b->submitted++;
	b->ops->submit(b->store, &s->io);
}

/* The image's fault.  What it cannot do at all is the guest's to find out. */
static void tell_failed(struct blk_queue *b, const struct blk_slot *s, int err)
{
	static const char *const ops[] = { [STORE_READ] = "read", [STORE_WRITE] = "write", [STORE_FLUSH] = "flush" };
	const char *op = s->io.op < ARRAY_SIZE(ops) && ops[s->io.op] ? ops[s->io.op] : "trim";

	if (err != -EOPNOTSUPP)
		worker_log_guest(LOG_LVL_WARN, "%s: %s of %llu bytes at %llu failed: %s", b->q->dev->name, op,
				 (unsigned long long)s->io.bytes, (unsigned long long)s->io.offset, strerror(-err));
}

/* The worker goes, and a successor goes on from the journal: what was cut short for that is its. */
static bool leave(struct blk_queue *b, int result)
{
	if (likely(result != -ECANCELED || !__atomic_load_n(&b->q->leaving, __ATOMIC_RELAXED)))
		return false;
	b->left++;
	STAT_SET(b->disk->left, true);
	return true;
}

static void reap(struct blk_queue *b)
{
	struct store_io *io = b->ops->reap(b->store), *next;

	for (; io; io = next) {
		struct blk_slot *s = container_of(io, struct blk_slot, io);

		next = io->next;
		if (leave(b, io->result))
			continue;
		if (unlikely(io->result)) {
			tell_failed(b, s, io->result);
			blk_slot_fail(s, io->result);
		}
		advance(b, s);
	}
}

/* The guest's mistake: counted and told. */
static void blame(struct blk_queue *b, const struct blk_slot *s, int err)
{
	STAT_ADD(b->stats.bad, 1);
	b->sins++;
	worker_log_guest(LOG_LVL_WARN, "%s: bad request: op %u%s, sector %llu, %llu sectors, %u segments: %s",
			 b->q->dev->name, s->req.op, s->req.indirect ? " (indirect)" : "",
			 (unsigned long long)s->req.sector, (unsigned long long)s->req.nr_sectors, s->req.nr_segs,
			 strerror(-err));
}

static void reject(struct blk_queue *b, struct blk_slot *s, int err)
{
	blame(b, s, err);
	blk_slot_fail(s, err);
	s->req.nr_segs = 0; /* its segments are not to be trusted; it holds no page */
	done(b, s);
}

/* Make sense of a copied slot. */
static int parse(struct blk_queue *b, struct blk_slot *s, const void *copy)
{
	int rc = blk_parse(b->abi, copy, &b->lim, &s->req);

	if (rc == 0 && s->req.indirect) {
		STAT_ADD(b->stats.indirect, 1);
		rc = blk_data_indirect(&b->data, s->req.ind_gref[0], b->page_copy);
		blk_slot_parsed(&b->table, s);
		if (rc == 0)
			rc = blk_parse_indirect(b->page_copy, &b->lim, &s->req, s->segs);
	} else if (rc == 0) {
		blk_slot_parsed(&b->table, s);
	}
	return rc;
}

/* Copy the next request out of the ring and make sense of it.  NULL: it was refused. */
static struct blk_slot *take_one(struct blk_queue *b, uint64_t now)
{
	struct blk_slot *s = blk_table_take(&b->table, now);
	int rc;

	ring_back_take(&b->ring, b->slot_copy);
	blk_journal_take(b->journal, s->index, ++b->seq, b->slot_copy, blk_slot_used(b->abi, b->slot_copy));
	b->executing++;
	rc = parse(b, s, b->slot_copy);
	if (likely(rc == 0))
		return s;
	reject(b, s, rc);
	return NULL;
}

/*
 * The next of those that were under way when a predecessor died.  One that was tried before without success runs alone
 * (may_run()): if it is what kills workers, nothing else is blamed for it.  NULL: none, not now, or it was refused.
 */
static struct blk_slot *take_replayed(struct blk_queue *b)
{
	struct blk_slot *s = b->replay;
	uint32_t tried = s ? b->journal->slot[s->index].attempts : 0;

	if (!s || (tried > 0 && b->executing > 0))
		return NULL;
	b->replay = s->next;
	b->executing++;
	STAT_ADD(b->stats.replayed, 1);
	if (s->err) {
		reject(b, s, s->err);
		return NULL;
	}
	if (tried >= MAX_ATTEMPTS) {
		log_error("%s: a request (op %u, sector %llu) was under way at %u deaths of a worker: it gets an error",
			  b->q->dev->name, s->req.op, (unsigned long long)s->req.sector, tried + 1);
		reject(b, s, -EIO);
		return NULL;
	}
	s->replayed = true;
	return s;
}

/* One that was tried before may begin, when no other is under way; @until: what was found of the last. */
static bool begin_alone(struct blk_queue *b, struct blk_slot *s, uint64_t until)
{
	b->alone_until = now_ns() + ALONE_NS * worker.slowness;
	/* Acquire, with survived(): who dies from here on leaves a journal in which the one before is answered. */
	if (!__atomic_compare_exchange_n(&alone.until, &until, b->alone_until, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	b->alone = s;
	return true;
}

/*
 * It has its claim: may it begin, as far as those go that may kill us?  From here on a death counts against one that is replayed, and not
 * before, when it only waits.
 */
static bool may_run(struct blk_queue *b, struct blk_slot *s)
{
	uint64_t until = __atomic_load_n(&alone.until, __ATOMIC_RELAXED);

	if (unlikely(until) && until > now_ns())
		return false;
	if (likely(!s->replayed))
		return true;
	if (b->journal->slot[s->index].attempts > 0 && !begin_alone(b, s, until))
		return false;
	s->replayed = false;
	blk_journal_attempt(b->journal, s->index);
	CRASH_POINT("recover.resubmit");
	return true;
}

/* It is answered, and no worker died of it. */
static void survived(struct blk_queue *b)
{
	uint64_t until = b->alone_until;

	b->alone = NULL;
	(void)!__atomic_compare_exchange_n(&alone.until, &until, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
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

/* It has pages, and nothing is under way that it overlaps with or that is to be alone; else it is parked. */
static bool may_begin(struct blk_queue *b, struct blk_slot *s)
{
	bool claimed = blk_overlap_claim(&b->disk->overlap, &b->table, s), runs;

	if (likely(claimed))
		blk_journal_claimed(b->journal, s->index);
	runs = claimed && may_run(b, s);
	b->held_up = claimed ? !runs : b->disk->overlap.shared;
	if (likely(runs && get_pages(b, s)))
		return true;
	if (!claimed && b->parked != s)
		STAT_ADD(b->stats.overlaps, 1);
	else if (runs && b->parked != s)
		STAT_ADD(b->stats.bounce_waits, 1);
	b->parked = s;
	return false;
}

static bool may_take(const struct blk_queue *b)
{
	return blk_table_open(&b->table) && !b->parked && !b->replay;
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

	if (b->parked && may_begin(b, b->parked)) {
		*tail = b->parked;
		tail = &b->parked->next;
		b->parked = NULL;
	}
	while (unlikely(b->replay && !b->parked)) {
		struct blk_slot *before = b->replay;

		s = take_replayed(b);
		if (b->replay == before)
			break;
		nr++;
		if (!s || s == b->table.barrier || !may_begin(b, s)) /* a barrier begins when it is alone */
			continue;
		*tail = s;
		tail = &s->next;
	}
	for (; nr < limit && sectors < max_sectors && may_take(b); nr++) {
		s = take_one(b, now);
		if (!s)
			continue;
		sectors += s->req.nr_segs ? s->req.nr_sectors : 0;
		if (s == b->table.barrier && !blk_slot_may_start(&b->table, s))
			break; /* consumed; blk_queue_turn() starts it when it is alone */
		if (!may_begin(b, s))
			break;
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

	if (!s || s->state != BLK_PARSED || b->parked || b->replay || !blk_slot_may_start(&b->table, s))
		return;
	(void)!blk_overlap_claim(&b->disk->overlap, &b->table, s); /* one ring, and it is alone */
	blk_journal_claimed(b->journal, s->index);
	b->held_up = !may_run(b, s); /* by another disk */
	if (b->held_up)
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

/* ------------------------------------------------------------------ telling the front end */

/* No event is held from here on. */
static void told(struct blk_queue *b)
{
	ring_back_told(&b->ring);
	b->q->held_until = 0;
}

static void notify(struct blk_queue *b)
{
	queue_notify(b->q, 0);
	told(b);
}

/* All responses are published: send an event for those not told of if they ask for one, now or, if it is to pay, later. */
static void notify_or_hold(struct blk_queue *b, uint64_t now, bool may_hold)
{
	int pending = ring_back_pending(&b->ring); /* impossible: the next turn says so */
	uint32_t waiting = pending > 0 ? (uint32_t)pending : 0;
	struct moderate_load load = { .unseen = ring_back_unseen(&b->ring),
				      .work = blk_table_inflight(&b->table) + waiting,
				      .posted = b->ring.req_cons + waiting };

	if (!ring_back_asked(&b->ring)) {
		moderate_let_go(&b->moderate, load.posted);
		told(b);
	} else if (!may_hold) {
		moderate_let_go(&b->moderate, load.posted);
		notify(b);
	} else if (moderate_hold(&b->moderate, now, &load)) {
		STAT_ADD(b->q->stats.holds, !b->q->held_until);
		b->q->held_until = b->moderate.until;
	} else {
		notify(b);
	}
}

void blk_queue_settle(struct queue *q, uint64_t now)
{
	notify_or_hold(of(q), now, now != UINT64_MAX);
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
	blk_journal_base(b->journal, b->ring.rsp_prod);
	for (s = b->done; s; s = s->next) {
		if (unlikely(s->copy_failed))
			blame(b, s, s->err);
		if (s->has_pages)
			blk_data_put(&b->data, s);
		account(b, s, b->q->now);
		blk_journal_done(b->journal, s->index, blk_status(s->err), b->ring.rsp_prod + nr);
		nr++;
	}
	for (s = b->done; s; s = s->next) {
		struct blk_rsp rsp = blk_table_answer(&b->table, s);

		ring_back_put(&b->ring, &rsp, MIN(sizeof(rsp), b->ring.rsp_size));
		CRASH_POINT("complete.write");
	}
	STAT_ADD(b->stats.responses, nr); /* counted before anybody can have seen them */
	ring_back_publish(&b->ring);
	CRASH_POINT("complete.publish");
	for (s = b->done; s; s = next) {
		next = s->next;
		blk_journal_free(b->journal, s->index);
		blk_overlap_release(&b->disk->overlap, &b->table, s);
		if (unlikely(s == b->alone))
			survived(b);
	}
	b->executing -= nr;
	b->done = NULL;
	notify_or_hold(b, b->q->now, !b->sins); /* a sinner may have to wait */
	for (; unlikely(b->sins); b->sins--)
		queue_penalty(b->q, b->q->now);
	return nr;
}

static void publish_gauges(struct blk_queue *b)
{
	STAT_SET(b->stats.published, b->ring.rsp_prod);
	STAT_SET(b->stats.in_flight, blk_table_inflight(&b->table));
	STAT_SET(b->stats.bounce_bytes, (uint64_t)blk_data_bounce_pages(&b->data) * PAGE_BYTES);
	STAT_SET(b->stats.bounce_held, (uint64_t)b->data.touched * PAGE_BYTES);
	STAT_SET(b->stats.copy_calls, b->data.copy_calls);
	STAT_SET(b->stats.copy_segs, b->data.copy_segs);
	STAT_SET(b->stats.cache_hits, b->data.cache_hits);
	STAT_SET(b->stats.persistent_mapped, b->data.cache ? grant_cache_mapped(b->data.cache) : 0);
}

static void age_cache(struct blk_queue *b, uint64_t now)
{
	if (!b->data.cache || now - b->aged_ns < AGE_EVERY_NS || !grant_cache_full(b->data.cache))
		return;
	b->aged_ns = now;
	(void)grant_cache_trim(b->data.cache, now, TRIM_IDLE_NS);
}

int blk_queue_turn(struct queue *q, bool take)
{
	struct blk_queue *b = of(q);
	int pending = take && may_take(b) ? ring_back_pending(&b->ring) : 0;
	uint32_t did = 0;

	if (pending > 0 || b->parked || b->replay) {
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

	/* It may wait for another ring's request, of whose end nobody tells us; ours may all take longer. */
	if (unlikely(b->held_up))
		timeout_ns = timeout_ns < 0 ? OVERLAP_NS : MIN(timeout_ns, OVERLAP_NS);
	if (b->ops->wait)
		return b->ops->wait(b->store, timeout_ns);
	return queue_wait_fds(q, b->store->fd, POLLIN, timeout_ns);
}

/* What is left to a successor keeps its claim, so what waits for that is left too, whichever ring it is in. */
bool blk_queue_drained(const struct queue *q)
{
	const struct blk_queue *b = of(q);
	uint32_t with_store = 0;

	if (blk_table_inflight(&b->table) == 0)
		return true;
	if (likely(!STAT_GET(b->disk->left)))
		return false;
	for (uint32_t i = 0; i < b->table.nr; i++)
		with_store += b->table.slots[i].state == BLK_QUEUED;
	return with_store == b->left;
}

uint64_t blk_queue_idle(struct queue *q, uint64_t now, uint64_t idle_ns)
{
	struct blk_queue *b = of(q);

	if (blk_table_inflight(&b->table)) /* left to a successor */
		return 0;
	blk_data_idle(&b->data);
	publish_gauges(b);
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

/* Answers that were written down but not published, and what was under way: to b->replay, in order. */
static void take_over(struct blk_queue *b, const struct blk_journal_found *f, uint64_t now)
{
	struct blk_slot **tail = &b->replay;
	struct blk_req req;

	for (uint32_t i = 0; i < f->nr_done; i++) {
		const struct blk_journal_slot *j = &b->journal->slot[f->done[i]];
		struct blk_rsp rsp;

		(void)!blk_parse(b->abi, j->request, &b->lim, &req); /* whom to answer is there in any case */
		rsp = blk_make_rsp(req.id, req.op, j->status);
		ring_back_put(&b->ring, &rsp, MIN(sizeof(rsp), b->ring.rsp_size));
		CRASH_POINT("recover.rewrite");
	}
	ring_back_publish(&b->ring);
	CRASH_POINT("recover.publish");
	for (uint32_t i = 0; i < f->nr_done; i++)
		blk_journal_free(b->journal, f->done[i]);
	for (uint32_t i = 0; i < f->nr_inflight; i++) {
		struct blk_slot *s = blk_table_take_at(&b->table, f->inflight[i], now);

		s->err = parse(b, s, b->journal->slot[s->index].request);
		*tail = s;
		tail = &s->next;
	}
	*tail = NULL;
}

/* All rings have been read, and none is served yet: no new request comes before those that were under way. */
static void inherit_claims(struct blk_queue *last)
{
	const struct device *d = last->q->dev;
	struct blk_heritage ring[WIRE_MAX_QUEUES];

	for (uint32_t i = 0; i < d->nr_queues; i++) {
		const struct blk_queue *b = d->queues[i].priv;

		ring[i] = (struct blk_heritage){ &b->table, b->journal, b->replay };
	}
	blk_overlap_inherit(&last->disk->overlap, ring, d->nr_queues);
}

static int recover(struct blk_queue *b, const struct wire_connect *c)
{
	const uint32_t nr = ring_entries(queue_ring_bytes(b->q), blk_slot_bytes(b->abi));
	struct blk_journal_found f = { 0 };
	const char *why = NULL;
	int rc = ring_back_resume(&b->ring, queue_ring(b->q, 0), queue_ring_bytes(b->q), blk_slot_bytes(b->abi),
				  blk_rsp_bytes(b->abi), READ_ONCE(b->journal->req_cons));

	if (rc) {
		log_error("%s: queue %u cannot go on: its ring is not as it was left", b->q->dev->name, b->q->index);
		return rc;
	}
	f.done = calloc(nr, sizeof(*f.done));
	f.inflight = calloc(nr, sizeof(*f.inflight));
	rc = f.done && f.inflight ? 0 : -ENOMEM;
	if (rc == 0)
		rc = blk_journal_recover(b->journal, nr, b->ring.rsp_prod, b->q->dev->journal.blame, &f, &why);
	if (rc == 0) {
		b->lim.sectors = STAT_GET(b->disk->sectors);
		take_over(b, &f, now_ns());
		b->seq = f.last_seq;
		b->resumed = true;
		log_info("%s: queue %u goes on: %u requests were under way, %u answers were not published",
			 b->q->dev->name, b->q->index, f.nr_inflight, f.nr_done);
	} else if (why) {
		log_error("%s: queue %u cannot go on from its journal: %s", b->q->dev->name, b->q->index, why);
	}
	free(f.done);
	free(f.inflight);
	return rc;
}

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
	b->journal = blk_journal_queue(q->dev->journal.class_part, c, q->index);
	rc = ring_back_attach(&b->ring, queue_ring(q, 0), queue_ring_bytes(q), blk_slot_bytes(b->abi),
			      blk_rsp_bytes(b->abi));
	if (rc == 0)
		rc = blk_table_init(&b->table, b->ring.nr_ents);
	if (rc == 0)
		rc = blk_overlap_add_ring(&disk->overlap, &b->table);
	moderate_init(&b->moderate, device_hold_ns(q->dev), b->ring.nr_ents / 2);
	/*
	 * Reads into a guest's pages that outlive this process could fall into pages that the guest has again by then.  A
	 * writer's image is locked until they are over, a reader's is shared: it reads into memory of ours.
	 */
	if (rc == 0)
		rc = blk_data_init(&b->data, worker.grant, worker.domid,
				   (c->features & BLK_F_PERSISTENT) && !(i->readonly && b->ops->outlives));
	if (rc == 0)
		rc = b->ops->queue_new(disk->store, evtchn_fd(q->evtchn), q->control_fd, b->table.nr, &b->store);
	if (rc == 0 && q->dev->journal.resume)
		rc = recover(b, c);
	else if (rc == 0)
		blk_journal_format(b->journal, b->ring.nr_ents, b->ring.req_cons);
	if (rc == 0 && q->dev->journal.resume && q->index + 1 == c->nr_queues)
		inherit_claims(b);
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

	if (b->resumed) { /* the event that our predecessor owed may be lost */
		queue_notify(q, 0);
		CRASH_POINT("recover.notify");
	}
	return b->ops->queue_start ? b->ops->queue_start(b->store) : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blkfront.c - see blkfront.h */
#include "frontend/block/blkfront.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xen/io/blkif.h>

#include "common/log/log.h"
#include "common/ring/ring.h"
#include "common/xen/paths.h"
#include "frontend/block/blk-rsp.h"
#include "frontend/core/watch.h"

#define IDLE_EVENTS    32u /* so many events without work in a row: a storm (XSA-391) */
#define NAP_MS         1u
#define SEGS_DIRECT    ((uint32_t)BLKIF_MAX_SEGMENTS_PER_REQUEST)
#define SEGS_INDIRECT  ((uint32_t)(PAGE_BYTES / sizeof(struct blkif_request_segment))) /* one indirect page: 2 MiB */
#define NO_INDIRECT    UINT32_MAX
#define PAGE_SECTORS   (PAGE_BYTES / SECTOR_BYTES)
#define DEF_BUF_BYTES  65536u
#define DEF_BUFS       16u
#define DEF_TIMEOUT_MS 30000u
#define MAX_POOL_PAGES (1u << 20) /* 4 GiB: beyond is a mistake of the caller */
#define DRAIN_MS \
	1500u /* a back end that asks gets its answer after this at the latest; one of ours takes the disk by force after two seconds */
#define CLOSE_MS 2000u

const char *const blkfront_types[2] = { "svbd", "vbd" };

/* What we know of a request in flight; same index as its blk_flight slot. */
struct slot {
	blkfront_done_fn *done;
	void *arg;
	struct blkfront_xfer *xfer; /* a part of it; done and arg are unused */
	uint8_t *buf;               /* pool memory of the request */
	struct blkfront_buf *own;   /* goes back to the pool when answered */
	uint8_t *copy;              /* part of a read: where to copy it when answered */
	void *shared;               /* pages granted for this request alone */
	uint64_t sector, nr;        /* 512 bytes each */
	uint64_t seq;               /* its place in the order of submission */
	uint32_t bytes, nr_shared;
	uint32_t indirect; /* index of its indirect page, or NO_INDIRECT */
	enum blkfront_op op;
	bool ours; /* nobody's but the queue's: the flush before it lets go */
};

/* A request that a life of the device ended without answering, or that this one cannot take whole: it is done as an xfer. */
struct replay {
	struct list all; /* of the queue */
	struct blkfront_queue *q;
	struct slot saved;
	struct blkfront_xfer xfer;
};

struct buf {
	struct blkfront_buf pub;
	bool taken;
};

/* What was agreed on when this life began. */
struct agreed {
	struct blkfront_info info;
	uint32_t life; /* 0: none */
	uint32_t domid;
	bool suspect; /* what was not flushed in the life before may be lost */
};

/* struct blkfront.link: the life, and what goes on in it. */
enum phase { LIVE, DRAIN, AWAY };
#define PHASE_BITS 2u

struct blkfront_queue {
	struct blkfront *b;
	uint32_t index;
	uint32_t link; /* what we have followed */
	bool parked;   /* there is no ring, nothing is granted */
	bool live;     /* requests may be placed */
	bool woken;    /* wake_fd is to be read */
	bool dirty;    /* a write was answered, and no flush asked for since */
	bool suspect;  /* the next flush has failed */
	uint32_t told; /* the link of the drain that we have reported to be done with */
	uint32_t answered_life;
	int wake_fd; /* eventfd: link or status has changed */

	struct agreed agreed;
	struct front_queue fq;
	struct ring_front ring;
	struct blk_flight flight;
	struct slot *slot;
	uint64_t seq;
	uint32_t unpublished; /* requests placed since the last push */
	bool due;             /* an event is to be read */
	bool masked;          /* it was read and is not unmasked yet */
	bool worked;          /* something was answered since the last event */
	bool nap;             /* sleep a little, deaf */
	uint32_t idle;        /* events without work, in a row */

	uint8_t *pool;  /* parked: memory of our own alone, unless granted per I/O, when it always is */
	uint32_t *refs; /* of each pool page; NULL when none is granted */
	uint32_t pool_pages, buf_pages;
	struct buf *buf;
	struct buf **free_buf; /* LIFO */
	uint32_t nr_free, nr_bufs;

	uint8_t *indirect; /* pages */
	uint32_t *indirect_refs, *free_indirect, nr_indirect, nr_free_indirect;

	struct list again;   /* replays that are not placed whole yet: before .xfers */
	struct list replays; /* all of them */
	uint32_t nr_replays;
	struct list xfers;  /* not placed whole yet */
	struct list failed; /* ended without an answer; their callbacks are made by blkfront_poll() */
	struct blkfront_counts counts;
} __attribute__((aligned(128)));

struct blkfront {
	struct front *front;
	struct blkfront_config config;
	struct blkfront_info info; /* as of open */
	_Atomic uint64_t sectors;
	_Atomic int status; /* 0 or -errno, see blkfront_status() */
	_Atomic uint32_t link;
	_Atomic uint32_t drained;       /* queues that have nothing in flight any more */
	_Atomic uint32_t answered_life; /* the last one in which a request was answered */
	_Atomic bool flush_failed;      /* before we let go */
	struct front_watcher watcher;
	struct blkfront_queue *queue;
	uint32_t nr_queues;

	/* the control thread's */
	int news_fd; /* eventfd: a queue has drained */
	bool opened;
	uint64_t away_ns; /* since when requests wait */
	uint32_t last_domid;
	char params[STORE_PATH_MAX]; /* which disk it is, as its back end says; "": it does not */
	char refusal[96];            /* why what there is cannot be connected to */
	struct log_limit resized;

	pthread_mutex_t mutex;
	struct agreed agreed;
	struct ring_front next_ring[FRONT_MAX_QUEUES];
	char why[BLKFRONT_WHY_MAX];
};

static inline bool has_data(enum blkfront_op op)
{
	return op == BLKFRONT_READ || op == BLKFRONT_WRITE;
}

/* ------------------------------------------------------------------ status */

int blkfront_status(const struct blkfront *b)
{
	return atomic_load_explicit(&b->status, memory_order_relaxed);
}

static void wake_all(struct blkfront *b)
{
	uint64_t one = 1;

	/* Cannot fail but for a full counter, and then it is readable anyway. */
	for (uint32_t i = 0; i < b->nr_queues; i++)
		if (write(b->queue[i].wake_fd, &one, sizeof(one)) < 0)
			continue;
}

/* First reason wins, but a closing back end may still go or turn out to be lying. True when it is news. */
static bool set_status(struct blkfront *b, int err, const char *why)
{
	int old = atomic_load(&b->status);

	do {
		if (old != 0 && (old != -ESHUTDOWN || err == -ESHUTDOWN))
			return false;
	} while (!atomic_compare_exchange_weak(&b->status, &old, err));
	pthread_mutex_lock(&b->mutex);
	snprintf(b->why, sizeof(b->why), "%s", why);
	pthread_mutex_unlock(&b->mutex);
	wake_all(b);
	return true;
}

void blkfront_why(struct blkfront *b, char why[BLKFRONT_WHY_MAX])
{
	pthread_mutex_lock(&b->mutex);
	memcpy(why, b->why, sizeof(b->why));
	pthread_mutex_unlock(&b->mutex);
}

static enum phase phase_of(uint32_t link)
{
	return (enum phase)(link & ((1u << PHASE_BITS) - 1));
}

static uint32_t link_now(const struct blkfront *b)
{
	return atomic_load_explicit(&b->link, memory_order_acquire);
}

/* The control thread's: queues follow in blkfront_poll(). */
static void set_link(struct blkfront *b, uint32_t life, enum phase phase)
{
	atomic_store_explicit(&b->link, life << PHASE_BITS | phase, memory_order_release);
	wake_all(b);
}

bool blkfront_away(const struct blkfront *b)
{
	return phase_of(link_now(b)) != LIVE && blkfront_status(b) == 0;
}

void blkfront_give_up(struct blkfront *b)
{
	set_status(b, -ETIMEDOUT, "given up");
}

/* -ESHUTDOWN still completes what is in flight. */
static bool is_dead(const struct blkfront *b)
{
	int st = blkfront_status(b);

	return unlikely(st != 0) && st != -ESHUTDOWN;
}

/* The device is dead, unless the back end is away already: nobody answers for what is in the ring then. */
static void broken(struct blkfront_queue *q, enum blk_rsp_fault fault)
{
	char why[BLKFRONT_WHY_MAX];

	if (link_now(q->b) != q->link)
		return;
	snprintf(why, sizeof(why), "the back end broke the protocol: %s", blk_rsp_fault_text(fault));
	if (set_status(q->b, -EIO, why))
		log_error("%s: the back end (domain %u) broke the protocol: %s; the disk is not used any more",
			  q->b->front->dev.dir, q->agreed.domid, blk_rsp_fault_text(fault));
}

/* ------------------------------------------------------------------ connecting */

static uint32_t read_node(struct front *f, const char *leaf, uint32_t otherwise)
{
	struct path p;
	uint32_t v;

	return store_read_u32(f->store, NULL, path_join(&p, f->dev.back, leaf), UINT32_MAX, &v) == 0 ? v : otherwise;
}

/* What is there cannot be connected to. */
static int refuse(struct blkfront *b, int err, const char *fmt, ...) __printf(3, 4);
static int refuse(struct blkfront *b, int err, const char *fmt, ...)
{
	char why[sizeof(b->refusal)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (strcmp(why, b->refusal) != 0) /* not at each try */
		log_warn("%s: the back end that is there is not connected to: %s", b->front->dev.dir, why);
	memcpy(b->refusal, why, sizeof(why));
	return err;
}

/* Which disk it is, as far as the back end tells: a connection must not go on with another one. */
static void read_params(struct front *f, char params[STORE_PATH_MAX])
{
	struct path p;

	if (store_read_into(f->store, NULL, path_join(&p, f->dev.back, "params"), params, STORE_PATH_MAX) < 0)
		params[0] = '\0';
}

static int cls_offer(struct front *f, void *arg)
{
	struct blkfront *b = arg;
	uint32_t want = b->opened ? b->nr_queues : b->config.queues ? b->config.queues : 1;
	uint32_t have = MAX(read_node(f, "multi-queue-max-queues", 1), 1u);
	char params[STORE_PATH_MAX];

	if (b->opened) {
		read_params(f, params);
		if (params[0] && b->params[0] && strcmp(params, b->params) != 0)
			return refuse(b, -ESTALE, "it has another disk: %.32s, where there was %.32s", params,
				      b->params);
		if (have < want)
			return refuse(b, -EOPNOTSUPP, "it offers %u queue(s), and %u are in use", have, want);
	}
	f->nr_queues = MIN(MIN(want, FRONT_MAX_QUEUES), have);
	f->order = MIN(MIN(b->config.max_order, FRONT_MAX_ORDER), read_node(f, "max-ring-page-order", 0));
	return 0;
}

/* The rings are made here, before the back end sees them; their queues take them when they come to it. */
static int cls_prepare(struct front *f, void *arg)
{
	struct blkfront *b = arg;
	int err = 0;

	pthread_mutex_lock(&b->mutex);
	for (uint32_t i = 0; i < f->nr_queues && err == 0; i++)
		err = ring_front_init(&b->next_ring[i], f->queue[i].ring[0].pages, f->queue[i].ring[0].bytes,
				      sizeof(struct blkif_request), sizeof(struct blkif_response));
	pthread_mutex_unlock(&b->mutex);
	return err;
}

static int cls_publish(struct front *f, struct store_tx *t, void *arg)
{
	struct blkfront *b = arg;
	struct path p;

	return store_write(f->store, t, path_join(&p, f->dev.dir, "feature-persistent"),
			   b->config.grants == BLKFRONT_PERSISTENT ? "1" : "0");
}

/* ------------------------------------------------------------------ a queue's memory */

static bool in_pool(const struct blkfront_queue *q, const uint8_t *p, uint64_t bytes)
{
	uint64_t size = (uint64_t)q->pool_pages * PAGE_BYTES;
	uintptr_t off = (uintptr_t)p - (uintptr_t)q->pool;

	return off < size && bytes <= size - off;
}

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
static int queue_init(struct blkfront *b, struct blkfront_queue *q, uint32_t index)
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

static void queue_fini(struct blkfront_queue *q)
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

/* ------------------------------------------------------------------ the back end's nodes */

static int read_info(struct front *f, struct blkfront *b, struct blkfront_info *i)
{
	uint32_t flags = read_node(f, "info", 0), segs;
	struct path p;
	uint64_t n;
	int err;

	err = store_read_u64(f->store, NULL, path_join(&p, f->dev.back, "sectors"), UINT64_MAX / SECTOR_BYTES, &n);
	i->sector_size = read_node(f, "sector-size", SECTOR_BYTES);
	/* A power of two that a page holds whole. */
	if (err < 0 || i->sector_size < SECTOR_BYTES || i->sector_size > PAGE_BYTES ||
	    i->sector_size & (i->sector_size - 1)) {
		const char *what = err < 0 ? "sectors" : "sector-size";

		if (b->opened)
			return refuse(b, -EPROTO, "its %s is missing or makes no sense", what);
		log_error("%s: the back end's %s is missing or makes no sense", f->dev.dir, what);
		return -EPROTO;
	}
	atomic_store(&b->sectors, n);
	i->physical_sector = read_node(f, "physical-sector-size", i->sector_size);
	i->readonly = flags & VDISK_READONLY;
	i->cdrom = flags & VDISK_CDROM;
	i->removable = flags & VDISK_REMOVABLE;
	i->flush = read_node(f, "feature-flush-cache", 0) == 1;
	i->discard = read_node(f, "feature-discard", 0) == 1;
	i->secure_discard = i->discard && read_node(f, "discard-secure", 0) == 1;
	i->discard_granularity = read_node(f, "discard-granularity", i->physical_sector);
	i->discard_alignment = read_node(f, "discard-alignment", 0);
	i->nr_queues = f->nr_queues;
	i->ring_pages = 1u << f->order;
	i->ring_entries = b->next_ring[0].nr_ents;
	i->grants = b->config.grants;
	if (i->grants == BLKFRONT_PERSISTENT && read_node(f, "feature-persistent", 0) != 1)
		i->grants = BLKFRONT_REUSE;
	segs = b->config.no_indirect ? 0 : read_node(f, "feature-max-indirect-segments", 0);
	i->max_segments = MAX(SEGS_DIRECT, MIN(segs, SEGS_INDIRECT));
	i->max_bytes = i->max_segments * PAGE_BYTES;
	return 0;
}

/* It said Connected once more. */
static void look_at_size(struct front *f, struct blkfront *b)
{
	uint64_t n, was = atomic_load(&b->sectors);
	struct path p;

	if (store_read_u64(f->store, NULL, path_join(&p, f->dev.back, "sectors"), UINT64_MAX / SECTOR_BYTES, &n) < 0)
		return;
	if (n != was)
		log_guest(&b->resized, LOG_LVL_INFO, "%s: resized from %llu to %llu sectors", f->dev.dir,
			  (unsigned long long)was, (unsigned long long)n);
	atomic_store(&b->sectors, n);
}

/* What a user has to know who knew the disk before. */
static void tell_changes(struct blkfront *b, const struct blkfront_info *was, const struct blkfront_info *is,
			 uint64_t had)
{
	uint64_t has = atomic_load(&b->sectors);
	const char *dir = b->front->dev.dir;

	if (has != had)
		log_warn("%s: resized from %llu to %llu sectors%s", dir, (unsigned long long)had,
			 (unsigned long long)has, has < had ? "; requests past the end fail" : "");
	if (is->readonly && !was->readonly)
		log_warn("%s: the disk is read-only now; writes fail", dir);
	if (was->flush && !is->flush)
		log_warn("%s: the back end offers no flush any more; flushes fail", dir);
	if (was->discard && !is->discard)
		log_warn("%s: the back end offers no discard any more; discards fail", dir);
}

static int cls_connected(struct front *f, bool again, void *arg)
{
	struct blkfront *b = arg;
	struct agreed a = { .domid = f->dev.back_domid };
	uint64_t had = atomic_load(&b->sectors);
	int err;

	if (again) {
		look_at_size(f, b);
		read_params(f, b->params); /* another medium, by their leave */
		return 0;
	}
	err = read_info(f, b, &a.info);
	if (err < 0)
		return err;
	if (b->opened && a.info.sector_size > b->info.sector_size) {
		atomic_store(&b->sectors, had);
		return refuse(b, -EMEDIUMTYPE, "it has sectors of %u bytes, and there were %u", a.info.sector_size,
			      b->info.sector_size);
	}
	if (b->opened) {
		tell_changes(b, &b->agreed.info, &a.info, had);
		a.info.sector_size = b->info.sector_size; /* whole multiples of the new one: users know no other */
		a.suspect = b->agreed.suspect;
	}
	read_params(f, b->params);
	b->refusal[0] = '\0';
	pthread_mutex_lock(&b->mutex);
	b->agreed = a;
	pthread_mutex_unlock(&b->mutex);
	return 0;
}

static void cls_ended(struct front *f, int err, void *arg)
{
	static const char gone[] = "the back end has gone", asks[] = "the back end wants the disk back";
	struct blkfront *b = arg;

	if (b->watcher.over && blkfront_status(b) == 0) {
		log_warn("%s: %s", f->dev.dir, err ? gone : asks);
		if (err)
			set_link(b, front_life(f), AWAY);
	} else if (set_status(b, err ? err : -ESHUTDOWN, err ? gone : asks)) {
		log_warn("%s: %s%s", f->dev.dir, err ? gone : asks, err ? "" : "; closing it");
	}
}

static void cls_release(struct front *f, void *arg)
{
	struct blkfront *b = arg;

	/* The rings are the queues', or nobody's yet. */
	pthread_mutex_lock(&b->mutex);
	b->agreed.life = 0;
	pthread_mutex_unlock(&b->mutex);
}

static const struct front_class block_class = {
	.nr_rings = 1,
	.ring = { "ring-ref" },
	.published = XenbusStateInitialised,
	.offer = cls_offer,
	.prepare = cls_prepare,
	.publish = cls_publish,
	.connected = cls_connected,
	.ended = cls_ended,
	.release = cls_release,
};

/* ------------------------------------------------------------------ following the back end */

/* From any later life; 0, -EAGAIN: that one is over already, -errno. */
static int adopt(struct blkfront_queue *q, uint32_t life)
{
	struct blkfront *b = q->b;
	int err;

	pthread_mutex_lock(&b->mutex);
	err = b->agreed.life == life && front_take_queue(b->front, life, q->index, &q->fq) ? 0 : -EAGAIN;
	if (err == 0) {
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
	q->suspect = q->suspect || q->agreed.suspect;
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

static void replay_done(void *arg, int err);

static struct replay *new_replay(struct blkfront_queue *q, const struct slot *s)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->q = q;
	r->saved = *s;
	r->saved.shared = NULL;
	r->xfer = (struct blkfront_xfer){
		.op = s->op, .sector = s->sector, .nr = s->nr, .mem = s->buf, .done = replay_done, .arg = r
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
		r = new_replay(q, &q->slot[i]);
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

static uint32_t take_answers(struct blkfront_queue *q);

/* The back end is not there any more. */
static uint32_t park(struct blkfront_queue *q)
{
	uint8_t *spare = NULL;
	uint32_t n;
	int err;

	q->live = false;
	n = take_answers(q); /* what it has done is done */
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
		set_status(q->b, err, "no memory for what has to wait for the back end");
	return n;
}

/* Go where the control thread has gone. */
static uint32_t follow(struct blkfront_queue *q)
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
			err = adopt(q, link >> PHASE_BITS);
			if (err == 0)
				q->counts.reconnects++;
		}
		q->link = link;
		q->live = !q->parked && phase_of(link) == LIVE;
	} while (err == -EAGAIN && link_now(b) != link);
	if (err < 0 && err != -EAGAIN) {
		log_error("%s: cannot connect to the back end again: %s", b->front->dev.dir, strerror(-err));
		set_status(b, err,
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

static int place_other(struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, uint64_t nr,
		       const struct slot *what);

/* The back end asks, and nothing is in flight: flush what is not, then say so. */
static void drained(struct blkfront_queue *q)
{
	const struct slot what = { .done = own_flush_done, .arg = q, .op = BLKFRONT_FLUSH, .ours = true };
	uint64_t one = 1;

	if (q->told == q->link)
		return;
	if (q->dirty && q->agreed.info.flush && place_other(q, BLKFRONT_FLUSH, 0, 0, &what) == 0) {
		blkfront_kick(q);
		return;
	}
	q->told = q->link;
	atomic_fetch_add(&q->b->drained, 1);
	if (write(q->b->news_fd, &one, sizeof(one)) < 0)
		return; /* full, so readable */
}

/* ------------------------------------------------------------------ the control thread */

/* The back end asks for the disk: what is in flight completes first, and is flushed.  True: all of it. */
static bool drain(struct blkfront *b)
{
	struct front *f = b->front;
	uint64_t end = now_ns() + DRAIN_MS * (uint64_t)1000000, now, n;
	struct pollfd p[3] = { { .fd = store_fd(f->store), .events = POLLIN },
			       { .fd = b->news_fd, .events = POLLIN },
			       { .fd = f->cancel_fd, .events = POLLIN } };

	atomic_store(&b->drained, 0);
	atomic_store(&b->flush_failed, false);
	set_link(b, front_life(f), DRAIN);
	while (atomic_load(&b->drained) < b->nr_queues && front_asked(f) && (now = now_ns()) < end) {
		if (poll(p, 3, (int)((end - now) / 1000000 + 1)) < 0 || p[2].revents)
			break;
		if (p[1].revents && read(b->news_fd, &n, sizeof(n)) < 0)
			break;
		if (p[0].revents && front_dispatch(f) < 0)
			break;
	}
	return atomic_load(&b->drained) >= b->nr_queues && !atomic_load(&b->flush_failed);
}

/* The disk did not come back. */
static void over_for_good(struct blkfront *b, bool asked, int err, int failed)
{
	char why[BLKFRONT_WHY_MAX];
	int n;

	n = snprintf(why, sizeof(why), "the back end %s, and ", asked ? "wanted the disk back" : "has gone");
	if (err == -ETIMEDOUT)
		n += snprintf(why + n, sizeof(why) - (size_t)n, "did not come back in %u seconds",
			      b->config.reconnect_s);
	else
		n += snprintf(why + n, sizeof(why) - (size_t)n, "cannot be waited for: %s", strerror(-err));
	if (b->refusal[0])
		snprintf(why + n, sizeof(why) - (size_t)n, "; the one that is there is not connected to: %s",
			 b->refusal);
	else if (failed)
		snprintf(why + n, sizeof(why) - (size_t)n, "; the last try: %s", strerror(-failed));
	log_error("%s: %s", b->front->dev.dir, why);
	set_status(b, -ENODEV, why);
}

/* In the watching thread: from one life to the next. */
static bool next_life(void *arg)
{
	struct blkfront *b = arg;
	struct front *f = b->front;
	bool asked = front_asked(f), clean = false;
	uint64_t now = now_ns(), deadline = UINT64_MAX;
	uint32_t life = front_life(f);
	int err, failed = 0;

	if (blkfront_status(b) != 0)
		return false;
	/* A life that was short, and in which nothing was answered, is no reason to wait longer. */
	if (!b->away_ns || atomic_load(&b->answered_life) == life || pace_lasted(&f->pace, now))
		b->away_ns = now;
	if (b->config.reconnect_s) {
		deadline = b->away_ns + b->config.reconnect_s * (uint64_t)1000000000;
		log_info("%s: waiting for the back end, up to %u seconds; requests wait", f->dev.dir,
			 b->config.reconnect_s);
	} else {
		log_info("%s: waiting for the back end; requests wait", f->dev.dir);
	}
	b->refusal[0] = '\0';
	if (asked)
		clean = drain(b);
	set_link(b, life, AWAY);
	if (asked && front_let_go(f, CLOSE_MS) == -ECANCELED)
		return false;
	err = front_again(f, deadline, b->config.timeout_ms, &failed);
	if (err == -ECANCELED)
		return false;
	if (err < 0) {
		over_for_good(b, asked, err, failed);
		return false;
	}
	pthread_mutex_lock(&b->mutex);
	b->agreed.life = front_life(f);
	/* Until a flush has said so. */
	b->agreed.suspect = !clean && b->agreed.domid != b->last_domid;
	b->last_domid = b->agreed.domid;
	pthread_mutex_unlock(&b->mutex);
	log_info("%s: connected again after %.3f s", f->dev.dir, (double)(now_ns() - now) / 1e9);
	set_link(b, front_life(f), LIVE);
	return true;
}

/* ------------------------------------------------------------------ open, close */

static int open_queues(struct blkfront *b)
{
	int err = 0;

	b->info = b->agreed.info;
	b->nr_queues = b->info.nr_queues;
	b->queue = aligned_alloc(_Alignof(struct blkfront_queue), b->nr_queues * sizeof(*b->queue));
	if (!b->queue)
		return -ENOMEM;
	memset(b->queue, 0, b->nr_queues * sizeof(*b->queue));
	for (uint32_t i = 0; i < b->nr_queues; i++)
		b->queue[i].wake_fd = -1;
	b->agreed.life = front_life(b->front);
	b->last_domid = b->agreed.domid;
	set_link(b, b->agreed.life, LIVE);
	for (uint32_t i = 0; i < b->nr_queues && err == 0; i++) {
		err = queue_init(b, &b->queue[i], i);
		if (err == 0)
			err = adopt(&b->queue[i], b->agreed.life);
		b->queue[i].link = link_now(b);
		b->queue[i].live = true;
	}
	b->opened = true;
	return err;
}

int blkfront_open(struct store *s, const struct front_dev *d, const struct blkfront_config *c, struct blkfront **ret)
{
	struct blkfront *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	pthread_mutex_init(&b->mutex, NULL);
	b->config = *c;
	b->config.buf_bytes = c->buf_bytes ? c->buf_bytes : DEF_BUF_BYTES;
	b->config.bufs = c->bufs ? c->bufs : DEF_BUFS;
	b->config.timeout_ms = c->timeout_ms ? c->timeout_ms : DEF_TIMEOUT_MS;
	b->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = b->news_fd < 0 ? -EMFILE : front_open(s, d, &block_class, b, &b->front);
	if (err == 0)
		err = front_connect(b->front, b->config.timeout_ms);
	if (err == 0)
		err = open_queues(b);
	if (err < 0) {
		blkfront_close(b, MIN(b->config.timeout_ms, 2000u));
		return err;
	}
	*ret = b;
	return 0;
}

int blkfront_watch(struct blkfront *b)
{
	b->watcher.over = b->config.reconnect ? next_life : NULL;
	b->watcher.arg = b;
	return front_watcher_start(&b->watcher, b->front);
}

int blkfront_close(struct blkfront *b, uint32_t ms)
{
	int err = 0;

	if (!b)
		return 0;
	front_watcher_stop(&b->watcher);
	if (b->front)
		err = front_close(b->front, ms);
	for (uint32_t i = 0; b->queue && i < b->nr_queues; i++)
		queue_fini(&b->queue[i]);
	front_free(b->front);
	free(b->queue);
	if (b->news_fd >= 0)
		close(b->news_fd);
	pthread_mutex_destroy(&b->mutex);
	free(b);
	return err;
}

void blkfront_now(struct blkfront *b, struct blkfront_info *ret)
{
	pthread_mutex_lock(&b->mutex);
	*ret = b->agreed.info;
	pthread_mutex_unlock(&b->mutex);
}

const struct blkfront_info *blkfront_info(const struct blkfront *b)
{
	return &b->info;
}

uint64_t blkfront_sectors(const struct blkfront *b)
{
	return atomic_load_explicit(&b->sectors, memory_order_relaxed);
}

int blkfront_dispatch(struct blkfront *b)
{
	return front_dispatch(b->front);
}

struct blkfront_queue *blkfront_queue(struct blkfront *b, uint32_t i)
{
	return &b->queue[i];
}

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

static int place_other(struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, uint64_t nr,
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
	r = new_replay(q, what);
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
		return place_other(q, op, sector, nr, &what);
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
		err = place_other(q, x->op, x->sector, x->nr, &what);
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

static void replay_done(void *arg, int err)
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

static uint32_t take_answers(struct blkfront_queue *q)
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
		n = follow(q);
		if (is_dead(q->b))
			return n + fail_all(q);
	}
	if (!q->parked) {
		n += take_answers(q);
		blkfront_kick(q);
		if (unlikely(phase_of(q->link) == DRAIN) && q->flight.used == 0 && !is_dead(q->b))
			drained(q);
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blkfront.c - see blkfront.h */
#include "frontend/block/blkfront.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xen/io/blkif.h>

#include "common/log/log.h"
#include "common/ring/ring.h"
#include "common/xen/paths.h"
#include "frontend/block/blk-rsp.h"

#define SEGS_DIRECT    ((uint32_t)BLKIF_MAX_SEGMENTS_PER_REQUEST)
#define SEGS_INDIRECT  ((uint32_t)(PAGE_BYTES / sizeof(struct blkif_request_segment))) /* one indirect page: 2 MiB */
#define NO_INDIRECT    UINT32_MAX
#define PAGE_SECTORS   (PAGE_BYTES / SECTOR_BYTES)
#define DEF_BUF_BYTES  65536u
#define DEF_BUFS       16u
#define DEF_TIMEOUT_MS 30000u
#define MAX_POOL_PAGES (1u << 20) /* 4 GiB: beyond is a mistake of the caller */

const char *const blkfront_types[2] = { "svbd", "vbd" };

/* What we know of a request in flight; same index as its blk_flight slot. */
struct slot {
	blkfront_done_fn *done;
	void *arg;
	struct blkfront_xfer *xfer; /* a part of it; done and arg are unused */
	uint8_t *buf;               /* pool memory of the request */
	uint8_t *copy;              /* part of a read: where to copy it when answered */
	void *shared;               /* pages granted for this request alone */
	uint32_t bytes, nr_shared;
	uint32_t indirect; /* index of its indirect page, or NO_INDIRECT */
	enum blkfront_op op;
	bool own_buf; /* buf goes back to the pool when answered */
};

struct blkfront_queue {
	struct blkfront *b;
	struct front_queue *fq;
	struct ring_front ring;
	struct blk_flight flight;
	struct slot *slot;
	uint32_t unpublished; /* requests placed since the last push */
	bool due;             /* an event is to be read */
	bool masked;          /* it was read and is not unmasked yet */

	uint8_t *pool;
	uint32_t *refs; /* of each pool page; NULL when granted per I/O */
	uint32_t pool_pages, buf_pages;
	void **free_buf; /* LIFO */
	uint32_t nr_free, nr_bufs;

	uint8_t *indirect; /* pages */
	uint32_t *indirect_refs, *free_indirect, nr_free_indirect;

	struct list xfers;  /* not placed whole yet */
	struct list failed; /* ended without an answer; their callbacks are made by blkfront_poll() */
	struct blkfront_counts counts;
} __attribute__((aligned(128)));

struct blkfront {
	struct front *front;
	struct blkfront_config config;
	struct blkfront_info info;
	_Atomic uint64_t sectors;
	_Atomic int status; /* 0 or -errno, see blkfront_status() */
	int stop_fd;        /* eventfd, readable once status is not 0: wakes sleepers */
	int quit_fd;        /* eventfd, readable when the watcher shall end */
	pthread_t watcher;
	bool watching;
	struct blkfront_queue *queue;
};

/* ------------------------------------------------------------------ status */

int blkfront_status(const struct blkfront *b)
{
	return atomic_load_explicit(&b->status, memory_order_relaxed);
}

/* First reason wins, but a closing back end may still go or turn out to be lying. True when it is news. */
static bool set_status(struct blkfront *b, int err)
{
	uint64_t one = 1;
	int old = atomic_load(&b->status);

	do {
		if (old != 0 && (old != -ESHUTDOWN || err == -ESHUTDOWN))
			return false;
	} while (!atomic_compare_exchange_weak(&b->status, &old, err));
	/* Cannot fail but for a full counter, and then it is readable anyway. */
	if (write(b->stop_fd, &one, sizeof(one)) < 0)
		return true;
	return true;
}

void blkfront_give_up(struct blkfront *b)
{
	set_status(b, -ETIMEDOUT);
}

/* -ESHUTDOWN still completes what is in flight. */
static bool is_dead(const struct blkfront *b)
{
	int st = blkfront_status(b);

	return unlikely(st != 0) && st != -ESHUTDOWN;
}

static void broken(struct blkfront_queue *q, enum blk_rsp_fault fault)
{
	if (set_status(q->b, -EIO))
		log_error("%s: the back end (domain %u) broke the protocol: %s; the disk is not used any more",
			  q->b->front->dev.dir, q->b->front->dev.back_domid, blk_rsp_fault_text(fault));
}

/* ------------------------------------------------------------------ connecting */

static uint32_t read_node(struct front *f, const char *leaf, uint32_t otherwise)
{
	struct path p;
	uint32_t v;

	return store_read_u32(f->store, NULL, path_join(&p, f->dev.back, leaf), UINT32_MAX, &v) == 0 ? v : otherwise;
}

static int cls_offer(struct front *f, void *arg)
{
	struct blkfront *b = arg;
	uint32_t want = b->config.queues ? b->config.queues : 1;

	f->nr_queues = MIN(MIN(want, FRONT_MAX_QUEUES), MAX(read_node(f, "multi-queue-max-queues", 1), 1u));
	f->order = MIN(MIN(b->config.max_order, FRONT_MAX_ORDER), read_node(f, "max-ring-page-order", 0));
	return 0;
}

static int cls_prepare(struct front *f, void *arg)
{
	struct blkfront *b = arg;
	int err = 0;

	b->queue = aligned_alloc(_Alignof(struct blkfront_queue), f->nr_queues * sizeof(*b->queue));
	if (!b->queue)
		return -ENOMEM;
	memset(b->queue, 0, f->nr_queues * sizeof(*b->queue));
	b->info.nr_queues = f->nr_queues;
	b->info.ring_pages = 1u << f->order;
	for (uint32_t i = 0; i < f->nr_queues && err == 0; i++) {
		struct blkfront_queue *q = &b->queue[i];

		q->b = b;
		q->fq = &f->queue[i];
		list_init(&q->xfers);
		list_init(&q->failed);
		err = ring_front_init(&q->ring, q->fq->ring[0].pages, q->fq->ring[0].bytes,
				      sizeof(struct blkif_request), sizeof(struct blkif_response));
		if (err == 0)
			err = blk_flight_init(&q->flight, q->ring.nr_ents);
		if (err == 0) {
			q->slot = calloc(q->ring.nr_ents, sizeof(*q->slot));
			err = q->slot ? 0 : -ENOMEM;
		}
		b->info.ring_entries = q->ring.nr_ents;
	}
	return err;
}

static int cls_publish(struct front *f, struct store_tx *t, void *arg)
{
	struct blkfront *b = arg;
	struct path p;

	return store_write(f->store, t, path_join(&p, f->dev.dir, "feature-persistent"),
			   b->config.grants == BLKFRONT_PERSISTENT ? "1" : "0");
}

static int alloc_pool(struct blkfront_queue *q)
{
	const struct blkfront_config *c = &q->b->config;
	uint32_t domid = q->b->front->dev.back_domid;
	int err = 0;

	q->buf_pages = (c->buf_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
	q->nr_bufs = c->bufs;
	if ((uint64_t)q->buf_pages * q->nr_bufs > MAX_POOL_PAGES)
		return -EINVAL;
	q->pool_pages = q->buf_pages * q->nr_bufs;
	q->free_buf = calloc(q->nr_bufs, sizeof(*q->free_buf));
	if (!q->free_buf)
		return -ENOMEM;
	if (q->b->info.grants == BLKFRONT_PER_IO) {
		q->pool = aligned_alloc(PAGE_BYTES, (size_t)q->pool_pages * PAGE_BYTES);
		if (q->pool)
			memset(q->pool, 0, (size_t)q->pool_pages * PAGE_BYTES);
		else
			err = -ENOMEM;
	} else {
		void *pages = NULL;

		q->refs = calloc(q->pool_pages, sizeof(*q->refs));
		err = q->refs ? share_pages(q->fq->share, domid, q->pool_pages, true, q->refs, &pages) : -ENOMEM;
		q->pool = pages;
	}
	for (uint32_t i = q->nr_bufs; err == 0 && i-- > 0;)
		q->free_buf[q->nr_free++] = q->pool + (size_t)i * q->buf_pages * PAGE_BYTES;
	return err;
}

/* As many indirect pages as requests can need one at a time. */
static int alloc_indirect(struct blkfront_queue *q)
{
	uint32_t nr = MIN(q->ring.nr_ents, q->pool_pages / (SEGS_DIRECT + 1));
	uint32_t domid = q->b->front->dev.back_domid;
	void *pages = NULL;
	int err;

	if (q->b->info.max_segments <= SEGS_DIRECT || nr == 0)
		return 0;
	q->indirect_refs = calloc(nr, sizeof(*q->indirect_refs));
	q->free_indirect = calloc(nr, sizeof(*q->free_indirect));
	if (!q->indirect_refs || !q->free_indirect)
		return -ENOMEM;
	err = share_pages(q->fq->share, domid, nr, true, q->indirect_refs, &pages);
	if (err < 0)
		return err;
	q->indirect = pages;
	while (nr-- > 0)
		q->free_indirect[q->nr_free_indirect++] = nr;
	return 0;
}

static int read_info(struct front *f, struct blkfront *b)
{
	struct blkfront_info *i = &b->info;
	uint32_t flags = read_node(f, "info", 0), segs;
	struct path p;
	uint64_t n;
	int err;

	err = store_read_u64(f->store, NULL, path_join(&p, f->dev.back, "sectors"), UINT64_MAX / SECTOR_BYTES, &n);
	i->sector_size = read_node(f, "sector-size", SECTOR_BYTES);
	/* A power of two that a page holds whole. */
	if (err < 0 || i->sector_size < SECTOR_BYTES || i->sector_size > PAGE_BYTES ||
	    i->sector_size & (i->sector_size - 1)) {
		log_error("%s: the back end's %s is missing or makes no sense", f->dev.dir,
			  err < 0 ? "sectors" : "sector-size");
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
	i->grants = b->config.grants;
	if (i->grants == BLKFRONT_PERSISTENT && read_node(f, "feature-persistent", 0) != 1)
		i->grants = BLKFRONT_REUSE;
	segs = b->config.no_indirect ? 0 : read_node(f, "feature-max-indirect-segments", 0);
	i->max_segments = MAX(SEGS_DIRECT, MIN(segs, SEGS_INDIRECT));
	i->max_bytes = i->max_segments * PAGE_BYTES;
	return 0;
}

static int cls_connected(struct front *f, bool again, void *arg)
{
	struct blkfront *b = arg;
	struct path p;
	uint64_t n;
	int err = 0;

	if (!again)
		err = read_info(f, b);
	for (uint32_t i = 0; !again && i < f->nr_queues && err == 0; i++) {
		err = alloc_pool(&b->queue[i]);
		if (err == 0)
			err = alloc_indirect(&b->queue[i]);
	}
	if (again &&
	    store_read_u64(f->store, NULL, path_join(&p, f->dev.back, "sectors"), UINT64_MAX / SECTOR_BYTES, &n) == 0) {
		if (n != atomic_load(&b->sectors))
			log_info("%s: resized from %llu to %llu sectors", f->dev.dir,
				 (unsigned long long)atomic_load(&b->sectors), (unsigned long long)n);
		atomic_store(&b->sectors, n);
	}
	return err;
}

static void cls_ended(struct front *f, int err, void *arg)
{
	struct blkfront *b = arg;

	if (set_status(b, err ? err : -ESHUTDOWN))
		log_warn("%s: the back end %s", f->dev.dir, err ? "has gone" : "wants the disk back; closing it");
}

static void cls_release(struct front *f, void *arg)
{
	struct blkfront *b = arg;

	for (uint32_t i = 0; b->queue && i < b->info.nr_queues; i++) {
		struct blkfront_queue *q = &b->queue[i];

		for (uint32_t k = 0; q->slot && k < q->flight.nr; k++)
			if (q->slot[k].shared)
				share_revoke(q->fq->share, q->slot[k].shared, q->slot[k].nr_shared);
		if (q->indirect)
			share_revoke(q->fq->share, q->indirect,
				     MIN(q->ring.nr_ents, q->pool_pages / (SEGS_DIRECT + 1)));
		if (q->refs && q->pool)
			share_revoke(q->fq->share, q->pool, q->pool_pages);
		else
			free(q->pool);
		free(q->refs);
		free(q->free_buf);
		free(q->indirect_refs);
		free(q->free_indirect);
		free(q->slot);
		blk_flight_fini(&q->flight);
	}
	free(b->queue);
	b->queue = NULL;
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

int blkfront_open(struct store *s, const struct front_dev *d, const struct blkfront_config *c, struct blkfront **ret)
{
	struct blkfront *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->config = *c;
	b->config.buf_bytes = c->buf_bytes ? c->buf_bytes : DEF_BUF_BYTES;
	b->config.bufs = c->bufs ? c->bufs : DEF_BUFS;
	b->config.timeout_ms = c->timeout_ms ? c->timeout_ms : DEF_TIMEOUT_MS;
	b->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = b->stop_fd < 0 || b->quit_fd < 0 ? -EMFILE : front_open(s, d, &block_class, b, &b->front);
	if (err == 0)
		err = front_connect(b->front, b->config.timeout_ms);
	if (err < 0) {
		blkfront_close(b, MIN(b->config.timeout_ms, 2000u));
		return err;
	}
	*ret = b;
	return 0;
}

static void *watch_thread(void *arg)
{
	struct blkfront *b = arg;
	struct pollfd p[2] = { { .fd = store_fd(b->front->store), .events = POLLIN },
			       { .fd = b->quit_fd, .events = POLLIN } };

	while (!p[1].revents) {
		/* First without waiting: news may have come while we connected. */
		if (blkfront_dispatch(b) < 0) {
			/* Without xenstore we would not learn that the back end goes; the rings still work. */
			log_warn("%s: the connection to xenstore is lost", b->front->dev.dir);
			break;
		}
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
	}
	return NULL;
}

int blkfront_watch(struct blkfront *b)
{
	int err = pthread_create(&b->watcher, NULL, watch_thread, b);

	b->watching = err == 0;
	return -err;
}

static void unwatch(struct blkfront *b)
{
	uint64_t one = 1;

	if (b->watching && write(b->quit_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(b->watcher, NULL);
	b->watching = false;
}

int blkfront_close(struct blkfront *b, uint32_t ms)
{
	int err = 0;

	if (!b)
		return 0;
	unwatch(b);
	if (b->front)
		err = front_close(b->front, ms);
	front_free(b->front);
	if (b->stop_fd >= 0)
		close(b->stop_fd);
	if (b->quit_fd >= 0)
		close(b->quit_fd);
	free(b);
	return err;
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

void *blkfront_buf_get(struct blkfront_queue *q)
{
	return q->nr_free ? q->free_buf[--q->nr_free] : NULL;
}

void blkfront_buf_put(struct blkfront_queue *q, void *buf)
{
	q->free_buf[q->nr_free++] = buf;
}

static bool in_pool(const struct blkfront_queue *q, const uint8_t *p, uint64_t bytes)
{
	uint64_t size = (uint64_t)q->pool_pages * PAGE_BYTES;
	uintptr_t off = (uintptr_t)p - (uintptr_t)q->pool;

	return off < size && bytes <= size - off;
}

/* ------------------------------------------------------------------ submitting */

static const uint8_t wire_op[] = {
	[BLKFRONT_READ] = BLKIF_OP_READ,
	[BLKFRONT_WRITE] = BLKIF_OP_WRITE,
	[BLKFRONT_FLUSH] = BLKIF_OP_FLUSH_DISKCACHE,
	[BLKFRONT_DISCARD] = BLKIF_OP_DISCARD,
	[BLKFRONT_SECURE_DISCARD] = BLKIF_OP_DISCARD,
};

static inline bool has_data(enum blkfront_op op)
{
	return op == BLKFRONT_READ || op == BLKFRONT_WRITE;
}

/* What holds for a request and for an I/O of many requests. */
static int check_io(const struct blkfront *b, enum blkfront_op op, uint64_t sector, uint64_t nr)
{
	const struct blkfront_info *i = &b->info;
	uint64_t mask = i->sector_size / SECTOR_BYTES - 1, sectors = blkfront_sectors(b);
	int st = blkfront_status(b);

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
	int err = share_pages(q->fq->share, q->b->front->dev.back_domid, nr, op == BLKFRONT_READ, refs, &s->shared);

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
	s->indirect = NO_INDIRECT;
	if (op == BLKFRONT_FLUSH)
		put_direct(q, s, op, id, 0, NULL, 0, 0);
	else
		put_discard(q, op, id, sector, nr);
	q->unpublished++;
	return 0;
}

int blkfront_submit(struct blkfront_queue *q, enum blkfront_op op, uint64_t sector, uint64_t nr, void *buf,
		    blkfront_done_fn *done, void *arg)
{
	struct slot what = { .done = done, .arg = arg, .buf = buf, .op = op };
	uint32_t offset = (uint32_t)((uintptr_t)buf & (PAGE_BYTES - 1));
	int err = check_io(q->b, op, sector, nr);

	if (unlikely(err < 0))
		return err;
	if (!has_data(op))
		return place_other(q, op, sector, nr, &what);
	if (unlikely(nr > q->b->info.max_bytes / SECTOR_BYTES))
		return -EINVAL;
	what.bytes = (uint32_t)nr * SECTOR_BYTES;
	if (unlikely(!in_pool(q, buf, what.bytes) || offset % q->b->info.sector_size ||
		     offset + what.bytes > q->b->info.max_segments * PAGE_BYTES))
		return -EINVAL;
	return place_data(q, op, sector, &what);
}

/* ------------------------------------------------------------------ long I/O */

/* Place one more part of @x: 0, -EAGAIN, or the error that ends it. */
static int place_part(struct blkfront_queue *q, struct blkfront_xfer *x, bool pooled)
{
	struct slot what = { .xfer = x, .op = x->op };
	uint64_t left = (x->nr - x->placed) * SECTOR_BYTES, limit = q->b->info.max_bytes;
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
		what.buf = blkfront_buf_get(q);
		if (!what.buf)
			return -EAGAIN;
		what.own_buf = true;
	}
	/* Without indirect requests, 44 KiB; whole device sectors in any case, since a page holds whole ones. */
	what.bytes = (uint32_t)MIN(left, limit);
	if (!pooled && x->op == BLKFRONT_WRITE)
		memcpy(what.buf, mem, what.bytes);
	if (!pooled && x->op == BLKFRONT_READ)
		what.copy = mem;
	err = place_data(q, x->op, x->sector + x->placed, &what);
	if (err < 0 && what.own_buf)
		blkfront_buf_put(q, what.buf);
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
	int err = x->err ? x->err : blkfront_status(q->b);

	do {
		if (err == 0)
			err = place_part(q, x, pooled);
		if (err == 0)
			x->parts++;
	} while (err == 0 && x->placed < x->nr);
	return err;
}

/* Place what fits, in order.  Calls nobody back. */
static void pump(struct blkfront_queue *q)
{
	while (!list_empty(&q->xfers)) {
		struct blkfront_xfer *x = list_entry(q->xfers.next, struct blkfront_xfer, entry);
		int err = place(q, x);

		if (err == -EAGAIN)
			break;
		list_del(&x->entry);
		if (err < 0) {
			x->err = err;
			if (x->parts == 0)
				list_add_tail(&q->failed, &x->entry);
		}
	}
}

int blkfront_xfer(struct blkfront_queue *q, struct blkfront_xfer *x)
{
	int err = check_io(q->b, x->op, x->sector, x->nr);

	if (err < 0)
		return err;
	if (has_data(x->op) && (uintptr_t)x->mem % q->b->info.sector_size && in_pool(q, x->mem, x->nr * SECTOR_BYTES))
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
		share_revoke(q->fq->share, s.shared, s.nr_shared);
	}
	if (!s.xfer) {
		s.done(s.arg, err);
		return 1;
	}
	if (s.copy && err == 0)
		memcpy(s.copy, s.buf, s.bytes);
	if (s.own_buf)
		blkfront_buf_put(q, s.buf);
	if (err < 0 && s.xfer->err == 0)
		s.xfer->err = err;
	s.xfer->parts--;
	return finish(s.xfer);
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
	if (!list_empty(&q->xfers))
		pump(q);
	if (!q->unpublished)
		return;
	q->counts.requests += q->unpublished;
	q->unpublished = 0;
	if (ring_front_push(&q->ring)) {
		q->counts.events_sent++;
		evtchn_notify(q->fq->evtchn, q->fq->ring[0].port);
	}
}

uint32_t blkfront_poll(struct blkfront_queue *q)
{
	struct blkif_response raw;
	struct blk_rsp rsp;
	uint32_t n = 0;
	int pending;

	if (is_dead(q->b))
		return fail_all(q);
	pending = ring_front_pending(&q->ring);
	if (unlikely(pending < 0)) {
		broken(q, BLK_RSP_BAD_PRODUCER);
		return fail_all(q);
	}
	while (pending-- > 0) {
		enum blk_rsp_fault fault;

		ring_front_take(&q->ring, &raw);
		fault = blk_rsp_accept(&q->flight, &raw, &rsp);
		if (unlikely(fault != BLK_RSP_OK)) {
			broken(q, fault);
			return n + fail_all(q);
		}
		n += complete(q, rsp.slot, rsp.status);
	}
	blkfront_kick(q);
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
			if (ring_front_pending(&q->ring) != 0 || is_dead(q->b))
				return true;
			if (!us)
				return false;
			relax();
		}
	} while (now_ns() < end);
	return false;
}

bool blkfront_arm(struct blkfront_queue *q, uint32_t wake)
{
	uint32_t inflight = blkfront_inflight(q);

	if (inflight == 0 || !list_empty(&q->failed) || is_dead(q->b))
		return true;
	while (q->due && evtchn_next(q->fq->evtchn) > 0) {
		q->counts.events_received++;
		q->masked = true;
	}
	q->due = false;
	if (q->masked) {
		/* Before asking for the next event: one that comes while masked is delivered by this. */
		q->masked = false;
		evtchn_unmask(q->fq->evtchn, q->fq->ring[0].port);
	}
	/* @wake is at least 1 and no more than will ever come, so the event does come. */
	return ring_front_arm(&q->ring, MAX(MIN(wake, inflight), 1u)) != 0;
}

void blkfront_sleep(struct blkfront_queue *q, uint32_t ms)
{
	struct pollfd p[2] = { { .fd = evtchn_fd(q->fq->evtchn), .events = POLLIN },
			       { .fd = q->b->stop_fd, .events = POLLIN } };

	q->counts.sleeps++;
	/* Closing: stop_fd stays readable, and what is in flight still completes. */
	if (poll(p, blkfront_status(q->b) == -ESHUTDOWN ? 1 : 2, (int)MIN(ms, (uint32_t)INT32_MAX)) > 0)
		q->due = p[0].revents != 0;
}

void blkfront_wait(struct blkfront_queue *q, uint32_t wake, uint32_t spin_us, uint32_t ms)
{
	blkfront_kick(q);
	if (blkfront_inflight(q) == 0 || spin(q, spin_us))
		return;
	if (!blkfront_arm(q, wake))
		blkfront_sleep(q, ms);
}

uint32_t blkfront_inflight(const struct blkfront_queue *q)
{
	return q->flight.used;
}

struct blkfront_counts blkfront_counts(const struct blkfront_queue *q)
{
	return q->counts;
}

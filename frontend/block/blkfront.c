/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blkfront.c - see blkfront.h; the device, and its control thread. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/xen/paths.h"
#include "frontend/block/blkfront-impl.h"

#define DEF_BUF_BYTES  65536u
#define DEF_BUFS       16u
#define DEF_TIMEOUT_MS 30000u
#define DRAIN_MS \
	1500u /* a back end that asks gets its answer after this at the latest; one of ours takes the disk by force after two seconds */
#define CLOSE_MS  2000u
#define ATTEND_MS 5u /* between two looks at queues that nobody waits on */

const char *const blkfront_types[2] = { "svbd", "vbd" };

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
bool blkfront_set_status(struct blkfront *b, int err, const char *why)
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

static void attend(struct blkfront *b)
{
	if (b->opened && b->config.attend)
		b->config.attend(b->config.attend_arg);
}

/* The control thread's: queues follow in blkfront_poll(). */
static void set_link(struct blkfront *b, uint32_t life, enum phase phase)
{
	atomic_store_explicit(&b->link, life << PHASE_BITS | phase, memory_order_release);
	wake_all(b);
	attend(b);
}

bool blkfront_away(const struct blkfront *b)
{
	return phase_of(link_now(b)) != LIVE && blkfront_status(b) == 0;
}

void blkfront_give_up(struct blkfront *b)
{
	blkfront_set_status(b, -ETIMEDOUT, "given up");
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
		a.suspect_life = b->agreed.suspect_life;
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
	} else if (blkfront_set_status(b, err ? err : -ESHUTDOWN, err ? gone : asks)) {
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

/* ------------------------------------------------------------------ the control thread */

/* The back end asks for the disk: what is in flight completes first, and is flushed.  True: all of it. */
static bool drain(struct blkfront *b)
{
	struct front *f = b->front;
	uint64_t end = now_ns() + DRAIN_MS * (uint64_t)1000000, now, ms, n;
	struct pollfd p[3] = { { .fd = store_fd(f->store), .events = POLLIN },
			       { .fd = b->news_fd, .events = POLLIN },
			       { .fd = f->cancel_fd, .events = POLLIN } };

	atomic_store(&b->drained, 0);
	atomic_store(&b->flush_failed, false);
	set_link(b, front_life(f), DRAIN);
	while (atomic_load(&b->drained) < b->nr_queues && front_asked(f) && (now = now_ns()) < end) {
		ms = (end - now) / 1000000 + 1;
		if (poll(p, 3, (int)(b->config.attend ? MIN(ms, (uint64_t)ATTEND_MS) : ms)) < 0 || p[2].revents)
			break;
		if (p[1].revents && read(b->news_fd, &n, sizeof(n)) < 0)
			break;
		if (p[0].revents && front_dispatch(f) < 0)
			break;
		attend(b);
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
	blkfront_set_status(b, -ENODEV, why);
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
	if (asked) {
		clean = drain(b);
		if (!clean)
			log_warn("%s: it is given back with requests under way, or without a flush", f->dev.dir);
	}
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
	/* A queue that slept through it finds it all the same, whatever lives come after. */
	if (!clean && b->agreed.domid != b->last_domid)
		b->agreed.suspect_life = b->agreed.life;
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
		err = blkfront_queue_init(b, &b->queue[i], i);
		if (err == 0)
			err = blkfront_adopt(&b->queue[i], b->agreed.life);
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
		blkfront_queue_fini(&b->queue[i]);
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

struct blkfront_queue *blkfront_queue(struct blkfront *b, uint32_t i)
{
	return &b->queue[i];
}

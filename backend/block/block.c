/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* block.c - the block class: a disk's facts, and its metrics.  What happens on its rings is in blk-queue.c. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/block/blk-journal.h"
#include "backend/block/blk-queue.h"

#define POLL_MAX_US 10000u

static int block_open(struct device *d, const void *body, uint32_t bytes, const int *fds, uint32_t nr_fds, void *reply,
		      uint32_t *reply_bytes)
{
	struct blk_dev *disk = NULL;
	struct blk_open o;
	int rc;

	if (bytes == sizeof(o))
		disk = calloc(1, sizeof(*disk));
	if (!disk) {
		for (uint32_t i = 0; i < nr_fds; i++)
			close(fds[i]);
		return bytes == sizeof(o) ? -ENOMEM : -EINVAL;
	}
	memcpy(&o, body, sizeof(o));
	rc = store_image_open(&o, fds, nr_fds, &disk->store);
	if (rc) {
		free(disk);
		return rc;
	}
	disk->dev = d;
	disk->flags = o.flags;
	disk->sectors = disk->store->info.sectors;
	d->priv = disk;
	snprintf(d->name, sizeof(d->name), "%s", o.name);
	d->poll_max_ns = (uint64_t)MIN(o.poll_max_us, POLL_MAX_US) * 1000;
	memcpy(reply, &disk->store->info, sizeof(disk->store->info));
	*reply_bytes = sizeof(disk->store->info);
	return 0;
}

static int block_resize(struct device *d, void *reply, uint32_t *reply_bytes)
{
	struct blk_dev *disk = d->priv;
	struct blk_info info;
	int rc = disk->store->ops->resize(disk->store, &info);

	if (rc)
		return rc;
	STAT_SET(disk->sectors, info.sectors);
	memcpy(reply, &info, sizeof(info));
	*reply_bytes = sizeof(info);
	return 0;
}

static void block_close(struct device *d)
{
	struct blk_dev *disk = d->priv;

	disk->store->ops->close(disk->store);
	free(disk);
}

static int block_connect(struct device *d, const struct wire_connect *c)
{
	struct blk_dev *disk = d->priv;

	if (c->nr_rings != 1 || c->abi >= BLK_NR_ABIS || (c->features & ~BLK_F_PERSISTENT))
		return -EINVAL;
	blk_overlap_fini(&disk->overlap);
	disk->left = false;
	/* Of a predecessor's flush, or of one for the front end before: this worker's successor is to know in any case. */
	store_poison_mark(disk->store, &d->journal.live->poisoned);
	return blk_overlap_init(&disk->overlap, c->nr_queues > 1);
}

static void block_limits(const struct wire_limits *l)
{
	blk_data_limit(l->bounce_pages);
}

static void block_disconnected(struct device *d)
{
	struct blk_dev *disk = d->priv;

	store_poison_mark(disk->store, NULL);
	blk_overlap_fini(&disk->overlap);
}

void blk_stats_add(struct blk_stats *to, const struct blk_stats *from)
{
	for (uint32_t k = 0; k < BLK_NR_KINDS; k++) {
		to->requests[k] += STAT_GET(from->requests[k]);
		to->sectors[k] += STAT_GET(from->sectors[k]);
		to->errors[k] += STAT_GET(from->errors[k]);
		hist_merge(&to->latency[k], &from->latency[k]);
	}
	to->bad += STAT_GET(from->bad);
	to->indirect += STAT_GET(from->indirect);
	to->responses += STAT_GET(from->responses);
	to->replayed += STAT_GET(from->replayed);
	to->overlaps += STAT_GET(from->overlaps);
	to->bounce_waits += STAT_GET(from->bounce_waits);
	to->copy_calls += STAT_GET(from->copy_calls);
	to->copy_segs += STAT_GET(from->copy_segs);
	to->cache_hits += STAT_GET(from->cache_hits);
}

static void block_stat(struct device *d, uint64_t now, struct metrics_out *o)
{
	static const char *const kinds[BLK_NR_KINDS] = { "read", "write", "flush", "barrier", "discard" };
	struct blk_dev *disk = d->priv;
	struct blk_stats s = disk->past;
	uint64_t oldest = 0, requests = 0, unread = 0;
	char name[64];

	for (uint32_t i = 0; i < d->nr_queues; i++) {
		const struct blk_queue *b = d->queues[i].priv;

		blk_stats_add(&s, &b->stats);
		s.in_flight += STAT_GET(b->stats.in_flight);
		s.bounce_bytes += STAT_GET(b->stats.bounce_bytes);
		s.bounce_held += STAT_GET(b->stats.bounce_held);
		s.persistent_mapped += STAT_GET(b->stats.persistent_mapped);
		unread += ring_back_unread(&b->ring, STAT_GET(b->stats.published));
		oldest = MAX(oldest, blk_queue_oldest_ns(b, now));
	}
	for (uint32_t k = 0; k < BLK_NR_KINDS; k++) {
		snprintf(name, sizeof(name), "%s_requests", kinds[k]);
		metrics_put(o, name, s.requests[k]);
		requests += s.requests[k];
		snprintf(name, sizeof(name), "%s_sectors", kinds[k]);
		metrics_put(o, name, s.sectors[k]);
		snprintf(name, sizeof(name), "%s_errors", kinds[k]);
		metrics_put(o, name, s.errors[k]);
	}
	metrics_put(o, "requests", requests);
	metrics_put(o, "bad_requests", s.bad);
	metrics_put(o, "indirect_requests", s.indirect);
	metrics_put(o, "responses", s.responses);
	metrics_put(o, "responses_unread", unread);
	metrics_put(o, "replayed_requests", s.replayed);
	metrics_put(o, "overlap_waits", s.overlaps);
	metrics_put(o, "grant_copy_calls", s.copy_calls);
	metrics_put(o, "grant_copy_segments", s.copy_segs);
	metrics_put(o, "persistent_segments", s.cache_hits);
	metrics_put(o, "persistent_mapped", s.persistent_mapped);
	metrics_put(o, "in_flight", s.in_flight);
	metrics_put(o, "bounce_bytes", s.bounce_bytes);
	metrics_put(o, "bounce_held_bytes", s.bounce_held);
	metrics_put(o, "bounce_waits", s.bounce_waits);
	metrics_put(o, "oldest_request_ns", oldest);
	for (uint32_t k = 0; k < BLK_NR_KINDS; k++) {
		snprintf(name, sizeof(name), "%s_latency", kinds[k]);
		metrics_put_hist(o, name, &s.latency[k]);
	}
}

_Static_assert((uint32_t)STORE_LOST == JOURNAL_STORAGE_LOST, "the daemon understands a store's mark");
_Static_assert(QUEUE_WOKE_EVENT == STORE_WOKE_EVENT && QUEUE_WOKE_CONTROL == STORE_WOKE_CONTROL,
	       "a store's wait() speaks the core's bits");

static const struct sandbox_call calls[] = {
	SANDBOX_CALL(io_uring_enter, "io_uring: a turn"),
	SANDBOX_CALL_IF(io_uring_register, "io_uring: a queue's image", 1, 0, IORING_REGISTER_FILES_UPDATE),
	SANDBOX_CALL(preadv, "transfers without io_uring"),
	SANDBOX_CALL(pwritev, "transfers without io_uring"),
	SANDBOX_CALL(fdatasync, "flush"),
	SANDBOX_CALL_IF(fallocate, "discard", 1, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
	SANDBOX_CALL_IF(fcntl, "nbd", 1, 0, F_GETFD, F_SETFD),
	SANDBOX_CALL(sendto, "nbd"),
	SANDBOX_CALL(recvfrom, "nbd"),
	SANDBOX_END,
};

static const struct sandbox_ioctl ioctls[] = {
	SANDBOX_IOCTL(BLKGETSIZE64),
	SANDBOX_IOCTL(BLKPBSZGET),
	SANDBOX_IOCTL(BLKDISCARD),
	SANDBOX_IOCTL(BLKSECDISCARD),
	SANDBOX_END,
};

static const struct sandbox_class sandbox = { calls, ioctls };

static const struct device_class block_class = {
	.name = "vbd",
	.program = "synth-blkd-worker",
	.prepare = store_prepare,
	.limits = block_limits,
	.sandbox = &sandbox,
	.open = block_open,
	.resize = block_resize,
	.close = block_close,
	.journal_bytes = blk_journal_bytes,
	.connect = block_connect,
	.disconnected = block_disconnected,
	.queue_open = blk_queue_open,
	.queue_close = blk_queue_close,
	.queue_start = blk_queue_start,
	.turn = blk_queue_turn,
	.peek = blk_queue_peek,
	.peeks = 64,
	.arm = blk_queue_arm,
	.settle = blk_queue_settle,
	.wait = blk_queue_wait,
	.drained = blk_queue_drained,
	.lingers = true,
	.idle = blk_queue_idle,
	.hurry = blk_queue_hurry,
	.stat = block_stat,
};

const struct device_class *const worker_class = &block_class;

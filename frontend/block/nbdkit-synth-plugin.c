/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nbdkit-synth-plugin.c - nbdkit's plugin: a synthetic disk of this domain, exported by NBD.
 *
 * Any number of nbdkit's threads call in at once.  A queue has a lock, which is held while requests are placed and
 * completed but not while anybody sleeps.  There is no thread of its own that completes: of the threads that wait
 * on a queue one, the leader, sleeps on the event channel and completes for all; when its own I/O is done it
 * leaves the lead to another.  So an I/O at depth 1 costs one wake-up, as without threads.  Where nobody waits, the
 * library's thread looks when there is a reason to (attend()).
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/log/log.h"
#include "common/span/span.h"
#include "common/xen/vdev.h"
#include "frontend/block/blkfront.h"

#define THREAD_MODEL    NBDKIT_THREAD_MODEL_PARALLEL
#define BUF_BYTES       (128u << 10)
#define BUFS            16u
#define CLOSE_MS        10000u
#define SLICE_MS        200u
#define MAX_REQUEST     (32u << 20)
#define RECONNECT_MAX_S 31536000u

struct line {
	pthread_mutex_t lock;
	struct blkfront_queue *q;
	bool led; /* a leader is there */
	struct list waiters;
};

/* An I/O, on the stack of the thread that waits for it. */
struct call {
	struct list entry;
	pthread_cond_t wake;
	struct blkfront_xfer xfer;
	bool done;
	int err;
};

static struct {
	uint32_t vdev, queues;
	bool has_dev, no_reconnect;
	uint32_t reconnect_s;
	struct store *store;
	struct blkfront *b;
	struct line *line;
	atomic_uint next;
} disk = { .queues = 1, .reconnect_s = BLKFRONT_RECONNECT_S };

static void on_done(void *arg, int err)
{
	struct call *c = arg;

	c->done = true;
	c->err = err;
	pthread_cond_signal(&c->wake);
}

/* With the lock held: until @c is done.  The leader lets go of the lock while it sleeps. */
static void wait_for(struct line *l, struct call *c)
{
	list_add_tail(&l->waiters, &c->entry);
	while (!c->done) {
		if (l->led) {
			pthread_cond_wait(&c->wake, &l->lock);
			continue;
		}
		l->led = true;
		while (!c->done && blkfront_poll(l->q) == 0 && !blkfront_arm(l->q, 1)) {
			pthread_mutex_unlock(&l->lock);
			blkfront_sleep(l->q, SLICE_MS);
			pthread_mutex_lock(&l->lock);
		}
		l->led = false;
	}
	list_del(&c->entry);
	/* The lead goes to somebody else who waits. */
	if (!l->led && !list_empty(&l->waiters))
		pthread_cond_signal(&list_entry(l->waiters.next, struct call, entry)->wake);
}

/* In the library's thread.  A leader sees for himself. */
static void attend(void *arg)
{
	for (uint32_t i = 0; i < blkfront_info(disk.b)->nr_queues; i++) {
		struct line *l = &disk.line[i];

		pthread_mutex_lock(&l->lock);
		if (!l->led)
			(void)blkfront_poll(l->q);
		pthread_mutex_unlock(&l->lock);
	}
}

static int do_io(enum blkfront_op op, void *mem, uint64_t bytes, uint64_t offset)
{
	struct line *l = &disk.line[atomic_fetch_add_explicit(&disk.next, 1, memory_order_relaxed) %
				    blkfront_info(disk.b)->nr_queues];
	struct call c = { .xfer = {
				  .op = op, .sector = offset / SECTOR_BYTES, .nr = bytes / SECTOR_BYTES, .mem = mem } };

	char why[BLKFRONT_WHY_MAX];

	if ((offset | bytes) % blkfront_info(disk.b)->sector_size) {
		nbdkit_error("request of %llu bytes at %llu is not in whole sectors; try --filter=blocksize",
			     (unsigned long long)bytes, (unsigned long long)offset);
		nbdkit_set_error(EINVAL);
		return -1;
	}
	if (op != BLKFRONT_FLUSH && bytes == 0)
		return 0;
	c.xfer.done = on_done;
	c.xfer.arg = &c;
	pthread_cond_init(&c.wake, NULL);
	pthread_mutex_lock(&l->lock);
	c.err = blkfront_xfer(l->q, &c.xfer);
	if (c.err == 0) {
		blkfront_kick(l->q);
		wait_for(l, &c);
	}
	pthread_mutex_unlock(&l->lock);
	pthread_cond_destroy(&c.wake);
	if (c.err == 0)
		return 0;
	blkfront_why(disk.b, why);
	nbdkit_error("I/O of %llu bytes at %llu: %s%s%s%s", (unsigned long long)bytes, (unsigned long long)offset,
		     strerror(-c.err), why[0] ? " (" : "", why, why[0] ? ")" : "");
	nbdkit_set_error(c.err == -ENODEV || c.err == -ERANGE ? EIO : -c.err);
	return -1;
}

/* ------------------------------------------------------------------ configuration */

static int synth_config(const char *key, const char *value)
{
	if (!strcmp(key, "dev")) {
		if (vdev_parse(value, &disk.vdev) < 0) {
			nbdkit_error("dev=%s: no device name (like xvda) or number (like 51712)", value);
			return -1;
		}
		disk.has_dev = true;
	} else if (!strcmp(key, "queues")) {
		if (parse_str_u32(value, FRONT_MAX_QUEUES, &disk.queues) < 0 || disk.queues == 0) {
			nbdkit_error("queues=%s: not a number from 1 to %u", value, FRONT_MAX_QUEUES);
			return -1;
		}
	} else if (!strcmp(key, "reconnect")) {
		disk.no_reconnect = !strcmp(value, "never");
		if (!disk.no_reconnect && parse_str_u32(value, RECONNECT_MAX_S, &disk.reconnect_s) < 0) {
			nbdkit_error("reconnect=%s: neither a number of seconds up to %u (0: for ever), nor \"never\"",
				     value, RECONNECT_MAX_S);
			return -1;
		}
	} else {
		nbdkit_error("%s=: no such parameter; there are dev=, queues= and reconnect=", key);
		return -1;
	}
	return 0;
}

#define CONFIG_HELP                                                          \
	"dev=<NAME>     The disk: xvda, or 51712 (default: the only one).\n" \
	"queues=<N>     Rings to use at most (default 1).\n"                 \
	"reconnect=<S>  Seconds to wait for a back end that went away; 0: for ever; never (default 120)."

/* ------------------------------------------------------------------ life */

static int find(struct front_dev *ret)
{
	struct front_dev *devs = NULL;
	uint32_t nr = 0, found = 0;
	int err = front_list(disk.store, blkfront_types, ARRAY_SIZE(blkfront_types), &devs, &nr);

	for (uint32_t i = nr; err == 0 && i-- > 0;)
		if (!disk.has_dev || devs[i].id == disk.vdev) {
			*ret = devs[i];
			found++;
		}
	free(devs);
	if (err == 0 && !found)
		nbdkit_error("this domain has no such disk");
	else if (err == 0 && found > 1 && !disk.has_dev)
		nbdkit_error("this domain has %u disks: say which, with dev=", found);
	else if (err < 0)
		nbdkit_error("cannot list the disks: %s", strerror(-err));
	return err == 0 && found && (found == 1 || disk.has_dev) ? 0 : -1;
}

/* Handles of libxen do not survive a fork, so everything is opened after nbdkit's. */
static int synth_after_fork(void)
{
	struct blkfront_config c = {
		.queues = disk.queues,
		.max_order = FRONT_MAX_ORDER,
		.buf_bytes = BUF_BYTES,
		.bufs = BUFS,
		.reconnect = !disk.no_reconnect,
		.reconnect_s = disk.reconnect_s,
		.attend = attend,
	};
	struct front_dev dev;
	uint32_t n;
	int err = store_open(&disk.store);

	if (err < 0) {
		nbdkit_error("cannot reach xenstore: %s", strerror(-err));
		return -1;
	}
	if (find(&dev) < 0)
		return -1;
	err = blkfront_open(disk.store, &dev, &c, &disk.b);
	if (err < 0) {
		nbdkit_error("cannot open %s: %s", dev.dir, strerror(-err));
		return -1;
	}
	n = blkfront_info(disk.b)->nr_queues;
	disk.line = calloc(n, sizeof(*disk.line));
	if (!disk.line) {
		nbdkit_error("no memory");
		return -1;
	}
	for (uint32_t i = 0; i < n; i++) {
		pthread_mutex_init(&disk.line[i].lock, NULL);
		list_init(&disk.line[i].waiters);
		disk.line[i].q = blkfront_queue(disk.b, i);
	}
	err = blkfront_watch(disk.b); /* its thread attends to what is there now */
	if (err < 0) {
		nbdkit_error("cannot watch %s: %s", dev.dir, strerror(-err));
		return -1;
	}
	return 0;
}

static void synth_load(void)
{
	log_init("nbdkit-synth");
}

/* All connections are closed. */
static void synth_cleanup(void)
{
	int err = blkfront_close(disk.b, CLOSE_MS);

	if (err < 0)
		nbdkit_error("the back end did not close in time: %s", strerror(-err));
	disk.b = NULL;
	store_close(disk.store);
	disk.store = NULL;
	free(disk.line);
	disk.line = NULL;
}

static void *synth_open(int readonly)
{
	return NBDKIT_HANDLE_NOT_NEEDED;
}

/* ------------------------------------------------------------------ what it can */

static int64_t synth_get_size(void *handle)
{
	return (int64_t)(blkfront_sectors(disk.b) * SECTOR_BYTES);
}

static int synth_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	const struct blkfront_info *i = blkfront_info(disk.b);

	*minimum = i->sector_size;
	*preferred = MIN(MAX(i->physical_sector, PAGE_BYTES), MAX_REQUEST);
	if (*preferred & (*preferred - 1))
		*preferred = PAGE_BYTES;
	*maximum = MAX_REQUEST;
	return 0;
}

/* A connection is told what there is when it begins. */
static struct blkfront_info now(void)
{
	struct blkfront_info i;

	blkfront_now(disk.b, &i);
	return i;
}

static int synth_can_write(void *handle)
{
	return !now().readonly;
}

static int synth_can_flush(void *handle)
{
	return now().flush;
}

static int synth_can_fua(void *handle)
{
	return now().flush ? NBDKIT_FUA_EMULATE : NBDKIT_FUA_NONE;
}

static int synth_can_trim(void *handle)
{
	return now().discard;
}

/* A flush on one ring covers all that was answered on any. */
static int synth_can_multi_conn(void *handle)
{
	return 1;
}

static int synth_is_rotational(void *handle)
{
	return 0;
}

/* ------------------------------------------------------------------ I/O */

static int synth_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	return do_io(BLKFRONT_READ, buf, count, offset);
}

static int synth_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	/* Only read from: the pool gets a copy. */
	return do_io(BLKFRONT_WRITE, (void *)(uintptr_t)buf, count, offset);
}

static int synth_flush(void *handle, uint32_t flags)
{
	return do_io(BLKFRONT_FLUSH, NULL, 0, 0);
}

static int synth_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	return do_io(BLKFRONT_DISCARD, NULL, count, offset);
}

static struct nbdkit_plugin plugin = {
	.name = "synth",
	.longname = "nbdkit synthetic Xen disk",
	.description = "Export a disk of this Xen domain, reached by a front end in user space.",
	.load = synth_load,
	.config = synth_config,
	.config_help = CONFIG_HELP,
	.magic_config_key = "dev",
	.after_fork = synth_after_fork,
	.cleanup = synth_cleanup,
	.open = synth_open,
	.get_size = synth_get_size,
	.block_size = synth_block_size,
	.can_write = synth_can_write,
	.can_flush = synth_can_flush,
	.can_fua = synth_can_fua,
	.can_trim = synth_can_trim,
	.can_multi_conn = synth_can_multi_conn,
	.is_rotational = synth_is_rotational,
	.pread = synth_pread,
	.pwrite = synth_pwrite,
	.flush = synth_flush,
	.trim = synth_trim,
};

NBDKIT_REGISTER_PLUGIN(plugin)

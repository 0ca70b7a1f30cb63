/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-nbd.c - an NBD server as image, by libnbd; built as the module synth-store-nbd.so.
 *
 * One connection a disk, shared by its queues; one thread of the module's runs libnbd's state machine.  Queues'
 * threads give commands to libnbd themselves (it locks); it sends what fits the socket at once, and the module's
 * thread is told to look at what libnbd now waits for.  Completions run in whichever thread made libnbd progress,
 * and go by mailbox to the queue they came from.
 *
 * libnbd has one buffer a command, a request has pieces: it is copied through one buffer (STAGE_MAX bytes a queue at
 * most), since a round trip a page would cost far more than the copy; beyond that a piece is a command.  The io is
 * done when all of its commands are.
 *
 * A connection that dies fails everything in flight and everything later with -EIO; nothing waits for it.
 *
 * Flush errors.  A server may flush by a page cache, which tells of an error once only (store-file.c), and one that is lost may have lost
 * what it had acknowledged.  So after either all flushes fail, also those of the next connection.  And one FLUSH is under way at a
 * time, for all flushes that wait when it is sent: of two that the server does at once one may be told of the error and the other not.
 */
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/block/store-file.h"
#include "common/log/log.h"

#define HANDSHAKE_MS 3000
#define FOREVER      UINT64_MAX
#define STAGE_MAX    (8u << 20) /* bytes of copies in flight, a queue */
#define DISCARD_MAX  (1u << 30)

struct nbd {
	struct store s;
	struct nbd_handle *h;
	pthread_t thread;
	int wake_fd;
	bool can_flush;
	bool running, stop, dead; /* stop, dead: atomic */
	pthread_mutex_t lock;     /* of the next two; taken under libnbd's lock */
	struct store_list flushes;
	struct store_io *flushing; /* what the FLUSH under way is for; NULL: there is none */
};

struct nbd_queue {
	struct store_queue q;
	struct mailbox box;
	uint64_t staged; /* bytes; the queue's thread */
};

static struct nbd *nbd_of(struct store *s)
{
	return container_of(s, struct nbd, s);
}

static struct nbd_queue *nbd_queue_of(struct store_queue *q)
{
	return container_of(q, struct nbd_queue, q);
}

static void poke(struct nbd *n)
{
	const uint64_t one = 1;
	ssize_t r = write(n->wake_fd, &one, sizeof(one));

	(void)r;
}

/* ------------------------------------------------------------------ commands */

/* io->parts counts commands out plus one held by the submitter; io->result keeps the first error. */
static void release(struct store_io *io)
{
	if (__atomic_sub_fetch(&io->parts, 1, __ATOMIC_ACQ_REL) == 0)
		mailbox_post(&nbd_queue_of(io->queue)->box, io);
}

static void note_error(struct store_io *io, int err)
{
	int32_t none = 0;

	__atomic_compare_exchange_n(&io->result, &none, -(err ? err : EIO), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Before anybody is told. */
static void lost(struct nbd *n)
{
	if (!n->s.info.readonly)
		(void)store_poison(&n->s, STORE_LOST);
}

/* Any thread, but none of libnbd's callbacks. */
static bool is_lost(struct nbd *n)
{
	if (nbd_aio_is_dead(n->h) <= 0 && nbd_aio_is_closed(n->h) <= 0)
		return false;
	lost(n);
	return true;
}

static int on_done(void *user, int *error)
{
	struct store_io *io = user;

	if (*error == ENOTCONN) /* libnbd's own word for what it gives up; a server has none for it */
		lost(nbd_of(io->queue->store));
	if (*error)
		note_error(io, *error);
	release(io);
	return 1; /* retire the command */
}

static nbd_completion_callback callback(struct store_io *io)
{
	__atomic_add_fetch(&io->parts, 1, __ATOMIC_RELAXED);
	return (nbd_completion_callback){ .callback = on_done, .user_data = io };
}

/* A command that could not be given: its callback will not be called. */
static void check(struct store_io *io, int64_t cookie)
{
	int err;

	if (cookie >= 0)
		return;
	err = nbd_get_errno();
	(void)is_lost(nbd_of(io->queue->store));
	note_error(io, err);
	release(io);
}

static int64_t give(struct nbd *n, struct store_io *io, void *p, size_t bytes, uint64_t at)
{
	return io->op == STORE_READ ? nbd_aio_pread(n->h, p, bytes, at, callback(io), 0)
				    : nbd_aio_pwrite(n->h, p, bytes, at, callback(io), 0);
}

static void gather(const struct store_io *io)
{
	char *p = io->stage;

	for (uint32_t i = 0; i < io->nr_iov; p += io->iov[i++].iov_len)
		memcpy(p, io->iov[i].iov_base, io->iov[i].iov_len);
}

static void scatter(const struct store_io *io)
{
	const char *p = io->stage;

	for (uint32_t i = 0; i < io->nr_iov; p += io->iov[i++].iov_len)
		memcpy(io->iov[i].iov_base, p, io->iov[i].iov_len);
}

static void move_data(struct nbd *n, struct nbd_queue *nq, struct store_io *io)
{
	uint64_t at = io->offset;

	if (io->nr_iov > 1 && nq->staged + io->bytes <= STAGE_MAX)
		io->stage = malloc(io->bytes);
	if (io->stage) {
		nq->staged += io->bytes;
		if (io->op == STORE_WRITE)
			gather(io);
		check(io, give(n, io, io->stage, io->bytes, at));
		return;
	}
	for (uint32_t i = 0; i < io->nr_iov; at += io->iov[i++].iov_len)
		check(io, give(n, io, io->iov[i].iov_base, io->iov[i].iov_len, at));
}

/* What the FLUSH was for, or would have been. */
static void flushed(struct nbd *n, int err)
{
	struct store_io *io, *next;

	pthread_mutex_lock(&n->lock);
	io = n->flushing;
	n->flushing = NULL;
	pthread_mutex_unlock(&n->lock);
	for (; io; io = next) {
		next = io->next;
		if (err)
			note_error(io, err);
		release(io);
	}
}

static int on_flushed(void *user, int *error)
{
	struct nbd *n = user;

	if (*error == ENOTCONN)
		lost(n);
	else if (*error && store_poison(&n->s, STORE_FLUSH_FAILED))
		log_error("%s: flush failed: %s; every later flush will fail until the disk is attached again",
			  n->s.name, strerror(*error));
	flushed(n, *error);
	poke(n);
	return 1;
}

/* The module's thread: if none is under way, one for those that wait. */
static void flush_next(struct nbd *n)
{
	bool busy;

	pthread_mutex_lock(&n->lock);
	busy = n->flushing || !n->flushes.head;
	if (!busy) {
		n->flushing = n->flushes.head;
		store_list_init(&n->flushes);
	}
	pthread_mutex_unlock(&n->lock);
	if (busy)
		return;
	if (is_lost(n) || __atomic_load_n(&n->s.poisoned, __ATOMIC_ACQUIRE)) {
		flushed(n, EIO);
	} else if (!n->can_flush) {
		flushed(n, 0);
	} else if (nbd_aio_flush(n->h, (nbd_completion_callback){ .callback = on_flushed, .user_data = n }, 0) < 0) {
		(void)is_lost(n);
		flushed(n, EIO);
	}
}

static void nbd_submit(struct store_queue *q, struct store_io *io)
{
	struct nbd *n = nbd_of(q->store);

	io->queue = q;
	io->result = 0;
	io->parts = 1;
	io->stage = NULL;
	if (io->op == STORE_FLUSH) { /* kick() tells the module's thread */
		pthread_mutex_lock(&n->lock);
		store_list_add(&n->flushes, io);
		pthread_mutex_unlock(&n->lock);
		return;
	}
	if (__atomic_load_n(&n->dead, __ATOMIC_RELAXED)) {
		note_error(io, EIO);
	} else if (io->op == STORE_READ || io->op == STORE_WRITE) {
		move_data(n, nbd_queue_of(q), io);
	} else if (io->op == STORE_DISCARD) {
		for (uint64_t at = io->offset, end = at + io->bytes; at < end; at += DISCARD_MAX)
			check(io, nbd_aio_trim(n->h, MIN(end - at, (uint64_t)DISCARD_MAX), at, callback(io), 0));
	} else {
		note_error(io, EOPNOTSUPP);
	}
	release(io);
}

static void nbd_kick(struct store_queue *q)
{
	poke(nbd_of(q->store));
}

static struct store_io *nbd_reap(struct store_queue *q)
{
	struct nbd_queue *nq = nbd_queue_of(q);
	struct store_io *l = mailbox_take(&nq->box);

	for (struct store_io *io = l; io; io = io->next) {
		if (!io->stage)
			continue;
		if (io->op == STORE_READ && !io->result)
			scatter(io);
		free(io->stage);
		io->stage = NULL;
		nq->staged -= io->bytes;
	}
	return l;
}

static bool nbd_ready(const struct store_queue *q)
{
	return mailbox_ready(&container_of(q, const struct nbd_queue, q)->box);
}

/* ------------------------------------------------------------------ the module's thread */

/* One turn of libnbd's, for at most @ms. (Its own nbd_poll() calls poll(), which nobody else here needs.) */
static void progress(struct nbd *n, uint64_t ms)
{
	struct timespec ts = { (time_t)(ms / 1000), (long)(ms % 1000 * 1000000) };
	unsigned int dir = nbd_aio_get_direction(n->h);
	struct pollfd p[2] = {
		{ .fd = nbd_aio_get_fd(n->h) },
		{ .fd = n->wake_fd, .events = POLLIN },
	};
	uint64_t v;

	if (dir & LIBNBD_AIO_DIRECTION_READ)
		p[0].events |= POLLIN;
	if (dir & LIBNBD_AIO_DIRECTION_WRITE)
		p[0].events |= POLLOUT;
	if (ppoll(p, 2, ms == FOREVER ? NULL : &ts, NULL) < 0)
		return;
	if (p[1].revents && read(n->wake_fd, &v, sizeof(v)) < 0)
		return;
	/* A queue's thread may have moved the state machine meanwhile: ask again what it wants. */
	dir = nbd_aio_get_direction(n->h);
	if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && (dir & LIBNBD_AIO_DIRECTION_READ))
		(void)nbd_aio_notify_read(n->h);
	else if ((p[0].revents & (POLLOUT | POLLHUP | POLLERR)) && (dir & LIBNBD_AIO_DIRECTION_WRITE))
		(void)nbd_aio_notify_write(n->h);
}

static void *nbd_thread(void *arg)
{
	struct nbd *n = arg;

	while (!__atomic_load_n(&n->stop, __ATOMIC_RELAXED)) {
		flush_next(n);
		if (is_lost(n)) {
			/* libnbd has failed what was in flight; from now on submit() fails the rest. */
			struct pollfd p = { n->wake_fd, POLLIN, 0 };
			uint64_t v;

			if (!__atomic_exchange_n(&n->dead, true, __ATOMIC_RELAXED))
				log_error("%s: the NBD connection is lost: every request fails, and every flush until "
					  "the disk is attached again",
					  n->s.name);
			if (ppoll(&p, 1, NULL, NULL) > 0 && read(n->wake_fd, &v, sizeof(v)) < 0)
				continue;
			continue;
		}
		progress(n, FOREVER);
	}
	return NULL;
}

/* ------------------------------------------------------------------ life */

static int nbd_queue_new(struct store *s, int event_fd, int control_fd, uint32_t depth, struct store_queue **ret)
{
	struct nbd_queue *nq = calloc(1, sizeof(*nq));
	int rc = nq ? mailbox_init(&nq->box) : -ENOMEM;

	if (rc) {
		free(nq);
		return rc;
	}
	nq->q = (struct store_queue){ s, nq->box.fd };
	*ret = &nq->q;
	return 0;
}

static void nbd_queue_free(struct store_queue *q)
{
	mailbox_fini(&nbd_queue_of(q)->box);
	free(nbd_queue_of(q));
}

static int nbd_resize(struct store *s, struct blk_info *ret)
{
	*ret = s->info; /* an export's size is told once, at connect */
	return 0;
}

static void nbd_store_close(struct store *s)
{
	struct nbd *n = nbd_of(s);

	if (n->running) {
		__atomic_store_n(&n->stop, true, __ATOMIC_RELAXED);
		poke(n);
		pthread_join(n->thread, NULL);
	}
	nbd_close(n->h);
	pthread_mutex_destroy(&n->lock);
	if (n->wake_fd >= 0)
		close(n->wake_fd);
	free(n);
}

static const struct store_ops nbd_ops = {
	.name = "nbd",
	.batch = 32,
	.batch_bytes = UINT32_MAX,
	.queue_new = nbd_queue_new,
	.queue_free = nbd_queue_free,
	.submit = nbd_submit,
	.kick = nbd_kick,
	.reap = nbd_reap,
	.ready = nbd_ready,
	.resize = nbd_resize,
	.close = nbd_store_close,
};

/* The server, which has spoken by now, has HANDSHAKE_MS: the control plane's other messages wait behind this. */
static int handshake(struct nbd *n, int fd)
{
	uint64_t end = now_ns() + HANDSHAKE_MS * 1000000ull;

	if (nbd_aio_connect_socket(n->h, fd) < 0)
		return -(nbd_get_errno() ? nbd_get_errno() : EIO);
	while (nbd_aio_is_ready(n->h) == 0) {
		uint64_t now = now_ns();

		if (now >= end)
			return -ETIMEDOUT;
		progress(n, (end - now) / 1000000 + 1);
		if (nbd_aio_is_dead(n->h) > 0 || nbd_aio_is_closed(n->h) > 0)
			return -ECONNRESET;
	}
	return nbd_aio_is_ready(n->h) > 0 ? 0 : -ECONNRESET;
}

static void learn(struct nbd *n, const struct blk_open *o, int64_t size)
{
	struct blk_info *i = &n->s.info;
	int64_t pref = nbd_get_block_size(n->h, LIBNBD_SIZE_PREFERRED);

	*i = (struct blk_info){
		.sectors = (uint64_t)size / SECTOR_BYTES,
		.physical_sector = pref >= (int64_t)SECTOR_BYTES && pref <= 65536 && !(pref & (pref - 1))
					   ? (uint32_t)pref
					   : PAGE_BYTES,
		.can_flush = 1, /* a server that needs none is told none, and succeeds */
		.readonly = (o->flags & BLK_O_READONLY) || nbd_is_read_only(n->h) > 0,
		.engine = "nbd",
	};
	n->can_flush = nbd_can_flush(n->h) > 0;
	i->can_discard = !i->readonly && (o->flags & BLK_O_DISCARD) && nbd_can_trim(n->h) > 0;
	i->discard_granularity = i->physical_sector;
}

int synth_store_nbd_open(const struct blk_open *o, int fd, struct store **ret)
{
	struct nbd *n = calloc(1, sizeof(*n));
	int64_t size;
	int rc;

	if (!n) {
		close(fd);
		return -ENOMEM;
	}
	n->s.ops = &nbd_ops;
	pthread_mutex_init(&n->lock, NULL);
	store_list_init(&n->flushes);
	snprintf(n->s.name, sizeof(n->s.name), "%s", o->name);
	n->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->h = nbd_create();
	if (!n->h || n->wake_fd < 0) {
		close(fd);
		nbd_store_close(&n->s);
		return -ENOMEM;
	}
	if (nbd_set_export_name(n->h, o->export) < 0 || nbd_set_handshake_flags(n->h, LIBNBD_HANDSHAKE_FLAG_MASK) < 0) {
		close(fd);
		nbd_store_close(&n->s);
		return -EINVAL;
	}
	rc = handshake(n, fd); /* the socket is libnbd's now */
	size = rc ? -1 : nbd_get_size(n->h);
	if (rc == 0 && size < 0)
		rc = -EIO;
	if (rc == 0 && nbd_get_block_size(n->h, LIBNBD_SIZE_MINIMUM) > (int64_t)SECTOR_BYTES) {
		log_error("%s: the NBD server wants blocks of %lld bytes; 512 are needed (nbdkit: --filter=blocksize)",
			  o->name, (long long)nbd_get_block_size(n->h, LIBNBD_SIZE_MINIMUM));
		rc = -EOPNOTSUPP;
	}
	if (rc == 0) {
		learn(n, o, size);
		rc = -pthread_create(&n->thread, NULL, nbd_thread, n);
	}
	if (rc) {
		log_error("%s: NBD: %s", o->name, nbd_get_error() ? nbd_get_error() : strerror(-rc));
		nbd_store_close(&n->s);
		return rc;
	}
	n->running = true;
	*ret = &n->s;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-uring.c - engine "io_uring": one kernel ring a queue, the image as its fixed file.
 *
 *	submit()  fills an SQE; kick() starts all of a turn with one system call
 *	reap()    reads the CQ from memory; enters the kernel only when it says that completions wait inside
 *	wait()    sleeps in the ring: the event channel, the control fd and the helpers' mailbox are watched by
 *		  multishot polls, so that one system call waits for everything
 *
 * The ring is made disabled by the main thread (so that a confined thread needs no io_uring_setup), enabled by the
 * queue's thread, which is then its single issuer.  Kernels without the newer flags get a plainer ring.
 *
 * A poll that ended (the kernel may end a multishot one, an old kernel knows none) is armed again before the next
 * sleep.  A short transfer goes again with the rest; -EAGAIN and -EINTR go again up to MAX_TRIES times.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/block/store-file.h"
#include "common/log/log.h"

#define SQ_ENTRIES 128u
#define MAX_TRIES  16u

enum watched { WATCH_EVENT = 1, WATCH_CONTROL, WATCH_BOX, NR_WATCHED }; /* user_data below NR_WATCHED */

struct uring_queue {
	struct file_queue fq;
	struct io_uring ring;
	struct store_list done; /* finished without the kernel's help */
	uint32_t in_flight;
	uint32_t woke; /* STORE_WOKE_* seen in the CQ */
	int fds[NR_WATCHED];
	bool armed[NR_WATCHED];
	bool disabled; /* until queue_start() */
};

static struct uring_queue *uring_of(struct store_queue *q)
{
	return container_of(q, struct uring_queue, fq.q);
}

static int ring_init(struct uring_queue *u, uint32_t depth)
{
	static const unsigned int wanted[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_R_DISABLED,
	};
	int rc = -EINVAL;

	for (uint32_t i = 0; i < ARRAY_SIZE(wanted) && rc == -EINVAL; i++) {
		struct io_uring_params p = { .flags = wanted[i] | IORING_SETUP_CQSIZE };

		/* Every io, twice for what goes again, and the polls. */
		p.cq_entries = MAX(2 * (depth + 8), 2 * SQ_ENTRIES);
		rc = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &p);
	}
	return rc;
}

bool store_uring_usable(void)
{
	struct uring_queue u;

	if (ring_init(&u, 1))
		return false;
	io_uring_queue_exit(&u.ring);
	return true;
}

static int uring_queue_new(struct store *s, int event_fd, int control_fd, uint32_t depth, struct store_queue **ret)
{
	struct uring_queue *u = calloc(1, sizeof(*u));
	struct file *f = file_of(s);
	int rc;

	if (!u)
		return -ENOMEM;
	rc = file_queue_init(&u->fq, s);
	if (rc) {
		free(u);
		return rc;
	}
	rc = ring_init(u, depth);
	if (rc == 0) {
		rc = io_uring_register_files(&u->ring, &f->fd, 1);
		if (rc)
			io_uring_queue_exit(&u->ring);
	}
	if (rc) {
		file_queue_fini(&u->fq);
		free(u);
		return rc;
	}
	store_list_init(&u->done);
	u->disabled = true;
	u->fds[WATCH_EVENT] = event_fd;
	u->fds[WATCH_CONTROL] = control_fd;
	u->fds[WATCH_BOX] = u->fq.box.fd;
	*ret = &u->fq.q;
	return 0;
}

static void uring_queue_free(struct store_queue *q)
{
	struct uring_queue *u = uring_of(q);

	io_uring_queue_exit(&u->ring);
	file_queue_fini(&u->fq);
	free(u);
}

static int uring_queue_start(struct store_queue *q)
{
	struct uring_queue *u = uring_of(q);

	/* By hand: liburing 2.3 declares io_uring_enable_rings() and does not export it. */
	if (syscall(__NR_io_uring_register, u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		return -errno;
	u->disabled = false;
	return 0;
}

/* Hand what is queued to the kernel. A busy kernel (EBUSY, EAGAIN) is asked again at the next kick or wait. */
static void enter(struct uring_queue *u)
{
	int rc;

	do {
		rc = io_uring_submit(&u->ring);
	} while (rc == -EINTR);
	if (rc < 0 && rc != -EBUSY && rc != -EAGAIN)
		log_error("%s: io_uring_submit: %s", u->fq.q.store->name, strerror(-rc));
}

static struct io_uring_sqe *get_sqe(struct uring_queue *u)
{
	struct io_uring_sqe *e = io_uring_get_sqe(&u->ring);

	if (e)
		return e;
	enter(u);
	return io_uring_get_sqe(&u->ring);
}

static void finish(struct uring_queue *u, struct store_io *io, int result)
{
	io->result = result;
	store_list_add(&u->done, io);
}

static void issue(struct uring_queue *u, struct store_io *io)
{
	struct io_uring_sqe *e = get_sqe(u);

	if (!e) {
		finish(u, io, -EAGAIN);
		return;
	}
	switch (io->op) {
	case STORE_READ:
		if (io->nr_iov == 1)
			io_uring_prep_read(e, 0, io->iov[0].iov_base, (unsigned int)io->iov[0].iov_len,
					   io->offset + io->done);
		else
			io_uring_prep_readv(e, 0, io->iov, io->nr_iov, io->offset + io->done);
		break;
	case STORE_WRITE:
		if (io->nr_iov == 1)
			io_uring_prep_write(e, 0, io->iov[0].iov_base, (unsigned int)io->iov[0].iov_len,
					    io->offset + io->done);
		else
			io_uring_prep_writev(e, 0, io->iov, io->nr_iov, io->offset + io->done);
		break;
	default:
		io_uring_prep_nop(e);
		break;
	}
	e->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(e, io);
	u->in_flight++;
}

static void uring_submit(struct store_queue *q, struct store_io *io)
{
	struct uring_queue *u = uring_of(q);

	io->done = 0;
	switch (io->op) {
	case STORE_READ:
	case STORE_WRITE:
		issue(u, io);
		break;
	default: /* flush: its retry rules live in one place; discard: it may take long */
		pool_submit(&u->fq, io);
	}
}

static void uring_kick(struct store_queue *q)
{
	struct uring_queue *u = uring_of(q);

	if (io_uring_sq_ready(&u->ring))
		enter(u);
}

static void transferred(struct uring_queue *u, struct store_io *io, int res)
{
	u->in_flight--;
	if (res == -EAGAIN || res == -EINTR) {
		if (io->tries++ < MAX_TRIES)
			issue(u, io);
		else
			finish(u, io, res);
	} else if (res < 0) {
		finish(u, io, res);
	} else if (res == 0) { /* the file has shrunk under us */
		finish(u, io, -EIO);
	} else if (io->done + (uint32_t)res >= io->bytes) {
		finish(u, io, 0);
	} else {
		file_advance(io, (uint64_t)res);
		issue(u, io);
	}
}

static void look_at_cq(struct uring_queue *u)
{
	struct io_uring_cqe *c;
	unsigned int head, n = 0;

	if (IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
		(void)io_uring_get_events(&u->ring);
	io_uring_for_each_cqe(&u->ring, head, c)
	{
		uint64_t tag = c->user_data;

		n++;
		if (tag >= NR_WATCHED) {
			transferred(u, io_uring_cqe_get_data(c), c->res);
			continue;
		}
		if (!(c->flags & IORING_CQE_F_MORE))
			u->armed[tag] = false;
		if (tag == WATCH_EVENT)
			u->woke |= STORE_WOKE_EVENT;
		else if (tag == WATCH_CONTROL)
			u->woke |= STORE_WOKE_CONTROL;
	}
	if (n)
		io_uring_cq_advance(&u->ring, n);
}

static bool uring_ready(const struct store_queue *q)
{
	const struct uring_queue *u = container_of(q, const struct uring_queue, fq.q);

	if (u->done.head || mailbox_ready(&u->fq.box))
		return true;
	return u->in_flight &&
	       (io_uring_cq_ready(&u->ring) || (IO_URING_READ_ONCE(*u->ring.sq.kflags) & IORING_SQ_TASKRUN));
}

static struct store_io *uring_reap(struct store_queue *q)
{
	struct uring_queue *u = uring_of(q);
	struct store_io *l, *boxed;

	look_at_cq(u);
	if (io_uring_sq_ready(&u->ring)) /* what goes again */
		enter(u);
	boxed = mailbox_take(&u->fq.box);
	l = u->done.head;
	if (l)
		*u->done.tail = boxed;
	else
		l = boxed;
	store_list_init(&u->done);
	return l;
}

static uint32_t uring_wait(struct store_queue *q, int64_t timeout_ns)
{
	struct uring_queue *u = uring_of(q);
	struct __kernel_timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	struct io_uring_cqe *c;
	uint32_t woke;

	if (u->disabled) { /* never started: nothing is in flight, all that can come is the end */
		struct pollfd p = { u->fds[WATCH_CONTROL], POLLIN, 0 };

		return poll(&p, 1, -1) > 0 ? STORE_WOKE_CONTROL : 0;
	}
	look_at_cq(u);
	if (!u->woke && !u->done.head && !mailbox_ready(&u->fq.box)) {
		for (uint64_t i = WATCH_EVENT; i < NR_WATCHED; i++) {
			struct io_uring_sqe *e = u->armed[i] ? NULL : get_sqe(u);

			if (!e)
				continue;
			io_uring_prep_poll_multishot(e, u->fds[i], POLLIN);
			io_uring_sqe_set_data64(e, i);
			u->armed[i] = true;
		}
		(void)io_uring_submit_and_wait_timeout(&u->ring, &c, 1, timeout_ns < 0 ? NULL : &ts, NULL);
		look_at_cq(u);
	}
	woke = u->woke;
	u->woke = 0;
	return woke;
}

const struct store_ops store_uring_ops = {
	.name = "io_uring",
	.batch = 64,
	.batch_bytes = UINT32_MAX,
	.queue_new = uring_queue_new,
	.queue_free = uring_queue_free,
	.queue_start = uring_queue_start,
	.submit = uring_submit,
	.kick = uring_kick,
	.reap = uring_reap,
	.ready = uring_ready,
	.wait = uring_wait,
	.cancel = file_queue_cancel,
	.resize = file_resize,
	.close = file_close,
};

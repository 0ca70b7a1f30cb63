/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-uring.c - engine "io_uring": one kernel ring a queue, the image as its fixed file.
 *
 *	submit()  fills an SQE; kick() starts all of a turn with one system call
 *	reap()    reads the CQ from memory; enters the kernel only when it says that completions wait inside
 *	wait()    sleeps in the ring: the event channel, the control fd and the helpers' mailbox are watched by
 *		  multishot polls, so that one system call waits for everything
 *
 * Confinement.  A ring could do for a thread what its system call filter forbids.  So all rings are made by
 * store_uring_prepare() before the process is confined, which after that can make no more; each is restricted to the
 * operations below, for good, and is lent to one queue after the other.  A queue for which none is left gives its
 * transfers to the helper threads.  No ring has a single issuer, since its users are many.
 *
 * A poll that ended (the kernel may end a multishot one, an old kernel knows none) is armed again before the next
 * sleep.  A short transfer goes again with the rest; -EAGAIN and -EINTR go again up to MAX_TRIES times.  What the ring cannot do after that,
 * or did not do (-ECANCELED: the kernel found no thread for it; -ENOMEM: it cannot take a reference to one of the pages), the helper threads do: the guest is told errors of the
 * image only.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/block/store-file.h"
#include "common/log/log.h"

#define SQ_ENTRIES 128u
#define CQ_ENTRIES 1024u /* the most requests a guest's ring holds (512), and the polls */
#define MAX_TRIES  16u
#define QUIET_MS   1000 /* for a ring's polls to end */

enum watched { WATCH_EVENT = 1, WATCH_CONTROL, WATCH_BOX, NR_WATCHED, TAG_REMOVED = NR_WATCHED }; /* user_data */

struct kernel_ring {
	struct kernel_ring *next;
	struct io_uring u;
};

/* The main thread's alone. */
static struct {
	struct kernel_ring *free;
	bool sealed; /* no more can be made */
} pool;

struct uring_queue {
	struct file_queue fq;
	struct kernel_ring *lent;
	struct io_uring *ring;  /* lent->u; NULL: none was left */
	struct store_list done; /* finished without the kernel's help */
	uint32_t in_flight;
	uint32_t woke; /* STORE_WOKE_* seen in the CQ */
	int fds[NR_WATCHED];
	bool armed[NR_WATCHED];
};

static struct uring_queue *uring_of(struct store_queue *q)
{
	return container_of(q, struct uring_queue, fq.q);
}

static int ring_init(struct io_uring *u)
{
	static const unsigned int wanted[] = {
		IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_R_DISABLED,
	};
	int rc = -EINVAL;

	for (uint32_t i = 0; i < ARRAY_SIZE(wanted) && rc == -EINVAL; i++) {
		struct io_uring_params p = { .flags = wanted[i] | IORING_SETUP_CQSIZE, .cq_entries = CQ_ENTRIES };

		rc = io_uring_queue_init_params(SQ_ENTRIES, u, &p);
	}
	return rc;
}

/* What a ring may do from now on. By hand: liburing 2.3 declares the calls for it and does not export them. */
static int ring_restrict(struct io_uring *u)
{
	static const uint8_t ops[] = { IORING_OP_READ,   IORING_OP_READV,    IORING_OP_WRITE,
				       IORING_OP_WRITEV, IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE };
	struct io_uring_restriction r[ARRAY_SIZE(ops) + 2];
	uint32_t n = 0;

	memset(r, 0, sizeof(r));
	for (; n < ARRAY_SIZE(ops); n++) {
		r[n].opcode = IORING_RESTRICTION_SQE_OP;
		r[n].sqe_op = ops[n];
	}
	r[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	r[n++].sqe_flags = IOSQE_FIXED_FILE;
	r[n].opcode = IORING_RESTRICTION_REGISTER_OP;
	r[n++].register_op = IORING_REGISTER_FILES_UPDATE;
	if (syscall(__NR_io_uring_register, u->ring_fd, IORING_REGISTER_RESTRICTIONS, r, n) < 0 ||
	    syscall(__NR_io_uring_register, u->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		return -errno;
	return 0;
}

static struct kernel_ring *ring_make(void)
{
	struct kernel_ring *k = calloc(1, sizeof(*k));
	const int none = -1;
	int rc = k ? ring_init(&k->u) : -ENOMEM;

	if (rc) {
		free(k);
		return NULL;
	}
	rc = io_uring_register_files(&k->u, &none, 1); /* the place of a queue's image */
	if (rc == 0)
		rc = ring_restrict(&k->u);
	if (rc == 0)
		return k;
	log_debug("io_uring: %s", strerror(-rc));
	io_uring_queue_exit(&k->u);
	free(k);
	return NULL;
}

static struct kernel_ring *ring_borrow(void)
{
	struct kernel_ring *k = pool.free;

	if (!k)
		return pool.sealed ? NULL : ring_make();
	pool.free = k->next;
	return k;
}

static void ring_give_back(struct kernel_ring *k)
{
	k->next = pool.free;
	pool.free = k;
}

void store_uring_prepare(uint32_t nr)
{
	struct kernel_ring *k;

	for (; nr > 0 && (k = ring_make()); nr--)
		ring_give_back(k);
	pool.sealed = true;
}

bool store_uring_usable(void)
{
	struct kernel_ring *k;

	if (pool.sealed)
		return pool.free;
	k = ring_borrow();
	if (k)
		ring_give_back(k);
	return k;
}

static int uring_queue_new(struct store *s, int event_fd, int control_fd, uint32_t depth, struct store_queue **ret)
{
	struct uring_queue *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	rc = file_queue_init(&u->fq, s);
	if (rc) {
		free(u);
		return rc;
	}
	u->lent = ring_borrow();
	if (u->lent && io_uring_register_files_update(&u->lent->u, 0, &file_of(s)->fd, 1) != 1) {
		ring_give_back(u->lent);
		u->lent = NULL;
	}
	if (u->lent)
		u->ring = &u->lent->u;
	else
		log_info("%s: a queue without a kernel ring: its transfers go to helper threads", s->name);
	store_list_init(&u->done);
	u->fds[WATCH_EVENT] = event_fd;
	u->fds[WATCH_CONTROL] = control_fd;
	u->fds[WATCH_BOX] = u->fq.box.fd;
	*ret = &u->fq.q;
	return 0;
}

static uint32_t nr_armed(const struct uring_queue *u)
{
	uint32_t n = 0;

	for (uint32_t i = WATCH_EVENT; i < NR_WATCHED; i++)
		n += u->armed[i];
	return n;
}

/* End the polls, so that the ring's next user finds nothing of ours in it. */
static bool ring_quiet(struct uring_queue *u)
{
	const int none = -1;
	uint32_t removals = nr_armed(u);
	uint64_t end = now_ns() + QUIET_MS * 1000000ull;
	struct __kernel_timespec ts = { 0, 50000000 };
	struct io_uring_cqe *c;

	for (uint64_t i = WATCH_EVENT; i < NR_WATCHED; i++) {
		struct io_uring_sqe *e = u->armed[i] ? io_uring_get_sqe(u->ring) : NULL;

		if (!e)
			continue;
		io_uring_prep_poll_remove(e, i);
		io_uring_sqe_set_data64(e, TAG_REMOVED);
	}
	while (removals || nr_armed(u)) {
		(void)io_uring_submit_and_wait_timeout(u->ring, &c, 1, &ts, NULL);
		while (io_uring_peek_cqe(u->ring, &c) == 0) {
			if (c->user_data == TAG_REMOVED)
				removals--;
			else if (c->user_data < NR_WATCHED && !(c->flags & IORING_CQE_F_MORE))
				u->armed[c->user_data] = false;
			io_uring_cqe_seen(u->ring, c);
		}
		if (now_ns() > end)
			return false;
	}
	return io_uring_register_files_update(u->ring, 0, &none, 1) == 1;
}

static void uring_queue_free(struct store_queue *q)
{
	struct uring_queue *u = uring_of(q);

	if (u->lent && ring_quiet(u)) {
		ring_give_back(u->lent);
	} else if (u->lent) {
		log_warn("%s: a kernel ring does not come to rest and is given up", q->store->name);
		io_uring_queue_exit(u->ring);
		free(u->lent);
	}
	file_queue_fini(&u->fq);
	free(u);
}

/* Hand what is queued to the kernel. A busy kernel (EBUSY, EAGAIN) is asked again at the next kick or wait. */
static void enter(struct uring_queue *u)
{
	int rc;

	do {
		rc = io_uring_submit(u->ring);
	} while (rc == -EINTR);
	if (rc < 0 && rc != -EBUSY && rc != -EAGAIN)
		log_error("%s: io_uring_submit: %s", u->fq.q.store->name, strerror(-rc));
}

static struct io_uring_sqe *get_sqe(struct uring_queue *u)
{
	struct io_uring_sqe *e = io_uring_get_sqe(u->ring);

	if (e)
		return e;
	enter(u);
	return io_uring_get_sqe(u->ring);
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
		pool_go_on(&u->fq, io);
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
	switch (u->ring ? io->op : STORE_FLUSH) {
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

	if (u->ring && io_uring_sq_ready(u->ring))
		enter(u);
}

static void transferred(struct uring_queue *u, struct store_io *io, int res)
{
	u->in_flight--;
	if ((res == -EAGAIN || res == -EINTR) && io->tries++ < MAX_TRIES) {
		issue(u, io);
	} else if (res == -EAGAIN || res == -EINTR || res == -ECANCELED || res == -ENOMEM) {
		pool_go_on(&u->fq, io);
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

	if (IO_URING_READ_ONCE(*u->ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
		(void)io_uring_get_events(u->ring);
	io_uring_for_each_cqe(u->ring, head, c)
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
		io_uring_cq_advance(u->ring, n);
}

static bool uring_ready(const struct store_queue *q)
{
	const struct uring_queue *u = container_of(q, const struct uring_queue, fq.q);

	if (u->done.head || mailbox_ready(&u->fq.box))
		return true;
	return u->in_flight &&
	       (io_uring_cq_ready(u->ring) || (IO_URING_READ_ONCE(*u->ring->sq.kflags) & IORING_SQ_TASKRUN));
}

static struct store_io *uring_reap(struct store_queue *q)
{
	struct uring_queue *u = uring_of(q);
	struct store_io *l, *boxed;

	if (u->ring)
		look_at_cq(u);
	if (u->ring && io_uring_sq_ready(u->ring)) /* what goes again */
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

static uint32_t wait_plainly(const struct uring_queue *u, int64_t timeout_ns)
{
	struct timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	struct pollfd p[NR_WATCHED - 1];
	uint32_t woke = 0;

	for (uint32_t i = WATCH_EVENT; i < NR_WATCHED; i++)
		p[i - 1] = (struct pollfd){ u->fds[i], POLLIN, 0 };
	if (ppoll(p, ARRAY_SIZE(p), timeout_ns < 0 ? NULL : &ts, NULL) <= 0)
		return 0;
	if (p[WATCH_EVENT - 1].revents)
		woke |= STORE_WOKE_EVENT;
	if (p[WATCH_CONTROL - 1].revents)
		woke |= STORE_WOKE_CONTROL;
	return woke;
}

static uint32_t uring_wait(struct store_queue *q, int64_t timeout_ns)
{
	struct uring_queue *u = uring_of(q);
	struct __kernel_timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	struct io_uring_cqe *c;
	uint32_t woke;

	if (!u->ring)
		return wait_plainly(u, timeout_ns);
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
		(void)io_uring_submit_and_wait_timeout(u->ring, &c, 1, timeout_ns < 0 ? NULL : &ts, NULL);
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
	.outlives = true,
	.queue_new = uring_queue_new,
	.queue_free = uring_queue_free,
	.submit = uring_submit,
	.kick = uring_kick,
	.reap = uring_reap,
	.ready = uring_ready,
	.wait = uring_wait,
	.cancel = file_queue_cancel,
	.resize = file_resize,
	.close = file_close,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue.c - the thread of one queue: when to work, when to look, when to sleep, when to unmask.
 *
 * Events.  A port that was read is masked.  It is unmasked just before sleeping, when all work is done (lateeoi,
 * XSA-332), and only if it was read at all: under load the thread finds work by looking and touches neither the
 * port nor req_event, so the front end has no reason to notify.
 *
 * Spurious events.  One that finds nothing, with nothing found since the one before, is spurious.  The first in a
 * row is forgiven (binding a port raises one, and so does a front end that does not read req_event); from the
 * second on the port stays masked for 1, 2, 4 .. 1000 ms.  While it waits for that the thread still serves what
 * it sees in the ring at the end of the delay.  Real work resets it.
 *
 * Held events.  A class may hold a notification back for some microseconds (moderate.h).  The thread looks until
 * that time is over, and it sends what is held before it sleeps or ends.
 *
 * The end.  Linux' blkfront says Closed with requests in its block layer that it has not put into the ring, and waits for
 * their answers all the same, with the thread that handles every device of the guest: left unanswered, they hang it.  An
 * event makes it put them in.  So a queue that was busy, and is to finish, sends one, and stays until nothing comes.
 *
 * Bad requests.  Each takes a token of ERRORS_PER_SEC; without one the thread pauses 1 ms, which is the guest's
 * own time.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "backend/worker/device.h"

#define SPURIOUS_MAX_MS 1000u
#define ERRORS_PER_SEC  1000u
#define IDLE_FIRST_NS   1000000000ull
#define SLOW_MACHINE    8     /* that slow, a CPU is emulated, and a pause is the dearest of instructions */
#define FINISH_MAX      4096u /* requests and answers, of a front end that says it has stopped and goes on */
/* Of a disk that is closed and was used in the second before: how long it waits for more; times slowness. */
#define LINGER_NS     20000000ull
#define LINGER_MAX_NS 500000000ull

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static bool stopping(const struct queue *q)
{
	return __atomic_load_n(&q->stop, __ATOMIC_ACQUIRE);
}

static bool halted(const struct queue *q)
{
	return __atomic_load_n(&q->dev->broken, __ATOMIC_RELAXED);
}

void queue_notify(struct queue *q, uint32_t ring)
{
	STAT_ADD(q->stats.events_out, 1);
	(void)evtchn_notify(
		q->evtchn,
		q->port[MIN(ring, q->nr_ports - 1)]); /* fails when the guest is gone: it is not waiting then */
}

void queue_wake(struct queue *q)
{
	uint64_t one = 1;
	ssize_t n = write(q->control_fd, &one, sizeof(one)); /* cannot fail: nobody counts so far */

	(void)n;
}

void queue_penalty(struct queue *q, uint64_t now)
{
	const struct timespec ms = { 0, 1000000 };

	if (now - q->error_ns >= 1000000000ull) {
		q->error_ns = now;
		q->error_tokens = ERRORS_PER_SEC;
	}
	if (q->error_tokens)
		q->error_tokens--;
	else
		(void)ppoll(NULL, 0, &ms, NULL);
}

uint32_t queue_wait_fds(struct queue *q, int fd, short events, int64_t timeout_ns)
{
	struct pollfd p[3] = {
		{ .fd = evtchn_fd(q->evtchn), .events = POLLIN },
		{ .fd = q->control_fd, .events = POLLIN },
		{ .fd = fd, .events = events },
	};
	struct timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	uint32_t woke = 0;

	if (ppoll(p, fd >= 0 ? 3 : 2, timeout_ns < 0 ? NULL : &ts, NULL) <= 0)
		return 0;
	if (p[0].revents)
		woke |= QUEUE_WOKE_EVENT;
	if (p[1].revents)
		woke |= QUEUE_WOKE_CONTROL;
	return woke;
}

static void undelay(struct queue *q)
{
	if (unlikely(q->unmask_at))
		STAT_SET(q->stats.delay_ms, 0);
	q->unmask_at = 0;
}

static void take_event(struct queue *q)
{
	uint32_t nr = 0;

	for (; nr < q->nr_ports; nr++) {
		int port = evtchn_next(q->evtchn);

		if (port < 0)
			break;
		STAT_ADD(q->stats.events_in, 1);
		for (uint32_t i = 0; i < q->nr_ports; i++)
			if (q->port[i] == (uint32_t)port)
				q->masked |= 1u << i;
	}
	if (nr == 0)
		return;
	if (!q->worked && !q->dev->class->peek(q)) {
		STAT_ADD(q->stats.events_spurious, 1);
		if (++q->spurious > 1) {
			uint32_t shift = MIN(q->spurious - 2, 10u), ms = MIN(1u << shift, SPURIOUS_MAX_MS);

			q->unmask_at = now_ns() + ms * 1000000ull;
			STAT_SET(q->stats.delay_ms, ms);
		}
	}
	q->worked = false;
}

static void unmask(struct queue *q)
{
	for (uint32_t i = 0; i < q->nr_ports; i++)
		if (q->masked & 1u << i)
			(void)evtchn_unmask(q->evtchn, q->port[i]);
	q->masked = 0;
	undelay(q);
}

/* A held event is looked at again when its time is over, or, with UINT64_MAX, sent. */
static void settle(struct queue *q, uint64_t now)
{
	if (q->held_until && now >= q->held_until)
		q->dev->class->settle(q, now);
}

/* How long a held event may make us look, whether looking pays or not: without it there is no holding. */
static uint64_t held_for(struct queue *q, uint64_t now)
{
	uint64_t ns = q->held_until > now ? q->held_until - now : 0;

	return ns && poll_affords(&q->poll, now, ns) ? ns : 0;
}

/* Look for a while. True: there is something to do. */
static bool look(struct queue *q)
{
	uint64_t start = q->busy_until, window = poll_window(&q->poll, start), now = start;
	uint64_t end = start + MAX(window, held_for(q, start));
	bool found = false, relax = worker.slowness < SLOW_MACHINE;

	if (end == start)
		return false;
	do {
		for (uint32_t i = 0; i < q->dev->class->peeks && !found; i++) {
			found = q->dev->class->peek(q) || stopping(q) || halted(q);
			if (!found && relax)
				cpu_relax();
		}
		now = now_ns();
		settle(q, now);
	} while (!found && now < end);
	STAT_ADD(q->stats.polls, 1);
	STAT_ADD(q->stats.poll_ns, now - start);
	if (found) {
		STAT_ADD(q->stats.poll_hits, 1);
		poll_hit(&q->poll, now - start);
	} else if (window) {
		poll_miss(&q->poll, now - start);
	} else {
		poll_spent(&q->poll, now - start);
	}
	return found;
}

/* Returns what woke us; 0 without sleeping when there is work after all. */
static int sleep_until_work(struct queue *q)
{
	const struct device_class *c = q->dev->class;
	uint64_t now = now_ns(), idle = now - q->busy_until, next = 0;
	int64_t timeout = -1;
	uint32_t woke;
	int rc;

	settle(q, UINT64_MAX);
	if (q->masked && now >= q->unmask_at && !halted(q))
		unmask(q);
	if (!halted(q) && !stopping(q)) {
		rc = c->arm(q);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	if (c->drained(q))
		next = idle >= IDLE_FIRST_NS ? c->idle(q, now, idle) : IDLE_FIRST_NS - idle;
	if (q->masked && !halted(q) && (!next || q->unmask_at - now < next))
		next = q->unmask_at - now;
	if (next)
		timeout = (int64_t)next;
	STAT_ADD(q->stats.sleeps, 1);
	woke = c->wait(q, timeout);
	if (woke & QUEUE_WOKE_EVENT)
		take_event(q);
	if (woke & QUEUE_WOKE_CONTROL) {
		uint64_t n;
		ssize_t r = read(q->control_fd, &n, sizeof(n));

		(void)r;
	}
	return 0;
}

/* The front end broke a ring: all of the device's go deaf; the first reason is told. */
static void halt(struct queue *q, int err)
{
	struct device *d = q->dev;

	if (__atomic_exchange_n(&d->breaking, true, __ATOMIC_RELAXED))
		return;
	snprintf(d->broken_why, sizeof(d->broken_why), "queue %u: %s", q->index,
		 err != -EPROTO ? strerror(-err) : (q->why ? q->why : "the ring's producer index is impossible"));
	/* The main thread reads the reason after it sees this. */
	__atomic_store_n(&d->broken, true, __ATOMIC_RELEASE);
	worker_log_guest(LOG_LVL_WARN, "%s: front end broke the protocol: %s; its rings are halted", d->name,
			 d->broken_why);
	worker_wake();
}

/* To be finished, and nothing is left to do: does the guest, when it gets an event, put in what it still has? */
static bool more_comes(struct queue *q)
{
	const struct timespec pause = { 0, 1000000 };
	uint64_t now = now_ns(), end = now + MIN(LINGER_NS * worker.slowness, LINGER_MAX_NS);
	bool found = false;

	if (!q->dev->class->lingers || now - q->busy_until >= IDLE_FIRST_NS)
		return false;
	for (uint32_t i = 0; i < q->nr_ports; i++)
		queue_notify(q, i);
	while (!found && now < end && !halted(q)) {
		(void)ppoll(NULL, 0, &pause, NULL);
		found = q->dev->class->peek(q);
		now = now_ns();
	}
	return found;
}

static void serve(struct queue *q)
{
	const struct device_class *c = q->dev->class;
	uint32_t last = FINISH_MAX;
	bool slept = false;

	for (;;) {
		bool stop = stopping(q), finish = stop && last > 0 && __atomic_load_n(&q->finish, __ATOMIC_RELAXED);
		bool take = (!stop || finish) && !halted(q);
		int n = c->turn(q, take);

		if (n < 0) {
			halt(q, n);
			continue;
		}
		if (n > 0) {
			uint64_t before = q->busy_until;

			if (finish)
				last -= MIN(last, (uint32_t)n);
			STAT_ADD(q->stats.turns, 1);
			q->worked = true;
			q->spurious = 0;
			undelay(q);
			q->busy_until = q->now;
			if (slept)
				poll_slept(&q->poll, q->busy_until - before);
			slept = false;
			settle(q, q->now);
			continue;
		}
		/* With nothing in flight there was room to take: a turn that found nothing found the ring empty. */
		if (stop && c->drained(q)) {
			settle(q, UINT64_MAX);
			if (!finish || halted(q) || !more_comes(q))
				return;
			continue;
		}
		if (!stop && take && !slept && !q->unmask_at && !q->rest && look(q))
			continue;
		n = sleep_until_work(q);
		if (n < 0)
			halt(q, n);
		slept = true;
	}
}

void *queue_thread(void *arg)
{
	struct queue *q = arg;
	char name[16];
	int rc;

	snprintf(name, sizeof(name), "queue-%u", q->index);
	prctl(PR_SET_NAME, name); /* its own: another thread would have to open a file for that */
	q->busy_until = now_ns();
	poll_init(&q->poll, q->dev->poll_max_ns * worker.slowness, q->busy_until);
	rc = q->dev->class->queue_start ? q->dev->class->queue_start(q) : 0;
	if (rc)
		halt(q, rc);
	serve(q);
	__atomic_store_n(&q->ended, true, __ATOMIC_RELEASE);
	worker_wake();
	return NULL;
}

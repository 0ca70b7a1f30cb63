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
 * Bad requests.  Each takes a token of ERRORS_PER_SEC; without one the thread pauses 1 ms, which is the guest's
 * own time.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "backend/worker/device.h"

#define SPURIOUS_MAX_MS 1000u
#define ERRORS_PER_SEC  1000u
#define IDLE_FIRST_NS   1000000000ull
#define FINISH_MAX      4096u /* requests and answers, of a front end that says it has stopped and goes on */

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
		nanosleep(&ms, NULL);
}

uint32_t queue_wait_fds(struct queue *q, int fd, int64_t timeout_ns)
{
	struct pollfd p[3] = {
		{ .fd = evtchn_fd(q->evtchn), .events = POLLIN },
		{ .fd = q->control_fd, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
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
			uint32_t shift = MIN(q->spurious - 2, 10u);

			q->unmask_at = now_ns() + MIN(1u << shift, SPURIOUS_MAX_MS) * 1000000ull;
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
	q->unmask_at = 0;
}

/* Look for a while. True: there is something to do. */
static bool look(struct queue *q)
{
	uint64_t start = q->busy_until, window = poll_window(&q->poll, start), now = start;
	bool found = false;

	if (!window)
		return false;
	do {
		for (int i = 0; i < 16 && !found; i++) {
			found = q->dev->class->peek(q) || stopping(q) || halted(q);
			if (!found)
				cpu_relax();
		}
		now = now_ns();
	} while (!found && now - start < window);
	STAT_ADD(q->stats.polls, 1);
	STAT_ADD(q->stats.poll_ns, now - start);
	if (found) {
		STAT_ADD(q->stats.poll_hits, 1);
		poll_hit(&q->poll, now - start);
	} else {
		poll_miss(&q->poll, now - start);
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
	device_log_guest(d, LOG_LVL_WARN, "%s: front end broke the protocol: %s; its rings are halted", d->name,
			 d->broken_why);
	worker_wake();
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
			q->unmask_at = 0;
			q->busy_until = q->now;
			if (slept)
				poll_slept(&q->poll, q->busy_until - before);
			slept = false;
			continue;
		}
		/* With nothing in flight there was room to take: a turn that found nothing found the ring empty. */
		if (stop && c->drained(q))
			return;
		if (!stop && take && !slept && !q->unmask_at && look(q))
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
	int rc;

	q->busy_until = now_ns();
	poll_init(&q->poll, q->dev->poll_max_ns, q->busy_until);
	rc = q->dev->class->queue_start ? q->dev->class->queue_start(q) : 0;
	if (rc)
		halt(q, rc);
	serve(q);
	__atomic_store_n(&q->ended, true, __ATOMIC_RELEASE);
	worker_wake();
	return NULL;
}

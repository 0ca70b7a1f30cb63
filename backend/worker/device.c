/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device.c - see device.h.  Everything here runs in the main thread. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/worker/device.h"

#define QUEUE_STACK (256u * 1024)

/* One budget for all that a guest can make us say, however many devices it has: this process is one guest's. */
static struct log_limit log_limit;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

struct device *device_find(uint32_t handle)
{
	struct device *d;

	list_for_each (d, &worker.devices, link)
		if (d->handle == handle)
			return d;
	return NULL;
}

void worker_log_guest(enum log_level level, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&log_lock);
	log_guest(&log_limit, level, "%s", text);
	pthread_mutex_unlock(&log_lock);
}

int device_open(uint32_t handle, const struct wire_msg *m, void *reply, uint32_t *reply_bytes, struct device **ret)
{
	struct device *d = calloc(1, sizeof(*d));
	int rc;

	if (!d) {
		for (uint32_t i = 0; i < m->nr_fds; i++)
			close(m->fds[i]);
		return -ENOMEM;
	}
	d->handle = handle;
	d->class = worker_class;
	d->state = DEVICE_OPEN;
	rc = d->class->open(d, m->body, m->hdr.bytes, m->fds, m->nr_fds, reply, reply_bytes);
	if (rc) {
		free(d);
		return rc;
	}
	list_add_tail(&worker.devices, &d->link);
	*ret = d;
	return 0;
}

void device_close(struct device *d)
{
	list_del(&d->link);
	d->class->close(d);
	for (uint32_t i = 0; i < d->nr_tag_fds; i++)
		close(d->tag_fds[i]);
	free(d);
}

/* ------------------------------------------------------------------ queues */

/* Idempotent, from any half-built state; the thread does not run. */
static void queue_undo(struct queue *q)
{
	q->dev->class->queue_close(q);
	if (q->pages)
		(void)grant_unmap(worker.grant, q->pages, q->nr_rings * q->ring_pages);
	q->pages = NULL;
	evtchn_close(q->evtchn);
	q->evtchn = NULL;
	if (q->control_fd >= 0)
		close(q->control_fd);
	q->control_fd = -1;
}

static int queue_make(struct queue *q, const struct wire_connect *c, int fd)
{
	const struct wire_queue *w = &c->queue[q->index];
	int rc;

	q->nr_ports = c->nr_ports;
	memcpy(q->port, w->port, sizeof(q->port));
	rc = evtchn_adopt(fd, &q->evtchn);
	if (rc)
		return rc;
	q->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->control_fd < 0)
		return -errno;
	q->nr_rings = c->nr_rings;
	q->ring_pages = 1u << c->order;
	rc = grant_map(worker.grant, worker.domid, w->refs, q->nr_rings * q->ring_pages, true, &q->pages);
	return rc ? rc : q->dev->class->queue_open(q, c);
}

/* All signals stay with the main thread, but for SIGBUS, which is this thread's own: a store's guard (store-window.c)
 * waits for it, and a fault that is blocked kills the process past every handler. */
static int queue_start_thread(struct queue *q)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int rc;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
#ifndef __SANITIZE_THREAD__
	pthread_attr_setstacksize(&attr, QUEUE_STACK);
#endif
	rc = pthread_create(&q->thread, &attr, queue_thread, q);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return -rc;
	q->running = true;
	return 0;
}

static void add_stats(struct queue_stats *to, const struct queue_stats *q)
{
	to->events_in += STAT_GET(q->events_in);
	to->events_out += STAT_GET(q->events_out);
	to->events_spurious += STAT_GET(q->events_spurious);
	to->turns += STAT_GET(q->turns);
	to->sleeps += STAT_GET(q->sleeps);
	to->polls += STAT_GET(q->polls);
	to->poll_hits += STAT_GET(q->poll_hits);
	to->poll_ns += STAT_GET(q->poll_ns);
	to->holds += STAT_GET(q->holds);
}

static void undo_queues(struct device *d)
{
	for (uint32_t i = 0; i < d->nr_queues; i++) {
		add_stats(&d->past, &d->queues[i].stats);
		queue_undo(&d->queues[i]);
	}
	free(d->queues);
	d->queues = NULL;
	d->nr_queues = 0;
	if (d->class->disconnected)
		d->class->disconnected(d);
	journal_unmap(&d->journal);
}

static int check_connect(const struct device *d, const struct wire_connect *c, uint32_t nr_fds)
{
	if (c->nr_queues == 0 || c->nr_queues > WIRE_MAX_QUEUES || c->order > WIRE_MAX_ORDER ||
	    nr_fds != c->nr_queues + 1)
		return -EINVAL;
	if (c->nr_rings == 0 || c->nr_rings > WIRE_MAX_RINGS || c->nr_ports == 0 || c->nr_ports > c->nr_rings)
		return -EINVAL;
	if (c->resume > WIRE_RESUME_BLAME)
		return -EINVAL;
	if (d->state != DEVICE_OPEN)
		return -EISCONN;
	return 0;
}

int device_connect(struct device *d, const struct wire_connect *c, const int *fds, uint32_t nr_fds)
{
	int rc = check_connect(d, c, nr_fds);
	uint32_t used = 0;

	if (rc) {
		for (uint32_t i = 0; i < nr_fds; i++)
			close(fds[i]);
		return rc;
	}
	rc = journal_map(&d->journal, fds[c->nr_queues], c, d->class->journal_bytes(c), d->name);
	if (rc == 0)
		rc = d->class->connect(d, c);
	if (rc == 0) {
		d->queues = aligned_alloc(64, (c->nr_queues * sizeof(struct queue) + 63) / 64 * 64);
		rc = d->queues ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		d->nr_queues = c->nr_queues;
		d->breaking = d->broken = d->broken_told = false;
		memset(d->queues, 0, c->nr_queues * sizeof(struct queue));
		for (uint32_t i = 0; i < d->nr_queues; i++)
			d->queues[i] = (struct queue){ .dev = d, .index = i, .control_fd = -1 };
	}
	while (rc == 0 && used < d->nr_queues) {
		rc = queue_make(&d->queues[used], c, fds[used]);
		used++;
	}
	for (uint32_t i = used; i < nr_fds; i++)
		close(fds[i]);
	if (rc == 0)
		journal_ready(&d->journal);
	for (uint32_t i = 0; rc == 0 && i < d->nr_queues; i++)
		rc = queue_start_thread(&d->queues[i]);
	if (rc == 0) {
		d->state = DEVICE_CONNECTED;
		return 0;
	}
	if (d->queues && d->queues[0].running) {
		/* Some threads run already: let them drain as in a disconnect, then all goes. */
		d->state = DEVICE_CONNECTED;
		device_disconnect(d, false);
	} else if (d->queues) {
		undo_queues(d);
	} else {
		journal_unmap(&d->journal);
	}
	return rc;
}

static void start_drain(struct device *d, bool finish, bool leaving)
{
	if (d->state != DEVICE_CONNECTED)
		return;
	d->state = DEVICE_DRAINING;
	d->drain_since = d->drain_warned = now_ns();
	d->left = leaving;
	for (uint32_t i = 0; i < d->nr_queues; i++) {
		struct queue *q = &d->queues[i];

		__atomic_store_n(&q->finish, finish, __ATOMIC_RELAXED);
		__atomic_store_n(&q->leaving, leaving, __ATOMIC_RELAXED);
		/* who sees the stop sees how */
		__atomic_store_n(&q->stop, true, __ATOMIC_RELEASE);
		if (d->class->hurry)
			d->class->hurry(q);
		queue_wake(q);
	}
}

void device_disconnect(struct device *d, bool finish)
{
	start_drain(d, finish, false);
}

void device_leave(struct device *d)
{
	start_drain(d, false, true);
}

static void complain(struct device *d)
{
	uint64_t now = now_ns();

	if (now - d->drain_warned < DRAIN_WARN_NS)
		return;
	d->drain_warned = now;
	log_warn("%s: still waiting for I/O in flight %u s after disconnect; its memory stays mapped until it "
		 "ends",
		 d->name, (unsigned int)((now - d->drain_since) / 1000000000ull));
}

bool device_reap(struct device *d)
{
	if (d->state != DEVICE_DRAINING)
		return d->state == DEVICE_OPEN;
	for (uint32_t i = 0; i < d->nr_queues; i++) {
		struct queue *q = &d->queues[i];

		if (!q->running)
			continue;
		if (!__atomic_load_n(&q->ended, __ATOMIC_ACQUIRE)) {
			complain(d);
			return false;
		}
		pthread_join(q->thread, NULL);
		q->running = false;
	}
	undo_queues(d);
	d->state = DEVICE_OPEN;
	return true;
}

void device_stat(struct device *d, struct metrics_out *o)
{
	struct queue_stats s = d->past;
	struct grant_use g;
	uint32_t delay_ms = 0;

	grant_used(worker.grant, &g);
	for (uint32_t i = 0; i < d->nr_queues; i++) {
		add_stats(&s, &d->queues[i].stats);
		delay_ms = MAX(delay_ms, STAT_GET(d->queues[i].stats.delay_ms));
	}
	metrics_put(o, "queues", d->nr_queues);
	metrics_put(o, "broken", __atomic_load_n(&d->broken, __ATOMIC_RELAXED) ? 1 : 0);
	metrics_put(o, "draining_ns", d->state == DEVICE_DRAINING ? now_ns() - d->drain_since : 0);
	pthread_mutex_lock(&log_lock);
	metrics_put(o, "log_suppressed", log_limit.suppressed);
	metrics_put(o, "log_bytes", log_limit.bytes);
	pthread_mutex_unlock(&log_lock);
	metrics_put(o, "grants_mapped", g.mapped);
	metrics_put(o, "grants_limit", g.limit);
	metrics_put(o, "grants_refused", g.refused);
	metrics_put(o, "events_in", s.events_in);
	metrics_put(o, "events_out", s.events_out);
	metrics_put(o, "events_spurious", s.events_spurious);
	metrics_put(o, "events_delay_ms", delay_ms);
	metrics_put(o, "turns", s.turns);
	metrics_put(o, "sleeps", s.sleeps);
	metrics_put(o, "polls", s.polls);
	metrics_put(o, "poll_hits", s.poll_hits);
	metrics_put(o, "poll_ns", s.poll_ns);
	metrics_put(o, "holds", s.holds);
	d->class->stat(d, now_ns(), o);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * find.c - workers of a daemon that died: they serve on, and are found at the sockets it made for them (listener.h).
 *
 * A worker greets who connects with HELLO and one DEVICE for each device it has.  This is heard before xenstore is looked
 * through (discover.c), which then finds for each device whether somebody serves it.  The order matters: a device opened
 * again while its worker lives would wait for a lock for ever.  So who does not answer in time is killed, and its devices are
 * served by another, as after any death of a worker.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "backend/control/worker.h"

#define FIND_MS  10000u
#define DRAIN_MS 60000u
#define CLOSE_MS 5000u
#define STRAY_MS 5000u /* between looks: a xenstored that does not know a domain does not tell when it goes */

/* What one worker may tell us of: far more than a worker of ours has (its files are 8192), and far less than hurts. */
#define MAX_DEVICES 1024u
#define MAX_BYTES   (4u << 20)
#define MAX_FDS     4096u

void found_device_free(struct found_device *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->nr_fds; i++)
		close(f->fds[i]);
	list_del(&f->link);
	free(f);
}

void found_free(struct worker *w)
{
	while (!list_empty(&w->found))
		found_device_free(list_entry(w->found.next, struct found_device, link));
}

/* ---------------------------------------------------------------- hearing */

/* It may have been taken over by its guest: each message is checked, and how many there are, and how much of ours they take. */
static bool count_told(struct worker *w, const struct found_device *f, size_t bytes)
{
	w->told_bytes += bytes;
	w->told_fds += f->nr_fds;
	return w->told_bytes <= MAX_BYTES && w->told_fds <= MAX_FDS;
}

static bool sane(const struct wire_msg *m, struct wire_device *t)
{
	if (m->hdr.bytes < sizeof(*t))
		return false;
	memcpy(t, m->body, sizeof(*t));
	return t->tag.bytes <= WIRE_TAG_MAX && t->info_bytes <= WIRE_MAX_BODY &&
	       m->hdr.bytes == sizeof(*t) + t->tag.bytes + t->info_bytes && t->state <= WIRE_DEVICE_DRAINING &&
	       memchr(t->tag.uuid, '\0', sizeof(t->tag.uuid)) && memchr(t->broken_why, '\0', sizeof(t->broken_why));
}

static int hear_device(struct worker *w, struct wire_msg *m)
{
	struct found_device *f;
	struct wire_device t;
	size_t bytes;

	if (!sane(m, &t))
		return -EPROTO;
	bytes = sizeof(*f) + t.tag.bytes + t.info_bytes;
	f = calloc(1, bytes);
	if (!f)
		return -ENOMEM;
	f->w = w;
	f->handle = m->hdr.handle;
	f->told = t;
	memcpy(f->body, m->body + sizeof(t), t.tag.bytes + t.info_bytes);
	f->tag = f->body;
	f->info = f->body + t.tag.bytes;
	memcpy(f->fds, m->fds, m->nr_fds * sizeof(int));
	f->nr_fds = m->nr_fds;
	m->nr_fds = 0;
	list_init(&f->link);
	list_add_tail(&w->found, &f->link);
	w->last_handle = MAX(w->last_handle, f->handle);
	w->expected--;
	return count_told(w, f, bytes) ? 0 : -EPROTO;
}

/* 0: there may be more to hear. */
static int hear(struct worker *w)
{
	static struct wire_msg m;
	struct wire_hello hello = { .parts = WIRE_PARTS_ALL };
	int err = wire_recv(w->sock, &m);

	if (err < 0)
		return err == -EAGAIN ? 0 : err;
	if (!w->greeted && m.hdr.type == WIRE_HELLO &&
	    (m.hdr.bytes == sizeof(hello) || m.hdr.bytes == sizeof(hello.nr_devices))) {
		memcpy(&hello, m.body, m.hdr.bytes);
		w->greeted = true;
		w->expected = hello.nr_devices;
		w->parts = hello.parts;
		err = hello.nr_devices > MAX_DEVICES ? -EPROTO : 0;
	} else if (w->greeted && w->expected > 0 && m.hdr.type == WIRE_DEVICE) {
		err = hear_device(w, &m);
	} else {
		err = m.hdr.type & WIRE_REPLY ? 0 : -EPROTO; /* of a question of the daemon before us */
	}
	for (uint32_t i = 0; i < m.nr_fds; i++)
		close(m.fds[i]);
	return err;
}

static bool complete(const struct worker *w)
{
	return w->state == WORKER_READY || (w->greeted && w->expected == 0);
}

/* It is of no use: its devices are for others. */
static void give_up(struct worker *w, const char *why)
{
	log_error("worker %d of domain %u %s and is killed; another serves its devices", (int)w->pid, w->domid, why);
	worker_kill(w, SIGKILL);
	listener_remove(w->listener);
	w->state = WORKER_QUITTING;
	worker_free(w);
}

static void hear_all(struct control *c)
{
	uint64_t end = now_ns() + FIND_MS * 1000000ull, now;
	struct worker *w, *n;
	bool waiting = true;

	while (waiting && (now = now_ns()) < end) {
		struct pollfd p[64];
		nfds_t nr = 0;

		waiting = false;
		list_for_each (w, &c->workers, link)
			if (!complete(w) && nr < ARRAY_SIZE(p))
				p[nr++] = (struct pollfd){ .fd = w->sock, .events = POLLIN };
		if (nr == 0 || poll(p, nr, (int)((end - now) / 1000000u) + 1) < 0)
			continue;
		list_for_each_safe (w, n, &c->workers, link) {
			int err = complete(w) ? 0 : hear(w);

			if (w->state == WORKER_READY)
				continue;
			if (err == 0 && complete(w))
				err = worker_found_ready(w);
			if (err == -EPIPE) { /* it ended, as it had been about to */
				listener_remove(w->listener);
				worker_free(w);
			} else if (err < 0) {
				give_up(w, "cannot be understood");
			}
		}
		list_for_each (w, &c->workers, link)
			waiting |= !complete(w);
	}
	list_for_each_safe (w, n, &c->workers, link)
		if (!complete(w))
			give_up(w, "does not answer");
}

/* The process behind @sock, as it was when we connected: it must be there still, with its number. */
static int watch_process(struct worker *w)
{
	struct pollfd p = { .fd = w->sock };

	w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
	if (w->pidfd < 0)
		return -errno;
	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP) ? -EPIPE : 0;
}

static void reached(void *arg, const char *name, uint32_t domid, uint32_t era, int sock, pid_t pid)
{
	struct control *c = arg;
	struct worker *w = worker_new(c, domid);
	int err;

	if (!w) {
		log_error("out of memory: worker %d of domain %u is left alone", (int)pid, domid);
		close(sock);
		return;
	}
	w->sock = sock;
	w->pid = pid;
	w->started_ns = now_ns();
	w->era = era;
	snprintf(w->listener, sizeof(w->listener), "%s", name);
	err = watch_process(w);
	if (err < 0) {
		log_error("worker %d of domain %u cannot be watched: %s", (int)pid, domid, strerror(-err));
		worker_free(w);
	}
}

void workers_find(struct control *c)
{
	const struct worker *w;

	listener_each(c->class->stem, reached, c);
	hear_all(c);
	list_for_each (w, &c->workers, link)
		log_info("worker %d of domain %u found again", (int)w->pid, w->domid);
}

/* ------------------------------------------------------------------ whose */

struct found_device *worker_claim(struct control *c, uint32_t domid, const char *uuid)
{
	struct found_device *f;
	struct worker *w;

	list_for_each (w, &c->workers, link) {
		if (w->domid != domid || w->state != WORKER_READY || !*uuid)
			continue;
		list_for_each (f, &w->found, link)
			if (strcmp(f->told.tag.uuid, uuid) == 0) {
				list_del(&f->link);
				w->refs++;
				return f;
			}
	}
	return NULL;
}

static void closed(void *arg, int err, const struct wire_msg *m)
{
	struct found_device *f = arg;
	struct worker *w = f->w;

	found_device_free(f);
	worker_put(w);
}

static void drained(void *arg, int err, const struct wire_msg *m)
{
	struct found_device *f = arg;
	struct worker_ask q = {
		.type = WIRE_CLOSE, .handle = f->handle, .deadline_ms = CLOSE_MS, .fn = closed, .arg = f
	};

	if (err == -EPIPE || worker_ask(f->w, &q) < 0)
		closed(f, err, NULL);
}

void worker_drop(struct found_device *f)
{
	const struct wire_disconnect how = { 0 };
	struct worker_ask q = { .type = WIRE_DISCONNECT,
				.handle = f->handle,
				.body = &how,
				.bytes = sizeof(how),
				.deadline_ms = DRAIN_MS,
				.kill = true,
				.fn = drained,
				.arg = f };

	log_info("worker %d of domain %u has a device that is not there any more: closing it", (int)f->w->pid,
		 f->w->domid);
	if (worker_ask(f->w, &q) < 0)
		closed(f, -ENOMEM, NULL);
}

void worker_spare(struct control *c, uint32_t domid, const char *uuid)
{
	struct found_device *f = worker_claim(c, domid, uuid);

	if (!f)
		return;
	f->spare = true;
	list_add_tail(&f->w->found, &f->link);
	f->w->refs--; /* the claim's: it has that of its being found */
}

/*
 * A connected device that xenstore does not have is one that was detached meanwhile, or whose domain is gone; but where the domain lives
 * and xenstore does not have that either, xenstored was started again, with nothing.  The guest does not need it to go on.
 */
static bool astray(struct control *c, const struct found_device *f)
{
	struct domain_id id;
	struct path p;

	if (f->told.state == WIRE_DEVICE_OPEN)
		return false;
	return f->spare || (store_there(c->store, NULL, path_domain(&p, f->w->domid)) != 1 &&
			    domain_alive(c->domains, f->w->domid, &id) != 0);
}

/* Its domain is gone, or its worker: then nobody can serve it any more. */
static void stray_look(struct found_device *f)
{
	struct worker *w = f->w;
	struct domain_id id;

	if (w->state != WORKER_READY || w->pid != f->stray) {
		found_device_free(f);
		worker_put(w);
	} else if (domain_alive(w->c->domains, w->domid, &id) == 0) {
		list_del(&f->link);
		worker_drop(f);
	}
}

static void strays_look(struct loop *l, void *arg);

static void strays_later(struct control *c)
{
	if (loop_add_timer(c->loop, STRAY_MS, strays_look, c, &c->strays) < 0)
		log_error("out of memory: devices that are not in xenstore are served until their worker ends");
}

static void strays_look(struct loop *l, void *arg)
{
	struct control *c = arg;
	struct found_device *f, *m;
	struct worker *w, *n;
	bool any = false;

	c->strays = NULL;
	list_for_each_safe (w, n, &c->workers, link) {
		w->refs++;
		list_for_each_safe (f, m, &w->found, link)
			stray_look(f);
		any |= !list_empty(&w->found);
		worker_put(w);
	}
	if (any)
		strays_later(c);
}

uint32_t worker_strays(const struct worker *w)
{
	struct found_device *f;
	uint32_t n = 0;

	list_for_each (f, &w->found, link)
		n++;
	return n;
}

bool workers_unclaimed(struct control *c)
{
	struct found_device *f, *m;
	struct worker *w, *n;
	bool any = false;

	list_for_each_safe (w, n, &c->workers, link) {
		if (w->state != WORKER_READY || w->pidfd < 0)
			continue;
		list_for_each_safe (f, m, &w->found, link) {
			w->refs++;
			if (astray(c, f)) {
				log_error("worker %d of domain %u serves a device that %s: it goes on, and nobody can "
					  "detach it",
					  (int)w->pid, w->domid,
					  f->spare ? "cannot be had from its nodes" : "xenstore lost with its domain");
				f->stray = w->pid;
				any = true;
				continue;
			}
			list_del(&f->link);
			worker_drop(f);
		}
		worker_put(w); /* ours, since it was found */
	}
	if (any)
		strays_later(c);
	return any;
}

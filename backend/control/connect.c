/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * connect.c - the rings of one device, between its front end and its worker.
 *
 *   device_connect:  device_open (open.c) if needed -> front end's nodes, read in one transaction -> event channels bound here
 *                    -> WIRE_CONNECT -> CONNECTED or REFUSED
 *
 * The event channels are bound here because the worker will have no right to; it gets the file descriptors.  A port that is
 * bound may be so because the worker of a daemon that died is still draining: with patience, it is tried again.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "backend/control/control.h"
#include "backend/control/record.h"
#include "backend/control/upgrade.h"

#define CONNECT_MS     15000u
#define DRAIN_MS       60000u
#define FORCE_DRAIN_MS 5000u /* of one that is taken away: a toolstack waits ten seconds */
#define LOST_PATIENCE  10000u
#define RESUME_MS      500u /* between two tries to serve a guest again whose worker died */

static void connect_rings(struct device *d);

/* ------------------------------------------------------------- connecting */

static void free_ports(struct device *d)
{
	for (uint32_t i = 0; i < WIRE_MAX_QUEUES; i++) {
		evtchn_close(d->ports[i]);
		d->ports[i] = NULL;
	}
}

/* Nobody will serve this connection any more. */
static void rings_over(struct device *d)
{
	d->has_rings = d->draining = d->redrain = false;
	d->resume = false;
	d->unserved_ns = 0;
	free(d->params);
	d->params = NULL;
	record_remove(d);
}

static void __printf(2, 3) device_refused(struct device *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->broken, sizeof(d->broken), fmt, ap);
	va_end(ap);
	log_guest(&d->guest->log, LOG_LVL_WARN, "%s: cannot connect: %s", d->name, d->broken);
	free_ports(d);
	if (d->redrain) { /* its guest is closing it: that goes on, what it was not answered yet is not */
		d->broken[0] = '\0';
		d->connect_after = d->adopted = false;
		rings_over(d);
		device_post(d, BACK_EV_DRAINED);
		return;
	}
	device_post(d, BACK_EV_REFUSED);
}

struct front_read {
	struct device *d;
	struct store *s;
	struct store_tx *t;
	struct front_params *params;
	int err; /* the parser's */
	char why[REASON_MAX];
};

static int read_front_node(void *arg, const char *name, char *value, size_t bytes)
{
	const struct front_read *r = arg;
	struct path p;

	return store_read_into(r->s, r->t, path_join(&p, r->d->front.s, name), value, bytes);
}

/* All nodes as they were at one moment: the transaction says whether they changed meanwhile. */
static int read_front_tx(struct store *s, struct store_tx *t, void *arg)
{
	struct front_read *r = arg;
	struct node_getter g = { .get = read_front_node, .arg = r };

	r->s = s;
	r->t = t;
	/* Another toolstack may have put another device in its place, with the same number. */
	if (layout_points_here(s, t, &r->d->front, r->d) <= 0) {
		snprintf(r->why, sizeof(r->why), "its backend node does not name us");
		r->err = -EINVAL;
		return 0;
	}
	r->err = r->d->c->class->front(r->d->spec, &g, r->params, r->why);
	return 0;
}

struct node_dir {
	struct store *store;
	const char *dir;
};

static int bind_ports(struct device *d, const struct front_params *p, struct wire_connect *wc, int fds[WIRE_MAX_QUEUES])
{
	for (uint32_t i = 0; i < p->wire.nr_queues; i++) {
		int port, err = evtchn_open(&d->ports[i]);

		if (err < 0) {
			d->ports[i] = NULL;
			snprintf(d->broken, sizeof(d->broken), "cannot open an event channel handle: %s",
				 strerror(-err));
			return err;
		}
		for (uint32_t k = 0; k < p->wire.nr_ports; k++) {
			port = evtchn_bind(d->ports[i], d->domid, p->remote_port[i][k]);
			if (port < 0) {
				snprintf(d->broken, sizeof(d->broken),
					 "cannot bind event channel %u of the front end: %s", p->remote_port[i][k],
					 strerror(-port));
				return port;
			}
			wc->queue[i].port[k] = (uint32_t)port;
		}
		/* A worker that was taken over shall bind no other guest's port with it. */
		err = evtchn_restrict(d->ports[i], d->domid);
		if (err == -ENOTTY) {
			log_debug("%s: this kernel restricts no event channel handle", d->name);
		} else if (err < 0) {
			snprintf(d->broken, sizeof(d->broken), "cannot restrict an event channel handle: %s",
				 strerror(-err));
			return err;
		}
		fds[i] = evtchn_fd(d->ports[i]);
	}
	return 0;
}

static void resume_again(struct loop *l, void *arg)
{
	struct device *d = arg;

	d->retry = NULL;
	device_connect(d);
}

/*
 * One that is closing gets its answers if that can be: storage has as long as for a drain, but its rings may not be there any
 * more, and then nobody waits.
 */
static bool redrain_late(const struct device *d)
{
	uint64_t ms = d->opening == OPEN_DONE ? LOST_PATIENCE : DRAIN_MS;

	return d->redrain && now_ns() - d->unserved_ns >= ms * 1000000u;
}

/*
 * Its guest waits, and would take an error for the truth: so it is tried again, for ever, but when the rings or the
 * journal cannot be what they were, which no time heals.
 */
static void resume_later(struct device *d, int err, const char *why)
{
	if (err == -EBADMSG || err == -EPROTO || redrain_late(d)) {
		device_refused(d, "it cannot be served again: %s", why);
		return;
	}
	snprintf(d->broken, sizeof(d->broken), "it is not served again yet: %.200s", why);
	log_guest(&d->guest->log, LOG_LVL_WARN, "%s: %s; trying again", d->name, d->broken);
	free_ports(d);
	d->has_rings = false;
	loop_del_timer(d->retry);
	if (loop_add_timer(d->c->loop, RESUME_MS, resume_again, d, &d->retry) < 0) {
		d->retry = NULL;
		device_refused(d, "out of memory");
	}
}

/* A connect that did not come about. */
__printf(3, 4) static void connect_failed(struct device *d, int err, const char *fmt, ...)
{
	char why[REASON_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (d->resume)
		resume_later(d, err, why);
	else
		device_refused(d, "%s", why);
}

static void connect_reply(void *arg, int err, const struct wire_msg *m)
{
	struct device *d = arg;

	free_ports(d); /* the worker has its own descriptors */
	if (err == -EPIPE)
		return;
	if (err < 0) {
		d->has_rings = false;
		connect_failed(d, err, "the worker could not use the front end's rings: %s",
			       err == -ENOSPC ? "they are more pages than a guest may have mapped (--max-grants)"
					      : strerror(-err));
		return;
	}
	d->resume = false;
	d->resumed_ns = now_ns();
	if (d->unserved_ns)
		log_info("%s: served again after %llu ms", d->name,
			 (unsigned long long)((d->resumed_ns - d->unserved_ns) / 1000000u));
	d->unserved_ns = 0;
	if (d->broken[0]) {
		d->broken[0] = '\0';
		if (layout_error(d, "") < 0)
			log_debug("%s: its error node stays", d->name);
	}
	if (d->redrain) {
		d->redrain = false;
		device_disconnect(d);
		return;
	}
	device_event(d, BACK_EV_CONNECTED);
}

static int read_node(void *arg, const char *name, char *value, size_t bytes)
{
	const struct node_dir *n = arg;
	struct path p;

	return store_read_into(n->store, NULL, path_join(&p, n->dir, name), value, bytes);
}

static void settings_reply(void *arg, int err, const struct wire_msg *m)
{
	struct device *d = arg;

	d->settings_asked = false;
	if (err < 0 && err != -EPIPE)
		log_error("%s: its worker did not take its settings: %s", d->name, strerror(-err));
	if (d->settings_again) {
		d->settings_again = false;
		d->settings_due = true;
		guest_look(d);
	}
}

void device_settings_changed(struct device *d)
{
	if (d->settings_asked)
		d->settings_again = true;
	else
		device_settings(d);
}

void device_settings(struct device *d)
{
	struct node_dir back = { d->c->store, d->back.s }, front = { d->c->store, d->front.s };
	const struct node_getter gb = { read_node, &back }, gf = { read_node, &front };
	uint8_t body[SETTINGS_MAX] __attribute__((aligned(8)));
	struct worker_ask q = { .type = WIRE_SET,
				.handle = d->handle,
				.body = body,
				.deadline_ms = DEVICE_ASK_MS,
				.fn = settings_reply,
				.arg = d };

	if (!d->c->class->settings || d->opening != OPEN_DONE)
		return; /* it is told before the next connect */
	q.bytes = d->c->class->settings_body(d->spec, &gb, &gf, body);
	d->settings_asked = worker_ask(d->worker, &q) == 0;
	if (!d->settings_asked)
		log_error("%s: cannot tell its worker its settings", d->name);
}

int device_trace(struct device *d, const struct wire_trace *t, int fd, worker_reply_fn *fn, void *arg)
{
	struct worker_ask q = { .type = WIRE_TRACE,
				.handle = d->handle,
				.body = t,
				.bytes = sizeof(*t),
				.fds = &fd,
				.nr_fds = fd >= 0,
				.deadline_ms = DEVICE_ASK_MS,
				.fn = fn,
				.arg = arg };

	if (d->opening != OPEN_DONE)
		return -ENOTCONN;
	if (fd >= 0)
		worker_writes(d->worker, t->max_bytes);
	return worker_ask(d->worker, &q);
}

static void connect_again(struct loop *l, void *arg)
{
	struct device *d = arg;

	d->retry = NULL;
	connect_rings(d);
}

/* What the front end says its rings are, and the journal for them: the journal's fd. */
static int rings_afresh(struct device *d)
{
	struct front_read r = { .d = d, .params = d->params };
	struct fault f = { .code = FAULT_FAILED };
	int err = store_transact(d->c->store, read_front_tx, &r);

	if (err == -EAGAIN)
		device_refused(d, "the front end keeps changing its nodes");
	else if (err < 0)
		device_refused(d, "cannot read the front end's nodes: %s", strerror(-err));
	else if (r.err < 0)
		device_refused(d, "%s", r.why);
	err = err < 0 ? err : r.err;
	if (err < 0)
		return err;
	err = record_create(d, &f);
	if (err < 0)
		device_refused(d, "%s", f.why);
	return err;
}

/* The same of a connection whose worker died: as they were then, whatever xenstore says now. */
static int rings_again(struct device *d)
{
	int fd = record_open(d, d->params);

	if (fd == -ENOENT || fd == -EBADMSG)
		device_refused(d, "it cannot be served again: its journal is %s", fd == -ENOENT ? "gone" : "damaged");
	else if (fd < 0)
		resume_later(d, fd, strerror(-fd));
	return fd;
}

static void connect_rings(struct device *d)
{
	int fds[WIRE_MAX_QUEUES + 1], err, journal;
	struct worker_ask q = {
		.type = WIRE_CONNECT,
		.handle = d->handle,
		.bytes = sizeof(struct wire_connect),
		.fds = fds,
		.deadline_ms = CONNECT_MS,
		.kill = true,
		.fn = connect_reply,
		.arg = d,
	};

	if (worker_leaving(d->worker)) { /* device_hand_over() goes on */
		d->connect_after = true;
		return;
	}
	if (!d->params)
		d->params = malloc(sizeof(*d->params));
	if (!d->params)
		return device_refused(d, "out of memory");
	journal = d->resume ? rings_again(d) : rings_afresh(d);
	if (journal < 0)
		return;
	err = bind_ports(d, d->params, &d->params->wire, fds);
	if (err < 0) {
		char why[REASON_MAX];

		close(journal);
		free_ports(d);
		/* A worker that drains for a daemon that died has it still. */
		if (now_ns() < d->retry_until_ns &&
		    loop_add_timer(d->c->loop, DEVICE_RETRY_MS, connect_again, d, &d->retry) == 0)
			return;
		memcpy(why, d->broken, sizeof(why));
		return connect_failed(d, err, "%s", why);
	}
	d->params->wire.resume = !d->resume                    ? WIRE_RESUME_NOT
				 : worker_own_fault(d->worker) ? WIRE_RESUME_BLAME
							       : WIRE_RESUME;
	q.body = &d->params->wire;
	q.nr_fds = d->params->wire.nr_queues + 1;
	fds[q.nr_fds - 1] = journal;
	device_settings(d); /* the worker takes them in order */
	d->has_rings = true;
	d->halted = false;
	err = worker_ask(d->worker, &q);
	close(journal);
	if (err < 0) {
		d->has_rings = false;
		connect_failed(d, err, "cannot ask the worker: %s", strerror(-err));
	}
}

void device_connect(struct device *d)
{
	d->connect_after = true;
	if (d->resume && !d->unserved_ns)
		d->unserved_ns = now_ns();
	if (!d->adopted && !d->resume)
		d->retry_until_ns = 0;
	device_open(d, d->adopted || d->opening == OPEN_DONE ? 0 : LOST_PATIENCE);
}

void device_taken_rings(struct device *d)
{
	int fd = -ENOMEM;

	d->params = malloc(sizeof(*d->params));
	if (d->params)
		fd = record_open(d, d->params);
	if (fd >= 0) {
		close(fd);
		return;
	}
	log_error("%s: its journal cannot be read (%s): it is served while its worker lives", d->name, strerror(-fd));
	free(d->params);
	d->params = NULL;
}

static void reconnect(void *arg, int err, const struct wire_msg *m)
{
	struct device *d = arg;

	if (err == -EPIPE)
		return;
	d->has_rings = false;
	d->resume = true;
	device_connect(d);
}

void device_reconnect(struct device *d)
{
	const struct wire_disconnect how = { 0 };
	struct worker_ask q = { .type = WIRE_DISCONNECT,
				.handle = d->handle,
				.body = &how,
				.bytes = sizeof(how),
				.deadline_ms = DRAIN_MS,
				.kill = true,
				.fn = reconnect,
				.arg = d };

	if (worker_ask(d->worker, &q) < 0)
		log_error("%s: out of memory: it is not connected again", d->name);
}

/* Called when device_open() has ended. */
static void opened_live(struct device *d, int err, const struct fault *f)
{
	if (err < 0) {
		if (d->connect_after) {
			d->connect_after = false;
			connect_failed(d, err == -EBADMSG || err == -EPROTO ? -EIO : err, "%s", f->why);
		} else {
			snprintf(d->broken, sizeof(d->broken), "%.*s", (int)sizeof(d->broken) - 1, f->why);
			log_error("%s: %s", d->name, d->broken);
		}
		return;
	}
	if (d->connect_after) {
		d->connect_after = false;
		if (!d->adopted && !d->resume)
			d->retry_until_ns = 0;
		connect_rings(d);
	}
}

void device_opened(struct device *d, int err, const struct fault *f)
{
	if (d->phase == DEVICE_ATTACHING)
		device_attach_opened(d, err, f);
	else if (d->phase == DEVICE_LIVE)
		opened_live(d, err, f);
	if (d->resize_due)
		device_resize_go_on(d, err, f);
}

static void disconnect_reply(void *arg, int err, const struct wire_msg *m)
{
	struct device *d = arg;

	if (err == -EPIPE)
		return;
	if (err < 0)
		log_error("%s: the worker could not let go of the rings: %s", d->name, strerror(-err));
	rings_over(d);
	device_event(d, BACK_EV_DRAINED);
}

void device_disconnect(struct device *d)
{
	/*
	 * Only a front end that closes has stopped and still waits: one that starts again uses the pages for
	 * something else by now, and one that is gone, or is not asked, waits for nothing.
	 */
	const struct wire_disconnect how = { .finish = d->front_state == XenbusStateClosing ||
						       d->front_state == XenbusStateClosed };
	struct worker_ask q = { .type = WIRE_DISCONNECT,
				.handle = d->handle,
				.body = &how,
				.bytes = sizeof(how),
				.deadline_ms = d->forced ? FORCE_DRAIN_MS : DRAIN_MS,
				.kill = true,
				.fn = disconnect_reply,
				.arg = d };
	int err;

	d->connect_after = d->adopted = false;
	if (d->opening != OPEN_RETRY) { /* a retried bind, or another try to resume; the image is tried for on */
		loop_del_timer(d->retry);
		d->retry = NULL;
	}
	if (d->draining)
		return; /* its answer counts for this one too */
	if (d->has_rings) {
		worker_forget(d->worker, d, WIRE_CONNECT);
		worker_forget(d->worker, d, WIRE_DISCONNECT); /* device_reconnect()'s */
		free_ports(d);
		d->draining = true;
		d->drain_finish = how.finish;
		if (worker_leaving(d->worker))
			return; /* it lets go of all; device_hand_over() comes */
		err = worker_ask(d->worker, &q);
		if (err == 0)
			return;
		d->draining = false;
		log_error("%s: cannot tell the worker to let go: %s", d->name, strerror(-err));
	}
	rings_over(d);
	device_post(d, BACK_EV_DRAINED);
}

void device_disconnect_now(struct device *d)
{
	d->forced = true;
	if (d->draining)
		worker_hurry(d->worker, d, WIRE_DISCONNECT, FORCE_DRAIN_MS);
	device_redrain_not(d);
}

void device_redrain_not(struct device *d)
{
	if (!d->redrain)
		return;
	d->redrain = false;
	device_disconnect(d);
}

/* ---------------------------------------------------- unasked from worker */

/* It served the rings, or was about to: its successor goes on from the journal, and the guest notices a pause. */
static void resume(struct device *d)
{
	d->resume = true;
	d->adopted = true;        /* the state node is not touched */
	loop_del_timer(d->retry); /* of a try before */
	d->retry = NULL;
	d->retry_ms = DEVICE_RETRY_MIN_MS;
	d->retry_until_ns = now_ns() + LOST_PATIENCE * 1000000ull;
	device_connect(d);
}

/* Who was asked will not answer: his successor is asked. */
static void resize_ask_again(struct device *d)
{
	d->resize_due |= d->resize_asked;
	d->resize_asked = false;
}

/* Its front end has asked, and no worker was told yet. */
static bool to_be_connected(const struct device *d)
{
	return d->phase == DEVICE_LIVE && d->state == BACK_CONNECTING && !d->has_rings && !d->resume &&
	       (d->connect_after || d->retry);
}

static void worker_lost(struct device *d, const char *how)
{
	bool had_rings = d->has_rings || d->resume, drained = d->draining, connecting = to_be_connected(d);
	struct fault f = { .code = FAULT_FAILED };

	if (d->opening == OPEN_WAITS)
		return device_open_go_on(d); /* the next one will have what it needs */
	if (d->opening != OPEN_DONE && d->opening != OPEN_WORKER)
		return; /* it had no part in it */
	d->opening = OPEN_NONE;
	d->has_rings = d->draining = false;
	free_ports(d);
	fault_set(&f, FAULT_FAILED, -EPIPE, "its worker process %s", how);
	resize_ask_again(d);
	if (d->phase == DEVICE_ATTACHING) {
		device_opened(d, -EPIPE, &f);
	} else if (connecting) {
		loop_del_timer(d->retry);
		d->retry = NULL;
		device_connect(d);
	} else if (d->phase == DEVICE_LIVE && had_rings && drained && d->drain_finish && !d->forced) {
		/* Its guest may wait for the answers: they are given, then the rings are let go of. */
		d->redrain = true;
		resume(d);
	} else if (d->phase == DEVICE_LIVE && had_rings && !drained) {
		if (d->state == BACK_CONNECTED)
			d->state = BACK_CONNECTING;
		resume(d);
	} else if (d->phase == DEVICE_LIVE) {
		snprintf(d->broken, sizeof(d->broken), "%.*s", (int)sizeof(d->broken) - 1, f.why);
		rings_over(d);
		device_event(d, BACK_EV_LOST);
	}
}

void device_worker_lost(struct device *d, const char *how)
{
	struct fault f = { .code = FAULT_FAILED };

	worker_lost(d, how);
	if (d->resize_due && d->opening == OPEN_NONE) {
		fault_set(&f, FAULT_FAILED, -EPIPE, "its worker process %s", how);
		device_resize_go_on(d, -EPIPE, &f);
	}
}

void device_hand_over(struct device *d, struct worker *to, uint64_t since)
{
	struct worker *from = d->worker;
	uint32_t domid = worker_domid(to);
	bool open = d->opening == OPEN_DONE, again = false;

	/* What it has not answered it may answer yet: when this device is another worker's, or is no more. */
	worker_forget(from, d, 0);
	d->settings_asked = d->settings_again = false; /* it is told before the next connect */
	resize_ask_again(d);
	if (d->phase == DEVICE_LEAVING)
		return device_post_left(d);
	if (worker_get(d->c, domid, &d->worker) < 0)
		return; /* it is found to be dead, and replaced in its time */
	if (d->opening == OPEN_WORKER) {
		/* It was killed before it answered. */
		d->opening = OPEN_NONE;
		again = true;
	} else if (open && d->phase == DEVICE_LIVE && !d->has_rings && !d->resume && (d->connect_after || d->retry)) {
		/* It was to be connected, and could not be asked. */
		loop_del_timer(d->retry);
		d->retry = NULL;
		free_ports(d);
		d->opening = OPEN_NONE;
		again = d->connect_after = true;
	}
	worker_put(from);
	device_open_go_on(d);
	if (again)
		device_open(d, LOST_PATIENCE);
	if (again || !open)
		return;
	d->handed_ns = since;
	worker_lost(d, "is replaced");
	if (d->resume || d->phase != DEVICE_LIVE)
		return;
	/* No guest uses it at the moment: hold the image all the same. */
	d->broken[0] = '\0';
	device_open(d, LOST_PATIENCE);
}

void device_broken(struct device *d, const char *why, size_t bytes)
{
	size_t len = MIN(strnlen(why, bytes), sizeof(d->broken) - 1);

	for (size_t i = 0; i < len; i++)
		d->broken[i] = (char)(why[i] >= 0x20 && why[i] < 0x7f ? why[i] : '?');
	d->broken[len] = '\0';
}

/* Once a connection: a worker that was taken over could say it without end, and each time is a line and a transaction. */
static void rings_halted(struct device *d, const struct wire_msg *m)
{
	if (!d->has_rings || d->halted)
		return;
	d->halted = true;
	guest_enter(d->guest);
	device_broken(d, (const char *)m->body, m->hdr.bytes);
	log_guest(&d->guest->log, LOG_LVL_WARN, "%s: the front end broke the protocol, its rings are halted: %s",
		  d->name, d->broken);
	if (layout_error(d, d->broken) < 0)
		log_debug("%s: its error node could not be written", d->name);
	guest_leave(d->guest);
}

void device_wire_event(struct control *c, struct worker *w, const struct wire_msg *m)
{
	struct device *d;

	list_for_each (d, &c->devices, link)
		if (d->worker == w && d->handle == m->hdr.handle && d->opening == OPEN_DONE)
			break;
	if (&d->link == &c->devices)
		return;
	if (m->hdr.type == WIRE_EV_BROKEN)
		rings_halted(d, m);
	else
		log_debug("%s: unknown event %u from its worker", d->name, m->hdr.type);
}

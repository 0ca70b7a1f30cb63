/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * instance.c - the life of one device: from attach (or from being found in xenstore) until its nodes are gone.
 *
 *   ATTACHING  image and worker opened -> nodes committed in one transaction, state 2
 *   LIVE       driven by common/xenbus's table: every event goes through device_event()
 *   LEAVING    6 is written; the worker is told to forget it, then what was made on this host is undone
 *   LINGERING  6 is written; the toolstack that asked removes the nodes (xl reads some of them first), or we do, later
 *
 * Events from xenstore say only that something changed: what is there now is read then, in the guest's turn and at a limited
 * rate (guest.h), so that a guest that writes its state in a circle costs a bounded amount of work and no memory.
 *
 * An event may arise while another is being carried out (nothing to disconnect: drained at once).  Those are
 * posted and handled at the end of the loop's turn.  A device is freed only there, or from the loop's top.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>
#include "backend/control/record.h"

#define CLOSE_MS                5000u
#define FORCE_ASK_MS            2000u
#define ATTACH_LOCK_PATIENCE_MS 1000u
#define ADOPT_PATIENCE_MS       15000u
#define KEPT_PATIENCE_MS        15000u
#define ATTACH_NAME_TRIES       8u

static void posted_run(struct loop *l, void *arg);
static void post_bits(struct device *d, uint32_t bits);
static void device_leave(struct device *d);
static void undo_forget(struct device *d);
static void device_left(struct device *d);
static void device_attach_failed(struct device *d, const struct fault *f);

/* ---------------------------------------------------------- making, freeing */

static void make_uuid(char uuid[UUID_MAX])
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b)) {
		uint64_t t[2] = { now_ns(), (uint64_t)getpid() };

		memcpy(b, t, sizeof(b));
	}
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(uuid, UUID_MAX, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void device_name_it(struct device *d, const char *domain_name)
{
	snprintf(d->domain_name, sizeof(d->domain_name), "%s", domain_name);
	d->c->class->dev_name(d->vdev, d->dev_name);
	if (*domain_name)
		snprintf(d->name, sizeof(d->name), "%s/%s", d->domain_name, d->dev_name);
	else
		snprintf(d->name, sizeof(d->name), "%u/%s", d->domid, d->dev_name);
}

struct device *device_new(struct control *c, uint32_t domid, uint32_t vdev, bool user_frontend)
{
	struct device *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->c = c;
	d->domid = domid;
	d->vdev = vdev;
	d->user_frontend = user_frontend;
	d->state = BACK_INITWAIT;
	d->guest = guest_get(c, domid);
	if (!d->guest) {
		free(d);
		return NULL;
	}
	d->attached_ns = d->phase_ns = now_ns();
	list_init(&d->due);
	list_init(&d->posted);
	list_init(&d->waits);
	device_name_it(d, "");
	layout_paths(d);
	list_add_tail(&c->devices, &d->link);
	return d;
}

static void unwatch(struct device *d)
{
	store_unwatch(d->front_watch);
	store_unwatch(d->online_watch);
	d->front_watch = d->online_watch = NULL;
	for (uint32_t i = 0; i < CLASS_MAX_SETTINGS; i++) {
		store_unwatch(d->setting_watch[i]);
		d->setting_watch[i] = NULL;
	}
}

void device_free(struct device *d)
{
	struct fault f = { .code = FAULT_FAILED };

	fault_set(&f, FAULT_FAILED, 0, "the device went away meanwhile");
	kept_done(d, &f);
	device_waits_done(d, WAIT_ATTACH, &f);
	device_waits_done(d, WAIT_CONNECTED, &f);
	device_waits_done(d, WAIT_RESIZE, &f);
	device_waits_done(d, WAIT_DETACHED, NULL);
	if (!d->c->store_lost)
		unwatch(d);
	guest_look_not(d);
	loop_del_timer(d->linger);
	loop_del_timer(d->force);
	device_open_cancel(d);
	undo_forget(d);
	if (d->look)
		job_cancel(&d->look->job);
	if (d->resize)
		job_cancel(&d->resize->job);
	for (uint32_t i = 0; i < WIRE_MAX_QUEUES; i++)
		evtchn_close(d->ports[i]);
	worker_forget(d->worker, d, 0);
	worker_put(d->worker);
	list_del(&d->posted);
	list_del(&d->link);
	if (d->spec)
		d->c->class->spec_free(d->spec);
	free(d->params);
	guest_put(d->guest);
	free(d);
}

struct device *device_find(struct control *c, uint32_t domid, uint32_t vdev)
{
	struct device *d;

	list_for_each (d, &c->devices, link)
		if (d->domid == domid && d->vdev == vdev)
			return d;
	return NULL;
}

const char *device_phase_name(const struct device *d)
{
	switch (d->phase) {
	case DEVICE_ATTACHING:
		return "attaching";
	case DEVICE_LIVE:
		return back_state_name(d->state);
	case DEVICE_LEAVING:
		return "leaving";
	case DEVICE_LINGERING:
		return "lingering";
	}
	return "?";
}

/* ----------------------------------------------------------- waiting users */

static void wait_free(struct device_wait *w)
{
	loop_del_timer(w->timer);
	list_del(&w->link);
	free(w);
}

static void wait_late(struct loop *l, void *arg)
{
	struct device_wait *w = arg;
	struct device *d = w->d;
	struct fault f = { .code = FAULT_FAILED };

	w->timer = NULL;
	if (w->kind == WAIT_CONNECTED) {
		fault_what(&f, "%s is attached, but not connected", d->name);
		fault_set(&f, FAULT_TIMEOUT, 0, "%s", d->broken[0] ? d->broken : "the guest did not connect in time");
		fault_next(&f, "see: synthctl show %s", d->name);
	} else {
		fault_what(&f, "cannot detach %s", d->name);
		fault_set(&f, FAULT_BUSY, 0,
			  "the guest did not let go of it in time; it was asked to, and is served until it does");
		fault_next(&f, "unmount it in the guest, or: synthctl detach --force %s", d->name);
	}
	ctl_fail(w->req, &f);
	wait_free(w);
}

int device_wait_for(struct device *d, enum wait_kind kind, uint32_t seconds, struct ctl_req *req)
{
	struct device_wait *w = calloc(1, sizeof(*w));
	int err = 0;

	if (!w)
		return -ENOMEM;
	w->d = d;
	w->kind = kind;
	w->req = req;
	list_init(&w->link);
	if (kind == WAIT_CONNECTED || kind == WAIT_DETACHED)
		err = loop_add_timer(d->c->loop, seconds * 1000ull, wait_late, w, &w->timer);
	if (err < 0) {
		free(w);
		return err;
	}
	w->wait_s = seconds;
	list_add_tail(&d->waits, &w->link);
	return 0;
}

void device_waits_done(struct device *d, enum wait_kind kind, const struct fault *f)
{
	static const char *const what[] = { [WAIT_ATTACH] = "attach",
					    [WAIT_CONNECTED] = "connect",
					    [WAIT_DETACHED] = "detach",
					    [WAIT_RESIZE] = "resize" };
	struct device_wait *w, *n;
	struct fault told;

	list_for_each_safe (w, n, &d->waits, link) {
		if (w->kind != kind)
			continue;
		if (f) {
			told = *f;
			fault_what(&told, "cannot %s %s", what[kind], d->name);
			ctl_fail(w->req, &told);
		} else {
			ctl_ok(w->req, kind == WAIT_DETACHED ? NULL : device_json(d));
		}
		wait_free(w);
	}
}

/* -------------------------------------------------------------- the events */

static void carry_out(struct device *d, const struct back_step *s)
{
	int err;

	if (s->todo & BACK_DO_CONNECT)
		device_connect(d);
	if (s->todo & BACK_DO_DISCONNECT)
		device_disconnect(d);
	if (s->todo & BACK_DO_WRITE) {
		if (d->adopted && s->xenbus == XenbusStateConnected && d->published == XenbusStateConnected)
			err = 0; /* the guest shall not notice: no write */
		else
			err = layout_state(d, s->xenbus);
		d->adopted = false;
		if (err == -ENOENT && s->next != BACK_REMOVED) {
			d->toolstack = true;
			device_post(d, BACK_EV_FORCE);
		} else if (err < 0 && err != -ENOENT) {
			log_error("%s: cannot write state %s: %s", d->name, xenbus_state_name(s->xenbus),
				  strerror(-err));
		}
	}
	if ((s->todo & BACK_DO_ERROR) && layout_error(d, d->broken) < 0)
		log_debug("%s: its error node could not be written", d->name);
}

void device_event(struct device *d, enum back_event ev)
{
	struct back_step s;
	enum back_state old = d->state;

	if (d->phase != DEVICE_LIVE)
		return;
	guest_enter(d->guest);
	if (ev == BACK_EV_FORCE)
		device_disconnect_now(d);
	s = back_step(d->state, ev);
	if (s.next != d->state)
		d->phase_ns = now_ns();
	d->state = s.next;
	if (s.next == BACK_RESETTING)
		device_redrain_not(d); /* its pages may be something else by now */
	if (s.next != old || s.todo)
		log_debug("%s: %s: %s -> %s", d->name, back_event_name(ev), back_state_name(old),
			  back_state_name(s.next));
	carry_out(d, &s);
	if (s.next == BACK_CONNECTED && old != BACK_CONNECTED) {
		log_guest(&d->guest->log, LOG_LVL_INFO, "%s: connected", d->name);
		device_waits_done(d, WAIT_CONNECTED, NULL);
	}
	if (s.next != old && (s.todo & BACK_DO_RECHECK))
		post_bits(d, DEVICE_POST_LOOK);
	if (s.todo & BACK_DO_REMOVE)
		device_leave(d);
	guest_leave(d->guest);
}

static void force_over(struct loop *l, void *arg)
{
	struct device *d = arg;

	d->force = NULL;
	device_event(d, BACK_EV_FORCE);
}

/*
 * What a guest puts into its ring after we have gone is never answered, and Linux, before it lets go of a disk, waits for
 * all answers, with the thread that also handles all its other devices.  Told first, it stops putting.
 */
void device_force(struct device *d)
{
	if (d->phase != DEVICE_LIVE || d->force)
		return;
	if (d->state == BACK_CONNECTED && loop_add_timer(d->c->loop, FORCE_ASK_MS, force_over, d, &d->force) == 0)
		device_event(d, BACK_EV_DETACH);
	else
		device_event(d, BACK_EV_FORCE);
}

static void post_bits(struct device *d, uint32_t bits)
{
	struct control *c = d->c;

	d->posted_events |= bits;
	if (list_empty(&d->posted))
		list_add_tail(&c->posted, &d->posted);
	if (c->posting)
		return;
	if (loop_defer(c->loop, posted_run, c) == 0)
		c->posting = true;
	else
		log_error("%s: out of memory: its events are late", d->name);
}

void device_post(struct device *d, enum back_event ev)
{
	post_bits(d, 1u << ev);
}

static void posted_run(struct loop *l, void *arg)
{
	struct control *c = arg;
	struct device *d;

	/* What is posted meanwhile is handled in the same turn, but a device that posts for ever only gets the next. */
	c->posting = false;
	for (uint32_t budget = 4096; !list_empty(&c->posted) && budget > 0; budget--) {
		uint32_t bit;

		d = list_entry(c->posted.next, struct device, posted);
		bit = (uint32_t)__builtin_ctz(d->posted_events);
		d->posted_events &= ~(1u << bit);
		list_del(&d->posted);
		if (d->posted_events)
			list_add_tail(&c->posted, &d->posted);
		if (bit < BACK_NR_EVENTS)
			device_event(d, (enum back_event)bit);
		else if (1u << bit == DEVICE_POST_LOOK)
			guest_look(d);
		else
			device_left(d); /* frees it */
	}
	if (!list_empty(&c->posted) && !c->posting && loop_defer(l, posted_run, c) == 0)
		c->posting = true;
}

/* A domain tells how it was shut down until it is destroyed, which may be soon. */
void device_domain_changed(struct device *d)
{
	enum domain_end end;

	if (domain_end(d->c->domains, d->domid, &d->domain, &end) == 0)
		d->ending = end;
}

/* It is being taken away, and not by us.  Kept at once: its domain may be back before the worker has forgotten it. */
static void taken_away(struct device *d)
{
	device_domain_changed(d);
	if (!d->unwanted && (d->ending == DOMAIN_SUSPENDED || d->ending == DOMAIN_REBOOTS))
		kept_save(d);
	d->unwanted = true;
}

void device_look_now(struct device *d)
{
	uint32_t state;
	int err;

	if (d->phase != DEVICE_LIVE)
		return;
	d->looks++;
	if (d->settings_due) {
		d->settings_due = false;
		device_settings_changed(d);
	}
	err = layout_front_state(d, &state);
	if (err == -ENOENT) {
		/* The whole directory is gone: a toolstack that does not ask, or a domain that died. */
		d->toolstack = true;
		taken_away(d);
		log_guest(&d->guest->log, LOG_LVL_INFO, "%s: the front end's directory is gone", d->name);
		device_event(d, BACK_EV_FORCE);
		return;
	}
	if (err < 0) {
		log_guest(&d->guest->log, LOG_LVL_ERROR, "%s: cannot read the front end's state: %s", d->name,
			  strerror(-err));
		return;
	}
	d->front_state = state;
	device_event(d, (enum back_event)state); /* BACK_EV_FRONT_* are in the order of the states */
}

static void on_front(struct store *s, const char *path, void *arg)
{
	guest_look(arg);
}

/* A guest may write some of these: they are read at the same limited rate as its state. */
static void on_setting(struct store *s, const char *path, void *arg)
{
	struct device *d = arg;

	d->settings_due = true;
	guest_look(d);
}

static void linger_over(struct loop *l, void *arg);

/* `online` of our own directory: a toolstack writes 0 to have the device removed; or the directory is removed. */
static void on_online(struct store *watches, const char *path, void *arg)
{
	struct device *d = arg;
	struct store *s = d->c->store;
	struct path p;
	uint32_t online;
	char *uuid;
	bool ours;
	int err;

	err = store_read(s, NULL, path_join(&p, d->back.s, "synth/uuid"), &uuid);
	if (!store_answered(err)) { /* its guest may use it: who can ask again will know */
		log_error("%s: cannot read whether its nodes are there: %s", d->name, strerror(-err));
		return;
	}
	ours = err == 0 && strcmp(uuid, d->uuid) == 0;
	if (err == 0)
		free(uuid);
	if (!ours) {
		if (d->phase == DEVICE_LINGERING) {
			post_bits(d, DEVICE_POST_LEFT);
		} else if (d->phase == DEVICE_LIVE && d->state != BACK_REMOVING) {
			log_info("%s: its nodes were removed under us", d->name);
			d->toolstack = true;
			taken_away(d);
			device_event(d, BACK_EV_FORCE);
		}
		return;
	}
	if (store_read_u32(s, NULL, path, 1, &online) == 0 && online == 0 && d->phase == DEVICE_LIVE && !d->toolstack) {
		log_info("%s: a toolstack asks to detach it", d->name);
		d->toolstack = true;
		taken_away(d);
		device_event(d, BACK_EV_DETACH);
	}
}

static int watch(struct device *d)
{
	const struct class_setting *s = d->c->class->settings;
	struct path p;
	int err = store_watch(d->c->watches, path_join(&p, d->front.s, "state"), on_front, d, &d->front_watch);

	if (err == 0)
		err = store_watch(d->c->watches, path_join(&p, d->back.s, "online"), on_online, d, &d->online_watch);
	for (uint32_t i = 0; err == 0 && s && i < CLASS_MAX_SETTINGS && s[i].name; i++) {
		path_join(&p, s[i].where == NODE_FRONT ? d->front.s : d->back.s, s[i].name);
		err = store_watch(d->c->watches, p.s, on_setting, d, &d->setting_watch[i]);
	}
	return err;
}

uint64_t device_watch_events(const struct device *d)
{
	uint64_t n = store_watch_events(d->front_watch) + store_watch_events(d->online_watch);

	for (uint32_t i = 0; i < CLASS_MAX_SETTINGS; i++)
		n += store_watch_events(d->setting_watch[i]);
	return n;
}

/* ------------------------------------------------------------------ attach */

static void device_attach_failed(struct device *d, const struct fault *f)
{
	log_info("%s: not attached: %s", d->name, f->why);
	kept_done(d, f);
	device_waits_done(d, WAIT_ATTACH, f);
	device_leave(d);
}

/* Commit its nodes; a name we chose ourselves may be taken by then. */
static int commit(struct device *d, struct fault *f)
{
	struct domain_id id;
	int err, alive = domain_alive(d->c->domains, d->domid, &id);

	if (alive < 0)
		return fault_set(f, FAULT_FAILED, alive, "cannot look at domain %u: %s", d->domid, strerror(-alive));
	if (alive == 0 || !domain_same(&id, &d->domain))
		return fault_set(f, FAULT_NOTFOUND, -ESRCH, "domain %u is gone", d->domid);
	for (unsigned i = 0;; i++) {
		uint32_t vdev;

		err = layout_create(d, f);
		if (err != -EEXIST || !d->name_chosen || i == ATTACH_NAME_TRIES ||
		    layout_free_vdev(d->c, d->domid, &vdev) < 0)
			return err;
		d->vdev = vdev;
		device_name_it(d, d->domain_name);
	}
}

void device_attach_opened(struct device *d, int err, const struct fault *f)
{
	struct fault own = { .code = FAULT_FAILED };
	struct device_wait *w, *n;

	if (err == 0) {
		f = &own;
		err = commit(d, &own);
	}
	if (err < 0) {
		device_attach_failed(d, f);
		return;
	}
	d->committed = true;
	kept_forget(d);
	d->phase = DEVICE_LIVE;
	d->phase_ns = now_ns();
	d->state = BACK_INITWAIT;
	err = watch(d);
	if (err < 0) {
		fault_set(&own, FAULT_FAILED, err, "cannot watch xenstore: %s", strerror(-err));
		device_waits_done(d, WAIT_ATTACH, &own);
		device_event(d, BACK_EV_FORCE);
		return;
	}
	log_info("%s: attached", d->name);
	kept_done(d, NULL);
	list_for_each_safe (w, n, &d->waits, link) {
		if (w->kind != WAIT_ATTACH || w->wait_s == 0)
			continue;
		if (device_wait_for(d, WAIT_CONNECTED, w->wait_s, w->req) == 0)
			wait_free(w);
	}
	device_waits_done(d, WAIT_ATTACH, NULL);
	/* the watches fire once by themselves: the front end may have been there first */
}

int device_attach(struct control *c, const struct attach *a, void *spec, struct fault *f)
{
	struct device *d;
	uint32_t vdev = a->vdev;
	int err;

	if (!a->vdev_given && layout_free_vdev(c, a->domid, &vdev) < 0)
		return fault_set(f, FAULT_FAILED, -ENOSPC, "domain %u has no device name free", a->domid);
	if (device_find(c, a->domid, vdev)) {
		char name[VDEV_NAME_MAX];

		c->class->dev_name(vdev, name);
		fault_set(f, FAULT_EXISTS, -EEXIST, "domain %u has a device %s already", a->domid, name);
		fault_next(f, "choose another name, or leave it out to get a free one");
		return -EEXIST;
	}
	d = device_new(c, a->domid, vdev, a->user_frontend);
	if (!d)
		return fault_set(f, FAULT_FAILED, -ENOMEM, "out of memory");
	device_name_it(d, a->domain_name);
	make_uuid(d->uuid);
	d->name_chosen = !a->vdev_given;
	err = domain_alive(c->domains, a->domid, &d->domain);
	if (err == 1)
		err = a->req ? device_wait_for(d, WAIT_ATTACH, a->wait_s, a->req) : 0;
	else if (err == 0)
		err = -ESRCH;
	if (err < 0) {
		device_free(d);
		return fault_set(f, FAULT_FAILED, err, "cannot set the device up: %s", strerror(-err));
	}
	d->spec = spec;
	d->kept = a->kept;
	/* its worker of the life before may still be draining */
	device_open(d, a->kept != DOMAIN_RUNS ? KEPT_PATIENCE_MS : ATTACH_LOCK_PATIENCE_MS);
	return 0;
}

/* ------------------------------------------------------------- found again */

bool device_take(struct device *d, struct found_device *f)
{
	const struct control_class *k = d->c->class;
	const struct wire_device *w = &f->told;
	const struct taken t = { .device = d->name,
				 .domid = d->domid,
				 .vdev = d->vdev,
				 .body = f->tag,
				 .bytes = w->tag.bytes,
				 .fds = f->fds,
				 .nr_fds = f->nr_fds };
	int err = k->taken(d->spec, &t);

	if (err == 0) {
		f->nr_fds = 0; /* the class's */
		d->file_bytes = worker_may_write(f->w);
		err = k->info(d->spec, f->info, w->info_bytes, d->file_bytes);
	}
	if (err < 0) {
		log_error("%s: %s: it is opened again", d->name,
			  err == -EFBIG ? "its image is longer than what its worker may write to"
					: "what its worker says of it makes no sense");
		worker_drop(f);
		return false;
	}
	d->worker = f->w;
	d->handle = f->handle;
	memcpy(d->identity, w->tag.id, sizeof(d->identity));
	d->opening = OPEN_DONE;
	d->size_due = err > 0; /* the daemon before us died before it could publish it */
	d->has_rings = w->state != WIRE_DEVICE_OPEN;
	d->was_draining = w->state == WIRE_DEVICE_DRAINING;
	d->halted = w->broken != 0;
	if (d->halted)
		device_broken(d, w->broken_why, sizeof(w->broken_why));
	found_device_free(f);
	return true;
}

/* Its worker has its rings, and what xenstore says is what the daemon before us said last. */
static void adopt_served(struct device *d, uint32_t back_state, uint32_t front)
{
	bool wanted = front == XenbusStateInitialised || front == XenbusStateConnected;

	if (back_state == XenbusStateConnected && d->was_draining && wanted) {
		/* By force, and nobody remembers why; or to go to another worker. */
		d->state = BACK_CONNECTING;
		d->adopted = true;
		device_reconnect(d); /* its journal says how */
		return;
	}
	if (back_state == XenbusStateConnected) {
		d->state = BACK_CONNECTED;
	} else if (back_state == XenbusStateClosing) {
		d->state = wanted ? BACK_DETACHING : BACK_CLOSING;
	} else if (back_state == XenbusStateClosed) {
		d->state = BACK_FINISHING;
	} else {
		d->state = wanted && !d->was_draining ? BACK_CONNECTING : BACK_RESETTING;
	}
	if (d->state == BACK_CONNECTED || d->state == BACK_DETACHING || d->state == BACK_CONNECTING) {
		device_taken_rings(d);
		device_settings(d); /* they may have changed since */
		if (d->state == BACK_CONNECTING)
			device_post(d, BACK_EV_CONNECTED);
	} else {
		device_disconnect(d);
	}
}

int device_adopt(struct device *d, uint32_t back_state, bool online)
{
	uint32_t front = XenbusStateUnknown;
	int err = layout_front_state(d, &front);

	d->committed = true;
	d->phase = DEVICE_LIVE;
	d->published = back_state;
	d->front_state = front;
	if (err == 0)
		err = watch(d);
	if (err < 0 && err != -ENOENT)
		return err;
	d->retry_until_ns = now_ns() + ADOPT_PATIENCE_MS * 1000000ull;
	if (d->has_rings) {
		adopt_served(d, back_state, front);
		goto served;
	}
	switch (back_state) {
	case XenbusStateConnected:
		d->state = BACK_CONNECTING;
		d->adopted = d->resume = true;
		device_connect(d);
		break;
	case XenbusStateClosing:
		if (front != XenbusStateInitialised && front != XenbusStateConnected) {
			d->state = BACK_HALF;
		} else if (record_there(d)) {
			/* It was asked to let go and has not: its requests are served meanwhile. */
			d->state = BACK_DETACHING;
			d->adopted = d->resume = true;
			device_connect(d);
		} else {
			d->state = BACK_FAILED; /* its rings were let go of */
		}
		break;
	case XenbusStateClosed:
		d->state = BACK_CLOSED;
		break;
	default:
		d->state = BACK_INITWAIT;
		if (back_state != XenbusStateInitWait && layout_state(d, XenbusStateInitWait) < 0)
			log_error("%s: cannot write its state", d->name);
		break;
	}
	if (d->opening == OPEN_NONE)
		device_open(d, ADOPT_PATIENCE_MS); /* hold the image, know its size */
served:
	if (err == 0)
		(void)device_publish_size(d);
	if (err == -ENOENT) {
		d->toolstack = true;
		device_post(d, BACK_EV_FORCE);
	} else if (!online) {
		d->toolstack = true;
		device_post(d, BACK_EV_DETACH);
	} else {
		post_bits(d, DEVICE_POST_LOOK);
	}
	return 0;
}

/* ----------------------------------------------------------------- leaving */

void device_post_left(struct device *d)
{
	post_bits(d, DEVICE_POST_LEFT);
}

static void close_reply(void *arg, int err, const struct wire_msg *m)
{
	device_post_left(arg); /* whatever the answer */
}

/* The xenbus side is over: let the worker forget it, then go. */
static void device_leave(struct device *d)
{
	struct worker_ask q = {
		.type = WIRE_CLOSE, .handle = d->handle, .deadline_ms = CLOSE_MS, .fn = close_reply, .arg = d
	};
	bool known = d->opening == OPEN_DONE || (d->opening == OPEN_WORKER && worker_told(d->worker, d, WIRE_OPEN));

	d->phase = DEVICE_LEAVING;
	d->phase_ns = now_ns();
	device_open_cancel(d);
	worker_forget(d->worker, d, 0);
	d->opening = OPEN_NONE;
	if (known && (worker_leaving(d->worker) || worker_ask(d->worker, &q) == 0))
		return; /* one that quits closes it, too, and then device_hand_over() comes */
	device_post_left(d);
}

static void linger_over(struct loop *l, void *arg)
{
	struct device *d = arg;

	d->linger = NULL;
	log_info("%s: nobody removed its nodes, so we do", d->name);
	d->toolstack = false;
	device_left(d);
}

static bool nodes_there(struct device *d)
{
	struct path p;

	return store_there(d->c->store, NULL, path_join(&p, d->back.s, "synth/uuid")) != 0;
}

static bool domain_lives(const struct device *d)
{
	struct domain_id id;

	return domain_alive(d->c->domains, d->domid, &id) == 1 && domain_same(&id, &d->domain);
}

/* Nothing of it is left but its nodes. */
static void device_undone(struct device *d)
{
	int err;

	record_remove(d);
	err = d->committed ? layout_remove(d, !domain_lives(d)) : 0;
	if (err < 0)
		log_error("%s: its nodes stay: %s", d->name, strerror(-err));
	else if (d->committed)
		log_info("%s: detached", d->name);
	device_free(d);
}

/* What was made on this host for a device, on its way out. */
struct undo {
	struct job job;
	struct device *d; /* NULL: it is no more */
	const struct control_class *class;
	void *what; /* the class's */
	bool undone;
};

static void undo_run(struct job *job)
{
	struct undo *u = container_of(job, struct undo, job);

	u->class->gone_run(u->what);
	u->undone = true;
}

/* One that did not come to it before the daemon ends is left to the next, which finds the nodes. */
static void undo_done(struct job *job, bool cancelled)
{
	struct undo *u = container_of(job, struct undo, job);
	struct device *d = u->d;
	bool undone = u->undone;

	u->class->gone_free(u->what);
	free(u);
	if (d)
		d->undo = NULL;
	if (d && undone)
		device_undone(d);
}

static void undo_forget(struct device *d)
{
	if (d->undo)
		d->undo->d = NULL;
	d->undo = NULL;
}

/* What may take long is done on a thread, and device_undone() comes after it. */
static void undo(struct device *d)
{
	const struct control_class *k = d->c->class;
	void *what = d->spec && k->gone_new ? k->gone_new(d->spec) : NULL;
	struct undo *u = what ? calloc(1, sizeof(*u)) : NULL;

	if (d->phase != DEVICE_LEAVING)
		d->phase_ns = now_ns();
	d->phase = DEVICE_LEAVING;
	if (u) {
		*u = (struct undo){ .job = { .run = undo_run, .done = undo_done, .domid = d->domid },
				    .d = d,
				    .class = k,
				    .what = what };
		d->undo = u;
		if (jobs_start(d->c->jobs, &u->job) == 0)
			return;
		d->undo = NULL;
		free(u);
	}
	if (what) { /* without memory, or a thread, here */
		k->gone_run(what);
		k->gone_free(what);
	}
	device_undone(d);
}

void device_found_gone(struct device *d)
{
	d->committed = true;
	undo(d);
}

static void device_left(struct device *d)
{
	if (d->undo)
		return;
	if (d->committed && d->toolstack && domain_lives(d) && nodes_there(d)) {
		if (d->phase == DEVICE_LINGERING)
			return;
		d->phase = DEVICE_LINGERING;
		d->phase_ns = now_ns();
		/* the image is free and the guest has let go: who waits need not wait for the nodes */
		device_waits_done(d, WAIT_DETACHED, NULL);
		if (loop_add_timer(d->c->loop, d->c->linger_s * 1000ull, linger_over, d, &d->linger) == 0)
			return;
		d->linger = NULL;
	}
	unwatch(d);
	loop_del_timer(d->linger);
	d->linger = NULL;
	undo(d);
}

void device_domain_gone(struct device *d)
{
	struct fault f = { .code = FAULT_FAILED };

	switch (d->phase) {
	case DEVICE_ATTACHING:
		fault_set(&f, FAULT_NOTFOUND, 0, "domain %u died", d->domid);
		device_attach_failed(d, &f);
		break;
	case DEVICE_LIVE:
		log_info("%s: its domain is gone", d->name);
		d->toolstack = false;
		taken_away(d);
		device_event(d, BACK_EV_FORCE);
		break;
	case DEVICE_LEAVING:
		d->toolstack = false;
		break;
	case DEVICE_LINGERING:
		d->toolstack = false;
		post_bits(d, DEVICE_POST_LEFT);
		break;
	}
}

/* ----------------------------------------------------------------- showing */

static json_object *text_or_null(const char *s)
{
	return *s ? json_object_new_string(s) : NULL;
}

/* Which file or block device it stands on, as stat() tells: "DEV:INO", and of a block device "RDEV:ffff...". */
static json_object *image_id(const struct device *d)
{
	char text[40];

	if (!d->c->class->look_run || (d->identity[0] == 0 && d->identity[1] == 0))
		return NULL;
	snprintf(text, sizeof(text), "%llx:%llx", (unsigned long long)d->identity[0],
		 (unsigned long long)d->identity[1]);
	return json_object_new_string(text);
}

static const char *broken_text(const struct device *d, char buf[REASON_MAX + 128])
{
	uint64_t ms = worker_backoff(d->worker);

	if (ms == 0)
		return d->broken;
	snprintf(buf, REASON_MAX + 128, "%s%sits worker died %u times in a row; the next is started in %llu ms",
		 d->broken, d->broken[0] ? "; " : "", worker_crashes(d->worker), (unsigned long long)ms);
	return buf;
}

json_object *device_json(struct device *d)
{
	bool connected = d->has_rings && (d->state == BACK_CONNECTED || d->state == BACK_DETACHING);
	json_object *o = json_object_new_object();
	char buf[REASON_MAX + 128];
	pid_t pid = worker_pid(d->worker);

	json_object_object_add(o, "device", json_object_new_string(d->name));
	json_object_object_add(o, "class", json_object_new_string(d->c->class->name));
	json_object_object_add(o, "domid", json_object_new_int64(d->domid));
	json_object_object_add(o, "domain", text_or_null(d->domain_name));
	json_object_object_add(o, "dev", json_object_new_string(d->dev_name));
	json_object_object_add(o, "vdev", json_object_new_int64(d->vdev));
	json_object_object_add(o, "state",
			       d->committed ? json_object_new_string(xenbus_state_name(d->published)) : NULL);
	json_object_object_add(o, "phase", json_object_new_string(device_phase_name(d)));
	json_object_object_add(o, "frontend_state",
			       d->committed ? json_object_new_string(xenbus_state_name(d->front_state)) : NULL);
	json_object_object_add(o, "broken", text_or_null(broken_text(d, buf)));
	d->c->class->show(d->spec, connected ? d->params : NULL, o);
	json_object_object_add(o, "image_id", image_id(d));
	json_object_object_add(o, "user_frontend", json_object_new_boolean(d->user_frontend));
	json_object_object_add(o, "worker", pid > 0 ? json_object_new_int(pid) : NULL);
	json_object_object_add(o, "worker_deaths", json_object_new_int64(worker_deaths(d->worker)));
	json_object_object_add(o, "next_start_ms", json_object_new_int64((int64_t)worker_backoff(d->worker)));
	json_object_object_add(o, "uuid", json_object_new_string(d->uuid));
	json_object_object_add(o, "backend", json_object_new_string(d->back.s));
	json_object_object_add(o, "frontend", json_object_new_string(d->front.s));
	json_object_object_add(o, "attached_s",
			       json_object_new_int64((int64_t)((now_ns() - d->attached_ns) / 1000000000u)));
	json_object_object_add(o, "phase_s", json_object_new_int64((int64_t)((now_ns() - d->phase_ns) / 1000000000u)));
	return o;
}

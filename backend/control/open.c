/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * open.c - what one device stands on, an image or a link: opened, and resized.
 *
 *   device_open:     job (image, on a thread) -> wait for a worker that has the parts it needs, or for the successor of one that
 *                    is being replaced -> WIRE_OPEN -> class->info -> device_opened()
 *   resize:          job (the image itself) -> WIRE_RESIZE, when a worker can be asked -> class->info -> xenstore
 *
 * An image that is locked may be so because the worker of a daemon that died is still draining: with patience, it is tried again.
 */
#include <errno.h>
#include <stdio.h>
#include "backend/control/control.h"
#include "backend/control/record.h"
#include "backend/control/upgrade.h"

/* ---------------------------------------------------------------- opening */

static struct device *other_user(struct device *d, const uint64_t id[2])
{
	struct device *o;

	if (id[0] == 0 && id[1] == 0)
		return NULL;
	list_for_each (o, &d->c->devices, link)
		if (o != d && o->identity[0] == id[0] && o->identity[1] == id[1])
			return o;
	return NULL;
}

static void open_fail(struct device *d, int err, const struct fault *f)
{
	d->opening = OPEN_NONE;
	device_opened(d, err, f);
}

static void open_again(struct loop *l, void *arg)
{
	struct device *d = arg;

	d->retry = NULL;
	d->retry_ms = MIN(2 * d->retry_ms, DEVICE_RETRY_MS);
	d->opening = OPEN_NONE;
	device_open(d, 0);
}

/* Locked: by another device of ours (which may be on its way out), or by somebody else. */
static void open_busy(struct device *d, struct open_job *j)
{
	struct device *o = other_user(d, j->id);
	bool leaving = o && (o->phase == DEVICE_LEAVING || o->phase == DEVICE_LINGERING);

	if (o && !leaving) {
		fault_set(&j->fault, FAULT_BUSY, -EBUSY, "it is attached already, as %s", o->name);
		fault_next(&j->fault, "detach it there, or attach it read-only in both places");
	} else if (now_ns() < d->retry_until_ns &&
		   loop_add_timer(d->c->loop, d->retry_ms, open_again, d, &d->retry) == 0) {
		d->opening = OPEN_RETRY;
		return;
	}
	open_fail(d, -EBUSY, &j->fault);
}

/* The worker's word of the size. */
static int size_heard(struct device *d, const void *body, size_t bytes)
{
	int changed = d->c->class->info(d->spec, body, bytes, d->file_bytes);

	if (changed < 0)
		return changed;
	d->size_due |= changed > 0;
	(void)device_publish_size(d);
	return 0;
}

static void open_reply(void *arg, int err, const struct wire_msg *m)
{
	struct device *d = arg;
	struct fault f = { .code = FAULT_FAILED };

	if (err == -EPIPE)
		return; /* device_worker_lost() comes */
	if (err == 0)
		err = size_heard(d, m->body, m->hdr.bytes);
	if (err < 0) {
		if (err == -ECHILD)
			fault_set(&f, FAULT_FAILED, err,
				  "the worker process could not be started (see the daemon's log)");
		else
			fault_set(&f, FAULT_FAILED, err, "the worker could not use it: %s", strerror(-err));
		open_fail(d, err, &f);
		return;
	}
	d->opening = OPEN_DONE;
	device_opened(d, 0, NULL);
}

/* What the next control plane is to know of it. */
static void tag(struct device *d)
{
	struct {
		struct wire_tag t;
		uint8_t body[WIRE_TAG_MAX];
	} m = { .t = { .id = { d->identity[0], d->identity[1] } } };
	int fds[WIRE_MAX_FDS];
	struct worker_ask q = {
		.type = WIRE_TAG, .handle = d->handle, .body = &m, .fds = fds, .deadline_ms = DEVICE_ASK_MS, .arg = d
	};

	memcpy(m.t.uuid, d->uuid, sizeof(m.t.uuid));
	m.t.bytes = d->c->class->keep(d->spec, m.body, fds, &q.nr_fds);
	q.bytes = (uint32_t)sizeof(m.t) + m.t.bytes;
	if (worker_ask(d->worker, &q) < 0)
		log_error("%s: a daemon after this one would not find it with its worker", d->name);
}

static int open_tell_worker(struct device *d, const struct open_job *j)
{
	struct worker_ask q = {
		.type = WIRE_OPEN,
		.body = j->body,
		.bytes = j->bytes,
		.fds = j->fds,
		.nr_fds = j->nr_fds,
		.deadline_ms = worker_ms("SYNTH_OPEN_MS", DEVICE_ASK_MS),
		.kill = true,
		.fn = open_reply,
		.arg = d,
	};
	int err;

	_Static_assert(sizeof(d->uuid) == WIRE_UUID_MAX, "a device's uuid fits its tag");
	d->c->class->open_told(d->spec, j);
	d->handle = q.handle = worker_new_handle(d->worker);
	d->opening = OPEN_WORKER;
	d->file_bytes = j->file_bytes;
	worker_writes(d->worker, d->file_bytes);
	err = worker_ask(d->worker, &q);
	if (err == 0)
		tag(d);
	return err;
}

static void open_job_free(struct open_job *j)
{
	j->class->open_free(j);
	free(j);
}

uint32_t device_parts(const struct device *d)
{
	return d->spec && d->c->class->parts ? d->c->class->parts(d->spec) : 0;
}

/* What it stands on is there.  True: @j is kept, for a worker that can be told. */
static bool open_hand_on(struct device *d, struct open_job *j)
{
	int err = d->worker ? 0 : worker_get(d->c, d->domid, &d->worker);

	if (err == 0 && !worker_can(d->worker, device_parts(d))) {
		d->opening = OPEN_WAITS;
		d->job = j;
		upgrade_look(d->c);
		return true;
	}
	if (err == 0)
		err = open_tell_worker(d, j);
	if (err < 0) {
		fault_set(&j->fault, FAULT_FAILED, err, "cannot ask a worker: %s", strerror(-err));
		open_fail(d, err, &j->fault);
	}
	return false;
}

static struct open_job *open_waited(struct device *d)
{
	struct open_job *j = d->job;

	d->job = NULL;
	d->opening = OPEN_NONE;
	return j;
}

void device_open_go_on(struct device *d)
{
	struct open_job *j;

	if (d->opening != OPEN_WAITS || !worker_can(d->worker, device_parts(d)))
		return;
	j = open_waited(d);
	if (!open_hand_on(d, j))
		open_job_free(j);
}

void device_open_give_up(struct device *d, const char *why)
{
	struct fault f = { .code = FAULT_FAILED };

	if (d->opening != OPEN_WAITS)
		return;
	open_job_free(open_waited(d));
	fault_set(&f, FAULT_FAILED, -ECHILD, "its guest's worker was started without what it needs, and %s", why);
	fault_next(&f, "see the daemon's log");
	open_fail(d, -ECHILD, &f);
}

static void open_job_done(struct job *job, bool cancelled)
{
	struct open_job *j = container_of(job, struct open_job, job);
	struct device *d = j->owner;

	if (!cancelled) {
		d->job = NULL;
		if (j->err == 0 && j->exclusive && other_user(d, j->id))
			j->err = -EBUSY;
		if (j->err == -EBUSY) {
			open_busy(d, j);
		} else if (j->err < 0) {
			open_fail(d, j->err, &j->fault);
		} else {
			d->identity[0] = j->id[0];
			d->identity[1] = j->id[1];
			if (open_hand_on(d, j))
				return;
		}
	}
	open_job_free(j);
}

static void open_job_run(struct job *job)
{
	struct open_job *j = container_of(job, struct open_job, job);

	j->class->open_run(j);
}

static int job_new(struct device *d, void (*run)(struct job *), void (*done)(struct job *, bool), struct open_job **ret)
{
	struct open_job *j = calloc(1, sizeof(*j));
	int err;

	if (!j)
		return -ENOMEM;
	j->owner = d;
	j->class = d->c->class;
	j->domid = d->domid;
	j->vdev = d->vdev;
	j->job.run = run;
	j->job.done = done;
	j->job.domid = d->domid;
	j->again = d->adopted || d->resume;
	j->unanswered = run == open_job_run && j->again && record_unanswered(d); /* no other asks */
	err = j->class->open_new(d->spec, d->name, j);
	if (err < 0) {
		free(j);
		return err;
	}
	*ret = j;
	return 0;
}

void device_open(struct device *d, uint32_t patience_ms)
{
	struct fault f = { .code = FAULT_FAILED };
	int err;

	if (patience_ms)
		d->retry_until_ns = now_ns() + patience_ms * 1000000ull;
	if (patience_ms || d->retry_ms == 0)
		d->retry_ms = DEVICE_RETRY_MIN_MS;
	if (d->opening == OPEN_DONE) {
		device_opened(d, 0, NULL);
		return;
	}
	if (d->opening != OPEN_NONE)
		return;
	d->opening = OPEN_JOB;
	err = job_new(d, open_job_run, open_job_done, &d->job);
	if (err == 0) {
		/* The guest goes on with what it had: another file of that name is none of its data, and not for it to write to. */
		err = d->resume ? record_identity(d, d->job->was) : 0;
		if (err == 0)
			err = jobs_start(d->c->jobs, &d->job->job);
		if (err < 0) {
			open_job_free(d->job);
			d->job = NULL;
		}
	}
	if (err < 0) {
		fault_set(&f, FAULT_FAILED, err, "cannot start opening it: %s", strerror(-err));
		open_fail(d, err, &f);
	}
}

static void look_job_run(struct job *job)
{
	struct open_job *j = container_of(job, struct open_job, job);

	j->err = j->class->look_run(j);
}

static void look_job_done(struct job *job, bool cancelled)
{
	struct open_job *j = container_of(job, struct open_job, job);
	struct device *d = j->owner;

	if (!cancelled) {
		d->look = NULL;
		if (j->err < 0)
			snprintf(d->look_why, sizeof(d->look_why), "%.*s", (int)sizeof(d->look_why) - 1, j->fault.why);
	}
	open_job_free(j);
}

void device_look_below(struct device *d)
{
	int err;

	d->look_why[0] = '\0';
	if (!d->c->class->look_run || d->look)
		return;
	err = job_new(d, look_job_run, look_job_done, &d->look);
	if (err == 0) {
		memcpy(d->look->was, d->identity, sizeof(d->look->was));
		err = jobs_start(d->c->jobs, &d->look->job);
		if (err < 0) {
			open_job_free(d->look);
			d->look = NULL;
		}
	}
	if (err < 0)
		snprintf(d->look_why, sizeof(d->look_why), "cannot start looking at it: %s", strerror(-err));
}

void device_open_cancel(struct device *d)
{
	if (d->job && d->opening == OPEN_WAITS)
		open_job_free(d->job);
	else if (d->job)
		job_cancel(&d->job->job); /* it frees itself */
	d->job = NULL;
	loop_del_timer(d->retry);
	d->retry = NULL;
	if (d->opening == OPEN_JOB || d->opening == OPEN_RETRY || d->opening == OPEN_WAITS)
		d->opening = OPEN_NONE;
}

/* ----------------------------------------------------------------- resize */

/* Connected again tells a connected guest to look; else it will read it when it connects. */
int device_publish_size(struct device *d)
{
	int err;

	if (!d->size_due || (d->published != XenbusStateInitWait && d->published != XenbusStateConnected))
		return 0;
	log_info("%s: its size changed", d->name);
	err = layout_state(d, d->published); /* what is written with it is all that is due */
	if (err < 0)
		log_error("%s: cannot tell the guest of the new size: %s", d->name, strerror(-err));
	return err;
}

static void resize_reply(void *arg, int err, const struct wire_msg *m)
{
	struct device *d = arg;
	struct fault f = { .code = FAULT_FAILED };

	if (err == -EPIPE)
		return;
	d->resize_asked = false;
	if (err == 0)
		err = size_heard(d, m->body, m->hdr.bytes);
	if (err < 0) {
		fault_set(&f, FAULT_FAILED, err, "the worker cannot use the new size: %s",
			  err == -EFBIG ? "the image is longer than when we looked; try again" : strerror(-err));
	} else {
		err = device_publish_size(d);
		if (err < 0)
			fault_set(&f, FAULT_FAILED, err, "the guest cannot be told: %s", strerror(-err));
	}
	device_waits_done(d, WAIT_RESIZE, err < 0 ? &f : NULL);
}

static int resize_may(const struct device *d, struct fault *f)
{
	if (d->resize || d->resize_due || d->resize_asked)
		return fault_set(f, FAULT_BUSY, -EBUSY, "it is being resized already");
	if (d->phase == DEVICE_LIVE && d->opening != OPEN_NONE)
		return 0;
	fault_set(f, FAULT_FAILED, -ENOTCONN, "no worker has it open at the moment");
	fault_next(f, "its guest is told of a new size when it is served again");
	return -ENOTCONN;
}

/* Now, or when a worker has it open that can be asked: one that hands over to another cannot. */
static int resize_ask(struct device *d, struct fault *f)
{
	struct worker_ask q = {
		.type = WIRE_RESIZE, .handle = d->handle, .deadline_ms = DEVICE_ASK_MS, .fn = resize_reply, .arg = d
	};
	int err;

	d->resize_due = d->opening != OPEN_DONE || worker_leaving(d->worker);
	if (d->resize_due)
		return 0;
	worker_writes(d->worker, d->file_bytes);
	err = worker_ask(d->worker, &q);
	d->resize_asked = err == 0;
	return err < 0 ? fault_set(f, FAULT_FAILED, err, "cannot ask the worker: %s", strerror(-err)) : 0;
}

void device_resize_go_on(struct device *d, int err, const struct fault *why)
{
	struct fault f = { .code = FAULT_FAILED };

	if (err < 0) {
		d->resize_due = false;
		f = *why;
		fault_next(&f, "its guest is told of a new size when it is served again");
	} else {
		err = resize_ask(d, &f);
	}
	if (err < 0)
		device_waits_done(d, WAIT_RESIZE, &f);
}

static void resize_job_run(struct job *job)
{
	struct open_job *j = container_of(job, struct open_job, job);

	j->err = j->class->resize_run(j, j->size);
}

static void resize_job_done(struct job *job, bool cancelled)
{
	struct open_job *j = container_of(job, struct open_job, job);
	struct device *d = j->owner;

	if (!cancelled) {
		d->resize = NULL;
		d->file_bytes = MAX(d->file_bytes, j->file_bytes);
		if (j->err == 0)
			j->err = resize_may(d, &j->fault);
		if (j->err == 0)
			j->err = resize_ask(d, &j->fault);
		if (j->err < 0)
			device_waits_done(d, WAIT_RESIZE, &j->fault);
	}
	open_job_free(j);
}

int device_resize(struct device *d, uint64_t size, struct fault *f)
{
	int err;

	err = resize_may(d, f);
	if (err < 0)
		return err;
	if (size == 0 && d->file_bytes == 0) /* none that the limit is to follow (of a found one that is not known) */
		return resize_ask(d, f);
	err = job_new(d, resize_job_run, resize_job_done, &d->resize);
	if (err == 0) {
		d->resize->size = size;
		memcpy(d->resize->was, d->identity, sizeof(d->resize->was));
		err = jobs_start(d->c->jobs, &d->resize->job);
		if (err < 0) {
			open_job_free(d->resize);
			d->resize = NULL;
		}
	}
	return err < 0 ? fault_set(f, FAULT_FAILED, err, "cannot start resizing: %s", strerror(-err)) : 0;
}

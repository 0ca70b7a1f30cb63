/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd.c - the commands of the control socket (docs/control-protocol.md): arguments checked, then to instance.c. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include "backend/control/control.h"
#include "backend/control/spec.h"
#include "backend/control/upgrade.h"
#include "common/metrics/metrics.h"
#include "common/span/span.h"
#include "config.h"

#define WAIT_MAX_S     3600u
#define DETACH_WAIT_S  10u
#define STAT_MS        5000u
#define METRICS_MAX    256u
#define NAME_MAX_BYTES 64u

struct args {
	struct control *c;
	struct ctl_req *req;
	json_object *o;
	struct fault f;        /* what: set first */
	const char *dom, *dev; /* NULL: not given */
};

static void fail(struct args *a)
{
	ctl_fail(a->req, &a->f);
}

static int get_text(struct args *a, const char *name, bool needed, const char **ret)
{
	json_object *v;

	*ret = NULL;
	if (!json_object_object_get_ex(a->o, name, &v) || !v) {
		if (!needed)
			return 0;
		return fault_set(&a->f, FAULT_USAGE, -EINVAL, "\"%s\" is missing", name);
	}
	*ret = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
	if (**ret == '\0' || strlen(*ret) != (size_t)json_object_get_string_len(v) || strlen(*ret) > NAME_MAX_BYTES)
		return fault_set(&a->f, FAULT_USAGE, -EINVAL, "\"%s\" must be a text of 1 to %u bytes", name,
				 NAME_MAX_BYTES);
	return 0;
}

static int get_seconds(struct args *a, const char *name, uint32_t *ret)
{
	json_object *v;
	double s;

	if (!json_object_object_get_ex(a->o, name, &v) || !v)
		return 0;
	s = json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double)
		    ? json_object_get_double(v)
		    : -1;
	if (!(s >= 0 && s <= WAIT_MAX_S))
		return fault_set(&a->f, FAULT_USAGE, -EINVAL, "\"%s\" must be 0 to %u seconds", name, WAIT_MAX_S);
	*ret = (uint32_t)(s + 0.999);
	return 0;
}

static int store_down(struct args *a)
{
	if (!a->c->store_lost)
		return 0;
	fault_set(&a->f, FAULT_FAILED, -ENOTCONN, "the connection to xenstore is lost");
	fault_next(&a->f, "is xenstored running? %s connects again by itself", a->c->class->program);
	return -ENOTCONN;
}

/* As domain_find(); a domain that has devices already is found without looking at the names of all. */
static int find_domain(struct args *a, uint32_t *domid, char name[64])
{
	const struct device *d;

	list_for_each (d, &a->c->devices, link) {
		if (d->domain_name[0] == '\0' || strcmp(d->domain_name, a->dom) != 0)
			continue;
		domain_name(a->c->domains, d->domid, name);
		if (strcmp(name, a->dom) == 0) {
			struct domain_id id;

			*domid = d->domid;
			return domain_alive(a->c->domains, d->domid, &id);
		}
		break;
	}
	return domain_find(a->c->domains, a->dom, domid, name);
}

/* The domain of "dom", which must be alive. */
static int get_domain(struct args *a, uint32_t *domid, char name[64])
{
	char q[QUOTE_MAX];
	int found = find_domain(a, domid, name);

	if (found == 1)
		return 0;
	if (found < 0)
		return fault_set(&a->f, FAULT_FAILED, found, "cannot look for the domain: %s", strerror(-found));
	fault_set(&a->f, FAULT_NOTFOUND, -ESRCH, "there is no domain \"%s\"", quote_text(q, a->dom));
	fault_next(&a->f, "see the domains with: xl list");
	return -ESRCH;
}

/* Of a device we have: its domain may be gone, or be renamed. */
static bool domain_is(struct control *c, const struct device *d, const char *dom)
{
	uint32_t n;

	return (parse_str_u32(dom, UINT32_MAX, &n) == 0 && n == d->domid) || strcmp(d->domain_name, dom) == 0;
}

static int get_device(struct args *a, struct device **ret)
{
	struct device *d;
	uint32_t domid = UINT32_MAX, vdev;
	char name[64], q[QUOTE_MAX], q2[QUOTE_MAX];

	if (a->c->class->dev_parse(a->dev, &vdev) < 0)
		return fault_set(&a->f, FAULT_USAGE, -EINVAL, "\"%s\" is no device name", quote_text(q, a->dev));
	if (!a->c->store_lost && find_domain(a, &domid, name) != 1)
		domid = UINT32_MAX;
	list_for_each (d, &a->c->devices, link)
		if (d->vdev == vdev && (d->domid == domid || (domid == UINT32_MAX && domain_is(a->c, d, a->dom)))) {
			*ret = d;
			return 0;
		}
	if (domid == UINT32_MAX) {
		fault_set(&a->f, FAULT_NOTFOUND, -ESRCH, "there is no domain \"%s\"", quote_text(q, a->dom));
		fault_next(&a->f, "see the domains with: xl list");
	} else {
		fault_set(&a->f, FAULT_NOTFOUND, -ENODEV, "domain %u has no device %s of ours", domid,
			  quote_text(q2, a->dev));
		fault_next(&a->f, "see them with: synthctl list");
	}
	return -ENODEV;
}

/* --------------------------------------------------------------- commands */

static int attach_args(struct args *a, struct attach *at)
{
	const char *class;
	char q[QUOTE_MAX];
	int err = get_text(a, "class", false, &class);

	if (err < 0)
		return err;
	if (class && strcmp(class, a->c->class->name) != 0)
		return fault_set(&a->f, FAULT_USAGE, -EINVAL, "this daemon serves class \"%s\", not \"%s\"",
				 a->c->class->name, quote_text(q, class));
	err = arg_bool(a->o, "user_frontend", &at->user_frontend, &a->f);
	if (err == 0)
		err = get_seconds(a, "wait", &at->wait_s);
	if (err == 0 && a->dev) {
		at->vdev_given = true;
		if (a->c->class->dev_parse(a->dev, &at->vdev) < 0)
			err = fault_set(&a->f, FAULT_USAGE, -EINVAL, "\"%s\" is no device name", quote_text(q, a->dev));
	}
	return err;
}

static void cmd_attach(struct args *a)
{
	struct attach at = { .req = a->req };
	char name[64], q[QUOTE_MAX];
	void *spec = NULL;
	int err;

	fault_what(&a->f, "cannot attach a %s", a->c->class->name);
	err = attach_args(a, &at);
	if (err == 0)
		err = a->c->class->spec_new(a->o, &a->c->opt, &spec, &a->f);
	if (err == 0)
		err = store_down(a);
	if (err == 0)
		err = get_domain(a, &at.domid, name);
	if (err == 0) {
		at.domain_name = name;
		if (a->dev)
			fault_what(&a->f, "cannot attach %s/%s", *name ? name : a->dom, quote_text(q, a->dev));
		err = device_attach(a->c, &at, spec, &a->f);
	}
	if (err < 0) {
		if (spec)
			a->c->class->spec_free(spec);
		fail(a);
	}
}

static void cmd_detach(struct args *a)
{
	struct fault gone = { .code = FAULT_FAILED };
	struct device *d;
	bool force = false;
	uint32_t wait_s = DETACH_WAIT_S;
	char q[QUOTE_MAX], q2[QUOTE_MAX];
	int err;

	fault_what(&a->f, "cannot detach %s/%s", quote_text(q, a->dom), quote_text(q2, a->dev));
	err = arg_bool(a->o, "force", &force, &a->f);
	if (err == 0)
		err = get_seconds(a, "wait", &wait_s);
	if (err == 0)
		err = store_down(a);
	if (err == 0)
		err = get_device(a, &d);
	if (err == 0 && d->phase == DEVICE_ATTACHING)
		err = fault_set(&a->f, FAULT_BUSY, -EBUSY, "it is still being attached");
	if (err == 0) {
		err = device_wait_for(d, WAIT_DETACHED, wait_s, a->req);
		if (err < 0)
			fault_set(&a->f, FAULT_FAILED, err, "out of memory");
	}
	if (err < 0) {
		fail(a);
		return;
	}
	fault_set(&gone, FAULT_FAILED, 0, "it is being detached");
	device_waits_done(d, WAIT_CONNECTED, &gone);
	d->unwanted = true;
	if (force)
		d->toolstack = false;
	if (d->phase == DEVICE_LINGERING)
		device_domain_gone(d); /* closed already, only its nodes are left */
	else if (force)
		device_force(d);
	else
		device_event(d, BACK_EV_DETACH);
}

static bool selected(struct args *a, const struct device *d, uint32_t domid, uint32_t vdev)
{
	if (a->dom && (domid == UINT32_MAX ? !domain_is(a->c, d, a->dom) : d->domid != domid))
		return false;
	return !a->dev || d->vdev == vdev;
}

/* Optional "dom" and "dev" as a filter. */
static int get_filter(struct args *a, uint32_t *domid, uint32_t *vdev)
{
	char name[64], q[QUOTE_MAX];
	struct device *d;

	*domid = *vdev = UINT32_MAX;
	if (a->dev && a->c->class->dev_parse(a->dev, vdev) < 0)
		return fault_set(&a->f, FAULT_USAGE, -EINVAL, "\"%s\" is no device name", quote_text(q, a->dev));
	if (!a->dom || (!a->c->store_lost && find_domain(a, domid, name) == 1))
		return 0;
	*domid = UINT32_MAX;
	list_for_each (d, &a->c->devices, link)
		if (domain_is(a->c, d, a->dom))
			return 0;
	fault_set(&a->f, FAULT_NOTFOUND, -ESRCH, "there is no domain \"%s\"", quote_text(q, a->dom));
	fault_next(&a->f, "see the domains with: xl list");
	return -ESRCH;
}

static void cmd_list(struct args *a)
{
	json_object *list;
	struct device *d;
	uint32_t domid, vdev;

	fault_what(&a->f, "cannot list devices");
	a->dev = NULL;
	if (get_filter(a, &domid, &vdev) < 0) {
		fail(a);
		return;
	}
	list = json_object_new_array();
	list_for_each (d, &a->c->devices, link)
		if (selected(a, d, domid, vdev))
			json_object_array_add(list, device_json(d));
	ctl_ok(a->req, list);
}

static void cmd_show(struct args *a)
{
	struct device *d;
	char q[QUOTE_MAX], q2[QUOTE_MAX];

	fault_what(&a->f, "cannot show %s/%s", quote_text(q, a->dom), quote_text(q2, a->dev));
	if (get_device(a, &d) < 0)
		fail(a);
	else
		ctl_ok(a->req, device_json(d));
}

/* ------------------------------------------------------------------- stat */

struct stat_gather {
	struct ctl_req *req;
	json_object *list;
	uint32_t open; /* questions without an answer, and one for the asker itself */
};

struct stat_one {
	struct stat_gather *g;
	json_object *metrics; /* borrowed of g->list */
};

static void stat_done(struct stat_gather *g)
{
	if (--g->open > 0)
		return;
	ctl_ok(g->req, g->list);
	free(g);
}

static void stat_reply(void *arg, int err, const struct wire_msg *m)
{
	struct stat_one *one = arg;
	char name[64];
	uint64_t value;
	struct span s;

	if (err == 0) {
		s = span_of(m->body, m->hdr.bytes);
		for (uint32_t i = 0; i < METRICS_MAX && metrics_get(&s, name, &value) == 0; i++)
			json_object_object_add(one->metrics, name, json_object_new_uint64(value));
	}
	stat_done(one->g);
	free(one);
}

static void stat_ask(struct stat_gather *g, struct device *d)
{
	struct worker_ask q = { .type = WIRE_STAT, .handle = d->handle, .deadline_ms = STAT_MS, .fn = stat_reply };
	json_object *o = json_object_new_object(), *metrics = json_object_new_object();
	struct stat_one *one;

	json_object_object_add(o, "device", json_object_new_string(d->name));
	json_object_object_add(o, "domid", json_object_new_int64(d->domid));
	json_object_object_add(o, "dev", json_object_new_string(d->dev_name));
	json_object_object_add(o, "metrics", metrics);
	json_object_array_add(g->list, o);
	json_object_object_add(metrics, "control_watch_events", json_object_new_uint64(device_watch_events(d)));
	json_object_object_add(metrics, "control_looks", json_object_new_uint64(d->looks));
	json_object_object_add(metrics, "control_looks_throttled", json_object_new_uint64(d->throttled));
	json_object_object_add(metrics, "control_time_ns", json_object_new_uint64(d->guest->spent_ns));
	json_object_object_add(metrics, "control_log_suppressed", json_object_new_uint64(d->guest->log.suppressed));
	json_object_object_add(metrics, "control_log_bytes", json_object_new_uint64(d->guest->log.bytes));
	json_object_object_add(metrics, "control_worker_deaths", json_object_new_uint64(worker_deaths(d->worker)));
	json_object_object_add(metrics, "control_worker_backoff_ms", json_object_new_uint64(worker_backoff(d->worker)));
	json_object_object_add(metrics, "control_unserved_ms",
			       json_object_new_uint64(d->unserved_ns ? (now_ns() - d->unserved_ns) / 1000000u : 0));
	if (d->opening != OPEN_DONE)
		return;
	one = calloc(1, sizeof(*one));
	if (!one)
		return;
	one->g = g;
	one->metrics = metrics;
	q.arg = one;
	g->open++;
	if (worker_ask(d->worker, &q) < 0) {
		g->open--;
		free(one);
	}
}

static void cmd_stat(struct args *a)
{
	struct stat_gather *g;
	uint32_t domid, vdev;
	struct device *d;

	fault_what(&a->f, "cannot tell statistics");
	if (get_filter(a, &domid, &vdev) < 0) {
		fail(a);
		return;
	}
	g = calloc(1, sizeof(*g));
	if (!g) {
		fault_set(&a->f, FAULT_FAILED, -ENOMEM, "out of memory");
		fail(a);
		return;
	}
	g->req = a->req;
	g->list = json_object_new_array();
	g->open = 1;
	list_for_each (d, &a->c->devices, link)
		if (d->phase != DEVICE_ATTACHING && selected(a, d, domid, vdev))
			stat_ask(g, d);
	if (a->dom && a->dev && json_object_array_length(g->list) == 0) {
		json_object_put(g->list);
		free(g);
		if (get_device(a, &d) == 0)
			fault_set(&a->f, FAULT_BUSY, -EBUSY, "it is still being attached");
		fail(a);
		return;
	}
	stat_done(g);
}

/* ------------------------------------------------------ resize, the daemon */

static void cmd_resize(struct args *a)
{
	struct device *d;
	json_object *v;
	int64_t size = 0;
	char q[QUOTE_MAX], q2[QUOTE_MAX];
	int err;

	fault_what(&a->f, "cannot resize %s/%s", quote_text(q, a->dom), quote_text(q2, a->dev));
	err = a->c->class->resize_run
		      ? store_down(a)
		      : fault_set(&a->f, FAULT_USAGE, -EOPNOTSUPP, "a %s has no size", a->c->class->name);
	if (err == 0 && json_object_object_get_ex(a->o, "size", &v) && v) {
		size = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
		if (size <= 0 || size == INT64_MAX || size % (int64_t)SECTOR_BYTES)
			err = fault_set(&a->f, FAULT_USAGE, -EINVAL,
					"\"size\" must be a positive multiple of 512 bytes");
	}
	if (err == 0)
		err = get_device(a, &d);
	if (err == 0)
		err = device_resize(d, (uint64_t)size, &a->f);
	if (err < 0) {
		fail(a);
		return;
	}
	/* Answers come from the loop, so this is not too late. */
	if (device_wait_for(d, WAIT_RESIZE, 0, a->req) < 0) {
		fault_set(&a->f, FAULT_FAILED, -ENOMEM, "out of memory; the size is changed all the same");
		fail(a);
	}
}

/* --------------------------------------------------------- set, trace */

static void cmd_set(struct args *a)
{
	struct nodes n = { 0 };
	struct device *d;
	char q[QUOTE_MAX], q2[QUOTE_MAX];
	int err;

	fault_what(&a->f, "cannot change %s/%s", quote_text(q, a->dom), quote_text(q2, a->dev));
	err = a->c->class->change
		      ? store_down(a)
		      : fault_set(&a->f, FAULT_USAGE, -EOPNOTSUPP, "a %s has nothing to set", a->c->class->name);
	if (err == 0)
		err = get_device(a, &d);
	if (err == 0 && d->phase != DEVICE_LIVE)
		err = fault_set(&a->f, FAULT_BUSY, -EBUSY, "it is %s", device_phase_name(d));
	if (err == 0)
		err = a->c->class->change(d->spec, a->o, &n, &a->f);
	if (err == 0)
		err = layout_write(d, &n, &a->f);
	nodes_free(&n);
	if (err < 0) {
		fail(a);
		return;
	}
	device_settings(d);
	ctl_ok(a->req, device_json(d));
}

#define TRACE_SNAPLEN   65535u
#define TRACE_MAX_BYTES (1ull << 30)

struct trace_file {
	struct ctl_req *req;
	int fd; /* -1: none, a trace is to end */
	char device[80], path[];
};

static void trace_free(struct trace_file *t)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

/* It is not recorded into: what was made goes, when that is what is there. */
static void trace_unmake(const struct trace_file *t)
{
	struct stat made, there;

	if (t->fd >= 0 && fstat(t->fd, &made) == 0 && lstat(t->path, &there) == 0 && made.st_dev == there.st_dev &&
	    made.st_ino == there.st_ino)
		unlink(t->path);
}

static void trace_reply(void *arg, int err, const struct wire_msg *m)
{
	struct fault f = { .code = FAULT_FAILED };
	struct trace_file *t = arg;

	if (err == 0) {
		ctl_ok(t->req, NULL);
		trace_free(t);
		return;
	}
	fault_what(&f, "cannot trace %s", t->device);
	if (err == -EBUSY) {
		fault_set(&f, FAULT_BUSY, err, "it is recorded already");
		fault_next(&f, "wait for the end of that, or end it: synthctl trace %s --stop", t->device);
	} else {
		fault_set(&f, FAULT_FAILED, err, "the worker did not take it: %s", strerror(-err));
	}
	trace_unmake(t);
	ctl_fail(t->req, &f);
	trace_free(t);
}

/* A new file: what is there is not written over, and a link is not followed. */
static int trace_make(struct args *a, const struct device *d, struct trace_file **ret)
{
	const char *path = NULL;
	struct trace_file *t;
	int err = arg_text(a->o, "file", 4096, &path, &a->f);

	if (err < 0)
		return err;
	if (path && *path != '/')
		return fault_set(&a->f, FAULT_USAGE, -EINVAL, "\"file\" must be an absolute path");
	t = calloc(1, sizeof(*t) + (path ? strlen(path) : 0) + 1);
	if (!t)
		return fault_set(&a->f, FAULT_FAILED, -ENOMEM, "out of memory");
	t->req = a->req;
	t->fd = -1;
	snprintf(t->device, sizeof(t->device), "%s", d->name);
	if (path) {
		strcpy(t->path, path);
		t->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (t->fd < 0) {
			err = -errno;
			fault_set(&a->f, err == -EEXIST ? FAULT_EXISTS : FAULT_FAILED, err, "cannot make %s: %s", path,
				  strerror(-err));
			trace_free(t);
			return err;
		}
	}
	*ret = t;
	return 0;
}

static void cmd_trace(struct args *a)
{
	struct wire_trace t = { .snaplen = TRACE_SNAPLEN };
	uint32_t mib = (uint32_t)(TRACE_MAX_BYTES >> 20);
	struct trace_file *file = NULL;
	struct device *d;
	char q[QUOTE_MAX], q2[QUOTE_MAX];
	int err;

	fault_what(&a->f, "cannot trace %s/%s", quote_text(q, a->dom), quote_text(q2, a->dev));
	err = a->c->class->traces ? get_device(a, &d)
				  : fault_set(&a->f, FAULT_USAGE, -EOPNOTSUPP, "only nics are traced");
	if (err == 0)
		err = arg_count(a->o, "snaplen", 14, TRACE_SNAPLEN, &t.snaplen, &a->f);
	if (err == 0)
		err = arg_count(a->o, "max_mib", 1, 1u << 20, &mib, &a->f);
	t.max_bytes = (uint64_t)mib << 20;
	if (err == 0)
		err = trace_make(a, d, &file);
	if (err == 0) {
		err = device_trace(d, &t, file->fd, trace_reply, file);
		if (err < 0) {
			fault_set(&a->f, FAULT_FAILED, err, "no worker has it open at the moment");
			trace_unmake(file);
			trace_free(file);
		}
	}
	if (err < 0)
		fail(a);
}

static json_object *worker_json(const struct worker *w)
{
	json_object *o = json_object_new_object();
	pid_t pid = worker_pid(w);

	json_object_object_add(o, "domid", json_object_new_int64(worker_domid(w)));
	json_object_object_add(o, "pid", pid > 0 ? json_object_new_int(pid) : NULL);
	json_object_object_add(o, "state", json_object_new_string(worker_state_name(w)));
	json_object_object_add(o, "up_s", json_object_new_int64((int64_t)(worker_up_ns(w) / 1000000000u)));
	json_object_object_add(o, "deaths", json_object_new_int64(worker_deaths(w)));
	json_object_object_add(o, "crashes", json_object_new_int64(worker_crashes(w)));
	json_object_object_add(o, "strays", json_object_new_int64(worker_strays(w)));
	json_object_object_add(o, "backoff_ms", json_object_new_int64((int64_t)worker_backoff(w)));
	return o;
}

static void cmd_status(struct args *a)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();
	const struct worker *w;
	const struct device *d;
	int64_t devices = 0;

	list_for_each (d, &a->c->devices, link)
		devices++;
	json_object_object_add(o, "version", json_object_new_string(PACKAGE_VERSION));
	json_object_object_add(o, "pid", json_object_new_int(getpid()));
	json_object_object_add(o, "devices", json_object_new_int64(devices));
	json_object_object_add(o, "workers", json_object_new_int64(workers_left(a->c)));
	for (w = worker_next(a->c, NULL); w; w = worker_next(a->c, w))
		json_object_array_add(list, worker_json(w));
	json_object_object_add(o, "worker_list", list);
	json_object_object_add(o, "uptime_s",
			       json_object_new_int64((int64_t)((now_ns() - a->c->started_ns) / 1000000000u)));
	json_object_object_add(o, "era", json_object_new_int64(a->c->era));
	json_object_object_add(o, "upgrade", upgrade_json(a->c));
	json_object_object_add(o, "xenstore", json_object_new_string(a->c->store_lost ? "lost" : "connected"));
	ctl_ok(a->req, o);
}

static void cmd_upgrade(struct args *a)
{
	const char *program = NULL;

	fault_what(&a->f, "cannot upgrade");
	if (arg_text(a->o, "program", 500, &program, &a->f) < 0) {
		fail(a);
		return;
	}
	if (program && *program != '/') {
		fault_set(&a->f, FAULT_USAGE, -EINVAL, "\"program\" must be an absolute path");
		fail(a);
		return;
	}
	upgrade_start(a->c, program, a->req);
}

static void cmd_stop(struct args *a)
{
	control_stop(a->c, a->req);
}

void cmd_run(struct ctl_req *req, json_object *o, void *arg)
{
	static const struct {
		const char *name;
		void (*run)(struct args *a);
		bool dom, dev; /* needed */
	} commands[] = {
		{ "attach", cmd_attach, true, false },    { "detach", cmd_detach, true, true },
		{ "list", cmd_list, false, false },       { "show", cmd_show, true, true },
		{ "stat", cmd_stat, false, false },       { "resize", cmd_resize, true, true },
		{ "set", cmd_set, true, true },           { "trace", cmd_trace, true, true },
		{ "status", cmd_status, false, false },   { "stop", cmd_stop, false, false },
		{ "upgrade", cmd_upgrade, false, false },
	};
	struct args a = { .c = arg, .req = req, .o = o };
	const char *cmd;
	json_object *v;
	char q[QUOTE_MAX];

	fault_what(&a.f, "cannot understand the request");
	if (!json_object_object_get_ex(o, "v", &v) || !json_object_is_type(v, json_type_int) ||
	    json_object_get_int(v) != 1) {
		fault_set(&a.f, FAULT_USAGE, -EINVAL, "\"v\" must be 1");
		fail(&a);
		return;
	}
	if (get_text(&a, "cmd", true, &cmd) < 0) {
		fail(&a);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, cmd) != 0)
			continue;
		fault_what(&a.f, "cannot %s", cmd);
		if (a.c->stopping) {
			fault_set(&a.f, FAULT_FAILED, -ESHUTDOWN, "%s is stopping", a.c->class->program);
			fail(&a);
		} else if (get_text(&a, "dom", commands[i].dom, &a.dom) < 0 ||
			   get_text(&a, "dev", commands[i].dev, &a.dev) < 0) {
			fail(&a);
		} else {
			commands[i].run(&a);
		}
		return;
	}
	fault_set(&a.f, FAULT_USAGE, -EINVAL, "there is no command \"%s\"", quote_text(q, cmd));
	fail(&a);
}

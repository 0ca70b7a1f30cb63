/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-doctor-store.c - xenstore to the devices seen there.  Reads only.
 *
 * libxenstore waits for an answer without end, and a doctor may be called because there is none.  So all of it happens on
 * a thread of its own; when it is not done in time, it and what it fills are left to themselves until the process ends.
 *
 * Nothing here is one snapshot: devices come and go meanwhile.  cmd-doctor.c therefore believes only what it sees twice.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "common/span/span.h"
#include "common/xen/store.h"
#include "toolstack/cmd-doctor.h"

struct look {
	pthread_mutex_t lock;
	pthread_cond_t done_cond;
	bool done, given_up;
	struct doctor_store *seen;
};

/* A back end directory that is not ours, and the front end it names. */
struct rival {
	char *path, *frontend;
};

struct reader {
	struct store *s;
	struct doctor_store *seen;
	struct rival *rivals;
	size_t nr_rivals;
};

/* Foreign text: what is too long or odd counts as "?" which is nobody's path. */
static void read_node(struct reader *r, const char *dir, const char *leaf, char *out, size_t bytes)
{
	struct path p;
	int err;

	out[0] = '\0';
	err = store_read_into(r->s, NULL, path_join(&p, dir, leaf), out, bytes);
	if (err < 0)
		snprintf(out, bytes, "%s", err == -ENOENT ? "" : "?");
}

struct doctor_device *store_device(struct doctor_store *s, const struct doctor_class *k, uint32_t domid, uint32_t id)
{
	struct doctor_device *d;

	for (uint32_t i = s->nr; i-- > 0;) /* the last ones are asked for most */
		if (s->devices[i].class == k && s->devices[i].domid == domid && s->devices[i].id == id)
			return &s->devices[i];
	if (s->nr == DOCTOR_MAX_DEVICES) {
		s->full = true;
		return NULL;
	}
	if (!s->devices)
		s->devices = calloc(DOCTOR_MAX_DEVICES, sizeof(*s->devices));
	if (!s->devices)
		return NULL;
	d = &s->devices[s->nr++];
	d->class = k;
	d->domid = domid;
	d->id = id;
	d->phase_s = UINT64_MAX;
	return d;
}

typedef void each_fn(struct reader *r, const char *path, const char *name, void *arg);

static void each_child(struct reader *r, const char *dir, each_fn *fn, void *arg)
{
	struct path p;
	char **names;
	uint32_t nr;

	if (store_list(r->s, NULL, dir, &names, &nr) < 0)
		return;
	for (uint32_t i = 0; i < nr; i++)
		if (strlen(dir) + strlen(names[i]) + 2 < sizeof(p.s))
			fn(r, path_join(&p, dir, names[i]), names[i], arg);
	free(names);
}

/* ------------------------------------------------------------ back end side */

struct back_scan {
	const struct doctor_class *class; /* NULL: no type of ours */
	uint32_t domid;
};

static void see_rival(struct reader *r, const char *path)
{
	struct rival *v = realloc(r->rivals, (r->nr_rivals + 1) * sizeof(*v));
	char front[STORE_PATH_MAX];

	if (!v)
		return;
	r->rivals = v;
	read_node(r, path, "frontend", front, sizeof(front));
	v[r->nr_rivals++] = (struct rival){ text("%s", path), text("%s", front) };
}

static void see_back(struct reader *r, const char *path, const char *name, void *arg)
{
	const struct back_scan *b = arg;
	struct doctor_device *d;
	char word[64];
	uint32_t id;

	if (!b->class) {
		see_rival(r, path);
		return;
	}
	if (parse_str_u32(name, UINT32_MAX, &id) < 0)
		return;
	d = store_device(r->seen, b->class, b->domid, id);
	if (!d)
		return;
	d->back = true;
	read_node(r, path, "synth/class", word, sizeof(word));
	d->ours = !strcmp(word, b->class->word);
	if (!d->ours) {
		see_rival(r, path);
		return;
	}
	read_node(r, path, "frontend", d->frontend, sizeof(d->frontend));
	read_node(r, path, "script", d->script, sizeof(d->script));
	read_node(r, path, "synth/daemon", d->instance, sizeof(d->instance));
}

static void see_back_domain(struct reader *r, const char *path, const char *name, void *arg)
{
	struct back_scan b = { .class = arg };

	if (parse_str_u32(name, UINT16_MAX, &b.domid) == 0)
		each_child(r, path, see_back, &b);
}

static void see_back_type(struct reader *r, const char *path, const char *name, void *arg)
{
	const struct doctor_class *k = NULL;

	for (unsigned i = 0; i < doctor_nr_classes; i++)
		if (!strcmp(name, doctor_classes[i].type))
			k = &doctor_classes[i];
	each_child(r, path, see_back_domain, (void *)(uintptr_t)k);
}

/* ----------------------------------------------------------- front end side */

struct front_scan {
	const struct doctor_class *class;
	uint32_t domid;
	bool user;
};

static void count_nodes(struct reader *r, const char *path, const char *name, void *arg)
{
	uint32_t *nodes = arg;

	(*nodes)++;
	if (!strncmp(name, "queue-", 6))
		each_child(r, path, count_nodes, nodes);
}

static void see_front(struct reader *r, const char *path, const char *name, void *arg)
{
	const struct front_scan *f = arg;
	struct doctor_device *d;
	struct doctor_front *end;
	uint32_t id;

	if (parse_str_u32(name, UINT32_MAX, &id) < 0)
		return;
	d = store_device(r->seen, f->class, f->domid, id);
	if (!d)
		return;
	end = f->user ? &d->user : &d->front;
	end->there = true;
	read_node(r, path, "backend", end->backend, sizeof(end->backend));
	each_child(r, path, count_nodes, &end->nodes);
}

static void see_home(struct reader *r, const char *path, const char *name, void *arg)
{
	struct doctor_store *seen = r->seen;
	struct front_scan f;
	struct path p;

	if (parse_str_u32(name, UINT16_MAX, &f.domid) < 0)
		return;
	if (f.domid != 0 && seen->nr_homes < DOCTOR_MAX_DOMAINS && store_introduced(r->s, f.domid) == 0)
		seen->homes[seen->nr_homes++] = f.domid;
	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		f.class = &doctor_classes[i];
		for (int user = 0; user < 2; user++) {
			f.user = user;
			snprintf(p.s, sizeof(p.s), "/local/domain/%u/device/%s", f.domid,
				 user ? f.class->user_type : f.class->type);
			each_child(r, p.s, see_front, &f);
		}
	}
}

static void see_mirror(struct reader *r, const char *path, const char *name, void *arg)
{
	const struct front_scan *f = arg;
	struct doctor_device *d;
	char script[STORE_PATH_MAX];
	const char *leaf;
	uint32_t id;

	if (parse_str_u32(name, UINT32_MAX, &id) < 0)
		return;
	d = store_device(r->seen, f->class, f->domid, id);
	if (!d)
		return;
	d->mirror = true;
	read_node(r, path, "backend", d->mirror_backend, sizeof(d->mirror_backend));
	read_node(r, path, "script", script, sizeof(script));
	leaf = strrchr(script, '/');
	d->mirror_ours = leaf && !strcmp(leaf + 1, f->class->script);
}

static void see_libxl(struct reader *r, const char *path, const char *name, void *arg)
{
	struct front_scan f = { 0 };
	struct path p;

	if (parse_str_u32(name, UINT16_MAX, &f.domid) < 0)
		return;
	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		f.class = &doctor_classes[i];
		snprintf(p.s, sizeof(p.s), "/libxl/%u/device/%s", f.domid, f.class->type);
		each_child(r, p.s, see_mirror, &f);
	}
}

/* --------------------------------------------------------- the rest of each */

static void see_domain(struct reader *r, struct doctor_device *d)
{
	struct path p;

	path_domain(&p, d->domid);
	/* One that is being built has a home already. */
	d->domain = d->domid == 0 || store_introduced(r->s, d->domid) == 1 || store_exists(r->s, NULL, p.s)
			    ? DOMAIN_ALIVE
			    : DOMAIN_DEAD;
}

static void finish(struct reader *r, struct doctor_device *d)
{
	struct path back, leaf;

	see_domain(r, d);
	if (!d->ours)
		return;
	path_back(&back, r->seen->back_domid, d->class->type, d->domid, d->id);
	for (size_t i = 0; i < r->nr_rivals && d->frontend[0]; i++)
		if (!strcmp(r->rivals[i].frontend, d->frontend))
			snprintf(d->rival, sizeof(d->rival), "%s", r->rivals[i].path);
	for (unsigned i = 0; !d->mirror && i < DOCTOR_MIRROR_MAX && d->class->mirror[i]; i++)
		if (store_read(r->s, NULL, path_join(&leaf, back.s, d->class->mirror[i]), &d->mirror_values[i]) < 0)
			d->mirror_values[i] = NULL;
}

static int nothing_tx(struct store *s, struct store_tx *t, void *arg)
{
	char **names;
	uint32_t nr;
	int err = store_list(s, t, "/", &names, &nr);

	if (err == 0)
		free(names);
	return err;
}

static int see_all(struct reader *r)
{
	struct doctor_store *seen = r->seen;
	struct path p;
	uint64_t from = now_ns();
	char **names;
	uint32_t nr;
	int err = store_list(r->s, NULL, "/", &names, &nr);

	if (err < 0)
		return err;
	free(names);
	seen->answer_ns = now_ns() - from;
	from = now_ns();
	err = store_transact(r->s, nothing_tx, NULL);
	if (err < 0)
		return err;
	seen->transaction_ns = now_ns() - from;
	if (store_read_u32(r->s, NULL, "domid", UINT16_MAX, &seen->back_domid) < 0)
		seen->back_domid = 0;
	snprintf(p.s, sizeof(p.s), "/local/domain/%u/backend", seen->back_domid);
	each_child(r, p.s, see_back_type, NULL);
	each_child(r, "/local/domain", see_home, NULL);
	each_child(r, "/libxl", see_libxl, NULL);
	for (uint32_t i = 0; i < seen->nr; i++)
		finish(r, &seen->devices[i]);
	return 0;
}

/* ------------------------------------------------------------------ looking */

static int open_and_see(struct doctor_store *seen)
{
	struct reader r = { .seen = seen };
	int err = store_open(&r.s);

	if (err < 0)
		return err;
	err = see_all(&r);
	for (size_t i = 0; i < r.nr_rivals; i++) {
		free(r.rivals[i].path);
		free(r.rivals[i].frontend);
	}
	free(r.rivals);
	store_close(r.s);
	return err;
}

static void look_free(struct look *l)
{
	pthread_cond_destroy(&l->done_cond);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void *look_run(void *arg)
{
	struct look *l = arg;
	bool given_up;

	l->seen->err = open_and_see(l->seen);
	pthread_mutex_lock(&l->lock);
	l->done = true;
	given_up = l->given_up;
	pthread_cond_signal(&l->done_cond);
	pthread_mutex_unlock(&l->lock);
	if (given_up) {
		store_seen_free(l->seen);
		look_free(l);
	}
	return NULL;
}

/* Why xenstore cannot be opened: the library's own answer is that of its last resort. */
static int why_not(int err)
{
	const char *path = getenv("XENSTORED_PATH");

	if (!path || !*path)
		path = "/run/xenstored/socket";
	if (access(path, R_OK | W_OK) < 0 && errno == EACCES)
		return -EACCES;
	return err;
}

static struct doctor_store *failed(int err)
{
	struct doctor_store *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->err = err;
	return s;
}

struct doctor_store *store_look(double timeout_s)
{
	struct look *l = calloc(1, sizeof(*l));
	struct doctor_store *seen;
	pthread_condattr_t attr;
	struct timespec until;
	pthread_t thread;
	bool done;

	if (!l)
		return failed(-ENOMEM);
	l->seen = failed(0);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->done_cond, &attr);
	pthread_condattr_destroy(&attr);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)timeout_s;
	until.tv_nsec += (long)((timeout_s - (double)(time_t)timeout_s) * 1e9);
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	if (pthread_create(&thread, NULL, look_run, l) != 0) {
		store_seen_free(l->seen);
		look_free(l);
		return failed(-EAGAIN);
	}
	pthread_mutex_lock(&l->lock);
	while (!l->done && pthread_cond_timedwait(&l->done_cond, &l->lock, &until) != ETIMEDOUT)
		;
	done = l->done;
	l->given_up = !done;
	seen = l->seen;
	pthread_mutex_unlock(&l->lock);
	if (!done) {
		pthread_detach(thread);
		return failed(-ETIMEDOUT);
	}
	pthread_join(thread, NULL);
	look_free(l);
	if (seen->err < 0)
		seen->err = why_not(seen->err);
	return seen;
}

void store_seen_free(struct doctor_store *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->nr; i++)
		for (unsigned k = 0; k < DOCTOR_MIRROR_MAX; k++)
			free(s->devices[i].mirror_values[k]);
	free(s->devices);
	free(s);
}

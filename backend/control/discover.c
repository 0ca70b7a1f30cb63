/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * discover.c - what is in xenstore already, and domains that come and go.
 *
 * At start each back end directory that says it is ours (synth/uuid, synth/class) becomes a device again, in the
 * state it was left in: the daemon before us has gone, and the guests noticed nothing.  Its workers serve on and are found
 * (find.c); a device whose worker has gone too gets another.  Directories of domains that are gone are removed, and
 * what workers have that is not in xenstore is closed.  So it matters that all of xenstore was read: a question that fails ends
 * the start, and us, and the next daemon asks again; workers serve on meanwhile.
 *
 * @releaseDomain tells neither which domain nor why, and fires for a shutdown too; @introduceDomain may mean a new
 * domain with an old number.  So each tells us only to look at every domain we serve again: is it alive, and still
 * the same one?  An introduced one may be the next life of a domain whose disks were kept: see kept.c.
 */
#include <errno.h>
#include <stdio.h>
#include "backend/control/record.h"
#include "common/span/span.h"

#define DISCOVER_MAX_DEVICES 65536u

int dir_read(void *arg, const char *name, char *value, size_t bytes)
{
	struct dir_reader *r = arg;
	struct path p;
	int err = store_read_into(r->store, NULL, path_join(&p, r->dir, name), value, bytes);

	if (r->err == 0 && !store_answered(err))
		r->err = err;
	return err;
}

/* Says it is ours, of this class, and has the front end directory that we would have made? */
static bool is_ours(struct control *c, const struct node_getter *g, struct device *d)
{
	char text[STORE_PATH_MAX];
	struct path front;

	if (g->get(g->arg, "synth/class", text, sizeof(text)) < 0 || strcmp(text, c->class->name) != 0)
		return false;
	if (g->get(g->arg, "synth/uuid", d->uuid, sizeof(d->uuid)) < 0)
		return false;
	if (g->get(g->arg, "frontend", text, sizeof(text)) < 0)
		return false;
	path_front(&front, d->domid, c->class->user_type, d->vdev);
	d->user_frontend = strcmp(text, front.s) == 0;
	layout_paths(d);
	return strcmp(text, d->front.s) == 0;
}

static void claim(struct device *d)
{
	struct path p;

	if (store_write(d->c->store, NULL, path_join(&p, d->back.s, "synth/daemon"), d->c->instance) < 0)
		log_debug("%s: cannot write synth/daemon", d->name);
}

/* The nodes of one that is ours: @state, @online.  0, or -errno: not all could be read. */
static int read_states(struct device *d, uint32_t *state, uint32_t *online)
{
	struct store *s = d->c->store;
	struct path p;
	int err;

	err = store_read_u32(s, NULL, path_join(&p, d->back.s, "state"), XenbusStateReconfigured, state);
	if (!store_answered(err))
		return err;
	if (err < 0)
		*state = XenbusStateUnknown;
	err = store_read_u32(s, NULL, path_join(&p, d->back.s, "online"), 1, online);
	if (!store_answered(err))
		return err;
	if (err < 0)
		*online = 0;
	return 0;
}

/* @unserved: it is there, and somebody has to see to it.  0, or -errno: it cannot be told what is there. */
static int found(struct control *c, uint32_t domid, uint32_t vdev, bool *unserved)
{
	struct device *d = device_new(c, domid, vdev, false);
	struct dir_reader r = { .store = c->store };
	struct node_getter g = { .get = dir_read, .arg = &r };
	uint32_t state = XenbusStateUnknown, online = 0;
	struct fault fault = { .code = FAULT_FAILED };
	struct found_device *f;
	char name[64];
	bool served;
	int err, alive, here;

	if (!d)
		return -ENOMEM;
	r.dir = d->back.s;
	if (!is_ours(c, &g, d)) {
		err = r.err;
		goto drop;
	}
	domain_name(c->domains, domid, name);
	device_name_it(d, name);
	alive = domain_alive(c->domains, domid, &d->domain);
	here = alive == 1 ? layout_points_here(c->store, NULL, &d->front, d) : alive;
	if (here == 0) {
		/* the number may be another domain's by now */
		log_info("%s: its domain or front end is gone: removing its nodes", d->name);
		if (c->class->gone_new && c->class->spec_load(&g, &c->opt, &d->spec, &fault) < 0) {
			err = r.err;
			if (err < 0)
				goto drop;
			log_warn("%s: what was made for it on this host stays: %s", d->name, fault.why);
		}
		device_found_gone(d);
		return 0;
	}
	err = here;
	if (here < 0)
		goto drop;
	err = c->class->spec_load(&g, &c->opt, &d->spec, &fault);
	if (r.err < 0 || err == -ENOMEM) {
		err = r.err < 0 ? r.err : err;
		goto drop;
	}
	if (err < 0) {
		log_error("%s: found, but cannot be served: %s", d->name, fault.why);
		worker_spare(c, domid, d->uuid);
		*unserved = true;
		err = 0;
		goto drop;
	}
	err = read_states(d, &state, &online);
	if (err < 0)
		goto drop;
	claim(d);
	f = worker_claim(c, domid, d->uuid);
	served = f && device_take(d, f);
	log_info("%s: found again, state %s, %s", d->name, xenbus_state_name(state),
		 served ? "with its worker" : "without a worker");
	err = device_adopt(d, state, online == 1);
	if (err == 0)
		return 0;
	log_error("%s: cannot be served: %s", d->name, strerror(-err));
	if (store_answered(err)) {
		*unserved = true;
		err = 0;
	}
drop:
	device_free(d);
	return err;
}

static int scan(struct control *c, bool *unserved)
{
	struct path type, dom;
	char **doms, **devs;
	uint32_t nr_doms, nr_devs, domid, vdev, left = DISCOVER_MAX_DEVICES;
	int err;

	snprintf(type.s, sizeof(type.s), "/local/domain/%u/backend/%s", c->back_domid, c->class->type);
	err = store_list(c->store, NULL, type.s, &doms, &nr_doms);
	if (err < 0)
		return store_answered(err) ? 0 : err; /* there is none */
	for (uint32_t i = 0; i < nr_doms && err == 0; i++) {
		if (parse_str_u32(doms[i], UINT16_MAX, &domid) < 0)
			continue;
		err = store_list(c->store, NULL, path_join(&dom, type.s, doms[i]), &devs, &nr_devs);
		if (err < 0) {
			err = store_answered(err) ? 0 : err;
			continue;
		}
		for (uint32_t k = 0; k < nr_devs && left > 0 && err == 0; k++, left--)
			if (parse_str_u32(devs[k], UINT32_MAX, &vdev) == 0)
				err = found(c, domid, vdev, unserved);
		free(devs);
	}
	free(doms);
	return err;
}

/* One question to the hypervisor a domain, however many devices it has. */
static void domains_changed(struct store *s, const char *path, void *arg)
{
	struct control *c = arg;
	struct device *d, *n;
	struct domain_id id;
	uint32_t last = UINT32_MAX;
	int alive = 1;

	list_for_each_safe (d, n, &c->devices, link) {
		device_domain_changed(d);
		if (d->domid != last) {
			last = d->domid;
			alive = domain_alive(c->domains, d->domid, &id);
			if (alive < 0)
				log_warn("cannot look at domain %u: %s", d->domid, strerror(-alive));
		}
		if (alive == 0 || (alive == 1 && !domain_same(&id, &d->domain)))
			device_domain_gone(d);
	}
}

static void domain_came(struct store *s, const char *path, void *arg)
{
	domains_changed(s, path, arg);
	kept_look(arg);
}

int discover_start(struct control *c)
{
	int err = store_watch(c->watches, "@releaseDomain", domains_changed, c, NULL);
	bool unserved = false;

	if (err == 0)
		err = store_watch(c->watches, "@introduceDomain", domain_came, c, NULL);
	if (err < 0)
		return err;
	workers_find(c);
	err = scan(c, &unserved);
	if (err < 0) {
		log_error("cannot read what is in xenstore: %s; nothing is taken for gone, workers serve on",
			  strerror(-err));
		return err;
	}
	/* What somebody sees to is served again by a later daemon, from its journal. */
	if (!workers_unclaimed(c) && !unserved)
		record_sweep(c);
	kept_look(c);
	return 0;
}

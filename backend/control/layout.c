/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * layout.c - a device's nodes in xenstore: three directories, made, changed and removed in one transaction each.
 * What is where, who owns it and who reads it: docs/xenstore-layout.md.
 *
 * A back end directory is ours while its synth/uuid is ours.  That is checked in each transaction before anything is
 * written or removed: somebody else may have removed it (then a write would make half of it again), and even put
 * another device in its place.
 */
#include <errno.h>
#include <stdio.h>
#include "backend/control/control.h"

int layout_paths(struct device *d)
{
	const struct control_class *k = d->c->class;

	path_front(&d->front, d->domid, d->user_frontend ? k->user_type : k->type, d->vdev);
	path_back(&d->back, d->c->back_domid, k->type, d->domid, d->vdev);
	/* One number, one disk: user front ends are mirrored too, so xl neither takes the number nor overlooks the disk. */
	path_libxl(&d->mirror, d->domid, k->type, d->vdev);
	return 0;
}

/* Is the back end directory there, and ours?  0, -ENOENT, or another -errno. */
static int check_ours(struct store *s, struct store_tx *t, const struct device *d)
{
	struct path p;
	char *uuid;
	int err = store_read(s, t, path_join(&p, d->back.s, "synth/uuid"), &uuid);

	if (err < 0)
		return err;
	err = strcmp(uuid, d->uuid) == 0 ? 0 : -ENOENT;
	free(uuid);
	return err;
}

/* --------------------------------------------------------------- creation */

struct create {
	struct device *d;
	struct nodes birth, live;
};

static int write_leaf(struct store *s, struct store_tx *t, const struct path *dir, const char *name, const char *value)
{
	struct path p;

	return store_write(s, t, path_join(&p, dir->s, name), value);
}

static int write_nodes(struct store *s, struct store_tx *t, const struct device *d, const struct nodes *n)
{
	int err = n->err;

	for (uint32_t i = 0; i < n->nr && err == 0; i++) {
		const struct node *v = &n->v[i];

		if (v->where & NODE_FRONT)
			err = write_leaf(s, t, &d->front, v->name, v->value);
		if (err == 0 && (v->where & NODE_BACK))
			err = write_leaf(s, t, &d->back, v->name, v->value);
		if (err == 0 && (v->where & NODE_MIRROR))
			err = write_leaf(s, t, &d->mirror, v->name, v->value);
	}
	return err;
}

static int make_dir(struct store *s, struct store_tx *t, const struct path *dir, uint32_t owner, uint32_t reader)
{
	int err = store_mkdir(s, t, dir->s);

	return err < 0 ? err : store_perms(s, t, dir->s, owner, reader);
}

/* The guest lists its devices, and may not add to them: as libxl makes it, where libxl was not there. */
static int make_parent(struct store *s, struct store_tx *t, const struct device *d)
{
	struct path dom, p;

	path_domain(&dom, d->domid);
	if (!store_exists(s, t, dom.s))
		return -ESRCH;
	path_join(&p, dom.s, "device");
	return store_exists(s, t, p.s) ? 0 : make_dir(s, t, &p, d->c->back_domid, d->domid);
}

static int write_links(struct store *s, struct store_tx *t, const struct device *d)
{
	char number[16], back_domid[16];
	struct path p;
	int err;

	snprintf(number, sizeof(number), "%u", d->domid);
	snprintf(back_domid, sizeof(back_domid), "%u", d->c->back_domid);
	const struct {
		const struct path *dir;
		const char *name, *value;
	} links[] = {
		{ &d->front, "backend", d->back.s },
		{ &d->front, "backend-id", back_domid },
		{ &d->front, "state", "1" },
		{ &d->back, "frontend", d->front.s },
		{ &d->back, "frontend-id", number },
		{ &d->back, "online", "1" },
		{ &d->mirror, "frontend", d->front.s },
		{ &d->mirror, "backend", d->back.s },
		{ &d->mirror, "frontend-id", number },
		{ &d->mirror, "online", "1" },
		{ &d->mirror, "state", "1" },
		{ &d->back, "synth/uuid", d->uuid },
		{ &d->back, "synth/daemon", d->c->instance },
		{ &d->back, "synth/class", d->c->class->name },
	};

	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		err = store_write(s, t, path_join(&p, links[i].dir->s, links[i].name), links[i].value);
		if (err < 0)
			return err;
	}
	return 0;
}

static int taken(struct store *s, struct store_tx *t, struct control *c, uint32_t domid, uint32_t vdev)
{
	const struct control_class *k = c->class;
	struct path p;

	return store_exists(s, t, path_libxl(&p, domid, k->type, vdev)) ||
	       store_exists(s, t, path_front(&p, domid, k->type, vdev)) ||
	       store_exists(s, t, path_front(&p, domid, k->user_type, vdev)) ||
	       store_exists(s, t, path_back(&p, c->back_domid, k->type, domid, vdev));
}

static int create_tx(struct store *s, struct store_tx *t, void *arg)
{
	const struct create *cr = arg;
	struct device *d = cr->d;
	int err;

	if (taken(s, t, d->c, d->domid, d->vdev))
		return -EEXIST;
	err = make_parent(s, t, d);
	if (err == 0)
		err = make_dir(s, t, &d->front, d->domid, d->c->back_domid);
	if (err == 0)
		err = make_dir(s, t, &d->back, d->c->back_domid, d->domid);
	if (err == 0)
		err = make_dir(s, t, &d->mirror, d->c->back_domid, UINT32_MAX);
	if (err == 0)
		err = write_links(s, t, d);
	if (err == 0)
		err = write_nodes(s, t, d, &cr->birth);
	if (err == 0)
		err = write_nodes(s, t, d, &cr->live);
	/* 2 from birth: the kernel's back ends claim what they see in state 1 */
	if (err == 0)
		err = write_leaf(s, t, &d->back, "state", "2");
	return err;
}

int layout_create(struct device *d, struct fault *f)
{
	struct create cr = { .d = d };
	int err;

	layout_paths(d);
	d->c->class->nodes_birth(d->spec, d->vdev, &cr.birth);
	d->c->class->nodes_live(d->spec, &cr.live);
	err = store_transact(d->c->store, create_tx, &cr);
	nodes_free(&cr.birth);
	nodes_free(&cr.live);
	switch (err) {
	case 0:
		d->published = XenbusStateInitWait;
		return 0;
	case -EEXIST:
		fault_set(f, FAULT_EXISTS, err, "domain %u has a device %s already", d->domid, d->dev_name);
		fault_next(f, "choose another name, or leave it out to get a free one");
		return err;
	case -ESRCH:
		return fault_set(f, FAULT_NOTFOUND, err, "domain %u is not in xenstore any more", d->domid);
	case -EAGAIN:
		return fault_set(f, FAULT_FAILED, err, "xenstore is too busy: the transaction did not get through");
	default:
		return fault_set(f, FAULT_FAILED, err, "cannot write to xenstore: %s", strerror(-err));
	}
}

/* Numbers in use below one directory. */
static bool listed(char **names, uint32_t nr, uint32_t vdev)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", vdev);
	for (uint32_t i = 0; i < nr; i++)
		if (strcmp(names[i], text) == 0)
			return true;
	return false;
}

int layout_free_vdev(struct control *c, uint32_t domid, uint32_t *vdev)
{
	const struct control_class *k = c->class;
	char **names[4] = { NULL };
	uint32_t nr[4] = { 0 }, v;
	struct path dirs[4];
	int err = -ENOSPC;

	path_front(&dirs[0], domid, k->type, 0);
	path_front(&dirs[1], domid, k->user_type, 0);
	path_libxl(&dirs[2], domid, k->type, 0);
	path_back(&dirs[3], c->back_domid, k->type, domid, 0);
	for (int i = 0; i < 4; i++) {
		*strrchr(dirs[i].s, '/') = '\0';
		if (store_list(c->store, NULL, dirs[i].s, &names[i], &nr[i]) < 0)
			nr[i] = 0;
	}
	for (uint32_t n = 0; err == -ENOSPC && k->dev_nth(n, &v) == 0; n++) {
		bool used = device_find(c, domid, v) != NULL;

		for (int i = 0; i < 4 && !used; i++)
			used = listed(names[i], nr[i], v);
		if (!used) {
			*vdev = v;
			err = 0;
		}
	}
	for (int i = 0; i < 4; i++)
		free(names[i]);
	return err;
}

/* ------------------------------------------------------------------ state */

struct state_change {
	struct device *d;
	struct nodes live;
	uint32_t state;
};

static int state_tx(struct store *s, struct store_tx *t, void *arg)
{
	const struct state_change *ch = arg;
	char number[16];
	int err = check_ours(s, t, ch->d);

	snprintf(number, sizeof(number), "%u", ch->state);
	if (err == 0)
		err = write_nodes(s, t, ch->d, &ch->live);
	return err < 0 ? err : write_leaf(s, t, &ch->d->back, "state", number);
}

int layout_state(struct device *d, uint32_t state)
{
	struct state_change ch = { .d = d, .state = state };
	int err;

	if (state == XenbusStateInitWait || state == XenbusStateConnected)
		d->c->class->nodes_live(d->spec, &ch.live);
	err = store_transact(d->c->store, state_tx, &ch);
	nodes_free(&ch.live);
	if (err == 0)
		d->published = state;
	if (err == 0 && (state == XenbusStateInitWait || state == XenbusStateConnected))
		d->size_due = false;
	return err;
}

struct leaves {
	struct device *d;
	const struct nodes *n;
};

static int write_tx(struct store *s, struct store_tx *t, void *arg)
{
	const struct leaves *l = arg;
	int err = check_ours(s, t, l->d);

	return err < 0 ? err : write_nodes(s, t, l->d, l->n);
}

int layout_write(struct device *d, const struct nodes *n, struct fault *f)
{
	struct leaves l = { d, n };
	int err = store_transact(d->c->store, write_tx, &l);

	return err < 0 ? fault_set(f, FAULT_FAILED, err, "cannot write to xenstore: %s", strerror(-err)) : 0;
}

struct error_change {
	struct device *d;
	const char *text;
};

static int error_tx(struct store *s, struct store_tx *t, void *arg)
{
	const struct error_change *ch = arg;
	struct path p;
	int err = check_ours(s, t, ch->d);

	if (err < 0)
		return err;
	path_join(&p, ch->d->back.s, "error");
	return *ch->text ? store_write(s, t, p.s, ch->text) : store_rm(s, t, p.s);
}

int layout_error(struct device *d, const char *text)
{
	struct error_change ch = { .d = d, .text = text };

	return store_transact(d->c->store, error_tx, &ch);
}

int layout_front_state(struct device *d, uint32_t *state)
{
	struct path p;
	int err = store_read_u32(d->c->store, NULL, path_join(&p, d->front.s, "state"), XenbusStateReconfigured, state);

	switch (err) {
	case 0:
		return 0;
	case -ENOENT:
		err = store_there(d->c->store, NULL, d->front.s);
		if (err <= 0)
			return err < 0 ? err : -ENOENT;
		*state = XenbusStateUnknown;
		return 0;
	case -EINVAL:
	case -ERANGE:
	case -EMSGSIZE:
		*state = XenbusStateUnknown; /* what a guest writes is no error of ours */
		return 0;
	default:
		return err;
	}
}

/* ---------------------------------------------------------------- removal */

struct removal {
	struct device *d;
	bool domain_dead;
};

/* Remove @path's parent, and so on upwards, while they are empty, @levels of them. */
static int prune(struct store *s, struct store_tx *t, const char *path, unsigned levels)
{
	struct path p;
	char **names, *slash;
	uint32_t nr;
	int err;

	memcpy(p.s, path, sizeof(p.s));
	while (levels--) {
		slash = strrchr(p.s, '/');
		if (!slash || slash == p.s)
			return 0;
		*slash = '\0';
		err = store_list(s, t, p.s, &names, &nr);
		if (err < 0)
			return err == -ENOENT ? 0 : err;
		free(names);
		if (nr > 0)
			return 0;
		err = store_rm(s, t, p.s);
		if (err < 0)
			return err;
	}
	return 0;
}

/* A directory that says it belongs to our back end directory. */
int layout_points_here(struct store *s, struct store_tx *t, const struct path *dir, const struct device *d)
{
	struct path p;
	char *v;
	int r = store_read(s, t, path_join(&p, dir->s, "backend"), &v);

	if (r < 0)
		return store_answered(r) ? 0 : r;
	r = strcmp(v, d->back.s) == 0;
	free(v);
	return r;
}

static int remove_ours(struct store *s, struct store_tx *t, const struct path *dir, const struct device *d)
{
	int r = layout_points_here(s, t, dir, d);

	return r > 0 ? store_rm(s, t, dir->s) : r;
}

static int remove_tx(struct store *s, struct store_tx *t, void *arg)
{
	const struct removal *r = arg;
	const struct device *d = r->d;
	int err = check_ours(s, t, d);

	if (err == -ENOENT && store_exists(s, t, d->back.s))
		return 0; /* another's by now: so are the others */
	if (err < 0 && err != -ENOENT)
		return err;
	err = store_rm(s, t, d->back.s);
	if (err == 0)
		err = remove_ours(s, t, &d->front, d);
	if (err == 0)
		err = remove_ours(s, t, &d->mirror, d);
	/* As libxl prunes: backend/TYPE/N; device/TYPE; /libxl/N/device/TYPE, and up to /libxl/N for a dead domain. */
	if (err == 0)
		err = prune(s, t, d->back.s, 1);
	if (err == 0)
		err = prune(s, t, d->front.s, 1);
	if (err == 0)
		err = prune(s, t, d->mirror.s, r->domain_dead ? 3 : 1);
	return err;
}

int layout_remove(struct device *d, bool domain_dead)
{
	struct removal r = { .d = d, .domain_dead = domain_dead };
	int err = store_transact(d->c->store, remove_tx, &r);

	if (err < 0)
		log_error("%s: cannot remove its nodes from xenstore: %s; remove %s by hand", d->name, strerror(-err),
			  d->back.s);
	return err;
}

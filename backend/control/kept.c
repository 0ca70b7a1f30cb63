/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kept.c - devices of domains that go and come back: saved and restored, or rebooting.
 *
 * A domain's next life has another number, the same UUID, and from xl none of our devices: its toolstack knows only those
 * that it made itself.  So when a device goes together with a domain that was suspended or reboots, what was asked for is
 * kept in xenstore, /synth/kept/UUID/TYPE/ID, as the same leaves a back end directory has.  When a domain of that UUID
 * is introduced, its devices are attached again.
 *
 * A restored guest's front ends look for their back ends in the first moments and give up on one that is not there.  So
 * the domain is paused (held) meanwhile; xl unpauses it much later than it introduces it, and the hypervisor counts.
 * A domain whose disk cannot be attached again stays paused when it was suspended: it has the disk mounted, and as
 * long as it does not run nothing is lost.  One that boots is let go.
 *
 * That we hold it is written down beside what is kept, in `held`, as long as we do: a daemon after us goes on with our pause,
 * and does not add its own, of which ours would be left.
 *
 * What a detach removes is not kept, nor what goes with a domain that was powered off, crashed or was destroyed.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include "backend/control/control.h"
#include "common/span/span.h"

#define KEPT          "/synth/kept"
#define HELD          "held" /* /synth/kept/UUID/TYPE/held: the domain that we have paused */
#define REBOOT_MAX_S  600    /* a reboot that has not led to a new domain by then did not mean to */
#define UUID_TEXT_MAX 37u

struct hold {
	struct list link; /* control.holds */
	uint32_t domid, waiting;
	bool paused, stay;
	struct path dir; /* .../UUID/TYPE */
};

/* /synth/kept/UUID/TYPE; false when the domain has no UUID that we know. */
static bool kept_dir(struct path *p, const struct device *d)
{
	const char *uuid = d->domain.vm;

	if (strncmp(uuid, "/vm/", 4) != 0 || strlen(uuid + 4) != UUID_TEXT_MAX - 1 || strchr(uuid + 4, '/'))
		return false;
	snprintf(p->s, sizeof(p->s), KEPT "/%s/%s", uuid + 4, d->c->class->type);
	return true;
}

/* ------------------------------------------------------------------ saving */

struct saving {
	struct device *d;
	struct nodes birth;
	struct path dir;
};

static int save_tx(struct store *s, struct store_tx *t, void *arg)
{
	const struct saving *sv = arg;
	const struct device *d = sv->d;
	struct path p;
	int err = sv->birth.err;

	/* Nobody else's business; what is made below it inherits that. */
	if (err == 0 && !store_exists(s, t, "/synth")) {
		err = store_mkdir(s, t, "/synth");
		if (err == 0)
			err = store_perms(s, t, "/synth", d->c->back_domid, UINT32_MAX);
	}
	if (err == 0)
		err = store_rm(s, t, sv->dir.s);
	for (uint32_t i = 0; i < sv->birth.nr && err == 0; i++)
		if (sv->birth.v[i].where & NODE_BACK)
			err = store_write(s, t, path_join(&p, sv->dir.s, sv->birth.v[i].name), sv->birth.v[i].value);
	if (err == 0)
		err = store_write(s, t, path_join(&p, sv->dir.s, "synth/class"), d->c->class->name);
	if (err == 0)
		err = store_write(s, t, path_join(&p, sv->dir.s, "synth/user-frontend"), d->user_frontend ? "1" : "0");
	if (err == 0)
		err = store_write(s, t, path_join(&p, sv->dir.s, "synth/ending"),
				  d->ending == DOMAIN_REBOOTS ? "reboot" : "suspend");
	if (err == 0)
		err = store_writef(s, t, path_join(&p, sv->dir.s, "synth/since"), "%lld", (long long)time(NULL));
	return err;
}

void kept_save(struct device *d)
{
	struct saving sv = { .d = d };
	struct path dir;
	int err;

	if (!kept_dir(&dir, d))
		return;
	snprintf(sv.dir.s, sizeof(sv.dir.s), "%.200s/%u", dir.s, d->vdev);
	d->c->class->nodes_birth(d->spec, d->vdev, &sv.birth);
	err = store_transact(d->c->store, save_tx, &sv);
	nodes_free(&sv.birth);
	if (err < 0)
		log_error("%s: cannot be kept for the domain's next life: %s", d->name, strerror(-err));
	else
		log_info("%s: kept for the domain's next life, since it %s", d->name,
			 d->ending == DOMAIN_REBOOTS ? "reboots" : "was suspended");
}

/* -------------------------------------------------------------- forgetting */

struct forgetting {
	struct path leaf; /* .../UUID/TYPE/ID, or held */
	bool held;        /* too, when nothing else is left */
};

static bool empty(char **names, uint32_t nr, bool held_too)
{
	return nr == 0 || (held_too && nr == 1 && strcmp(names[0], HELD) == 0);
}

/* The record, and what is empty above it, up to and with /synth. */
static int forget_tx(struct store *s, struct store_tx *t, void *arg)
{
	const struct forgetting *fg = arg;
	bool held = fg->held, last;
	struct path p = fg->leaf;
	char **names;
	uint32_t nr;
	int err = store_rm(s, t, p.s);

	while (err == 0 && strrchr(p.s, '/') != p.s) {
		*strrchr(p.s, '/') = '\0';
		if (store_list(s, t, p.s, &names, &nr) < 0)
			break;
		last = empty(names, nr, held);
		held = false;
		free(names);
		if (!last)
			break;
		err = store_rm(s, t, p.s);
	}
	return err;
}

static void forget_leaf(struct control *c, struct forgetting *fg)
{
	int err;

	if (!store_exists(c->store, NULL, fg->leaf.s))
		return;
	err = store_transact(c->store, forget_tx, fg);
	if (err < 0)
		log_error("cannot remove %s: %s", fg->leaf.s, strerror(-err));
}

static void forget(struct control *c, const struct path *dir, uint32_t vdev, bool held)
{
	struct forgetting fg = { .held = held };

	snprintf(fg.leaf.s, sizeof(fg.leaf.s), "%.200s/%u", dir->s, vdev);
	forget_leaf(c, &fg);
}

static struct hold *hold_find(struct control *c, uint32_t domid);

void kept_forget(struct device *d)
{
	struct path dir;

	/* One that stayed paused was attached by hand: it is unpaused by hand. */
	if (kept_dir(&dir, d))
		forget(d->c, &dir, d->vdev, !hold_find(d->c, d->domid));
}

/* ----------------------------------------------------------------- holding */

static struct hold *hold_find(struct control *c, uint32_t domid)
{
	struct hold *h;

	list_for_each (h, &c->holds, link)
		if (h->domid == domid)
			return h;
	return NULL;
}

static void held_no_more(struct control *c, const struct hold *h)
{
	struct forgetting fg = { .held = false };

	path_join(&fg.leaf, h->dir.s, HELD);
	forget_leaf(c, &fg);
}

/* A daemon before us held it, or we did, until something could not be attached; and nobody has unpaused it since. */
static bool held_already(struct control *c, const struct hold *h)
{
	struct path p;
	uint32_t domid;

	return store_read_u32(c->store, NULL, path_join(&p, h->dir.s, HELD), UINT16_MAX, &domid) == 0 &&
	       domid == h->domid && domain_paused(c->domains, domid);
}

static int hold(struct control *c, const struct hold *h)
{
	struct path p;
	/* First: a pause of which nobody knows is worse than one that was not made. */
	int err = store_writef(c->store, NULL, path_join(&p, h->dir.s, HELD), "%u", h->domid);

	if (err == 0)
		err = domain_pause(c->domains, h->domid);
	if (err < 0)
		held_no_more(c, h);
	return err;
}

static struct hold *hold_new(struct control *c, const struct path *dir, uint32_t domid)
{
	struct hold *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return NULL;
	h->domid = domid;
	h->dir = *dir;
	h->waiting = 1; /* who makes it */
	err = held_already(c, h) ? 0 : hold(c, h);
	h->paused = err == 0;
	if (err < 0)
		log_warn("cannot pause domain %u until its devices are there: %s", domid, strerror(-err));
	list_add_tail(&c->holds, &h->link);
	return h;
}

static void hold_put(struct control *c, struct hold *h)
{
	int err = 0;

	if (--h->waiting > 0)
		return;
	if (h->paused && !h->stay) {
		err = domain_unpause(c->domains, h->domid);
		held_no_more(c, h);
	}
	if (err < 0)
		log_error("cannot unpause domain %u: %s; see `xl unpause`", h->domid, strerror(-err));
	list_del(&h->link);
	free(h);
}

void kept_free(struct control *c)
{
	while (!list_empty(&c->holds)) {
		struct hold *h = list_entry(c->holds.next, struct hold, link);

		h->waiting = 1;
		hold_put(c, h);
	}
}

/* --------------------------------------------------------- attaching again */

/* What is kept cannot be had again. */
static void lost(struct hold *h, const char *what, enum domain_end ending, const char *why)
{
	bool stay = h->paused && ending == DOMAIN_SUSPENDED;

	log_error("%s: cannot be attached again: %s%s", what, why,
		  stay ? "; its domain stays paused: attach it, then `xl unpause`" : "");
	h->stay = h->stay || stay;
}

static enum domain_end read_ending(const struct node_getter *g)
{
	char text[16], since[32];
	uint64_t at;

	if (g->get(g->arg, "synth/ending", text, sizeof(text)) < 0 || strcmp(text, "reboot") != 0)
		return DOMAIN_SUSPENDED;
	if (g->get(g->arg, "synth/since", since, sizeof(since)) < 0 || parse_str_u64(since, INT64_MAX, &at) < 0 ||
	    (int64_t)time(NULL) - (int64_t)at > REBOOT_MAX_S)
		return DOMAIN_ENDED;
	return DOMAIN_REBOOTS;
}

static void attach_again(struct control *c, struct hold *h, const struct path *dir, uint32_t vdev, const char *name)
{
	struct attach at = { .domid = h->domid, .domain_name = name, .vdev_given = true, .vdev = vdev };
	struct path leaf;
	struct dir_reader r = { .store = c->store, .dir = leaf.s };
	struct node_getter g = { .get = dir_read, .arg = &r };
	struct fault f = { .code = FAULT_FAILED };
	char text[16], what[80], dev[VDEV_NAME_MAX];
	void *spec = NULL;
	int err;

	snprintf(leaf.s, sizeof(leaf.s), "%.200s/%u", dir->s, vdev);
	c->class->dev_name(vdev, dev);
	snprintf(what, sizeof(what), "%.60s/%s", name, dev);
	at.kept = read_ending(&g);
	if (at.kept == DOMAIN_ENDED) {
		forget(c, dir, vdev, false);
		return;
	}
	at.user_frontend = g.get(g.arg, "synth/user-frontend", text, sizeof(text)) == 0 && strcmp(text, "1") == 0;
	h->waiting++;
	err = c->class->spec_load(&g, &c->opt, &spec, &f);
	if (err == 0)
		err = device_attach(c, &at, spec, &f);
	if (err == 0)
		return;
	if (spec)
		c->class->spec_free(spec);
	lost(h, what, at.kept, f.why);
	hold_put(c, h);
}

void kept_done(struct device *d, const struct fault *f)
{
	struct hold *h = hold_find(d->c, d->domid);
	enum domain_end ending = d->kept;

	d->kept = DOMAIN_RUNS;
	if (ending == DOMAIN_RUNS || !h)
		return;
	if (f)
		lost(h, d->name, ending, f->why);
	hold_put(d->c, h);
}

static void domain_back(struct control *c, const char *uuid, uint32_t domid, const char *name)
{
	struct domain_id id;
	enum domain_end end;
	struct path dir;
	struct hold *h;
	char **devs;
	uint32_t nr, vdev;

	/* Its old life, on its way out, or seen already. */
	if (domain_alive(c->domains, domid, &id) != 1 || domain_end(c->domains, domid, &id, &end) < 0 ||
	    end != DOMAIN_RUNS || hold_find(c, domid))
		return;
	snprintf(dir.s, sizeof(dir.s), KEPT "/%.40s/%s", uuid, c->class->type);
	if (store_list(c->store, NULL, dir.s, &devs, &nr) < 0)
		return; /* another class's */
	h = hold_new(c, &dir, domid);
	for (uint32_t i = 0; h && i < nr; i++)
		if (parse_str_u32(devs[i], UINT32_MAX, &vdev) == 0)
			attach_again(c, h, &dir, vdev, name);
	if (h)
		hold_put(c, h);
	free(devs);
}

void kept_look(struct control *c)
{
	char **uuids, name[64];
	uint32_t nr, domid;

	if (store_list(c->store, NULL, KEPT, &uuids, &nr) < 0)
		return; /* nothing is kept, as nearly always */
	for (uint32_t i = 0; i < nr; i++)
		if (strlen(uuids[i]) == UUID_TEXT_MAX - 1 && domain_find(c->domains, uuids[i], &domid, name) == 1)
			domain_back(c, uuids[i], domid, name);
	free(uuids);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grant.c - libxengnttab: mapping, batched copy, and the cache of persistent grants.
 *
 * The cache is an open-addressed hash of gref -> entry (linear probing, at most half full) over a fixed array of
 * entries, with two lists: idle entries in order of last use (head is oldest) and none for those in use.  No
 * allocation after grant_cache_new().
 */
#include <errno.h>
#include <sys/mman.h>
#include <xenctrl.h>
#include <xengnttab.h>
#include "common/base/list.h"
#include "common/xen/grant.h"

struct grant {
	xengnttab_handle *h;
	uint32_t limit, mapped; /* atomic: pages */
	uint64_t refused;       /* atomic */
};

int grant_open(struct grant **ret)
{
	struct grant *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->h = xengnttab_open(NULL, 0);
	if (!g->h) {
		int r = -errno;

		free(g);
		return r;
	}
	g->limit = GRANT_LIMIT_DEFAULT;
	*ret = g;
	return 0;
}

void grant_close(struct grant *g)
{
	if (!g)
		return;
	xengnttab_close(g->h);
	free(g);
}

void grant_limit(struct grant *g, uint32_t pages)
{
	__atomic_store_n(&g->limit, pages, __ATOMIC_RELAXED);
}

void grant_used(const struct grant *g, struct grant_use *u)
{
	u->mapped = __atomic_load_n(&g->mapped, __ATOMIC_RELAXED);
	u->limit = __atomic_load_n(&g->limit, __ATOMIC_RELAXED);
	u->refused = __atomic_load_n(&g->refused, __ATOMIC_RELAXED);
}

/* Of the limit, what persistent grants may take. */
static uint32_t cache_limit(const struct grant *g)
{
	uint32_t limit = __atomic_load_n(&g->limit, __ATOMIC_RELAXED);

	return limit - limit / 4;
}

static void refuse(struct grant *g)
{
	__atomic_add_fetch(&g->refused, 1, __ATOMIC_RELAXED);
}

static void give_back(struct grant *g, uint32_t nr)
{
	__atomic_sub_fetch(&g->mapped, nr, __ATOMIC_RELAXED);
}

static bool take(struct grant *g, uint32_t nr, uint32_t limit)
{
	if (__atomic_add_fetch(&g->mapped, nr, __ATOMIC_RELAXED) <= limit)
		return true;
	give_back(g, nr);
	refuse(g);
	return false;
}

static int map(struct grant *g, uint32_t domid, const uint32_t *refs, uint32_t nr, bool writable, void **ret)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *p;

	if (nr == 1) {
		p = xengnttab_map_grant_ref(g->h, domid, refs[0], prot);
	} else {
		uint32_t copy[GRANT_MAP_MAX];

		memcpy(copy, refs, nr * sizeof(*refs)); /* the library wants them writable */
		p = xengnttab_map_domain_grant_refs(g->h, nr, domid, copy, prot);
	}
	if (!p)
		return errno ? -errno : -EINVAL;
	*ret = p;
	return 0;
}

static int map_within(struct grant *g, uint32_t domid, const uint32_t *refs, uint32_t nr, bool writable, uint32_t limit,
		      void **ret)
{
	int r;

	if (nr == 0 || nr > GRANT_MAP_MAX)
		return -EINVAL;
	if (!take(g, nr, limit))
		return -ENOSPC;
	r = map(g, domid, refs, nr, writable, ret);
	if (r)
		give_back(g, nr);
	return r;
}

int grant_map(struct grant *g, uint32_t domid, const uint32_t *refs, uint32_t nr, bool writable, void **ret)
{
	return map_within(g, domid, refs, nr, writable, __atomic_load_n(&g->limit, __ATOMIC_RELAXED), ret);
}

int grant_unmap(struct grant *g, void *addr, uint32_t nr)
{
	if (xengnttab_unmap(g->h, addr, nr) < 0)
		return -errno;
	give_back(g, nr);
	return 0;
}

static int status_errno(int16_t status)
{
	switch (status) {
	case GNTST_okay:
		return 0;
	case GNTST_bad_domain:
		return -ESRCH;
	case GNTST_bad_gntref:
	case GNTST_bad_handle:
		return -ENOENT;
	case GNTST_permission_denied:
		return -EPERM;
	case GNTST_bad_copy_arg:
		return -EINVAL;
	case GNTST_no_device_space:
	case GNTST_eagain:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

/* Longest batch given to the library at once; the kernel splits it again (16 a hypercall). */
#define COPY_BATCH 128u

/* One library call for @nr segments, already bounds-checked. */
static void copy_batch(struct grant *g, uint32_t domid, struct grant_seg *const *segs, uint32_t nr)
{
	xengnttab_grant_copy_segment_t op[COPY_BATCH];
	int r;

	for (uint32_t i = 0; i < nr; i++) {
		const struct grant_seg *s = segs[i];

		memset(&op[i], 0, sizeof(op[i]));
		op[i].len = s->bytes;
		op[i].status = GNTST_general_error; /* an element the kernel never looked at has failed (XSA-361) */
		if (s->to_guest) {
			op[i].source.virt = s->local;
			op[i].dest.foreign.ref = s->ref;
			op[i].dest.foreign.offset = s->offset;
			op[i].dest.foreign.domid = (domid_t)domid;
			op[i].flags = GNTCOPY_dest_gref;
		} else {
			op[i].source.foreign.ref = s->ref;
			op[i].source.foreign.offset = s->offset;
			op[i].source.foreign.domid = (domid_t)domid;
			op[i].dest.virt = s->local;
			op[i].flags = GNTCOPY_source_gref;
		}
	}
	r = xengnttab_grant_copy(g->h, nr, op);
	for (uint32_t i = 0; i < nr; i++)
		segs[i]->status = (int16_t)(r < 0 ? -(errno ? errno : EIO) : status_errno(op[i].status));
}

int grant_copy(struct grant *g, uint32_t domid, struct grant_seg *segs, uint32_t nr)
{
	struct grant_seg *batch[COPY_BATCH];
	uint32_t n = 0;
	int first = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct grant_seg *s = &segs[i];

		/* One element out of bounds makes the kernel refuse the whole batch: keep it out. */
		if (s->bytes == 0 || s->bytes > PAGE_BYTES || s->offset > PAGE_BYTES - s->bytes) {
			s->status = -EINVAL;
			continue;
		}
		batch[n++] = s;
		if (n == COPY_BATCH) {
			copy_batch(g, domid, batch, n);
			n = 0;
		}
	}
	if (n)
		copy_batch(g, domid, batch, n);
	for (uint32_t i = 0; i < nr && first == 0; i++)
		first = segs[i].status;
	return first;
}

/* ------------------------------------------------------------------ persistent grants */

struct entry {
	struct list lru; /* on cache.idle when not in use and mapped; on cache.unused when not mapped */
	void *page;
	uint64_t used_at; /* ns; set by trim's caller's clock when it was last found idle */
	uint32_t ref;
	bool busy, fresh; /* fresh: used since the last trim */
};

struct grant_cache {
	struct grant *grant;
	uint32_t domid, limit, mapped;
	uint32_t mask;   /* of table */
	uint32_t *table; /* entry index + 1, 0 empty */
	struct entry *entries;
	struct list idle, unused;
};

static uint32_t hash(uint32_t ref)
{
	return ref * 2654435761u >> 7;
}

int grant_cache_new(struct grant *g, uint32_t domid, uint32_t limit, struct grant_cache **ret)
{
	struct grant_cache *c;
	uint32_t size = 4;

	if (limit == 0 || limit > (1u << 20))
		return -EINVAL;
	while (size < limit * 2)
		size *= 2;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct grant_cache){ .grant = g, .domid = domid, .limit = limit, .mask = size - 1 };
	c->table = calloc(size, sizeof(*c->table));
	c->entries = calloc(limit, sizeof(*c->entries));
	if (!c->table || !c->entries) {
		free(c->table);
		free(c->entries);
		free(c);
		return -ENOMEM;
	}
	list_init(&c->idle);
	list_init(&c->unused);
	for (uint32_t i = 0; i < limit; i++)
		list_add_tail(&c->unused, &c->entries[i].lru);
	*ret = c;
	return 0;
}

static uint32_t index_of(const struct grant_cache *c, const struct entry *e)
{
	return (uint32_t)(e - c->entries);
}

/* The table slot of @ref, or the empty one where it would go. */
static uint32_t find(const struct grant_cache *c, uint32_t ref)
{
	uint32_t i = hash(ref) & c->mask;

	while (c->table[i] && c->entries[c->table[i] - 1].ref != ref)
		i = (i + 1) & c->mask;
	return i;
}

/* Delete slot @i, moving later entries of the probe run back so that none becomes unreachable. */
static void table_delete(struct grant_cache *c, uint32_t i)
{
	uint32_t j = i;

	for (;;) {
		uint32_t home;

		c->table[i] = 0;
		do {
			j = (j + 1) & c->mask;
			if (!c->table[j])
				return;
			home = hash(c->entries[c->table[j] - 1].ref) & c->mask;
			/* stays when its home lies cyclically in (i, j] */
		} while (i <= j ? (i < home && home <= j) : (i < home || home <= j));
		c->table[i] = c->table[j];
		i = j;
	}
}

static void drop(struct grant_cache *c, struct entry *e)
{
	table_delete(c, find(c, e->ref));
	list_del(&e->lru);
	grant_unmap(c->grant, e->page, 1);
	e->page = NULL;
	e->busy = false;
	c->mapped--;
	list_add(&c->unused, &e->lru);
}

void grant_cache_free(struct grant_cache *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->limit; i++)
		if (c->entries[i].page)
			grant_unmap(c->grant, c->entries[i].page, 1);
	free(c->table);
	free(c->entries);
	free(c);
}

int grant_cache_get(struct grant_cache *c, uint32_t ref, void **ret)
{
	uint32_t slot = find(c, ref);
	struct entry *e;
	int r;

	if (likely(c->table[slot])) {
		e = &c->entries[c->table[slot] - 1];
		if (e->busy)
			return -EBUSY;
		list_del(&e->lru);
		e->busy = e->fresh = true;
		*ret = e->page;
		return 0;
	}
	if (grant_cache_full(c)) {
		e = list_entry(c->idle.next, struct entry, lru);
		if (list_empty(&c->idle) || e->fresh) {
			if (!list_empty(&c->unused))
				refuse(c->grant);
			return -ENOSPC;
		}
		drop(c, e);
		slot = find(c, ref); /* the table moved */
	}
	e = list_entry(c->unused.next, struct entry, lru);
	r = map_within(c->grant, c->domid, &ref, 1, true, cache_limit(c->grant), &e->page);
	if (r)
		return r;
	list_del(&e->lru);
	e->ref = ref;
	e->busy = e->fresh = true;
	c->table[slot] = index_of(c, e) + 1;
	c->mapped++;
	*ret = e->page;
	return 0;
}

void grant_cache_put(struct grant_cache *c, uint32_t ref)
{
	uint32_t slot = find(c, ref);
	struct entry *e;

	if (!c->table[slot])
		return;
	e = &c->entries[c->table[slot] - 1];
	if (!e->busy)
		return;
	e->busy = false;
	list_add_tail(&c->idle, &e->lru);
}

uint32_t grant_cache_trim(struct grant_cache *c, uint64_t now, uint64_t idle_ns)
{
	struct entry *e, *n;
	uint32_t dropped = 0;

	/* Use is stamped here, not on the data path: an entry's age counts from the first trim after its last use. */
	list_for_each_safe (e, n, &c->idle, lru) {
		if (e->fresh) {
			e->fresh = false;
			e->used_at = now;
		} else if (now - e->used_at >= idle_ns) {
			drop(c, e);
			dropped++;
		}
	}
	while (!list_empty(&c->idle) && __atomic_load_n(&c->grant->mapped, __ATOMIC_RELAXED) > cache_limit(c->grant)) {
		drop(c, list_entry(c->idle.next, struct entry, lru));
		dropped++;
	}
	return dropped;
}

bool grant_cache_full(const struct grant_cache *c)
{
	return list_empty(&c->unused) || __atomic_load_n(&c->grant->mapped, __ATOMIC_RELAXED) >= cache_limit(c->grant);
}

uint32_t grant_cache_mapped(const struct grant_cache *c)
{
	return c->mapped;
}

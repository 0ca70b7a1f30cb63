/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gnttab.c: the consumer half of libxengnttab: map, unmap, grant copy.
 *
 * Theory. A region is mapped here as a whole, once writable and once read-only, so that mapping a grant costs a pin on
 * the entry and an addition; the address given is inside that mapping. Several grants in one call need addresses in a row:
 * if they are neighbours in the region they have them already, else real mappings are made. With HOSTXEN_STRICT set every
 * mapping is a real one, so that a use after unmap faults.
 * The handle's maptrack file tells the broker what to unpin when the process dies; its descriptor is the reading end of a
 * pipe whose closing the broker notices ("life line").
 * Lock: each handle has one for its records of mappings. Grant copy takes none: see the hazard slots in world.h.
 */
#include "hostxen/lib/lib.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xengnttab.h>

#define NONE UINT32_MAX

/* One call of map: @count grants seen at @addr. Kept in a hash table by address; the same page may be there twice. */
struct mapping {
	struct mapping *next;
	uint8_t *addr;
	uint32_t count;
	uint32_t first;  /* maptrack entries, chained by handle->next_track */
	uint32_t notify; /* the broker's id of the unmap notification, 0 none */
	bool own_pages;  /* munmap at the end */
};

#define BUCKETS 4096U

/* gnttab and gntshr handles are one C type for callers; they are never exchanged. */
struct xengntdev_handle {
	int fd;
	pid_t owner; /* a forked child may close the handle; the mappings stay the parent's */
	uint32_t hid;
	bool restricted; /* xentoolcore_restrict_all() took the driver away */
	struct hx_maptrack *track;
	pthread_mutex_t lock;
	uint32_t free_track; /* list of free maptrack entries below used */
	uint32_t used;
	uint32_t *next_track;
	struct mapping *spare;
	struct mapping *bucket[BUCKETS];
	struct xengntdev_handle *next;
};

static xengnttab_handle *handles; /* under hx_slow */

static int fail(int err)
{
	errno = err < 0 ? -err : err;
	return -1;
}

/* --- open, close ------------------------------------------------------------ */

EXPORT xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	struct hx_rsp rsp;
	int fds[2];
	xengnttab_handle *h;
	int err = hx_connect();
	if (!err)
		err = hx_call(&(struct hx_req){ .op = HX_GNTTAB_OPEN }, -1, &rsp, fds, 2);
	if (err) {
		fail(err);
		return NULL;
	}
	h = calloc(1, sizeof(*h));
	void *t = mmap(NULL, sizeof(*h->track), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fds[1], 0);
	close(fds[1]);
	if (h)
		h->next_track = calloc(HX_MAPTRACK, sizeof(*h->next_track));
	if (!h || t == MAP_FAILED || !h->next_track) {
		if (t != MAP_FAILED)
			munmap(t, sizeof(*h->track));
		close(fds[0]);
		free(h);
		fail(ENOMEM);
		return NULL;
	}
	h->fd = fds[0];
	h->owner = getpid();
	h->hid = rsp.value[0];
	h->track = t;
	h->free_track = NONE;
	pthread_mutex_init(&h->lock, NULL);
	pthread_mutex_lock(&hx_slow);
	h->next = handles;
	handles = h;
	pthread_mutex_unlock(&hx_slow);
	return h;
}

void hx_gnttab_restrict_all(void)
{
	pthread_mutex_lock(&hx_slow);
	for (xengnttab_handle *h = handles; h; h = h->next)
		h->restricted = true;
	pthread_mutex_unlock(&hx_slow);
}

/* --- pins --------------------------------------------------------------------- */

static uint32_t track_get(xengnttab_handle *h)
{
	uint32_t t = h->free_track;
	if (t != NONE) {
		h->free_track = h->next_track[t];
		return t;
	}
	if (h->used == HX_MAPTRACK - 1)
		return NONE;
	t = h->used++;
	atomic_store(&h->track->used, h->used);
	return t;
}

static void track_put(xengnttab_handle *h, uint32_t t)
{
	atomic_store_explicit(&h->track->ent[t], 0, memory_order_release);
	h->next_track[t] = h->free_track;
	h->free_track = t;
}

/*
 * Pins a grant in entry @t of the maptrack. The intent is written down before the pin and made "held" after it: killed
 * between the two, the process may leak the pin (a window of a few instructions), but the broker never undoes one that
 * was not taken.
 */
static struct hx_grant *pin(xengnttab_handle *h, uint32_t t, uint32_t domid, uint32_t gref, bool writable)
{
	struct hx_dom *d = hx_dom_get(domid);
	if (!d || gref >= HX_GREFS)
		return NULL;
	struct hx_grant *g = &d->grant[gref];
	uint64_t w = atomic_load(&g->word);
	do {
		if (!(w & HX_GRANT_ACTIVE) || (w >> 16 & 0xffff) != hx_self.domid || (writable && (w & HX_GRANT_RO)))
			return NULL;
		atomic_store_explicit(&h->track->ent[t], HX_TRACK_PENDING | hx_track(d->domid, gref, d->gen),
				      memory_order_relaxed);
	} while (!atomic_compare_exchange_weak(&g->word, &w, w + HX_GRANT_PIN));
	atomic_store_explicit(&h->track->ent[t], HX_TRACK_HELD | hx_track(d->domid, gref, d->gen),
			      memory_order_release);
	return g;
}

/* A domain with pinned grants stays known (dying) until the last pin has gone, so its memory is found by its number. */
static void unpin(xengnttab_handle *h, uint32_t t)
{
	uint64_t e = atomic_load(&h->track->ent[t]);
	uint32_t domid = (uint32_t)(e >> 47 & 0x7fff), gref = (uint32_t)(e >> 32 & 0x7fff);
	struct hx_dom *d = hx_dom_get(domid);
	/* If our own domain is being destroyed the broker does the same: whoever takes "held" away does the unpinning. */
	if (d && d->gen == (uint32_t)e && (atomic_exchange(&h->track->ent[t], HX_TRACK_PENDING) & HX_TRACK_HELD) &&
	    hx_grant_unpin(&d->grant[gref]) && atomic_load(&d->dying))
		hx_handle_closed(0); /* the last mapping of a dying domain may be what it waits for */
	track_put(h, t);
}

/* --- map ------------------------------------------------------------------------- */

static unsigned bucket_of(const void *addr)
{
	return (unsigned)(((uintptr_t)addr >> 12) * 2654435761U >> 7) % BUCKETS;
}

/* What a set of grants looks like before it gets an address. */
struct plan {
	uint32_t first, last;     /* maptrack chain */
	struct hx_region *region; /* of the first */
	uint32_t page;            /* of the first */
	bool row;                 /* all neighbours in one region */
};

static void unpin_chain(xengnttab_handle *h, uint32_t first, uint32_t count)
{
	while (count--) {
		uint32_t next = h->next_track[first];
		unpin(h, first);
		first = next;
	}
}

static int pin_all(xengnttab_handle *h, uint32_t count, const uint32_t *domids, uint32_t step, const uint32_t *refs,
		   bool writable, struct plan *p)
{
	*p = (struct plan){ .row = true };
	for (uint32_t i = 0; i < count; i++) {
		uint32_t t = track_get(h);
		struct hx_grant *g = t == NONE ? NULL : pin(h, t, domids[i * step], refs[i], writable);
		struct hx_region *r = g ? hx_region_get(g->region, g->region_gen) : NULL;
		if (!r) {
			if (g)
				unpin(h, t);
			else if (t != NONE)
				track_put(h, t);
			unpin_chain(h, p->first, i);
			return t == NONE ? -ENOMEM : -EINVAL;
		}
		if (!i) {
			p->first = t;
			p->region = r;
			p->page = g->page;
		} else {
			h->next_track[p->last] = t;
		}
		p->row = p->row && r == p->region && g->page == p->page + i;
		p->last = t;
	}
	return 0;
}

/* Real mappings at addresses in a row. The entries are pinned, so what they say holds. */
static uint8_t *map_pages(xengnttab_handle *h, uint32_t first, uint32_t count, int prot)
{
	uint8_t *at = mmap(NULL, (size_t)count * HX_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			   0);
	if (at == MAP_FAILED)
		return NULL;
	for (uint32_t i = 0, t = first; i < count; i++, t = h->next_track[t]) {
		uint64_t e = atomic_load(&h->track->ent[t]);
		struct hx_dom *d = hx_dom_get((uint32_t)(e >> 47 & 0x7fff));
		struct hx_grant *g = d && d->gen == (uint32_t)e ? &d->grant[e >> 32 & 0x7fff] : NULL;
		struct hx_region *r = g ? hx_region_get(g->region, g->region_gen) : NULL;
		if (!r || mmap(at + (size_t)i * HX_PAGE, HX_PAGE, prot, MAP_SHARED | MAP_FIXED, r->fd,
			       (off_t)g->page * HX_PAGE) == MAP_FAILED) {
			munmap(at, (size_t)count * HX_PAGE);
			return NULL;
		}
	}
	return at;
}

static struct mapping *record_get(xengnttab_handle *h)
{
	struct mapping *m = h->spare;
	if (!m)
		return calloc(1, sizeof(*m));
	h->spare = m->next;
	return m;
}

static void record_put(xengnttab_handle *h, struct mapping *m)
{
	m->next = h->spare;
	h->spare = m;
}

static struct mapping *map_locked(xengnttab_handle *h, uint32_t count, const uint32_t *domids, uint32_t step,
				  const uint32_t *refs, int prot)
{
	bool writable = prot & PROT_WRITE;
	struct plan p;
	struct mapping *m = record_get(h);
	if (!m) {
		errno = ENOMEM;
		return NULL;
	}
	int err = pin_all(h, count, domids, step, refs, writable, &p);
	if (err) {
		record_put(h, m);
		errno = -err;
		return NULL;
	}
	*m = (struct mapping){ .count = count, .first = p.first };
	if (p.row && !hx_strict) {
		uint8_t *base = hx_region_base(p.region, writable);
		m->addr = base ? base + (size_t)p.page * HX_PAGE : NULL;
	} else {
		m->own_pages = true;
		m->addr = map_pages(h, p.first, count, writable ? PROT_READ | PROT_WRITE : PROT_READ);
	}
	if (!m->addr) {
		unpin_chain(h, p.first, count);
		record_put(h, m);
		errno = ENOMEM;
		return NULL;
	}
	unsigned b = bucket_of(m->addr);
	m->next = h->bucket[b];
	h->bucket[b] = m;
	return m;
}

static void *map(xengnttab_handle *h, uint32_t count, const uint32_t *domids, uint32_t step, const uint32_t *refs,
		 int prot)
{
	if (!count || h->restricted || hx_lost()) {
		errno = count ? ENODEV : EINVAL;
		return NULL;
	}
	if (hx_fault(HX_FAULT_MAP)) {
		errno = EINVAL;
		return NULL;
	}
	pthread_mutex_lock(&h->lock);
	struct mapping *m = map_locked(h, count, domids, step, refs, prot);
	void *addr = m ? m->addr : NULL;
	pthread_mutex_unlock(&h->lock);
	return addr;
}

EXPORT void *xengnttab_map_grant_ref(xengnttab_handle *h, uint32_t domid, uint32_t ref, int prot)
{
	return map(h, 1, &domid, 0, &ref, prot);
}

EXPORT void *xengnttab_map_grant_refs(xengnttab_handle *h, uint32_t count, uint32_t *domids, uint32_t *refs, int prot)
{
	return map(h, count, domids, 1, refs, prot);
}

EXPORT void *xengnttab_map_domain_grant_refs(xengnttab_handle *h, uint32_t count, uint32_t domid, uint32_t *refs,
					     int prot)
{
	return map(h, count, &domid, 0, refs, prot);
}

/* --- unmap ------------------------------------------------------------------------ */

static int unmap_locked(xengnttab_handle *h, struct mapping **p)
{
	struct mapping *m = *p;
	struct hx_rsp rsp;
	if (m->notify)
		(void)hx_call(&(struct hx_req){ .op = HX_NOTIFY_FIRE, .arg = { h->hid, m->notify } }, -1, &rsp, NULL,
			      0);
	if (m->own_pages)
		munmap(m->addr, (size_t)m->count * HX_PAGE);
	unpin_chain(h, m->first, m->count);
	*p = m->next;
	record_put(h, m);
	return 0;
}

static struct mapping **find(xengnttab_handle *h, const void *addr)
{
	struct mapping **p = &h->bucket[bucket_of(addr)];
	while (*p && (*p)->addr != addr)
		p = &(*p)->next;
	return p;
}

EXPORT int xengnttab_unmap(xengnttab_handle *h, void *start_address, uint32_t count)
{
	int rc = -1;
	pthread_mutex_lock(&h->lock);
	struct mapping **p = find(h, start_address);
	while (*p && ((*p)->addr != start_address || (*p)->count != count))
		p = &(*p)->next;
	if (start_address && *p)
		rc = unmap_locked(h, p);
	pthread_mutex_unlock(&h->lock);
	return rc ? fail(EINVAL) : 0;
}

EXPORT void *xengnttab_map_grant_ref_notify(xengnttab_handle *h, uint32_t domid, uint32_t ref, int prot,
					    uint32_t notify_offset, evtchn_port_t notify_port)
{
	struct hx_rsp rsp;
	bool byte = notify_offset < HX_PAGE; /* libxengnttab: anything else is no byte */
	if (!byte)
		notify_offset = UINT32_MAX;
	if (h->restricted || hx_lost() || hx_fault(HX_FAULT_MAP) || (byte && !(prot & PROT_WRITE))) {
		errno = EINVAL;
		return NULL;
	}
	pthread_mutex_lock(&h->lock);
	struct mapping *m = map_locked(h, 1, &domid, 0, &ref, prot);
	void *addr = m ? m->addr : NULL;
	if (m && (byte || notify_port != UINT32_MAX)) {
		int err = hx_call(&(struct hx_req){ .op = HX_NOTIFY_ADD,
						    .arg = { h->hid, domid, ref, notify_offset, notify_port } },
				  -1, &rsp, NULL, 0);
		if (err) {
			(void)unmap_locked(h, find(h, addr));
			errno = -err;
			addr = NULL;
		} else {
			m->notify = rsp.value[0];
		}
	}
	pthread_mutex_unlock(&h->lock);
	return addr;
}

/*
 * On Linux mappings hold the file: what was not unmapped before outlives the handle, until the process ends. So the
 * descriptor stays open then, out of the program's way.
 */
EXPORT int xengnttab_close(xengnttab_handle *h)
{
	bool mine, maps = false;
	if (!h)
		return 0;
	mine = h->owner == getpid();
	pthread_mutex_lock(&hx_slow);
	for (xengnttab_handle **p = &handles; *p; p = &(*p)->next)
		if (*p == h) {
			*p = h->next;
			break;
		}
	pthread_mutex_unlock(&hx_slow);
	for (unsigned b = 0; b < BUCKETS && mine; b++)
		maps = maps || h->bucket[b];
	if (maps && fcntl(h->fd, F_DUPFD_CLOEXEC, 200) < 0)
		maps = false; /* as if the process had ended */
	int rc = close(h->fd);
	if (maps)
		return rc;
	hx_handle_closed(h->hid);
	for (struct mapping *m; (m = h->spare); free(m))
		h->spare = m->next;
	munmap(h->track, sizeof(*h->track));
	pthread_mutex_destroy(&h->lock);
	free(h->next_track);
	free(h);
	return rc;
}

EXPORT int xengnttab_fd(xengnttab_handle *h)
{
	return h->fd;
}

/* Linux has ignored it since 3.x; libxengnttab reports success. */
EXPORT int xengnttab_set_max_grants(xengnttab_handle *h, uint32_t nr_grants)
{
	return 0;
}

/* --- grant copy ---------------------------------------------------------------------- */

#define BATCH (HX_HAZARDS / 2)

/* One end that is a grant, its hazard published and fenced. NULL: @status says why not. */
static uint8_t *end_of(uint32_t ref, uint32_t domid, uint32_t offset, bool writable, int16_t *status)
{
	struct hx_dom *d = hx_dom_get(domid);
	*status = GNTST_bad_domain;
	if (!d)
		return NULL;
	*status = GNTST_bad_gntref;
	if (ref >= HX_GREFS)
		return NULL;
	struct hx_grant *g = &d->grant[ref];
	uint64_t w = atomic_load_explicit(&g->word, memory_order_acquire);
	*status = GNTST_general_error;
	if (!(w & HX_GRANT_ACTIVE) || (w >> 16 & 0xffff) != hx_self.domid || (writable && (w & HX_GRANT_RO)))
		return NULL;
	struct hx_region *r = hx_region_get(g->region, g->region_gen);
	uint8_t *base = r ? hx_region_base(r, true) : NULL;
	if (!base)
		return NULL;
	*status = GNTST_okay;
	return base + (size_t)g->page * HX_PAGE + offset;
}

static void copy_one(xengnttab_grant_copy_segment_t *s)
{
	const uint8_t *from = s->source.virt;
	uint8_t *to = s->dest.virt;
	s->status = GNTST_okay;
	if (hx_fault(HX_FAULT_COPY)) {
		s->status = GNTST_general_error;
		return;
	}
	if (s->flags & GNTCOPY_source_gref)
		from = end_of(s->source.foreign.ref, s->source.foreign.domid, s->source.foreign.offset, false,
			      &s->status);
	if (from && (s->flags & GNTCOPY_dest_gref))
		to = end_of(s->dest.foreign.ref, s->dest.foreign.domid, s->dest.foreign.offset, true, &s->status);
	if (s->status == GNTST_okay)
		memmove(to, from, s->len);
}

static uint32_t hazard_of(const union xengnttab_copy_ptr *p)
{
	uint32_t domid = p->foreign.domid == DOMID_SELF_ ? hx_self.domid : p->foreign.domid;
	return hx_hazard_of(domid, p->foreign.ref);
}

static int check_segments(uint32_t count, const xengnttab_grant_copy_segment_t *segs)
{
	for (uint32_t i = 0; i < count; i++) {
		const xengnttab_grant_copy_segment_t *s = &segs[i];
		if (!(s->flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref)) ||
		    ((s->flags & GNTCOPY_source_gref) && s->source.foreign.offset + s->len > (int)HX_PAGE) ||
		    ((s->flags & GNTCOPY_dest_gref) && s->dest.foreign.offset + s->len > (int)HX_PAGE))
			return -EINVAL;
	}
	return 0;
}

EXPORT int xengnttab_grant_copy(xengnttab_handle *h, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
	struct hx_hazard *hz;
	if (h->restricted || hx_lost())
		return fail(ENODEV);
	if (!count)
		return 0;
	if (check_segments(count, segs))
		return fail(EINVAL);
	if (!(hz = hx_hazard_get()))
		return fail(ENOMEM);
	for (uint32_t i = 0; i < count; i += BATCH) {
		uint32_t n = count - i < BATCH ? count - i : BATCH;
		for (uint32_t k = 0; k < n; k++) {
			const xengnttab_grant_copy_segment_t *s = &segs[i + k];
			if (s->flags & GNTCOPY_source_gref)
				atomic_store_explicit(&hz->ref[2 * k], hazard_of(&s->source), memory_order_relaxed);
			if (s->flags & GNTCOPY_dest_gref)
				atomic_store_explicit(&hz->ref[2 * k + 1], hazard_of(&s->dest), memory_order_relaxed);
		}
		/* Whoever ends one of these grants from here on sees the hazard; if it did so before, we see that. */
		atomic_thread_fence(memory_order_seq_cst);
		for (uint32_t k = 0; k < n; k++)
			copy_one(&segs[i + k]);
		/* The copies are done before the page may go back to its owner. */
		for (uint32_t k = 0; k < 2 * n; k++)
			atomic_store_explicit(&hz->ref[k], 0, memory_order_release);
	}
	return 0;
}

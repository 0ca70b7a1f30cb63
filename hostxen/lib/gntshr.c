/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gntshr.c: the producer half of libxengnttab: pages granted to another domain.
 *
 * Theory. The handle's pages are one sparse file (a region), mapped as a whole. Sharing takes free pages of it and free
 * entries of the domain's grant table, both without the broker. A page whose grant is still mapped by the peer when it is
 * unshared stays out of use ("orphan") until the peer lets go, as with Linux's gntalloc. Pages are used again last in,
 * first out, so that a front end that grants per request keeps touching the same ones.
 * On Linux a shared page belongs to its mapping here and not to the handle: it outlives xengntshr_close(), until it is
 * unshared (with whatever handle) or the process ends. So a handle closed with pages shared lingers on.
 */
#include "hostxen/lib/lib.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xengnttab.h>

#define NPAGES ((uint32_t)(HX_REGION_SIZE / HX_PAGE))

enum page_state { PAGE_FRESH, PAGE_FREE, PAGE_SHARED, PAGE_ORPHAN };

struct page {
	uint32_t gref;
	uint32_t notify; /* the broker's id of the unmap notification, 0 none */
	uint8_t state;
	uint8_t stacked; /* is in the free stack */
};

struct shr {
	struct shr *next; /* all of this process, lingering ones too; under hx_slow */
	int fd;
	pid_t owner; /* a forked child has the pages too, and may close its handle */
	bool closed;
	uint32_t nshared;
	uint32_t hid, region, region_gen;
	uint8_t *base;
	pthread_mutex_t lock;
	uint32_t fresh; /* pages at and above have never been used */
	uint32_t nstack, norphans;
	uint32_t *stack, *orphans;
	struct page *page;
	uint32_t grefs[1024]; /* entries freed lately, to be tried first */
	uint32_t ngrefs;
};

static struct shr *all;

static struct shr *shr_of(xengntshr_handle *h)
{
	return (struct shr *)(void *)h;
}

static int fail(int err)
{
	errno = err < 0 ? -err : err;
	return -1;
}

/* Real gntalloc has a module parameter (1024 by default); ours is in the environment, and by default the whole table. */
static uint32_t gntalloc_limit(void)
{
	const char *s = getenv("HOSTXEN_GNTALLOC_LIMIT");
	unsigned long n = s ? strtoul(s, NULL, 10) : HX_GREFS - HX_FIRST_GREF;
	return (uint32_t)(n < HX_GREFS - HX_FIRST_GREF ? n : HX_GREFS - HX_FIRST_GREF);
}

/* --- open, close ------------------------------------------------------------------- */

static void shr_free(struct shr *s)
{
	if (s->base)
		munmap(s->base, HX_REGION_SIZE);
	if (s->fd >= 0)
		close(s->fd);
	free(s->stack);
	free(s->orphans);
	free(s->page);
	free(s);
}

EXPORT xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	struct hx_rsp rsp;
	int fds[2], err = hx_connect();
	if (!err)
		err = hx_call(&(struct hx_req){ .op = HX_GNTSHR_OPEN }, -1, &rsp, fds, 2);
	struct shr *s = err ? NULL : calloc(1, sizeof(*s));
	if (!s) {
		fail(err ? err : -ENOMEM);
		return NULL;
	}
	s->fd = fds[0];
	s->owner = getpid();
	s->hid = rsp.value[0];
	s->region = rsp.value[1];
	s->region_gen = rsp.value[2];
	s->stack = malloc(NPAGES * sizeof(*s->stack));
	s->orphans = malloc(NPAGES * sizeof(*s->orphans));
	s->page = calloc(NPAGES, sizeof(*s->page));
	void *p = mmap(NULL, HX_REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fds[1], 0);
	close(fds[1]);
	s->base = p == MAP_FAILED ? NULL : p;
	if (!s->base || !s->stack || !s->orphans || !s->page) {
		shr_free(s);
		fail(ENOMEM);
		return NULL;
	}
	(void)madvise(s->base, HX_REGION_SIZE, MADV_DONTDUMP);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_lock(&hx_slow);
	s->next = all;
	all = s;
	pthread_mutex_unlock(&hx_slow);
	return (xengntshr_handle *)(void *)s;
}

/*
 * The end of a handle that is closed and has nothing shared any more. Pages the peer still maps are the broker's now,
 * which ends grants exactly as when the process dies.
 */
static void bury(struct shr *s)
{
	uint32_t hid = s->hid;
	pthread_mutex_lock(&hx_slow);
	for (struct shr **p = &all; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	pthread_mutex_unlock(&hx_slow);
	pthread_mutex_destroy(&s->lock);
	shr_free(s);
	hx_handle_closed(hid);
}

EXPORT int xengntshr_close(xengntshr_handle *h)
{
	if (!h)
		return 0;
	struct shr *s = shr_of(h);
	if (s->owner != getpid()) {
		close(s->fd);
		s->fd = -1;
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	s->closed = true;
	bool idle = !s->nshared;
	pthread_mutex_unlock(&s->lock);
	if (idle)
		bury(s);
	return 0;
}

EXPORT int xengntshr_fd(xengntshr_handle *h)
{
	return shr_of(h)->fd;
}

/* --- grant table entries -------------------------------------------------------------- */

static bool claim(struct shr *s, uint32_t gref)
{
	uint64_t none = 0;
	return atomic_compare_exchange_strong(&hx_self.dom->grant[gref].word, &none,
					      HX_GRANT_CLAIMED | (uint64_t)s->hid << 32);
}

/* The count in ngrants, taken before (hx_grant_reserve), guarantees that there is one. */
static uint32_t claim_any(struct shr *s)
{
	struct hx_dom *d = hx_self.dom;
	while (s->ngrefs)
		if (claim(s, s->grefs[--s->ngrefs]))
			return s->grefs[s->ngrefs];
	for (;;) {
		uint32_t at = atomic_fetch_add_explicit(&d->cursor, 1, memory_order_relaxed);
		uint32_t gref = HX_FIRST_GREF + at % (HX_GREFS - HX_FIRST_GREF);
		if (!claim(s, gref))
			continue;
		uint32_t hi = atomic_load(&d->grant_hi);
		while (hi <= gref && !atomic_compare_exchange_weak(&d->grant_hi, &hi, gref + 1))
			;
		return gref;
	}
}

static void publish(struct shr *s, uint32_t gref, uint32_t page, uint32_t domid, bool writable)
{
	struct hx_grant *g = &hx_self.dom->grant[gref];
	g->region = s->region;
	g->region_gen = s->region_gen;
	g->page = page;
	g->hid = s->hid;
	s->page[page] = (struct page){ .gref = gref, .state = PAGE_SHARED, .stacked = s->page[page].stacked };
	/* All of the entry is there before it counts. */
	atomic_store_explicit(&g->word,
			      HX_GRANT_ACTIVE | (writable ? 0 : HX_GRANT_RO) | (uint64_t)(domid & 0xffff) << 16,
			      memory_order_release);
}

/* --- pages ------------------------------------------------------------------------------ */

static bool page_free(const struct shr *s, uint32_t page)
{
	return s->page[page].state == PAGE_FREE || s->page[page].state == PAGE_FRESH;
}

static void page_put(struct shr *s, uint32_t page)
{
	s->page[page].state = PAGE_FREE;
	if (!s->page[page].stacked) {
		s->page[page].stacked = 1;
		s->stack[s->nstack++] = page;
	}
}

static void gref_put(struct shr *s, uint32_t gref)
{
	hx_grant_free(hx_self.dom, gref);
	if (s->ngrefs < sizeof(s->grefs) / sizeof(s->grefs[0]))
		s->grefs[s->ngrefs++] = gref;
}

/* Orphans whose last user has gone. */
static void reclaim(struct shr *s)
{
	for (uint32_t i = 0; i < s->norphans;) {
		uint32_t page = s->orphans[i];
		if (!hx_grant_idle(hx_self.world, hx_self.dom, s->page[page].gref)) {
			i++;
			continue;
		}
		gref_put(s, s->page[page].gref);
		page_put(s, page);
		s->orphans[i] = s->orphans[--s->norphans];
	}
}

/* @count pages in a row; NPAGES: there are none. */
static uint32_t page_get(struct shr *s, uint32_t count)
{
	while (count == 1 && s->nstack) {
		uint32_t page = s->stack[--s->nstack];
		s->page[page].stacked = 0;
		if (page_free(s, page))
			return page;
	}
	if (count <= NPAGES - s->fresh) {
		s->fresh += count;
		return s->fresh - count;
	}
	for (uint32_t page = 0, run = 0; page < NPAGES; page++) {
		run = page_free(s, page) ? run + 1 : 0;
		if (run == count)
			return page + 1 - count;
	}
	return NPAGES;
}

/* --- share --------------------------------------------------------------------------------- */

static void *share_locked(struct shr *s, uint32_t domid, uint32_t count, uint32_t *refs, bool writable)
{
	struct hx_dom *d = hx_self.dom;
	if (s->norphans)
		reclaim(s);
	if (!hx_grant_reserve(d, count, gntalloc_limit())) {
		errno = ENOSPC;
		return NULL;
	}
	uint32_t page = page_get(s, count);
	if (page == NPAGES) {
		atomic_fetch_sub(&d->nshared, count);
		atomic_fetch_sub(&d->ngrants, count);
		errno = ENOMEM;
		return NULL;
	}
	s->nshared += count;
	for (uint32_t i = 0; i < count; i++) {
		if (s->page[page + i].state != PAGE_FRESH)
			memset(s->base + (size_t)(page + i) * HX_PAGE, 0, HX_PAGE);
		refs[i] = claim_any(s);
		publish(s, refs[i], page + i, domid, writable);
	}
	return s->base + (size_t)page * HX_PAGE;
}

EXPORT void *xengntshr_share_pages(xengntshr_handle *h, uint32_t domid, int count, uint32_t *refs, int writable)
{
	struct shr *s = shr_of(h);
	if (count <= 0 || (uint32_t)count > NPAGES || hx_lost()) {
		errno = hx_lost() ? ENODEV : EINVAL;
		return NULL;
	}
	if (hx_fault(HX_FAULT_SHARE)) {
		errno = ENOSPC;
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	void *p = share_locked(s, domid, (uint32_t)count, refs, writable);
	pthread_mutex_unlock(&s->lock);
	return p;
}

static void unshare_page(struct shr *s, uint32_t page)
{
	struct page *p = &s->page[page];
	struct hx_rsp rsp;
	if (p->notify)
		(void)hx_call(&(struct hx_req){ .op = HX_NOTIFY_FIRE, .arg = { s->hid, p->notify } }, -1, &rsp, NULL,
			      0);
	p->notify = 0;
	s->nshared--;
	if (hx_grant_end(hx_self.world, hx_self.dom, p->gref)) {
		gref_put(s, p->gref);
		page_put(s, page);
	} else {
		p->state = PAGE_ORPHAN;
		s->orphans[s->norphans++] = page;
	}
}

/* The real one is munmap: the handle given does not matter, the address does. */
static struct shr *shr_at(const uint8_t *at)
{
	struct shr *s;
	pthread_mutex_lock(&hx_slow);
	for (s = all; s && (at < s->base || at >= s->base + HX_REGION_SIZE); s = s->next)
		;
	pthread_mutex_unlock(&hx_slow);
	return s;
}

EXPORT int xengntshr_unshare(xengntshr_handle *h, void *start_address, uint32_t count)
{
	struct shr *s = shr_at(start_address);
	size_t off = s ? (size_t)((uint8_t *)start_address - s->base) : 0;
	if (!s || !count || off % HX_PAGE || off / HX_PAGE + count > NPAGES)
		return fail(EINVAL);
	uint32_t page = (uint32_t)(off / HX_PAGE);
	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < count; i++)
		if (s->page[page + i].state == PAGE_SHARED)
			unshare_page(s, page + i);
	bool last = s->closed && !s->nshared;
	pthread_mutex_unlock(&s->lock);
	if (last)
		bury(s);
	return 0;
}

EXPORT void *xengntshr_share_page_notify(xengntshr_handle *h, uint32_t domid, uint32_t *ref, int writable,
					 uint32_t notify_offset, evtchn_port_t notify_port)
{
	struct shr *s = shr_of(h);
	struct hx_rsp rsp;
	if (notify_offset >= HX_PAGE)
		notify_offset = UINT32_MAX; /* libxengnttab: no byte */
	void *p = xengntshr_share_pages(h, domid, 1, ref, writable);
	if (!p || (notify_offset == UINT32_MAX && notify_port == UINT32_MAX))
		return p;
	int err = hx_call(&(struct hx_req){ .op = HX_NOTIFY_ADD,
					    .arg = { s->hid, hx_self.domid, *ref, notify_offset, notify_port } },
			  -1, &rsp, NULL, 0);
	if (err) {
		(void)xengntshr_unshare(h, p, 1);
		errno = -err;
		return NULL;
	}
	s->page[(size_t)((uint8_t *)p - s->base) / HX_PAGE].notify = rsp.value[0];
	return p;
}

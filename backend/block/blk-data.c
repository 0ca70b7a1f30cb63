/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-data.c - see blk-data.h. */
#include <errno.h>
#include <sys/mman.h>
#include "backend/block/blk-data.h"

/* Pages of all queues beyond their own; atomic. */
static uint32_t pool_limit = BOUNCE_LIMIT_PAGES, pool_used;

void blk_data_limit(uint32_t pages)
{
	__atomic_store_n(&pool_limit, pages, __ATOMIC_RELAXED);
}

/* The next page has no memory yet: may it get some? */
static bool touch(struct blk_data *d)
{
	if (d->touched >= BOUNCE_OWN_PAGES &&
	    __atomic_add_fetch(&pool_used, 1, __ATOMIC_RELAXED) > __atomic_load_n(&pool_limit, __ATOMIC_RELAXED)) {
		__atomic_sub_fetch(&pool_used, 1, __ATOMIC_RELAXED);
		return false;
	}
	d->touched++;
	return true;
}

static void untouch(struct blk_data *d)
{
	if (d->touched > BOUNCE_OWN_PAGES)
		__atomic_sub_fetch(&pool_used, d->touched - BOUNCE_OWN_PAGES, __ATOMIC_RELAXED);
	d->touched = 0;
}

static bool bounce_left(struct blk_data *d)
{
	return d->nr_free && (blk_data_bounce_pages(d) < d->touched || touch(d));
}

int blk_data_init(struct blk_data *d, struct grant *g, uint32_t domid, bool persistent)
{
	memset(d, 0, sizeof(*d));
	d->grant = g;
	d->domid = domid;
	d->free = malloc(BOUNCE_PAGES * sizeof(*d->free));
	d->copies = malloc(BLK_MAX_COPIES * sizeof(*d->copies));
	d->owner = malloc(BLK_MAX_COPIES * sizeof(*d->owner));
	d->arena = mmap(NULL, BOUNCE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (d->arena == MAP_FAILED)
		d->arena = NULL;
	if (!d->free || !d->copies || !d->owner || !d->arena ||
	    (persistent && grant_cache_new(g, domid, BLK_PERSISTENT_MAX, &d->cache))) {
		blk_data_fini(d);
		return -ENOMEM;
	}
	d->nr_free = BOUNCE_PAGES;
	for (uint32_t i = 0; i < BOUNCE_PAGES; i++)
		d->free[i] = (uint16_t)(BOUNCE_PAGES - 1 - i);
	return 0;
}

void blk_data_fini(struct blk_data *d)
{
	grant_cache_free(d->cache);
	untouch(d);
	free(d->free);
	free(d->copies);
	free(d->owner);
	if (d->arena)
		munmap(d->arena, BOUNCE_BYTES);
	memset(d, 0, sizeof(*d));
}

void blk_data_idle(struct blk_data *d)
{
	if (blk_data_bounce_pages(d) > 0)
		return;
	madvise(d->arena, BOUNCE_BYTES, MADV_DONTNEED);
	untouch(d);
}

static void *bounce(const struct blk_data *d, uint16_t page)
{
	return d->arena + (size_t)page * PAGE_BYTES;
}

static uint32_t seg_bytes(const struct blk_seg *g)
{
	return (uint32_t)(g->last - g->first + 1) * SECTOR_BYTES;
}

static void add_copy(struct blk_data *d, struct blk_slot *s, uint32_t i, bool to_guest)
{
	const struct blk_seg *g = &s->segs[i];

	if (d->nr_copies == BLK_MAX_COPIES)
		blk_data_copy(d);
	d->owner[d->nr_copies] = s;
	d->copies[d->nr_copies++] = (struct grant_seg){
		.ref = g->gref,
		.offset = (uint16_t)(g->first * SECTOR_BYTES),
		.bytes = (uint16_t)seg_bytes(g),
		.local = (char *)bounce(d, s->pages[i]) + g->first * SECTOR_BYTES,
		.to_guest = to_guest,
	};
}

int blk_data_get(struct blk_data *d, struct blk_slot *s)
{
	bool in = s->req.kind != BLK_READ;
	uint32_t nr = s->req.nr_segs, nr_iov = 0;
	struct iovec *last = NULL;

	for (uint32_t i = 0; i < nr; i++) {
		const struct blk_seg *g = &s->segs[i];
		void *page = NULL;

		/* Whatever the cache does not want to map (in use, full, read-only, not there) goes by copy, which
		 * says what is wrong with it. */
		if (d->cache && grant_cache_get(d->cache, g->gref, &page) == 0) {
			s->pages[i] = BLK_PAGE_CACHE;
		} else if (bounce_left(d)) {
			s->pages[i] = d->free[--d->nr_free];
			page = bounce(d, s->pages[i]);
			s->bounced = true;
		} else {
			s->req.nr_segs = (uint16_t)i;
			blk_data_put(d, s);
			s->req.nr_segs = (uint16_t)nr;
			return -EAGAIN;
		}
		s->has_pages = true;
		page = (char *)page + g->first * SECTOR_BYTES;
		if (last && (char *)last->iov_base + last->iov_len == page) {
			last->iov_len += seg_bytes(g); /* bounce pages are often neighbours */
		} else {
			last = &s->iov[nr_iov++];
			*last = (struct iovec){ page, seg_bytes(g) };
		}
	}
	d->cache_hits += nr;
	if (s->bounced) {
		for (uint32_t i = 0; i < nr; i++) {
			if (s->pages[i] == BLK_PAGE_CACHE)
				continue;
			d->cache_hits--;
			if (in)
				add_copy(d, s, i, false);
		}
	}
	s->io.iov = s->iov;
	s->io.nr_iov = nr_iov;
	return 0;
}

void blk_data_give(struct blk_data *d, struct blk_slot *s)
{
	for (uint32_t i = 0; i < s->req.nr_segs; i++)
		if (s->pages[i] != BLK_PAGE_CACHE)
			add_copy(d, s, i, true);
}

void blk_data_copy(struct blk_data *d)
{
	uint32_t nr = d->nr_copies;

	if (!nr)
		return;
	d->nr_copies = 0;
	d->copy_calls++;
	d->copy_segs += nr;
	if (grant_copy(d->grant, d->domid, d->copies, nr) == 0)
		return;
	for (uint32_t i = 0; i < nr; i++)
		if (d->copies[i].status) {
			d->owner[i]->copy_failed = true;
			blk_slot_fail(d->owner[i], d->copies[i].status);
		}
}

int blk_data_indirect(struct blk_data *d, uint32_t gref, void *page)
{
	struct grant_seg g = { .ref = gref, .bytes = PAGE_BYTES, .local = page };
	void *mapped;

	if (d->cache && grant_cache_get(d->cache, gref, &mapped) == 0) {
		memcpy(page, mapped, PAGE_BYTES);
		grant_cache_put(d->cache, gref);
		return 0;
	}
	d->copy_calls++;
	d->copy_segs++;
	return grant_copy(d->grant, d->domid, &g, 1);
}

void blk_data_put(struct blk_data *d, struct blk_slot *s)
{
	/* Backwards, so that the stack of bounce pages hands out neighbours in order again. */
	for (uint32_t i = s->req.nr_segs; i-- > 0;) {
		if (s->pages[i] == BLK_PAGE_CACHE)
			grant_cache_put(d->cache, s->segs[i].gref);
		else
			d->free[d->nr_free++] = s->pages[i];
	}
	s->has_pages = s->bounced = false;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grant.h - using another domain's grants (libxengnttab): map, batched copy, and a cache of persistent ones.
 *
 * struct grant may be used by several threads at once; a grant_cache by one.  Unmap before grant_close(): on Linux a
 * mapping holds the driver's file, and what is left lasts until the process ends.  Handles do not survive fork.
 */
#ifndef SYNTH_GRANT_H
#define SYNTH_GRANT_H

#include "common/base/base.h"

struct grant;

/*
 * How much may be mapped through one handle, all of its users together: gntdev bounds a single request only, and a table of the
 * hypervisor's is shared by all (XSA-300).  Persistent grants get three quarters of it, so that rings always find room.
 */
#define GRANT_LIMIT_DEFAULT 32768u /* pages */
void grant_limit(struct grant *g, uint32_t pages);
struct grant_use {
	uint32_t mapped, limit; /* pages */
	uint64_t refused;       /* times the limit was in the way */
};
void grant_used(const struct grant *g, struct grant_use *u);

int grant_open(struct grant **ret) __must_check;
void grant_close(struct grant *g); /* NULL ok */

/*
 * Map @nr grants of @domid at contiguous addresses.  All or nothing: when one fails none stays mapped
 * (XSA-361/365).  @nr is 1..GRANT_MAP_MAX.  -ENOSPC: beyond the limit.
 */
#define GRANT_MAP_MAX 64u
int grant_map(struct grant *g, uint32_t domid, const uint32_t *refs, uint32_t nr, bool writable,
	      void **ret) __must_check;
int grant_unmap(struct grant *g, void *addr, uint32_t nr);

/* One piece of a copy between local memory and a foreign page. */
struct grant_seg {
	uint32_t ref;
	uint16_t offset; /* bytes into the foreign page */
	uint16_t bytes;  /* 1..4096; offset + bytes <= 4096 */
	void *local;
	bool to_guest;  /* true: local -> grant */
	int16_t status; /* out: 0 or -errno, set for every segment */
};
/*
 * Copy all, looking at each segment's status.  0 when every one succeeded, else the first failure's -errno; a
 * segment whose bounds are wrong fails alone with -EINVAL and does not spoil its batch.
 */
int grant_copy(struct grant *g, uint32_t domid, struct grant_seg *segs, uint32_t nr) __must_check;

/*
 * Persistent grants of one ring: pages stay mapped read-write, keyed by gref, at most @limit of them; when it is
 * full the least recently used makes room, unless it was used since the last trim: a working set bigger than the
 * cache would map and unmap for every request, which costs far more than a copy (-ENOSPC).  A page in use by a request (get without put) is
 * never dropped, and asking for it a second time meanwhile gives -EBUSY: serve that segment by copy.
 */
struct grant_cache;
int grant_cache_new(struct grant *g, uint32_t domid, uint32_t limit, struct grant_cache **ret) __must_check;
void grant_cache_free(struct grant_cache *c); /* NULL ok; unmaps all, even pages in use */
/* The page behind @ref.  -EBUSY in use, -ENOSPC cache or limit full of pages in use or used lately, else the map's error. */
int grant_cache_get(struct grant_cache *c, uint32_t ref, void **ret) __must_check;
void grant_cache_put(struct grant_cache *c, uint32_t ref);
/* Unmap what was not used for @idle_ns, and of the rest what is beyond a limit that was lowered; returns how many. */
uint32_t grant_cache_trim(struct grant_cache *c, uint64_t now, uint64_t idle_ns);
bool grant_cache_full(const struct grant_cache *c); /* what is not mapped yet finds no room */
uint32_t grant_cache_mapped(const struct grant_cache *c);

#endif

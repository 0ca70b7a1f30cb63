/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * world.h: the memory that is hostxen's machine, shared by the broker and by every process of every domain.
 *
 * Theory. Three kinds of shared object (each a memfd made by the broker):
 *   struct hx_world   one per world: which domains live, which regions live, which grants are being copied this instant;
 *   struct hx_dom     one per domain: its event ports and its grant table;
 *   regions           the pages a gntshr handle shares out (a sparse file; page i of it is at i * HX_PAGE).
 * The broker alone allocates and binds ports and creates and ends domains, so those need no locks. What is hot is
 * done by the domains' own processes on these words, with no broker:
 *
 *   notify   sets the pending/masked word of the *receiver's* port and, on the transition from idle, writes the port
 *            number into the receiving handle's pipe. An event "in flight" (in the pipe or with the application) is
 *            masked, so a port is in the pipe once at most; events meanwhile only set P, and unmask delivers again.
 *   grant    is one 64-bit word per entry: flags, the domain allowed, the count of mappings (pins).
 *   copy     takes no pin. The copier publishes (domid, gref) in its own hazard slot, fences, then reads the entry; a
 *            revoker ends the entry, fences, then reads the slots. One of the two always sees the other, so either the
 *            copy fails or the page is kept until the copy is over. A copier that is killed leaves no count wrong:
 *            the broker empties its slots.
 */
#ifndef HOSTXEN_WORLD_H
#define HOSTXEN_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HX_MAGIC       0x6878656eU
#define HX_VERSION     2U
#define HX_PAGE        4096U
#define HX_DOMIDS      0x7ff0U /* DOMID_FIRST_RESERVED */
#define HX_PORTS       4096U   /* as many as 2-level event channels have; port 0 is never given out */
#define HX_DOMU_PORTS  1023U   /* xl's default max_event_channels for a guest */
#define HX_GREFS       32768U  /* 64 grant frames of 512 entries: Xen's default for gnttab_max_frames */
#define HX_FIRST_GREF  8U      /* below are Xen's reserved ones (console, xenstore) */
#define HX_REGIONS     8192U
#define HX_REGION_SIZE (256UL << 20) /* address space of one gntshr handle; a page costs memory when touched */
#define HX_MAPTRACK    65536U
#define HX_THREADS     4096U /* threads of the world that may do grant copies at once */
#define HX_HAZARDS     16U

/* hx_port.link: state, remote domain, remote port, and a generation that changes with each change of state. */
enum hx_port_state { HX_PORT_FREE, HX_PORT_UNBOUND, HX_PORT_INTERDOMAIN, HX_PORT_VIRQ };

/* hx_port.pm */
#define HX_MASKED  1U /* delivered and not unmasked yet: the application has the ball */
#define HX_PENDING 2U /* notified again since */

struct hx_port {
	/* what the owner's notify reads: */
	_Atomic uint64_t link;
	_Atomic uint32_t hid; /* the handle that owns the port; 0 none */
	uint32_t pad[13];
	/* what senders write (a line of its own, so that both directions do not fight over one): */
	_Atomic uint32_t pm;
	uint32_t pad2[15];
};

/* hx_grant.word: flags in bits 0-3, domid allowed in 16-31, in 32-63 pins (or, while claimed, the claimant's hid). */
#define HX_GRANT_ACTIVE  1ULL
#define HX_GRANT_RO      2ULL
#define HX_GRANT_ORPHAN  4ULL /* given up while mapped or being copied: freed when nobody uses it any more */
#define HX_GRANT_CLAIMED 8ULL /* taken from the free ones, not yet filled in */
#define HX_GRANT_PIN     (1ULL << 32)

struct hx_grant {
	_Atomic uint64_t word;
	uint32_t region; /* slot; stable while the entry is not free */
	uint32_t region_gen;
	uint32_t page; /* index in the region */
	uint32_t hid;  /* the gntshr handle it belongs to */
	uint64_t pad;
};

struct hx_dom {
	uint32_t domid, gen;
	uint32_t max_ports;
	_Atomic uint32_t dying;
	_Atomic uint32_t ngrants;  /* entries in use, orphans too */
	_Atomic uint32_t nshared;  /* the same without orphans: what gntalloc's limit is about */
	_Atomic uint32_t grant_hi; /* entries at and above have never been used */
	_Atomic uint32_t cursor;   /* where to look for a free entry next */
	uint32_t pad[8];
	_Alignas(64) struct hx_port port[HX_PORTS];
	_Alignas(64) struct hx_grant grant[HX_GREFS];
};

/* hx_world.dom[].flags */
#define HX_DOM_DYING         1U
#define HX_DOM_SHUTDOWN      2U
#define HX_DOM_REASON(flags) ((flags) >> 8 & 0xff) /* of a shutdown: SHUTDOWN_* of xen/sched.h */

struct hx_hazard {
	_Alignas(64) _Atomic uint32_t ref[HX_HAZARDS]; /* hx_hazard_of() or 0 */
};

struct hx_world {
	uint32_t magic, version;
	_Atomic uint32_t dead;                   /* the broker is gone */
	_Atomic uint32_t top_dom;                /* domids at and above have never been used */
	_Atomic uint32_t threads;                /* hazard slots at and above have never been used */
	_Atomic uint32_t region_gen[HX_REGIONS]; /* 0: no such region */
	struct {
		_Atomic uint32_t gen; /* 0: no such domain */
		_Atomic uint32_t flags;
		_Atomic uint32_t paused; /* by the toolstack, so many times; nothing here stops a domain's processes */
	} dom[HX_DOMIDS];
	struct hx_hazard hazard[HX_THREADS];
};

/* The maptrack file of a gnttab handle: what it maps, so that the broker can let go of it when the process dies. */
#define HX_TRACK_HELD    (1ULL << 63)
#define HX_TRACK_PENDING (1ULL << 62)
struct hx_maptrack {
	_Atomic uint64_t used; /* entries at and above have never been used */
	_Atomic uint64_t ent[HX_MAPTRACK - 1];
};

static inline uint64_t hx_track(uint32_t domid, uint32_t gref, uint32_t dom_gen)
{
	return (uint64_t)domid << 47 | (uint64_t)gref << 32 | dom_gen;
}

static inline uint64_t hx_link(enum hx_port_state state, uint32_t rdom, uint32_t rport, uint64_t old)
{
	return (((old >> 40) + 1) & 0xffffff) << 40 | (uint64_t)state << 36 | (uint64_t)(rdom & 0xffff) << 16 | rport;
}

static inline enum hx_port_state hx_link_state(uint64_t link)
{
	return (enum hx_port_state)(link >> 36 & 0xf);
}

static inline uint32_t hx_link_dom(uint64_t link)
{
	return (uint32_t)(link >> 16 & 0xffff);
}

static inline uint32_t hx_link_port(uint64_t link)
{
	return (uint32_t)(link & 0xffff);
}

/*
 * One event arrives at a port. True: the caller shall write the port's number into the owner's pipe.
 * The fence comes first: what the sender stored before it notified (a ring's producer index) must be visible before
 * the sender sees "already pending" and goes away; without it the receiver could clear P and miss both.
 */
static inline bool hx_port_raise(struct hx_port *p)
{
	atomic_thread_fence(memory_order_seq_cst);
	uint32_t pm = atomic_load_explicit(&p->pm, memory_order_relaxed);
	for (;;) {
		if (pm == (HX_MASKED | HX_PENDING))
			return false;
		uint32_t next = pm & HX_MASKED ? HX_MASKED | HX_PENDING : HX_MASKED;
		if (atomic_compare_exchange_weak(&p->pm, &pm, next))
			return !(pm & HX_MASKED);
	}
}

/* The application unmasks. True: an event came meanwhile, the port goes into the pipe again (and stays masked). */
static inline bool hx_port_unmask(struct hx_port *p)
{
	uint32_t pm = atomic_load(&p->pm);
	for (;;) {
		if (!(pm & HX_MASKED))
			return false;
		uint32_t next = pm & HX_PENDING ? HX_MASKED : 0;
		if (atomic_compare_exchange_weak(&p->pm, &pm, next))
			return pm & HX_PENDING;
	}
}

static inline uint32_t hx_hazard_of(uint32_t domid, uint32_t gref)
{
	return 0x80000000U | (domid & 0x7fff) << 15 | (gref & 0x7fff);
}

/* Is the entry being copied right now? Call it after the entry was ended by a sequentially consistent operation. */
static inline bool hx_hazard_seen(struct hx_world *w, uint32_t domid, uint32_t gref)
{
	uint32_t want = hx_hazard_of(domid, gref), n = atomic_load(&w->threads);
	for (uint32_t i = 0; i < n; i++)
		for (unsigned k = 0; k < HX_HAZARDS; k++)
			if (atomic_load_explicit(&w->hazard[i].ref[k], memory_order_acquire) == want)
				return true;
	return false;
}

/*
 * Nobody may map the entry any more, if nobody does now. An entry that is mapped stays open even for new mappings until
 * the last has gone: Linux can take a grant back only when it is not in use, and keeps trying.
 */
static inline bool hx_grant_shut(struct hx_grant *g)
{
	uint64_t old = atomic_load(&g->word);
	do {
		if (old >> 32 && !(old & HX_GRANT_CLAIMED))
			return false;
	} while ((old & HX_GRANT_ACTIVE) && !atomic_compare_exchange_weak(&g->word, &old, old & ~HX_GRANT_ACTIVE));
	return true;
}

/* Lets go of one mapping; the last one of an orphan closes it, in the same step: the entry may be another's right after. */
static inline bool hx_grant_unpin(struct hx_grant *g)
{
	uint64_t old = atomic_load(&g->word), next;
	bool last;
	do {
		last = (old & HX_GRANT_ORPHAN) && old >> 32 == 1;
		next = (old - HX_GRANT_PIN) & ~(last ? HX_GRANT_ACTIVE : 0ULL);
	} while (!atomic_compare_exchange_weak(&g->word, &old, next));
	return last;
}

/* An orphan, some time later: has its last user gone? */
static inline bool hx_grant_idle(struct hx_world *w, struct hx_dom *d, uint32_t gref)
{
	return hx_grant_shut(&d->grant[gref]) && !hx_hazard_seen(w, d->domid, gref);
}

/* The owner gives up an entry. True: it is free of users and the caller may put it back to the free ones. */
static inline bool hx_grant_end(struct hx_world *w, struct hx_dom *d, uint32_t gref)
{
	atomic_fetch_or(&d->grant[gref].word, HX_GRANT_ORPHAN);
	if (gref >= HX_FIRST_GREF)
		atomic_fetch_sub(&d->nshared, 1);
	return hx_grant_idle(w, d, gref);
}

/* Takes @count from the count of free entries and from what may be shared. False: there are not as many. */
static inline bool hx_grant_reserve(struct hx_dom *d, uint32_t count, uint32_t limit)
{
	if (atomic_fetch_add(&d->nshared, count) + count <= limit) {
		if (atomic_fetch_add(&d->ngrants, count) + count <= HX_GREFS - HX_FIRST_GREF)
			return true;
		atomic_fetch_sub(&d->ngrants, count);
	}
	atomic_fetch_sub(&d->nshared, count);
	return false;
}

static inline void hx_grant_free(struct hx_dom *d, uint32_t gref)
{
	atomic_store(&d->grant[gref].word, 0);
	atomic_fetch_sub(&d->ngrants, 1);
}

#endif

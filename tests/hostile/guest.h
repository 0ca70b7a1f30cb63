/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guest.h - a block front end that does exactly what it is told: it connects by the book, and then lets its
 * caller write any byte of the ring and any node of its directory.  No check, no protection: what the back end
 * must survive is built on this.
 *
 * Everything is sequential but for what a sin starts threads for; those touch ring bytes only.
 */
#ifndef SYNTH_TEST_GUEST_H
#define SYNTH_TEST_GUEST_H

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xen/io/blkif.h>
#include <xen/io/xenbus.h>
#include "common/base/base.h"

#define GUEST_MAX_QUEUES 4u
#define GUEST_MAX_PAGES  16u
#define GUEST_DATA_PAGES 64u
#define GUEST_SLOT_MAX   112u
#define GUEST_FILL       0xa5 /* what data pages hold before a read */

/* Where the fields of a ring entry are; offsets in bytes. */
struct guest_layout {
	const char *abi;
	uint32_t slot, rsp;
	uint32_t id, sector, segs, discard_nr, ind_refs;
};
extern const struct guest_layout guest_layouts[3]; /* x86_64-abi, x86_32-abi, "" (no protocol node: as x86_32) */

struct guest_queue {
	uint8_t *ring;
	uint32_t refs[GUEST_MAX_PAGES];
	xenevtchn_port_or_error_t port;
	uint32_t prod, cons; /* next request, next response */
};

struct guest_node {               /* a node published otherwise than by the book */
	const char *name, *value; /* NULL: not published at all; "@ref", "@port", "@readonly": a number of ours */
};

struct guest {
	/* set by the caller */
	const struct guest_layout *l;
	uint32_t order, nr_queues;
	bool persistent;
	const struct guest_node *nodes;
	uint32_t nr_nodes;
	bool by_order; /* publish ring-ref0.. even for one page */

	struct xs_handle *xs;
	xengntshr_handle *shr;
	xenevtchn_handle *evtchn;
	char dir[64];   /* ours, relative */
	char back[256]; /* the other end's */
	uint32_t back_domid;
	uint32_t nr_ents;
	uint64_t sectors;
	struct guest_queue q[GUEST_MAX_QUEUES];
	uint8_t *data; /* GUEST_DATA_PAGES pages */
	uint32_t data_refs[GUEST_DATA_PAGES];
	uint8_t *ind; /* one page for indirect segments */
	uint32_t ind_ref;
	void *readonly; /* a page the back end may not write */
	uint32_t readonly_ref;
	bool granted, watching;
};

/* @dev: "51712" or a directory.  Exits with a message when there is no such device. */
void guest_open(struct guest *g, const char *dev);
/* Write the links to the back end again, as the toolstack made them. */
void guest_relink(struct guest *g);
/* Bring our state to 1 and wait for the back end's 2, whatever was before.  False: not within @ms. */
bool guest_reset(struct guest *g, uint32_t ms);
/* Grant rings and pages, publish (with g->nodes instead of what the book says), write 3. */
void guest_publish(struct guest *g);
/* Wait for one of two states of the back end; 0 (Unknown) when it has gone, -1 on time-out. */
int guest_wait_back(struct guest *g, int a, int b, uint32_t ms);
/* reset, publish, wait for Connected, write 4.  Exits with a message when that fails. */
void guest_connect(struct guest *g);
/* Closing, Closed, as a kernel does.  False: the back end did not follow. */
bool guest_close(struct guest *g, uint32_t ms);
/* Give up all grants and the port. */
void guest_revoke(struct guest *g);

int guest_state(struct guest *g, const char *dir); /* 0 when missing or nonsense */
void guest_write(struct guest *g, const char *node, const char *value);
/* NULL when missing; freed by the caller. */
char *guest_read(struct guest *g, const char *dir, const char *node);

/* Shared ring words. */
uint32_t *guest_word(struct guest_queue *q, uint32_t word);
#define RING_REQ_PROD  0u
#define RING_REQ_EVENT 1u
#define RING_RSP_PROD  2u
#define RING_RSP_EVENT 3u
uint8_t *guest_slot(struct guest *g, struct guest_queue *q, uint32_t index);

/* A request, before it is put into a slot. */
struct guest_req {
	uint8_t bytes[GUEST_SLOT_MAX];
};
void req_init(const struct guest *g, struct guest_req *r, uint8_t op, uint8_t nr_segs, uint64_t sector, uint64_t id);
void req_seg(const struct guest *g, struct guest_req *r, uint32_t i, uint32_t ref, uint8_t first, uint8_t last);
void req_indirect(const struct guest *g, struct guest_req *r, uint8_t op, uint16_t nr, uint64_t sector, uint64_t id);
void req_indirect_ref(const struct guest *g, struct guest_req *r, uint32_t i, uint32_t ref);
void req_discard(const struct guest *g, struct guest_req *r, uint8_t flag, uint64_t sector, uint64_t nr, uint64_t id);
/* A segment in the indirect page. */
void ind_seg(struct guest *g, uint32_t i, uint32_t ref, uint8_t first, uint8_t last);

void guest_put(struct guest *g, struct guest_queue *q, const struct guest_req *r); /* advances q->prod only */
void guest_push(struct guest *g, struct guest_queue *q);                           /* publish and notify */

struct guest_rsp {
	uint64_t id;
	int16_t status;
	uint8_t op;
	bool dirty; /* padding not zero, or bytes behind the response changed */
};
/* The next response.  False: none within @ms. */
bool guest_take(struct guest *g, struct guest_queue *q, struct guest_rsp *r, uint32_t ms);

uint8_t *guest_page(struct guest *g, uint32_t i); /* data page i */

uint64_t now_ms(void);
void sleep_us(uint32_t us);
uint32_t rnd(void); /* seeded by rnd_seed() */
void rnd_seed(uint32_t seed);
void die(const char *fmt, ...) __printf(1, 2) __attribute__((noreturn)); /* exit 3 */

#endif

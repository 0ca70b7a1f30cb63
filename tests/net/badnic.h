/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * badnic.h - what the parts of badnic share: its rings and pages, which nothing protects, and its nodes.
 * badnic.c carries out steps, badnic-front.c connects, badnic-sins.c sins.
 */
#ifndef SYNTH_TESTS_BADNIC_H
#define SYNTH_TESTS_BADNIC_H

#include <stdint.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xen/io/netif.h>
#include "common/base/base.h"

#define PAGE       4096u
#define SLOTS      256u
#define DATA_PAGES 64u
#define MAX_QUEUES 4u
#define PATIENCE   10000u /* ms */
#define UNWRITTEN  0xa5   /* all over a receive buffer that is given away */

struct nic_queue {
	uint8_t *tx, *rx;
	uint32_t tx_ref, rx_ref;
	int port[2];
	uint32_t tx_prod, tx_cons, rx_prod, rx_cons;
};

struct nic {
	struct xs_handle *xs;
	xengntshr_handle *shr;
	xenevtchn_handle *evtchn;
	char dir[64], back[256];
	uint32_t back_domid, nr_queues, buffers;
	bool split, state3;
	const char *node[16][2]; /* instead of what the book says; NULL: not at all */
	uint32_t nr_nodes;
	struct nic_queue q[MAX_QUEUES];
	uint8_t *data;
	uint32_t refs[DATA_PAGES];
	uint8_t *buf; /* receive buffers of queue 0 */
	uint32_t buf_refs[SLOTS];
};
extern struct nic g;

void __printf(1, 2) __attribute__((noreturn)) die(const char *fmt, ...);
uint64_t now_ms(void);

/* nodes */
void find(const char *dev);
void put(const char *name, const char *fmt, ...) __printf(2, 3);
int state_of(const char *dir);
int wait_back(int a, int b); /* the state that came, or -1 */
void make_all(void);         /* rings, ports, pages: all afresh */
void publish(void);

/* rings */
static inline uint32_t *word(uint8_t *ring, uint32_t i)
{
	return (uint32_t *)(void *)ring + i;
}

static inline struct netif_tx_request *tx_slot(struct nic_queue *q, uint32_t i)
{
	return (struct netif_tx_request *)(void *)(q->tx + 64) + (i & (SLOTS - 1));
}

static inline uint8_t *rx_slot(struct nic_queue *q, uint32_t i)
{
	return q->rx + 64 + (size_t)(i & (SLOTS - 1)) * 8;
}
void kick(struct nic_queue *q, int way);
void push_tx(struct nic_queue *q);
void post(struct nic_queue *q, uint32_t n);
/* The next transmit answers: one line "tx STATUS..."; "none" when they do not come. */
void answers(struct nic_queue *q, uint32_t n);
/* All that was sent is answered; false: not in time. */
bool all_answered(struct nic_queue *q, uint32_t ms);

/* frames */
extern const uint8_t broadcast[6];
/* An Ethernet frame of an experimental type, @seed all over. */
void fill(uint8_t *f, uint32_t bytes, const uint8_t dst[6], uint8_t seed);
/* A TCP packet of IPv4 with the pseudo-header's sum where its checksum goes. */
void fill_tcp(uint8_t *f, uint32_t bytes, uint8_t seed);

/* sins */
uint32_t mcast(struct nic_queue *q, uint8_t type, uint8_t last); /* slots */
void step_sin(struct nic_queue *q, const char *name, bool answered);
void step_sins(struct nic_queue *q, const char *name, uint32_t times);
void step_full(struct nic_queue *q);
void step_flip(struct nic_queue *q, uint32_t ms, uint32_t seed);
void step_storm(struct nic_queue *q, uint32_t ms);
void step_states(uint32_t ms, uint32_t seed);

#endif

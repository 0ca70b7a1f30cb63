/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-queue.h - one queue of a nic: what its thread does in a turn, guest to link (net-queue-tx.c) and link to
 * guest (net-queue-rx.c).
 *
 * Each way has one buffer for the frames of a turn, and one grant copy moves them all.  Nothing is allocated for
 * a packet, and no page of the guest is mapped but its rings: a slot is free again as soon as it was copied.
 */
#ifndef SYNTH_NET_QUEUE_H
#define SYNTH_NET_QUEUE_H

#include "backend/net/link.h"
#include "backend/net/net-journal.h"
#include "backend/net/net-pace.h"
#include "backend/net/net-rate.h"
#include "backend/net/net-rx.h"
#include "backend/net/net-trace.h"
#include "backend/worker/device.h"
#include "common/net/cut.h"
#include "common/ring/ring.h"

#define NET_BATCH        64u /* packets of a turn, each way */
#define NET_BUFFER_BYTES 262144u
#define NET_FRAME_ALIGN  64u
/* Of the receive buffer: a packet that is being cut, behind the frames of the turn. */
#define NET_CUT_AT       NET_BUFFER_BYTES
#define NET_RX_BUF_BYTES (NET_CUT_AT + (NET_RX_MAX_FRAME + 4095u) / 4096u * 4096u)

/* Written by the queue's thread (STAT_ADD), summed by the main thread.  "tx" is what the guest sends. */
#define NET_STATS(X)                                                                                       \
	X(tx_packets)                                                                                      \
	X(tx_bytes)                                                                                        \
	X(tx_gso_packets)                                                                                  \
	X(tx_errors)     /* the guest's mistakes: answered with an error */                                \
	X(tx_dropped)    /* the link had no room, or is down */                                            \
	X(tx_rate_waits) /* times the rate held a packet back */                                           \
	X(tx_room_waits) /* times a packet waited for room in the link */                                  \
	X(tx_copy_calls)                                                                                   \
	X(tx_copy_segments)                                                                                \
	X(rx_packets)                                                                                      \
	X(rx_bytes)                                                                                        \
	X(rx_gso_packets)                                                                                  \
	X(rx_cut)      /* packets cut into segments here, for a guest that would not behind a VLAN tag */  \
	X(rx_errors)   /* the guest's buffers could not be written */                                      \
	X(rx_dropped)  /* not fit for this guest: too long, to be cut, or nonsense; or the link is down */ \
	X(rx_filtered) /* multicast the guest did not ask for */                                           \
	X(rx_stalled)  /* dropped because the guest gave no buffers for NET_STALL_NS */                    \
	X(rx_waits)    /* times a frame had to wait for buffers */                                         \
	X(rx_copy_calls)                                                                                   \
	X(rx_copy_segments)                                                                                \
	X(mcast_changes)

struct net_stats {
#define X(name) uint64_t name;
	NET_STATS(X)
#undef X
};
void net_stats_add(struct net_stats *to, const struct net_stats *from);

/* One nic. */
struct net_dev {
	struct device *dev;
	struct link link;
	uint32_t features;    /* NET_F_*, of this connection */
	pthread_mutex_t lock; /* of what follows, up to `past`, and of net_journal_of()->mcast */
	struct net_rate rate;
	uint32_t rates; /* so many there have been; also read without the lock */
	struct net_trace trace;
	struct net_stats past; /* of queues that are gone: the main thread's */
	/* atomic: written by the main thread, read by the queues */
	bool limited, link_down, filtered;
};

/* While there are queues; else NULL. */
static inline struct net_journal *net_journal_of(const struct net_dev *nic)
{
	return nic->dev->journal.class_part;
}

/* A frame that was read and not yet given to the guest. */
struct net_frame {
	uint8_t *data;
	uint32_t bytes, slots; /* of the ring */
	struct net_meta meta;
};

struct net_queue {
	struct queue *q;
	struct net_dev *nic;
	struct link_queue *link;
	struct net_stats stats;
	uint32_t sins;  /* of the guest in this turn */
	uint64_t until; /* ns: arm() wants to be woken then; UINT64_MAX: never */

	struct ring_back tx;
	struct redo tx_redo; /* where its responses go */
	uint8_t *tx_buf;
	uint64_t sent_at;           /* ns: the guest sent something */
	uint32_t slot_at, slot_end; /* slots taken and not dealt with */
	uint64_t rate_until;        /* ns: when the next packet may go; 0: now */
	uint32_t rates;             /* the nic's, when that was said: another one may say otherwise */
	uint64_t room_until;        /* ns: the next packet waits for room in the link till then; 0: it does not */
	uint32_t room_bytes;        /* of that packet */
	bool overrun;               /* it waited in vain: what has no room is dropped, until something has */
	union net_tx_slot slots[NET_RING_SLOTS];
	struct net_tx_packet packets[NET_BATCH];
	uint8_t *frames[NET_BATCH];
	int16_t status[NET_BATCH];
	struct link_frame out[NET_BATCH];
	uint8_t out_of[NET_BATCH]; /* out[k] is packets[out_of[k]] */
	struct grant_seg tx_segs[NET_BATCH * NET_TX_MAX_FRAGS];

	struct ring_back rx;
	struct redo rx_redo;
	uint8_t *rx_buf;
	bool have, stalled, link_dead, poll_link; /* have: .next is a frame */
	uint64_t waiting_since;                   /* ns: .next lacks buffers since; 0: it does not */
	uint64_t discard_at;                      /* ns: stalled: when to throw away again */
	struct net_frame next;
	struct net_cut cut; /* what comes after .next, of a packet at NET_CUT_AT; between turns not without .next */
	uint32_t looks;
	struct net_pace pace;
	uint64_t read_at; /* ns: the link is not read before; 0: now */
	union net_rx_slot answers[NET_RING_SLOTS];
	struct net_rx_plan_frame {
		uint32_t first, slots, segs;
		struct net_meta meta;
		uint32_t bytes;
	} plans[NET_BATCH];
	struct grant_seg rx_segs[NET_RING_SLOTS];
};

/* Each: > 0 did so much, 0 nothing, -EPROTO the ring is broken.  *notify: the front end wants to be told. */
int net_queue_tx(struct net_queue *n, uint64_t now, bool *notify) __must_check;
int net_queue_rx(struct net_queue *n, uint64_t now, bool *notify) __must_check;
bool net_queue_tx_peek(struct net_queue *n);
bool net_queue_rx_peek(struct net_queue *n);
/* > 0 work, 0 may sleep till *until (ns, lowered when there is a time), -EPROTO. */
int net_queue_tx_arm(struct net_queue *n, uint64_t now, uint64_t *until) __must_check;
int net_queue_rx_arm(struct net_queue *n, uint64_t now, uint64_t *until) __must_check;

/* The class's calls. */
int net_queue_start(struct queue *q);
int net_queue_open(struct queue *q, const struct wire_connect *c);
void net_queue_close(struct queue *q);
int net_queue_turn(struct queue *q, bool take);
bool net_queue_peek(struct queue *q);
int net_queue_arm(struct queue *q);
uint32_t net_queue_wait(struct queue *q, int64_t timeout_ns);
bool net_queue_drained(const struct queue *q);
uint64_t net_queue_idle(struct queue *q, uint64_t now, uint64_t idle_ns);

#endif

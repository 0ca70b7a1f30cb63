/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device.h - the life of a device in the data plane, and of its queues' threads.
 *
 *	OPEN       the image (or link) is there, no guest
 *	CONNECTED  rings mapped, one thread a queue
 *	DRAINING   no new requests (but those in the rings, when told to finish); what is in flight finishes, is answered and published; a thread that has
 *		   nothing left ends and tells the main thread
 *	then OPEN again: everything unmapped, ports closed.
 *
 * A front end that breaks the protocol halts all rings of its device (BROKEN is told once); the device stays
 * CONNECTED, deaf, until a DISCONNECT.  Memory is never unmapped while I/O may still touch it: a drain that does
 * not end is reported (DRAIN_WARN_NS), not cut.
 */
#ifndef SYNTH_DEVICE_H
#define SYNTH_DEVICE_H

#include <pthread.h>
#include "backend/class.h"
#include "backend/worker/journal.h"
#include "backend/worker/moderate.h"
#include "backend/worker/poll.h"
#include "common/base/list.h"
#include "common/log/log.h"
#include "common/xen/evtchn.h"
#include "common/xen/grant.h"

#define DRAIN_WARN_NS   5000000000ull
#define DEVICE_INFO_MAX 512u /* bytes of a class's reply to WIRE_OPEN */

/* What woke a queue's thread; the same bits as STORE_WOKE_*. */
#define QUEUE_WOKE_EVENT   1u
#define QUEUE_WOKE_CONTROL 2u

/* A counter written by one thread and read by others. */
#define STAT_ADD(c, n) __atomic_store_n(&(c), (c) + (n), __ATOMIC_RELAXED)
#define STAT_SET(c, n) __atomic_store_n(&(c), (n), __ATOMIC_RELAXED)
#define STAT_GET(c)    __atomic_load_n(&(c), __ATOMIC_RELAXED)

struct queue_stats {
	uint64_t events_in, events_out, events_spurious, turns, sleeps, polls, poll_hits, poll_ns, holds;
	uint32_t delay_ms; /* now: its port stays masked so long, after events with nothing behind them */
};

struct queue {
	struct device *dev;
	uint32_t index;
	void *pages; /* the mapped rings, one after the other: queue_ring() */
	uint32_t nr_rings, ring_pages;
	struct evtchn *evtchn;
	uint32_t nr_ports, port[WIRE_MAX_RINGS]; /* wire_connect.nr_ports */
	int control_fd;                          /* eventfd: look at .stop */
	void *priv;                              /* the class's */
	uint32_t error_tokens;                   /* see queue_penalty() */
	uint64_t error_ns;
	struct queue_stats stats;

	/* the thread's own */
	uint32_t masked;     /* bits by port: its event was read and it is not unmasked yet */
	bool worked;         /* requests were found since the last event */
	uint32_t spurious;   /* in a row */
	uint64_t unmask_at;  /* ns; 0: at once */
	const char *why;     /* the class's words for the -EPROTO it returns; NULL: it is the producer index */
	uint64_t now;        /* ns: set by a turn that did something */
	uint64_t busy_until; /* ns: end of the last such turn */
	bool rest;           /* the class, in a turn: do not look for more before sleeping */
	struct poll_ctl poll;
	uint64_t held_until; /* ns: the class holds an event back till then (moderate.h); 0: none */

	/* between the threads; atomic */
	bool finish;  /* main -> queue, before stop: what is in the ring is served first */
	bool leaving; /* main -> queue, before stop: a successor goes on from the journal */
	bool stop;    /* main -> queue: drain and end */
	bool ended;   /* queue -> main: the thread is about to return */
	pthread_t thread;
	bool running; /* main's own: to be joined */
};

enum device_state { DEVICE_OPEN, DEVICE_CONNECTED, DEVICE_DRAINING };

struct device {
	struct list link;
	uint32_t handle;
	const struct device_class *class;
	void *priv;
	char name[64];
	uint64_t poll_max_ns;
	enum device_state state;
	uint32_t nr_queues;
	struct queue *queues;
	struct journal journal;  /* while there are queues */
	struct queue_stats past; /* of connections that are over */
	/* DRAINING */
	uint64_t drain_since, drain_warned;
	bool left;          /* to a successor, who serves the same guest at once */
	uint32_t reply_seq; /* the DISCONNECT to answer */
	bool reply_due;
	/* broken: atomic; the reason is written before it is set, by the one that sets breaking */
	bool breaking, broken, broken_told;
	char broken_why[96];
	/* for the next control plane: WIRE_TAG's, and OPEN's reply */
	struct wire_tag tag;
	uint8_t tag_body[WIRE_TAG_MAX];
	int tag_fds[WIRE_MAX_FDS];
	uint32_t nr_tag_fds;
	uint32_t info_bytes;
	uint8_t info[DEVICE_INFO_MAX];
};

/* The worker around them (main.c). */
struct worker {
	uint32_t domid;
	struct grant *grant;
	uint32_t slowness; /* moderate_slowness() of this machine */
	int wake_fd;       /* eventfd: a queue ended, a device broke */
	struct list devices;
};
extern struct worker worker;
void worker_wake(void); /* from any thread */

struct device *device_find(uint32_t handle);
int device_open(uint32_t handle, const struct wire_msg *m, void *reply, uint32_t *reply_bytes,
		struct device **ret) __must_check;
int device_connect(struct device *d, const struct wire_connect *c, const int *fds, uint32_t nr_fds) __must_check;
/* Start draining; device_reap() says when it is over.  @finish: as in struct wire_disconnect. */
void device_disconnect(struct device *d, bool finish);
/* The same for a worker that goes: what takes long may be left to its successor, not answered. */
void device_leave(struct device *d);
/* True: drained, joined, unmapped; the state is OPEN. */
bool device_reap(struct device *d);
void device_close(struct device *d); /* OPEN only; frees it */
void device_stat(struct device *d, struct metrics_out *o);

/* A message a guest can cause. */
void worker_log_guest(enum log_level level, const char *fmt, ...) __printf(2, 3);

static inline void *queue_ring(const struct queue *q, uint32_t ring)
{
	return (uint8_t *)q->pages + (size_t)ring * q->ring_pages * PAGE_BYTES;
}

static inline size_t queue_ring_bytes(const struct queue *q)
{
	return (size_t)q->ring_pages * PAGE_BYTES;
}

/* queue.c */
void *queue_thread(void *arg);
void queue_notify(struct queue *q, uint32_t ring); /* that @ring has responses */
void queue_wake(struct queue *q);                  /* from the main thread: look at what was changed */

/* The longest that a queue of @d may hold an event back, ns; 0: it does not look, so it holds none. */
static inline uint64_t device_hold_ns(const struct device *d)
{
	return d->poll_max_ns ? (uint64_t)HOLD_NS * worker.slowness : 0;
}

/* One more bad request: after a burst of them the thread pauses for each (reliability: bad-request flood). */
void queue_penalty(struct queue *q, uint64_t now);
/* Plain wait for classes that have none of their own: event channel, control fd, and @events (poll(2)) of @fd when >= 0. */
uint32_t queue_wait_fds(struct queue *q, int fd, short events, int64_t timeout_ns);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * class.h - what a device class supplies to the data plane: a const table of calls.
 *
 * The core (backend/worker/) owns devices, queues, their threads, event channels and mapped ring pages, and
 * calls down.  It knows nothing of requests.  Each int is 0 or -errno unless said otherwise.
 *
 * Device calls come from the main thread, queue_* from the main thread while the queue's thread does not run; the
 * calls under "thread" from the queue's thread alone.
 */
#ifndef SYNTH_CLASS_H
#define SYNTH_CLASS_H

#include "backend/control/wire.h"
#include "backend/worker/sandbox.h"
#include "common/metrics/metrics.h"

struct device;
struct queue;

struct device_class {
	const char *name;    /* backend type in xenstore: "vbd" */
	const char *program; /* "synth-blkd-worker" */

	/*
	 * Before the process is confined: load and make what cannot be had later.  @parts: bits of the class's, of what only some
	 * devices need; the control plane sees to it that no other device comes.  NULL ok.
	 */
	void (*prepare)(uint32_t parts);
	/* The control plane says how much the guest may use of what is the class's; may change at any time.  NULL ok. */
	void (*limits)(const struct wire_limits *l);
	const struct sandbox_class *sandbox; /* the system calls it needs beyond the core's */

	/* WIRE_OPEN: @body and @fds (the class's from here on, also on failure) -> the device's priv and the reply. */
	int (*open)(struct device *d, const void *body, uint32_t bytes, const int *fds, uint32_t nr_fds, void *reply,
		    uint32_t *reply_bytes);
	int (*resize)(struct device *d, void *reply, uint32_t *reply_bytes); /* NULL: has no size */
	int (*set)(struct device *d, const void *body, uint32_t bytes);      /* WIRE_SET; NULL: nothing to set */
	/* Takes @fd; -1: stop; NULL: cannot. */
	int (*trace)(struct device *d, const struct wire_trace *t, int fd);
	void (*close)(struct device *d); /* no queue is left */
	/* Bytes of the class's part of the journal for such a connection; the same as struct control_class's. */
	uint64_t (*journal_bytes)(const struct wire_connect *c);
	/* Check what a WIRE_CONNECT asks for, before anything of the guest is mapped; d->journal is there. */
	int (*connect)(struct device *d, const struct wire_connect *c);

	/* The last queue is closed, d->left when a successor goes on at once; also after a connect that failed.  NULL ok. */
	void (*disconnected)(struct device *d);

	/* A queue with its ring pages mapped and its ports adopted: make everything its thread needs, from the journal when
	 * d->journal.resume; no thread runs yet.  -EBADMSG: the journal, or the ring, cannot be what was left there. */
	int (*queue_open)(struct queue *q, const struct wire_connect *c);
	void (*queue_close)(struct queue *q); /* let go of everything; nothing is in flight; idempotent */

	/* thread */
	int (*queue_start)(struct queue *q); /* first call in the thread */
	/* A bounded piece of work. @take: new requests may be taken. > 0: did something and q->now is the time
	 * of its end, 0: nothing to do, -EPROTO: the front end broke the ring. */
	int (*turn)(struct queue *q, bool take);
	bool (*peek)(struct queue *q); /* cheap: would turn(take) find something? */
	/* How often to peek between two looks at the clock, which may be a system call (on an emulated CPU, in a guest):
	 * many where peek() reads memory alone. */
	uint32_t peeks;
	/* Ask the front end for an event, and look once more: > 0 work, 0 may sleep, -EPROTO. */
	int (*arm)(struct queue *q);
	/* An event is held back (q->held_until): send it if it is no longer worth it; @now UINT64_MAX: in any case. NULL:
	 * the class holds none. */
	void (*settle)(struct queue *q, uint64_t now);
	/* Sleep till the event channel, the control fd or a completion; QUEUE_WOKE_* bits. < 0: no timeout. */
	uint32_t (*wait)(struct queue *q, int64_t timeout_ns);
	/* Nothing in flight, but for what is left to a successor when q->leaving. */
	bool (*drained)(const struct queue *q);
	bool lingers; /* a front end that closes may yet put requests in, and wait for them */
	/* Nothing has happened for @idle_ns: give memory back. Returns ns after which to call again, or 0. */
	uint64_t (*idle)(struct queue *q, uint64_t now, uint64_t idle_ns);

	/* any thread */
	/* A disconnect waits, or the worker goes (q->leaving is set): cut long work short; NULL: there is none. */
	void (*hurry)(struct queue *q);
	void (*stat)(struct device *d, uint64_t now, struct metrics_out *o);
};

/*
 * The class of this worker.  Each class has a worker binary of its own, of the same core: a worker that serves a
 * guest's nics carries no image store, a disk's no packet parser, and each can be confined to the system calls it needs.
 */
extern const struct device_class *const worker_class;

#endif

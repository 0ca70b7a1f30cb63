/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wire.h - what the control plane and a worker say to each other, over a SOCK_SEQPACKET socketpair (fd 3 in the
 * worker).  One message a packet: struct wire_hdr, then `bytes` of body; fds travel as SCM_RIGHTS.  Both ends are
 * of one build, so bodies are C structs; still, each side checks sizes and ranges, since the other may have been
 * taken over by a guest (worker) or be another version (upgrade).
 *
 * The control plane asks, the worker answers each request once with the same type and seq and WIRE_REPLY set,
 * err 0 or -errno.  Requests may overlap; a DISCONNECT is answered when the drain is over.  WIRE_EV_* come
 * unasked from the worker.
 *
 * When the socket closes without a QUIT, the control plane has died: the worker serves on, and waits at WIRE_LISTEN_FD for
 * the next one, which it greets with HELLO and a DEVICE for each of its devices (one that has none ends).  That one bounds
 * how many these are and what they take (find.c), and kills who goes beyond.  Without that socket, and after a QUIT or
 * SIGTERM, it finishes what is in flight, publishes the responses and exits; it never leaves a request half answered.
 */
#ifndef SYNTH_WIRE_H
#define SYNTH_WIRE_H

#include "common/base/base.h"

#define WIRE_MAGIC     0x48545953u /* "SYTH" */
#define WIRE_VERSION   3u
#define WIRE_FD        3
#define WIRE_LISTEN_FD 4 /* where a later control plane finds the worker: a listening socket, if there is one */
#define WIRE_MAX_BODY  32768u
#define WIRE_MAX_FDS   66u /* a pair of nics: two memories, two bells a queue */

#define WIRE_MAX_QUEUES 32u
#define WIRE_MAX_ORDER  4u
#define WIRE_MAX_PAGES  (1u << WIRE_MAX_ORDER)
#define WIRE_MAX_RINGS  2u /* of one queue: a disk's has one, a nic's has tx and rx */

enum wire_type {
	WIRE_HELLO = 1, /* worker's first message to each control plane, unasked: struct wire_hello */
	WIRE_OPEN, /* class-specific body (backend/CLASS/CLASS-wire.h) + its fds; reply body: class-specific info */
	WIRE_CONNECT, /* struct wire_connect + one event channel fd a queue (its ports bound, in the body) + the journal's fd */
	WIRE_DISCONNECT, /* struct wire_disconnect; idempotent, the first one's body counts */
	WIRE_CLOSE,      /* forget the device; must be disconnected */
	WIRE_STAT,       /* reply body: metrics text (common/metrics) */
	WIRE_RESIZE,     /* look at the image's size again; reply body as OPEN's */
	WIRE_QUIT,       /* drain everything, answer, exit */
	WIRE_SET,        /* class-specific body: settings that change while the device lives; any time after OPEN */
	WIRE_TRACE,      /* struct wire_trace + a file's fd: record what passes; without an fd: stop */
	WIRE_EV_BROKEN, /* the front end broke the protocol, its rings are halted: body is the reason as text; once a CONNECT */
	/* 12 was a message of workers that may still be found */
	WIRE_TAG = 13, /* struct wire_tag, the class's bytes, fds: not for the worker, but for the next control plane */
	WIRE_DEVICE, /* unasked, after HELLO: struct wire_device, the class's bytes and fds of its TAG, OPEN's reply */
	WIRE_LIMITS, /* struct wire_limits: for all devices, from now on; before the first CONNECT, and when it changes */
	WIRE_REPLY = 0x8000, /* or-ed to the type of a reply */
};

struct wire_hdr {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t seq;
	uint32_t handle; /* the device, a number the control plane chose, unique in this worker's life */
	int32_t err;
	uint32_t bytes; /* of body */
};

/* wire_connect.resume */
#define WIRE_RESUME_NOT   0u /* a new connection */
#define WIRE_RESUME       1u /* a predecessor served these rings: go on from the journal */
#define WIRE_RESUME_BLAME 2u /* the same, and it died of what it was doing, as far as can be told */

struct wire_hello {
	uint32_t nr_devices; /* so many WIRE_DEVICE follow */
	uint32_t parts;      /* which it was started with (struct control_class, parts()) */
};

#define WIRE_PARTS_ALL UINT32_MAX /* of a worker that was not told at its start; an older one's HELLO ends before it */

#define WIRE_UUID_MAX 40u
#define WIRE_TAG_MAX  512u /* bytes of the class in a TAG */

/* What a control plane knows of a device and its successor would not. */
struct wire_tag {
	char uuid[WIRE_UUID_MAX];
	uint64_t id[2]; /* of what it stands on (struct open_job) */
	uint32_t pad;   /* workers from before tell something here, which is not heard */
	uint32_t bytes; /* of the class, after this */
};

enum wire_device_state { WIRE_DEVICE_OPEN, WIRE_DEVICE_CONNECTED, WIRE_DEVICE_DRAINING };

struct wire_device {
	struct wire_tag tag; /* uuid "": there was none */
	uint32_t state;      /* enum wire_device_state */
	uint32_t broken;     /* 1: its rings are halted, for this reason: */
	char broken_why[96];
	uint32_t info_bytes; /* of OPEN's reply as it would be now, after the class's bytes of the tag */
	uint32_t pad;
};

/* Front end's parameters, already checked by the control plane. */
struct wire_connect {
	uint32_t resume;    /* WIRE_RESUME_* */
	uint32_t abi;       /* class-specific: enum blk_abi */
	uint32_t features;  /* class-specific bits the front end asked for and we offered */
	uint32_t nr_queues; /* 1..WIRE_MAX_QUEUES */
	uint32_t order;     /* pages of one ring = 1 << order, 0..WIRE_MAX_ORDER */
	uint32_t nr_rings;  /* of one queue, 1..WIRE_MAX_RINGS */
	uint32_t nr_ports;  /* of one queue, 1..nr_rings: with fewer than rings, the last one serves the others too */
	struct wire_queue {
		uint32_t port[WIRE_MAX_RINGS]; /* local ports, all on the queue's one event channel fd */
		uint32_t refs[WIRE_MAX_RINGS * WIRE_MAX_PAGES]; /* ring r's pages start at refs[r << order] */
	} queue[WIRE_MAX_QUEUES];
};

struct wire_disconnect {
	/*
	 * 1: the front end has stopped and waits for us, so what it left in its rings is served too: a guest's kernel may
	 * wait for these answers for ever.  0: only what was taken; the pages may be in use for something else.
	 */
	uint32_t finish;
};

/* What the guest may use of this host through this worker. */
struct wire_limits {
	uint32_t max_grants;   /* pages of it that are mapped */
	uint32_t bounce_pages; /* memory for data on its way, beyond 1 MiB that each ring of a disk has */
};

struct wire_trace {
	uint64_t max_bytes; /* of the file */
	uint32_t snaplen;   /* bytes kept of a packet */
};

struct wire_msg {
	struct wire_hdr hdr;
	uint8_t body[WIRE_MAX_BODY];
	int fds[WIRE_MAX_FDS];
	uint32_t nr_fds;
};

/* Send; the fds stay the caller's.  0 or -errno (-EAGAIN when the socket is full and non-blocking). */
int wire_send(int sock, const struct wire_hdr *hdr, const void *body, const int *fds, uint32_t nr_fds) __must_check;
/* Receive one message into @m, checked for magic, version and sizes; received fds (CLOEXEC) are the caller's.
 * 0, -EAGAIN, -EPIPE at end of file, -EPROTO for nonsense (its fds are closed). */
int wire_recv(int sock, struct wire_msg *m) __must_check;

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link.h - where a guest's frames go and come from: a TAP, another guest's nic, a socket, nowhere.
 *
 * A link is made by the control plane, which hands the worker its descriptors; one thread uses a link_queue at a time.  Frames are
 * private memory with LINK_HEADROOM bytes in front of them which are the link's to overwrite: a TAP wants its header
 * and the frame in one piece, in one system call.
 */
#ifndef SYNTH_LINK_H
#define SYNTH_LINK_H

#include <linux/virtio_net.h>
#include "backend/control/wire.h"
#include "backend/net/net-wire.h"
#include "common/base/base.h"

#define LINK_HEADROOM 16u

struct link_queue;

/* A frame to be sent. */
struct link_frame {
	uint8_t *data; /* with LINK_HEADROOM before it */
	uint32_t bytes;
	int rc; /* out: 0; -EAGAIN: no room now, it is not taken; else it was not sent and will not be */
	struct virtio_net_hdr v;
};

struct link_ops {
	bool offload; /* takes unfinished checksums and packets to be cut; else a frame must be as it goes onto a wire */
	/* A guest has connected with @nr_queues and these features (NET_F_*), or has gone (0).  May be NULL. */
	void (*connected)(struct link_queue *queues, uint32_t nr, uint32_t nr_queues, uint32_t features);
	/* The frames of a turn, in this order.  Each has its rc. */
	void (*send)(struct link_queue *l, struct link_frame *frames, uint32_t nr);
	/* A frame of at most @room bytes: its length; 0: none now; -EMSGSIZE: one that was too long, gone; else the link is dead. */
	int (*recv)(struct link_queue *l, struct virtio_net_hdr *v, uint8_t *frame, uint32_t room);
	/* What follows may be NULL. */
	/* Throw away what lies there for a guest that was away. NULL: as recv() finds it. */
	void (*forget)(struct link_queue *l);
	/* Would recv() find something? Cheaper than recv(). */
	bool (*peek)(struct link_queue *l);
	/* Before sleeping on fd. True: recv() will find something, do not sleep. NULL: fd alone tells. */
	bool (*arm)(struct link_queue *l);
	/* A link that can let the guest wait: is there room for a frame of so many bytes? NULL: what has none is dropped. */
	bool (*room)(struct link_queue *l, uint32_t bytes);
	/* Before sleeping on fd for room, which may come without a sign. True: there is room, do not sleep. */
	bool (*arm_room)(struct link_queue *l, uint32_t bytes);
	/* Is a frame that was taken not all gone? Then sleeping is also till fd is writable. */
	bool (*owes)(struct link_queue *l);
	/* After sleeping on fd, before anything is looked at. */
	void (*woke)(struct link_queue *l);
};

struct link_queue {
	const struct link_ops *ops;
	int fd;     /* readable: recv() will find something (once ops->arm was called, if it has one); -1: never */
	void *priv; /* the kind's */
};

struct link {
	enum net_link_kind kind;
	const struct link_ops *ops;
	uint32_t nr; /* queues that can be served */
	struct link_queue queues[WIRE_MAX_QUEUES];
};

/* Takes the fds, also when it fails.  0 or -errno. */
int link_open(struct link *l, enum net_link_kind kind, const int *fds, uint32_t nr_fds) __must_check;
void link_close(struct link *l);
/* As ops->connected, with what every kind does: what lay there for a guest that was not is thrown away.  @again: the guest
 * was there all the time, and it is its. */
void link_connected(struct link *l, uint32_t nr_queues, uint32_t features, bool again);

extern const struct link_ops link_null_ops, link_tap_ops, link_pair_ops, link_stream_ops;
int link_stream_init(struct link_queue *l) __must_check;
void link_stream_fini(struct link_queue *l);
/* @memory: of what goes out and of what comes in, each of @nr rings of PAIR_RING_SIZE; the queues have their fds. */
int link_pair_init(struct link_queue *queues, uint32_t nr, const int memory[2]) __must_check;
void link_pair_fini(struct link_queue *queues);

#endif

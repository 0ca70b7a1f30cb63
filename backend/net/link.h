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

struct link_ops {
	bool offload; /* takes unfinished checksums and packets to be cut; else a frame must be as it goes onto a wire */
	/* A guest has connected with @nr_queues and these features (NET_F_*), or has gone (0).  May be NULL. */
	void (*connected)(struct link_queue *queues, uint32_t nr, uint32_t nr_queues, uint32_t features);
	/* 0; -EAGAIN: no room now, the frame is not taken; else it was not sent and will not be. */
	int (*send)(struct link_queue *l, const struct virtio_net_hdr *v, uint8_t *frame, uint32_t bytes);
	/* A frame of at most @room bytes: its length; 0: none now; -EMSGSIZE: one that was too long, gone; else the link is dead. */
	int (*recv)(struct link_queue *l, struct virtio_net_hdr *v, uint8_t *frame, uint32_t room);
};

struct link_queue {
	const struct link_ops *ops;
	int fd;     /* readable: recv() will find something; -1: never */
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
/* As ops->connected, with what every kind does: what lay there for a guest that was not is thrown away. */
void link_connected(struct link *l, uint32_t nr_queues, uint32_t features);

extern const struct link_ops link_null_ops, link_tap_ops, link_pair_ops, link_stream_ops;
int link_stream_init(struct link_queue *l) __must_check;
void link_stream_fini(struct link_queue *l);

#endif

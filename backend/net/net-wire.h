/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-wire.h - bodies of the wire's messages (backend/control/wire.h) for class vif.
 */
#ifndef SYNTH_NET_WIRE_H
#define SYNTH_NET_WIRE_H

#include "backend/control/wire.h"
#include "common/base/base.h"

/* wire_connect.features: what the front end can take (RX), and what it asks for. */
#define NET_F_SG        0x01u /* packets of several slots */
#define NET_F_GSO4      0x02u
#define NET_F_GSO6      0x04u
#define NET_F_CSUM4     0x08u /* unfinished TCP and UDP checksums over IPv4 */
#define NET_F_CSUM6     0x10u
#define NET_F_RX_NOTIFY 0x20u /* it sends an event when it gives us buffers */
#define NET_F_ALL       0x3fu

/* The rings of a queue (wire_connect.nr_rings is 2), and its ports when there are two. */
#define NET_RING_TX 0u
#define NET_RING_RX 1u

enum net_link_kind {
	NET_LINK_NULL, /* takes everything, gives nothing; no fd */
	NET_LINK_TAP,  /* one TAP queue an fd */
	NET_LINK_PAIR, /* memory of what goes out, and of what comes in (pair-ring.h); then a socket a queue: the bell */
	NET_LINK_STREAM, /* one stream socket: 4 bytes of length, big endian, and a frame */
	NET_NR_LINKS
};

#define NET_NAME_MAX 64u

/* WIRE_OPEN, with the link's fds: queue k has fd k (of a pair: 2 + k); queues beyond them have none and only take. */
struct net_open {
	uint32_t kind;
	uint32_t poll_max_us;
	uint32_t again; /* 1: there is a guest, whose worker is gone: the other side of the link need not see that */
	char name[NET_NAME_MAX]; /* of the device, for the log */
};

/* Its reply. */
struct net_info {
	uint32_t max_queues; /* the link can serve, 1.. */
	uint32_t offload;    /* 1: it takes unfinished checksums and packets to be cut */
};

/* WIRE_SET. */
struct net_set {
	uint64_t rate_bytes; /* the guest may send so many a rate_usec; 0: as many as it likes */
	uint32_t rate_usec;
	uint32_t link_up;        /* 0: nothing goes either way */
	uint32_t mcast_filtered; /* only the multicast addresses the guest named are let through */
};

#endif

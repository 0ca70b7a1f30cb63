/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tap.h - TAPs of this host, for the control plane: made, named, joined to a bridge, removed.  Calls may take a while
 * (Open vSwitch): they are made on a job's thread.
 */
#ifndef SYNTH_TAP_H
#define SYNTH_TAP_H

#include "backend/net/net-target.h"

#define TAP_MTU_MAX 65521u /* with its Ethernet header no packet is longer than 65535 */

struct tap_want {
	char name[NET_IFNAME_MAX];
	enum net_target_kind join;   /* NET_TARGET_BRIDGE or _OVS: into @bridge; else nothing */
	char bridge[NET_IFNAME_MAX]; /* "" */
	uint32_t mtu;                /* 0: the bridge's, else 1500 */
	uint32_t queues;             /* at most */
	bool ours;                   /* a TAP of this name is one that we made before */
	const char *mac;             /* of the guest: told to Open vSwitch */
	const char *device;          /* the same */
};

struct tap_got {
	bool created; /* by us: it goes when the nic does */
	uint32_t mtu, nr_fds, ifindex;
	int fds[WIRE_MAX_QUEUES]; /* non-blocking, with vnet_hdr: a queue each; the caller's */
};

/* 0 or -errno and @f. */
int tap_open(const struct tap_want *w, struct tap_got *ret, struct fault *f) __must_check;
/* Take it out of Open vSwitch, where it stays otherwise, and let it vanish with its last descriptor, which @fd may be. */
void tap_remove(const char *name, enum net_target_kind join, const char *bridge, bool created, int fd);

#endif

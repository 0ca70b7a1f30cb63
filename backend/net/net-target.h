/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-target.h - the words for a nic: where it is connected, its MAC, its name.  Pure.
 *
 *   tap:[NAME]            a TAP of this host (vifDOMID.INDEX without a name)
 *   bridge:BR             the same, put into a bridge; ovs:BR into one of Open vSwitch
 *   pair:DOM/ethX         another guest's nic, which names this one
 *   stream:/PATH          a Unix stream socket that listens: passt, QEMU
 *   null:                 nowhere
 */
#ifndef SYNTH_NET_TARGET_H
#define SYNTH_NET_TARGET_H

#include "backend/control/class.h"
#include "backend/net/net-tx.h"

#define NET_TARGET_MAX 160u
#define NET_IFNAME_MAX 16u /* as the kernel's, with the NUL */

enum net_target_kind {
	NET_TARGET_TAP,
	NET_TARGET_BRIDGE,
	NET_TARGET_OVS,
	NET_TARGET_PAIR,
	NET_TARGET_STREAM,
	NET_TARGET_NULL,
};

struct net_target {
	enum net_target_kind kind;
	char name[NET_TARGET_MAX]; /* what stands behind the colon; of a TAP maybe "" */
};

/* 0, or -EINVAL with the reason in @f. */
int net_target_parse(const char *text, struct net_target *ret, struct fault *f) __must_check;
/* A name the kernel takes for an interface, and which is safe in paths and arguments. */
bool net_ifname_ok(const char *name);

/* "eth0" or "0" <-> 0. */
int net_dev_parse(const char *text, uint32_t *vdev) __must_check;
void net_dev_name(uint32_t vdev, char name[VDEV_NAME_MAX]);
int net_dev_nth(uint32_t n, uint32_t *vdev) __must_check;

#endif

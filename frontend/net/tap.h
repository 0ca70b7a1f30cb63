/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tap.h - a TAP interface of this machine's kernel: frames with a struct virtio_net_hdr in front, a descriptor a queue.
 *
 * It goes away with its descriptors.  Needs CAP_NET_ADMIN.  Functions return 0 or -errno.
 */
#ifndef SYNTH_TAP_H
#define SYNTH_TAP_H

#include "common/base/base.h"
#include "common/net/offload.h"

#define TAP_NAME_MAX   16u /* with its NUL */
#define TAP_MAX_QUEUES 32u

struct tap {
	char name[TAP_NAME_MAX];
	int fd[TAP_MAX_QUEUES]; /* non-blocking */
	uint32_t nr;            /* opened */
	uint32_t attached;      /* in use: the first so many */
	int ctl;                /* a socket for its ioctls */
};

/* @name: letters, digits, '-', '_', '.': -EINVAL else.  -EBUSY: there is an interface of that name. */
int tap_open(struct tap *t, const char *name, uint32_t queues) __must_check;
void tap_close(struct tap *t); /* also one that failed to open */

int tap_set_mac(struct tap *t, const uint8_t mac[6]) __must_check;
int tap_set_mtu(struct tap *t, uint32_t mtu) __must_check;
int tap_set_up(struct tap *t) __must_check;
int tap_set_carrier(struct tap *t, bool up) __must_check;
/* What the other side takes from the TAP's user; the rest is done by the kernel before we see the frame. */
int tap_set_offloads(struct tap *t, const struct net_takes *takes) __must_check;
/* The largest frame to be cut in segments later, in bytes. */
int tap_set_gso_max(struct tap *t, uint32_t bytes) __must_check;
/* Use the first @nr queues only. */
int tap_attach(struct tap *t, uint32_t nr) __must_check;

#endif

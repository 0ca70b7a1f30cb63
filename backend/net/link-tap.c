/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link-tap.c - a queue of a TAP with vnet_hdr: virtio_net_hdr and frame, one packet a call.
 *
 * A TAP hands its flows to every queue that is attached, so only those that a guest's queue serves are, and while there
 * is no guest the TAP has no carrier and its packets go nowhere.
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "backend/net/link.h"

#ifndef TUNSETCARRIER
#define TUNSETCARRIER _IOW('T', 226, int)
#endif

#define HDR sizeof(struct virtio_net_hdr)
_Static_assert(sizeof(struct virtio_net_hdr) <= LINK_HEADROOM, "a TAP's header fits before a frame");

/*
 * Without the C library around the calls.  In a process with threads it makes each a place where the thread might be cancelled,
 * and after a system call the CPU has forgotten its way back, so that every return from a function costs a mispredicted
 * branch: together 5 % of a small frame.  Nothing here is ever cancelled.  The number of bytes, or -errno.
 */
static inline ssize_t raw_call(long nr, int fd, void *buf, size_t bytes)
{
	long r;

#if defined(__x86_64__)
	__asm__ volatile("syscall" : "=a"(r) : "0"(nr), "D"((long)fd), "S"(buf), "d"(bytes) : "rcx", "r11", "memory");
#else
	r = syscall(nr, fd, buf, bytes);
	if (r < 0)
		r = -errno;
#endif
	return r;
}

static int got(ssize_t n, uint32_t room)
{
	if (n < 0)
		return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
	if (n == 0)
		return -EPIPE;
	if ((size_t)n <= HDR || (size_t)n > HDR + room)
		return -EMSGSIZE;
	return (int)((size_t)n - HDR);
}

static void tap_send(struct link_queue *l, struct link_frame *frames, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct link_frame *f = &frames[i];

		memcpy(f->data - HDR, &f->v, HDR);
		f->rc = (int)MIN(raw_call(SYS_write, l->fd, f->data - HDR, HDR + f->bytes), 0); /* -EAGAIN: no room */
	}
}

static int tap_recv(struct link_queue *l, struct virtio_net_hdr *v, uint8_t *frame, uint32_t room)
{
	int n = got(raw_call(SYS_read, l->fd, frame - HDR, HDR + room), room);

	if (n > 0)
		memcpy(v, frame - HDR, HDR);
	return n;
}

static uint32_t offloads(uint32_t features)
{
	uint32_t tun = 0;

	/* One bit for both families: what a guest cannot finish is finished here (net-hdr.c). */
	if (features & (NET_F_CSUM4 | NET_F_CSUM6))
		tun |= TUN_F_CSUM;
	if ((features & (NET_F_SG | NET_F_GSO4 | NET_F_CSUM4)) == (NET_F_SG | NET_F_GSO4 | NET_F_CSUM4))
		tun |= TUN_F_TSO4;
	if ((features & (NET_F_SG | NET_F_GSO6 | NET_F_CSUM6)) == (NET_F_SG | NET_F_GSO6 | NET_F_CSUM6))
		tun |= TUN_F_TSO6;
	return tun;
}

static void tap_connected(struct link_queue *queues, uint32_t nr, uint32_t nr_queues, uint32_t features)
{
	int up = nr_queues > 0;

	/* What cannot be set is as it was: a TAP of one queue has none to take away, an old kernel no carrier. */
	if (up)
		(void)ioctl(queues[0].fd, TUNSETOFFLOAD, offloads(features));
	for (uint32_t i = 0; i < nr; i++) {
		struct ifreq ifr = { .ifr_flags = i < nr_queues ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

		if (i > 0 || up)
			(void)ioctl(queues[i].fd, TUNSETQUEUE, &ifr);
	}
	(void)ioctl(queues[0].fd, TUNSETCARRIER, &up);
}

const struct link_ops link_tap_ops = {
	.offload = true, .connected = tap_connected, .send = tap_send, .recv = tap_recv
};

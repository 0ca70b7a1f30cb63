/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-trace.c - see net-trace.h. */
#include <errno.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "backend/net/net-trace.h"

struct pcap_file {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, sigfigs, snaplen, linktype;
};

struct pcap_packet {
	uint32_t sec, nsec, kept, bytes;
};

int net_trace_start(struct net_trace *t, int fd, uint32_t snaplen, uint64_t max_bytes)
{
	/* The magic of nanosecond times, in our byte order; Ethernet. */
	const struct pcap_file h = { .magic = 0xa1b23c4d, .major = 2, .minor = 4, .snaplen = snaplen, .linktype = 1 };

	if (t->on) { /* somebody waits for that one */
		close(fd);
		return -EBUSY;
	}
	if (snaplen == 0 || max_bytes < sizeof(h) || write(fd, &h, sizeof(h)) != (ssize_t)sizeof(h)) {
		close(fd);
		return -EIO;
	}
	t->fd = fd;
	t->snaplen = snaplen;
	t->left = max_bytes - sizeof(h);
	t->packets = 0;
	__atomic_store_n(&t->on, true, __ATOMIC_RELEASE);
	return 0;
}

void net_trace_stop(struct net_trace *t)
{
	if (!t->on)
		return;
	__atomic_store_n(&t->on, false, __ATOMIC_RELAXED);
	close(t->fd);
	t->fd = -1;
}

void net_trace_frame(struct net_trace *t, const uint8_t *frame, uint32_t bytes)
{
	struct pcap_packet h = { .kept = MIN(bytes, t->snaplen), .bytes = bytes };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)(uintptr_t)frame, h.kept } }; /* only read */
	ssize_t total = (ssize_t)(sizeof(h) + h.kept);
	struct timespec now;

	if (!t->on)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	h.sec = (uint32_t)now.tv_sec;
	h.nsec = (uint32_t)now.tv_nsec;
	if ((uint64_t)total > t->left || writev(t->fd, iov, 2) != total) {
		net_trace_stop(t);
		return;
	}
	t->left -= (uint64_t)total;
	t->packets++;
}

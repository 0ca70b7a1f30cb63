/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-wire.c - libFuzzer target: packets of the socket between control plane and worker: what is short, long or false is
 * refused, with its descriptors closed; what is right arrives as it was sent.
 * links: backend/control/wire.c common/span/span.c common/metrics/metrics.c
 * Input: byte 0: descriptors that go with it, whether the header is put right; then the packet.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "backend/control/wire.h"
#include "common/metrics/metrics.h"
#include "tests/fuzz/fuzz.h"

static void send_raw(int sock, const uint8_t *packet, size_t bytes, uint32_t nr_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(80 * sizeof(int))];
	} c = { .buf = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)packet, bytes };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	const int any = 0; /* no socket: the kernel may hold one that was under way a little longer */

	if (nr_fds) {
		struct cmsghdr *cm;

		m.msg_control = c.buf;
		m.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cm = CMSG_FIRSTHDR(&m);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		for (uint32_t i = 0; i < nr_fds; i++)
			memcpy(CMSG_DATA(cm) + i * sizeof(int), &any, sizeof(any));
	}
	must(sendmsg(sock, &m, MSG_NOSIGNAL) == (ssize_t)bytes);
}

static int lowest_fd(void)
{
	int fd = dup(0);

	must(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wire_msg m;
	static uint8_t big[sizeof(struct wire_hdr) + WIRE_MAX_BODY + 64];
	struct feed f = { data, size };
	uint8_t how = feed_u8(&f);
	uint32_t nr_fds = how & 0x80 ? (how & 0x7f) % 80 : 0;
	size_t bytes = f.left;
	struct wire_hdr h;
	int sv[2], before, rc;

	feed_bytes(&f, big, bytes = MIN(bytes, sizeof(big)));
	if ((how & 1) && bytes >= sizeof(h)) { /* a good header: what is behind it matters */
		memcpy(&h, big, sizeof(h));
		h.magic = WIRE_MAGIC;
		h.version = WIRE_VERSION;
		h.bytes = (uint32_t)(bytes - sizeof(h));
		if (how & 2) /* longer than anybody may */
			bytes = sizeof(big), h.bytes = (uint32_t)(bytes - sizeof(h));
		memcpy(big, &h, sizeof(h));
	}
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
	before = lowest_fd();
	must(wire_recv(sv[1], &m) == -EAGAIN);
	send_raw(sv[0], big, bytes, nr_fds);
	rc = wire_recv(sv[1], &m);
	must(rc == 0 || rc == -EPROTO || (rc == -EPIPE && bytes == 0));
	if (rc == 0) {
		must(m.hdr.magic == WIRE_MAGIC && m.hdr.version == WIRE_VERSION && m.hdr.bytes == bytes - sizeof(h));
		must(m.hdr.bytes <= WIRE_MAX_BODY && m.nr_fds == nr_fds && nr_fds <= WIRE_MAX_FDS);
		must(memcmp(m.body, big + sizeof(h), m.hdr.bytes) == 0);
		for (uint32_t i = 0; i < m.nr_fds; i++)
			close(m.fds[i]);
		/* and once more, through the sender of our own */
		h = m.hdr;
		must(wire_send(sv[0], &h, m.body, NULL, 0) == 0 && wire_recv(sv[1], &m) == 0);
		must(memcmp(&m.hdr, &h, sizeof(h)) == 0);
		must(wire_send(sv[0], &h, m.body, NULL, WIRE_MAX_FDS + 1) == -EMSGSIZE);
	} else {
		must(m.nr_fds == 0);
	}
	must(lowest_fd() == before); /* none is left open */
	close(sv[0]);
	must(wire_recv(sv[1], &m) == -EPIPE);
	must(wire_send(sv[1], &h, m.body, NULL, 0) < 0 || !rc);
	close(sv[1]);
	return 0;
}

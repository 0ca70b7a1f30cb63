/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wire.c - one message a SOCK_SEQPACKET packet: header, body, fds (contract: wire.h).
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/control/wire.h"

union wire_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(WIRE_MAX_FDS * sizeof(int))];
};

int wire_send(int sock, const struct wire_hdr *hdr, const void *body, const int *fds, uint32_t nr_fds)
{
	struct wire_hdr h = *hdr;
	struct iovec iov[2] = {
		{ &h, sizeof(h) }, { (void *)(uintptr_t)body, hdr->bytes }, /* sendmsg() only reads it */
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = hdr->bytes ? 2 : 1 };
	union wire_control c;
	ssize_t n;

	if (hdr->bytes > WIRE_MAX_BODY || nr_fds > WIRE_MAX_FDS)
		return -EMSGSIZE;
	h.magic = WIRE_MAGIC;
	h.version = WIRE_VERSION;
	if (nr_fds) {
		struct cmsghdr *cm;

		memset(&c, 0, sizeof(c));
		m.msg_control = c.buf;
		m.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cm = CMSG_FIRSTHDR(&m);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nr_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return (size_t)n == sizeof(h) + hdr->bytes ? 0 : -EIO;
}

static void take_fds(struct msghdr *mh, struct wire_msg *m)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		size_t nr;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		nr = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < nr; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
			if (m->nr_fds < WIRE_MAX_FDS)
				m->fds[m->nr_fds++] = fd;
			else
				close(fd);
		}
	}
}

int wire_recv(int sock, struct wire_msg *m)
{
	struct iovec iov[2] = { { &m->hdr, sizeof(m->hdr) }, { m->body, sizeof(m->body) } };
	union wire_control c;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = c.buf, .msg_controllen = sizeof(c.buf) };
	ssize_t n;

	m->nr_fds = 0;
	do {
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EWOULDBLOCK)
			return -EAGAIN;
		return errno == ECONNRESET ? -EPIPE : -errno; /* the other end died with our message unread */
	}
	take_fds(&mh, m);
	if (n == 0 && !m->nr_fds)
		return -EPIPE;
	if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)n < sizeof(m->hdr) || m->hdr.magic != WIRE_MAGIC ||
	    m->hdr.version != WIRE_VERSION || m->hdr.bytes != (size_t)n - sizeof(m->hdr)) {
		for (uint32_t i = 0; i < m->nr_fds; i++)
			close(m->fds[i]);
		m->nr_fds = 0;
		return -EPROTO;
	}
	return 0;
}

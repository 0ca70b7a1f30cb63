/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-wire.c - the socket between control plane and worker: descriptors arrive, nonsense does not, and leaves none behind. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>
#include "backend/control/wire.h"

static struct wire_msg m;

static void pair(int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
}

static int lowest_fd(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void descriptors_arrive_with_their_message(void **state)
{
	const struct wire_hdr h = { .type = WIRE_CONNECT, .seq = 7, .handle = 3, .bytes = 5 };
	int sv[2], fds[2];
	char c = 0;

	pair(sv);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(wire_send(sv[0], &h, "hello", fds, 2), 0);
	assert_int_equal(wire_recv(sv[1], &m), 0);
	assert_int_equal(m.hdr.type, WIRE_CONNECT);
	assert_int_equal(m.hdr.seq, 7);
	assert_int_equal(m.hdr.handle, 3);
	assert_int_equal(m.nr_fds, 2);
	assert_memory_equal(m.body, "hello", 5);
	assert_true(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(m.fds[1], "x", 1), 1);
	assert_int_equal(read(fds[0], &c, 1), 1);
	for (int i = 0; i < 2; i++) {
		close(m.fds[i]);
		close(fds[i]);
		close(sv[i]);
	}
}

/* A descriptor of a message that is refused would stay open for ever. */
static void refused_messages_leave_no_descriptor(void **state)
{
	struct wire_hdr h = { .magic = WIRE_MAGIC, .version = WIRE_VERSION + 1, .type = WIRE_OPEN };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} c = { .buf = { 0 } };
	struct iovec iov = { &h, sizeof(h) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof(c.buf) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
	int sv[2], before;

	pair(sv);
	before = lowest_fd();
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &sv[0], sizeof(int));
	assert_int_equal(sendmsg(sv[0], &mh, 0), sizeof(h));
	assert_int_equal(wire_recv(sv[1], &m), -EPROTO);
	assert_int_equal(m.nr_fds, 0);
	assert_int_equal(lowest_fd(), before);
	close(sv[0]);
	close(sv[1]);
}

static void sizes_are_bounded_on_both_sides(void **state)
{
	struct wire_hdr h = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .type = WIRE_OPEN, .bytes = 9 };
	int sv[2];

	pair(sv);
	assert_int_equal(send(sv[0], &h, sizeof(h), 0), sizeof(h)); /* says more than it has */
	assert_int_equal(wire_recv(sv[1], &m), -EPROTO);
	assert_int_equal(send(sv[0], &h, 4, 0), 4);
	assert_int_equal(wire_recv(sv[1], &m), -EPROTO);
	h.bytes = WIRE_MAX_BODY + 1;
	assert_int_equal(wire_send(sv[0], &h, &m, NULL, 0), -EMSGSIZE);
	h.bytes = 0;
	assert_int_equal(wire_send(sv[0], &h, NULL, NULL, WIRE_MAX_FDS + 1), -EMSGSIZE);
	h.bytes = WIRE_MAX_BODY;
	assert_int_equal(wire_send(sv[0], &h, m.body, NULL, 0), 0);
	assert_int_equal(wire_recv(sv[1], &m), 0);
	assert_int_equal(m.hdr.bytes, WIRE_MAX_BODY);
	close(sv[0]);
	close(sv[1]);
}

static void a_full_socket_and_a_dead_peer_are_told_apart(void **state)
{
	const struct wire_hdr h = { .type = WIRE_STAT, .bytes = 4096 };
	int sv[2], rc;

	pair(sv);
	assert_int_equal(wire_recv(sv[1], &m), -EAGAIN);
	do {
		rc = wire_send(sv[0], &h, m.body, NULL, 0);
	} while (rc == 0);
	assert_int_equal(rc, -EAGAIN);
	close(sv[1]); /* with our messages unread */
	assert_int_equal(wire_recv(sv[0], &m), -EPIPE);
	assert_int_equal(wire_send(sv[0], &h, m.body, NULL, 0), -EPIPE);
	assert_int_equal(wire_recv(sv[0], &m), -EPIPE);
	close(sv[0]);
	assert_int_equal(wire_recv(-1, &m), -EBADF);
	assert_int_equal(wire_send(-1, &h, m.body, NULL, 0), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_arrive_with_their_message),
		cmocka_unit_test(refused_messages_leave_no_descriptor),
		cmocka_unit_test(sizes_are_bounded_on_both_sides),
		cmocka_unit_test(a_full_socket_and_a_dead_peer_are_told_apart),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}

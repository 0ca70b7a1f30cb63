/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* evtchn.c: event channels: delivery, masking, binding, errors, handles passed between processes. */
#include "tests/conform/conform.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xen/xen.h>

#define QUIET 30 /* ms in which an event that should not come would have come */

static void bind_delivers_one_event_at_once(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	ask("open 0");
	int port = xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)ask("unbound 0 0"));
	CHECK(port > 0);
	CHECK_EQ(event_within(e, 5000), port);
	CHECK_EQ(ask("pending 0 %d", QUIET), -1); /* the side that waited gets none */
}

static void notify_reaches_the_peer(void)
{
	struct channel c = channel_open();
	CHECK_EQ(xenevtchn_notify(c.e, (evtchn_port_t)c.port), 0);
	CHECK_EQ(ask("pending 0 5000"), c.guest_port);
	ask("unmask 0 %d", c.guest_port);
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(event_within(c.e, 5000), c.port);
}

static void notifications_before_the_read_are_one_event(void)
{
	struct channel c = channel_open();
	for (int i = 0; i < 100; i++)
		CHECK_EQ(xenevtchn_notify(c.e, (evtchn_port_t)c.port), 0);
	CHECK_EQ(ask("pending 0 5000"), c.guest_port);
	CHECK_EQ(ask("pending 0 %d", QUIET), -1);
}

static void masked_until_unmask_then_delivered_once(void)
{
	struct channel c = channel_open();
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(event_within(c.e, 5000), c.port);
	ask("notify 0 %d", c.guest_port);
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(event_within(c.e, QUIET), -1);
	CHECK_EQ(xenevtchn_unmask(c.e, (evtchn_port_t)c.port), 0);
	CHECK_EQ(event_within(c.e, 5000), c.port);
	CHECK_EQ(xenevtchn_unmask(c.e, (evtchn_port_t)c.port), 0);
	CHECK_EQ(event_within(c.e, QUIET), -1);
}

static void unmask_of_an_idle_port_makes_no_event(void)
{
	struct channel c = channel_open();
	CHECK_EQ(xenevtchn_unmask(c.e, (evtchn_port_t)c.port), 0);
	CHECK_EQ(xenevtchn_unmask(c.e, (evtchn_port_t)c.port), 0);
	CHECK_EQ(event_within(c.e, QUIET), -1);
}

static void unmask_of_a_foreign_port_is_ignored(void)
{
	struct channel c = channel_open();
	xenevtchn_handle *other = xenevtchn_open(NULL, 0);
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(event_within(c.e, 5000), c.port);
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(xenevtchn_unmask(other, (evtchn_port_t)c.port), 0);
	CHECK_EQ(event_within(c.e, QUIET), -1);
}

static void ports_of_one_handle_are_told_apart(void)
{
	struct channel c = channel_open();
	int gp = (int)ask("unbound 0 0"), port = xenevtchn_bind_interdomain(c.e, guest, (evtchn_port_t)gp);
	CHECK(port > 0 && port != c.port);
	CHECK_EQ(event_within(c.e, 5000), port);
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(event_within(c.e, 5000), c.port);
	ask("notify 0 %d", gp); /* still masked */
	CHECK_EQ(event_within(c.e, QUIET), -1);
}

static void notify_on_an_unbound_port_is_dropped(void)
{
	ask("open 0");
	long gp = ask("unbound 0 0");
	ask("notify 0 %ld", gp);
	CHECK_EQ(ask("pending 0 %d", QUIET), -1);
}

static void notify_on_anothers_port_is_enotconn(void)
{
	struct channel c = channel_open();
	xenevtchn_handle *other = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_notify(other, (evtchn_port_t)c.port), ENOTCONN);
	CHECK_FAILS(xenevtchn_notify(c.e, 3000), ENOTCONN);
}

static void unbind_on_anothers_port_is_enotconn(void)
{
	struct channel c = channel_open();
	xenevtchn_handle *other = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_unbind(other, (evtchn_port_t)c.port), ENOTCONN);
}

static void unbind_out_of_range_is_einval(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_unbind(e, 0x7fffffff), EINVAL);
}

static void bind_to_a_port_meant_for_another_domain_is_einval(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	ask("open 0");
	long gp = ask("unbound 0 %u", guest); /* for itself */
	CHECK_FAILS(xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)gp), EINVAL);
}

static void bind_to_a_bound_port_is_einval(void)
{
	struct channel c = channel_open();
	CHECK_FAILS(xenevtchn_bind_interdomain(c.e, guest, (evtchn_port_t)c.guest_port), EINVAL);
}

static void bind_to_a_port_never_allocated_is_einval(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_bind_interdomain(e, guest, 900), EINVAL);
	CHECK_FAILS(xenevtchn_bind_interdomain(e, guest, 0x00ffffff), EINVAL);
}

static void bind_to_an_unknown_domain_is_esrch(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_bind_interdomain(e, 32000, 1), ESRCH);
}

static void close_makes_the_peer_rebindable(void)
{
	struct channel c = channel_open();
	CHECK_EQ(xenevtchn_close(c.e), 0);
	ask("notify 0 %d", c.guest_port); /* lost, silently */
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	int port = xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)c.guest_port);
	CHECK(port > 0);
	CHECK_EQ(event_within(e, 5000), port); /* stands for what was lost */
	CHECK_EQ(xenevtchn_unmask(e, (evtchn_port_t)port), 0);
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(event_within(e, 5000), port);
}

static void unbind_makes_the_peer_rebindable(void)
{
	struct channel c = channel_open();
	CHECK_EQ(xenevtchn_unbind(c.e, (evtchn_port_t)c.port), 0);
	CHECK_FAILS(xenevtchn_notify(c.e, (evtchn_port_t)c.port), ENOTCONN);
	CHECK(xenevtchn_bind_interdomain(c.e, guest, (evtchn_port_t)c.guest_port) > 0);
}

static void an_unread_event_survives_the_peers_close(void)
{
	struct channel c = channel_open();
	CHECK_EQ(xenevtchn_notify(c.e, (evtchn_port_t)c.port), 0);
	CHECK_EQ(xenevtchn_close(c.e), 0);
	CHECK_EQ(ask("pending 0 5000"), c.guest_port);
}

static void the_guest_may_be_the_binding_side(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	int port = xenevtchn_bind_unbound_port(e, guest);
	CHECK(port > 0);
	ask("open 0");
	long gp = ask("interdomain 0 0 %d", port);
	CHECK_EQ(ask("pending 0 5000"), gp);
	ask("notify 0 %ld", gp);
	CHECK_EQ(event_within(e, 5000), port);
}

static void a_virq_is_bound_once(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_bind_virq(e, VIRQ_DOM_EXC), EEXIST); /* xenstored has it */
}

static void a_virq_out_of_range_is_einval(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_bind_virq(e, 1000), EINVAL);
}

static void ports_run_out_with_enospc_and_come_back(void)
{
	long v[2];
	ask("open 0");
	CHECK_EQ(ask_agent(0, v, 2, "fill 0 0"), 2);
	CHECK(v[0] > 900 && v[0] <= 1023); /* xl's default; the kernel has some */
	CHECK_EQ(v[1], ENOSPC);
	ask("close 0");
	ask("open 0");
	CHECK(ask("unbound 0 0") > 0);
}

static void the_lowest_free_port_is_given(void)
{
	long port[3];
	ask("open 0");
	for (int i = 0; i < 3; i++)
		port[i] = ask("unbound 0 0");
	CHECK(port[0] < port[1] && port[1] < port[2]);
	ask("unbind 0 %ld", port[1]);
	CHECK_EQ(ask("unbound 0 0"), port[1]);
}

static void an_unbound_port_waits_for_the_domain_it_is_for_alone(void)
{
	struct channel c = channel_open();
	CHECK_EQ(xenevtchn_close(c.e), 0);
	CHECK_EQ(try_ask("interdomain 0 %u %d", guest, c.guest_port), -1);
	CHECK_EQ(errno, EINVAL);
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK(xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)c.guest_port) > 0);
}

static void pending_waits_for_an_event(void)
{
	int status;
	struct channel c = channel_open();
	pid_t pid = fork();
	if (!pid) {
		nap_ms(50);
		ask("notify 0 %d", c.guest_port);
		_exit(0);
	}
	CHECK_EQ(xenevtchn_pending(c.e), c.port);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void the_descriptor_is_readable_exactly_when_an_event_waits(void)
{
	struct channel c = channel_open();
	struct pollfd p = { .fd = xenevtchn_fd(c.e), .events = POLLIN };
	CHECK_EQ(poll(&p, 1, 0), 0);
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(poll(&p, 1, 1000), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_EQ(xenevtchn_pending(c.e), c.port);
	CHECK_EQ(poll(&p, 1, 0), 0);
}

static void pending_on_a_nonblocking_descriptor_is_eagain(void)
{
	struct channel c = channel_open();
	CHECK_EQ(fcntl(xenevtchn_fd(c.e), F_SETFL, O_NONBLOCK), 0);
	CHECK_FAILS(xenevtchn_pending(c.e), EAGAIN);
}

static void restrict_confines_to_one_domain(void)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	ask("open 0");
	long gp = ask("unbound 0 0");
	CHECK_EQ(xenevtchn_restrict(e, (domid_t)guest), 0);
	CHECK_FAILS(xenevtchn_bind_unbound_port(e, guest + 1), EACCES);
	CHECK_FAILS(xenevtchn_bind_interdomain(e, guest + 1, 1), EACCES);
	CHECK_FAILS(xenevtchn_bind_virq(e, VIRQ_DEBUG), EACCES);
	CHECK_FAILS(xenevtchn_restrict(e, (domid_t)(guest + 1)), EACCES);
	CHECK(xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)gp) > 0);
}

/* --- handles that change hands ------------------------------------------------------ */

static void send_fd(int sock, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = { { 0 } };
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof(u.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	CHECK_EQ(sendmsg(sock, &m, 0), 1);
}

static int recv_fd(int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	char x;
	struct iovec iov = { &x, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof(u.buf) };
	int fd;
	CHECK_EQ(recvmsg(sock, &m, 0), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

static void step(int sock)
{
	char x;
	CHECK_EQ(write(sock, "s", 1), 1);
	CHECK_EQ(read(sock, &x, 1), 1);
}

/* The process that gets a handle: answers one event, twice, at the other's word; its own last act is to wait. */
static void adopter(int sock, int port)
{
	char x;
	int fd = recv_fd(sock);
	xenevtchn_handle *e = xenevtchn_fdopen(NULL, fd, 0);
	CHECK(e);
	CHECK_EQ(xenevtchn_fd(e), fd);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(read(sock, &x, 1), 1);
		CHECK_EQ(write(sock, "a", 1), 1);
		CHECK_EQ(event_within(e, 5000), port);
		CHECK_EQ(xenevtchn_unmask(e, (evtchn_port_t)port), 0);
		CHECK_EQ(xenevtchn_notify(e, (evtchn_port_t)port), 0);
	}
	CHECK_EQ(read(sock, &x, 1), 1);
	CHECK_EQ(xenevtchn_close(e), 0);
	CHECK_EQ(write(sock, "a", 1), 1);
	_exit(0);
}

static void an_adopted_handle_has_the_givers_ports(void)
{
	int sv[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	/* The child comes first and inherits nothing; it learns the port's number by a second message. */
	pid_t pid = fork();
	if (!pid) {
		int port;
		close(sv[0]);
		CHECK_EQ(read(sv[1], &port, sizeof(port)), sizeof(port));
		adopter(sv[1], port);
	}
	close(sv[1]);
	struct channel c = channel_open();
	CHECK_EQ(write(sv[0], &c.port, sizeof(c.port)), sizeof(c.port));
	send_fd(sv[0], xenevtchn_fd(c.e));
	step(sv[0]); /* it has adopted */
	CHECK_EQ(xenevtchn_close(c.e), 0);
	for (int i = 0; i < 2; i++) {
		ask("notify 0 %d", c.guest_port);
		CHECK_EQ(ask("pending 0 5000"), c.guest_port);
		ask("unmask 0 %d", c.guest_port);
		if (!i)
			step(sv[0]);
	}
	/* Bound as long as the adopter has it, unbound when it closes. */
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)c.guest_port), EINVAL);
	step(sv[0]);
	CHECK(xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)c.guest_port) > 0);
	int status;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void a_handle_in_a_message_keeps_its_ports(void)
{
	int sv[2];
	struct channel c = channel_open();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	send_fd(sv[0], xenevtchn_fd(c.e));
	CHECK_EQ(xenevtchn_close(c.e), 0);
	ask("notify 0 %d", c.guest_port);
	xenevtchn_handle *e = xenevtchn_fdopen(NULL, recv_fd(sv[1]), 0);
	CHECK(e);
	CHECK_EQ(event_within(e, 5000), c.port);
}

static void the_last_copy_of_the_descriptor_keeps_the_ports(void)
{
	struct channel c = channel_open();
	int copy = dup(xenevtchn_fd(c.e));
	CHECK_EQ(xenevtchn_close(c.e), 0);
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)c.guest_port), EINVAL);
	close(copy);
	EVENTUALLY(xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)c.guest_port) > 0);
}

static void no_cloexec_is_honoured(void)
{
	xenevtchn_handle *a = xenevtchn_open(NULL, 0), *b = xenevtchn_open(NULL, XENEVTCHN_NO_CLOEXEC);
	CHECK(fcntl(xenevtchn_fd(a), F_GETFD) & FD_CLOEXEC);
	CHECK(!(fcntl(xenevtchn_fd(b), F_GETFD) & FD_CLOEXEC));
}

/* See main(): the program it becomes adopts the handle and answers the event that waits. */
static void a_handle_kept_over_exec_has_its_ports(void)
{
	char fd[16], port[16];
	int status;
	xenevtchn_handle *e = xenevtchn_open(NULL, XENEVTCHN_NO_CLOEXEC);
	ask("open 0");
	long gp = ask("unbound 0 0");
	snprintf(port, sizeof(port), "%d", xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)gp));
	snprintf(fd, sizeof(fd), "%d", xenevtchn_fd(e));
	pid_t pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "conform", "adopt", fd, port, (char *)NULL);
		_exit(127);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(ask("pending 0 5000"), gp);
}

static void fdopen_refuses_flags(void)
{
	struct channel c = channel_open();
	CHECK_NULL(xenevtchn_fdopen(NULL, xenevtchn_fd(c.e), XENEVTCHN_NO_CLOEXEC), EINVAL);
}

/* --- under load ------------------------------------------------------------------------ */

static void ping(struct channel *c, int count)
{
	int status;
	/* The agent echoes; whoever loses an event hangs, and times out. */
	pid_t pid = fork();
	if (!pid) {
		ask("echo 0 %d", count);
		_exit(0);
	}
	for (int i = 0; i < count; i++) {
		CHECK_EQ(xenevtchn_notify(c->e, (evtchn_port_t)c->port), 0);
		CHECK_EQ(event_within(c->e, 5000), c->port);
		CHECK_EQ(xenevtchn_unmask(c->e, (evtchn_port_t)c->port), 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

/* As far as it gets in a few seconds: an emulated machine does a thousand or two. */
static void no_event_is_lost_in_ten_thousand(void)
{
	struct channel c = channel_open();
	long end = now_ms() + 5000;
	for (int i = 0; i < 20 && now_ms() < end; i++)
		ping(&c, 500);
}

static struct {
	xenevtchn_handle *e;
	int port;
	_Atomic unsigned sent, running;
} load;

static void *notifier(void *arg)
{
	long end = now_ms() + 2000;
	for (int i = 0; i < 100000 && now_ms() < end; i++) {
		load.sent++; /* the work; the event must not be missed by who looks at it after waking */
		if (xenevtchn_notify(load.e, (evtchn_port_t)load.port))
			return &load;
	}
	load.running--;
	return xenevtchn_notify(load.e, (evtchn_port_t)load.port) ? &load : NULL;
}

/* Two ends in this domain: threads notify, one reads; the last event of each finds it awake, or wakes it. */
static void threads_may_notify_one_port(void)
{
	pthread_t th[3];
	void *bad;
	unsigned running, events = 0;
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	load.e = xenevtchn_open(NULL, 0);
	load.running = 3;
	int rport = xenevtchn_bind_unbound_port(e, 0);
	load.port = xenevtchn_bind_interdomain(load.e, 0, (evtchn_port_t)rport);
	CHECK(rport > 0 && load.port > 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&th[i], NULL, notifier, NULL), 0);
	do {
		CHECK_EQ(event_within(e, 10000), rport);
		CHECK_EQ(xenevtchn_unmask(e, (evtchn_port_t)rport), 0);
		running = load.running;
		events++;
	} while (running);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(pthread_join(th[i], &bad), 0);
		CHECK(!bad);
	}
	CHECK(events <= load.sent + 3);
}

#define T(fn)           \
	{               \
#fn, fn \
	}
const struct test evtchn_tests[] = {
	T(bind_delivers_one_event_at_once),
	T(notify_reaches_the_peer),
	T(notifications_before_the_read_are_one_event),
	T(masked_until_unmask_then_delivered_once),
	T(unmask_of_an_idle_port_makes_no_event),
	T(unmask_of_a_foreign_port_is_ignored),
	T(ports_of_one_handle_are_told_apart),
	T(notify_on_an_unbound_port_is_dropped),
	T(notify_on_anothers_port_is_enotconn),
	T(unbind_on_anothers_port_is_enotconn),
	T(unbind_out_of_range_is_einval),
	T(bind_to_a_port_meant_for_another_domain_is_einval),
	T(bind_to_a_bound_port_is_einval),
	T(bind_to_a_port_never_allocated_is_einval),
	T(bind_to_an_unknown_domain_is_esrch),
	T(close_makes_the_peer_rebindable),
	T(unbind_makes_the_peer_rebindable),
	T(an_unread_event_survives_the_peers_close),
	T(the_guest_may_be_the_binding_side),
	T(a_virq_is_bound_once),
	T(a_virq_out_of_range_is_einval),
	T(ports_run_out_with_enospc_and_come_back),
	T(the_lowest_free_port_is_given),
	T(an_unbound_port_waits_for_the_domain_it_is_for_alone),
	T(pending_waits_for_an_event),
	T(the_descriptor_is_readable_exactly_when_an_event_waits),
	T(pending_on_a_nonblocking_descriptor_is_eagain),
	T(restrict_confines_to_one_domain),
	T(an_adopted_handle_has_the_givers_ports),
	T(a_handle_in_a_message_keeps_its_ports),
	T(the_last_copy_of_the_descriptor_keeps_the_ports),
	T(no_cloexec_is_honoured),
	T(a_handle_kept_over_exec_has_its_ports),
	T(fdopen_refuses_flags),
	T(no_event_is_lost_in_ten_thousand),
	T(threads_may_notify_one_port),
	{ NULL, NULL },
};

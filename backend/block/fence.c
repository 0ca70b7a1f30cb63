/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fence.c - see fence.h. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#include "backend/block/fence.h"
#include "common/log/log.h"

#define LOOK_MS 10u /* between two looks at who has the other end */

struct fence {
	int sock;
	uint32_t refs; /* atomic: the device's and a job's */
	bool local;    /* a Unix socket */
	/* atomic: a job that was cancelled may run beside the next */
	uint64_t ended_ns; /* when it was read to its end, or lost; else 0 */
	bool lost;         /* by the network */
};

struct fence *fence_new(int sock)
{
	struct fence *f = calloc(1, sizeof(*f));
	struct sockaddr_storage sa;
	socklen_t len = sizeof(int), sa_len = sizeof(sa);
	int type = 0;

	if (!f)
		return NULL;
	f->refs = 1;
	f->sock = -1;
	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	    getsockname(sock, (struct sockaddr *)&sa, &sa_len) == 0)
		f->sock = fcntl(sock, F_DUPFD_CLOEXEC, 3);
	if (f->sock < 0) {
		free(f);
		return NULL;
	}
	f->local = sa.ss_family == AF_UNIX;
	return f;
}

struct fence *fence_ref(struct fence *f)
{
	if (f)
		__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

void fence_put(struct fence *f)
{
	if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	close(f->sock);
	free(f);
}

int fence_fd(const struct fence *f)
{
	return f->sock;
}

#ifndef SYNTH_NO_FENCE

static uint64_t grace_ns(void)
{
	const char *forced = getenv("SYNTH_NBD_GRACE_MS"); /* for tests */

	return (forced ? strtoull(forced, NULL, 10) : FENCE_GRACE_MS) * 1000000u;
}

/* ------------------------------------------------- who has the other end */

struct diag_answer {
	struct nlmsghdr h;
	union {
		struct unix_diag_msg told;
		struct nlmsgerr failed;
	} u;
	uint8_t attributes[256];
};

static int diag_ask(int netlink, uint32_t inode, struct diag_answer *a, ssize_t *bytes)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} q = { .h = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_family = AF_UNIX,
		       .udiag_states = UINT32_MAX,
		       .udiag_ino = inode,
		       .udiag_show = UDIAG_SHOW_PEER,
		       .udiag_cookie = { UINT32_MAX, UINT32_MAX } } };
	struct pollfd p = { .fd = netlink, .events = POLLIN };

	if (send(netlink, &q, sizeof(q), 0) < 0)
		return -errno;
	if (poll(&p, 1, 1000) != 1)
		return -ETIMEDOUT;
	*bytes = recv(netlink, a, sizeof(*a), 0);
	return *bytes < 0 ? -errno : 0;
}

/* 1: somebody has the other end open, 0: nobody, -errno: this kernel does not tell. */
static int peer_open(int netlink, int sock)
{
	_Alignas(8) struct diag_answer a;
	struct stat st;
	ssize_t bytes = 0;
	int err = fstat(sock, &st) < 0 ? -errno : diag_ask(netlink, (uint32_t)st.st_ino, &a, &bytes);
	size_t at = sizeof(struct nlmsghdr) + sizeof(struct unix_diag_msg);

	if (err < 0)
		return err;
	if (bytes < (ssize_t)at || a.h.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return -EOPNOTSUPP; /* NLMSG_ERROR: no unix_diag */
	while (at + sizeof(struct nlattr) <= (size_t)bytes) {
		const uint8_t *p = (const uint8_t *)&a + at;
		struct nlattr n;
		uint32_t peer;

		memcpy(&n, p, sizeof(n));
		if (n.nla_type == UNIX_DIAG_PEER && n.nla_len >= sizeof(n) + sizeof(peer) &&
		    at + sizeof(n) + sizeof(peer) <= (size_t)bytes) {
			memcpy(&peer, p + sizeof(n), sizeof(peer));
			return peer != 0;
		}
		if (n.nla_len < sizeof(n))
			break;
		at += (n.nla_len + 3u) & ~3u; /* NLA_ALIGN() is signed */
	}
	return 0;
}

/* Until @end.  As peer_open(). */
static int wait_for_peer(const struct fence *f, uint64_t end)
{
	static bool told; /* atomic */
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), there = -EPROTONOSUPPORT;

	while (netlink >= 0 && (there = peer_open(netlink, f->sock)) == 1 && now_ns() < end)
		(void)poll(NULL, 0, (int)LOOK_MS);
	if (there < 0 && !__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
		log_warn("this kernel does not tell who has the other end of a socket (unix_diag): %s",
			 strerror(-there));
	if (netlink >= 0)
		close(netlink);
	return there;
}

/* ---------------------------------------------------------------- waiting */

/* What it still answers is of no more use.  0: its end, -EAGAIN: not yet, else how the network lost it. */
static int read_out(struct fence *f, uint64_t end)
{
	char scrap[16384];
	uint64_t now;

	while ((now = now_ns()) < end) {
		struct pollfd p = { .fd = f->sock, .events = POLLIN };
		ssize_t n = recv(f->sock, scrap, sizeof(scrap), MSG_DONTWAIT);

		if (n == 0)
			return 0;
		if (n < 0 && errno == ECONNRESET && f->local)
			return 0; /* it went with something of ours unread, which it will not read */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0)
			(void)poll(&p, 1, (int)((end - now) / 1000000u) + 1);
	}
	return -EAGAIN;
}

static int not_over(struct fault *why, const char *what)
{
	fault_set(why, FAULT_BUSY, -EINPROGRESS, "%s", what);
	fault_next(why, "see what the NBD server waits for; a server that is ended has let go too");
	return -EINPROGRESS;
}

/* The connection is over, but what the server had been asked for?  Nobody can tell. */
static int give_time(uint64_t since_ns, const char *what, struct fault *why)
{
	if (now_ns() - since_ns < grace_ns())
		return not_over(why, what);
	log_warn("nothing proves that an NBD server has done all that a worker that died had asked for, but it had "
		 "%llu s",
		 (unsigned long long)(grace_ns() / 1000000000u));
	return 0;
}

/* 0 and when; or not yet. */
static int wait_for_end(struct fence *f, uint64_t end, uint64_t *since, struct fault *why)
{
	int err;

	*since = __atomic_load_n(&f->ended_ns, __ATOMIC_ACQUIRE);
	if (*since)
		return 0;
	err = read_out(f, end);
	if (err == -EAGAIN)
		return not_over(
			why, "the NBD server has not ended the connection of a worker that died, whose writes it may "
			     "still do");
	if (err < 0) {
		log_warn("the connection of a worker that died to its NBD server is lost: %s", strerror(-err));
		__atomic_store_n(&f->lost, true, __ATOMIC_RELAXED);
	}
	*since = now_ns();
	__atomic_store_n(&f->ended_ns, *since, __ATOMIC_RELEASE);
	return 0;
}

int fence_wait(struct fence *f, uint32_t ms, bool unanswered, struct fault *why)
{
	uint64_t end = now_ns() + ms * 1000000ull, since = 0;
	int err, there = -EPROTONOSUPPORT;

	(void)shutdown(f->sock, SHUT_WR); /* not connected any more: read_out() sees how */
	err = wait_for_end(f, end, &since, why);
	if (err < 0)
		return err;
	if (f->local)
		there = wait_for_peer(f, end);
	if (there == 1)
		return not_over(
			why, "the NBD server has hung up on a worker that died, but is not done with what it had asked "
			     "for");
	if (there == 0 || !unanswered)
		return 0;
	return give_time(
		since,
		__atomic_load_n(&f->lost, __ATOMIC_RELAXED)
			? "the connection of a worker that died is lost, and nobody can tell whether the NBD server "
			  "has done what it was asked for: it is given time"
			: "the NBD server has hung up on a worker that died, and nobody can tell whether it is done: "
			  "it "
			  "is given time",
		why);
}

int fence_blind(uint64_t since_ns, struct fault *why)
{
	return give_time(since_ns,
			 "nobody can tell whether the NBD server has done what a worker that died had asked for: it is "
			 "given time",
			 why);
}

#else

int fence_wait(struct fence *f, uint32_t ms, bool unanswered, struct fault *why)
{
	return 0;
}

int fence_blind(uint64_t since_ns, struct fault *why)
{
	return 0;
}

#endif

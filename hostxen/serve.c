/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* serve.c: the broker's requests, one function each, in a table. See wire.h for what they carry. */
#include "hostxen/broker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct conn {
	struct source src;
	struct conn *next;
	struct domain *dom; /* NULL: before HELLO, toolstack, or the domain is no more */
	bool toolstack;
	pid_t pid;
};

/* An answer under way. */
struct answer {
	struct hx_rsp rsp;
	int fds[4];
	unsigned nfds;
	int drop[2]; /* close these when it has been sent: the process's copies are the ones that count */
	unsigned ndrop;
};

static struct conn *conns;
static struct conn *hazard_owner[HX_THREADS];

static void give(struct answer *a, int fd)
{
	a->fds[a->nfds++] = fd;
}

static void give_away(struct answer *a, int fd)
{
	give(a, fd);
	a->drop[a->ndrop++] = fd;
}

/* --- processes ------------------------------------------------------------------- */

static int op_hello(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	if (q->arg[0] == HX_TOOLSTACK) {
		c->toolstack = true;
		give(a, world_fd);
		return 0;
	}
	struct domain *d = domain_find(q->arg[0]);
	if (!d || d->dying)
		return -ENOENT;
	c->dom = d;
	a->rsp.value[0] = d->gen;
	give(a, world_fd);
	give(a, d->memfd);
	return 0;
}

static int op_dom_map(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct domain *d = domain_find(q->arg[0]);
	if (!d)
		return -ESRCH;
	a->rsp.value[0] = d->gen;
	give(a, d->memfd);
	return 0;
}

static int op_region_map(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	size_t size;
	int rfd = region_fd(q->arg[0], q->arg[1], &size);
	if (rfd < 0)
		return rfd;
	a->rsp.value[0] = (uint32_t)size;
	give(a, rfd);
	return 0;
}

static int op_hazard(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	for (uint32_t i = 0; i < HX_THREADS; i++) {
		if (hazard_owner[i])
			continue;
		hazard_owner[i] = c;
		if (atomic_load(&world->threads) <= i)
			atomic_store(&world->threads, i + 1);
		a->rsp.value[0] = i;
		return 0;
	}
	return -ENOSPC;
}

/* --- event channels ----------------------------------------------------------------- */

static struct handle *own_handle(struct conn *c, uint32_t hid)
{
	struct handle *h = handle_find(hid);
	return h && h->dom == c->dom ? h : NULL;
}

static int op_evtchn_open(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h;
	int rfd, err = handle_open(c->dom, HANDLE_EVTCHN, &h, &rfd);
	if (err)
		return err;
	a->rsp.value[0] = h->hid;
	give_away(a, rfd);
	return 0;
}

static int op_evtchn_adopt(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = fd < 0 ? NULL : handle_by_fd(fd);
	if (!h || h->kind != HANDLE_EVTCHN || h->dom != c->dom)
		return -EBADF;
	a->rsp.value[0] = h->hid;
	return 0;
}

static int op_evtchn_sender(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = handle_find(q->arg[0]);
	if (!h || h->kind != HANDLE_EVTCHN)
		return -ENOENT;
	give(a, h->src.fd);
	return 0;
}

static int bound(int port, struct answer *a)
{
	if (port < 0)
		return port;
	a->rsp.value[0] = (uint32_t)port;
	return 0;
}

static int op_bind_unbound(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = own_handle(c, q->arg[0]);
	return h ? bound(port_bind_unbound(h, q->arg[1]), a) : -ENODEV;
}

static int op_bind_interdomain(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = own_handle(c, q->arg[0]);
	return h ? bound(port_bind_interdomain(h, q->arg[1], q->arg[2]), a) : -ENODEV;
}

static int op_bind_virq(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = own_handle(c, q->arg[0]);
	return h ? bound(port_bind_virq(h, q->arg[1]), a) : -ENODEV;
}

static int op_unbind(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = own_handle(c, q->arg[0]);
	return h ? port_unbind(h, q->arg[1]) : -ENODEV;
}

static int op_restrict(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = own_handle(c, q->arg[0]);
	if (!h)
		return -ENODEV;
	if (h->restrict_to != HX_TOOLSTACK)
		return -EACCES;
	if (!q->arg[1] || q->arg[1] >= HX_DOMIDS)
		return -EINVAL;
	h->restrict_to = q->arg[1];
	return 0;
}

/* --- grants ---------------------------------------------------------------------------- */

static int op_gnttab_open(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h;
	int rfd, tfd, err = handle_open(c->dom, HANDLE_GNTTAB, &h, &rfd);
	if (err)
		return err;
	err = gnttab_setup(h, &tfd);
	if (err) {
		close(rfd);
		handle_close(h);
		return err;
	}
	a->rsp.value[0] = h->hid;
	give_away(a, rfd);
	give_away(a, tfd);
	return 0;
}

static int op_gntshr_open(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h;
	int rfd, pfd, err = handle_open(c->dom, HANDLE_GNTSHR, &h, &rfd);
	if (err)
		return err;
	err = region_new(h, HX_REGION_SIZE, &pfd);
	if (err) {
		close(rfd);
		handle_close(h);
		return err;
	}
	a->rsp.value[0] = h->hid;
	a->rsp.value[1] = h->region;
	a->rsp.value[2] = atomic_load(&world->region_gen[h->region]);
	give_away(a, rfd);
	give(a, pfd);
	return 0;
}

static int op_notify_add(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = own_handle(c, q->arg[0]);
	return h ? bound(notify_add(h, q->arg[1], q->arg[2], q->arg[3], q->arg[4]), a) : -ENODEV;
}

static int op_notify_fire(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = own_handle(c, q->arg[0]);
	return h && q->arg[1] ? notify_fire(h, q->arg[1]) : -ENODEV;
}

static int op_handle_closed(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct handle *h = handle_find(q->arg[0]);
	if (h)
		(void)handle_check(h);
	return 0;
}

/* --- the toolstack ------------------------------------------------------------------------ */

static int op_create(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	char name[HX_NAME];
	struct domain *d;
	memcpy(name, q->name, sizeof(name));
	name[HX_NAME - 1] = 0;
	int err = q->arg[0] ? domain_create(q->arg[0], name, &d) : -EINVAL;
	if (err)
		return err;
	a->rsp.value[0] = proxy_port(d->proxy);
	a->rsp.value[1] = d->gen;
	return 0;
}

/* Its processes are in no domain any more: all they ask fails. */
static void serve_domain_gone(struct domain *d, bool kill_processes)
{
	for (struct conn *c = conns; c; c = c->next) {
		if (c->dom != d)
			continue;
		c->dom = NULL;
		if (kill_processes && c->pid > 1)
			(void)kill(c->pid, SIGKILL);
	}
}

static int op_destroy(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct domain *d = domain_find(q->arg[0]);
	if (!d)
		return -ESRCH;
	if (!q->arg[0])
		return -EINVAL;
	serve_domain_gone(d, q->arg[1]);
	domain_destroy(d);
	return 0;
}

static int op_shutdown(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct domain *d = domain_find(q->arg[0]);
	if (!d)
		return -ESRCH;
	if (!q->arg[0])
		return -EINVAL;
	domain_shutdown(d, q->arg[1]);
	return 0;
}

static int op_dom_info(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct domain *d = domain_find(q->arg[0]);
	uint32_t ports = 0;
	if (!d)
		return -ESRCH;
	for (uint32_t i = 1; i <= d->shm->max_ports && i < HX_PORTS; i++)
		ports += hx_link_state(atomic_load(&d->shm->port[i].link)) != HX_PORT_FREE;
	a->rsp.value[0] = d->gen;
	a->rsp.value[1] = (d->dying ? 1U : 0U) | (d->ready ? 2U : 0U);
	a->rsp.value[2] = handle_count(d);
	a->rsp.value[3] = ports;
	a->rsp.value[4] = atomic_load(&d->shm->ngrants);
	memcpy(a->rsp.name, d->name, sizeof(a->rsp.name));
	return 0;
}

static int op_dom_done(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	struct domain *d = domain_find(q->arg[0]);
	if (!d)
		return -ESRCH;
	d->ready = true;
	return 0;
}

static int op_stop(struct conn *c, const struct hx_req *q, int fd, struct answer *a)
{
	broker_stop();
	return 1; /* no answer */
}

#define NEED_DOM  1U
#define NEED_TOOL 2U

static const struct {
	int (*fn)(struct conn *c, const struct hx_req *q, int fd, struct answer *a); /* 0, -errno, 1: no answer */
	unsigned need;
} ops[HX_NR_OPS] = {
	[HX_HELLO] = { op_hello, 0 },
	[HX_DOM_MAP] = { op_dom_map, NEED_DOM },
	[HX_REGION_MAP] = { op_region_map, NEED_DOM },
	[HX_HAZARD] = { op_hazard, NEED_DOM },
	[HX_EVTCHN_OPEN] = { op_evtchn_open, NEED_DOM },
	[HX_EVTCHN_ADOPT] = { op_evtchn_adopt, NEED_DOM },
	[HX_EVTCHN_SENDER] = { op_evtchn_sender, NEED_DOM },
	[HX_BIND_UNBOUND] = { op_bind_unbound, NEED_DOM },
	[HX_BIND_INTERDOMAIN] = { op_bind_interdomain, NEED_DOM },
	[HX_BIND_VIRQ] = { op_bind_virq, NEED_DOM },
	[HX_UNBIND] = { op_unbind, NEED_DOM },
	[HX_RESTRICT] = { op_restrict, NEED_DOM },
	[HX_GNTTAB_OPEN] = { op_gnttab_open, NEED_DOM },
	[HX_GNTSHR_OPEN] = { op_gntshr_open, NEED_DOM },
	[HX_NOTIFY_ADD] = { op_notify_add, NEED_DOM },
	[HX_NOTIFY_FIRE] = { op_notify_fire, NEED_DOM },
	[HX_HANDLE_CLOSED] = { op_handle_closed, 0 },
	[HX_CREATE] = { op_create, NEED_TOOL },
	[HX_DESTROY] = { op_destroy, NEED_TOOL },
	[HX_SHUTDOWN] = { op_shutdown, NEED_TOOL },
	[HX_DOM_INFO] = { op_dom_info, NEED_TOOL },
	[HX_DOM_DONE] = { op_dom_done, NEED_TOOL },
	[HX_STOP] = { op_stop, NEED_TOOL },
};

/* --- connections ------------------------------------------------------------------------------ */

static void conn_close(struct conn *c)
{
	struct conn **p = &conns;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	/* Copies that a killed process was in the middle of are over. */
	for (uint32_t i = 0; i < HX_THREADS; i++) {
		if (hazard_owner[i] != c)
			continue;
		for (unsigned k = 0; k < HX_HAZARDS; k++)
			atomic_store(&world->hazard[i].ref[k], 0);
		hazard_owner[i] = NULL;
	}
	source_del(&c->src);
	close(c->src.fd);
	free(c);
}

static int receive(int fd, struct hx_req *q, int *ret_fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { q, sizeof(*q) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	*ret_fd = -1;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n < 0)
		return -errno;
	for (struct cmsghdr *m = CMSG_FIRSTHDR(&msg); m; m = CMSG_NXTHDR(&msg, m)) {
		if (m->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (m->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int f;
			memcpy(&f, CMSG_DATA(m) + i * sizeof(int), sizeof(int));
			if (*ret_fd < 0)
				*ret_fd = f;
			else
				close(f);
		}
	}
	return n == (ssize_t)sizeof(*q) ? 0 : -EPROTO;
}

static int answer(int fd, const struct answer *a)
{
	union {
		char buf[CMSG_SPACE(sizeof(a->fds))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)(uintptr_t)&a->rsp, sizeof(a->rsp) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (a->nfds && !a->rsp.err) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * a->nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * a->nfds);
		memcpy(CMSG_DATA(c), a->fds, sizeof(int) * a->nfds);
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(a->rsp) ? 0 : -errno;
}

static void conn_fire(struct source *s, uint32_t events)
{
	struct conn *c = (struct conn *)s;
	struct answer a = { .nfds = 0 };
	struct hx_req q;
	int fd, rc = receive(s->fd, &q, &fd);
	if (rc == -EAGAIN)
		return;
	if (rc) {
		conn_close(c);
		return;
	}
	if (q.op >= HX_NR_OPS || !ops[q.op].fn)
		rc = -EOPNOTSUPP;
	else if ((ops[q.op].need == NEED_DOM && !c->dom) || (ops[q.op].need == NEED_TOOL && !c->toolstack))
		rc = -ENODEV;
	else
		rc = ops[q.op].fn(c, &q, fd, &a);
	if (fd >= 0)
		close(fd);
	if (rc == 1)
		return;
	a.rsp.err = rc;
	rc = answer(s->fd, &a);
	while (a.ndrop)
		close(a.drop[--a.ndrop]);
	if (rc)
		conn_close(c);
}

static void listen_fire(struct source *s, uint32_t events)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct conn *c = fd < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c) {
		if (fd >= 0)
			close(fd);
		return;
	}
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	c->pid = cred.pid;
	c->src = (struct source){ .fire = conn_fire, .fd = fd };
	c->next = conns;
	conns = c;
	if (source_add(&c->src, EPOLLIN))
		conn_close(c);
}

int serve_listen(const char *path)
{
	static struct source src;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 128) < 0)
		return -errno;
	src = (struct source){ .fire = listen_fire, .fd = fd };
	return source_add(&src, EPOLLIN);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * evtchn.c: libxenevtchn.
 *
 * Theory. A handle's descriptor is the reading end of a pipe; events are port numbers in it. The broker watches the
 * other end: when the last copy of the reading end is closed, in whatever process (or in a message under way), the ports
 * are closed, just as with the last reference to an open /dev/xen/evtchn. So a handle may be passed on by SCM_RIGHTS or
 * across exec, and a killed process needs no help. The ports themselves are in the domain's shared memory and say which
 * handle owns them, so a process that adopted a handle sees the ports its giver bound.
 * A port waits in the pipe once at most (it is masked from delivery to unmask), so the pipe cannot overflow.
 *
 * To notify, a process needs the writing end of the peer's pipe: asked for at the first event and kept per port.
 */
#include "hostxen/lib/lib.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xen/xen.h>

#define NO_SENDER UINT64_MAX

/* Writing ends of other handles' pipes, shared by the ports of this process that lead there. Under hx_slow. */
static struct sender {
	struct sender *next;
	uint32_t hid;
	int fd;
	unsigned users;
} * senders;

struct xenevtchn_handle {
	int fd;
	_Atomic int wfd; /* the same pipe's other end, or -1: not wanted so far */
	uint32_t hid;
	struct hx_dom *dom; /* own domain: as it was when the handle was opened */
	struct xenevtchn_handle *next;
	_Atomic uint64_t to[HX_PORTS]; /* per local port: hid << 32 | fd of the peer's pipe */
};

static struct xenevtchn_handle *handles; /* under hx_slow; for restrict_all */
static bool sigpipe_ignored;

/* --- writing into a pipe that may have lost its reader --------------------- */

static void note_sigpipe(void)
{
	struct sigaction sa;
	sigpipe_ignored = !sigaction(SIGPIPE, NULL, &sa) && !(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_IGN;
}

/* A peer that died a moment ago is an EPIPE, which shall not kill a program that never saw a pipe. */
static void put_port(int fd, uint32_t port)
{
	sigset_t pipe_set, old;
	int saved = errno;
	if (sigpipe_ignored) {
		while (write(fd, &port, sizeof(port)) < 0 && errno == EINTR)
			;
		errno = saved;
		return;
	}
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	ssize_t n;
	do
		n = write(fd, &port, sizeof(port));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EPIPE && !sigismember(&old, SIGPIPE))
		(void)sigtimedwait(&pipe_set, NULL, &(struct timespec){ 0, 0 });
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
}

static void sender_put(uint64_t to)
{
	if (to == NO_SENDER)
		return;
	for (struct sender **p = &senders, *s; (s = *p); p = &s->next) {
		if (s->hid != to >> 32)
			continue;
		if (!--s->users) {
			*p = s->next;
			hx_bury(s->fd, NULL, 0);
			free(s);
		}
		return;
	}
}

/* The peer's handle is not the one we know (or we know none): ask for its pipe. -1: it is gone. */
static int sender_fetch(struct xenevtchn_handle *h, uint32_t port, uint32_t hid)
{
	struct hx_rsp rsp;
	struct sender *s;
	pthread_mutex_lock(&hx_slow);
	uint64_t old = atomic_load(&h->to[port]);
	if (old != NO_SENDER && old >> 32 == hid) {
		pthread_mutex_unlock(&hx_slow);
		return (int)(uint32_t)old;
	}
	note_sigpipe();
	for (s = senders; s && s->hid != hid; s = s->next)
		;
	if (!s && (s = malloc(sizeof(*s)))) {
		s->hid = hid;
		s->users = 0;
		if (hx_call(&(struct hx_req){ .op = HX_EVTCHN_SENDER, .arg = { hid } }, -1, &rsp, &s->fd, 1)) {
			free(s);
			s = NULL;
		} else {
			s->next = senders;
			senders = s;
		}
	}
	if (s)
		s->users++;
	atomic_store(&h->to[port], s ? (uint64_t)hid << 32 | (uint32_t)s->fd : NO_SENDER);
	sender_put(old);
	pthread_mutex_unlock(&hx_slow);
	return s ? s->fd : -1;
}

static void forget_sender(struct xenevtchn_handle *h, uint32_t port)
{
	pthread_mutex_lock(&hx_slow);
	uint64_t old = atomic_exchange(&h->to[port], NO_SENDER);
	sender_put(old);
	pthread_mutex_unlock(&hx_slow);
}

/* --- open and close -------------------------------------------------------- */

static xenevtchn_handle *handle_new(int fd, uint32_t hid)
{
	xenevtchn_handle *h = malloc(sizeof(*h));
	if (!h)
		return NULL;
	h->fd = fd;
	atomic_init(&h->wfd, -1);
	h->hid = hid;
	h->dom = hx_self.dom;
	for (unsigned i = 0; i < HX_PORTS; i++)
		atomic_init(&h->to[i], NO_SENDER);
	pthread_mutex_lock(&hx_slow);
	note_sigpipe();
	h->next = handles;
	handles = h;
	pthread_mutex_unlock(&hx_slow);
	return h;
}

static int fail(int err)
{
	errno = err < 0 ? -err : err;
	return -1;
}

EXPORT xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
	struct hx_rsp rsp;
	int fd, err;
	if (flags & ~(unsigned)XENEVTCHN_NO_CLOEXEC) {
		fail(EINVAL);
		return NULL;
	}
	err = hx_connect();
	if (!err)
		err = hx_call(&(struct hx_req){ .op = HX_EVTCHN_OPEN }, -1, &rsp, &fd, 1);
	if (err) {
		fail(err);
		return NULL;
	}
	if (flags & XENEVTCHN_NO_CLOEXEC)
		(void)fcntl(fd, F_SETFD, 0);
	xenevtchn_handle *h = handle_new(fd, rsp.value[0]);
	if (!h)
		close(fd);
	return h;
}

EXPORT xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned open_flags)
{
	struct hx_rsp rsp;
	int err = open_flags ? -EINVAL : hx_connect();
	if (!err)
		err = hx_call(&(struct hx_req){ .op = HX_EVTCHN_ADOPT }, fd, &rsp, NULL, 0);
	if (err) {
		fail(err);
		return NULL;
	}
	return handle_new(fd, rsp.value[0]);
}

EXPORT int xenevtchn_close(xenevtchn_handle *h)
{
	if (!h)
		return 0;
	pthread_mutex_lock(&hx_slow);
	for (xenevtchn_handle **p = &handles; *p; p = &(*p)->next)
		if (*p == h) {
			*p = h->next;
			break;
		}
	for (unsigned i = 0; i < HX_PORTS; i++)
		if (atomic_load_explicit(&h->to[i], memory_order_relaxed) != NO_SENDER)
			sender_put(atomic_load(&h->to[i]));
	pthread_mutex_unlock(&hx_slow);
	int rc = close(h->fd);
	if (atomic_load(&h->wfd) >= 0)
		close(atomic_load(&h->wfd));
	hx_handle_closed(h->hid);
	free(h);
	return rc;
}

EXPORT int xenevtchn_fd(xenevtchn_handle *h)
{
	return h->fd;
}

/* --- binding ----------------------------------------------------------------- */

static xenevtchn_port_or_error_t bind_port(xenevtchn_handle *h, enum hx_op op, uint32_t a, uint32_t b)
{
	struct hx_rsp rsp;
	if (hx_fault(HX_FAULT_BIND))
		return fail(EINVAL);
	int err = hx_call(&(struct hx_req){ .op = op, .arg = { h->hid, a, b } }, -1, &rsp, NULL, 0);
	if (err)
		return fail(err);
	forget_sender(h, rsp.value[0]);
	return (xenevtchn_port_or_error_t)rsp.value[0];
}

EXPORT xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *h, uint32_t domid)
{
	return bind_port(h, HX_BIND_UNBOUND, domid, 0);
}

EXPORT xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t domid,
							    evtchn_port_t remote_port)
{
	return bind_port(h, HX_BIND_INTERDOMAIN, domid, remote_port);
}

EXPORT xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *h, unsigned int virq)
{
	return bind_port(h, HX_BIND_VIRQ, virq, 0);
}

EXPORT int xenevtchn_unbind(xenevtchn_handle *h, evtchn_port_t port)
{
	struct hx_rsp rsp;
	int err = hx_call(&(struct hx_req){ .op = HX_UNBIND, .arg = { h->hid, port } }, -1, &rsp, NULL, 0);
	if (err)
		return fail(err);
	forget_sender(h, port);
	return 0;
}

EXPORT int xenevtchn_restrict(xenevtchn_handle *h, domid_t domid)
{
	struct hx_rsp rsp;
	int err = hx_call(&(struct hx_req){ .op = HX_RESTRICT, .arg = { h->hid, domid } }, -1, &rsp, NULL, 0);
	return err ? fail(err) : 0;
}

int hx_evtchn_restrict_all(uint32_t domid)
{
	int rc = 0;
	pthread_mutex_lock(&hx_slow);
	for (xenevtchn_handle *h = handles; h && !rc; h = h->next)
		rc = xenevtchn_restrict(h, (domid_t)domid);
	pthread_mutex_unlock(&hx_slow);
	return rc;
}

/* --- events -------------------------------------------------------------------- */

EXPORT int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
	if (port >= HX_PORTS || atomic_load_explicit(&h->dom->port[port].hid, memory_order_relaxed) != h->hid)
		return fail(ENOTCONN);
	if (__builtin_expect(atomic_load_explicit(&hx_self.world->dead, memory_order_relaxed), 0))
		return fail(ENODEV);
	uint64_t link = atomic_load_explicit(&h->dom->port[port].link, memory_order_acquire);
	if (hx_link_state(link) != HX_PORT_INTERDOMAIN)
		return 0; /* Xen drops it silently */
	if (hx_fault(HX_FAULT_NOTIFY))
		return 0;
	struct hx_dom *rd = hx_dom_get(hx_link_dom(link));
	if (!rd)
		return 0;
	uint32_t rport = hx_link_port(link);
	struct hx_port *rp = &rd->port[rport];
	if (!hx_port_raise(rp))
		return 0;
	uint32_t rhid = atomic_load(&rp->hid);
	if (!rhid)
		return 0; /* closed this moment */
	uint64_t to = atomic_load_explicit(&h->to[port], memory_order_acquire);
	int fd = __builtin_expect(to >> 32 == rhid && to != NO_SENDER, 1) ? (int)(uint32_t)to
									  : sender_fetch(h, port, rhid);
	if (fd >= 0)
		put_port(fd, rport);
	return 0;
}

EXPORT xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h)
{
	uint32_t port;
	ssize_t n = read(h->fd, &port, sizeof(port));
	if (n == (ssize_t)sizeof(port))
		return (xenevtchn_port_or_error_t)port;
	if (n >= 0)
		errno = ENODEV; /* no writer left: the broker, or our domain, is gone */
	return -1;
}

/* Our own pipe's writing end: wanted when an event came while the port was masked. Kept from then on. */
static int own_sender(xenevtchn_handle *h)
{
	struct hx_rsp rsp;
	int fd = atomic_load_explicit(&h->wfd, memory_order_acquire);
	if (__builtin_expect(fd >= 0, 1))
		return fd;
	pthread_mutex_lock(&hx_slow);
	fd = atomic_load(&h->wfd);
	if (fd < 0 && !hx_call(&(struct hx_req){ .op = HX_EVTCHN_SENDER, .arg = { h->hid } }, -1, &rsp, &fd, 1))
		atomic_store(&h->wfd, fd);
	pthread_mutex_unlock(&hx_slow);
	return fd;
}

EXPORT int xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port)
{
	if (port >= HX_PORTS || atomic_load_explicit(&h->dom->port[port].hid, memory_order_relaxed) != h->hid)
		return 0; /* the driver ignores ports that are not the handle's */
	if (!hx_port_unmask(&h->dom->port[port]))
		return 0;
	int fd = own_sender(h);
	if (fd < 0)
		return fail(ENODEV);
	put_port(fd, port);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* evtchn.c - libxenevtchn with -errno, non-blocking. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <xenevtchn.h>
#include "common/xen/evtchn.h"

struct evtchn {
	xenevtchn_handle *h;
	int fd;
};

static int wrap(xenevtchn_handle *h, struct evtchn **ret)
{
	struct evtchn *e;
	int flags, r;

	if (!h)
		return -errno;
	e = malloc(sizeof(*e));
	if (!e) {
		xenevtchn_close(h);
		return -ENOMEM;
	}
	*e = (struct evtchn){ h, xenevtchn_fd(h) };
	flags = fcntl(e->fd, F_GETFL);
	if (flags < 0 || fcntl(e->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		r = -errno;
		evtchn_close(e);
		return r;
	}
	*ret = e;
	return 0;
}

int evtchn_open(struct evtchn **ret)
{
	return wrap(xenevtchn_open(NULL, 0), ret);
}

int evtchn_adopt(int fd, struct evtchn **ret)
{
	xenevtchn_handle *h = xenevtchn_fdopen(NULL, fd, 0);

	if (!h) {
		int r = -errno;

		close(fd);
		return r;
	}
	return wrap(h, ret);
}

void evtchn_close(struct evtchn *e)
{
	if (!e)
		return;
	xenevtchn_close(e->h);
	free(e);
}

int evtchn_fd(const struct evtchn *e)
{
	return e->fd;
}

static int port_or_errno(xenevtchn_port_or_error_t p)
{
	return p < 0 ? -errno : p;
}

int evtchn_bind(struct evtchn *e, uint32_t domid, uint32_t remote_port)
{
	return port_or_errno(xenevtchn_bind_interdomain(e->h, domid, remote_port));
}

int evtchn_alloc(struct evtchn *e, uint32_t domid)
{
	return port_or_errno(xenevtchn_bind_unbound_port(e->h, domid));
}

int evtchn_restrict(struct evtchn *e, uint32_t domid)
{
	return xenevtchn_restrict(e->h, (domid_t)domid) < 0 ? -errno : 0;
}

int evtchn_unbind(struct evtchn *e, uint32_t port)
{
	return xenevtchn_unbind(e->h, port) < 0 ? -errno : 0;
}

int evtchn_notify(struct evtchn *e, uint32_t port)
{
	return xenevtchn_notify(e->h, port) < 0 ? -errno : 0;
}

int evtchn_next(struct evtchn *e)
{
	int p;

	do {
		p = xenevtchn_pending(e->h);
	} while (p < 0 && errno == EINTR);
	return port_or_errno(p);
}

int evtchn_unmask(struct evtchn *e, uint32_t port)
{
	return xenevtchn_unmask(e->h, port) < 0 ? -errno : 0;
}

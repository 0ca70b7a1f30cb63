/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * world.c: the hypervisor's part of the broker: domains, event channels, handles, regions, unmap notifications.
 *
 * Theory. What happens when a process dies is all here: each of its handles is a pipe whose last reader disappears, and
 * handle_close() lets go of what the handle had: ports (the peers' become unbound), pins, grants. Grants that somebody
 * still maps or is copying from stay as orphans, and with them their region, until world_sweep() finds them idle. A
 * destroyed domain is "dying" until its last region is free, as on Xen.
 */
#include "hostxen/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct region {
	int fd; /* -1: slot not in use */
	uint32_t gen;
	size_t size;
	struct domain *dom;
	uint32_t hid;
	bool dead; /* its handle is closed; waits for its orphans */
};

struct notify {
	struct notify *next;
	uint32_t id;
	uint32_t hid;
	struct domain *evdom;                      /* whose port */
	uint32_t port;                             /* or HX_TOOLSTACK: none */
	uint32_t region, region_gen, page, offset; /* offset HX_TOOLSTACK: none */
};

struct domain *domains;
static struct region regions[HX_REGIONS];
static uint32_t regions_used, dead_regions, last_region_gen, last_dom_gen, last_hid, last_notify;
static struct handle *buckets[1024];
static struct notify *notifies;

struct domain *domain_find(uint32_t domid)
{
	struct domain *d = domains;
	while (d && d->domid != domid)
		d = d->next;
	return d;
}

static int shared_file(const char *name, size_t size, void **ret)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0)
		goto fail;
	if (ret) {
		*ret = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
		if (*ret == MAP_FAILED)
			goto fail;
	}
	return fd;
fail:;
	int err = -errno;
	close(fd);
	return err;
}

/* --- event channels -------------------------------------------------------------- */

static void port_deliver(struct domain *d, uint32_t port)
{
	struct hx_port *p = &d->shm->port[port];
	if (!hx_port_raise(p))
		return;
	struct handle *h = handle_find(atomic_load(&p->hid));
	if (h && write(h->src.fd, &port, sizeof(port)) < 0 && errno != EPIPE && errno != EAGAIN)
		broker_log("event %u of domain %u: %s", port, d->domid, strerror(errno));
}

void port_send(struct domain *d, uint32_t port)
{
	uint64_t link = atomic_load(&d->shm->port[port].link);
	struct domain *rd = domain_find(hx_link_dom(link));
	if (hx_link_state(link) == HX_PORT_INTERDOMAIN && rd)
		port_deliver(rd, hx_link_port(link));
}

static void virq_raise(uint32_t virq)
{
	struct domain *d = domain_find(0);
	if (d && d->virq[virq])
		port_deliver(d, d->virq[virq]);
}

/* The lowest free port, as Xen gives. */
static int port_alloc(struct handle *h)
{
	struct hx_dom *shm = h->dom->shm;
	if (h->kind != HANDLE_EVTCHN || h->dom->dying)
		return -ENODEV;
	for (uint32_t i = 1; i <= shm->max_ports && i < HX_PORTS; i++)
		if (hx_link_state(atomic_load(&shm->port[i].link)) == HX_PORT_FREE && !h->dom->held[i])
			return (int)i;
	return -ENOSPC;
}

static void port_set(struct handle *h, uint32_t port, enum hx_port_state state, uint32_t rdom, uint32_t rport)
{
	struct hx_port *p = &h->dom->shm->port[port];
	atomic_store(&p->pm, 0);
	atomic_store(&p->hid, h->hid);
	atomic_store(&p->link, hx_link(state, rdom, rport, atomic_load(&p->link)));
}

static uint32_t own_or(const struct handle *h, uint32_t domid)
{
	return domid == 0x7ff0U ? h->dom->domid : domid; /* DOMID_SELF */
}

int port_bind_unbound(struct handle *h, uint32_t rdom)
{
	rdom = own_or(h, rdom);
	if (h->restrict_to != HX_TOOLSTACK && h->restrict_to != rdom)
		return -EACCES;
	int port = port_alloc(h);
	if (port > 0)
		port_set(h, (uint32_t)port, HX_PORT_UNBOUND, rdom, 0);
	return port;
}

/* The port may look bound only because the process that had the other end died a moment ago. */
static void reap_peer(uint64_t link)
{
	struct domain *d = domain_find(hx_link_dom(link));
	if (hx_link_state(link) != HX_PORT_INTERDOMAIN || !d)
		return;
	struct handle *h = handle_find(atomic_load(&d->shm->port[hx_link_port(link)].hid));
	if (h)
		(void)handle_check(h);
}

int port_bind_interdomain(struct handle *h, uint32_t rdom, uint32_t rport)
{
	rdom = own_or(h, rdom);
	if (h->restrict_to != HX_TOOLSTACK && h->restrict_to != rdom)
		return -EACCES;
	struct domain *rd = domain_find(rdom);
	if (!rd)
		return -ESRCH;
	if (rport >= HX_PORTS)
		return -EINVAL;
	struct hx_port *rp = &rd->shm->port[rport];
	reap_peer(atomic_load(&rp->link));
	uint64_t rlink = atomic_load(&rp->link);
	if (hx_link_state(rlink) != HX_PORT_UNBOUND || hx_link_dom(rlink) != h->dom->domid)
		return -EINVAL;
	int port = port_alloc(h);
	if (port < 0)
		return port;
	port_set(h, (uint32_t)port, HX_PORT_INTERDOMAIN, rdom, rport);
	atomic_store(&rp->link, hx_link(HX_PORT_INTERDOMAIN, h->dom->domid, (uint32_t)port, rlink));
	/* Notifications may have been lost while it was unbound, so Xen conservatively makes one. */
	port_deliver(h->dom, (uint32_t)port);
	return port;
}

int port_bind_virq(struct handle *h, uint32_t virq)
{
	if (h->restrict_to != HX_TOOLSTACK)
		return -EACCES;
	if (virq >= HX_VIRQS)
		return -EINVAL;
	if (h->dom->virq[virq])
		return -EEXIST;
	int port = port_alloc(h);
	if (port < 0)
		return port;
	port_set(h, (uint32_t)port, HX_PORT_VIRQ, 0, virq);
	h->dom->virq[virq] = (uint32_t)port;
	return port;
}

static void port_close(struct domain *d, uint32_t port)
{
	struct hx_port *p = &d->shm->port[port];
	uint64_t link = atomic_load(&p->link);
	struct domain *rd;
	atomic_store(&p->hid, 0);
	if (d->held[port])
		return; /* an unmap notification still needs it */
	switch (hx_link_state(link)) {
	case HX_PORT_INTERDOMAIN:
		rd = domain_find(hx_link_dom(link));
		if (rd) {
			struct hx_port *rp = &rd->shm->port[hx_link_port(link)];
			atomic_store(&rp->link, hx_link(HX_PORT_UNBOUND, d->domid, 0, atomic_load(&rp->link)));
		}
		break;
	case HX_PORT_VIRQ:
		d->virq[hx_link_port(link)] = 0;
		break;
	case HX_PORT_UNBOUND:
	case HX_PORT_FREE:
		break;
	}
	atomic_store(&p->link, hx_link(HX_PORT_FREE, 0, 0, link));
	atomic_store(&p->pm, 0);
}

int port_unbind(struct handle *h, uint32_t port)
{
	if (port >= HX_PORTS)
		return -EINVAL;
	if (atomic_load(&h->dom->shm->port[port].hid) != h->hid)
		return -ENOTCONN;
	port_close(h->dom, port);
	return 0;
}

/* --- unmap notifications ----------------------------------------------------------- */

int notify_add(struct handle *h, uint32_t domid, uint32_t gref, uint32_t offset, uint32_t port)
{
	struct domain *gd = domain_find(domid);
	struct hx_port *p = port < HX_PORTS ? &h->dom->shm->port[port] : NULL;
	if (!gd || gref >= HX_GREFS || (port != HX_TOOLSTACK && (!p || !atomic_load(&p->hid))))
		return -EINVAL;
	struct hx_grant *g = &gd->shm->grant[gref];
	struct notify *n = malloc(sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct notify){ .next = notifies,
			      .id = ++last_notify,
			      .hid = h->hid,
			      .evdom = h->dom,
			      .port = port,
			      .region = g->region,
			      .region_gen = g->region_gen,
			      .page = g->page,
			      .offset = offset };
	if (p)
		h->dom->held[port]++;
	notifies = n;
	return (int)n->id;
}

static void notify_run(struct notify *n)
{
	struct region *r = &regions[n->region];
	if (n->offset != HX_TOOLSTACK && r->fd >= 0 && r->gen == n->region_gen &&
	    pwrite(r->fd, "", 1, (off_t)n->page * HX_PAGE + n->offset) < 0)
		broker_log("unmap notification: %s", strerror(errno));
	if (n->port == HX_TOOLSTACK)
		return;
	port_send(n->evdom, n->port);
	if (!--n->evdom->held[n->port] && !atomic_load(&n->evdom->shm->port[n->port].hid))
		port_close(n->evdom, n->port);
}

/* @id 0: all of the handle's. */
int notify_fire(struct handle *h, uint32_t id)
{
	int rc = -ENOENT;
	for (struct notify **p = &notifies, *n; (n = *p);) {
		if (n->hid != h->hid || (id && n->id != id)) {
			p = &n->next;
			continue;
		}
		*p = n->next;
		notify_run(n);
		free(n);
		rc = 0;
	}
	return rc;
}

/* --- regions and grants --------------------------------------------------------------- */

int region_new(struct handle *h, size_t size, int *ret_fd)
{
	uint32_t i = 0;
	while (i < regions_used && regions[i].fd >= 0)
		i++;
	if (i == HX_REGIONS)
		return -ENOSPC;
	int fd = shared_file("hostxen-pages", size, NULL);
	if (fd < 0)
		return fd;
	if (i == regions_used)
		regions_used++;
	if (!++last_region_gen)
		++last_region_gen;
	regions[i] = (struct region){ .fd = fd, .gen = last_region_gen, .size = size, .dom = h->dom, .hid = h->hid };
	atomic_store(&world->region_gen[i], last_region_gen);
	h->dom->nregions++;
	h->region = i;
	*ret_fd = fd;
	return 0;
}

int region_fd(uint32_t slot, uint32_t gen, size_t *ret_size)
{
	if (slot >= regions_used || regions[slot].fd < 0 || regions[slot].gen != gen)
		return -ENOENT;
	*ret_size = regions[slot].size;
	return regions[slot].fd;
}

void grant_reserved(struct domain *d, struct handle *h, uint32_t gref, uint32_t page, uint32_t to)
{
	struct hx_grant *g = &d->shm->grant[gref];
	g->region = h->region;
	g->region_gen = regions[h->region].gen;
	g->page = page;
	g->hid = h->hid;
	atomic_fetch_add(&d->shm->ngrants, 1);
	if (atomic_load(&d->shm->grant_hi) <= gref)
		atomic_store(&d->shm->grant_hi, gref + 1);
	atomic_store(&g->word, HX_GRANT_ACTIVE | (uint64_t)to << 16);
}

static void region_free(uint32_t slot)
{
	struct region *r = &regions[slot];
	atomic_store(&world->region_gen[slot], 0);
	close(r->fd);
	r->fd = -1;
	r->dom->nregions--;
	dead_regions--;
}

/* Ends the grants of a region whose handle is gone; frees it when nobody uses any of its pages. */
static void region_sweep(uint32_t slot)
{
	struct region *r = &regions[slot];
	struct hx_dom *shm = r->dom->shm;
	uint32_t hi = atomic_load(&shm->grant_hi);
	bool busy = false;
	for (uint32_t i = 0; i < hi; i++) {
		struct hx_grant *g = &shm->grant[i];
		uint64_t w = atomic_load(&g->word);
		if (!w)
			continue;
		if (w & HX_GRANT_CLAIMED) {
			if (w >> 32 == r->hid) {
				atomic_fetch_sub(&shm->nshared, 1);
				hx_grant_free(shm, i);
			}
		} else if (g->hid == r->hid && g->region_gen == r->gen) {
			if (w & HX_GRANT_ORPHAN ? hx_grant_idle(world, shm, i) : hx_grant_end(world, shm, i))
				hx_grant_free(shm, i);
			else
				busy = true;
		}
	}
	if (!busy)
		region_free(slot);
}

/* --- handles ------------------------------------------------------------------------------ */

struct handle *handle_find(uint32_t hid)
{
	struct handle *h = buckets[hid % 1024];
	while (h && h->hid != hid)
		h = h->hash_next;
	return h;
}

struct handle *handle_by_fd(int fd)
{
	struct stat st;
	if (fstat(fd, &st) || !S_ISFIFO(st.st_mode))
		return NULL;
	for (unsigned b = 0; b < 1024; b++)
		for (struct handle *h = buckets[b]; h; h = h->hash_next)
			if (h->ino == st.st_ino)
				return h;
	return NULL;
}

unsigned handle_count(const struct domain *d)
{
	unsigned n = 0;
	for (unsigned b = 0; b < 1024; b++)
		for (struct handle *h = buckets[b]; h; h = h->hash_next)
			n += h->dom == d && h->rfd < 0;
	return n;
}

static void handle_fire(struct source *s, uint32_t events)
{
	(void)handle_check((struct handle *)s);
}

int handle_open(struct domain *d, enum handle_kind kind, struct handle **ret, int *ret_rfd)
{
	struct stat st;
	int fds[2], err;
	if (d->dying)
		return -ENODEV;
	struct handle *h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		err = -errno;
		free(h);
		return err;
	}
	(void)fcntl(fds[1], F_SETFL, O_NONBLOCK); /* the writing end only: readers may wait */
	if (kind != HANDLE_EVTCHN)
		(void)fcntl(fds[1], F_SETPIPE_SZ, 4096);
	(void)fstat(fds[1], &st);
	if (!++last_hid)
		++last_hid;
	*h = (struct handle){ .hid = last_hid,
			      .kind = kind,
			      .dom = d,
			      .ino = st.st_ino,
			      .restrict_to = HX_TOOLSTACK,
			      .rfd = -1,
			      .region = HX_REGIONS };
	h->src = (struct source){ .fire = handle_fire, .fd = fds[1], .death = true };
	err = source_add(&h->src, 0); /* errors and hang-ups are always reported */
	if (err) {
		close(fds[0]);
		close(fds[1]);
		free(h);
		return err;
	}
	h->hash_next = buckets[h->hid % 1024];
	buckets[h->hid % 1024] = h;
	*ret = h;
	*ret_rfd = fds[0];
	return 0;
}

int gnttab_setup(struct handle *h, int *ret_fd)
{
	void *p;
	int fd = shared_file("hostxen-maptrack", sizeof(struct hx_maptrack), &p);
	if (fd < 0)
		return fd;
	h->track = p;
	*ret_fd = fd;
	return 0;
}

static void release_pins(struct handle *h)
{
	uint64_t used = atomic_load(&h->track->used);
	for (uint64_t i = 0; i < used && i < HX_MAPTRACK - 1; i++) {
		uint64_t e = atomic_exchange(&h->track->ent[i], 0);
		struct domain *d = domain_find((uint32_t)(e >> 47 & 0x7fff));
		if ((e & HX_TRACK_HELD) && d && d->gen == (uint32_t)e)
			(void)hx_grant_unpin(&d->shm->grant[e >> 32 & 0x7fff]);
	}
	munmap(h->track, sizeof(*h->track));
}

void handle_close(struct handle *h)
{
	struct handle **p = &buckets[h->hid % 1024];
	while (*p != h)
		p = &(*p)->hash_next;
	*p = h->hash_next;
	if (h->kind == HANDLE_EVTCHN)
		for (uint32_t i = 1; i < HX_PORTS; i++)
			if (atomic_load_explicit(&h->dom->shm->port[i].hid, memory_order_relaxed) == h->hid)
				port_close(h->dom, i);
	(void)notify_fire(h, 0);
	if (h->track)
		release_pins(h);
	if (h->region != HX_REGIONS) {
		regions[h->region].dead = true;
		dead_regions++;
		region_sweep(h->region);
	}
	source_del(&h->src);
	close(h->src.fd);
	if (h->rfd >= 0)
		close(h->rfd);
	free(h);
}

bool handle_check(struct handle *h)
{
	struct pollfd pfd = { .fd = h->src.fd };
	if (poll(&pfd, 1, 0) < 1 || !(pfd.revents & POLLERR))
		return false;
	handle_close(h);
	return true;
}

/* --- domains --------------------------------------------------------------------------------- */

static void domain_free(struct domain *d)
{
	struct domain **p = &domains;
	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	atomic_store(&world->dom[d->domid].gen, 0);
	atomic_store(&world->dom[d->domid].flags, 0);
	atomic_store(&world->dom[d->domid].paused, 0);
	munmap(d->shm, sizeof(*d->shm));
	close(d->memfd);
	free(d);
}

int domain_create(uint32_t domid, const char *name, struct domain **ret)
{
	void *shm;
	if (domid >= HX_DOMIDS)
		return -EINVAL;
	if (domain_find(domid))
		return -EEXIST;
	struct domain *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->memfd = shared_file("hostxen-domain", sizeof(struct hx_dom), &shm);
	if (d->memfd < 0) {
		int err = d->memfd;
		free(d);
		return err;
	}
	d->shm = shm;
	d->domid = d->shm->domid = domid;
	if (!++last_dom_gen)
		++last_dom_gen;
	d->gen = d->shm->gen = last_dom_gen;
	d->shm->max_ports = domid ? HX_DOMU_PORTS : HX_PORTS - 1;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->next = domains;
	domains = d;
	if (atomic_load(&world->top_dom) <= domid)
		atomic_store(&world->top_dom, domid + 1);
	atomic_store(&world->dom[domid].gen, d->gen);
	if (domid) {
		int err = proxy_new(d, &d->proxy);
		if (err) {
			domain_free(d);
			return err;
		}
	}
	*ret = d;
	return 0;
}

void domain_shutdown(struct domain *d, uint32_t reason)
{
	atomic_fetch_or(&world->dom[d->domid].flags, HX_DOM_SHUTDOWN | (reason & 0xff) << 8);
	virq_raise(HX_VIRQ_DOM_EXC);
}

void domain_destroy(struct domain *d)
{
	if (d->dying)
		return;
	d->dying = true;
	atomic_store(&d->shm->dying, 1);
	atomic_fetch_or(&world->dom[d->domid].flags, HX_DOM_DYING);
	if (d->proxy)
		proxy_free(d->proxy);
	d->proxy = NULL;
	for (unsigned b = 0; b < 1024; b++)
		for (struct handle *h = buckets[b], *next; h; h = next) {
			next = h->hash_next;
			if (h->dom == d)
				handle_close(h);
		}
	virq_raise(HX_VIRQ_DOM_EXC);
}

bool world_busy(void)
{
	if (dead_regions)
		return true;
	for (struct domain *d = domains; d; d = d->next)
		if (d->dying)
			return true;
	return false;
}

void world_sweep(void)
{
	if (dead_regions)
		for (uint32_t i = 0; i < regions_used; i++)
			if (regions[i].fd >= 0 && regions[i].dead)
				region_sweep(i);
	for (struct domain *d = domains, *next; d; d = next) {
		next = d->next;
		if (!d->dying || d->nregions)
			continue;
		domain_free(d);
		virq_raise(HX_VIRQ_DOM_EXC);
	}
}

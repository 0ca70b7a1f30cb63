/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus.c: a guest's way to xenstored, as its kernel's xenbus driver provides it.
 *
 * Theory. Per guest there is one ring page (grant reference 1, as Xen reserves it for xenstore), one event channel, and
 * one Unix socket to which the guest's programs connect with the real libxenstore. Many clients share the ring, so each
 * request gets a number of ours on the way out and its own back on the way in; watch tokens carry the client's number in
 * front; when a client goes away its watches are removed and its transactions aborted. What is allowed to whom is not
 * decided here: xenstored sees one connection, the guest's, and applies the guest's permissions.
 *
 *   client socket -> in[] -> (whole message) -> outgoing queue -> req ring -> xenstored
 *   client socket <- out queue <- (whole message, by request number or token) <- rsp ring <-
 */
#include "hostxen/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#define XENSTORE_GREF  1U
#define MSG_MAX        (sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX)
#define QUEUE_HIGH     (128U << 10) /* clients are not read from while this much waits for the ring */
#define CLIENT_BACKLOG (8U << 20)   /* a client that does not read its answers is cut off */

struct buf {
	char *data;
	size_t len, cap, start;
};

struct watch {
	struct watch *next;
	size_t len;
	char body[]; /* path\0token\0 as sent: with our prefix */
};

struct tx {
	struct tx *next;
	uint32_t id;
};

struct client {
	struct source src;
	struct proxy *proxy;
	struct client *next;
	uint32_t id, mask; /* what epoll has been told */
	char in[MSG_MAX];
	size_t in_len;
	struct buf out;
	struct watch *watches;
	struct tx *txs;
};

/* A request xenstored has not answered. */
struct pending {
	struct pending *next;
	uint32_t id, client, orig_id, type;
	struct watch *watch; /* WATCH and UNWATCH */
};

struct proxy {
	struct source listener, event;
	struct domain *dom;
	struct handle *shr, *evtchn;
	uint32_t port, last_client, last_req;
	struct xenstore_domain_interface *ring;
	char path[108];
	struct buf queue;  /* for the ring */
	char msg[MSG_MAX]; /* the answer being received */
	size_t msg_len;
	struct client *clients;
	struct pending *pending;
	bool paused;
};

static void ring_run(struct proxy *p);

/* --- buffers -------------------------------------------------------------------------- */

static int buf_add(struct buf *b, const void *data, size_t len)
{
	if (b->start && b->start == b->len)
		b->start = b->len = 0;
	if (b->len + len > b->cap) {
		size_t cap = b->cap ? b->cap : 4096;
		while (cap < b->len + len)
			cap *= 2;
		char *n = realloc(b->data, cap);
		if (!n)
			return -ENOMEM;
		b->data = n;
		b->cap = cap;
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

static size_t buf_left(const struct buf *b)
{
	return b->len - b->start;
}

/* --- requests -------------------------------------------------------------------------- */

static struct client *client_find(struct proxy *p, uint32_t id)
{
	struct client *c = p->clients;
	while (c && c->id != id)
		c = c->next;
	return c;
}

/* Puts a request for xenstored into the queue; @client 0: nobody waits for the answer. Takes @watch over. */
static void submit(struct proxy *p, uint32_t client, const struct xsd_sockmsg *hdr, const void *body,
		   struct watch *watch)
{
	struct xsd_sockmsg out = *hdr;
	struct pending *q = malloc(sizeof(*q));
	if (!q) {
		free(watch);
		return;
	}
	*q = (struct pending){ .next = p->pending,
			       .id = ++p->last_req,
			       .client = client,
			       .orig_id = hdr->req_id,
			       .type = hdr->type,
			       .watch = watch };
	p->pending = q;
	out.req_id = q->id;
	if (buf_add(&p->queue, &out, sizeof(out)) || buf_add(&p->queue, body, out.len))
		broker_log("xenbus %u: no memory", p->dom->domid);
}

static void submit_unwatch(struct proxy *p, const struct watch *w)
{
	struct xsd_sockmsg hdr = { .type = XS_UNWATCH, .len = (uint32_t)w->len };
	submit(p, 0, &hdr, w->body, NULL);
}

static void submit_abort(struct proxy *p, uint32_t tx)
{
	struct xsd_sockmsg hdr = { .type = XS_TRANSACTION_END, .tx_id = tx, .len = 2 };
	submit(p, 0, &hdr, "F", NULL);
}

/* --- clients ----------------------------------------------------------------------------- */

static void client_free(struct client *c)
{
	struct proxy *p = c->proxy;
	struct client **at = &p->clients;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	for (struct watch *w; (w = c->watches); free(w)) {
		c->watches = w->next;
		submit_unwatch(p, w);
	}
	for (struct tx *t; (t = c->txs); free(t)) {
		c->txs = t->next;
		submit_abort(p, t->id);
	}
	source_del(&c->src);
	close(c->src.fd);
	free(c->out.data);
	free(c);
}

static uint32_t client_mask(const struct client *c)
{
	return (c->proxy->paused ? 0U : (uint32_t)EPOLLIN) | (buf_left(&c->out) ? (uint32_t)EPOLLOUT : 0U);
}

static void client_rearm(struct client *c)
{
	uint32_t mask = client_mask(c);
	if (mask != c->mask)
		source_events(&c->src, mask);
	c->mask = mask;
}

static void client_flush(struct client *c)
{
	while (buf_left(&c->out)) {
		ssize_t n = send(c->src.fd, c->out.data + c->out.start, buf_left(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			break; /* a dead client is found by its socket's hang-up */
		c->out.start += (size_t)n;
	}
	client_rearm(c);
}

static void client_say(struct client *c, const struct xsd_sockmsg *hdr, const void *body)
{
	if (buf_left(&c->out) > CLIENT_BACKLOG || buf_add(&c->out, hdr, sizeof(*hdr)) ||
	    buf_add(&c->out, body, hdr->len)) {
		(void)shutdown(c->src.fd, SHUT_RDWR); /* its hang-up then frees it */
		return;
	}
	client_flush(c);
}

static void client_refuse(struct client *c, const struct xsd_sockmsg *req, const char *why)
{
	struct xsd_sockmsg hdr = {
		.type = XS_ERROR, .req_id = req->req_id, .tx_id = req->tx_id, .len = (uint32_t)strlen(why) + 1
	};
	client_say(c, &hdr, why);
}

/* path\0token\0 -> path\0id:token\0. NULL: malformed or too long. */
static struct watch *watch_of(const struct client *c, const char *body, size_t len)
{
	const char *token = memchr(body, 0, len);
	struct watch *w;
	if (!token || !memchr(token + 1, 0, len - (size_t)(token + 1 - body)))
		return NULL;
	token++;
	w = malloc(sizeof(*w) + len + 12);
	if (!w)
		return NULL;
	size_t path_len = (size_t)(token - body);
	memcpy(w->body, body, path_len);
	int n = sprintf(w->body + path_len, "%u:%s", c->id, token);
	w->len = path_len + (size_t)n + 1;
	if (w->len <= XENSTORE_PAYLOAD_MAX)
		return w;
	free(w);
	return NULL;
}

static void client_message(struct client *c, const struct xsd_sockmsg *hdr, const char *body)
{
	struct xsd_sockmsg out = *hdr;
	struct watch *w;
	switch (hdr->type) {
	case XS_WATCH:
	case XS_UNWATCH:
		w = watch_of(c, body, hdr->len);
		if (!w) {
			client_refuse(c, hdr, "EINVAL");
			return;
		}
		out.len = (uint32_t)w->len;
		submit(c->proxy, c->id, &out, w->body, w);
		return;
	case XS_RESET_WATCHES: /* would take the other clients' too */
		client_refuse(c, hdr, "ENOSYS");
		return;
	case XS_TRANSACTION_END:
		for (struct tx **at = &c->txs, *t; (t = *at); at = &t->next) {
			if (t->id != hdr->tx_id)
				continue;
			*at = t->next;
			free(t);
			break;
		}
		break;
	default:
		break;
	}
	submit(c->proxy, c->id, hdr, body, NULL);
}

static void client_fire(struct source *s, uint32_t events)
{
	struct client *c = (struct client *)s;
	struct proxy *p = c->proxy;
	struct xsd_sockmsg hdr;
	ssize_t n = 1;
	if (events & EPOLLOUT)
		client_flush(c);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		n = recv(s->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			n = 1;
		else if (n > 0)
			c->in_len += (size_t)n;
	}
	while (n > 0 && c->in_len >= sizeof(hdr)) {
		memcpy(&hdr, c->in, sizeof(hdr));
		if (hdr.len > XENSTORE_PAYLOAD_MAX) {
			n = 0;
			break;
		}
		size_t whole = sizeof(hdr) + hdr.len;
		if (c->in_len < whole)
			break;
		client_message(c, &hdr, c->in + sizeof(hdr));
		c->in_len -= whole;
		memmove(c->in, c->in + whole, c->in_len);
	}
	if (n <= 0)
		client_free(c);
	ring_run(p);
}

static void listener_fire(struct source *s, uint32_t events)
{
	struct proxy *p = (struct proxy *)s; /* its first member */
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c = fd < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c) {
		if (fd >= 0)
			close(fd);
		return;
	}
	c->src = (struct source){ .fire = client_fire, .fd = fd };
	c->proxy = p;
	c->id = ++p->last_client;
	c->next = p->clients;
	p->clients = c;
	c->mask = client_mask(c);
	if (source_add(&c->src, c->mask))
		client_free(c);
}

/* --- answers --------------------------------------------------------------------------------- */

static void answer_watch_event(struct proxy *p, const struct xsd_sockmsg *hdr, const char *body)
{
	struct xsd_sockmsg out = *hdr;
	const char *prefixed = memchr(body, 0, hdr->len);
	char *end, fixed[XENSTORE_PAYLOAD_MAX];
	if (!prefixed || body[hdr->len - 1])
		return;
	prefixed++;
	struct client *c = client_find(p, (uint32_t)strtoul(prefixed, &end, 10));
	if (!c || *end != ':')
		return; /* gone meanwhile */
	size_t path_len = (size_t)(prefixed - body), token_len = strlen(end + 1) + 1;
	memcpy(fixed, body, path_len);
	memcpy(fixed + path_len, end + 1, token_len);
	out.len = (uint32_t)(path_len + token_len);
	client_say(c, &out, fixed);
}

static void watch_answered(struct proxy *p, struct client *c, struct pending *q)
{
	if (q->type == XS_WATCH && !c) {
		submit_unwatch(p, q->watch);
	} else if (q->type == XS_WATCH) {
		q->watch->next = c->watches;
		c->watches = q->watch;
		q->watch = NULL;
	} else if (c) {
		for (struct watch **at = &c->watches, *w; (w = *at); at = &w->next) {
			if (w->len != q->watch->len || memcmp(w->body, q->watch->body, w->len))
				continue;
			*at = w->next;
			free(w);
			break;
		}
	}
}

static void tx_started(struct proxy *p, struct client *c, const char *body)
{
	uint32_t id = (uint32_t)strtoul(body, NULL, 10);
	struct tx *t = c ? malloc(sizeof(*t)) : NULL;
	if (!t) {
		submit_abort(p, id);
		return;
	}
	*t = (struct tx){ .next = c->txs, .id = id };
	c->txs = t;
}

static void answer_message(struct proxy *p, struct xsd_sockmsg *hdr, const char *body)
{
	struct pending **at = &p->pending, *q;
	if (hdr->type == XS_WATCH_EVENT) {
		answer_watch_event(p, hdr, body);
		return;
	}
	while ((q = *at) && q->id != hdr->req_id)
		at = &q->next;
	if (!q)
		return;
	*at = q->next;
	struct client *c = client_find(p, q->client);
	if (hdr->type != XS_ERROR && q->watch)
		watch_answered(p, c, q);
	if (hdr->type == XS_TRANSACTION_START && hdr->len && !body[hdr->len - 1])
		tx_started(p, c, body);
	hdr->req_id = q->orig_id;
	if (c)
		client_say(c, hdr, body);
	free(q->watch);
	free(q);
}

/* --- the ring ----------------------------------------------------------------------------------- */

static bool ring_send(struct proxy *p)
{
	struct xenstore_domain_interface *r = p->ring;
	uint32_t prod = r->req_prod, cons = __atomic_load_n(&r->req_cons, __ATOMIC_ACQUIRE);
	bool moved = false;
	if (prod - cons > XENSTORE_RING_SIZE)
		return false; /* xenstored resets it when it introduces the domain */
	while (buf_left(&p->queue) && prod - cons < XENSTORE_RING_SIZE) {
		r->req[MASK_XENSTORE_IDX(prod++)] = p->queue.data[p->queue.start++];
		moved = true;
	}
	/* The bytes are in the ring before the index says so. */
	__atomic_store_n(&r->req_prod, prod, __ATOMIC_RELEASE);
	return moved;
}

static bool ring_receive(struct proxy *p)
{
	struct xenstore_domain_interface *r = p->ring;
	uint32_t cons = r->rsp_cons, prod = __atomic_load_n(&r->rsp_prod, __ATOMIC_ACQUIRE);
	struct xsd_sockmsg hdr;
	bool moved = false;
	if (prod - cons > XENSTORE_RING_SIZE)
		return false;
	while (cons != prod) {
		p->msg[p->msg_len++] = r->rsp[MASK_XENSTORE_IDX(cons++)];
		moved = true;
		if (p->msg_len < sizeof(hdr))
			continue;
		memcpy(&hdr, p->msg, sizeof(hdr));
		if (hdr.len > XENSTORE_PAYLOAD_MAX) {
			broker_log("xenbus %u: message of %u bytes from xenstored", p->dom->domid, hdr.len);
			p->msg_len = 0;
		} else if (p->msg_len == sizeof(hdr) + hdr.len) {
			p->msg_len = 0;
			answer_message(p, &hdr, p->msg + sizeof(hdr));
		}
	}
	/* The bytes have been read before their room is given back. */
	__atomic_store_n(&r->rsp_cons, cons, __ATOMIC_RELEASE);
	return moved;
}

static void ring_run(struct proxy *p)
{
	bool more = true, moved = false;
	while (more) {
		bool sent = ring_send(p), got = ring_receive(p);
		more = got;
		moved |= sent | got;
		if (sent || got)
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	if (moved)
		port_send(p->dom, p->port);
	bool full = buf_left(&p->queue) > QUEUE_HIGH;
	if (full == p->paused)
		return;
	p->paused = full;
	for (struct client *c = p->clients; c; c = c->next)
		client_rearm(c);
}

static void event_fire(struct source *s, uint32_t events)
{
	struct proxy *p = (struct proxy *)(void *)((char *)s - offsetof(struct proxy, event));
	uint32_t port;
	while (read(s->fd, &port, sizeof(port)) == (ssize_t)sizeof(port)) {
		struct hx_port *hp = &p->dom->shm->port[port];
		while (hx_port_unmask(hp)) /* what came meanwhile is served by the same look at the ring */
			;
		ring_run(p);
	}
}

/* --- life ------------------------------------------------------------------------------------------ */

static int proxy_listen(struct proxy *p)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if ((size_t)snprintf(p->path, sizeof(p->path), "%s/xenbus-%u.sock", state_dir, p->dom->domid) >=
	    sizeof(p->path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, p->path, sizeof(p->path));
	unlink(p->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	p->listener = (struct source){ .fire = listener_fire, .fd = fd };
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 128) < 0)
		return -errno;
	return source_add(&p->listener, EPOLLIN);
}

int proxy_new(struct domain *d, struct proxy **ret)
{
	int fd, rfd, err;
	struct proxy *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->dom = d;
	p->listener.fd = p->event.fd = -1;
	err = handle_open(d, HANDLE_GNTSHR, &p->shr, &rfd);
	if (err)
		goto fail;
	p->shr->rfd = rfd;
	err = region_new(p->shr, HX_PAGE, &fd);
	if (err)
		goto fail;
	p->ring = mmap(NULL, HX_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p->ring == MAP_FAILED) {
		p->ring = NULL;
		err = -errno;
		goto fail;
	}
	grant_reserved(d, p->shr, XENSTORE_GREF, 0, 0);
	err = handle_open(d, HANDLE_EVTCHN, &p->evtchn, &rfd);
	if (err)
		goto fail;
	p->evtchn->rfd = rfd;
	(void)fcntl(rfd, F_SETFL, O_NONBLOCK);
	int port = port_bind_unbound(p->evtchn, 0);
	p->event = (struct source){ .fire = event_fire, .fd = rfd };
	err = port < 0 ? port : source_add(&p->event, EPOLLIN);
	if (!err)
		err = proxy_listen(p);
	if (err)
		goto fail;
	p->port = (uint32_t)port;
	*ret = p;
	return 0;
fail:
	proxy_free(p);
	return err;
}

uint32_t proxy_port(const struct proxy *p)
{
	return p->port;
}

/* The domain's end: clients see their connections close. */
void proxy_free(struct proxy *p)
{
	while (p->clients)
		client_free(p->clients);
	for (struct pending *q; (q = p->pending); free(q)) {
		p->pending = q->next;
		free(q->watch);
	}
	if (p->listener.fd >= 0) {
		source_del(&p->listener);
		close(p->listener.fd);
		unlink(p->path);
	}
	if (p->event.fd >= 0)
		source_del(&p->event);
	if (p->evtchn)
		handle_close(p->evtchn);
	if (p->ring)
		munmap(p->ring, HX_PAGE);
	if (p->shr)
		handle_close(p->shr);
	free(p->queue.data);
	free(p);
}

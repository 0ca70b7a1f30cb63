/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest.c - see guest.h */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "tests/hostile/guest.h"

#define PAGE 4096u

const struct guest_layout guest_layouts[3] = {
	{ "x86_64-abi", 112, 16, 8, 16, 24, 24, 28 },
	{ "x86_32-abi", 108, 12, 4, 12, 20, 20, 24 },
	{ "", 108, 12, 4, 12, 20, 20, 24 },
};

void die(const char *fmt, ...)
{
	va_list ap;

	fputs("badfront: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stdout);
	_exit(3);
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void sleep_us(uint32_t us)
{
	struct timespec t = { us / 1000000, (long)(us % 1000000) * 1000 };

	nanosleep(&t, NULL);
}

static uint32_t seed_now = 1;

void rnd_seed(uint32_t seed)
{
	seed_now = seed ? seed : 1;
}

uint32_t rnd(void)
{
	/* xorshift: the same walk for the same seed, everywhere */
	seed_now ^= seed_now << 13;
	seed_now ^= seed_now >> 17;
	seed_now ^= seed_now << 5;
	return seed_now;
}

/* ------------------------------------------------------------------ xenstore */

char *guest_read(struct guest *g, const char *dir, const char *node)
{
	char path[400];
	unsigned int len;

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	return xs_read(g->xs, XBT_NULL, path, &len);
}

void guest_write(struct guest *g, const char *node, const char *value)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", g->dir, node);
	if (!xs_write(g->xs, XBT_NULL, path, value, (unsigned int)strlen(value)))
		die("cannot write %s: %s", path, strerror(errno));
}

int guest_state(struct guest *g, const char *dir)
{
	char *v = guest_read(g, dir, "state");
	int state = v ? atoi(v) : 0;

	free(v);
	return state;
}

static bool find_dir(struct guest *g, const char *dev)
{
	static const char *const types[] = { "svbd", "vbd" };

	for (uint32_t i = 0; i < ARRAY_SIZE(types); i++) {
		char *back;

		if (strchr(dev, '/'))
			snprintf(g->dir, sizeof(g->dir), "%s", dev);
		else
			snprintf(g->dir, sizeof(g->dir), "device/%s/%s", types[i], dev);
		back = guest_read(g, g->dir, "backend");
		if (!back)
			continue;
		snprintf(g->back, sizeof(g->back), "%s", back);
		free(back);
		return true;
	}
	return false;
}

void guest_open(struct guest *g, const char *dev)
{
	char *id;

	g->xs = xs_open(0);
	if (!g->xs)
		die("no xenstore: %s", strerror(errno));
	if (!find_dir(g, dev))
		die("no device %s", dev);
	id = guest_read(g, g->dir, "backend-id");
	g->back_domid = id ? (uint32_t)atoi(id) : 0;
	free(id);
}

void guest_relink(struct guest *g)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", g->back_domid);
	guest_write(g, "backend", g->back);
	guest_write(g, "backend-id", id);
	guest_write(g, "virtual-device", strrchr(g->dir, '/') + 1);
}

/* Until the back end's directory changes, or @ms have passed. */
static void wait_watch(struct guest *g, uint32_t ms)
{
	struct pollfd p = { .fd = xs_fileno(g->xs), .events = POLLIN };
	char **event;

	if (poll(&p, 1, (int)ms) != 1)
		return;
	while ((event = xs_check_watch(g->xs)))
		free(event);
}

int guest_wait_back(struct guest *g, int a, int b, uint32_t ms)
{
	uint64_t end = now_ms() + ms, now;

	if (!g->watching) {
		char path[300];

		snprintf(path, sizeof(path), "%s/state", g->back);
		g->watching = xs_watch(g->xs, path, "back");
	}
	for (;;) {
		int state = guest_state(g, g->back);

		if (state == a || state == b || state == 0)
			return state;
		now = now_ms();
		if (now >= end)
			return -1;
		wait_watch(g, (uint32_t)MIN(end - now, 500u)); /* a look now and then, whatever xenstored says */
	}
}

bool guest_reset(struct guest *g, uint32_t ms)
{
	uint64_t end = now_ms() + ms;

	/* Two steps, since of two quick writes the back end may see only the last. */
	if (guest_state(g, g->dir) != XenbusStateInitialising || guest_state(g, g->back) != XenbusStateInitWait) {
		guest_write(g, "state", "6");
		if (guest_wait_back(g, XenbusStateClosed, XenbusStateClosed, ms) != XenbusStateClosed)
			return false;
		guest_write(g, "state", "1");
	}
	ms = now_ms() < end ? (uint32_t)(end - now_ms()) : 0;
	return guest_wait_back(g, XenbusStateInitWait, XenbusStateInitWait, ms) == XenbusStateInitWait;
}

/* ------------------------------------------------------------- rings and grants */

static void grant_all(struct guest *g)
{
	uint32_t pages = 1u << g->order;

	if (!g->shr)
		g->shr = xengntshr_open(NULL, 0);
	if (!g->evtchn)
		g->evtchn = xenevtchn_open(NULL, 0);
	if (!g->shr || !g->evtchn)
		die("no grants or event channels: %s", strerror(errno));
	for (uint32_t i = 0; i < g->nr_queues; i++) {
		struct guest_queue *q = &g->q[i];

		q->ring = xengntshr_share_pages(g->shr, g->back_domid, (int)pages, q->refs, 1);
		q->port = xenevtchn_bind_unbound_port(g->evtchn, g->back_domid);
		if (!q->ring || q->port < 0)
			die("cannot make queue %u: %s", i, strerror(errno));
		memset(q->ring, 0, pages * PAGE);
		*guest_word(q, RING_REQ_EVENT) = *guest_word(q, RING_RSP_EVENT) = 1;
		q->prod = q->cons = 0;
	}
	g->data = xengntshr_share_pages(g->shr, g->back_domid, GUEST_DATA_PAGES, g->data_refs, 1);
	g->ind = xengntshr_share_pages(g->shr, g->back_domid, 1, &g->ind_ref, 1);
	g->readonly = xengntshr_share_pages(g->shr, g->back_domid, 1, &g->readonly_ref, 0);
	if (!g->data || !g->ind || !g->readonly)
		die("cannot grant pages: %s", strerror(errno));
	memset(g->data, GUEST_FILL, (size_t)GUEST_DATA_PAGES * PAGE);
	memset(g->ind, 0, PAGE);
	for (g->nr_ents = 1; 64 + g->nr_ents * 2 * g->l->slot <= pages * PAGE;)
		g->nr_ents *= 2;
	g->granted = true;
}

void guest_revoke(struct guest *g)
{
	if (!g->granted)
		return;
	g->granted = false;
	for (uint32_t i = 0; i < g->nr_queues; i++) {
		xengntshr_unshare(g->shr, g->q[i].ring, 1u << g->order);
		xenevtchn_unbind(g->evtchn, (evtchn_port_t)g->q[i].port);
	}
	xengntshr_unshare(g->shr, g->data, GUEST_DATA_PAGES);
	xengntshr_unshare(g->shr, g->ind, 1);
	xengntshr_unshare(g->shr, g->readonly, 1);
}

static const char *number(char text[64], uint32_t v)
{
	snprintf(text, 64, "%u", v);
	return text;
}

static void node(struct guest *g, xs_transaction_t t, const char *name, const char *fmt, ...) __printf(4, 5);
static void node(struct guest *g, xs_transaction_t t, const char *name, const char *fmt, ...)
{
	char path[400], text[64];
	const char *value = text;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (uint32_t i = 0; i < g->nr_nodes; i++)
		if (strcmp(g->nodes[i].name, name) == 0)
			value = g->nodes[i].value;
	if (value && strcmp(value, "@ref") == 0)
		value = number(text, g->q[0].refs[0]);
	else if (value && strcmp(value, "@port") == 0)
		value = number(text, (uint32_t)g->q[0].port);
	else if (value && strcmp(value, "@readonly") == 0)
		value = number(text, g->readonly_ref);
	snprintf(path, sizeof(path), "%s/%s", g->dir, name);
	if (!value)
		xs_rm(g->xs, t, path);
	else if (!xs_write(g->xs, t, path, value, (unsigned int)strlen(value)))
		die("cannot write %s: %s", path, strerror(errno));
}

static void publish_queue(struct guest *g, xs_transaction_t t, uint32_t i)
{
	char prefix[24] = "", name[48];
	const struct guest_queue *q = &g->q[i];

	if (g->nr_queues > 1)
		snprintf(prefix, sizeof(prefix), "queue-%u/", i);
	if (g->order || g->by_order) {
		for (uint32_t k = 0; k < 1u << g->order; k++) {
			snprintf(name, sizeof(name), "%sring-ref%u", prefix, k);
			node(g, t, name, "%u", q->refs[k]);
		}
	} else {
		snprintf(name, sizeof(name), "%sring-ref", prefix);
		node(g, t, name, "%u", q->refs[0]);
	}
	snprintf(name, sizeof(name), "%sevent-channel", prefix);
	node(g, t, name, "%d", q->port);
}

/* What a predecessor may have left and we do not write. */
static void forget(struct guest *g, xs_transaction_t t)
{
	static const char *const names[] = { "ring-ref",
					     "ring-page-order",
					     "num-ring-pages",
					     "event-channel",
					     "protocol",
					     "feature-persistent",
					     "multi-queue-num-queues",
					     "queue-0",
					     "queue-1",
					     "queue-2",
					     "queue-3" };
	char path[400];

	for (uint32_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", g->dir, names[i]);
		xs_rm(g->xs, t, path);
	}
	for (uint32_t i = 0; i < GUEST_MAX_PAGES; i++) {
		snprintf(path, sizeof(path), "%s/ring-ref%u", g->dir, i);
		xs_rm(g->xs, t, path);
	}
}

/* Nodes the book does not know in this shape: added as they are. */
static void extras(struct guest *g, xs_transaction_t t)
{
	char path[400];

	for (uint32_t i = 0; i < g->nr_nodes; i++) {
		snprintf(path, sizeof(path), "%s/%s", g->dir, g->nodes[i].name);
		if (g->nodes[i].value && g->nodes[i].value[0] != '@')
			xs_write(g->xs, t, path, g->nodes[i].value, (unsigned int)strlen(g->nodes[i].value));
	}
}

void guest_publish(struct guest *g)
{
	xs_transaction_t t;

	if (!g->granted)
		grant_all(g);
	do {
		t = xs_transaction_start(g->xs);
		if (t == XBT_NULL)
			die("no transaction: %s", strerror(errno));
		forget(g, t);
		if (g->l->abi[0])
			node(g, t, "protocol", "%s", g->l->abi);
		if (g->order || g->by_order)
			node(g, t, "ring-page-order", "%u", g->order);
		if (g->nr_queues > 1)
			node(g, t, "multi-queue-num-queues", "%u", g->nr_queues);
		if (g->persistent)
			node(g, t, "feature-persistent", "1");
		for (uint32_t i = 0; i < g->nr_queues; i++)
			publish_queue(g, t, i);
		extras(g, t);
		node(g, t, "state", "3");
	} while (!xs_transaction_end(g->xs, t, false) && errno == EAGAIN);
}

void guest_connect(struct guest *g)
{
	char *v;
	int state;

	if (!guest_reset(g, 10000))
		die("the back end does not become ready: state %d", guest_state(g, g->back));
	guest_publish(g);
	state = guest_wait_back(g, XenbusStateConnected, XenbusStateClosing, 10000);
	if (state != XenbusStateConnected)
		die("the back end does not connect: state %d", guest_state(g, g->back));
	v = guest_read(g, g->back, "sectors");
	g->sectors = v ? strtoull(v, NULL, 10) : 0;
	free(v);
	guest_write(g, "state", "4");
}

bool guest_close(struct guest *g, uint32_t ms)
{
	uint64_t end = now_ms() + ms;

	guest_write(g, "state", "5");
	guest_wait_back(g, XenbusStateClosing, XenbusStateClosed, ms);
	guest_write(g, "state", "6");
	ms = now_ms() < end ? (uint32_t)(end - now_ms()) : 0;
	return guest_wait_back(g, XenbusStateClosed, XenbusStateClosed, ms) == XenbusStateClosed;
}

/* ------------------------------------------------------------------- requests */

uint32_t *guest_word(struct guest_queue *q, uint32_t word)
{
	return (uint32_t *)(void *)q->ring + word;
}

uint8_t *guest_slot(struct guest *g, struct guest_queue *q, uint32_t index)
{
	return q->ring + 64 + (index & (g->nr_ents - 1)) * g->l->slot;
}

uint8_t *guest_page(struct guest *g, uint32_t i)
{
	return g->data + (size_t)i * PAGE;
}

static void put64(struct guest_req *r, uint32_t off, uint64_t v)
{
	memcpy(r->bytes + off, &v, sizeof(v));
}

void req_init(const struct guest *g, struct guest_req *r, uint8_t op, uint8_t nr_segs, uint64_t sector, uint64_t id)
{
	memset(r, 0, sizeof(*r));
	r->bytes[0] = op;
	r->bytes[1] = nr_segs;
	put64(r, g->l->id, id);
	put64(r, g->l->sector, sector);
}

void req_seg(const struct guest *g, struct guest_req *r, uint32_t i, uint32_t ref, uint8_t first, uint8_t last)
{
	uint8_t *p = r->bytes + g->l->segs + i * 8;

	memcpy(p, &ref, sizeof(ref));
	p[4] = first;
	p[5] = last;
}

void req_indirect(const struct guest *g, struct guest_req *r, uint8_t op, uint16_t nr, uint64_t sector, uint64_t id)
{
	req_init(g, r, BLKIF_OP_INDIRECT, op, sector, id);
	memcpy(r->bytes + 2, &nr, sizeof(nr));
}

void req_indirect_ref(const struct guest *g, struct guest_req *r, uint32_t i, uint32_t ref)
{
	memcpy(r->bytes + g->l->ind_refs + i * 4, &ref, sizeof(ref));
}

void req_discard(const struct guest *g, struct guest_req *r, uint8_t flag, uint64_t sector, uint64_t nr, uint64_t id)
{
	req_init(g, r, BLKIF_OP_DISCARD, flag, sector, id);
	put64(r, g->l->discard_nr, nr);
}

void ind_seg(struct guest *g, uint32_t i, uint32_t ref, uint8_t first, uint8_t last)
{
	uint8_t *p = g->ind + i * 8;

	memcpy(p, &ref, sizeof(ref));
	p[4] = first;
	p[5] = last;
}

void guest_put(struct guest *g, struct guest_queue *q, const struct guest_req *r)
{
	memcpy(guest_slot(g, q, q->prod), r->bytes, g->l->slot);
	q->prod++;
}

void guest_push(struct guest *g, struct guest_queue *q)
{
	__atomic_store_n(guest_word(q, RING_REQ_PROD), q->prod, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	xenevtchn_notify(g->evtchn, (evtchn_port_t)q->port);
}

static void wait_event(struct guest *g, uint32_t ms)
{
	struct pollfd p = { .fd = xenevtchn_fd(g->evtchn), .events = POLLIN };
	xenevtchn_port_or_error_t port;

	if (poll(&p, 1, (int)ms) != 1)
		return;
	port = xenevtchn_pending(g->evtchn);
	if (port >= 0)
		xenevtchn_unmask(g->evtchn, (evtchn_port_t)port);
}

bool guest_take(struct guest *g, struct guest_queue *q, struct guest_rsp *r, uint32_t ms)
{
	uint64_t end = now_ms() + ms;
	uint8_t b[16] = { 0 };

	while (__atomic_load_n(guest_word(q, RING_RSP_PROD), __ATOMIC_ACQUIRE) == q->cons) {
		__atomic_store_n(guest_word(q, RING_RSP_EVENT), q->cons + 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(guest_word(q, RING_RSP_PROD), __ATOMIC_ACQUIRE) != q->cons)
			break;
		if (now_ms() >= end)
			return false;
		wait_event(g, (uint32_t)(end - now_ms()));
	}
	memcpy(b, guest_slot(g, q, q->cons), g->l->rsp);
	q->cons++;
	memcpy(&r->id, b, 8);
	r->op = b[8];
	memcpy(&r->status, b + 10, 2);
	r->dirty = b[9] || b[12] || b[13] || b[14] || b[15];
	return true;
}

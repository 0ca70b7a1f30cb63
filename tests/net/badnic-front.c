/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* badnic-front.c - see badnic.h: nodes, rings, ports, by the book but for what it is told to write instead. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <xen/io/xenbus.h>
#include "tests/net/badnic.h"

void die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("badnic: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(3);
}

uint64_t now_ms(void)
{
	return now_ns() / 1000000;
}

/* ------------------------------------------------------------------ xenstore */

int state_of(const char *dir)
{
	char path[400], *v;
	unsigned len;
	int state;

	snprintf(path, sizeof(path), "%s/state", dir);
	v = xs_read(g.xs, XBT_NULL, path, &len);
	state = v ? atoi(v) : 0;
	free(v);
	return state;
}

void put(const char *name, const char *fmt, ...)
{
	char path[200], text[64];
	const char *value = text;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (uint32_t i = 0; i < g.nr_nodes; i++)
		if (!strcmp(g.node[i][0], name))
			value = g.node[i][1];
	snprintf(path, sizeof(path), "%s/%s", g.dir, name);
	if (!value)
		xs_rm(g.xs, XBT_NULL, path);
	else if (!xs_write(g.xs, XBT_NULL, path, value, (unsigned)strlen(value)))
		die("cannot write %s: %s", path, strerror(errno));
}

int wait_back(int a, int b)
{
	uint64_t end = now_ms() + PATIENCE;

	for (;;) {
		int s = state_of(g.back);

		if (s == a || s == b)
			return s;
		if (now_ms() > end)
			return -1;
		usleep(2000);
	}
}

void find(const char *dev)
{
	static const char *const types[] = { "svif", "vif" };
	char path[200], *v = NULL;
	unsigned len;

	g.xs = xs_open(0);
	if (!g.xs)
		die("no xenstore: %s", strerror(errno));
	for (size_t i = 0; i < 2 && !v; i++) {
		snprintf(g.dir, sizeof(g.dir), strchr(dev, '/') ? "%s" : "device/%s/%s",
			 strchr(dev, '/') ? dev : types[i], dev);
		snprintf(path, sizeof(path), "%s/backend", g.dir);
		v = xs_read(g.xs, XBT_NULL, path, &len);
	}
	if (!v)
		die("no device %s", dev);
	snprintf(g.back, sizeof(g.back), "%s", v);
	free(v);
	snprintf(path, sizeof(path), "%s/backend-id", g.dir);
	v = xs_read(g.xs, XBT_NULL, path, &len);
	g.back_domid = v ? (uint32_t)atoi(v) : 0;
	free(v);
}

/* ------------------------------------------------------------------ rings */

void kick(struct nic_queue *q, int way)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	xenevtchn_notify(g.evtchn, (evtchn_port_t)q->port[g.split ? way : 0]);
}

void push_tx(struct nic_queue *q)
{
	__atomic_store_n(word(q->tx, 0), q->tx_prod, __ATOMIC_RELEASE);
	kick(q, 0);
}

void post(struct nic_queue *q, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++, q->rx_prod++) {
		struct netif_rx_request r = { .id = (uint16_t)(q->rx_prod & (SLOTS - 1)),
					      .gref = g.buf_refs[q->rx_prod & (SLOTS - 1)] };

		memset(g.buf + (size_t)r.id * PAGE, UNWRITTEN, PAGE);
		memcpy(rx_slot(q, q->rx_prod), &r, sizeof(r));
	}
	__atomic_store_n(word(q->rx, 0), q->rx_prod, __ATOMIC_RELEASE);
	kick(q, 1);
}

void make_all(void)
{
	if (!g.shr) {
		g.shr = xengntshr_open(NULL, 0);
		g.evtchn = xenevtchn_open(NULL, 0);
	}
	memset(g.q, 0, sizeof(g.q));
	if (!g.shr || !g.evtchn)
		die("no grants or event channels: %s", strerror(errno));
	for (uint32_t i = 0; i < g.nr_queues; i++) {
		struct nic_queue *q = &g.q[i];

		q->tx = xengntshr_share_pages(g.shr, g.back_domid, 1, &q->tx_ref, 1);
		q->rx = xengntshr_share_pages(g.shr, g.back_domid, 1, &q->rx_ref, 1);
		q->port[0] = xenevtchn_bind_unbound_port(g.evtchn, g.back_domid);
		q->port[1] = g.split ? xenevtchn_bind_unbound_port(g.evtchn, g.back_domid) : 0;
		if (!q->tx || !q->rx || q->port[0] < 0 || q->port[1] < 0)
			die("cannot make queue %u", i);
		memset(q->tx, 0, PAGE);
		memset(q->rx, 0, PAGE);
		*word(q->tx, 1) = *word(q->tx, 3) = *word(q->rx, 1) = *word(q->rx, 3) = 1;
	}
	g.data = xengntshr_share_pages(g.shr, g.back_domid, DATA_PAGES, g.refs, 1);
	g.buf = xengntshr_share_pages(g.shr, g.back_domid, SLOTS, g.buf_refs, 1);
	if (!g.data || !g.buf)
		die("cannot grant pages: %s", strerror(errno));
}

/* What a predecessor may have left and we do not write. */
static void forget(void)
{
	static const char *const names[] = { "event-channel", "event-channel-tx", "event-channel-rx",
					     "tx-ring-ref",   "rx-ring-ref",      "multi-queue-num-queues",
					     "queue-0",       "queue-1",          "queue-2",
					     "queue-3" };
	char path[200];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", g.dir, names[i]);
		xs_rm(g.xs, XBT_NULL, path);
	}
}

void publish(void)
{
	char name[64], prefix[24] = "";

	forget();

	put("request-rx-copy", "1");
	put("feature-rx-notify", "1");
	put("feature-sg", "1");
	put("feature-gso-tcpv4", "1");
	put("feature-gso-tcpv6", "1");
	put("feature-ipv6-csum-offload", "1");
	put("feature-no-csum-offload", "0");
	if (g.nr_queues > 1)
		put("multi-queue-num-queues", "%u", g.nr_queues);
	for (uint32_t i = 0; i < g.nr_queues; i++) {
		if (g.nr_queues > 1)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		snprintf(name, sizeof(name), "%stx-ring-ref", prefix);
		put(name, "%u", g.q[i].tx_ref);
		snprintf(name, sizeof(name), "%srx-ring-ref", prefix);
		put(name, "%u", g.q[i].rx_ref);
		snprintf(name, sizeof(name), g.split ? "%sevent-channel-tx" : "%sevent-channel", prefix);
		put(name, "%d", g.q[i].port[0]);
		if (!g.split)
			continue;
		snprintf(name, sizeof(name), "%sevent-channel-rx", prefix);
		put(name, "%d", g.q[i].port[1]);
	}
	for (uint32_t i = 0; i < g.nr_nodes; i++) /* those the book does not know */
		put(g.node[i][0], "%d", 0);
	put("state", g.state3 ? "3" : "4");
}

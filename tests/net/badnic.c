/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * badnic.c - a network front end that does exactly what it is told: it connects by the book and then carries out its
 * arguments one by one, with no check and no protection.  What came back is printed in plain lines; what is right stands
 * in the .t file.
 *
 *	badnic [OPTION]... DEV STEP...      DEV is a number, or a directory as device/svif/0
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xen/io/netif.h>
#include <xen/io/xenbus.h>
#include "common/base/base.h"

#define PAGE       4096u
#define SLOTS      256u
#define DATA_PAGES 64u
#define MAX_QUEUES 4u
#define PATIENCE   10000u /* ms */

struct nic_queue {
	uint8_t *tx, *rx;
	uint32_t tx_ref, rx_ref;
	int port[2];
	uint32_t tx_prod, tx_cons, rx_prod, rx_cons;
};

static struct {
	struct xs_handle *xs;
	xengntshr_handle *shr;
	xenevtchn_handle *evtchn;
	char dir[64], back[256];
	uint32_t back_domid, nr_queues, buffers;
	bool split, state3;
	const char *node[16][2]; /* instead of what the book says; NULL: not at all */
	uint32_t nr_nodes;
	struct nic_queue q[MAX_QUEUES];
	uint8_t *data;
	uint32_t refs[DATA_PAGES];
	uint8_t *buf; /* receive buffers of queue 0 */
	uint32_t buf_refs[SLOTS];
	bool connected;
} g = { .nr_queues = 1, .buffers = 64 };

static void __printf(1, 2) __attribute__((noreturn)) die(const char *fmt, ...)
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

static uint64_t now_ms(void)
{
	return now_ns() / 1000000;
}

/* ------------------------------------------------------------------ xenstore */

static int state_of(const char *dir)
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

static void put(const char *name, const char *fmt, ...) __printf(2, 3);
static void put(const char *name, const char *fmt, ...)
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

static int wait_back(int a, int b)
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

static void find(const char *dev)
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

static uint32_t *word(uint8_t *ring, uint32_t i)
{
	return (uint32_t *)(void *)ring + i;
}

static struct netif_tx_request *tx_slot(struct nic_queue *q, uint32_t i)
{
	return (struct netif_tx_request *)(void *)(q->tx + 64) + (i & (SLOTS - 1));
}

static uint8_t *rx_slot(struct nic_queue *q, uint32_t i)
{
	return q->rx + 64 + (size_t)(i & (SLOTS - 1)) * 8;
}

static void kick(struct nic_queue *q, int way)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	xenevtchn_notify(g.evtchn, (evtchn_port_t)q->port[g.split ? way : 0]);
}

static void push_tx(struct nic_queue *q)
{
	__atomic_store_n(word(q->tx, 0), q->tx_prod, __ATOMIC_RELEASE);
	kick(q, 0);
}

static void post(struct nic_queue *q, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++, q->rx_prod++) {
		struct netif_rx_request r = { .id = (uint16_t)(q->rx_prod & (SLOTS - 1)),
					      .gref = g.buf_refs[q->rx_prod & (SLOTS - 1)] };

		memcpy(rx_slot(q, q->rx_prod), &r, sizeof(r));
	}
	__atomic_store_n(word(q->rx, 0), q->rx_prod, __ATOMIC_RELEASE);
	kick(q, 1);
}

static void make_all(void)
{
	g.shr = xengntshr_open(NULL, 0);
	g.evtchn = xenevtchn_open(NULL, 0);
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

static void publish(void)
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

static void step_connect(void)
{
	int s;

	if (state_of(g.back) != XenbusStateInitWait) { /* as boot loaders and Windows do */
		put("state", "6");
		if (wait_back(XenbusStateClosed, XenbusStateClosed) < 0)
			die("the back end does not close: state %d", state_of(g.back));
		put("state", "1");
		if (wait_back(XenbusStateInitWait, XenbusStateInitWait) < 0)
			die("the back end does not become ready: state %d", state_of(g.back));
	}
	make_all();
	publish();
	s = wait_back(XenbusStateConnected, XenbusStateClosing);
	printf("back end %d\n", s);
	if (s == XenbusStateConnected)
		post(&g.q[0], g.buffers);
	if (s == XenbusStateConnected && g.state3)
		put("state", "4");
	g.connected = s == XenbusStateConnected;
}

static void step_close(void)
{
	put("state", "5");
	wait_back(XenbusStateClosing, XenbusStateClosed);
	put("state", "6");
	printf("back end %d\n", wait_back(XenbusStateClosed, XenbusStateClosed));
}

/* The next transmit answers: one line "tx STATUS..."; "none" when they do not come. */
static void answers(struct nic_queue *q, uint32_t n)
{
	uint64_t end = now_ms() + PATIENCE;

	printf("tx");
	while (n > 0) {
		struct netif_tx_response r;

		if (__atomic_load_n(word(q->tx, 2), __ATOMIC_ACQUIRE) == q->tx_cons) {
			if (now_ms() > end || state_of(g.back) != XenbusStateConnected)
				break;
			usleep(500);
			continue;
		}
		memcpy(&r, tx_slot(q, q->tx_cons++), sizeof(r));
		printf(" %d", r.status);
		n--;
	}
	puts(n ? " none" : "");
}

/* ------------------------------------------------------------------ frames */

static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };

/* An Ethernet frame of an experimental type, @seed all over. */
static void fill(uint8_t *f, uint32_t bytes, const uint8_t dst[6], uint8_t seed)
{
	for (uint32_t i = 0; i < bytes; i++)
		f[i] = (uint8_t)(seed + i * 3);
	memcpy(f, dst, MIN(bytes, 6u));
	if (bytes >= 14)
		memcpy(f + 6, "\x02\x00\x00\x00\x00\x01\x88\xb5", 8);
}

static uint16_t csum(const uint8_t *p, uint32_t n, uint32_t sum)
{
	for (; n > 1; p += 2, n -= 2)
		sum += (uint32_t)(p[0] << 8 | p[1]);
	if (n)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* A TCP packet of IPv4 with the pseudo-header's sum where its checksum goes. */
static void fill_tcp(uint8_t *f, uint32_t bytes, uint8_t seed)
{
	uint32_t ip = bytes - 14;
	uint16_t sum;

	fill(f, bytes, broadcast, seed);
	memcpy(f + 12, "\x08\x00\x45\x00\x00\x00\x00\x01\x40\x00\x40\x06\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02", 22);
	f[16] = (uint8_t)(ip >> 8);
	f[17] = (uint8_t)ip;
	sum = (uint16_t)~csum(f + 14, 20, 0);
	f[24] = (uint8_t)(sum >> 8);
	f[25] = (uint8_t)sum;
	f[46] = 0x50;
	sum = csum(f + 26, 8, 6 + ip - 20);
	f[50] = (uint8_t)(sum >> 8);
	f[51] = (uint8_t)sum;
}

/* Slots for @bytes of data page @page on, cut at pages. */
static uint32_t put_packet(struct nic_queue *q, uint32_t page, uint32_t bytes, uint16_t flags, uint16_t gso)
{
	uint32_t nr = 0, pages = (bytes + PAGE - 1) / PAGE;

	for (uint32_t i = 0; i < pages; i++) {
		struct netif_tx_request r = { .gref = g.refs[page + i], .id = (uint16_t)(q->tx_prod & (SLOTS - 1)) };

		r.size = (uint16_t)(i == 0 ? bytes : MIN(PAGE, bytes - i * PAGE));
		r.flags = (uint16_t)((i + 1 < pages ? NETTXF_more_data : 0) | (i == 0 ? flags : 0) |
				     (i == 0 && gso ? NETTXF_extra_info : 0));
		*tx_slot(q, q->tx_prod++) = r;
		nr++;
		if (i > 0 || !gso)
			continue;
		struct netif_extra_info e = { .type = XEN_NETIF_EXTRA_TYPE_GSO };

		e.u.gso.size = gso;
		e.u.gso.type = XEN_NETIF_GSO_TYPE_TCPV4;
		memset(tx_slot(q, q->tx_prod), 0, 12);
		memcpy(tx_slot(q, q->tx_prod++), &e, sizeof(e));
		nr++;
	}
	return nr;
}

/* send BYTES [COUNT]: frames of a page or less, and more */
static void step_send(struct nic_queue *q, uint32_t bytes, uint32_t count, bool multicast)
{
	static const uint8_t group[6] = { 1, 0, 0x5e, 9, 9, 9 };
	uint32_t sent = 0, nr = 0;

	while (sent < count) {
		if (nr == 0)
			fill(g.data, bytes, multicast ? group : broadcast, 7);
		nr += put_packet(q, 0, bytes, 0, 0);
		sent++;
		if (nr + 20 > SLOTS || sent == count) {
			uint64_t end = now_ms() + 2 * PATIENCE;

			push_tx(q);
			while (__atomic_load_n(word(q->tx, 2), __ATOMIC_ACQUIRE) != q->tx_prod) {
				if (now_ms() > end)
					die("%u frames are not answered", q->tx_prod - *word(q->tx, 2));
				usleep(200);
			}
			for (; q->tx_cons != q->tx_prod; q->tx_cons++) {
				struct netif_tx_response r;

				memcpy(&r, tx_slot(q, q->tx_cons), sizeof(r));
				if (r.status != NETIF_RSP_OKAY) {
					printf("a frame got %d\n", r.status);
					q->tx_cons = q->tx_prod;
					return;
				}
			}
			nr = 0;
		}
	}
	printf("sent %u\n", count);
}

static void step_tcp(struct nic_queue *q, uint32_t bytes, uint16_t gso)
{
	uint32_t nr;

	fill_tcp(g.data, bytes, 3);
	nr = put_packet(q, 0, bytes, NETTXF_csum_blank, gso);
	push_tx(q);
	answers(q, nr);
}

/* Wait for @n frames: "rx BYTES flags F slots N [gso SIZE] [bad]" each; "bad" when it is not what fill() makes of its seed. */
static void step_expect(struct nic_queue *q, uint32_t n, uint32_t ms, bool quiet)
{
	static uint8_t frame[80000];
	uint64_t end = now_ms() + ms;
	uint32_t bytes = 0, slots = 0, got = 0;
	uint16_t flags = 0, gso = 0;
	bool extra = false, bad_id = false;

	while (got < n) {
		uint8_t s[8];
		struct netif_rx_response r;
		uint32_t at = q->rx_cons & (SLOTS - 1), piece;

		if (__atomic_load_n(word(q->rx, 2), __ATOMIC_ACQUIRE) == q->rx_cons) {
			if (now_ms() > end)
				break;
			usleep(500);
			continue;
		}
		memcpy(s, rx_slot(q, q->rx_cons++), sizeof(s));
		slots++;
		if (extra) {
			struct netif_extra_info e;

			memcpy(&e, s, sizeof(e));
			gso = e.type == XEN_NETIF_EXTRA_TYPE_GSO ? e.u.gso.size : 0xffff;
			extra = e.flags & XEN_NETIF_EXTRA_FLAG_MORE;
		} else {
			memcpy(&r, s, sizeof(r));
			if (slots == 1)
				flags = r.flags;
			bad_id |= r.id != at;
			extra = slots == 1 && (r.flags & NETRXF_extra_info);
			if (r.status < 0) {
				printf("rx error %d\n", r.status);
				bytes = slots = 0;
				got++;
				continue;
			}
			piece = (uint16_t)r.status;
			if (bytes + piece > sizeof(frame) || piece > PAGE)
				die("too much");
			memcpy(frame + bytes, g.buf + (size_t)at * PAGE + r.offset, piece);
			bytes += piece;
			if (r.flags & NETRXF_more_data)
				continue;
		}
		if (extra)
			continue;
		if (!quiet) {
			bool bad = bad_id;

			if (bytes > 14 && frame[12] == 0x88 && frame[13] == 0xb5)
				for (uint32_t i = 14; i < bytes; i++)
					bad |= frame[i] != (uint8_t)(frame[14] + (i - 14) * 3);
			printf("rx %u flags %u slots %u", bytes, flags & 3u, slots);
			if (gso)
				printf(" gso %u", gso);
			puts(bad ? " bad" : "");
		}
		got++;
		bytes = slots = gso = 0;
		bad_id = false;
	}
	if (quiet || got < n)
		printf("got %u of %u\n", got, n);
}

/* ------------------------------------------------------------------ sins */

static struct netif_tx_request *sin_slot(struct nic_queue *q, uint32_t size, uint32_t offset, uint32_t flags)
{
	struct netif_tx_request *r = tx_slot(q, q->tx_prod);

	*r = (struct netif_tx_request){ g.refs[q->tx_prod % DATA_PAGES], (uint16_t)offset, (uint16_t)flags,
					(uint16_t)(q->tx_prod & (SLOTS - 1)), (uint16_t)size };
	q->tx_prod++;
	return r;
}

static void sin_extra(struct nic_queue *q, uint8_t type, uint8_t flags, uint16_t size, uint8_t gso)
{
	struct netif_extra_info e = { .type = type, .flags = flags };

	e.u.gso.size = size;
	e.u.gso.type = gso;
	memset(tx_slot(q, q->tx_prod), 0, 12);
	memcpy(tx_slot(q, q->tx_prod++), &e, sizeof(e));
}

static uint32_t mcast(struct nic_queue *q, uint8_t type, uint8_t last)
{
	struct netif_extra_info e = { .type = type };
	const uint8_t group[6] = { 1, 0, 0x5e, 9, 9, last };

	sin_slot(q, 0, 0, NETTXF_extra_info);
	memcpy(e.u.mcast.addr, group, 6);
	memset(tx_slot(q, q->tx_prod), 0, 12);
	memcpy(tx_slot(q, q->tx_prod++), &e, sizeof(e));
	return 2;
}

static void step_sin(struct nic_queue *q, const char *name, bool answered)
{
	uint32_t from = q->tx_prod, n;

	fill(g.data, DATA_PAGES * PAGE, broadcast, 9);
	if (!strcmp(name, "short")) {
		sin_slot(q, 13, 0, 0);
	} else if (!strcmp(name, "smaller-than-fragments")) {
		sin_slot(q, 60, 0, NETTXF_more_data);
		sin_slot(q, 61, 0, 0);
	} else if (!strcmp(name, "wrapped-total")) {
		sin_slot(q, 4064, 0, NETTXF_more_data);
		for (n = 0; n < 17; n++)
			sin_slot(q, 4096, 0, n < 16 ? NETTXF_more_data : 0);
	} else if (!strcmp(name, "too-many-slots")) {
		sin_slot(q, 200, 0, NETTXF_more_data);
		for (n = 0; n < 30; n++)
			sin_slot(q, 3, 0, n < 29 ? NETTXF_more_data : 0);
	} else if (!strcmp(name, "tiny-fragments")) { /* XSA-423, XSA-432 */
		sin_slot(q, 60, 0, NETTXF_more_data);
		for (n = 0; n < 17; n++)
			sin_slot(q, 3, 0, n < 16 ? NETTXF_more_data : 0);
	} else if (!strcmp(name, "empty-fragments")) { /* XSA-448: and its grant is nonsense */
		sin_slot(q, 60, 0, NETTXF_more_data);
		sin_slot(q, 0, 0, NETTXF_more_data)->gref = 0x7fffffff;
		sin_slot(q, 30, 0, NETTXF_more_data);
		sin_slot(q, 0, 0, 0)->gref = 0;
	} else if (!strcmp(name, "bad-grant")) {
		sin_slot(q, 60, 0, 0)->gref = 0x7fffffff;
	} else if (!strcmp(name, "bad-grant-in-the-middle")) {
		sin_slot(q, 180, 0, NETTXF_more_data);
		sin_slot(q, 60, 0, NETTXF_more_data)->gref = 0x7fffffff;
		sin_slot(q, 60, 0, 0);
	} else if (!strcmp(name, "blank-checksum-of-nothing")) {
		sin_slot(q, 60, 0, NETTXF_csum_blank);
	} else if (!strcmp(name, "gso-of-nothing")) {
		sin_slot(q, 600, 0, NETTXF_extra_info);
		sin_extra(q, XEN_NETIF_EXTRA_TYPE_GSO, 0, 100, 1);
	} else if (!strcmp(name, "page-crossing")) {
		sin_slot(q, 60, 4090, 0);
	} else if (!strcmp(name, "unknown-extra")) {
		sin_slot(q, 60, 0, NETTXF_extra_info);
		sin_extra(q, 77, 0, 0, 0);
	} else if (!strcmp(name, "missing-extra")) {
		sin_slot(q, 60, 0, NETTXF_extra_info);
	} else if (!strcmp(name, "missing-fragment")) {
		sin_slot(q, 60, 0, NETTXF_more_data);
	} else if (!strcmp(name, "endless-chain")) {
		for (n = 0; n < SLOTS; n++)
			sin_slot(q, 1, 0, NETTXF_more_data);
	} else if (!strcmp(name, "gso-size-0")) {
		sin_slot(q, 60, 0, NETTXF_extra_info);
		sin_extra(q, XEN_NETIF_EXTRA_TYPE_GSO, 0, 0, 1);
	} else if (!strcmp(name, "gso-type-9")) {
		sin_slot(q, 60, 0, NETTXF_extra_info);
		sin_extra(q, XEN_NETIF_EXTRA_TYPE_GSO, 0, 100, 9);
	} else if (!strcmp(name, "producer-jump")) {
		q->tx_prod += SLOTS + 1;
	} else if (!strcmp(name, "producer-back")) {
		q->tx_prod -= 5;
	} else if (!strcmp(name, "rx-producer-jump")) {
		*word(q->rx, 0) = q->rx_prod + SLOTS + 1;
		kick(q, 1);
	} else {
		die("no sin \"%s\"", name);
	}
	n = q->tx_prod - from;
	push_tx(q);
	if (answered && n > 0 && n <= SLOTS)
		answers(q, n);
}

static uint32_t number(const char *s)
{
	return (uint32_t)strtoul(s, NULL, 0);
}

static int steps(char **a)
{
	struct nic_queue *q = &g.q[0];

	for (; *a; a++) {
		if (!strcmp(*a, "connect")) {
			step_connect();
		} else if (!strcmp(*a, "close")) {
			step_close();
		} else if (!strcmp(*a, "send") || !strcmp(*a, "send-group")) {
			step_send(q, number(a[1]), number(a[2]), a[0][4] != '\0');
			a += 2;
		} else if (!strcmp(*a, "tcp")) { /* BYTES GSO */
			step_tcp(q, number(a[1]), (uint16_t)number(a[2]));
			a += 2;
		} else if (!strcmp(*a, "expect")) {
			step_expect(q, number(a[1]), PATIENCE, false);
			a++;
		} else if (!strcmp(*a, "count")) { /* N MS */
			step_expect(q, number(a[1]), number(a[2]), true);
			a += 2;
		} else if (!strcmp(*a, "post")) {
			post(q, number(a[1]));
			a++;
		} else if (!strcmp(*a, "sin") || !strcmp(*a, "crime")) { /* a crime is not waited for */
			step_sin(q, a[1], **a == 's');
			a++;
		} else if (!strcmp(*a, "join") || !strcmp(*a, "leave")) { /* LAST-BYTE */
			uint32_t n = mcast(q,
					   **a == 'j' ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD : XEN_NETIF_EXTRA_TYPE_MCAST_DEL,
					   (uint8_t)number(a[1]));

			push_tx(q);
			answers(q, n);
			a++;
		} else if (!strcmp(*a, "join-many")) { /* N: how many were refused */
			uint32_t refused = 0, n = number(a[1]);

			for (uint32_t i = 0; i < n; i++) {
				struct netif_tx_response r;

				mcast(q, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, (uint8_t)i);
				push_tx(q);
				while (__atomic_load_n(word(q->tx, 2), __ATOMIC_ACQUIRE) != q->tx_prod)
					usleep(200);
				memcpy(&r, tx_slot(q, q->tx_cons), sizeof(r));
				refused += r.status != NETIF_RSP_OKAY ? 1u : 0u;
				q->tx_cons = q->tx_prod;
			}
			printf("refused %u\n", refused);
			a++;
		} else if (!strcmp(*a, "node")) { /* NAME=VALUE, now */
			char *eq = strchr(a[1], '=');

			*eq = '\0';
			put(a[1], "%s", eq + 1);
			a++;
		} else if (!strcmp(*a, "wait-state")) { /* of the back end */
			printf("back end %d\n", wait_back((int)number(a[1]), (int)number(a[1])));
			a++;
		} else if (!strcmp(*a, "say")) {
			puts(a[1]);
			a++;
		} else if (!strcmp(*a, "sleep")) { /* MS: for what must not happen */
			usleep(number(a[1]) * 1000);
			a++;
		} else if (!strcmp(*a, "line")) { /* until a line comes on stdin */
			char text[16];

			if (!fgets(text, sizeof(text), stdin))
				return 0;
		} else if (!strcmp(*a, "stay")) {
			fflush(stdout);
			for (;;)
				pause();
		} else {
			die("no step \"%s\"", *a);
		}
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--split"))
			g.split = true;
		else if (!strcmp(argv[i], "--state3"))
			g.state3 = true;
		else if (!strcmp(argv[i], "--queues") && i + 1 < argc)
			g.nr_queues = number(argv[++i]);
		else if (!strcmp(argv[i], "--buffers") && i + 1 < argc)
			g.buffers = number(argv[++i]);
		else if (!strcmp(argv[i], "--node") && i + 1 < argc && g.nr_nodes < ARRAY_SIZE(g.node)) {
			char *eq = strchr(argv[++i], '=');

			if (eq)
				*eq = '\0';
			g.node[g.nr_nodes][0] = argv[i];
			g.node[g.nr_nodes++][1] = eq ? eq + 1 : NULL;
		} else
			die("no option %s", argv[i]);
	}
	if (i >= argc || g.nr_queues > MAX_QUEUES || g.buffers > SLOTS)
		die("usage: badnic [--split] [--state3] [--queues N] [--buffers N] [--node NAME[=VALUE]]... DEV "
		    "STEP...");
	find(argv[i]);
	return steps(argv + i + 1);
}

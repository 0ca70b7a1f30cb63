/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * badnic.c - a network front end that does exactly what it is told: it connects by the book and then carries out its
 * arguments one by one, with no check and no protection.  What came back is printed in plain lines; what is right stands
 * in the .t file.
 *
 *	badnic [OPTION]... DEV STEP...      DEV is a number, or a directory as device/svif/0
 */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include <xen/io/xenbus.h>
#include "tests/net/badnic.h"

struct nic g = { .nr_queues = 1, .buffers = 64 };

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
}

static void step_close(void)
{
	put("state", "5");
	wait_back(XenbusStateClosing, XenbusStateClosed);
	put("state", "6");
	printf("back end %d\n", wait_back(XenbusStateClosed, XenbusStateClosed));
}

void answers(struct nic_queue *q, uint32_t n)
{
	static const uint8_t zero[12 - sizeof(struct netif_tx_response)];
	uint64_t end = now_ms() + PATIENCE;
	uint8_t slot[12];

	printf("tx");
	while (n > 0) {
		struct netif_tx_response r;

		if (__atomic_load_n(word(q->tx, 2), __ATOMIC_ACQUIRE) == q->tx_cons) {
			if (now_ms() > end || state_of(g.back) != XenbusStateConnected)
				break;
			usleep(500);
			continue;
		}
		memcpy(slot, tx_slot(q, q->tx_cons++), sizeof(slot));
		memcpy(&r, slot, sizeof(r));
		printf(memcmp(slot + sizeof(r), zero, sizeof(zero)) ? " %d leak" : " %d", r.status); /* XSA-216 */
		n--;
	}
	puts(n ? " none" : "");
}

bool all_answered(struct nic_queue *q, uint32_t ms)
{
	uint64_t end = now_ms() + ms;

	while (__atomic_load_n(word(q->tx, 2), __ATOMIC_ACQUIRE) != q->tx_prod) {
		if (now_ms() > end)
			return false;
		usleep(200);
	}
	return true;
}

/* ------------------------------------------------------------------ frames */

const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };

void fill(uint8_t *f, uint32_t bytes, const uint8_t dst[6], uint8_t seed)
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

void fill_tcp(uint8_t *f, uint32_t bytes, uint8_t seed)
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
			push_tx(q);
			if (!all_answered(q, 2 * PATIENCE))
				die("%u frames are not answered", q->tx_prod - *word(q->tx, 2));
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
	bool extra = false, bad_id = false, leak = false;

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
			for (uint32_t i = piece; i < PAGE;
			     i++) /* XSA-216's kind: what is not the frame's is nobody's */
				leak |= g.buf[(size_t)at * PAGE + i] != UNWRITTEN;
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
			puts(leak ? " leak" : bad ? " bad" : "");
		}
		got++;
		bytes = slots = gso = 0;
		bad_id = false;
	}
	if (quiet || got < n)
		printf("got %u of %u\n", got, n);
}

static bool line_is_there(void)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Take the answers of a ring: each request's id, in order, once.  How many. */
static uint32_t take_ids(const char *name, uint8_t *ring, uint32_t *cons, uint32_t prod, uint32_t slot_bytes)
{
	uint32_t to = __atomic_load_n(word(ring, 2), __ATOMIC_ACQUIRE), nr = 0;

	if (to - *cons > prod - *cons)
		die("%s: %u answers to %u requests", name, to - *cons, prod - *cons);
	for (; *cons != to; ++*cons, nr++) {
		struct { /* netif_tx_response, and the start of netif_rx_response */
			uint16_t id;
			int16_t status;
		} r;

		memcpy(&r, ring + 64 + (size_t)(*cons & (SLOTS - 1)) * slot_bytes, sizeof(r));
		if (r.id != (*cons & (SLOTS - 1)))
			die("%s: the answer to %u has the id %u", name, *cons & (SLOTS - 1), r.id);
	}
	return nr;
}

/*
 * Both rings are kept full until a line comes on stdin; then no more is put there, and all of it must be answered: a slot that
 * was lost, or answered twice, is seen at once, or then.  Of receive buffers some are left that the next frame has no room in.
 */
static void step_duplex(struct nic_queue *q)
{
	uint64_t tx = 0, rx = 0, end = 0;

	fill(g.data, 2 * PAGE, broadcast, 7);
	for (;;) {
		uint32_t nr = take_ids("transmit", q->tx, &q->tx_cons, q->tx_prod, 12);

		tx += nr;
		if (end == 0 && line_is_there())
			end = now_ms() + 2 * PATIENCE;
		if (end == 0 && q->tx_prod - q->tx_cons + 3 <= SLOTS) {
			while (q->tx_prod - q->tx_cons + 3 <= SLOTS) {
				put_packet(q, 0, 60, 0, 0);
				put_packet(q, 0, 5000, 0, 0);
			}
			push_tx(q);
		}
		nr = take_ids("receive", q->rx, &q->rx_cons, q->rx_prod, 8);
		rx += nr;
		if (end == 0 && nr > 0)
			post(q, nr);
		if (end && q->tx_cons == q->tx_prod && q->rx_prod - q->rx_cons < 4)
			break;
		if (end && now_ms() > end)
			die("%u of transmit, %u of receive are not answered", q->tx_prod - q->tx_cons,
			    q->rx_prod - q->rx_cons);
		usleep(100);
	}
	printf("answered %llu %llu\n", (unsigned long long)tx, (unsigned long long)rx);
	post(q, SLOTS - (q->rx_prod - q->rx_cons));
}

static uint32_t number(const char *s)
{
	return (uint32_t)strtoul(s, NULL, 0);
}

static void step_mcast(struct nic_queue *q, bool join, uint8_t last)
{
	uint32_t n = mcast(q, join ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD : XEN_NETIF_EXTRA_TYPE_MCAST_DEL, last);

	push_tx(q);
	answers(q, n);
}

static void step_join_many(struct nic_queue *q, uint32_t n)
{
	uint32_t refused = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct netif_tx_response r;

		mcast(q, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, (uint8_t)i);
		push_tx(q);
		if (!all_answered(q, PATIENCE))
			die("address %u has no answer", i);
		memcpy(&r, tx_slot(q, q->tx_cons), sizeof(r));
		refused += r.status != NETIF_RSP_OKAY ? 1u : 0u;
		q->tx_cons = q->tx_prod;
	}
	printf("refused %u\n", refused);
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
		} else if (!strcmp(*a, "sins")) { /* NAME TIMES */
			step_sins(q, a[1], number(a[2]));
			a += 2;
		} else if (!strcmp(*a, "duplex")) { /* until a line comes on stdin, which is read by `line` */
			step_duplex(q);
		} else if (!strcmp(*a, "full")) {
			step_full(q);
		} else if (!strcmp(*a, "flip")) { /* MS SEED */
			step_flip(q, number(a[1]), number(a[2]));
			a += 2;
		} else if (!strcmp(*a, "storm")) { /* MS */
			step_storm(q, number(a[1]));
			a++;
		} else if (!strcmp(*a, "states")) { /* MS SEED */
			step_states(number(a[1]), number(a[2]));
			a += 2;
		} else if (!strcmp(*a, "queue")) { /* N: what follows is of this queue */
			q = &g.q[number(a[1]) % MAX_QUEUES];
			a++;
		} else if (!strcmp(*a, "state")) { /* N: ours */
			put("state", "%u", number(a[1]));
			a++;
		} else if (!strcmp(*a, "join") || !strcmp(*a, "leave")) { /* LAST-BYTE */
			step_mcast(q, **a == 'j', (uint8_t)number(a[1]));
			a++;
		} else if (!strcmp(*a, "join-many")) { /* N: how many were refused */
			step_join_many(q, number(a[1]));
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

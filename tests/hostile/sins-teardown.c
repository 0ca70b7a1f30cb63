/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sins-teardown.c - states in any order, deaths, revocations, nodes that vanish or never stop changing. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "tests/hostile/sins.h"
#include <xen/io/xs_wire.h> /* needs stdint.h before it */

/* After whatever was done: does the back end take a front end that goes by the book? */
static void print_reusable(struct guest *g)
{
	int state;

	guest_revoke(g);
	g->nr_nodes = 0;
	guest_relink(g);
	if (!guest_reset(g, 10000)) {
		printf("stuck %d\n", guest_state(g, g->back));
		return;
	}
	guest_publish(g);
	state = guest_wait_back(g, XenbusStateConnected, XenbusStateClosing, 10000);
	if (state != XenbusStateConnected) {
		printf("stuck %d\n", state);
		return;
	}
	guest_write(g, "state", "4");
	printf("reusable %s\n", good_request(g, &g->q[0], 0) ? "yes" : "no");
}

void sin_toggle(struct guest *g, const struct sin_args *a)
{
	static const char *const states[] = { "1", "3", "4", "5", "6" };
	uint64_t end = now_ms() + a->ms;
	uint32_t n = 0;

	rnd_seed(a->seed);
	while (now_ms() < end) {
		guest_write(g, "state", states[rnd() % ARRAY_SIZE(states)]);
		if (rnd() % 8 == 0)
			fill_ring(g, &g->q[0]);
		n++;
	}
	printf("toggled %s\n", n > 50 ? "many" : "few");
	print_reusable(g);
}

static void walk_node(struct guest *g)
{
	static const char *const names[] = { "ring-ref",
					     "ring-page-order",
					     "event-channel",
					     "protocol",
					     "feature-persistent",
					     "multi-queue-num-queues",
					     "num-ring-pages",
					     "ring-ref0",
					     "queue-0/ring-ref",
					     "queue-0",
					     "backend",
					     "backend-id",
					     "virtual-device" };
	static const char *const values[] = { "",   "0",  "1",          "4",          "32",
					      "-1", "1x", "4294967296", "x86_64-abi", "\x01\xff" };
	const char *name = names[rnd() % ARRAY_SIZE(names)], *value = values[rnd() % ARRAY_SIZE(values)];
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", g->dir, name);
	if (rnd() % 3 == 0)
		xs_rm(g->xs, XBT_NULL, path);
	else
		xs_write(g->xs, XBT_NULL, path, value, (unsigned int)strlen(value));
}

static void walk_state(struct guest *g)
{
	static const char *const states[] = { "0", "1", "2", "3",  "4", "5",  "6",
					      "7", "8", "9", "-1", "",  "4 ", "99999999999" };
	char path[400];

	snprintf(path, sizeof(path), "%s/state", g->dir);
	if (rnd() % 16 == 0)
		xs_rm(g->xs, XBT_NULL, path);
	else
		guest_write(g, "state", states[rnd() % ARRAY_SIZE(states)]);
}

/* States and nodes at random, now and then a good handshake in between, never in a hurry to be fair. */
void sin_walk(struct guest *g, const struct sin_args *a)
{
	uint64_t end = now_ms() + a->ms;
	uint32_t steps = 0;

	rnd_seed(a->seed);
	while (now_ms() < end && (!a->count || steps < a->count)) {
		uint32_t dice = rnd() % 10;

		if (dice < 5)
			walk_state(g);
		else if (dice < 8)
			walk_node(g);
		else
			guest_publish(g);
		if (g->granted && dice == 9)
			fill_ring(g, &g->q[0]);
		if (rnd() % 4 == 0)
			sleep_us(rnd() % 20000);
		steps++;
	}
	printf("walked\n");
	print_reusable(g);
}

void sin_die(struct guest *g, const struct sin_args *a)
{
	for (uint32_t i = 0; i < g->nr_queues; i++)
		fill_ring(g, &g->q[i]);
	printf("dying\n");
	fflush(stdout);
	raise(SIGKILL);
	_exit(1);
}

/* The pages go while requests that name them are in flight. */
void sin_revoke(struct guest *g, const struct sin_args *a)
{
	struct guest_queue *q = &g->q[0];
	uint32_t rounds = a->count ? a->count : 50;
	struct guest_rsp rsp;

	for (uint32_t i = 0; i < rounds; i++) {
		fill_ring(g, q);
		sleep_us(i % 5 * 20);
		xengntshr_unshare(g->shr, g->data, GUEST_DATA_PAGES);
		g->data = xengntshr_share_pages(g->shr, g->back_domid, GUEST_DATA_PAGES, g->data_refs, 1);
		if (!g->data)
			die("cannot grant pages again");
		while (q->cons != q->prod && guest_take(g, q, &rsp, 5000))
			;
		if (q->cons != q->prod) {
			printf("unanswered %u\n", q->prod - q->cons);
			return;
		}
	}
	printf("answered all\n");
	printf("alive %s\n", good_request(g, q, 0) ? "yes" : "no");
}

/* Our whole directory, with requests in flight. */
void sin_rmdir(struct guest *g, const struct sin_args *a)
{
	fill_ring(g, &g->q[0]);
	if (!xs_rm(g->xs, XBT_NULL, g->dir))
		die("cannot remove %s: %s", g->dir, strerror(errno));
	printf("back %d\n", guest_wait_back(g, 0, XenbusStateClosed, 10000));
}

void sin_reconnect(struct guest *g, const struct sin_args *a)
{
	uint32_t rounds = a->count ? a->count : 200, i;

	for (i = 0; i < rounds; i++) {
		guest_connect(g);
		if (!good_request(g, &g->q[0], i % 1000)) {
			printf("unanswered in round %u\n", i);
			return;
		}
		if (i % 2)
			fill_ring(g, &g->q[0]);
		if (!guest_close(g, 30000)) {
			printf("not closed in round %u\n", i);
			return;
		}
		guest_revoke(g);
		guest_write(g, "state", "1");
	}
	printf("reconnected %u\n", i);
}

/* Closed at once, with requests in flight and without Closing.  What was taken is finished before the back end is Closed; after that
 * the ring is ours alone. */
void sin_close_busy(struct guest *g, const struct sin_args *a)
{
	uint32_t answered;

	fill_ring(g, &g->q[0]);
	guest_write(g, "state", "6");
	printf("back %d\n", guest_wait_back(g, XenbusStateClosed, XenbusStateClosed, 10000));
	answered = *guest_word(&g->q[0], RING_RSP_PROD);
	memset(g->q[0].ring + 64, 0x77, PAGE_BYTES - 64);
	sleep_us(200000);
	answered = *guest_word(&g->q[0], RING_RSP_PROD) - answered;
	for (uint32_t i = 64; i < PAGE_BYTES; i++)
		answered += g->q[0].ring[i] != 0x77;
	printf("later %u\n", answered);
	print_reusable(g);
}

/* Publish once, with the nodes the caller replaced: what does the back end do? */
void sin_publish(struct guest *g, const struct sin_args *a)
{
	int state;

	if (!guest_reset(g, 10000))
		die("the back end does not become ready: state %d", guest_state(g, g->back));
	guest_publish(g);
	state = guest_wait_back(g, XenbusStateConnected, XenbusStateClosing, a->ms);
	switch (state) {
	case XenbusStateConnected:
		guest_write(g, "state", "4");
		printf("connected\nserved %s\n", good_request(g, &g->q[0], 0) ? "yes" : "no");
		break;
	case XenbusStateClosing:
		printf("refused\n");
		break;
	case 0:
		printf("gone\n");
		return;
	default:
		printf("ignored %d\n", guest_state(g, g->back));
	}
	print_reusable(g);
}

/* ------------------------------------------------------------------ a flood of writes */

static int raw_connect(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = getenv("XENSTORED_PATH");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!path || strlen(path) >= sizeof(sa.sun_path) || fd < 0)
		return -1;
	memcpy(sa.sun_path, path, strlen(path));
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -1 : fd;
}

static void read_all(int fd, void *buf, size_t bytes)
{
	for (size_t n = 0; n < bytes;) {
		ssize_t r = read(fd, (char *)buf + n, bytes - n);

		if (r <= 0)
			die("xenstored closed the connection");
		n += (size_t)r;
	}
}

/* Skip one answer; its type. */
static uint32_t read_answer(int fd)
{
	struct xsd_sockmsg h;
	char text[XENSTORE_PAYLOAD_MAX];

	read_all(fd, &h, sizeof(h));
	if (h.len > sizeof(text))
		die("nonsense from xenstored");
	read_all(fd, text, h.len);
	return h.type;
}

/* libxenstore waits for each answer; so that the flood is one, requests are sent a hundred at a time. */
#define FLOOD_BATCH 100u
static void flood_batch(int fd, const char *path, uint32_t n)
{
	char buf[FLOOD_BATCH * 256];
	size_t used = 0;

	for (uint32_t i = 0; i < n; i++) {
		size_t len = strlen(path) + 1;
		struct xsd_sockmsg h = { .type = XS_WRITE, .req_id = i, .len = (uint32_t)len + 1 };

		memcpy(buf + used, &h, sizeof(h));
		memcpy(buf + used + sizeof(h), path, len);
		buf[used + sizeof(h) + len] = (char)('0' + i % 9);
		used += sizeof(h) + h.len;
	}
	if (write(fd, buf, used) != (ssize_t)used)
		die("cannot write to xenstored");
	for (uint32_t i = 0; i < n; i++)
		if (read_answer(fd) == XS_ERROR)
			die("xenstored refuses to write %s", path);
}

/* One node again and again: a->count times, or until a->ms are over. */
void sin_flood(struct guest *g, const struct sin_args *a)
{
	uint32_t n = a->count ? a->count : 100000, i;
	uint64_t end = now_ms() + a->ms, began = now_ms();
	char path[200];
	int fd = raw_connect();

	if (fd < 0)
		die("no socket of xenstored: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/%s", g->dir, a->node ? a->node : "state");
	for (i = 0; i < n && now_ms() < end; i += FLOOD_BATCH)
		flood_batch(fd, path, FLOOD_BATCH);
	close(fd);
	printf("written %u in %u ms\n", i, (uint32_t)(now_ms() - began));
}

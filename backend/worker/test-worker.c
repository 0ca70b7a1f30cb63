/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-worker.c - a worker on hostxen, with this process as both its guest (domain 1) and its control plane.
 *
 * Run as: hostxen run -d 1 -- test-worker.  A child of ours, forked before any Xen library was used, lives in domain 0: it binds
 * event channels there and hands their fds over, as the control plane will.
 *
 * test-worker bench KIND DEPTH BYTES SECONDS [FILE]: not a test, a load for a profiler: KIND is randread, randwrite or read; no FILE is null:.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <xengnttab.h>

#include "backend/block/blk-journal.h"
#include "backend/journal.h"
#include "backend/control/wire.h"
#include "common/ring/ring.h"
#include "common/span/span.h"
#include "common/metrics/metrics.h"
#include "common/xen/evtchn.h"

#define GUEST    1u
#define DISK     (16u << 20) /* bytes */
#define NR_PAGES 512u        /* data pages of the guest */

static int helper_fd;

/* ------------------------------------------------------------------ domain 0's helper: binds ports */

static void pass_fd(int sock, int fd, int port)
{
	struct wire_hdr h = { .type = 1, .err = port };

	if (wire_send(sock, &h, NULL, &fd, 1))
		_exit(1);
}

static void helper(int sock)
{
	int32_t remote;

	while (read(sock, &remote, sizeof(remote)) == (ssize_t)sizeof(remote)) {
		struct evtchn *e;
		int port, fd;

		if (evtchn_open(&e))
			_exit(1);
		port = evtchn_bind(e, GUEST, (uint32_t)remote);
		fd = evtchn_fd(e);
		pass_fd(sock, fd, port); /* the handle stays open here; the port lives with the last fd */
		close(fd);
	}
	_exit(0);
}

static int bind_port(int remote, uint32_t *port)
{
	static struct wire_msg m;
	int32_t r = remote;

	assert_int_equal(write(helper_fd, &r, sizeof(r)), sizeof(r));
	assert_int_equal(wire_recv(helper_fd, &m), 0);
	assert_true(m.hdr.err > 0);
	*port = (uint32_t)m.hdr.err;
	return m.fds[0];
}

/* ------------------------------------------------------------------ the world of one test */

struct world {
	int sock;
	pid_t worker;
	uint32_t seq;
	struct wire_msg m;
	struct blk_info info;
	xengntshr_handle *share;
	/* front end */
	enum blk_abi abi;
	uint32_t order;
	void *ring_pages;
	uint32_t ring_refs[WIRE_MAX_PAGES];
	struct ring_front ring;
	struct evtchn *evtchn;
	uint32_t port;
	char *data; /* NR_PAGES pages */
	uint32_t refs[NR_PAGES];
	uint64_t kicks, sleeps;
};

static struct world *start(void)
{
	struct world *w = calloc(1, sizeof(*w));
	int sv[2];

	assert_non_null(w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	w->worker = fork();
	assert_true(w->worker >= 0);
	if (w->worker == 0) {
		const char *dir = getenv("SYNTH_LIBEXECDIR");
		char path[512];

		snprintf(path, sizeof(path), "%s/synth-blkd-worker", dir ? dir : SYNTH_LIBEXECDIR);
		setenv("HOSTXEN_DOMID", "0", 1);
		if (dup2(sv[1], WIRE_FD) < 0)
			_exit(127);
		execl(path, path, "--domid", "1", "--name", "test", (char *)NULL);
		_exit(127);
	}
	close(sv[1]);
	w->sock = sv[0];
	assert_int_equal(wire_recv(w->sock, &w->m), 0);
	assert_int_equal(w->m.hdr.type, WIRE_HELLO);
	w->share = xengntshr_open(NULL, 0);
	assert_non_null(w->share);
	w->data = xengntshr_share_pages(w->share, 0, NR_PAGES, w->refs, 1);
	assert_non_null(w->data);
	memset(w->data, 0, (size_t)NR_PAGES * PAGE_BYTES);
	return w;
}

/* Send, then wait for the answer to it; returns its err. Other messages are not expected. */
static int ask(struct world *w, uint16_t type, const void *body, uint32_t bytes, const int *fds, uint32_t nr_fds)
{
	struct wire_hdr h = { .type = type, .seq = ++w->seq, .handle = 7, .bytes = bytes };

	assert_int_equal(wire_send(w->sock, &h, body, fds, nr_fds), 0);
	assert_int_equal(wire_recv(w->sock, &w->m), 0);
	assert_int_equal(w->m.hdr.type, type | WIRE_REPLY);
	assert_int_equal(w->m.hdr.seq, w->seq);
	return w->m.hdr.err;
}

static void open_disk(struct world *w, int fd, uint32_t flags, uint32_t poll_us)
{
	struct blk_open o = { .kind = fd < 0 ? BLK_STORE_NULL : BLK_STORE_FILE,
			      .flags = flags | BLK_O_DISCARD | BLK_O_BARRIER,
			      .size = fd < 0 ? 1ull << 30 : 0,
			      .poll_max_us = poll_us,
			      .sector = 512,
			      .name = "test/xvda" };

	assert_int_equal(ask(w, WIRE_OPEN, &o, sizeof(o), &fd, fd < 0 ? 0 : 1), 0);
	assert_int_equal(w->m.hdr.bytes, sizeof(w->info));
	memcpy(&w->info, w->m.body, sizeof(w->info));
}

/* As the control plane makes it. */
static int journal_new(const struct wire_connect *c)
{
	struct journal_head h = { .class = "disk", .uuid = "test", .wire = *c };
	int fd = memfd_create("journal", MFD_CLOEXEC);

	journal_head_seal(&h, blk_journal_bytes(c));
	assert_int_equal(ftruncate(fd, (off_t)h.bytes), 0);
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	return fd;
}

static int connect_disk(struct world *w, enum blk_abi abi, uint32_t order, uint32_t features)
{
	struct wire_connect c = {
		.abi = abi, .features = features, .nr_queues = 1, .order = order, .nr_rings = 1, .nr_ports = 1
	};
	uint32_t pages = 1u << order;
	int fds[2], port;

	w->abi = abi;
	w->order = order;
	if (!w->ring_pages) {
		w->ring_pages = xengntshr_share_pages(w->share, 0, (int)pages, w->ring_refs, 1);
		assert_non_null(w->ring_pages);
	}
	assert_int_equal(ring_front_init(&w->ring, w->ring_pages, (size_t)pages * PAGE_BYTES, blk_slot_bytes(abi),
					 blk_rsp_bytes(abi)),
			 0);
	assert_int_equal(evtchn_open(&w->evtchn), 0);
	port = evtchn_alloc(w->evtchn, 0);
	assert_true(port > 0);
	w->port = (uint32_t)port;
	memcpy(c.queue[0].refs, w->ring_refs, pages * sizeof(uint32_t));
	fds[0] = bind_port(port, &c.queue[0].port[0]);
	fds[1] = journal_new(&c);
	port = ask(w, WIRE_CONNECT, &c, sizeof(c), fds, 2);
	close(fds[0]);
	close(fds[1]);
	return port;
}

static int disconnect_how(struct world *w, uint32_t finish)
{
	struct wire_disconnect how = { .finish = finish };
	int rc = ask(w, WIRE_DISCONNECT, &how, sizeof(how), NULL, 0);

	evtchn_close(w->evtchn);
	w->evtchn = NULL;
	return rc;
}

static int disconnect(struct world *w)
{
	return disconnect_how(w, 0);
}

static void stop(struct world *w)
{
	int status;

	close(w->sock);
	assert_int_equal(waitpid(w->worker, &status, 0), w->worker);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	evtchn_close(w->evtchn);
	xengntshr_close(w->share);
	free(w);
}

/* ------------------------------------------------------------------ requests */

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static void put_seg(uint8_t *p, uint32_t gref, uint8_t first, uint8_t last)
{
	put32(p, gref);
	p[4] = first;
	p[5] = last;
}

/* @pages whole pages from data page @at. */
static void put_rw(struct world *w, uint8_t op, uint64_t id, uint64_t sector, uint32_t at, uint32_t pages)
{
	bool packed = w->abi == BLK_ABI_X86_32;
	uint8_t slot[BLK_SLOT_MAX] = { op, (uint8_t)pages };

	put64(slot + (packed ? 4 : 8), id);
	put64(slot + (packed ? 12 : 16), sector);
	for (uint32_t i = 0; i < pages; i++)
		put_seg(slot + (packed ? 20 : 24) + i * 8, w->refs[at + i], 0, 7);
	ring_front_put(&w->ring, slot, blk_slot_bytes(w->abi));
}

static void put_indirect(struct world *w, uint8_t op, uint64_t id, uint64_t sector, uint32_t at, uint32_t pages,
			 uint32_t table)
{
	bool packed = w->abi == BLK_ABI_X86_32;
	uint8_t slot[BLK_SLOT_MAX] = { BLKIF_OP_INDIRECT, op, (uint8_t)pages, (uint8_t)(pages >> 8) };
	uint8_t *t = (uint8_t *)w->data + (size_t)table * PAGE_BYTES;

	put64(slot + (packed ? 4 : 8), id);
	put64(slot + (packed ? 12 : 16), sector);
	put32(slot + (packed ? 24 : 28), w->refs[table]);
	for (uint32_t i = 0; i < pages; i++)
		put_seg(t + i * 8, w->refs[at + i], 0, 7);
	ring_front_put(&w->ring, slot, blk_slot_bytes(w->abi));
}

static void put_discard(struct world *w, uint64_t id, uint64_t sector, uint64_t nr)
{
	bool packed = w->abi == BLK_ABI_X86_32;
	uint8_t slot[BLK_SLOT_MAX] = { BLKIF_OP_DISCARD };

	put64(slot + (packed ? 4 : 8), id);
	put64(slot + (packed ? 12 : 16), sector);
	put64(slot + (packed ? 20 : 24), nr);
	ring_front_put(&w->ring, slot, blk_slot_bytes(w->abi));
}

static void push(struct world *w)
{
	if (ring_front_push(&w->ring)) {
		w->kicks++;
		assert_int_equal(evtchn_notify(w->evtchn, w->port), 0);
	}
}

/* Sleep until responses are there, asking to be woken for the @want-th. */
static void wait_for(struct world *w, uint32_t want)
{
	struct pollfd p = { evtchn_fd(w->evtchn), POLLIN, 0 };
	int n;

	while ((n = ring_front_arm(&w->ring, want)) == 0) {
		w->sleeps++;
		if (poll(&p, 1, 10000) <= 0)
			fail_msg("no response within 10 s");
		if (evtchn_next(w->evtchn) > 0)
			evtchn_unmask(w->evtchn, w->port);
	}
	assert_true(n >= 0);
}

struct answer {
	uint64_t id;
	uint8_t op;
	int16_t status;
};

static struct answer get_answer(struct world *w)
{
	struct answer a;
	uint8_t rsp[16];

	ring_front_take(&w->ring, rsp);
	memcpy(&a.id, rsp, 8);
	a.op = rsp[8];
	memcpy(&a.status, rsp + 10, 2);
	return a;
}

/* Publish one request and give its answer's status, after checking that it is its answer. */
static int16_t one(struct world *w, uint64_t id, uint8_t op)
{
	struct answer a;

	push(w);
	wait_for(w, 1);
	a = get_answer(w);
	assert_int_equal(a.id, id);
	assert_int_equal(a.op, op);
	return a.status;
}

/* ------------------------------------------------------------------ tests */

static int scratch(const char *dir, uint64_t bytes)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/synth-test-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void fill(char *p, size_t bytes, uint32_t seed)
{
	for (size_t i = 0; i + 4 <= bytes; i += 4) {
		seed = seed * 1664525u + 1013904223u;
		memcpy(p + i, &seed, 4);
	}
}

/* Write pages by one path, read them back by the same, and look at the file too. */
static void round_trip(struct world *w, int fd, bool indirect)
{
	uint32_t pages = indirect ? 200 : 11;
	size_t bytes = (size_t)pages * PAGE_BYTES;
	char *direct = malloc(bytes);

	assert_non_null(direct);
	fill(w->data, bytes, 42);
	if (indirect)
		put_indirect(w, BLKIF_OP_WRITE, 1, 8, 0, pages, 511);
	else
		put_rw(w, BLKIF_OP_WRITE, 1, 8, 0, pages);
	assert_int_equal(one(w, 1, BLKIF_OP_WRITE), BLKIF_RSP_OKAY);
	assert_int_equal(pread(fd, direct, bytes, 4096), bytes);
	assert_memory_equal(direct, w->data, bytes);
	if (indirect)
		put_indirect(w, BLKIF_OP_READ, 2, 8, 220, pages, 511);
	else
		put_rw(w, BLKIF_OP_READ, 2, 8, 220, pages);
	assert_int_equal(one(w, 2, BLKIF_OP_READ), BLKIF_RSP_OKAY);
	assert_memory_equal(w->data + 220 * PAGE_BYTES, direct, bytes);
	free(direct);
}

static void every_engine_moves_data_in_every_abi(void **state)
{
	static const struct {
		const char *dir, *no_uring, *engine;
		uint32_t flags;
	} kinds[] = { { "/dev/shm", "0", "inline", BLK_O_MEMORY },
		      { "/var/tmp", "0", "io_uring", 0 },
		      { "/var/tmp", "1", "threads", 0 } };

	for (uint32_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		int fd = scratch(kinds[k].dir, DISK);
		struct world *w;

		setenv("SYNTH_NO_URING", kinds[k].no_uring, 1);
		w = start();
		open_disk(w, fd, kinds[k].flags, 50);
		assert_int_equal(w->info.sectors, DISK / 512);
		if (strcmp(kinds[k].engine, "io_uring") != 0 ||
		    strcmp(w->info.engine, "threads") != 0) /* may be forbidden */
			assert_string_equal(w->info.engine, kinds[k].engine);
		for (uint32_t abi = 0; abi < BLK_NR_ABIS; abi++)
			for (uint32_t f = 0; f <= BLK_F_PERSISTENT; f++) {
				assert_int_equal(connect_disk(w, abi, 0, f), 0);
				round_trip(w, fd, false);
				round_trip(w, fd, true);
				assert_int_equal(disconnect(w), 0);
			}
		stop(w);
		close(fd);
	}
	unsetenv("SYNTH_NO_URING");
}

static void flush_barrier_and_discard_are_served(void **state)
{
	int fd = scratch("/dev/shm", DISK);
	struct world *w = start();
	char page[PAGE_BYTES], zero[PAGE_BYTES] = { 0 };
	struct stat st;

	open_disk(w, fd, BLK_O_MEMORY, 0);
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, 0), 0);
	memset(w->data, 0xab, 8 * PAGE_BYTES);
	put_rw(w, BLKIF_OP_FLUSH_DISKCACHE, 1, 0, 0, 0);
	assert_int_equal(one(w, 1, BLKIF_OP_FLUSH_DISKCACHE), BLKIF_RSP_OKAY);
	put_rw(w, BLKIF_OP_FLUSH_DISKCACHE, 2, 0, 0, 1);
	assert_int_equal(one(w, 2, BLKIF_OP_FLUSH_DISKCACHE), BLKIF_RSP_OKAY);
	put_rw(w, BLKIF_OP_WRITE_BARRIER, 3, 8, 0, 3);
	assert_int_equal(one(w, 3, BLKIF_OP_WRITE_BARRIER), BLKIF_RSP_OKAY);
	put_rw(w, BLKIF_OP_WRITE_BARRIER, 4, 0, 0, 0);
	assert_int_equal(one(w, 4, BLKIF_OP_WRITE_BARRIER), BLKIF_RSP_OKAY);
	assert_int_equal(pread(fd, page, sizeof(page), 3 * PAGE_BYTES), sizeof(page));
	assert_memory_equal(page, w->data, sizeof(page));
	put_discard(w, 5, 8, 16);
	assert_int_equal(one(w, 5, BLKIF_OP_DISCARD), BLKIF_RSP_OKAY);
	assert_int_equal(pread(fd, page, sizeof(page), PAGE_BYTES), sizeof(page));
	assert_memory_equal(page, zero, sizeof(page));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks * 512, 2 * PAGE_BYTES);
	assert_int_equal(disconnect(w), 0);
	stop(w);
	close(fd);
}

static uint64_t metric(struct world *w, const char *name)
{
	struct span s;
	char got[64];
	uint64_t v;

	assert_int_equal(ask(w, WIRE_STAT, NULL, 0, NULL, 0), 0);
	s = span_of(w->m.body, w->m.hdr.bytes);
	while (metrics_get(&s, got, &v) == 0)
		if (strcmp(got, name) == 0)
			return v;
	fail_msg("no metric %s", name);
	return 0;
}

/* Until its thread sleeps, having nothing to do: nothing it counts moves for a while. */
static void settle(struct world *w)
{
	uint64_t was, is = UINT64_MAX;

	do {
		was = is;
		usleep(50000);
		is = metric(w, "sleeps") + metric(w, "turns") + metric(w, "events_in");
	} while (is != was);
}

static void a_disk_just_used(struct world *w, int fd)
{
	open_disk(w, fd, BLK_O_MEMORY, 0);
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, 0), 0);
	put_rw(w, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, 0);
	assert_int_equal(one(w, 0, BLKIF_OP_FLUSH_DISKCACHE), BLKIF_RSP_OKAY);
	settle(w);
}

/* Nobody is told of the requests, so that they are found in the ring, or not, by the disconnect alone. */
static void a_ring_left_full_is_served_when_told_to_finish(void **state)
{
	for (uint32_t finish = 0; finish <= 1; finish++) {
		int fd = scratch("/dev/shm", DISK);
		struct world *w = start();

		a_disk_just_used(w, fd);
		for (uint64_t id = 1; id <= 31; id++)
			put_rw(w, BLKIF_OP_WRITE, id, id * 8, 0, 1);
		assert_true(ring_front_push(&w->ring)); /* it wants to be told */
		assert_int_equal(disconnect_how(w, finish), 0);
		for (uint64_t id = 1; finish && id <= 31; id++)
			assert_int_equal(get_answer(w).status, BLKIF_RSP_OKAY);
		assert_int_equal(ring_front_pending(&w->ring), 0);
		stop(w);
		close(fd);
	}
}

/* As Linux' blkfront: what it had no place for in the ring, it puts in when it gets an event, also when it has said Closed. */
static void what_a_closed_front_end_puts_in_when_told_is_served(void **state)
{
	struct wire_disconnect how = { .finish = 1 };
	struct wire_hdr h = { .type = WIRE_DISCONNECT, .handle = 7, .bytes = sizeof(how) };
	int fd = scratch("/dev/shm", DISK);
	struct world *w = start();

	a_disk_just_used(w, fd);
	assert_true(evtchn_next(w->evtchn) != 0); /* none of before, if there was one */
	assert_int_equal(evtchn_unmask(w->evtchn, w->port), 0);
	h.seq = ++w->seq;
	assert_int_equal(wire_send(w->sock, &h, &how, NULL, 0), 0);
	for (uint64_t id = 1; id <= 2; id++) { /* one brings the next */
		struct pollfd p = { .fd = evtchn_fd(w->evtchn), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_equal(evtchn_next(w->evtchn), (int)w->port);
		assert_int_equal(evtchn_unmask(w->evtchn, w->port), 0);
		put_rw(w, BLKIF_OP_WRITE, id, id * 8, 0, 1);
		push(w);
		wait_for(w, 1);
		assert_int_equal(get_answer(w).status, BLKIF_RSP_OKAY);
	}
	assert_int_equal(wire_recv(w->sock, &w->m), 0);
	assert_int_equal(w->m.hdr.type, WIRE_DISCONNECT | WIRE_REPLY);
	assert_int_equal(w->m.hdr.err, 0);
	stop(w);
	close(fd);
}

static void bad_requests_are_counted_and_answered(void **state)
{
	struct world *w = start();

	open_disk(w, -1, 0, 0);
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, 0), 0);
	put_rw(w, 99, 1, 0, 0, 1); /* unknown */
	assert_int_equal(one(w, 1, 99), BLKIF_RSP_EOPNOTSUPP);
	put_rw(w, BLKIF_OP_READ, 2, 0, 0, 0);
	assert_int_equal(one(w, 2, BLKIF_OP_READ), BLKIF_RSP_ERROR);
	put_rw(w, BLKIF_OP_READ, 3, UINT64_MAX - 7, 0, 2);
	assert_int_equal(one(w, 3, BLKIF_OP_READ), BLKIF_RSP_ERROR);
	w->refs[0] += 100000; /* no such grant */
	put_rw(w, BLKIF_OP_WRITE, 4, 0, 0, 2);
	assert_int_equal(one(w, 4, BLKIF_OP_WRITE), BLKIF_RSP_ERROR);
	put_rw(w, BLKIF_OP_READ, 5, 0, 0, 2);
	assert_int_equal(one(w, 5, BLKIF_OP_READ), BLKIF_RSP_ERROR);
	w->refs[0] -= 100000;
	put_indirect(w, BLKIF_OP_INDIRECT, 6, 0, 0, 5, 100); /* nested */
	assert_int_equal(one(w, 6, BLKIF_OP_INDIRECT), BLKIF_RSP_ERROR);
	put_rw(w, BLKIF_OP_READ, 7, 0, 0, 2);
	assert_int_equal(one(w, 7, BLKIF_OP_READ), BLKIF_RSP_OKAY);
	assert_int_equal(metric(w, "bad_requests"), 4 + 2);
	assert_int_equal(metric(w, "responses"), 7);
	stop(w);
}

/* A front end as a kernel has it: @depth in flight, an event asked for at the next response, posts again when told. */
static void stream(struct world *w, uint32_t depth, uint32_t total)
{
	uint32_t sent = 0, got = 0;

	for (; sent < depth; sent++)
		put_rw(w, BLKIF_OP_READ, sent, sent * 8, sent, 1);
	push(w);
	while (got < total) {
		wait_for(w, 1);
		for (int n = ring_front_pending(&w->ring); n > 0; n--, got++) {
			struct answer a = get_answer(w);

			assert_int_equal(a.status, BLKIF_RSP_OKAY);
			if (sent++ < total)
				put_rw(w, BLKIF_OP_READ, a.id, a.id * 8, (uint32_t)a.id, 1);
		}
		push(w);
	}
}

static void events_are_held_for_a_stream_alone_and_none_is_lost(void **state)
{
	static const struct {
		uint32_t depth, poll_us;
		const char *no_uring; /* NULL: in memory */
		bool held;
	} cases[] = { { 32, 50, NULL, true }, { 32, 0, NULL, false }, { 1, 50, NULL, false },
		      { 2, 50, NULL, false }, { 1, 50, "1", false },  { 2, 50, "0", false } };

	setenv("SYNTH_SLOWNESS", "1", 1);
	for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = scratch(cases[i].no_uring ? "/var/tmp" : "/dev/shm", DISK);
		struct world *w;

		setenv("SYNTH_NO_URING", cases[i].no_uring ? cases[i].no_uring : "0", 1);
		w = start();
		open_disk(w, fd, cases[i].no_uring ? 0 : BLK_O_MEMORY, cases[i].poll_us);
		assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, BLK_F_PERSISTENT), 0);
		stream(w, cases[i].depth, cases[i].no_uring ? 2000 : 20000);
		if (cases[i].held)
			assert_true(metric(w, "holds") > 0 && metric(w, "events_out") * 10 <= metric(w, "responses"));
		else /* but for trials, ever more seldom */
			assert_true(metric(w, "holds") <= (cases[i].poll_us ? 32 : 0));
		assert_int_equal(disconnect(w), 0);
		stop(w);
		close(fd);
	}
	unsetenv("SYNTH_NO_URING");
	unsetenv("SYNTH_SLOWNESS");
}

/* An NBD server, leader of its process group, whose upper half does not answer. */
static int half_dead_server(pid_t *pid)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	*pid = fork();
	assert_true(*pid >= 0);
	if (*pid == 0) {
		if (setpgid(0, 0) < 0 || dup2(sv[1], 0) < 0 || dup2(sv[1], 1) < 0)
			_exit(127);
		execlp("nbdkit", "nbdkit", "-s", "eval", "get_size=echo 16M", "thread_model=echo parallel",
		       "pread=[ $4 -lt 8388608 ] || exec sleep 60; head -c $3 /dev/zero", (char *)NULL);
		_exit(127);
	}
	setpgid(*pid, *pid);
	close(sv[1]);
	return sv[0];
}

static void end_server(pid_t pid)
{
	kill(-pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Seven requests of eight hang, so that an event for the eighth may be held: nothing but the clock ends that. */
static void a_held_event_goes_out_in_time_while_others_hang(void **state)
{
	struct blk_open o = { .kind = BLK_STORE_NBD, .poll_max_us = 50, .sector = 512, .name = "test/xvda" };
	struct world *w;
	pid_t server;
	int fd, rc;

	if (system("nbdkit eval --version >/dev/null 2>&1") != 0)
		skip();
	setenv("SYNTH_SLOWNESS", "40", 1);
	w = start();
	fd = half_dead_server(&server);
	rc = ask(w, WIRE_OPEN, &o, sizeof(o), &fd, 1);
	close(fd);
	if (rc == 0) {
		assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, BLK_F_PERSISTENT), 0);
		for (uint32_t i = 0; i < 7; i++)
			put_rw(w, BLKIF_OP_READ, 1000 + i, (8u << 20) / 512 + i * 8, i, 1);
		for (uint32_t i = 0; i < 100; i++) {
			put_rw(w, BLKIF_OP_READ, i, i * 8, 7, 1);
			assert_int_equal(one(w, i, BLKIF_OP_READ), BLKIF_RSP_OKAY); /* or 10 s, and failed */
		}
		assert_true(metric(w, "holds") > 0);
	}
	end_server(server);
	if (rc == 0)
		assert_int_equal(disconnect(w), 0);
	stop(w);
	unsetenv("SYNTH_SLOWNESS");
	if (rc)
		skip(); /* built without libnbd */
}

static void an_impossible_producer_halts_the_ring_and_is_told_once(void **state)
{
	struct world *w = start();

	open_disk(w, -1, 0, 0);
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, 0), 0);
	put_rw(w, BLKIF_OP_READ, 1, 0, 0, 1);
	assert_int_equal(one(w, 1, BLKIF_OP_READ), BLKIF_RSP_OKAY);
	w->ring.req_prod += w->ring.nr_ents + 1;
	(void)!ring_front_push(&w->ring);
	evtchn_notify(w->evtchn, w->port);
	assert_int_equal(wire_recv(w->sock, &w->m), 0);
	assert_int_equal(w->m.hdr.type, WIRE_EV_BROKEN);
	assert_int_equal(w->m.hdr.handle, 7);
	assert_true(w->m.hdr.bytes > 0);
	evtchn_notify(w->evtchn, w->port);
	assert_int_equal(disconnect(w), 0); /* the next message is the answer, not a second EV_BROKEN */
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, 0), 0);
	put_rw(w, BLKIF_OP_READ, 2, 0, 0, 1);
	assert_int_equal(one(w, 2, BLKIF_OP_READ), BLKIF_RSP_OKAY);
	stop(w);
}

static void a_full_ring_is_served_again_and_again(void **state)
{
	struct world *w = start();

	open_disk(w, -1, 0, 0);
	assert_int_equal(connect_disk(w, BLK_ABI_X86_32, 0, BLK_F_PERSISTENT), 0);
	for (int round = 0; round < 100; round++) {
		uint64_t seen = 0;

		for (uint32_t i = 0; i < w->ring.nr_ents; i++)
			put_rw(w, i % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE, i, i * 8, i * 4, 4);
		push(w);
		for (uint32_t i = 0; i < w->ring.nr_ents; i++) {
			struct answer a;

			wait_for(w, w->ring.nr_ents - i);
			a = get_answer(w);
			assert_int_equal(a.status, BLKIF_RSP_OKAY);
			assert_true(a.id < 64);
			seen |= 1ull << a.id;
		}
		assert_int_equal(seen, (1ull << w->ring.nr_ents) - 1);
	}
	stop(w);
}

static void spurious_events_are_counted_and_slowed_down(void **state)
{
	struct world *w = start();
	uint64_t counted;

	open_disk(w, -1, 0, 0);
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, 0), 0);
	for (int i = 0; i < 200; i++) {
		evtchn_notify(w->evtchn, w->port);
		usleep(1000);
	}
	counted = metric(w, "events_spurious");
	assert_true(counted >= 2);
	assert_true(counted <= 12);           /* 200 ms hold about 8 delays of 1, 2, 4 .. */
	put_rw(w, BLKIF_OP_READ, 7, 0, 0, 2); /* a real request is served all the same */
	assert_int_equal(one(w, 7, BLKIF_OP_READ), BLKIF_RSP_OKAY);
	stop(w);
}

static void sigterm_ends_it_cleanly_and_disconnect_is_idempotent(void **state)
{
	struct world *w = start();

	open_disk(w, -1, 0, 0);
	assert_int_equal(disconnect(w), 0);
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 2, 0), 0);
	assert_int_equal(ask(w, WIRE_CLOSE, NULL, 0, NULL, 0), -EBUSY);
	assert_int_equal(disconnect(w), 0);
	assert_int_equal(disconnect(w), 0);
	assert_int_equal(ask(w, WIRE_CLOSE, NULL, 0, NULL, 0), 0);
	assert_int_equal(ask(w, WIRE_STAT, NULL, 0, NULL, 0), -ENODEV);
	kill(w->worker, SIGTERM);
	stop(w);
}

static void a_wrong_ring_reference_is_refused_and_leaves_nothing(void **state)
{
	struct world *w = start();

	open_disk(w, -1, 0, 0);
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, 0), 0);
	assert_int_equal(disconnect(w), 0);
	w->ring_refs[0] += 50000;
	assert_true(connect_disk(w, BLK_ABI_X86_64, 0, 0) < 0);
	evtchn_close(w->evtchn);
	w->ring_refs[0] -= 50000;
	assert_int_equal(connect_disk(w, BLK_ABI_X86_64, 0, 0), 0);
	put_rw(w, BLKIF_OP_READ, 7, 0, 0, 2);
	assert_int_equal(one(w, 7, BLKIF_OP_READ), BLKIF_RSP_OKAY);
	stop(w);
}

/* ------------------------------------------------------------------ load */

static int bench(int argc, char **argv)
{
	bool random = strncmp(argv[0], "rand", 4) == 0, writes = strstr(argv[0], "write"), spin = getenv("BENCH_SPIN");
	uint32_t depth = (uint32_t)atoi(argv[1]), bytes = (uint32_t)atoi(argv[2]), pages = bytes / PAGE_BYTES;
	uint64_t end, begin, n = 0, rnd = 88172645463325252ull, next = 0, total;
	int fd = argc > 4 ? open(argv[4], O_RDWR | O_CLOEXEC) : -1;
	uint8_t op = writes ? BLKIF_OP_WRITE : BLKIF_OP_READ;
	uint32_t half = depth > 8 ? depth / 4 : 1;
	struct world *w = start();

	open_disk(w, fd, getenv("BENCH_DISK") ? 0 : BLK_O_MEMORY,
		  getenv("BENCH_POLL") ? (uint32_t)atoi(getenv("BENCH_POLL")) : 50);
	assert_int_equal(
		connect_disk(w, BLK_ABI_X86_64, depth > 32 ? 2 : 0, getenv("BENCH_COPY") ? 0 : BLK_F_PERSISTENT), 0);
	total = w->info.sectors / 8 / pages;
	w->kicks = w->sleeps = 0;
	begin = now_ns();
	end = begin + (uint64_t)(atof(argv[3]) * 1e9);
	for (uint32_t i = 0; i < depth; i++) {
		rnd ^= rnd << 13, rnd ^= rnd >> 7, rnd ^= rnd << 17;
		if (pages > 11)
			put_indirect(w, op, i, (random ? rnd : next++) % total * pages * 8, i * pages, pages, 511 - i);
		else
			put_rw(w, op, i, (random ? rnd : next++) % total * pages * 8, i * pages, pages);
	}
	push(w);
	while (n % 1024 || now_ns() < end) {
		int got = ring_front_pending(&w->ring);

		if (got == 0 && spin) {
			__builtin_ia32_pause();
			continue;
		}
		if (got == 0) {
			wait_for(w, half);
			got = ring_front_pending(&w->ring);
		}
		for (int i = 0; i < got; i++, n++) {
			struct answer a = get_answer(w);

			assert_int_equal(a.status, 0);
			rnd ^= rnd << 13, rnd ^= rnd >> 7, rnd ^= rnd << 17;
			if (pages > 11)
				put_indirect(w, op, a.id, (random ? rnd : next++) % total * pages * 8,
					     (uint32_t)a.id * pages, pages, 511 - (uint32_t)a.id);
			else
				put_rw(w, op, a.id, (random ? rnd : next++) % total * pages * 8, (uint32_t)a.id * pages,
				       pages);
		}
		push(w);
	}
	end = now_ns() - begin;
	printf("%.0f IOPS, %.2f us each, %.0f MB/s; kicks/IO %.3f, front sleeps/IO %.3f\n",
	       (double)n * 1e9 / (double)end, (double)end / (double)n / 1e3, (double)n * bytes * 1e3 / (double)end,
	       (double)w->kicks / (double)n, (double)w->sleeps / (double)n);
	if (getenv("BENCH_STAT") && ask(w, WIRE_STAT, NULL, 0, NULL, 0) == 0)
		printf("%.*s", (int)w->m.hdr.bytes, w->m.body);
	assert_int_equal(disconnect(w), 0);
	stop(w);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_moves_data_in_every_abi),
		cmocka_unit_test(flush_barrier_and_discard_are_served),
		cmocka_unit_test(a_ring_left_full_is_served_when_told_to_finish),
		cmocka_unit_test(what_a_closed_front_end_puts_in_when_told_is_served),
		cmocka_unit_test(bad_requests_are_counted_and_answered),
		cmocka_unit_test(events_are_held_for_a_stream_alone_and_none_is_lost),
		cmocka_unit_test(a_held_event_goes_out_in_time_while_others_hang),
		cmocka_unit_test(an_impossible_producer_halts_the_ring_and_is_told_once),
		cmocka_unit_test(a_full_ring_is_served_again_and_again),
		cmocka_unit_test(spurious_events_are_counted_and_slowed_down),
		cmocka_unit_test(sigterm_ends_it_cleanly_and_disconnect_is_idempotent),
		cmocka_unit_test(a_wrong_ring_reference_is_refused_and_leaves_nothing),
	};
	int sv[2];
	pid_t child;

	if (!getenv("HOSTXEN_DIR")) {
		printf("skipped: needs a domain: hostxen run -d 1 -- %s\n", argv[0]);
		return 77;
	}
	signal(SIGPIPE, SIG_IGN);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return 1;
	child = fork();
	if (child == 0) {
		close(sv[0]);
		setenv("HOSTXEN_DOMID", "0", 1);
		helper(sv[1]);
	}
	close(sv[1]);
	helper_fd = sv[0];
	if (argc >= 6 && strcmp(argv[1], "bench") == 0)
		return bench(argc - 2, argv + 2);
	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}

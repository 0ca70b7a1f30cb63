/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite.c - a ring whose page is rewritten by other threads while it is served: the worker's core and its block class, whole, on a
 * guest that is this process (tests/lib/fake-xen.h), so that sanitizers see both sides.
 *
 *	rewrite [MS [SEED]]       TAP; so long for each shape, and until enough was rewritten
 *
 * Two threads write without pause: one into requests and indirect pages, one into all that is shared, indices included; a third
 * party asks, by the book, and kicks.  A connection ends when its device is broken or has served its share; then all must be let
 * go of.  A guest's own double fetch (XSA-155) or index (XSA-39, 86) must never be the worker's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xen/io/blkif.h>
#include "backend/block/blk-parse.h"
#include "backend/journal.h"
#include "backend/worker/device.h"
#include "common/ring/ring.h"
#include "tests/lib/fake-xen.h"

#define IMAGE_BYTES  (8u << 20)
#define RING_REF     1u /* and up: the ring's pages */
#define IND_REF      32u
#define NR_IND       4u
#define DATA_REF     64u
#define NR_DATA      256u
#define SHARE        20000u   /* requests a connection */
#define ENOUGH       1000000u /* mutations of a shape, and */
#define ENOUGH_ASKED 300u     /* requests */

/* What main.c has in a worker. */
struct worker worker;

void worker_wake(void)
{
}

static uint32_t cases, failures;

static bool ok(bool holds, const char *what)
{
	cases++;
	failures += !holds;
	printf("%sok %u - %s\n", holds ? "" : "not ", cases, what);
	fflush(stdout);
	return holds;
}

static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* ------------------------------------------------------------------ who writes */

static struct {
	bool stop;
	uint32_t ring_pages, slot, nr_ents;
	uint64_t mutations[2];
} shared;

static bool stopped(void)
{
	return __atomic_load_n(&shared.stop, __ATOMIC_RELAXED);
}

static void count(uint32_t who)
{
	__atomic_add_fetch(&shared.mutations[who], 1, __ATOMIC_RELAXED);
}

static uint64_t mutations(void)
{
	return __atomic_load_n(&shared.mutations[0], __ATOMIC_RELAXED) +
	       __atomic_load_n(&shared.mutations[1], __ATOMIC_RELAXED);
}

/* Values that matter, where they matter.  The names of these two are in tests/tsan.supp: their races are the test. */
static void *flip_fields(void *arg)
{
	static const uint8_t values[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 32, 64, 255 };
	uint8_t *ring = fake_memory() + RING_REF * PAGE_BYTES;
	uint32_t seed = *(uint32_t *)arg;

	while (!stopped()) {
		uint32_t r = next(&seed);
		volatile uint8_t *at;

		if (r & 1)
			at = ring + 64 + (r >> 8) % shared.nr_ents * shared.slot + (r >> 4) % shared.slot;
		else
			at = fake_memory() + (IND_REF + (r >> 1) % NR_IND) * PAGE_BYTES + (r >> 4) % PAGE_BYTES;
		*at = values[next(&seed) % ARRAY_SIZE(values)];
		count(0);
	}
	return NULL;
}

static void *flip_all(void *arg)
{
	volatile uint32_t *ring = (volatile uint32_t *)(void *)(fake_memory() + RING_REF * PAGE_BYTES);
	uint32_t seed = *(uint32_t *)arg ^ 0x5bd1e995u;

	while (!stopped()) {
		uint32_t r = next(&seed), at = next(&seed) % (shared.ring_pages * PAGE_BYTES / 4);

		/* The indices rarely: most lies end the connection. Events and what is unused, often. */
		if (at == 0 || at == 2)
			at += 1;
		if (r % 65536 == 0)
			at = r & 65536 ? 0 : 2;
		ring[at] = at < 4 ? ring[at] + (r >> 20) % 70 - 3 : r;
		count(1);
	}
	return NULL;
}

/* ------------------------------------------------------------------ who asks */

struct shape {
	const char *name;
	uint32_t abi, order, features;
	bool indices; /* are rewritten too */
};

static uint64_t asked;

/* How much of a shape is still to be done. */
struct goal {
	uint64_t until, limit, mutations, asked;
	const uint32_t *halts; /* have to be more than */
	uint32_t halted;
};

static bool reached(const struct goal *g)
{
	uint64_t now = now_ns();

	return now >= g->limit ||
	       (now >= g->until && mutations() >= g->mutations && asked >= g->asked && *g->halts >= g->halted);
}

/* A request by the book, at the back end's next place but @ahead. */
static void flip_ask(const struct shape *s, uint32_t index, uint32_t *seed)
{
	uint8_t *slot = fake_memory() + RING_REF * PAGE_BYTES + 64 +
			(size_t)(index & (shared.nr_ents - 1)) * shared.slot;
	bool x86_32 = s->abi == BLK_ABI_X86_32;
	uint32_t nr = 1 + next(seed) % 11, sector = next(seed) % (IMAGE_BYTES / 512 - 4096);

	memset(slot, 0, shared.slot);
	if (next(seed) % 2) {
		slot[0] = BLKIF_OP_INDIRECT;
		slot[1] = next(seed) % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE;
		slot[2] = (uint8_t)(1 + next(seed) % 255);
		memcpy(slot + (x86_32 ? 12 : 16), &sector, 4);
		slot[x86_32 ? 24 : 28] = (uint8_t)(IND_REF + next(seed) % NR_IND);
		for (uint32_t i = 0; i < 32; i++) {
			uint32_t ref = DATA_REF + next(seed) % NR_DATA;
			uint8_t *seg = fake_memory() + (IND_REF + next(seed) % NR_IND) * PAGE_BYTES +
				       next(seed) % 512 * 8;

			memcpy(seg, &ref, 4);
			seg[4] = 0;
			seg[5] = 7;
		}
	} else {
		slot[0] = next(seed) % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE;
		slot[1] = (uint8_t)nr;
		memcpy(slot + (x86_32 ? 12 : 16), &sector, 4);
		for (uint32_t i = 0; i < nr; i++) {
			uint32_t ref = DATA_REF + next(seed) % NR_DATA;

			memcpy(slot + (x86_32 ? 20 : 24) + i * 8, &ref, 4);
			slot[(x86_32 ? 20 : 24) + i * 8 + 5] = 7;
		}
	}
	asked++;
}

static uint32_t word(uint32_t i)
{
	return __atomic_load_n((uint32_t *)(void *)(fake_memory() + RING_REF * PAGE_BYTES) + i, __ATOMIC_ACQUIRE);
}

static bool broken(const struct device *d)
{
	return __atomic_load_n(&d->broken, __ATOMIC_ACQUIRE);
}

/* Ask and kick until it is broken, has done its share, or does not answer. */
static void drive(const struct shape *s, const struct device *d, int kick, const struct goal *goal, uint32_t *seed)
{
	const struct timespec moment = { 0, 50000 };
	const uint64_t one = 1;
	uint32_t prod = 0;

	for (uint32_t n = 0; n < SHARE && !broken(d) && !reached(goal); n++) {
		while (prod - word(2) >= shared.nr_ents && prod - word(2) < 1u << 31 && !broken(d) && !reached(goal)) {
			if (write(kick, &one, sizeof(one)) < 0)
				return;
			nanosleep(&moment, NULL);
		}
		flip_ask(s, prod++, seed);
		__atomic_store_n((uint32_t *)(void *)(fake_memory() + RING_REF * PAGE_BYTES), prod, __ATOMIC_RELEASE);
		if (n % 4 == 0 && write(kick, &one, sizeof(one)) < 0)
			return;
	}
}

/* ------------------------------------------------------------------ a connection */

static bool reaped(struct device *d)
{
	const struct timespec ms = { 0, 1000000 };

	for (int i = 0; i < 60000; i++) {
		if (device_reap(d))
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

static int make_journal(const struct wire_connect *c)
{
	static struct journal_head h;
	uint64_t bytes = worker_class->journal_bytes(c);
	int fd = memfd_create("journal", MFD_CLOEXEC);

	memset(&h, 0, sizeof(h));
	h.wire = *c;
	snprintf(h.class, sizeof(h.class), "disk");
	journal_head_seal(&h, bytes);
	if (fd < 0 || ftruncate(fd, (off_t)h.bytes) < 0 || pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		abort();
	return fd;
}

static struct device *open_device(void)
{
	static struct wire_msg m;
	static uint8_t reply[WIRE_MAX_BODY];
	struct blk_open o = {
		.kind = BLK_STORE_FILE, .flags = BLK_O_MEMORY, .size = IMAGE_BYTES, .sector = 512, .name = "sinner/xvda"
	};
	struct device *d;
	uint32_t bytes;

	m.fds[0] = memfd_create("image", MFD_CLOEXEC);
	if (m.fds[0] < 0 || ftruncate(m.fds[0], IMAGE_BYTES) < 0)
		abort();
	m.nr_fds = 1;
	m.hdr.bytes = sizeof(o);
	memcpy(m.body, &o, sizeof(o));
	return device_open(1, &m, reply, &bytes, &d) == 0 ? d : NULL;
}

/* False: something is wrong with the worker. *halts: it found the ring broken, as it may. */
static bool connection(struct device *d, const struct shape *s, const struct goal *goal, uint32_t *seed,
		       uint32_t *halts)
{
	static struct wire_connect c;
	pthread_t fields, all;
	uint32_t seeds = next(seed);
	int kick, fds[2];

	memset(&c, 0, sizeof(c));
	c = (struct wire_connect){
		.abi = s->abi, .features = s->features, .nr_queues = 1, .order = s->order, .nr_rings = 1, .nr_ports = 1
	};
	c.queue[0].port[0] = 1;
	for (uint32_t i = 0; i < 1u << s->order; i++)
		c.queue[0].refs[i] = RING_REF + i;
	memset(fake_memory() + RING_REF * PAGE_BYTES, 0, PAGE_BYTES << s->order);
	shared.ring_pages = 1u << s->order;
	shared.slot = blk_slot_bytes((enum blk_abi)s->abi);
	shared.nr_ents = ring_entries((size_t)PAGE_BYTES << s->order, shared.slot);
	kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[0] = dup(kick);
	fds[1] = make_journal(&c);
	if (kick < 0 || device_connect(d, &c, fds, 2) != 0)
		return false;
	shared.stop = false;
	if (pthread_create(&fields, NULL, flip_fields, &seeds) ||
	    (s->indices && pthread_create(&all, NULL, flip_all, &seeds)))
		abort();
	drive(s, d, kick, goal, seed);
	*halts += broken(d);
	/* They go on while it drains. */
	device_disconnect(d, next(seed) & 1);
	if (!reaped(d))
		return false;
	__atomic_store_n(&shared.stop, true, __ATOMIC_RELAXED);
	pthread_join(fields, NULL);
	if (s->indices)
		pthread_join(all, NULL);
	close(kick);
	return fake_mapped() == 0;
}

int main(int argc, char **argv)
{
	static const struct shape shapes[] = {
		{ "requests and indirect pages, x86_64", BLK_ABI_X86_64, 0, 0, false },
		{ "requests and indirect pages, x86_32, persistent grants", BLK_ABI_X86_32, 0, BLK_F_PERSISTENT,
		  false },
		{ "all of the ring, x86_64", BLK_ABI_X86_64, 0, 0, true },
		{ "all of a ring of 4 pages, x86_32", BLK_ABI_X86_32, 2, 0, true },
		{ "all of the ring, persistent grants", BLK_ABI_NATIVE, 0, BLK_F_PERSISTENT, true },
	};
	uint64_t ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
	uint32_t seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) | 1 : 1, halts = 0, connections = 0;
	struct device *d;

	log_level = LOG_LVL_ERROR; /* it tells of each bad request it may tell of */
	list_init(&worker.devices);
	worker.slowness = 1;
	worker.wake_fd = -1;
	if (grant_open(&worker.grant))
		return 1;
	d = open_device();
	if (!ok(d != NULL, "a disk is opened"))
		return 1;
	for (uint32_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		uint64_t now = now_ns();
		const struct goal goal = { .until = now + ms * 1000000,
					   .limit = now + 60000000000ull,
					   .mutations = mutations() + ENOUGH,
					   .asked = asked + ENOUGH_ASKED,
					   .halts = &halts,
					   .halted = halts + shapes[i].indices };
		bool good = true;
		char what[160];

		while (good && !reached(&goal)) {
			good = connection(d, &shapes[i], &goal, &seed, &halts);
			connections++;
		}
		snprintf(what, sizeof(what), "%s rewritten while it is served: served or halted, then let go of",
			 shapes[i].name);
		if (!ok(good, what))
			return 1;
		if (shapes[i].indices)
			ok(halts >= goal.halted, "a false index halted the ring");
	}
	printf("# mutations %llu, requests %llu, connections %u, of them halted %u\n", (unsigned long long)mutations(),
	       (unsigned long long)asked, connections, halts);
	device_close(d);
	grant_close(worker.grant);
	ok(fake_mapped() == 0, "nothing stays mapped");
	printf("1..%u\n", cases);
	return failures ? 1 : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-worker.c - libFuzzer target: a disk's worker, all but its main(), under hostile messages and a hostile ring: the bodies of OPEN,
 * CONNECT, SET, TRACE and all others, in any order, on a guest that is this process (tests/lib/fake-xen.h).
 * links: tests/lib/fake-xen.c backend/worker/device.c backend/worker/queue.c backend/block/block.c backend/block/blk-queue.c
 * links: backend/block/blk-data.c backend/block/store.c backend/block/store-null.c backend/block/store-file.c
 * links: backend/block/store-inline.c backend/block/store-window.c backend/block/store-pool.c backend/block/store-mailbox.c
 * Input: steps.  A byte, and for a message: type, handle, bytes of the body that are changed (pairs: place and value).
 */
#define main worker_main
#pragma clang diagnostic ignored "-Wunused-function"
#include "backend/worker/main.c"
#undef main
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include "backend/block/blk-parse.h"
#include "backend/journal.h"
#include "backend/worker/sandbox.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/quiet.h"
#include "tests/lib/fake-xen.h"

#define HANDLES   3u
#define RING_REF  1u /* 4 pages a device */
#define MAX_STEPS 64u

/* The sandbox is another's to test: here nothing is given up. */
int __attribute__((weak)) sandbox_enter(uint32_t uid, const struct sandbox_class *c)
{
	return 0;
}

void __attribute__((weak)) sandbox_print(const struct sandbox_class *c)
{
}

static int peer = -1;     /* the control plane's end */
static uint32_t expected; /* answers */

static void begin(void)
{
	int sv[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	peer = sv[0];
	must(fcntl(peer, F_SETFL, O_NONBLOCK) == 0 && fcntl(sv[1], F_SETFL, O_NONBLOCK) == 0);
	list_init(&worker.devices);
	worker.slowness = 1;
	worker.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(grant_open(&worker.grant) == 0);
	life.sock = sv[1];
	life.listener = -1;
}

/* Each answer is well made, and to something that was asked. */
static void read_answers(void)
{
	static struct wire_msg m;
	int rc;

	while ((rc = wire_recv(peer, &m)) == 0) {
		must(m.hdr.err <= 0 && m.hdr.err > -4096);
		if (m.hdr.type & WIRE_REPLY) {
			must(expected > 0);
			expected--;
		}
		for (uint32_t i = 0; i < m.nr_fds; i++)
			close(m.fds[i]);
	}
	must(rc == -EAGAIN);
}

static void change(struct feed *f, uint8_t *body, uint32_t bytes)
{
	for (uint8_t n = feed_u8(f) & 15; n > 0 && bytes; n--) {
		uint16_t at = feed_u16(f);

		body[at % bytes] = feed_u8(f);
	}
}

static uint32_t open_body(struct feed *f, uint8_t how, uint8_t *body, int *fds, uint32_t *nr_fds)
{
	struct blk_open o = { .kind = how & 1 ? BLK_STORE_FILE : BLK_STORE_NULL,
			      .flags = how & 1 ? BLK_O_MEMORY : 0,
			      .size = 1 << 20,
			      .sector = 512,
			      .name = "web1/xvda" };

	if (how & 1) {
		fds[*nr_fds] = memfd_create("image", MFD_CLOEXEC);
		must(fds[*nr_fds] >= 0 && ftruncate(fds[*nr_fds], 1 << 20) == 0);
		(*nr_fds)++;
	}
	memcpy(body, &o, sizeof(o));
	change(f, body, sizeof(o));
	return sizeof(o);
}

static uint32_t connect_body(struct feed *f, uint8_t how, uint32_t handle, uint8_t *body, int *fds, uint32_t *nr_fds)
{
	static struct journal_head h;
	struct wire_connect *c = (void *)body;
	uint64_t bytes;

	memset(c, 0, sizeof(*c));
	*c = (struct wire_connect){ .abi = how & 3,
				    .features = how >> 7,
				    .nr_queues = 1 + (how >> 3 & 1),
				    .order = how >> 4 & 1,
				    .nr_rings = 1,
				    .nr_ports = 1,
				    .resume = how >> 5 & 3 };
	for (uint32_t q = 0; q < c->nr_queues; q++) {
		c->queue[q].port[0] = 1;
		for (uint32_t i = 0; i < 2; i++)
			c->queue[q].refs[i] = RING_REF + handle * 4 + q * 2 + i;
		fds[(*nr_fds)++] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	change(f, body, sizeof(*c));
	memset(&h, 0, sizeof(h));
	h.wire = *c;
	bytes = c->abi < BLK_NR_ABIS && c->order <= WIRE_MAX_ORDER && c->nr_queues <= WIRE_MAX_QUEUES
			? worker_class->journal_bytes(c)
			: 64;
	journal_head_seal(&h, bytes);
	fds[*nr_fds] = memfd_create("journal", MFD_CLOEXEC);
	must(fds[*nr_fds] >= 0 && ftruncate(fds[*nr_fds], (off_t)h.bytes) == 0);
	must(pwrite(fds[*nr_fds], &h, sizeof(h), 0) == (ssize_t)sizeof(h));
	if (how & 4) { /* a predecessor's, and what it holds is anything */
		uint8_t part[256];
		uint32_t ready = 1;

		must(pwrite(fds[*nr_fds], &ready, 4, JOURNAL_LIVE_AT + 4) == 4);
		feed_bytes(f, part, sizeof(part));
		must(pwrite(fds[*nr_fds], part, MIN(sizeof(part), bytes), JOURNAL_CLASS_AT) >= 0);
	}
	(*nr_fds)++;
	return sizeof(*c);
}

static void message(struct feed *f, uint8_t how)
{
	static uint8_t body[WIRE_MAX_BODY] __attribute__((aligned(16)));
	uint8_t type = feed_u8(f);
	struct wire_hdr h = { .type = type % 20, .handle = (type >> 6) % HANDLES, .seq = 1 };
	uint32_t nr_fds = 0;
	int fds[WIRE_MAX_FDS];

	if (h.type == WIRE_OPEN) {
		h.bytes = open_body(f, how, body, fds, &nr_fds);
	} else if (h.type == WIRE_CONNECT) {
		h.bytes = connect_body(f, how, h.handle, body, fds, &nr_fds);
	} else if (h.type == WIRE_QUIT) {
		return; /* there is no way back from it */
	} else {
		h.bytes = feed_u8(f);
		feed_bytes(f, body, h.bytes);
	}
	if (how & 64) { /* more descriptors than are asked for, or too short a body */
		uint8_t more = feed_u8(f);

		for (more &= 7; more > 0; more--)
			fds[nr_fds++] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (h.bytes)
			h.bytes = h.bytes * (feed_u8(f) & 7) / 7;
	}
	must(wire_send(peer, &h, body, fds, nr_fds) == 0);
	for (uint32_t i = 0; i < nr_fds; i++)
		close(fds[i]);
	expected++;
	handle_socket();
}

/* The guest writes into its rings: anywhere, or a whole slot and the index. */
static void guest(struct feed *f, uint8_t how)
{
	uint8_t *ring = fake_memory() + (RING_REF + (how & 3) % HANDLES * 4) * PAGE_BYTES;

	if (how & 4) {
		uint8_t slot[112];
		uint32_t prod;

		memcpy(&prod, ring, 4);
		feed_bytes(f, slot, 64);
		memset(slot + 64, 0, sizeof(slot) - 64);
		memcpy(ring + 64 + (prod & 31) * 112, slot, sizeof(slot));
		prod++;
		__atomic_store_n((uint32_t *)(void *)ring, prod, __ATOMIC_RELEASE);
	} else {
		uint16_t at = feed_u16(f) % (4 * PAGE_BYTES - 4);
		uint32_t v = feed_u32(f);

		memcpy(ring + at, &v, 4);
	}
}

static void settle(void)
{
	const struct timespec moment = { 0, 20000 };

	for (int i = 0; look_after_devices(); i++) {
		must(i < 500000); /* a drain comes to its end */
		nanosleep(&moment, NULL);
		read_answers();
	}
	read_answers();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };
	struct device *d;

	if (peer < 0)
		begin();
	life.quitting = false;
	memset(fake_memory(), 0, 32 * PAGE_BYTES);
	for (uint32_t steps = 0; f.left && steps < MAX_STEPS; steps++) {
		uint8_t what = feed_u8(&f);

		if (what & 1)
			guest(&f, what >> 1);
		else
			message(&f, what >> 1);
		if (what & 128)
			settle();
		else
			look_after_devices(); /* as between any two messages */
		read_answers();
	}
	/* As when the socket closes: all of it drains, and nothing of the guest's stays. */
	list_for_each (d, &worker.devices, link)
		device_disconnect(d, true);
	settle();
	while (!list_empty(&worker.devices))
		device_close(list_entry(worker.devices.next, struct device, link));
	must(expected == 0);
	must(fake_mapped() == 0);
	return 0;
}

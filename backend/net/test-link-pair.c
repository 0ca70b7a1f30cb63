/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-link-pair.c - both ends of a pair in one process: who sleeps is woken, and a bell that never stops keeps nobody.
 *
 * links: backend/net/link-pair.c
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/net/link.h"
#include "backend/net/pair-ring.h"

#define NR 2u

static struct end {
	struct link_queue queues[NR];
	int memory[2]; /* out, in */
} a, b;

static void open_end(struct end *e)
{
	assert_int_equal(link_pair_init(e->queues, NR, e->memory), 0);
}

static int set_up(void **state)
{
	a.memory[0] = b.memory[1] = memfd_create("a to b", MFD_CLOEXEC);
	a.memory[1] = b.memory[0] = memfd_create("b to a", MFD_CLOEXEC);
	for (int i = 0; i < 2; i++)
		assert_int_equal(ftruncate(a.memory[i], PAIR_RING_HEAD + (off_t)NR * PAIR_RING_SIZE), 0);
	for (uint32_t i = 0; i < NR; i++) {
		int sv[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
		a.queues[i].fd = sv[0];
		b.queues[i].fd = sv[1];
	}
	open_end(&a);
	open_end(&b);
	return 0;
}

static int tear_down(void **state)
{
	link_pair_fini(a.queues);
	link_pair_fini(b.queues);
	for (uint32_t i = 0; i < NR; i++) {
		close(a.queues[i].fd);
		close(b.queues[i].fd);
	}
	close(a.memory[0]);
	close(a.memory[1]);
	return 0;
}

static void connect_end(struct end *e, uint32_t nr_queues)
{
	link_pair_ops.connected(e->queues, NR, nr_queues, 0);
}

static bool rung(const struct end *e, uint32_t i)
{
	struct pollfd p = { .fd = e->queues[i].fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void woke(struct end *e, uint32_t i)
{
	link_pair_ops.woke(&e->queues[i]);
}

/* ------------------------------------------------------------------ bells */

static void a_sleeper_is_woken_by_a_frame(void **state)
{
	uint8_t mem[LINK_HEADROOM + 60] = { 0 };
	struct link_frame f = { .data = mem + LINK_HEADROOM, .bytes = 60 };
	struct virtio_net_hdr v;

	connect_end(&a, 1);
	connect_end(&b, 1);
	while (rung(&b, 0))
		woke(&b, 0);
	assert_false(link_pair_ops.arm(&b.queues[0]));
	link_pair_ops.send(&a.queues[0], &f, 1);
	assert_int_equal(f.rc, 0);
	assert_true(rung(&b, 0));
	assert_int_equal(link_pair_ops.recv(&b.queues[0], &v, mem + LINK_HEADROOM, 60), 60);
	woke(&b, 0);
	assert_false(rung(&b, 0));
}

/* A neighbour that was taken over writes faster than we read: what is read at once must have an end all the same. */
static void a_bell_that_never_stops_keeps_nobody(void **state)
{
	static const uint8_t block[4096];
	ssize_t n, all = 0;

	while ((n = send(a.queues[0].fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		all += n;
	assert_true(all > (ssize_t)sizeof(block)); /* as much as it takes */
	woke(&b, 0);
	assert_true(rung(&b, 0)); /* the rest wakes us again */
}

/* A writer dies between taking the sleeper's flag away and ringing: who comes after it finds the flag as if he had been told. */
static void a_sleeper_is_woken_by_a_successor(void **state)
{
	uint8_t mem[LINK_HEADROOM + 60] = { 0 };
	struct virtio_net_hdr v = { 0 };
	struct pair_out before;
	uint8_t *out;

	for (uint32_t i = 0; i < NR; i++) {
		connect_end(&a, NR);
		connect_end(&b, NR);
		while (rung(&b, i))
			woke(&b, i);
		assert_false(link_pair_ops.arm(&b.queues[i]));
		out = mmap(NULL, PAIR_RING_HEAD + (size_t)NR * PAIR_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   a.memory[0], 0);
		assert_ptr_not_equal(out, MAP_FAILED);
		pair_out_attach(&before, (void *)(out + PAIR_RING_HEAD + i * PAIR_RING_SIZE));
		assert_int_equal(pair_out_put(&before, &v, mem, 60), 0);
		assert_true(pair_out_publish(&before)); /* to be rung, and is not */
		munmap(out, PAIR_RING_HEAD + (size_t)NR * PAIR_RING_SIZE);
		assert_false(rung(&b, i));
		link_pair_fini(a.queues);
		open_end(&a);
		connect_end(&a, NR);
		assert_true(rung(&b, i));
		assert_int_equal(link_pair_ops.recv(&b.queues[i], &v, mem + LINK_HEADROOM, 60), 60);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_sleeper_is_woken_by_a_frame),
		T(a_bell_that_never_stops_keeps_nobody),
		T(a_sleeper_is_woken_by_a_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

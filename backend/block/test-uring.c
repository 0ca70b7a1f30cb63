/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-uring.c - a worker's kernel rings: what they refuse once they are restricted, and that queues can share them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <cmocka.h>
#include "backend/block/store-uring.c"

static int result_of(struct io_uring *u)
{
	struct io_uring_cqe *c;
	int res;

	assert_true(io_uring_submit(u) >= 0);
	assert_int_equal(io_uring_wait_cqe(u, &c), 0);
	res = c->res;
	io_uring_cqe_seen(u, c);
	return res;
}

static void prepare(struct io_uring_sqe *e, uint8_t op)
{
	static struct iovec iov;

	assert_non_null(e);
	if (!e) /* for the compiler */
		return;
	memset(e, 0, sizeof(*e));
	e->opcode = op;
	e->fd = -1;
	e->addr = (uintptr_t)&iov;
	e->len = 1;
}

static bool allowed(uint8_t op)
{
	static const uint8_t ops[] = { IORING_OP_READ,   IORING_OP_READV,    IORING_OP_WRITE,
				       IORING_OP_WRITEV, IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE };

	return memchr(ops, op, sizeof(ops));
}

static struct kernel_ring *need_ring(void)
{
	struct kernel_ring *k = ring_make();

	if (!k)
		skip();
	return k;
}

static void every_other_operation_is_refused(void **state)
{
	struct kernel_ring *k = need_ring();

	for (uint8_t op = 0; op < IORING_OP_LAST; op++) {
		int res;

		prepare(io_uring_get_sqe(&k->u), op);
		res = result_of(&k->u);
		if (allowed(op))
			assert_int_not_equal(res, -EACCES);
		else
			assert_int_equal(res, -EACCES);
	}
	io_uring_queue_exit(&k->u);
	free(k);
}

/* That the above can fail. */
static void without_restrictions_they_are_not(void **state)
{
	struct io_uring u;

	if (io_uring_queue_init(4, &u, 0) < 0)
		skip();
	prepare(io_uring_get_sqe(&u), IORING_OP_NOP);
	assert_int_equal(result_of(&u), 0);
	prepare(io_uring_get_sqe(&u), IORING_OP_OPENAT);
	assert_int_not_equal(result_of(&u), -EACCES);
	io_uring_queue_exit(&u);
}

static void flags_and_registrations_are_refused(void **state)
{
	struct kernel_ring *k = need_ring();
	struct iovec iov = { &iov, sizeof(iov) };

	prepare(io_uring_get_sqe(&k->u), IORING_OP_READV);
	k->u.sq.sqes[0].flags = IOSQE_IO_DRAIN;
	assert_int_equal(result_of(&k->u), -EACCES);
	assert_int_equal(io_uring_register_buffers(&k->u, &iov, 1), -EACCES);
	assert_int_equal(io_uring_register_eventfd(&k->u, 0), -EACCES);
	assert_int_equal(io_uring_unregister_files(&k->u), -EACCES);
	io_uring_queue_exit(&k->u);
	free(k);
}

static void none_is_made_after_the_last(void **state)
{
	store_uring_prepare(1);
	if (!store_uring_usable())
		skip();
	struct kernel_ring *k = ring_borrow();
	assert_non_null(k);
	assert_null(ring_borrow());
	assert_false(store_uring_usable());
	ring_give_back(k);
	assert_true(store_uring_usable());
}

/* The kernel says that it did not do a transfer, or not the rest of it: it is done all the same, once. */
static void what_the_ring_does_not_do_is_done(void **state)
{
	static const int refusals[] = { -ECANCELED, -EAGAIN, -EINTR, -ENOMEM };
	static char data[2 * PAGE_BYTES], buf[2 * PAGE_BYTES];
	struct blk_open o = { .kind = BLK_STORE_FILE, .sector = 512, .name = "test" };
	char path[] = "/var/tmp/synth-uring-XXXXXX";
	int fd = mkstemp(path), wake = eventfd(0, EFD_NONBLOCK);
	struct store_queue *q;
	struct store *s;

	assert_true(fd >= 0 && wake >= 0);
	unlink(path);
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / PAGE_BYTES + 1);
	assert_int_equal(pwrite(fd, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(store_file_open(&o, fd, &s), 0);
	assert_int_equal(s->ops->queue_new(s, wake, wake, 8, &q), 0);
	for (uint32_t k = 0; k < 2 * ARRAY_SIZE(refusals); k++) {
		struct iovec iov[2] = { { buf, PAGE_BYTES }, { buf + PAGE_BYTES, PAGE_BYTES } };
		struct store_io io = {
			.op = STORE_READ, .bytes = sizeof(buf), .iov = iov, .nr_iov = 2, .tries = MAX_TRIES, .result = 1
		};
		struct uring_queue *u = uring_of(q);
		struct store_io *got = NULL;
		uint32_t before = k % 2 ? PAGE_BYTES + 512 : 0; /* so much of it was done */

		memset(buf, 0, sizeof(buf));
		memcpy(buf, data, before);
		if (before)
			file_advance(&io, before);
		u->in_flight++;
		transferred(u, &io, refusals[k / 2]);
		assert_int_equal(u->in_flight, 0);
		for (uint32_t i = 0; i < 10000 && !got; i++) {
			got = s->ops->reap(q);
			usleep(got ? 0 : 1000);
		}
		assert_ptr_equal(got, &io);
		assert_int_equal(io.result, 0);
		assert_memory_equal(buf, data, sizeof(data));
	}
	s->ops->queue_free(q);
	s->ops->close(s);
	close(wake);
}

/* Pages the kernel does not take: their bytes go by a buffer, whatever pieces they are in. */
static void bytes_go_by_a_buffer_where_pages_are_refused(void **state)
{
	static char data[9 * PAGE_BYTES], buf[9 * PAGE_BYTES];
	struct blk_open o = { .kind = BLK_STORE_FILE, .sector = 512, .name = "test" };
	char path[] = "/var/tmp/synth-uring-XXXXXX";
	int fd = mkstemp(path);
	struct store *s;

	assert_true(fd >= 0);
	unlink(path);
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / PAGE_BYTES + 1);
	assert_int_equal(ftruncate(fd, sizeof(data) + 512), 0);
	assert_int_equal(store_file_open(&o, fd, &s), 0);
	for (uint32_t op = 0; op < 2; op++) {
		char *mine = op ? buf : data;
		struct iovec iov[3] = { { mine, 512 },
					{ mine + 512, 5 * PAGE_BYTES },
					{ mine + 512 + 5 * PAGE_BYTES, 4 * PAGE_BYTES - 512 } };
		struct store_io io = { .op = op ? STORE_READ : STORE_WRITE,
				       .offset = 512,
				       .bytes = sizeof(data),
				       .iov = iov,
				       .nr_iov = 3 };

		while (io.done < io.bytes) {
			ssize_t n = file_transfer_copied(file_of(s), &io);

			assert_true(n > 0);
			file_advance(&io, (uint64_t)n);
		}
	}
	assert_memory_equal(buf, data, sizeof(data));
	s->ops->close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_other_operation_is_refused),
		cmocka_unit_test(without_restrictions_they_are_not),
		cmocka_unit_test(flags_and_registrations_are_refused),
		cmocka_unit_test(none_is_made_after_the_last),
		cmocka_unit_test(what_the_ring_does_not_do_is_done),
		cmocka_unit_test(bytes_go_by_a_buffer_where_pages_are_refused),
	};

	return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}

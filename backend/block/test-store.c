/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-store.c - every engine against real files: what is written is read, errors come back as errors of their own
 * request, nothing is lost or answered twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "backend/block/store-file.h"
#include "backend/block/store-window.h"

#define SIZE     (8u << 20)
#define NR_PAGES 64u

static const struct engine {
	const char *name, *dir, *no_uring;
	uint32_t flags;
	int open_flags;
} engines[] = {
	{ "inline", "/dev/shm", "0", BLK_O_MEMORY, 0 }, { "io_uring", "/var/tmp", "0", BLK_O_DIRECT, O_DIRECT },
	{ "io_uring", "/var/tmp", "0", 0, 0 },          { "threads", "/var/tmp", "1", 0, 0 },
	{ "threads", "/dev/shm", "1", 0, 0 },
};

#define EACH_ENGINE(e) for (const struct engine *e = engines; e < engines + ARRAY_SIZE(engines); e++)

static char *pages; /* NR_PAGES, aligned for O_DIRECT */
static int event_fd, control_fd;

static char *page(uint32_t i)
{
	return pages + (size_t)i * PAGE_BYTES;
}

static int setup(void **state)
{
	pages = aligned_alloc(PAGE_BYTES, (size_t)NR_PAGES * PAGE_BYTES);
	event_fd = eventfd(0, EFD_NONBLOCK);
	control_fd = eventfd(0, EFD_NONBLOCK);
	return pages && event_fd >= 0 && control_fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	free(pages);
	close(event_fd);
	close(control_fd);
	return 0;
}

static int scratch(const struct engine *e, uint64_t bytes)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/synth-store-XXXXXX", e->dir);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	if (e->open_flags) {
		close(fd);
		fd = open(path, O_RDWR | O_CLOEXEC | e->open_flags);
		if (fd < 0) /* the file system has no direct I/O */
			fd = open(path, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
	}
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static struct store *open_fd(const struct engine *e, int fd, uint32_t more)
{
	struct blk_open o = {
		.kind = BLK_STORE_FILE, .flags = e->flags | BLK_O_DISCARD | more, .sector = 512, .name = "test"
	};
	struct store *s;

	setenv("SYNTH_NO_URING", e->no_uring, 1);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(store_image_open(&o, &fd, 1, &s), 0);
	if (strcmp(e->name, "io_uring") != 0 || store_uring_usable())
		assert_string_equal(s->info.engine, e->name);
	return s;
}

static struct store_queue *new_queue(struct store *s)
{
	struct store_queue *q;

	assert_int_equal(s->ops->queue_new(s, event_fd, control_fd, 64, &q), 0);
	if (s->ops->queue_start)
		assert_int_equal(s->ops->queue_start(q), 0);
	return q;
}

/* Wait for @nr ios; they come back linked in the order they finished. */
static void finish(struct store_queue *q, uint32_t nr)
{
	const struct store_ops *ops = q->store->ops;
	uint64_t end = now_ns() + 30000000000ull;
	uint32_t got = 0;

	ops->kick(q);
	while (got < nr) {
		assert_true(now_ns() < end);
		for (struct store_io *io = ops->reap(q); io; io = io->next)
			got++;
		if (got >= nr)
			break;
		if (ops->wait) {
			ops->wait(q, 10000000000);
		} else {
			struct pollfd p = { q->fd, POLLIN, 0 };

			assert_true(poll(&p, 1, 10000) > 0);
		}
	}
	assert_int_equal(got, nr);
	assert_null(ops->reap(q));
}

static int run(struct store_queue *q, struct store_io *io)
{
	io->result = 12345;
	q->store->ops->submit(q, io);
	finish(q, 1);
	return io->result;
}

static int rw(struct store_queue *q, enum store_op op, uint64_t offset, void *mem, uint64_t bytes)
{
	struct iovec v = { mem, bytes };
	struct store_io io = { .op = op, .offset = offset, .bytes = bytes, .iov = &v, .nr_iov = 1 };

	return run(q, &io);
}

static int plain(struct store_queue *q, enum store_op op, uint64_t offset, uint64_t bytes)
{
	struct store_io io = { .op = op, .offset = offset, .bytes = bytes };

	return run(q, &io);
}

static void done_with(struct store_queue *q)
{
	struct store *s = q->store;

	s->ops->queue_free(q);
	s->ops->close(s);
}

/* ------------------------------------------------------------------ tests */

static void many_at_once_in_pieces_all_come_back_right(void **state)
{
	EACH_ENGINE(e)
	{
		int fd = scratch(e, SIZE);
		struct store_queue *q = new_queue(open_fd(e, fd, 0));
		struct store_io io[16];
		struct iovec iov[16][2];

		for (int round = 0; round < 2; round++) { /* write, then read back */
			if (round)
				memset(pages, 0, 32 * PAGE_BYTES);
			for (uint32_t i = 0; i < 16; i++) {
				if (!round)
					memset(page(i * 2), (int)i + 1, 2 * PAGE_BYTES);
				/* two pieces that are no neighbours, adjacent requests */
				iov[i][0] = (struct iovec){ page(i * 2 + 1), 1024 };
				iov[i][1] = (struct iovec){ page(i * 2), PAGE_BYTES };
				io[i] = (struct store_io){ .op = round ? STORE_READ : STORE_WRITE,
							   .offset = i * 5120,
							   .bytes = 5120,
							   .iov = iov[i],
							   .nr_iov = 2 };
				q->store->ops->submit(q, &io[i]);
			}
			finish(q, 16);
			for (uint32_t i = 0; i < 16; i++)
				assert_int_equal(io[i].result, 0);
		}
		for (uint32_t i = 0; i < 16; i++) {
			assert_int_equal(page(i * 2)[0], i + 1);
			assert_int_equal(page(i * 2)[PAGE_BYTES - 1], i + 1);
			assert_int_equal(page(i * 2 + 1)[1023], i + 1);
			assert_int_equal(page(i * 2 + 1)[1024], 0); /* nothing beyond the piece */
		}
		done_with(q);
		close(fd);
	}
}

static void *nothing(void *arg)
{
	return NULL;
}

static bool threads_can_be_had(void)
{
	pthread_t t;

	return pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0;
}

static bool all_is_well(struct store_queue *q)
{
	memset(page(0), 0x3c, PAGE_BYTES);
	if (rw(q, STORE_WRITE, 0, page(0), PAGE_BYTES) || plain(q, STORE_FLUSH, 0, 0) ||
	    rw(q, STORE_READ, 0, page(1), PAGE_BYTES) || memcmp(page(0), page(1), PAGE_BYTES) != 0)
		return false;
	return !q->store->info.can_discard || plain(q, STORE_DISCARD, 0, SIZE) == 0;
}

/* In a child that may start none.  The first of all: later this process has helpers, which a child would miss. */
static void where_no_thread_can_be_started_all_is_done_without(void **state)
{
	EACH_ENGINE(e)
	{
		int fd = scratch(e, SIZE), status;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			const struct rlimit none = { 0, 0 };
			struct store_queue *q = new_queue(open_fd(e, fd, 0));

			if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0) /* root is not limited */
				_exit(77);
			if (setrlimit(RLIMIT_NPROC, &none) < 0 || threads_can_be_had())
				_exit(77);
			_exit(all_is_well(q) ? 0 : 1);
		}
		close(fd);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == 77)
			skip();
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void flush_and_discard_work(void **state)
{
	EACH_ENGINE(e)
	{
		int fd = scratch(e, SIZE);
		struct store_queue *q = new_queue(open_fd(e, fd, 0));
		struct stat st;

		memset(pages, 0x5a, PAGE_BYTES * 4);
		assert_int_equal(rw(q, STORE_WRITE, 0, pages, PAGE_BYTES * 4), 0);
		assert_int_equal(plain(q, STORE_FLUSH, 0, 0), 0);
		if (q->store->info.can_discard) {
			assert_int_equal(plain(q, STORE_DISCARD, 512, 2 * PAGE_BYTES), 0);
			assert_int_equal(rw(q, STORE_READ, 0, pages, PAGE_BYTES * 4), 0);
			assert_int_equal(pages[511], 0x5a); /* the head before it is kept */
			assert_int_equal(pages[PAGE_BYTES], 0);
			assert_int_equal(pages[3 * PAGE_BYTES], 0x5a);
			assert_int_equal(plain(q, STORE_DISCARD, 0, SIZE), 0);
			assert_int_equal(fstat(fd, &st), 0);
			assert_int_equal(st.st_blocks, 0);
			assert_int_equal(st.st_size, SIZE);
		}
		done_with(q);
		close(fd);
	}
}

static void a_file_that_shrank_gives_an_error_for_what_is_gone(void **state)
{
	EACH_ENGINE(e)
	{
		int fd = scratch(e, SIZE);
		struct store_queue *q;

#ifdef __SANITIZE_THREAD__
		if (e->flags & BLK_O_MEMORY) { /* TSan does not follow a jump out of a SIGBUS in its own memcpy() */
			close(fd);
			continue;
		}
#endif
		for (uint32_t at = 0; at < SIZE; at += NR_PAGES * PAGE_BYTES) { /* no holes: the window opens */
			memset(pages, 0x77, NR_PAGES * PAGE_BYTES);
			assert_int_equal(pwrite(fd, pages, NR_PAGES * PAGE_BYTES, at), NR_PAGES * PAGE_BYTES);
		}
		q = new_queue(open_fd(e, fd, 0));
		assert_int_equal(rw(q, STORE_READ, SIZE - PAGE_BYTES, pages, PAGE_BYTES), 0);
		assert_int_equal(ftruncate(fd, SIZE / 2), 0);
		assert_int_equal(rw(q, STORE_READ, SIZE - PAGE_BYTES, pages, PAGE_BYTES), -EIO);
		assert_int_equal(rw(q, STORE_READ, SIZE / 2 - PAGE_BYTES, pages, 2 * PAGE_BYTES),
				 -EIO);                                       /* half of it */
		assert_int_equal(rw(q, STORE_READ, 0, pages, PAGE_BYTES), 0); /* the rest is well */
		assert_int_equal(pages[17], 0x77);
		done_with(q);
		close(fd);
	}
}

static void a_file_that_grew_is_seen_by_resize(void **state)
{
	EACH_ENGINE(e)
	{
		int fd = scratch(e, SIZE);
		struct store_queue *q = new_queue(open_fd(e, fd, 0));
		struct blk_info i;

		assert_int_equal(q->store->info.sectors, SIZE / 512);
		assert_int_equal(ftruncate(fd, 2 * SIZE + 100), 0); /* a trailing part of a sector is not offered */
		assert_int_equal(q->store->ops->resize(q->store, &i), 0);
		assert_int_equal(i.sectors, 2 * SIZE / 512);
		memset(pages, 3, PAGE_BYTES);
		assert_int_equal(rw(q, STORE_WRITE, 2 * SIZE - PAGE_BYTES, pages, PAGE_BYTES), 0);
		done_with(q);
		close(fd);
	}
}

/* /proc/self/mem has nothing at address 0: a read there is a true EIO of the kernel's. */
static void eio_is_a_failed_request(void **state)
{
	EACH_ENGINE(e)
	{
		struct engine f = *e;
		int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		struct store_queue *q;

		assert_true(fd >= 0);
		f.flags &= ~BLK_O_DIRECT;
		q = new_queue(open_fd(&f, fd, 0));
		assert_int_equal(rw(q, STORE_READ, 0, pages, PAGE_BYTES), -EIO);
		assert_int_equal(rw(q, STORE_WRITE, 4096, pages, PAGE_BYTES), -EIO);
		done_with(q);
		close(fd);
	}
}

static void enospc_is_a_failed_request_and_the_next_is_well(void **state)
{
	EACH_ENGINE(e)
	{
		int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
		struct engine f = *e;
		struct store_queue *q;

		assert_true(fd >= 0);
		f.flags &= ~BLK_O_DIRECT;
		q = new_queue(open_fd(&f, fd, 0));
		assert_int_equal(rw(q, STORE_WRITE, 0, pages, PAGE_BYTES), -ENOSPC);
		memset(pages, 1, PAGE_BYTES);
		assert_int_equal(rw(q, STORE_READ, 0, pages, PAGE_BYTES), 0);
		assert_int_equal(pages[4095], 0);
		done_with(q);
		close(fd);
	}
}

static void a_write_that_only_fits_in_part_is_an_error(void **state)
{
	struct rlimit old, small = { SIZE + 512, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	EACH_ENGINE(e)
	{
		struct engine f = *e;
		struct store_queue *q;
		int fd;

		f.open_flags = 0;
		f.flags &= ~BLK_O_DIRECT;
		fd = scratch(&f, SIZE);
		q = new_queue(open_fd(&f, fd, 0));
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		assert_int_equal(rw(q, STORE_WRITE, SIZE, pages, PAGE_BYTES), -EFBIG);
		assert_int_equal(rw(q, STORE_WRITE, 0, pages, PAGE_BYTES), 0);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		done_with(q);
		close(fd);
	}
}

static void a_read_only_image_is_told_so(void **state)
{
	EACH_ENGINE(e)
	{
		int fd = scratch(e, SIZE);
		struct store_queue *q = new_queue(open_fd(e, fd, BLK_O_READONLY));

		assert_true(q->store->info.readonly);
		assert_false(q->store->info.can_discard);
		assert_int_equal(rw(q, STORE_READ, 0, pages, PAGE_BYTES), 0);
		done_with(q);
		close(fd);
	}
}

/* Memory file systems of a fixed size need a mount of our own: in a child with its own mount namespace. */
static void memory_that_runs_out_is_enospc_not_a_crash(void **state)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct engine e = { "inline", "/mnt", "0", BLK_O_MEMORY, 0 };
		struct store_queue *q;
		int fd, failed = 0;

		if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("none", "/mnt", "tmpfs", 0, "size=256k") < 0)
			_exit(77);
		fd = scratch(&e, SIZE);
		q = new_queue(open_fd(&e, fd, 0));
		for (uint32_t i = 0; i < 128; i++) {
			int rc = rw(q, STORE_WRITE, (uint64_t)i * PAGE_BYTES, page(0), PAGE_BYTES);

			if (rc == -ENOSPC)
				failed++;
			else if (rc)
				_exit(1);
		}
		_exit(failed > 32 && failed < 128 && rw(q, STORE_READ, 0, page(0), PAGE_BYTES) == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_window_is_open_for_whole_files_only(void **state)
{
	const struct engine *e = &engines[0];
	int fd = scratch(e, SIZE);
	struct store *s = open_fd(e, fd, 0);
	struct file *f = file_of(s);
	struct store_queue *q = new_queue(s);
	struct stat st;

	assert_non_null(f->window);
	assert_false(window_usable(f->window, f)); /* all hole */
	assert_int_equal(rw(q, STORE_READ, 0, pages, PAGE_BYTES), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks, 0); /* reading did not make it bigger */
	assert_int_equal(posix_fallocate(fd, 0, SIZE), 0);
	window_recheck(f->window, f);
	assert_true(window_usable(f->window, f));
	memset(pages, 9, PAGE_BYTES);
	assert_int_equal(rw(q, STORE_WRITE, SIZE - PAGE_BYTES, pages, PAGE_BYTES), 0);
	assert_int_equal(pread(fd, page(1), PAGE_BYTES, SIZE - PAGE_BYTES), PAGE_BYTES);
	assert_memory_equal(page(0), page(1), PAGE_BYTES);
	assert_int_equal(plain(q, STORE_DISCARD, 0, PAGE_BYTES), 0);
	assert_false(window_usable(f->window, f));
	s->ops->idle(q);
	assert_false(window_usable(f->window, f));
	done_with(q);
	close(fd);
}

static void a_failed_flush_of_cached_data_stays_failed(void **state)
{
	struct engine e = engines[3];
	int fd = scratch(&e, SIZE);
	struct store *s = open_fd(&e, fd, 0);
	struct store_queue *q = new_queue(s);

	assert_int_equal(plain(q, STORE_FLUSH, 0, 0), 0);
	assert_true(store_poison(s, STORE_FLUSH_FAILED)); /* as fdatasync's EIO leaves it */
	assert_int_equal(plain(q, STORE_FLUSH, 0, 0), -EIO);
	assert_int_equal(plain(q, STORE_FLUSH, 0, 0), -EIO);
	done_with(q);
	close(fd);
}

/*
 * A kernel whose write-back has failed, in the C library's place: of those that are asked for it at once one is told.  Who comes first
 * stays until another has come, or for a while.
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t came;
	bool on;
	uint32_t asked;
	int held; /* the image whose storage does not answer, when it is asked for held_op; -1: none */
	enum store_op held_op;
} writeback = { .lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER, .held = -1 };

#define TOGETHER_MS 300u

static void hold(int fd, enum store_op op)
{
	pthread_mutex_lock(&writeback.lock);
	writeback.held = fd;
	writeback.held_op = op;
	pthread_cond_broadcast(&writeback.came);
	pthread_mutex_unlock(&writeback.lock);
}

static void wait_while_held(int fd, enum store_op op)
{
	pthread_mutex_lock(&writeback.lock);
	while (writeback.held == fd && writeback.held_op == op)
		pthread_cond_wait(&writeback.came, &writeback.lock);
	pthread_mutex_unlock(&writeback.lock);
}

int fallocate(int fd, int mode, off_t at, off_t bytes)
{
	wait_while_held(fd, STORE_DISCARD);
	return (int)syscall(SYS_fallocate, fd, mode, at, bytes);
}

int fdatasync(int fd)
{
	struct timespec until;
	bool first;
	int rc = 0;

	wait_while_held(fd, STORE_FLUSH);
	if (!__atomic_load_n(&writeback.on, __ATOMIC_ACQUIRE))
		return (int)syscall(SYS_fdatasync, fd);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += TOGETHER_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&writeback.lock);
	first = writeback.asked++ == 0;
	pthread_cond_signal(&writeback.came);
	while (first && writeback.asked == 1 && rc == 0)
		rc = pthread_cond_timedwait(&writeback.came, &writeback.lock, &until);
	pthread_mutex_unlock(&writeback.lock);
	errno = EIO;
	return first ? -1 : 0;
}

static void of_two_flushes_of_cached_data_at_once_none_claims_success_when_one_fails(void **state)
{
	EACH_ENGINE(e)
	{
		struct store_io io[2] = { { .op = STORE_FLUSH }, { .op = STORE_FLUSH } };
		struct store_queue *q;
		int fd;

		if (e->flags & (BLK_O_DIRECT | BLK_O_MEMORY))
			continue;
		fd = scratch(e, SIZE);
		q = new_queue(open_fd(e, fd, 0));
		writeback.asked = 0;
		__atomic_store_n(&writeback.on, true, __ATOMIC_RELEASE);
		for (uint32_t i = 0; i < 2; i++)
			q->store->ops->submit(q, &io[i]);
		finish(q, 2);
		__atomic_store_n(&writeback.on, false, __ATOMIC_RELEASE);
		assert_true(writeback.asked > 0);
		assert_int_equal(io[0].result, -EIO);
		assert_int_equal(io[1].result, -EIO);
		done_with(q);
		close(fd);
	}
}

#define NR_STUCK 40u /* more than there are threads for a disk */

static void get_stuck(struct store_queue *q, struct store_io io[NR_STUCK], enum store_op op)
{
	hold(file_of(q->store)->fd, op);
	for (uint32_t i = 0; i < NR_STUCK; i++) {
		io[i] = (struct store_io){ .op = op, .offset = i * PAGE_BYTES, .bytes = PAGE_BYTES, .result = 12345 };
		q->store->ops->submit(q, &io[i]);
	}
	q->store->ops->kick(q);
}

static void let_go(struct store_queue *q, const struct store_io io[NR_STUCK])
{
	hold(-1, STORE_FLUSH);
	finish(q, NR_STUCK);
	for (uint32_t i = 0; i < NR_STUCK; i++)
		assert_int_equal(io[i].result, 0);
}

static void storage_that_does_not_answer_holds_up_no_other_disk(void **state)
{
	EACH_ENGINE(e)
	{
		int stuck_fd = scratch(e, SIZE), fd = scratch(e, SIZE);
		struct store_queue *stuck = new_queue(open_fd(e, stuck_fd, 0)), *q = new_queue(open_fd(e, fd, 0));
		struct store_io io[NR_STUCK];
		bool inline_flush = e->flags & BLK_O_MEMORY;

		if (!inline_flush || stuck->store->info.can_discard) {
			get_stuck(stuck, io, inline_flush ? STORE_DISCARD : STORE_FLUSH);
			assert_true(all_is_well(q));
			let_go(stuck, io);
		}
		done_with(stuck);
		done_with(q);
		close(stuck_fd);
		close(fd);
	}
}

static void discards_that_take_long_hold_up_no_flush(void **state)
{
	EACH_ENGINE(e)
	{
		int fd = scratch(e, SIZE);
		struct store_queue *q = new_queue(open_fd(e, fd, 0));
		struct store_io io[NR_STUCK];

		if (q->store->info.can_discard) {
			get_stuck(q, io, STORE_DISCARD);
			for (uint32_t i = 0; i < NR_STUCK; i++) /* a thread that has done one may get stuck then */
				assert_int_equal(plain(q, STORE_FLUSH, 0, 0), 0);
			let_go(q, io);
		}
		done_with(q);
		close(fd);
	}
}

/* A block device that is none: what the store asks of it, in the C library's place. */
static struct {
	bool on;
	int answer; /* to each discard, 0 or an errno */
	uint32_t discards;
	uint64_t range[4][2];
} device;

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (!device.on)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	switch (request) {
	case BLKGETSIZE64:
		*(uint64_t *)arg = SIZE;
		return 0;
	case BLKPBSZGET:
		*(unsigned int *)arg = PAGE_BYTES;
		return 0;
	case BLKDISCARD:
	case BLKSECDISCARD:
		if (device.discards < ARRAY_SIZE(device.range))
			memcpy(device.range[device.discards++], arg, sizeof(device.range[0]));
		errno = device.answer;
		return device.answer ? -1 : 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}

/*
 * A range that passes a kernel's checks is done: {0, 0} too, for which Linux 6.1 throws away the device's page cache, dirty or not.
 * Newer ones refuse it, so that a device of this machine cannot show the loss.
 */
static void a_block_device_is_asked_for_discard_about_a_range_that_cannot_be_done(void **state)
{
	static const struct {
		int answer;
		bool can;
	} answers[] = { { EINVAL, true }, { EOPNOTSUPP, false }, { 0, false }, { EBADF, false }, { EIO, false } };
	const struct engine *e = &engines[3];

	for (uint32_t i = 0; i < ARRAY_SIZE(answers); i++) {
		int fd = scratch(e, SIZE);
		struct store *s;

		memset(&device, 0, sizeof(device));
		device.answer = answers[i].answer;
		device.on = true;
		s = open_fd(e, fd, BLK_O_BLOCKDEV);
		device.on = false;
		assert_int_equal(s->info.physical_sector, PAGE_BYTES);
		assert_int_equal(device.discards, 2);
		for (uint32_t k = 0; k < device.discards; k++)
			assert_int_not_equal(device.range[k][0] % SECTOR_BYTES, 0);
		assert_int_equal(s->info.can_discard, answers[i].can);
		assert_int_equal(s->info.can_secure_discard, answers[i].can);
		s->ops->close(s);
		close(fd);
	}
}

static void null_reads_zeroes(void **state)
{
	struct blk_open o = { .kind = BLK_STORE_NULL, .size = 1 << 20, .name = "n" };
	struct store *s;
	struct store_queue *q;

	assert_int_equal(store_image_open(&o, NULL, 0, &s), 0);
	q = new_queue(s);
	memset(pages, 7, PAGE_BYTES);
	assert_int_equal(rw(q, STORE_WRITE, 0, pages, PAGE_BYTES), 0);
	assert_int_equal(rw(q, STORE_READ, 0, pages, 1024), 0);
	assert_int_equal(pages[1023], 0);
	assert_int_equal(pages[1024], 7);
	done_with(q);
}

static void nonsense_is_not_opened(void **state)
{
	struct blk_open o = { .kind = BLK_STORE_FILE, .name = "x" };
	struct store *s;
	int fds[2] = { eventfd(0, 0), eventfd(0, 0) };

	assert_int_equal(store_image_open(&o, NULL, 0, &s), -EINVAL); /* no file */
	assert_int_equal(store_image_open(&o, fds, 2, &s), -EINVAL);  /* two */
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);                 /* closed: they were the store's */
	o.kind = 77;
	assert_int_equal(store_image_open(&o, NULL, 0, &s), -EINVAL);
	o.kind = BLK_STORE_NULL;
	memset(o.name, 'x', sizeof(o.name));
	assert_int_equal(store_image_open(&o, NULL, 0, &s), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_no_thread_can_be_started_all_is_done_without), /* first: see there */
		cmocka_unit_test(many_at_once_in_pieces_all_come_back_right),
		cmocka_unit_test(flush_and_discard_work),
		cmocka_unit_test(a_file_that_shrank_gives_an_error_for_what_is_gone),
		cmocka_unit_test(a_file_that_grew_is_seen_by_resize),
		cmocka_unit_test(eio_is_a_failed_request),
		cmocka_unit_test(enospc_is_a_failed_request_and_the_next_is_well),
		cmocka_unit_test(a_write_that_only_fits_in_part_is_an_error),
		cmocka_unit_test(a_read_only_image_is_told_so),
		cmocka_unit_test(memory_that_runs_out_is_enospc_not_a_crash),
		cmocka_unit_test(the_window_is_open_for_whole_files_only),
		cmocka_unit_test(a_failed_flush_of_cached_data_stays_failed),
		cmocka_unit_test(of_two_flushes_of_cached_data_at_once_none_claims_success_when_one_fails),
		cmocka_unit_test(storage_that_does_not_answer_holds_up_no_other_disk),
		cmocka_unit_test(discards_that_take_long_hold_up_no_flush),
		cmocka_unit_test(a_block_device_is_asked_for_discard_about_a_range_that_cannot_be_done),
		cmocka_unit_test(null_reads_zeroes),
		cmocka_unit_test(nonsense_is_not_opened),
	};

	return cmocka_run_group_tests_name("store", tests, setup, teardown);
}

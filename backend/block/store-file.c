/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-file.c - a regular file or block device: its facts, and one io done the plain way, sleeping.
 *
 * Flush errors.  A front end that sees one failed flush turns flushing off for good and tells its file systems
 * that all is well, so a passing error must not reach it; but the page cache reports a write-back error once
 * only, so a second fdatasync that says 0 proves nothing.  Hence: without the page cache (O_DIRECT, memory) a
 * failed flush is tried again FLUSH_TRIES times; with it the first EIO or ENOSPC is final, this flush and all later
 * ones fail ("poisoned"), since what was acknowledged may be gone.  And once only is once for all threads: of two that
 * wait for the same write-back one is told.  So there is one flush of the page cache at a time.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "backend/block/store-file.h"
#include "backend/block/store-window.h"
#include "common/log/log.h"

#define FLUSH_TRIES   5
#define COPY_PIECE    (16u << 10)
#define DISCARD_PIECE (64ull << 20) /* bytes a helper discards before it looks round */

void file_advance(struct store_io *io, uint64_t n)
{
	io->done += n;
	while (n > 0 && n >= io->iov->iov_len) {
		n -= io->iov->iov_len;
		io->iov++;
		io->nr_iov--;
	}
	if (n) {
		io->iov->iov_base = (char *)io->iov->iov_base + n;
		io->iov->iov_len -= n;
	}
}

/*
 * The next bytes by a buffer of our own.  The kernel may say ENOMEM of a mapped grant it cannot take a reference to, for as long
 * as that page of dom0's lives, though we can read and write it.
 */
ssize_t file_transfer_copied(struct file *f, struct store_io *io)
{
	char buf[COPY_PIECE] __attribute__((aligned(PAGE_BYTES)));
	size_t size = (size_t)MIN(io->bytes - io->done, sizeof(buf)), left;
	off_t at = (off_t)(io->offset + io->done);
	const struct iovec all = { buf, size }, *v; /* plain pread is not among a worker's calls */
	char *p = buf;
	ssize_t n;

	for (v = io->iov, left = size; io->op == STORE_WRITE && left; v++) {
		size_t part = MIN(left, v->iov_len);

		memcpy(p, v->iov_base, part);
		p += part;
		left -= part;
	}
	n = io->op == STORE_READ ? preadv(f->fd, &all, 1, at) : pwritev(f->fd, &all, 1, at);
	if (n <= 0 || io->op != STORE_READ)
		return n;
	for (v = io->iov, left = (size_t)n, p = buf; left; v++) {
		size_t part = MIN(left, v->iov_len);

		memcpy(v->iov_base, p, part);
		p += part;
		left -= part;
	}
	return n;
}

static int transfer(struct file *f, struct store_io *io)
{
	while (io->done < io->bytes) {
		off_t at = (off_t)(io->offset + io->done);
		int nr = (int)io->nr_iov;
		ssize_t n = io->op == STORE_READ ? preadv(f->fd, io->iov, nr, at) : pwritev(f->fd, io->iov, nr, at);

		if (n < 0 && errno == ENOMEM)
			n = file_transfer_copied(f, io);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) /* the file has shrunk under us */
			return -EIO;
		file_advance(io, (uint64_t)n);
	}
	return 0;
}

static int sync_image(struct file *f, bool retry)
{
	int rc;

	if (__atomic_load_n(&f->s.poisoned, __ATOMIC_RELAXED))
		return -EIO;
	for (int i = 0;; i++) {
		struct timespec pause = { 0, 20000000l << i };

		rc = fdatasync(f->fd) < 0 ? -errno : 0;
		if (rc == 0 || rc == -EINVAL) /* EINVAL: nothing there to be flushed (a pipe-like special file) */
			return 0;
		if (rc == -EINTR)
			continue;
		if (!retry || i == FLUSH_TRIES)
			break;
		(void)ppoll(NULL, 0, &pause, NULL);
	}
	if (store_poison(&f->s, STORE_FLUSH_FAILED))
		log_error("%s: flush failed: %s; every later flush will fail until the disk is attached again",
			  f->s.name, strerror(-rc));
	return rc;
}

static int flush(struct file *f)
{
	bool cached = !(f->flags & (BLK_O_DIRECT | BLK_O_MEMORY));
	int rc;

	if (cached)
		pthread_mutex_lock(&f->flushing);
	rc = sync_image(f, !cached);
	if (cached)
		pthread_mutex_unlock(&f->flushing);
	return rc;
}

static int zero_range(struct file *f, uint64_t from, uint64_t to)
{
	static const char zeroes[PAGE_BYTES] __attribute__((aligned(4096)));

	while (from < to) {
		const struct iovec v = { (void *)(uintptr_t)zeroes,
					 (size_t)MIN(to - from, sizeof(zeroes)) }; /* only read */
		ssize_t r = pwritev(f->fd, &v, 1, (off_t)from);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		from += (uint64_t)r;
	}
	return 0;
}

/* Whole blocks go to the device; what is left at the ends stays (plain) or is overwritten (secure). */
static int discard_blockdev(struct file *f, const struct store_io *io, uint64_t from, uint64_t to)
{
	bool secure = io->op == STORE_SECURE_DISCARD;
	uint64_t g = f->s.info.discard_granularity;
	uint64_t lo = (from + g - 1) / g * g, hi = to / g * g;
	uint64_t range[2] = { lo, hi - lo };
	int rc = 0;

	if (lo >= hi)
		return secure ? zero_range(f, from, to) : 0;
	if (ioctl(f->fd, secure ? BLKSECDISCARD : BLKDISCARD, range) < 0)
		return -errno;
	if (secure) {
		rc = zero_range(f, from, lo);
		if (rc == 0)
			rc = zero_range(f, hi, to);
	}
	return rc;
}

static bool discard_piece(struct file *f, struct store_io *io, bool cancelled)
{
	uint64_t from = io->offset + io->done, end = io->offset + io->bytes, to;

	/* Pieces end at multiples of their size, so that only the first and the last can be misaligned. */
	to = MIN((from / DISCARD_PIECE + 1) * DISCARD_PIECE, end);
	io->result = 0;
	if (cancelled)
		io->result = io->op == STORE_SECURE_DISCARD ? -ECANCELED : 0; /* a plain discard is a hint */
	else if (f->flags & BLK_O_BLOCKDEV)
		io->result = discard_blockdev(f, io, from, to);
	else if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) < 0)
		io->result = errno == EINTR ? 0 : -errno;
	io->done = to - io->offset;
	return cancelled || io->result || to == end;
}

bool file_execute(struct file *f, struct store_io *io, bool cancelled)
{
	switch (io->op) {
	case STORE_READ:
	case STORE_WRITE:
		io->result = transfer(f, io);
		return true;
	case STORE_FLUSH:
		io->result = flush(f);
		return true;
	case STORE_DISCARD:
	case STORE_SECURE_DISCARD:
		return discard_piece(f, io, cancelled);
	default:
		io->result = -EOPNOTSUPP;
		return true;
	}
}

void file_note_discard(struct file *f)
{
	__atomic_store_n(&f->sparse, true, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ facts */

static int size_of(const struct file *f, uint64_t *ret)
{
	struct stat st;

	if (f->flags & BLK_O_BLOCKDEV)
		return ioctl(f->fd, BLKGETSIZE64, ret) < 0 ? -errno : 0;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

/*
 * Does the device take this kind of discard?  Asked about a range that none can have, so that nothing is done: EINVAL says that it
 * would have looked at the range, EOPNOTSUPP that it cannot.  An empty range will not do: older kernels (6.1) take {0, 0} as good, and
 * throw away all of the device's page cache for it, with what was written and is not on the disk yet.
 */
static bool knows_discard(const struct file *f, unsigned long request)
{
	uint64_t misaligned[2] = { 1, 0 };

	return ioctl(f->fd, request, misaligned) < 0 && errno == EINVAL;
}

static void learn_blockdev(struct file *f, struct blk_info *i)
{
	unsigned int pbs = 0;

	if (ioctl(f->fd, BLKPBSZGET, &pbs) == 0 && pbs >= SECTOR_BYTES)
		i->physical_sector = pbs;
	i->discard_granularity = i->physical_sector;
	if (!i->readonly && (f->flags & BLK_O_DISCARD)) {
		i->can_discard = knows_discard(f, BLKDISCARD);
		i->can_secure_discard = knows_discard(f, BLKSECDISCARD);
	}
}

static void learn_file(struct file *f, struct blk_info *i, uint64_t size)
{
	off_t past = (off_t)((size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
	struct stat st;

	i->physical_sector = PAGE_BYTES;
	if (fstat(f->fd, &st) == 0 && st.st_blksize >= (long)SECTOR_BYTES && st.st_blksize < (long)PAGE_BYTES)
		i->physical_sector = (uint32_t)st.st_blksize;
	i->discard_granularity = PAGE_BYTES;
	/* Beyond the end there is nothing to punch out: this only asks whether the file system knows how. */
	if (!i->readonly && (f->flags & BLK_O_DISCARD))
		i->can_discard = fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, past, PAGE_BYTES) == 0;
}

int file_resize(struct store *s, struct blk_info *ret)
{
	struct file *f = file_of(s);
	uint64_t size;
	int rc = size_of(f, &size);

	if (rc)
		return rc;
	__atomic_store_n(&f->size, size, __ATOMIC_RELAXED);
	s->info.sectors = size / SECTOR_BYTES;
	if (f->window)
		window_resize(f->window, f, size);
	*ret = s->info;
	return 0;
}

void file_close(struct store *s)
{
	struct file *f = file_of(s);

	window_free(f->window);
	pool_leave(f);
	pthread_mutex_destroy(&f->flushing);
	close(f->fd);
	free(f);
}

static const struct store_ops *choose_engine(struct file *f)
{
	const char *no = getenv("SYNTH_NO_URING");

	if (f->flags & BLK_O_MEMORY)
		return &store_inline_ops;
#ifdef HAVE_LIBURING
	if (!(no && *no && *no != '0') && store_uring_usable())
		return &store_uring_ops;
#endif
	(void)no;
	return &store_threads_ops;
}

int store_file_open(const struct blk_open *o, int fd, struct store **ret)
{
	struct file *f = calloc(1, sizeof(*f));
	struct blk_info *i;
	int rc, fl;

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	f->fd = fd;
	f->flags = o->flags;
	f->s.poisoned = o->flags & BLK_O_POISONED ? STORE_FLUSH_FAILED : STORE_SOUND;
	pthread_mutex_init(&f->flushing, NULL);
	pool_join(f);
	snprintf(f->s.name, sizeof(f->s.name), "%s", o->name);
	rc = size_of(f, &f->size);
	if (rc) {
		file_close(&f->s);
		return rc;
	}
	/*
	 * blkif speaks 512-byte sectors.  Where the image wants bigger ones for direct I/O, the page cache does the
	 * read-modify-write of the odd ends.
	 */
	if ((f->flags & BLK_O_DIRECT) && o->sector > SECTOR_BYTES) {
		fl = fcntl(fd, F_GETFL);
		if (fl < 0 || fcntl(fd, F_SETFL, fl & ~O_DIRECT) < 0) {
			rc = -errno;
			file_close(&f->s);
			return rc;
		}
		f->flags &= ~BLK_O_DIRECT;
		log_info("%s: the image has %u-byte sectors: using the page cache", o->name, o->sector);
	}
	i = &f->s.info;
	*i = (struct blk_info){
		.sectors = f->size / SECTOR_BYTES,
		.physical_sector = MAX(o->sector, SECTOR_BYTES),
		.can_flush = 1,
		.readonly = !!(o->flags & BLK_O_READONLY),
	};
	if (f->flags & BLK_O_BLOCKDEV)
		learn_blockdev(f, i);
	else
		learn_file(f, i, f->size);
	f->s.ops = choose_engine(f);
	if (f->s.ops == &store_inline_ops)
		f->window = window_new(f);
	snprintf(i->engine, sizeof(i->engine), "%s", f->s.ops->name);
	*ret = &f->s;
	return 0;
}

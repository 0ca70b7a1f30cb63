/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.c - opening what image-uri.c parsed; see image.h.  Runs on a job's thread. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "backend/block/image.h"

#define NBD_CONNECT_MS  5000
#define NBD_GREETING_MS 5000
#define SILENCE_MS      30000u /* a TCP peer that acknowledges nothing for so long is dead */

static int open_fault(const struct image_uri *u, bool readonly, int err, struct fault *f)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
		fault_set(f, FAULT_NOTFOUND, err, "%s does not exist", u->path);
		fault_next(f, "make it first, for example: truncate -s 10G %.150s", u->path);
		return err;
	case -EACCES:
	case -EPERM:
		fault_set(f, FAULT_PERMISSION, err, "no permission to open %s for %s", u->path,
			  readonly ? "reading" : "writing");
		fault_next(f, "give the daemon's user access to it%s", readonly ? "" : ", or attach read-only");
		return err;
	case -EROFS:
		fault_set(f, FAULT_PERMISSION, err, "%s is on a read-only file system", u->path);
		fault_next(f, "attach read-only");
		return err;
	case -EISDIR:
		return fault_set(f, FAULT_FAILED, err, "%s is a directory", u->path);
	case -EBUSY:
	case -ETXTBSY:
		fault_set(f, FAULT_BUSY, err, "%s is in use by this host (mounted, or held by another driver)",
			  u->path);
		fault_next(f, "see what holds it with: lsblk, fuser -v");
		return err;
	default:
		return fault_set(f, FAULT_FAILED, err, "cannot open %s: %s", u->path, strerror(-err));
	}
}

/* Bytes that direct I/O on @fd must be aligned to; 0 when it cannot be told or cannot be done. */
static uint32_t direct_alignment(int fd, const struct stat *st)
{
	void *page = NULL;
	uint32_t align = 0;
	int ssz;

	if (S_ISBLK(st->st_mode))
		return ioctl(fd, BLKSSZGET, &ssz) == 0 && ssz > 0 ? (uint32_t)ssz : 0;
	/* Ask the file system itself: statx's answer is newer than the kernels we run on. */
	if (posix_memalign(&page, PAGE_BYTES, PAGE_BYTES) != 0)
		return 0;
	if (pread(fd, page, SECTOR_BYTES, SECTOR_BYTES) >= 0)
		align = SECTOR_BYTES;
	else if (pread(fd, page, PAGE_BYTES, 0) >= 0)
		align = PAGE_BYTES;
	free(page);
	return align;
}

/* A block device's node mostly lives in memory (devtmpfs), which says nothing of the device. */
static bool in_memory(int fd, const struct stat *st)
{
	struct statfs fs;

	if (!S_ISREG(st->st_mode) || fstatfs(fd, &fs) < 0)
		return false;
	/* f_type is signed on some machines; the magics are 32 bits */
	switch ((uint32_t)fs.f_type) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
	case HUGETLBFS_MAGIC:
		return true;
	default:
		return false;
	}
}

static int image_size(int fd, const struct stat *st, uint64_t *ret)
{
	if (S_ISBLK(st->st_mode))
		return ioctl(fd, BLKGETSIZE64, ret) < 0 ? -errno : 0;
	*ret = (uint64_t)st->st_size;
	return 0;
}

static int check_size(const struct image_uri *u, uint64_t size, struct fault *f)
{
	if (size == 0) {
		fault_set(f, FAULT_FAILED, -EINVAL, "%s is empty", u->path);
		fault_next(f, "give it a size, for example: truncate -s 10G %.150s", u->path);
		return -EINVAL;
	}
	if (size % SECTOR_BYTES) {
		fault_set(f, FAULT_FAILED, -EINVAL, "%s has %llu bytes, which is not a multiple of 512", u->path,
			  (unsigned long long)size);
		fault_next(f, "round its size up: truncate -s %%512 %.150s", u->path);
		return -EINVAL;
	}
	return 0;
}

static int lock_image(const struct image_uri *u, int fd, bool readonly, struct fault *f)
{
#ifdef SYNTH_NO_FENCE
	return 0;
#endif
	if (flock(fd, (readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK) {
		fault_set(f, FAULT_BUSY, -EBUSY, "%s is locked by another process%s", u->path,
			  readonly ? " that may write to it" : "");
		fault_next(f, "see who holds it with: lslocks; a copy, or all users read-only, would work");
		return -EBUSY;
	}
	return fault_set(f, FAULT_FAILED, -errno, "cannot lock %s: %s", u->path, strerror(errno));
}

static int open_mode(const struct image_uri *u, bool readonly, bool direct, const struct stat *st)
{
	int flags = (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd;

	/* On a block device O_EXCL means: not while it is mounted or part of something; nor while a dead worker's I/O has it. */
#ifndef SYNTH_NO_FENCE
	if (S_ISBLK(st->st_mode) && !readonly)
		flags |= O_EXCL;
#endif
	if (direct)
		flags |= O_DIRECT;
	fd = open(u->path, flags);
	return fd < 0 ? -errno : fd;
}

/* Direct if that is wanted and can serve every 512-byte request; else buffered, and why. */
static int open_cached(const struct image_uri *u, bool readonly, bool direct, const struct stat *st, struct image *im)
{
	uint32_t align;
	int fd;

	im->sector = SECTOR_BYTES;
	if (direct) {
		fd = open_mode(u, readonly, true, st);
		if (fd == -EINVAL) {
			snprintf(im->cache_why, sizeof(im->cache_why), "the file system has no direct I/O");
		} else if (fd < 0) {
			return fd;
		} else if (in_memory(fd, st)) {
			snprintf(im->cache_why, sizeof(im->cache_why), "the file lives in memory");
			close(fd);
		} else {
			align = direct_alignment(fd, st);
			if (align != 0 && align <= SECTOR_BYTES) {
				im->flags |= BLK_O_DIRECT;
				return fd;
			}
			if (align)
				snprintf(im->cache_why, sizeof(im->cache_why),
					 "direct I/O needs %u-byte alignment, guests may use 512", align);
			else
				snprintf(im->cache_why, sizeof(im->cache_why), "direct I/O does not work on it");
			close(fd);
		}
	}
	return open_mode(u, readonly, false, st);
}

/*
 * O_NONBLOCK was for the opening alone, so that nothing that has taken the image's place keeps us (a FIFO), nor a drive without a medium.
 * Left on, it is taken to mean that no transfer may sleep: where a file system knows no such transfers, io_uring refuses all of them.
 */
static int may_sleep(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

/* Two nodes of one block device are one thing. */
static void identify(const struct stat *st, uint64_t id[2])
{
	id[0] = S_ISBLK(st->st_mode) ? st->st_rdev : st->st_dev;
	id[1] = S_ISBLK(st->st_mode) ? UINT64_MAX : st->st_ino;
}

static int check_same(const struct image_uri *u, const uint64_t was[2], const struct stat *st, struct fault *f)
{
	uint64_t id[2];

	identify(st, id);
	if ((was[0] == 0 && was[1] == 0) || (was[0] == id[0] && was[1] == id[1]))
		return 0;
	fault_set(f, FAULT_FAILED, -ESTALE, "another file has taken the place of %s", u->path);
	fault_next(f, "put the one that the guest has back under its name, or detach it and attach the new one");
	return -ESTALE;
}

static int open_file(const struct image_uri *u, bool readonly, bool direct, const uint64_t was[2], struct image *im,
		     struct fault *f)
{
	uint64_t id[2];
	struct stat before, st;
	int fd, err;

	/* Look first: opening some device nodes has effects. */
	if (stat(u->path, &before) < 0)
		return open_fault(u, readonly, -errno, f);
	if (S_ISDIR(before.st_mode))
		return open_fault(u, readonly, -EISDIR, f);
	if (!S_ISREG(before.st_mode) && !S_ISBLK(before.st_mode))
		return fault_set(f, FAULT_FAILED, -EINVAL, "%s is neither a file nor a block device", u->path);

	err = check_same(u, was, &before, f);
	if (err < 0)
		return err;
	identify(&before, id);
	im->dev = id[0];
	im->ino = id[1];
	fd = open_cached(u, readonly, direct, &before, im);
	if (fd < 0)
		return open_fault(u, readonly, fd, f);
	if (fstat(fd, &st) < 0 || st.st_dev != before.st_dev || st.st_ino != before.st_ino) {
		close(fd);
		return fault_set(f, FAULT_FAILED, -EAGAIN, "%s was replaced while it was opened", u->path);
	}
	if (S_ISBLK(st.st_mode))
		im->flags |= BLK_O_BLOCKDEV;
	if (in_memory(fd, &st))
		im->flags |= BLK_O_MEMORY;
	if (readonly)
		im->flags |= BLK_O_READONLY;
	err = may_sleep(fd);
	if (err < 0)
		fault_set(f, FAULT_FAILED, err, "cannot prepare %s: %s", u->path, strerror(-err));
	else
		err = lock_image(u, fd, readonly, f);
	if (err == 0) {
		err = image_size(fd, &st, &im->size);
		err = err < 0 ? fault_set(f, FAULT_FAILED, err, "cannot tell the size of %s: %s", u->path,
					  strerror(-err))
			      : check_size(u, im->size, f);
	}
	if (err < 0) {
		close(fd);
		return err;
	}
	im->fd = fd;
	return 0;
}

/* connect() with an end: the descriptor is left blocking. */
static int connect_within(const struct sockaddr *sa, socklen_t len, int ms)
{
	struct pollfd p;
	socklen_t elen = sizeof(int);
	int err = 0, fd;

	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, sa, len) < 0) {
		if (errno != EINPROGRESS) {
			err = -errno;
		} else {
			p = (struct pollfd){ .fd = fd, .events = POLLOUT };
			if (poll(&p, 1, ms) <= 0)
				err = -ETIMEDOUT;
			else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &elen) < 0)
				err = -errno;
			else
				err = -err;
		}
	}
	if (err == 0 && fcntl(fd, F_SETFL, 0) < 0)
		err = -errno;
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

static int connect_unix(const struct image_uri *u, struct fault *f)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(u->path) >= sizeof(sa.sun_path))
		return fault_set(f, FAULT_USAGE, -ENAMETOOLONG, "the socket's path has more than %zu bytes",
				 sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, u->path, strlen(u->path) + 1);
	fd = connect_within((const struct sockaddr *)&sa, sizeof(sa), NBD_CONNECT_MS);
	if (fd < 0) {
		enum fault_code code = fd == -ENOENT ? FAULT_NOTFOUND : fd == -EACCES ? FAULT_PERMISSION : FAULT_FAILED;

		fault_set(f, code, fd, "cannot connect to the NBD server at %s: %s", u->path, strerror(-fd));
		fault_next(f, "start the NBD server first");
	}
	return fd;
}

/* A TCP peer that vanished without a word. */
static void notice_death(int fd)
{
	const unsigned int ms = SILENCE_MS;
	const int on = 1, idle_s = SILENCE_MS / 2000, every_s = 5;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

static int connect_tcp(const struct image_uri *u, struct fault *f)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *all, *a;
	int r, fd = -EHOSTUNREACH;

	r = getaddrinfo(u->host, u->port, &hints, &all);
	if (r != 0)
		return fault_set(f, FAULT_NOTFOUND, -ENOENT, "cannot find the NBD server %s: %s", u->host,
				 gai_strerror(r));
	for (a = all; a; a = a->ai_next) {
		fd = connect_within(a->ai_addr, a->ai_addrlen, NBD_CONNECT_MS);
		if (fd >= 0)
			break;
	}
	freeaddrinfo(all);
	if (fd >= 0) {
		notice_death(fd);
	} else {
		fault_set(f, fd == -ETIMEDOUT ? FAULT_TIMEOUT : FAULT_FAILED, fd,
			  "cannot connect to the NBD server %s port %s: %s", u->host, u->port, strerror(-fd));
		fault_next(f, "start the NBD server first");
	}
	return fd;
}

/* The server speaks first.  One that does not is waited for here, where nobody else waits: a worker has other disks. */
static int connect_nbd(const struct image_uri *u, struct fault *f)
{
	int fd = u->unix_socket ? connect_unix(u, f) : connect_tcp(u, f);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || poll(&p, 1, NBD_GREETING_MS) > 0)
		return fd;
	close(fd);
	fault_set(f, FAULT_TIMEOUT, -ETIMEDOUT, "the NBD server lets connect and says nothing");
	fault_next(f, "see what it waits for");
	return -ETIMEDOUT;
}

int image_open(const struct image_uri *u, bool readonly, bool direct, const uint64_t was[2], struct image *ret,
	       struct fault *f)
{
	struct image im = { .fd = -1, .sector = SECTOR_BYTES };
	int err = 0;

	switch (u->kind) {
	case BLK_STORE_FILE:
		err = open_file(u, readonly, direct, was, &im, f);
		if (err == -EBUSY) { /* the caller may know who */
			ret->dev = im.dev;
			ret->ino = im.ino;
		}
		break;
	case BLK_STORE_NBD:
		im.fd = connect_nbd(u, f);
		err = im.fd < 0 ? im.fd : 0;
		if (err == -EBUSY)
			err = -EIO;
		im.flags = readonly ? BLK_O_READONLY : 0;
		break;
	case BLK_STORE_NULL:
		im.size = u->size;
		im.flags = readonly ? BLK_O_READONLY : 0;
		break;
	}
	if (err < 0)
		return err;
	*ret = im;
	return 0;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool image_witness(int fd, int *witness)
{
	char path[40];

	/* Writes nothing back, only waits for what is on its way: there may be much, and it is not this one's to be told of. */
	if (*witness >= 0 && same_file(fd, *witness))
		return sync_file_range(*witness, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) < 0 &&
		       (errno == EIO || errno == ENOSPC);
	if (*witness >= 0)
		close(*witness);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*witness = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return false;
}

int image_look(const struct image_uri *u, const uint64_t was[2], struct fault *f)
{
	struct stat st;

	if (u->kind != BLK_STORE_FILE)
		return 0;
	if (stat(u->path, &st) < 0)
		return open_fault(u, true, -errno, f);
	return check_same(u, was, &st, f);
}

uint64_t image_file_bytes(const struct image_uri *u, const uint64_t was[2])
{
	uint64_t id[2];
	struct stat st;

	if (u->kind != BLK_STORE_FILE || stat(u->path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	identify(&st, id);
	return was[0] == id[0] && was[1] == id[1] ? (uint64_t)st.st_size : 0;
}

int image_resize(const struct image_uri *u, uint64_t size, const uint64_t was[2], struct fault *f)
{
	struct stat st;
	int fd, err = 0;

	if (u->kind != BLK_STORE_FILE)
		return fault_set(f, FAULT_USAGE, -EINVAL, "only file images can be given a size");
	if (size == 0 || size % SECTOR_BYTES)
		return fault_set(f, FAULT_USAGE, -EINVAL, "%llu bytes is not a positive multiple of 512",
				 (unsigned long long)size);
	fd = open(u->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return open_fault(u, false, -errno, f);
	if (fstat(fd, &st) < 0) {
		err = fault_set(f, FAULT_FAILED, -errno, "cannot look at %s: %s", u->path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		err = fault_set(f, FAULT_USAGE, -EINVAL, "%s is no regular file", u->path);
		fault_next(f, "resize it with its own tools (lvextend...), then resize without a size");
	} else if (check_same(u, was, &st, f) < 0) {
		err = -ESTALE;
	} else if (ftruncate(fd, (off_t)size) < 0) {
		err = fault_set(f, FAULT_FAILED, -errno, "cannot set the size of %s: %s", u->path, strerror(errno));
	}
	close(fd);
	return err;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * crash-preload.c - preloaded into a worker that writes by system calls: what it does to one image goes into a log.
 *
 *	CRASH_LOG=FILE CRASH_IMAGE=FILE    which, and whose; set before the worker starts
 *	CRASH_SYNC=lost|early              fdatasync() does nothing, or returns before it has
 *
 * The volatile cache is made up: what is written counts as lost in a crash until fdatasync() has returned.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/uio.h>
#include <time.h>
#include "tests/hostcrash/crash-log.h"

static struct crash_log *crash_log;
static dev_t image_dev;
static ino_t image_ino;
static const char *sync_how = "";

static ssize_t (*next_pwritev)(int, const struct iovec *, int, off_t);
static int (*next_fdatasync)(int);
static int (*next_fallocate)(int, int, off_t, off_t);

static void __attribute__((constructor)) init(void)
{
	const char *log = getenv("CRASH_LOG"), *image = getenv("CRASH_IMAGE"), *how = getenv("CRASH_SYNC");
	struct stat st;

	*(void **)&next_pwritev = dlsym(RTLD_NEXT, "pwritev");
	*(void **)&next_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&next_fallocate = dlsym(RTLD_NEXT, "fallocate");
	if (!log || !image || stat(image, &st) < 0)
		return;
	image_dev = st.st_dev;
	image_ino = st.st_ino;
	sync_how = how ? how : "";
	crash_log = crash_log_open(log, false);
}

static bool ours(int fd)
{
	struct stat st;

	return crash_log && fstat(fd, &st) == 0 && st.st_dev == image_dev && st.st_ino == image_ino;
}

ssize_t pwritev(int fd, const struct iovec *iov, int nr, off_t at)
{
	struct crash_record *r;
	uint64_t id, bytes = 0, done = 0;
	ssize_t n;

	if (!ours(fd))
		return next_pwritev(fd, iov, nr, at);
	for (int i = 0; i < nr; i++)
		bytes += iov[i].iov_len;
	id = crash_log_id(crash_log);
	r = crash_log_begin(crash_log, id, (uint64_t)at, bytes, bytes);
	for (int i = 0; i < nr; done += iov[i++].iov_len)
		memcpy(r->data + done, iov[i].iov_base, iov[i].iov_len);
	crash_log_end(r, STORE_WRITES);
	n = next_pwritev(fd, iov, nr, at);
	if (n == (ssize_t)bytes) /* else it never counts as done, whatever part of it was */
		crash_log_add(crash_log, STORE_DID, id, 0, 0);
	return n;
}

int fallocate(int fd, int mode, off_t at, off_t bytes)
{
	uint64_t id;
	int rc;

	if (!ours(fd))
		return next_fallocate(fd, mode, at, bytes);
	id = crash_log_id(crash_log);
	crash_log_add(crash_log, STORE_TRIMS, id, (uint64_t)at, (uint64_t)bytes);
	rc = next_fallocate(fd, mode, at, bytes);
	if (rc == 0)
		crash_log_add(crash_log, STORE_DID, id, 0, 0);
	return rc;
}

int fdatasync(int fd)
{
	uint64_t id;
	int rc;

	if (!ours(fd))
		return next_fdatasync(fd);
	if (strcmp(sync_how, "lost") == 0)
		return 0;
	id = crash_log_id(crash_log);
	crash_log_add(crash_log, STORE_SYNCS, id, 0, 0);
	rc = next_fdatasync(fd);
	if (rc == 0)
		crash_log_add(crash_log, STORE_SYNCED, id, 0, 0);
	return rc;
}

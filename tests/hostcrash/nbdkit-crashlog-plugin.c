/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nbdkit-crashlog-plugin.c - an NBD disk with a volatile cache, which tells in a log (crash-log.h) what happens to it.
 *
 *	nbdkit ./nbdkit-crashlog-plugin.so log=FILE [size=BYTES] [flush=yes|lost|early]
 *
 * flush=lost: an answer to each flush and nothing done.  flush=early: done, but answered before.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "tests/hostcrash/crash-log.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static struct crash_log *crash_log;
static int64_t size = 2 << 20;
static uint8_t *image;
static const char *flush_how = "yes";

static int crash_config(const char *key, const char *value)
{
	if (strcmp(key, "log") == 0) {
		crash_log = crash_log_open(value, false);
		if (!crash_log)
			nbdkit_error("cannot open %s: %m", value);
		return crash_log ? 0 : -1;
	}
	if (strcmp(key, "size") == 0) {
		size = nbdkit_parse_size(value);
		return size < 0 ? -1 : 0;
	}
	if (strcmp(key, "flush") == 0) {
		flush_how = nbdkit_strdup_intern(value);
		return flush_how ? 0 : -1;
	}
	nbdkit_error("%s=: no such parameter", key);
	return -1;
}

static int crash_config_complete(void)
{
	image = crash_log ? calloc(1, (size_t)size) : NULL;
	if (!image)
		nbdkit_error("log= is needed");
	return image ? 0 : -1;
}

static void *crash_open(int readonly)
{
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t crash_get_size(void *handle)
{
	return size;
}

static int yes(void *handle)
{
	return 1;
}

/* Up to 2 ms, so that there is something to overtake. */
static void dawdle(uint64_t id)
{
	uint64_t x = id * 0x9e3779b97f4a7c15u;
	struct timespec t = { 0, (long)(x >> 40) % 2000000 };

	if (x >> 62 == 0)
		nanosleep(&t, NULL);
}

static int crash_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	memcpy(buf, image + offset, count);
	return 0;
}

static int crash_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	uint64_t id = crash_log_id(crash_log);
	struct crash_record *r = crash_log_begin(crash_log, id, offset, count, count);

	memcpy(r->data, buf, count);
	crash_log_end(r, STORE_WRITES);
	dawdle(id);
	memcpy(image + offset, buf, count);
	crash_log_add(crash_log, STORE_DID, id, 0, 0);
	return 0;
}

static int crash_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	uint64_t id = crash_log_id(crash_log);

	crash_log_add(crash_log, STORE_TRIMS, id, offset, count);
	dawdle(id);
	memset(image + offset, 0, count);
	crash_log_add(crash_log, STORE_DID, id, 0, 0);
	return 0;
}

static void *sync_now(void *arg)
{
	uint64_t id = (uintptr_t)arg;
	struct timespec ms = { 0, 1000000 };

	dawdle(id);
	if (flush_how[0] == 'e')
		nanosleep(&ms, NULL);
	crash_log_add(crash_log, STORE_SYNCED, id, 0, 0);
	return NULL;
}

static int crash_flush(void *handle, uint32_t flags)
{
	uint64_t id = crash_log_id(crash_log);
	pthread_t later;

	if (strcmp(flush_how, "lost") == 0)
		return 0;
	crash_log_add(crash_log, STORE_SYNCS, id, 0, 0);
	if (strcmp(flush_how, "early") != 0)
		sync_now((void *)(uintptr_t)id);
	else if (pthread_create(&later, NULL, sync_now, (void *)(uintptr_t)id) == 0)
		pthread_detach(later);
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "crashlog",
	.longname = "disk that logs for a crash of its host",
	.config = crash_config,
	.config_complete = crash_config_complete,
	.magic_config_key = "log",
	.open = crash_open,
	.get_size = crash_get_size,
	.can_write = yes,
	.can_flush = yes,
	.can_trim = yes,
	.can_multi_conn = yes,
	.pread = crash_pread,
	.pwrite = crash_pwrite,
	.flush = crash_flush,
	.trim = crash_trim,
};

NBDKIT_REGISTER_PLUGIN(plugin)

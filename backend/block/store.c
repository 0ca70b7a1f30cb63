/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store.c - from what WIRE_OPEN says to the store that serves it. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "backend/block/store.h"
#include "common/log/log.h"

/*
 * libnbd and what it drags in stay out of workers that do not need them: the store is a module, and this the only
 * place where a worker loads anything.  From the build tree ($SYNTH_LIBDIR) or the installed one.
 */
static int open_nbd(const struct blk_open *o, int fd, struct store **ret)
{
	const char *dir = getenv("SYNTH_LIBDIR");
	int (*open)(const struct blk_open *, int, struct store **);
	char path[512];
	void *so = NULL;

	if (dir) {
		snprintf(path, sizeof(path), "%s/backend/.libs/synth-store-nbd.so", dir);
		so = dlopen(path, RTLD_NOW);
	}
	if (!so)
		so = dlopen(SYNTH_LIBDIR "/synth-store-nbd.so", RTLD_NOW);
	if (!so) {
		log_error("%s: cannot load the NBD store: %s", o->name, dlerror());
		close(fd);
		return -ENOENT;
	}
	*(void **)&open = dlsym(so, "synth_store_nbd_open"); /* stays loaded for the life of the process */
	if (!open) {
		close(fd);
		return -ELIBBAD;
	}
	return open(o, fd, ret);
}

int store_image_open(const struct blk_open *o, const int *fds, uint32_t nr_fds, struct store **ret)
{
	uint32_t need = o->kind == BLK_STORE_NULL ? 0 : 1;

	if (nr_fds != need || o->kind > BLK_STORE_NULL || !memchr(o->name, 0, sizeof(o->name)) ||
	    !memchr(o->export, 0, sizeof(o->export))) {
		for (uint32_t i = 0; i < nr_fds; i++)
			close(fds[i]);
		return -EINVAL;
	}
	switch (o->kind) {
	case BLK_STORE_FILE:
		return store_file_open(o, fds[0], ret);
	case BLK_STORE_NBD:
		return open_nbd(o, fds[0], ret);
	default:
		return store_null_open(o, ret);
	}
}

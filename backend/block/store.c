/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store.c - from what WIRE_OPEN says to the store that serves it. */
#include "config.h"
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/block/store-file.h"
#include "common/log/log.h"

#define RINGS 32u /* kernel rings of one worker: its queues that have one at a time */

/*
 * The NBD store is a module: a build without libnbd, or a host without it, has workers too, and a worker whose guest has no such
 * disk starts without it.
 */
static int (*nbd_open)(const struct blk_open *, int, struct store **);

static void *open_module(void)
{
	static const char *const below[] = { "", "/backend/.libs" }; /* installed elsewhere; the build tree */
	const char *dir = getenv("SYNTH_LIBDIR");
	char path[512];
	void *so = NULL;

	for (size_t i = 0; dir && !so && i < ARRAY_SIZE(below); i++) {
		snprintf(path, sizeof(path), "%s%s/synth-store-nbd.so", dir, below[i]);
		so = dlopen(path, RTLD_NOW);
	}
	return so ? so : dlopen(SYNTH_LIBDIR "/synth-store-nbd.so", RTLD_NOW);
}

/* What is only read of a library is in its file: drop it here, and what is needed comes back. */
static int drop_clean(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	for (uint32_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t lo = (info->dlpi_addr + h->p_vaddr) & ~(uintptr_t)(PAGE_BYTES - 1);
		uintptr_t hi = (info->dlpi_addr + h->p_vaddr + h->p_memsz) & ~(uintptr_t)(PAGE_BYTES - 1);

		if (h->p_type == PT_LOAD && !(h->p_flags & PF_W) && hi > lo)
			madvise((void *)lo, hi - lo, MADV_DONTNEED);
	}
	return 0;
}

/* libnbd and its twenty libraries are 5 MiB, nearly all of it never used, and most of the time that a worker takes to start. */
static void load_nbd(void)
{
	void *so = open_module();

	if (so)
		*(void **)&nbd_open = dlsym(so, "synth_store_nbd_open"); /* stays loaded for the life of the process */
	else
		log_debug("no NBD store: %s", dlerror());
	dl_iterate_phdr(drop_clean, NULL);
}

/* A store's own thread may find out at any time, also while the mark is taken away. */
static pthread_mutex_t poison_lock = PTHREAD_MUTEX_INITIALIZER;

bool store_poison(struct store *s, enum store_poison why)
{
	bool worse;

	pthread_mutex_lock(&poison_lock);
	worse = s->poisoned < why;
	if (worse && s->poison_mark) /* first: who sees the other may tell the guest */
		__atomic_store_n(s->poison_mark, why, __ATOMIC_RELEASE);
	if (worse)
		__atomic_store_n(&s->poisoned, why, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&poison_lock);
	return worse;
}

void store_poison_mark(struct store *s, uint32_t *mark)
{
	pthread_mutex_lock(&poison_lock);
	s->poison_mark = mark;
	if (mark && *mark && !s->poisoned)
		__atomic_store_n(&s->poisoned, STORE_FLUSH_FAILED, __ATOMIC_RELEASE);
	if (mark)
		__atomic_store_n(mark, s->poisoned, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&poison_lock);
}

void store_prepare(uint32_t parts)
{
	const char *no = getenv("SYNTH_NO_URING");

	if (parts & BLK_PART_NBD)
		load_nbd();
#ifdef HAVE_LIBURING
	if (!(no && *no && *no != '0'))
		store_uring_prepare(RINGS);
#endif
	(void)no;
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
		if (nbd_open)
			return nbd_open(o, fds[0], ret);
		log_error("%s: there is no NBD store: synth-store-nbd.so is not installed, or cannot be loaded",
			  o->name);
		close(fds[0]);
		return -ENOENT;
	default:
		return store_null_open(o, ret);
	}
}

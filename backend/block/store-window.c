/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-window.c - see store-window.h.
 *
 * The guard: a thread about to touch the mapping notes the range and a place to jump to in thread-local memory.
 * SIGBUS inside that range by that thread jumps there; any other SIGBUS is what it would have been without us.
 * Nothing is held across the copy (no lock, no allocation), so leaving it by a jump leaks nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "backend/block/store-file.h"
#include "backend/block/store-window.h"

#define MAX_MAPS 64u /* resizes one attachment may see; after that the new part goes by preadv */

struct window {
	char *base;    /* the current mapping; atomic */
	uint64_t size; /* bytes of the smallest current view; atomic, never more than is mapped at base */
	struct {
		char *base;
		uint64_t size;
	} maps[MAX_MAPS];
	uint32_t nr_maps;
};

static __thread struct {
	sigjmp_buf back;
	const char *lo, *hi;
	volatile sig_atomic_t active;
} guard;

static void on_sigbus(int sig, siginfo_t *si, void *context)
{
	const char *at = si->si_addr;

	if (guard.active && at >= guard.lo && at < guard.hi) {
		guard.active = 0;
		siglongjmp(guard.back, 1);
	}
	signal(SIGBUS, SIG_DFL); /* not ours: the instruction runs again and dies as it should */
}

static void install_guard(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, NULL);
}

static bool has_holes(const struct file *f)
{
	struct stat st;

	return fstat(f->fd, &st) < 0 || (uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size;
}

static int map(struct window *w, struct file *f, uint64_t size)
{
	int prot = f->flags & BLK_O_READONLY ? PROT_READ : PROT_READ | PROT_WRITE;
	char *p;

	if (w->nr_maps == MAX_MAPS || size == 0)
		return -ENOSPC;
	p = mmap(NULL, size, prot, MAP_SHARED, f->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	w->maps[w->nr_maps].base = p;
	w->maps[w->nr_maps++].size = size;
	/* A reader that sees the new size must see the new base: see window_transfer(). */
	__atomic_store_n(&w->base, p, __ATOMIC_RELEASE);
	__atomic_store_n(&w->size, size, __ATOMIC_RELEASE);
	return 0;
}

struct window *window_new(struct file *f)
{
	struct window *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	f->sparse = has_holes(f);
	if (map(w, f, f->size)) {
		free(w);
		return NULL;
	}
	install_guard(); /* each time: whoever took the signal since, it is ours while a window is open */
	return w;
}

void window_free(struct window *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->nr_maps; i++)
		munmap(w->maps[i].base, w->maps[i].size);
	free(w);
}

void window_resize(struct window *w, struct file *f, uint64_t size)
{
	file_note_discard(f); /* what was added is a hole; the next recheck looks */
	if (size > __atomic_load_n(&w->size, __ATOMIC_RELAXED))
		(void)(map(w, f, size) == 0);
}

void window_recheck(struct window *w, struct file *f)
{
	if (__atomic_load_n(&f->sparse, __ATOMIC_RELAXED) && !has_holes(f))
		__atomic_store_n(&f->sparse, false, __ATOMIC_RELAXED);
}

bool window_usable(const struct window *w, const struct file *f)
{
	return !__atomic_load_n(&f->sparse, __ATOMIC_RELAXED);
}

/*
 * A page is read before it is written for the first time: a read fault maps its neighbours too (16 pages, writable
 * in a mapping like this one), a write fault just the one page.
 */
static void copy(struct store_io *io, char *at)
{
	for (uint32_t i = 0; i < io->nr_iov; i++) {
		if (io->op == STORE_READ) {
			memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
		} else {
			(void)*(volatile char *)at;
			memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
		}
		at += io->iov[i].iov_len;
	}
}

bool window_transfer(const struct window *w, struct store_io *io)
{
	/* Size first: its mapping's base was stored before it, and bases only ever get longer mappings. */
	uint64_t size = __atomic_load_n(&w->size, __ATOMIC_ACQUIRE);
	char *base = __atomic_load_n(&w->base, __ATOMIC_ACQUIRE);

	if (io->offset > size || io->bytes > size - io->offset)
		return false;
	guard.lo = base + io->offset;
	guard.hi = guard.lo + io->bytes;
	if (sigsetjmp(guard.back, 0) == 0) {
		guard.active = 1;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		copy(io, base + io->offset);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		guard.active = 0;
		io->result = 0;
	} else {
		io->result = -EIO;
	}
	return true;
}

void window_idle(struct window *w)
{
	for (uint32_t i = 0; i < w->nr_maps; i++)
		madvise(w->maps[i].base, w->maps[i].size, MADV_DONTNEED);
}

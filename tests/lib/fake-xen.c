/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-xen.c - see fake-xen.h. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/lib/fake-xen.h"

struct grant {
	uint32_t unused;
};
struct evtchn {
	int fd; /* an eventfd */
};
struct grant_cache {
	uint32_t limit, mapped;
	uint8_t *page[FAKE_PAGES]; /* NULL: not mapped */
	bool used[FAKE_PAGES];
};

static int memory_fd = -1;
static uint8_t *memory;
static uint32_t mapped;
static uint64_t notified;

uint8_t *fake_memory(void)
{
	if (memory)
		return memory;
	memory_fd = memfd_create("guest", MFD_CLOEXEC);
	if (memory_fd < 0 || ftruncate(memory_fd, FAKE_PAGES * PAGE_BYTES) < 0)
		abort();
	memory = mmap(NULL, FAKE_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (memory == MAP_FAILED)
		abort();
	return memory;
}

uint32_t fake_mapped(void)
{
	return __atomic_load_n(&mapped, __ATOMIC_RELAXED);
}

uint64_t fake_notified(void)
{
	return __atomic_load_n(&notified, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ grants */

int grant_open(struct grant **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void grant_close(struct grant *g)
{
	free(g);
}

void grant_limit(struct grant *g, uint32_t pages)
{
}

void grant_used(const struct grant *g, struct grant_use *u)
{
	*u = (struct grant_use){ .mapped = fake_mapped() };
}

int grant_map(struct grant *g, uint32_t domid, const uint32_t *refs, uint32_t nr, bool writable, void **ret)
{
	uint8_t *at;

	(void)fake_memory();
	if (nr == 0 || nr > GRANT_MAP_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < nr; i++)
		if (refs[i] >= FAKE_PAGES)
			return -EINVAL;
	at = mmap(NULL, nr * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	for (uint32_t i = 0; i < nr; i++)
		if (mmap(at + i * PAGE_BYTES, PAGE_BYTES, PROT_READ | (writable ? PROT_WRITE : 0),
			 MAP_SHARED | MAP_FIXED, memory_fd, (off_t)refs[i] * PAGE_BYTES) == MAP_FAILED)
			abort();
	__atomic_add_fetch(&mapped, nr, __ATOMIC_RELAXED);
	*ret = at;
	return 0;
}

int grant_unmap(struct grant *g, void *addr, uint32_t nr)
{
	__atomic_sub_fetch(&mapped, nr, __ATOMIC_RELAXED);
	return munmap(addr, nr * PAGE_BYTES) < 0 ? -errno : 0;
}

int grant_copy(struct grant *g, uint32_t domid, struct grant_seg *segs, uint32_t nr)
{
	int first = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct grant_seg *s = &segs[i];
		uint8_t *at = fake_memory() + (size_t)s->ref * PAGE_BYTES + s->offset;

		s->status = s->ref >= FAKE_PAGES || s->bytes == 0 || (uint32_t)s->offset + s->bytes > PAGE_BYTES
				    ? -EINVAL
				    : 0;
		if (s->status == 0)
			memcpy(s->to_guest ? at : s->local, s->to_guest ? s->local : at, s->bytes);
		else if (!first)
			first = s->status;
	}
	return first;
}

int grant_cache_new(struct grant *g, uint32_t domid, uint32_t limit, struct grant_cache **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->limit = limit;
	return 0;
}

static void drop(struct grant_cache *c, uint32_t ref)
{
	(void)grant_unmap(NULL, c->page[ref], 1);
	c->page[ref] = NULL;
	c->mapped--;
}

void grant_cache_free(struct grant_cache *c)
{
	for (uint32_t i = 0; c && i < FAKE_PAGES; i++)
		if (c->page[i])
			drop(c, i);
	free(c);
}

int grant_cache_get(struct grant_cache *c, uint32_t ref, void **ret)
{
	void *p;
	int rc;

	if (ref >= FAKE_PAGES)
		return -EINVAL;
	if (c->used[ref])
		return -EBUSY;
	if (!c->page[ref]) {
		if (c->mapped == c->limit)
			return -ENOSPC;
		rc = grant_map(NULL, 0, &ref, 1, true, &p);
		if (rc)
			return rc;
		c->page[ref] = p;
		c->mapped++;
	}
	c->used[ref] = true;
	*ret = c->page[ref];
	return 0;
}

void grant_cache_put(struct grant_cache *c, uint32_t ref)
{
	c->used[ref] = false;
}

uint32_t grant_cache_trim(struct grant_cache *c, uint64_t now, uint64_t idle_ns)
{
	return 0;
}

bool grant_cache_full(const struct grant_cache *c)
{
	return c->mapped == c->limit;
}

uint32_t grant_cache_mapped(const struct grant_cache *c)
{
	return c->mapped;
}

/* ------------------------------------------------------------------ event channels */

int evtchn_adopt(int fd, struct evtchn **ret)
{
	struct evtchn *e = calloc(1, sizeof(*e));

	if (!e) {
		close(fd);
		return -ENOMEM;
	}
	e->fd = fd;
	*ret = e;
	return 0;
}

void evtchn_close(struct evtchn *e)
{
	if (e)
		close(e->fd);
	free(e);
}

int evtchn_fd(const struct evtchn *e)
{
	return e->fd;
}

int evtchn_notify(struct evtchn *e, uint32_t port)
{
	__atomic_add_fetch(&notified, 1, __ATOMIC_RELAXED);
	return 0;
}

int evtchn_next(struct evtchn *e)
{
	uint64_t n;

	return read(e->fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? 1 : -EAGAIN;
}

int evtchn_unmask(struct evtchn *e, uint32_t port)
{
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pair.c - see pair.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "backend/control/wire.h"
#include "backend/net/pair-ring.h"
#include "backend/net/pair.h"
#include "common/base/list.h"

#define NAME_BYTES 160u

struct pair;

struct pair_end {
	struct pair *pair;
	bool used;
	char name[NAME_BYTES], number[NAME_BYTES], peer[NAME_BYTES];
	int fds[2 + WIRE_MAX_QUEUES]; /* memory out, memory in, and a bell a queue: NET_LINK_PAIR */
};

struct pair {
	struct list link;
	uint32_t nr; /* fds of an end */
	struct pair_end end[2];
};

static struct list pairs = { &pairs, &pairs };

static bool named(const struct pair_end *e, const char *text)
{
	return strcmp(text, e->name) == 0 || strcmp(text, e->number) == 0;
}

static void pair_free(struct pair *p)
{
	for (uint32_t i = 0; i < p->nr; i++)
		for (int k = 0; k < 2; k++)
			close(p->end[k].fds[i]);
	list_del(&p->link);
	free(p);
}

/* Memory of one direction.  Neither worker can take any of it away from the other. */
static int new_memory(uint32_t queues)
{
	int fd = memfd_create("synth-pair", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, PAIR_RING_HEAD + (off_t)queues * PAIR_RING_SIZE) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static void set_fds(struct pair *p, int a, int b)
{
	p->end[0].fds[p->nr] = a;
	p->end[1].fds[p->nr] = b;
	p->nr++;
}

static int pair_new(uint32_t queues, struct pair **ret)
{
	struct pair *p = calloc(1, sizeof(*p));
	int memory[4] = { -1, -1, -1, -1 }, err = 0;

	if (!p)
		return -ENOMEM;
	list_init(&p->link);
	p->end[0].pair = p->end[1].pair = p;
	for (int k = 0; k < 4 && err == 0; k++) {
		memory[k] = k < 2 ? new_memory(queues) : fcntl(memory[k - 2], F_DUPFD_CLOEXEC, 3);
		if (memory[k] < 0)
			err = k < 2 ? memory[k] : -errno;
	}
	if (err == 0) { /* what goes out of one comes into the other */
		set_fds(p, memory[0], memory[1]);
		set_fds(p, memory[3], memory[2]);
	}
	for (uint32_t i = 0; i < queues && err == 0; i++) {
		int sv[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
			err = -errno;
		else
			set_fds(p, sv[0], sv[1]);
	}
	for (int k = 0; k < 4 && p->nr == 0; k++)
		if (memory[k] >= 0)
			close(memory[k]);
	if (err < 0) {
		pair_free(p);
		return err;
	}
	list_add_tail(&pairs, &p->link);
	*ret = p;
	return 0;
}

static void take(struct pair_end *e, const char *name, const char *number, const char *peer)
{
	e->used = true;
	snprintf(e->name, sizeof(e->name), "%s", name);
	snprintf(e->number, sizeof(e->number), "%s", number);
	snprintf(e->peer, sizeof(e->peer), "%s", peer);
}

/* 1: *ret is the end beside that of @peer; 0: @peer is not there. */
static int join(const char *name, const char *number, const char *peer, struct pair_end **ret)
{
	struct pair *p;

	list_for_each (p, &pairs, link) {
		for (int k = 0; k < 2; k++) {
			struct pair_end *other = &p->end[k], *e = &p->end[1 - k];

			if (!other->used || !named(other, peer))
				continue;
			if (e->used || (strcmp(other->peer, name) != 0 && strcmp(other->peer, number) != 0))
				return -EBUSY;
			take(e, name, number, peer);
			*ret = e;
			return 1;
		}
	}
	return 0;
}

int pair_get(const char *name, const char *number, const char *peer, uint32_t queues, struct pair_end **ret)
{
	struct pair *p;
	int err = join(name, number, peer, ret);

	if (err != 0)
		return err < 0 ? err : 0;
	err = pair_new(queues, &p);
	if (err < 0)
		return err;
	take(&p->end[0], name, number, peer);
	*ret = &p->end[0];
	return 0;
}

/* Memory out, memory in, our bells, theirs. */
uint32_t pair_keep(const struct pair_end *e, int fds[WIRE_MAX_FDS])
{
	const struct pair_end *other = &e->pair->end[e == &e->pair->end[0]];
	uint32_t nr = e->pair->nr, bells = nr - 2;

	_Static_assert(2 + 2 * WIRE_MAX_QUEUES <= WIRE_MAX_FDS, "all descriptors of a pair go into a message");
	memcpy(fds, e->fds, nr * sizeof(int));
	memcpy(fds + nr, other->fds + 2, bells * sizeof(int));
	return nr + bells;
}

/* Not what a worker made itself, and could take away from the other. */
static bool is_memory(int fd, uint32_t queues)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size == PAIR_RING_HEAD + (off_t)queues * PAIR_RING_SIZE &&
	       fcntl(fd, F_GET_SEALS) == seals;
}

static int pair_again(const int *fds, uint32_t bells, struct pair **ret)
{
	struct pair *p = calloc(1, sizeof(*p));
	int out = fcntl(fds[1], F_DUPFD_CLOEXEC, 3), in = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);

	if (!p || out < 0 || in < 0) {
		free(p);
		if (out >= 0)
			close(out);
		if (in >= 0)
			close(in);
		return -ENOMEM;
	}
	list_init(&p->link);
	p->end[0].pair = p->end[1].pair = p;
	set_fds(p, fds[0], out);
	set_fds(p, fds[1], in);
	for (uint32_t i = 0; i < bells; i++)
		set_fds(p, fds[2 + i], fds[2 + bells + i]);
	list_add_tail(&pairs, &p->link);
	*ret = p;
	return 0;
}

int pair_taken(const char *name, const char *number, const char *peer, const int *fds, uint32_t nr,
	       struct pair_end **ret)
{
	uint32_t bells = (nr - 2) / 2;
	struct pair *p;
	int err;

	if (nr < 4 || nr % 2 || bells > WIRE_MAX_QUEUES || !is_memory(fds[0], bells) || !is_memory(fds[1], bells))
		return -EPROTO;
	err = join(name, number, peer, ret);
	if (err == 1) /* the other nic had them too */
		for (uint32_t i = 0; i < nr; i++)
			close(fds[i]);
	if (err != 0)
		return err < 0 ? err : 0;
	err = pair_again(fds, bells, &p);
	if (err < 0)
		return err;
	take(&p->end[0], name, number, peer);
	*ret = &p->end[0];
	return 0;
}

void pair_put(struct pair_end *e)
{
	if (!e)
		return;
	e->used = false;
	if (!e->pair->end[0].used && !e->pair->end[1].used)
		pair_free(e->pair);
}

uint32_t pair_fds(const struct pair_end *e, const int **fds)
{
	*fds = e->fds;
	return e->pair->nr;
}

bool pair_whole(const struct pair_end *e)
{
	return e->pair->end[0].used && e->pair->end[1].used;
}

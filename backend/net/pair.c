/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pair.c - see pair.h. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "backend/control/wire.h"
#include "backend/net/pair.h"
#include "common/base/list.h"

#define NAME_BYTES 160u
#define BUFFER     (4 << 20) /* bytes a queue and direction may hold */

struct pair;

struct pair_end {
	struct pair *pair;
	bool used;
	char name[NAME_BYTES], number[NAME_BYTES], peer[NAME_BYTES];
	int fds[WIRE_MAX_QUEUES];
};

struct pair {
	struct list link;
	uint32_t nr;
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

static int pair_new(uint32_t queues, struct pair **ret)
{
	struct pair *p = calloc(1, sizeof(*p));
	const int bytes = BUFFER;

	if (!p)
		return -ENOMEM;
	list_init(&p->link);
	p->end[0].pair = p->end[1].pair = p;
	for (uint32_t i = 0; i < queues; i++) {
		int sv[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0) {
			int err = -errno;

			pair_free(p);
			return err;
		}
		for (int k = 0; k < 2; k++) {
			/* More than the host's limit needs a right that a test may lack: less is slower, not wrong. */
			if (setsockopt(sv[k], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
				(void)setsockopt(sv[k], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
			p->end[k].fds[i] = sv[k];
		}
		p->nr++;
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

int pair_get(const char *name, const char *number, const char *peer, uint32_t queues, struct pair_end **ret)
{
	struct pair *p;
	int err;

	list_for_each (p, &pairs, link) {
		for (int k = 0; k < 2; k++) {
			struct pair_end *other = &p->end[k], *e = &p->end[1 - k];

			if (!other->used || !named(other, peer))
				continue;
			if (e->used || (strcmp(other->peer, name) != 0 && strcmp(other->peer, number) != 0))
				return -EBUSY;
			take(e, name, number, peer);
			*ret = e;
			return 0;
		}
	}
	err = pair_new(queues, &p);
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

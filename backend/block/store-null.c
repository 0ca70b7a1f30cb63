/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-null.c - reads zeroes, forgets writes: what the ring, grant and event paths cost by themselves.
 */
#include <errno.h>
#include <stdio.h>
#include "backend/block/store.h"

struct null_queue {
	struct store_queue q;
	struct store_list done;
};

static struct null_queue *null_of(struct store_queue *q)
{
	return container_of(q, struct null_queue, q);
}

static int null_queue_new(struct store *s, int event_fd, int control_fd, uint32_t depth, struct store_queue **ret)
{
	struct null_queue *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->q = (struct store_queue){ s, -1 };
	store_list_init(&n->done);
	*ret = &n->q;
	return 0;
}

static void null_queue_free(struct store_queue *q)
{
	free(null_of(q));
}

static void null_submit(struct store_queue *q, struct store_io *io)
{
	if (io->op == STORE_READ)
		for (uint32_t i = 0; i < io->nr_iov; i++)
			memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
	io->result = 0;
	store_list_add(&null_of(q)->done, io);
}

static void null_kick(struct store_queue *q)
{
}

static struct store_io *null_reap(struct store_queue *q)
{
	struct null_queue *n = null_of(q);
	struct store_io *l = n->done.head;

	store_list_init(&n->done);
	return l;
}

static bool null_ready(const struct store_queue *q)
{
	return container_of(q, const struct null_queue, q)->done.head;
}

static int null_resize(struct store *s, struct blk_info *ret)
{
	*ret = s->info;
	return 0;
}

static void null_close(struct store *s)
{
	free(s);
}

static const struct store_ops null_ops = {
	.name = "null",
	.batch = 16,
	.batch_bytes = 256u << 10,
	.queue_new = null_queue_new,
	.queue_free = null_queue_free,
	.submit = null_submit,
	.kick = null_kick,
	.reap = null_reap,
	.ready = null_ready,
	.resize = null_resize,
	.close = null_close,
};

int store_null_open(const struct blk_open *o, struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->ops = &null_ops;
	snprintf(s->name, sizeof(s->name), "%s", o->name);
	s->info = (struct blk_info){
		.sectors = o->size / SECTOR_BYTES,
		.physical_sector = SECTOR_BYTES,
		.can_flush = 1,
		.can_discard = !!(o->flags & BLK_O_DISCARD) && !(o->flags & BLK_O_READONLY),
		.discard_granularity = SECTOR_BYTES,
		.readonly = !!(o->flags & BLK_O_READONLY),
		.engine = "null",
	};
	*ret = s;
	return 0;
}

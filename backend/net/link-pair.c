/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link-pair.c - one end of a pair: rings in memory that the other guest's worker has mapped too (pair-ring.h), one each way
 * for each queue that there can be.
 *
 * The two guests need not use the same number of queues.  Queue k writes ring k; of the rings that come, a reader of N
 * queues gives its queue k the rings k, k + N, and so on, and says N in the memory it writes to, so that the other side knows
 * whose bell to ring: the socket of that queue.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "backend/net/link.h"
#include "backend/net/pair-ring.h"

/* A page in front of the rings that go out. */
struct pair_page {
	uint32_t readers; /* queues that its writer reads with: the other direction's */
};

struct pair_map { /* of all queues */
	struct link_queue *queues;
	uint8_t *out, *in;
	uint32_t nr, readers;
};

struct pair_queue {
	struct pair_map *map;
	uint32_t index, at; /* at: the ring to be read next */
	struct pair_out out;
	struct pair_in in[WIRE_MAX_QUEUES]; /* used: index, index + readers, ... */
} __attribute__((aligned(64)));

static size_t map_bytes(uint32_t nr)
{
	return PAIR_RING_HEAD + (size_t)nr * PAIR_RING_SIZE;
}

static struct pair_ring *ring(uint8_t *map, uint32_t k)
{
	return (struct pair_ring *)(void *)(map + PAIR_RING_HEAD + (size_t)k * PAIR_RING_SIZE);
}

static int map_one(int fd, uint32_t nr, uint8_t **ret)
{
	struct stat st;
	void *p;

	/* It is sealed: what is there stays there. */
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < map_bytes(nr))
		return -EINVAL;
	p = mmap(NULL, map_bytes(nr), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

static void let_go(struct pair_map *m)
{
	for (uint32_t i = 0; i < m->nr; i++) {
		free(m->queues[i].priv);
		m->queues[i].priv = NULL;
	}
	if (m->out)
		munmap(m->out, map_bytes(m->nr));
	if (m->in)
		munmap(m->in, map_bytes(m->nr));
	free(m);
}

int link_pair_init(struct link_queue *queues, uint32_t nr, const int memory[2])
{
	struct pair_map *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	m->queues = queues;
	m->nr = nr;
	rc = map_one(memory[0], nr, &m->out);
	if (rc == 0)
		rc = map_one(memory[1], nr, &m->in);
	for (uint32_t i = 0; i < nr && rc == 0; i++) {
		struct pair_queue *q = aligned_alloc(64, sizeof(*q));

		queues[i].priv = q;
		if (!q) {
			rc = -ENOMEM;
			break;
		}
		memset(q, 0, sizeof(*q));
		q->map = m;
		q->index = i;
	}
	if (rc < 0)
		let_go(m);
	return rc;
}

void link_pair_fini(struct link_queue *queues)
{
	struct pair_queue *q = queues[0].priv;

	if (q)
		let_go(q->map);
}

/* Ring the bell of the other side's queue @k.  It needs no second byte when it has one already. */
static void bell(const struct pair_queue *q, uint32_t k)
{
	static const char byte;

	(void)send(q->map->queues[k].fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* No thread uses a queue now. */
static void pair_connected(struct link_queue *queues, uint32_t nr, uint32_t nr_queues, uint32_t features)
{
	struct pair_queue *first = queues[0].priv;
	struct pair_map *m = first->map;

	m->readers = nr_queues;
	__atomic_store_n(&((struct pair_page *)(void *)m->out)->readers, nr_queues, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < nr; i++) {
		struct pair_queue *q = queues[i].priv;

		q->at = i;
		pair_out_attach(&q->out, ring(m->out, i));
		for (uint32_t k = 0; k < nr; k++)
			if (nr_queues > 0 && k % nr_queues == i)
				pair_in_attach(&q->in[k], ring(m->in, k));
		/* One before us may have taken a sleeper's flag away, and died before it rang. */
		if (nr_queues > 0)
			bell(q, i);
	}
}

/* Once: it has a byte a sleep, and a neighbour that was taken over may ring faster than we can read.  What is left wakes us again. */
static void pair_woke(struct link_queue *l)
{
	char bytes[256];

	(void)!recv(l->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

/* Whose bell is it that our ring @k is read by? */
static uint32_t reader_of(const struct pair_queue *q, uint32_t k)
{
	uint32_t n = __atomic_load_n(&((struct pair_page *)(void *)q->map->in)->readers, __ATOMIC_ACQUIRE);

	return n > 0 && n <= q->map->nr ? k % n : k;
}

static void pair_send(struct link_queue *l, struct link_frame *frames, uint32_t nr)
{
	struct pair_queue *q = l->priv;

	for (uint32_t i = 0; i < nr; i++)
		frames[i].rc = pair_out_put(&q->out, &frames[i].v, frames[i].data, frames[i].bytes);
	if (pair_out_publish(&q->out))
		bell(q, reader_of(q, q->index));
}

static bool pair_room(struct link_queue *l, uint32_t bytes)
{
	struct pair_queue *q = l->priv;

	return pair_out_fits(&q->out, MIN(bytes, PAIR_RING_FRAME_MAX));
}

static bool pair_arm_room(struct link_queue *l, uint32_t bytes)
{
	struct pair_queue *q = l->priv;

	return pair_out_arm(&q->out, MIN(bytes, PAIR_RING_FRAME_MAX));
}

static uint32_t next_ring(const struct pair_queue *q, uint32_t k)
{
	k += MAX(q->map->readers, 1u);
	return k < q->map->nr ? k : q->index;
}

static void release(const struct pair_queue *q, struct pair_in *in, uint32_t k)
{
	if (pair_in_release(in))
		bell(q, k); /* its writer is queue k */
}

/* From one ring as long as there is something, then from the next. */
static int pair_recv(struct link_queue *l, struct virtio_net_hdr *v, uint8_t *frame, uint32_t room)
{
	struct pair_queue *q = l->priv;
	uint32_t first = q->at;

	do {
		struct pair_in *in = &q->in[q->at];
		int n = pair_in_take(in, v, frame, room);

		if (n == 0 || pair_in_due(in)) {
			release(q, in, q->at);
			q->at = next_ring(q, q->at);
		}
		if (n != 0)
			return n;
	} while (q->at != first);
	return 0;
}

static void pair_forget(struct link_queue *l)
{
	struct pair_queue *q = l->priv;
	uint32_t k = q->index;

	do {
		pair_in_skip(&q->in[k]);
		release(q, &q->in[k], k);
		k = next_ring(q, k);
	} while (k != q->index);
}

static bool pair_peek(struct link_queue *l)
{
	struct pair_queue *q = l->priv;
	uint32_t k = q->index;

	do {
		if (pair_in_peek(&q->in[k]))
			return true;
		k = next_ring(q, k);
	} while (k != q->index);
	return false;
}

static bool pair_arm(struct link_queue *l)
{
	struct pair_queue *q = l->priv;
	uint32_t k = q->index;

	do {
		release(q, &q->in[k], k);
		if (pair_in_arm(&q->in[k]))
			return true;
		k = next_ring(q, k);
	} while (k != q->index);
	return false;
}

const struct link_ops link_pair_ops = {
	.offload = true,
	.connected = pair_connected,
	.send = pair_send,
	.recv = pair_recv,
	.forget = pair_forget,
	.peek = pair_peek,
	.arm = pair_arm,
	.room = pair_room,
	.arm_room = pair_arm_room,
	.woke = pair_woke,
};

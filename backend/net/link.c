/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.c - see link.h: the kinds, and the one that goes nowhere. */
#include <errno.h>
#include <unistd.h>
#include "backend/net/link.h"
#include "backend/net/net-rx.h"

/* Bytes thrown away at most when a guest connects: more than a socket holds, and no flood lasts for ever. */
#define STALE_MAX (8u << 20)

static void null_send(struct link_queue *l, struct link_frame *frames, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		frames[i].rc = 0;
}

static int null_recv(struct link_queue *l, struct virtio_net_hdr *v, uint8_t *frame, uint32_t room)
{
	return 0;
}

const struct link_ops link_null_ops = { .offload = true, .send = null_send, .recv = null_recv };

static const struct {
	const struct link_ops *ops;
	uint32_t shared; /* fds in front of the queues' own */
	uint32_t min_fds, max_fds;
} kinds[NET_NR_LINKS] = {
	[NET_LINK_NULL] = { &link_null_ops, 0, 0, 0 },
	[NET_LINK_TAP] = { &link_tap_ops, 0, 1, WIRE_MAX_QUEUES },
	[NET_LINK_PAIR] = { &link_pair_ops, 2, 3, WIRE_MAX_QUEUES + 2 },
	[NET_LINK_STREAM] = { &link_stream_ops, 0, 1, 1 },
};

int link_open(struct link *l, enum net_link_kind kind, const int *fds, uint32_t nr_fds)
{
	uint32_t shared;
	int rc = 0;

	memset(l, 0, sizeof(*l));
	if (kind >= NET_NR_LINKS || nr_fds < kinds[kind].min_fds || nr_fds > kinds[kind].max_fds) {
		for (uint32_t i = 0; i < nr_fds; i++)
			close(fds[i]);
		return -EINVAL;
	}
	shared = kinds[kind].shared;
	l->kind = kind;
	l->ops = kinds[kind].ops;
	l->nr = nr_fds ? nr_fds - shared : WIRE_MAX_QUEUES;
	for (uint32_t i = 0; i < WIRE_MAX_QUEUES; i++) {
		l->queues[i].fd = i + shared < nr_fds ? fds[i + shared] : -1;
		l->queues[i].ops = l->ops;
	}
	if (kind == NET_LINK_STREAM)
		rc = link_stream_init(&l->queues[0]);
	else if (kind == NET_LINK_PAIR)
		rc = link_pair_init(l->queues, l->nr, fds);
	for (uint32_t i = 0; i < shared; i++)
		close(fds[i]);
	if (rc < 0)
		link_close(l);
	return rc;
}

void link_close(struct link *l)
{
	if (l->kind == NET_LINK_STREAM)
		link_stream_fini(&l->queues[0]);
	else if (l->kind == NET_LINK_PAIR)
		link_pair_fini(l->queues);
	for (uint32_t i = 0; i < l->nr; i++) {
		if (l->queues[i].fd >= 0)
			close(l->queues[i].fd);
		l->queues[i].fd = -1;
	}
}

static void forget(struct link_queue *l)
{
	uint8_t *frame = malloc(LINK_HEADROOM + NET_RX_MAX_FRAME);
	struct virtio_net_hdr v;
	uint32_t bytes = 0;
	int rc = 1;

	while (frame && bytes < STALE_MAX && (rc > 0 || rc == -EMSGSIZE)) {
		rc = l->ops->recv(l, &v, frame + LINK_HEADROOM, NET_RX_MAX_FRAME);
		bytes += rc > 0 ? (uint32_t)rc : NET_RX_MAX_FRAME;
	}
	free(frame);
}

void link_connected(struct link *l, uint32_t nr_queues, uint32_t features, bool again)
{
	if (l->ops->connected)
		l->ops->connected(l->queues, l->nr, nr_queues, features);
	if (nr_queues == 0 || again)
		return;
	for (uint32_t i = 0; i < MIN(nr_queues, l->nr); i++) {
		if (l->ops->forget)
			l->ops->forget(&l->queues[i]);
		else
			forget(&l->queues[i]);
	}
}

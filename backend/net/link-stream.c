/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link-stream.c - a stream socket that carries frames with their length in front, 4 bytes, big endian: what passt,
 * and QEMU's "stream" network, speak.
 *
 * The guest waits a little when the socket is half full, so that a burst is not lost to a reader that is slow for a moment; half of it
 * holds more than a turn.  A frame the socket took a part of must go on where it stopped: the rest waits in `out`, and until it is gone nothing else
 * is sent; the queue's thread is woken when the socket takes more, since the guest may send nothing for long.  What comes is read in big pieces and handed out frame by frame.  A length no frame has means that the other
 * end is lost, and so is the link.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "backend/net/link.h"
#include "backend/net/net-rx.h"

#define IN_BYTES (2 * (NET_RX_MAX_FRAME + 4))

struct stream {
	uint32_t in_at, in_end;   /* unread bytes of in */
	uint32_t out_at, out_end; /* unsent bytes of out */
	int half;                 /* of what the socket holds */
	bool dead, has_room;      /* has_room: for this turn */
	uint8_t in[IN_BYTES], out[NET_RX_MAX_FRAME + 4];
};

int link_stream_init(struct link_queue *l)
{
	struct stream *s = calloc(1, sizeof(*s));
	socklen_t bytes = sizeof(s->half);

	if (!s)
		return -ENOMEM;
	l->priv = s;
	if (getsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &s->half, &bytes) < 0)
		return -errno;
	s->half /= 2;
	return 0;
}

void link_stream_fini(struct link_queue *l)
{
	free(l->priv);
	l->priv = NULL;
}

static int lost(struct link_queue *l, int err)
{
	struct stream *s = l->priv;

	s->dead = true;
	return err;
}

static int flush(struct link_queue *l)
{
	struct stream *s = l->priv;

	while (s->out_at < s->out_end) {
		ssize_t n = send(l->fd, s->out + s->out_at, s->out_end - s->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? -EAGAIN : lost(l, -errno);
		s->out_at += (uint32_t)n;
	}
	return 0;
}

static int send_one(struct link_queue *l, uint8_t *frame, uint32_t bytes)
{
	struct stream *s = l->priv;
	uint32_t length = htonl(bytes), total = bytes + (uint32_t)sizeof(length);
	ssize_t n;
	int rc;

	if (s->dead || total > sizeof(s->out))
		return s->dead ? -EPIPE : -EMSGSIZE;
	rc = flush(l);
	if (rc < 0)
		return rc;
	memcpy(frame - sizeof(length), &length, sizeof(length));
	n = send(l->fd, frame - sizeof(length), total, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : lost(l, -errno);
	s->out_at = 0;
	s->out_end = total - (uint32_t)n;
	memcpy(s->out, frame - sizeof(length) + n, s->out_end);
	return 0;
}

static void stream_send(struct link_queue *l, struct link_frame *frames, uint32_t nr)
{
	struct stream *s = l->priv;

	for (uint32_t i = 0; i < nr; i++)
		frames[i].rc = send_one(l, frames[i].data, frames[i].bytes);
	s->has_room = false; /* the next turn asks again */
}

/* A whole frame is there: its length; 0 not yet. */
static int whole(const struct stream *s)
{
	uint32_t length, have = s->in_end - s->in_at;

	if (have < sizeof(length))
		return 0;
	memcpy(&length, s->in + s->in_at, sizeof(length));
	length = ntohl(length);
	if (length < NET_MIN_FRAME || length > NET_RX_MAX_FRAME)
		return -EPROTO;
	return have - sizeof(length) >= length ? (int)length : 0;
}

static int stream_recv(struct link_queue *l, struct virtio_net_hdr *v, uint8_t *frame, uint32_t room)
{
	struct stream *s = l->priv;
	ssize_t n;
	int len;

	if (s->dead)
		return -EPIPE;
	(void)flush(l); /* its error is found again by what follows */
	len = whole(s);
	if (len == 0) {
		memmove(s->in, s->in + s->in_at, s->in_end - s->in_at);
		s->in_end -= s->in_at;
		s->in_at = 0;
		n = recv(l->fd, s->in + s->in_end, sizeof(s->in) - s->in_end, MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : lost(l, -errno);
		if (n == 0)
			return lost(l, -EPIPE);
		s->in_end += (uint32_t)n;
		len = whole(s);
	}
	if (len < 0)
		return lost(l, len);
	if (len == 0)
		return 0;
	s->in_at += 4;
	if ((uint32_t)len <= room)
		memcpy(frame, s->in + s->in_at, (size_t)len);
	s->in_at += (uint32_t)len;
	memset(v, 0, sizeof(*v));
	return (uint32_t)len <= room ? len : -EMSGSIZE;
}

static bool stream_room(struct link_queue *l, uint32_t bytes)
{
	struct stream *s = l->priv;
	int queued;

	if (!s->has_room && !s->dead)
		s->has_room = flush(l) == 0 && ioctl(l->fd, SIOCOUTQ, &queued) == 0 && queued < s->half;
	return s->has_room || s->dead; /* what is sent to the dead is lost at once */
}

static bool stream_owes(struct link_queue *l)
{
	const struct stream *s = l->priv;

	return s->out_at < s->out_end && !s->dead;
}

static void stream_woke(struct link_queue *l)
{
	(void)flush(l);
}

const struct link_ops link_stream_ops = {
	.offload = false,
	.send = stream_send,
	.recv = stream_recv,
	.room = stream_room,
	.owes = stream_owes,
	.woke = stream_woke,
	.arm_room = stream_room, /* nothing tells of room: the guest waits its time out */
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net.c - the network class: a nic's facts, its settings, its metrics.  What happens on its rings is in net-queue*.c. */
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "backend/net/net-queue.h"

#define POLL_MAX_US 10000u

static int net_open(struct device *d, const void *body, uint32_t bytes, const int *fds, uint32_t nr_fds, void *reply,
		    uint32_t *reply_bytes)
{
	struct net_dev *nic = NULL;
	struct net_info info;
	struct net_open o;
	int rc;

	if (bytes == sizeof(o))
		nic = calloc(1, sizeof(*nic));
	if (!nic) {
		for (uint32_t i = 0; i < nr_fds; i++)
			close(fds[i]);
		return bytes == sizeof(o) ? -ENOMEM : -EINVAL;
	}
	memcpy(&o, body, sizeof(o));
	rc = link_open(&nic->link, (enum net_link_kind)o.kind, fds, nr_fds);
	if (rc < 0) {
		free(nic);
		return rc;
	}
	if (!o.again)
		link_connected(&nic->link, 0, 0, false);
	pthread_mutex_init(&nic->lock, NULL);
	nic->dev = d;
	d->priv = nic;
	snprintf(d->name, sizeof(d->name), "%.*s", (int)sizeof(o.name) - 1, o.name);
	d->poll_max_ns = (uint64_t)MIN(o.poll_max_us, POLL_MAX_US) * 1000;
	info = (struct net_info){ .max_queues = nic->link.nr, .offload = nic->link.ops->offload };
	memcpy(reply, &info, sizeof(info));
	*reply_bytes = sizeof(info);
	return 0;
}

static void net_close(struct device *d)
{
	struct net_dev *nic = d->priv;

	net_trace_stop(&nic->trace);
	link_close(&nic->link);
	pthread_mutex_destroy(&nic->lock);
	free(nic);
}

static int net_connect(struct device *d, const struct wire_connect *c)
{
	struct net_dev *nic = d->priv;

	if (c->nr_rings != 2 || c->order != 0 || c->nr_queues > nic->link.nr || (c->features & ~NET_F_ALL))
		return -EINVAL;
	nic->features = c->features;
	if (!d->journal.resume) /* another guest, or the same one afresh: it says again what it wants */
		net_journal_of(nic)->mcast.used = 0;
	link_connected(&nic->link, c->nr_queues, c->features, d->journal.resume);
	return 0;
}

static void net_disconnected(struct device *d)
{
	struct net_dev *nic = d->priv;

	/* Else the guest is there all the time, and the other side of the link need not see that it is served by another. */
	if (!d->left)
		link_connected(&nic->link, 0, 0, false);
}

static int net_set(struct device *d, const void *body, uint32_t bytes)
{
	struct net_dev *nic = d->priv;
	struct net_set s;
	bool changed;

	if (bytes != sizeof(s))
		return -EINVAL;
	memcpy(&s, body, sizeof(s));
	pthread_mutex_lock(&nic->lock);
	/* The same again must not fill the bucket. */
	changed = s.rate_bytes != nic->rate.bytes || s.rate_usec != nic->rate.usec;
	if (changed) {
		net_rate_set(&nic->rate, s.rate_bytes, s.rate_usec, now_ns());
		__atomic_store_n(&nic->rates, nic->rates + 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&nic->lock);
	__atomic_store_n(&nic->limited, nic->rate.bytes != 0, __ATOMIC_RELAXED);
	__atomic_store_n(&nic->link_down, s.link_up == 0, __ATOMIC_RELAXED);
	__atomic_store_n(&nic->filtered, s.mcast_filtered != 0, __ATOMIC_RELAXED);
	/* Who waits for the old rate may sleep for a period of it. */
	for (uint32_t i = 0; changed && i < d->nr_queues; i++)
		queue_wake(&d->queues[i]);
	return 0;
}

static int net_trace(struct device *d, const struct wire_trace *t, int fd)
{
	struct net_dev *nic = d->priv;
	int rc = 0;

	pthread_mutex_lock(&nic->lock);
	if (fd >= 0)
		rc = net_trace_start(&nic->trace, fd, t->snaplen, t->max_bytes);
	else
		net_trace_stop(&nic->trace);
	pthread_mutex_unlock(&nic->lock);
	return rc;
}

void net_stats_add(struct net_stats *to, const struct net_stats *from)
{
#define X(name) to->name += STAT_GET(from->name);
	NET_STATS(X)
#undef X
}

static void net_stat(struct device *d, uint64_t now, struct metrics_out *o)
{
	struct net_dev *nic = d->priv;
	struct net_stats s = nic->past;

	for (uint32_t i = 0; i < d->nr_queues; i++) {
		const struct net_queue *n = d->queues[i].priv;

		net_stats_add(&s, &n->stats);
	}
#define X(name) metrics_put(o, #name, s.name);
	NET_STATS(X)
#undef X
	pthread_mutex_lock(&nic->lock);
	metrics_put(o, "mcast_addresses", net_journal_of(nic) ? net_mcast_nr(&net_journal_of(nic)->mcast) : 0);
	metrics_put(o, "tracing", nic->trace.on);
	metrics_put(o, "traced_packets", nic->trace.packets);
	pthread_mutex_unlock(&nic->lock);
}

static const struct sandbox_call calls[] = {
	SANDBOX_CALL(writev, "a trace"),
	SANDBOX_CALL_IF(prctl, "short sleeps", 0, 0, PR_SET_TIMERSLACK),
	SANDBOX_CALL(sendto, "stream, a pair's bell"),
	SANDBOX_CALL(recvfrom, "stream, a pair's bell"),
	SANDBOX_CALL_IF(getsockopt, "stream", 2, 0, SO_SNDBUF),
	SANDBOX_END,
};

static const struct sandbox_ioctl ioctls[] = {
	SANDBOX_IOCTL(SIOCOUTQ),
	SANDBOX_IOCTL(TUNSETOFFLOAD),
	SANDBOX_IOCTL(TUNSETQUEUE),
	SANDBOX_IOCTL(TUNSETCARRIER),
	SANDBOX_END,
};

static const struct sandbox_class sandbox = { calls, ioctls };

static const struct device_class net_class = {
	.name = "vif",
	.program = "synth-netd-worker",
	.sandbox = &sandbox,
	.open = net_open,
	.set = net_set,
	.trace = net_trace,
	.close = net_close,
	.journal_bytes = net_journal_bytes,
	.connect = net_connect,
	.disconnected = net_disconnected,
	.queue_open = net_queue_open,
	.queue_close = net_queue_close,
	.queue_start = net_queue_start,
	.turn = net_queue_turn,
	.peek = net_queue_peek,
	.peeks = 16, /* a TAP is read */
	.arm = net_queue_arm,
	.wait = net_queue_wait,
	.drained = net_queue_drained,
	.idle = net_queue_idle,
	.stat = net_stat,
};

const struct device_class *const worker_class = &net_class;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-queue.c - see net-queue.h: both ways joined, and the life of a queue. */
#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "backend/net/net-queue.h"

#define REST_NS \
	200000ull /* so long after the guest sent the last frame we look for another, also when the link is not to be read */
#define SLACK_NS 1000ul /* of the thread's timers */

static struct net_queue *of(const struct queue *q)
{
	return q->priv;
}

int net_queue_turn(struct queue *q, bool take)
{
	struct net_queue *n = of(q);
	bool tell_tx = false, tell_rx = false;
	uint64_t now;
	int tx, rx;

	if (!take) { /* its rings are halted or going away: nothing is looked at, not even the link */
		n->poll_link = false;
		return 0;
	}
	now = now_ns();
	tx = net_queue_tx(n, now, &tell_tx);
	rx = net_queue_rx(n, now, &tell_rx);
	if (tx > 0)
		n->sent_at = now;
	q->rest = n->read_at != 0 && now - n->sent_at > REST_NS;
	if (tell_tx)
		queue_notify(q, NET_RING_TX);
	if (tell_rx && !(tell_tx && q->nr_ports == 1))
		queue_notify(q, NET_RING_RX);
	for (; unlikely(n->sins); n->sins--)
		queue_penalty(q, now);
	if (unlikely(tx < 0 || rx < 0))
		return tx < 0 ? tx : rx;
	if (tx + rx)
		q->now = now_ns();
	return tx + rx;
}

bool net_queue_peek(struct queue *q)
{
	return net_queue_tx_peek(of(q)) || net_queue_rx_peek(of(q));
}

int net_queue_arm(struct queue *q)
{
	struct net_queue *n = of(q);
	uint64_t now = now_ns();
	int tx, rx;

	n->until = UINT64_MAX;
	n->poll_link = false;
	tx = net_queue_tx_arm(n, now, &n->until);
	rx = net_queue_rx_arm(n, now, &n->until);
	if (tx < 0 || rx < 0)
		return tx < 0 ? tx : rx;
	return tx + rx;
}

uint32_t net_queue_wait(struct queue *q, int64_t timeout_ns)
{
	struct net_queue *n = of(q);
	const struct link_ops *ops = n->link->ops;
	short events = n->poll_link ? POLLIN : 0;
	uint32_t woke;

	if (n->until != UINT64_MAX) {
		uint64_t now = now_ns();
		int64_t own = n->until > now ? (int64_t)(n->until - now) : 0;

		timeout_ns = timeout_ns < 0 ? own : MIN(timeout_ns, own);
		n->until = UINT64_MAX; /* arm() says it again */
	}
	if (ops->owes && ops->owes(n->link))
		events |= POLLOUT;
	woke = queue_wait_fds(q, events ? n->link->fd : -1, events, timeout_ns);
	if (events && ops->woke)
		ops->woke(n->link);
	return woke;
}

/* Nothing is ever in flight between turns: what was taken and not answered is not held either. */
bool net_queue_drained(const struct queue *q)
{
	return true;
}

uint64_t net_queue_idle(struct queue *q, uint64_t now, uint64_t idle_ns)
{
	struct net_queue *n = of(q);

	/* A frame may be waiting at the start of the second. */
	(void)madvise(n->tx_buf, NET_BUFFER_BYTES, MADV_DONTNEED);
	if (!n->have)
		(void)madvise(n->rx_buf, NET_RX_BUF_BYTES, MADV_DONTNEED);
	return 0;
}

/* ------------------------------------------------------------------ life */

int net_queue_start(struct queue *q)
{
	/* Waits of net-pace.h are of this order; without it, Linux makes each 50 us longer. */
	(void)prctl(PR_SET_TIMERSLACK, SLACK_NS);
	/* What a predecessor published, or we for it, nobody may have been told of. */
	for (uint32_t ring = 0; q->dev->journal.resume && ring < q->nr_ports; ring++)
		queue_notify(q, ring);
	return 0;
}

static uint8_t *map_buffer(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* A ring and its log: from the beginning, or where a predecessor was. */
static int attach(struct queue *q, uint32_t ring, struct ring_back *b, struct redo *r, uint32_t slot_bytes)
{
	struct redo_log *log = net_journal_log(net_journal_of(q->dev->priv), q->index, ring);
	bool resume = q->dev->journal.resume;
	int rc = ring_back_attach(b, queue_ring(q, ring), queue_ring_bytes(q), slot_bytes, slot_bytes);

	if (rc == 0 && b->nr_ents != NET_RING_SLOTS)
		return -EINVAL;
	if (rc == 0 && resume)
		rc = redo_resume(r, log, b);
	else if (rc == 0)
		redo_begin(r, log, b);
	if (rc < 0 && resume) {
		log_error("%s: queue %u: its %s ring is not where its journal says", q->dev->name, q->index,
			  ring == NET_RING_TX ? "transmit" : "receive");
		return -EBADMSG;
	}
	return rc;
}

int net_queue_open(struct queue *q, const struct wire_connect *c)
{
	struct net_queue *n = aligned_alloc(64, (sizeof(*n) + 63) / 64 * 64);
	int rc;

	if (!n)
		return -ENOMEM;
	memset(n, 0, sizeof(*n));
	q->priv = n;
	n->q = q;
	n->nic = q->dev->priv;
	n->link = &n->nic->link.queues[q->index];
	n->until = UINT64_MAX;
	n->tx_buf = map_buffer(NET_BUFFER_BYTES);
	n->rx_buf = map_buffer(NET_RX_BUF_BYTES);
	if (!n->tx_buf || !n->rx_buf)
		return -ENOMEM;
	rc = attach(q, NET_RING_TX, &n->tx, &n->tx_redo, sizeof(union net_tx_slot));
	return rc ? rc : attach(q, NET_RING_RX, &n->rx, &n->rx_redo, sizeof(union net_rx_slot));
}

void net_queue_close(struct queue *q)
{
	struct net_queue *n = of(q);

	if (!n)
		return;
	q->priv = NULL;
	if (n->tx_buf)
		munmap(n->tx_buf, NET_BUFFER_BYTES);
	if (n->rx_buf)
		munmap(n->rx_buf, NET_RX_BUF_BYTES);
	net_stats_add(&n->nic->past, &n->stats);
	free(n);
}

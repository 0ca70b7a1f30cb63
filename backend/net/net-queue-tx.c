/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-queue-tx.c - guest to link: take -> parse -> one grant copy -> header -> link -> answer -> push.
 *
 * Slots are copied out of the ring all at once and dealt with from the copy, packet by packet, so far as the rate and
 * the buffer allow; what is left waits in the copy for the next turn.  Its answers are due, but nothing of the guest's
 * is held: if the connection ends, it knows.
 *
 * The whole frame is in one piece before anything looks at its headers.
 *
 * What the link has no room for is dropped and said so, as a wire would.  A link that can tell whether it has room (a pair, a stream)
 * makes the guest wait before that, ROOM_WAIT_NS at most; a second wait begins only when there was room again, so that a peer that
 * takes nothing costs the guest one of these and then nothing.
 */
#include <errno.h>
#include "backend/net/net-queue.h"
#include "common/base/crash.h"

#define ROOM_WAIT_NS 20000000ull

static uint32_t room_for(uint32_t bytes)
{
	return (LINK_HEADROOM + bytes + NET_FRAME_ALIGN - 1) / NET_FRAME_ALIGN * NET_FRAME_ALIGN;
}

/* The guest's mistake: counted and told. */
static void blame(struct net_queue *n, const char *why)
{
	STAT_ADD(n->stats.tx_errors, 1);
	n->sins++;
	worker_log_guest(LOG_LVL_WARN, "%s: bad packet from the guest: %s", n->q->dev->name, why);
}

static int16_t change_mcast(struct net_queue *n, const struct net_tx_packet *p)
{
	int rc = 0;

	pthread_mutex_lock(&n->nic->lock);
	if (p->kind == NET_TX_MCAST_ADD)
		rc = net_mcast_add(&net_journal_of(n->nic)->mcast, p->mac);
	else
		net_mcast_del(&net_journal_of(n->nic)->mcast, p->mac);
	pthread_mutex_unlock(&n->nic->lock);
	STAT_ADD(n->stats.mcast_changes, 1);
	return rc < 0 ? NETIF_RSP_ERROR : NETIF_RSP_OKAY;
}

/* 0: may go. */
static uint64_t rate_wait(struct net_queue *n, uint64_t now, uint32_t bytes)
{
	uint64_t wait;

	if (likely(!__atomic_load_n(&n->nic->limited, __ATOMIC_RELAXED)))
		return 0;
	pthread_mutex_lock(&n->nic->lock);
	wait = net_rate_take(&n->nic->rate, now, bytes);
	n->rates = n->nic->rates;
	pthread_mutex_unlock(&n->nic->lock);
	return wait;
}

/* The rate that is in force now wants the next packet to wait. */
static bool rate_holds(struct net_queue *n, uint64_t now)
{
	if (n->rate_until && (now >= n->rate_until || n->rates != __atomic_load_n(&n->nic->rates, __ATOMIC_RELAXED)))
		n->rate_until = 0;
	return n->rate_until != 0;
}

/* Is the link to be waited for, with a packet of so many bytes behind @before others? */
static bool wait_for_room(struct net_queue *n, uint64_t now, uint32_t bytes)
{
	const struct link_ops *ops = n->link->ops;

	if (!ops->room)
		return false;
	if (likely(ops->room(n->link, bytes))) {
		n->room_until = 0;
		n->overrun = false;
		return false;
	}
	if (n->overrun ||
	    __atomic_load_n(&n->q->stop, __ATOMIC_RELAXED)) /* the guest closes: nothing is left waiting */
		return false;
	if (n->room_until && now >= n->room_until) {
		n->room_until = 0;
		n->overrun = true;
		return false;
	}
	if (!n->room_until) {
		n->room_until = now + ROOM_WAIT_NS;
		STAT_ADD(n->stats.tx_room_waits, 1);
	}
	n->room_bytes = bytes;
	return true;
}

static int refill(struct net_queue *n)
{
	int pending = ring_back_pending(&n->tx);

	if (pending <= 0)
		return pending;
	n->slot_at = n->slot_end = 0;
	while (n->slot_end < (uint32_t)pending)
		ring_back_take(&n->tx, n->slots[n->slot_end++].bytes);
	return 0;
}

/* Packets of this turn, with the segments to copy.  Returns their number; *fatal when the last slots make no sense. */
static uint32_t gather(struct net_queue *n, uint64_t now, uint32_t *nr_segs, int *fatal)
{
	uint32_t nr = 0, used = 0;

	*nr_segs = 0;
	while (nr < NET_BATCH && n->slot_at < n->slot_end) {
		struct net_tx_packet *p = &n->packets[nr];
		const char *why = "";
		int rc = net_tx_parse(&n->slots[n->slot_at], n->slot_end - n->slot_at, p, &why);
		uint64_t wait;
		uint8_t *to;

		n->frames[nr] = NULL;
		n->status[nr] = NETIF_RSP_ERROR;
		if (unlikely(rc == -EPROTO)) {
			blame(n, why);
			n->q->why = why;
			*fatal = rc;
			break;
		}
		if (unlikely(rc < 0)) {
			blame(n, why);
		} else if (unlikely(p->kind != NET_TX_PACKET)) {
			n->status[nr] = change_mcast(n, p);
		} else {
			if (used + room_for(p->bytes) > NET_BUFFER_BYTES)
				break;
			if (wait_for_room(n, now, used + p->bytes))
				break;
			wait = rate_wait(n, now, p->bytes);
			if (wait) {
				STAT_ADD(n->stats.tx_rate_waits, 1);
				n->rate_until = now + wait;
				break;
			}
			to = n->frames[nr] = n->tx_buf + used + LINK_HEADROOM;
			used += room_for(p->bytes);
			for (uint32_t i = 0; i < p->nr_frags; i++) {
				const struct net_tx_frag *f = &p->frags[i];

				n->tx_segs[(*nr_segs)++] = (struct grant_seg){
					.ref = f->ref, .offset = f->offset, .bytes = f->bytes, .local = to
				};
				to += f->bytes;
			}
		}
		n->slot_at += p->nr_slots;
		nr++;
	}
	return nr;
}

/* To be sent, in @out, or the answer that it gets. */
static int16_t prepare(struct net_queue *n, const struct net_tx_packet *p, struct link_frame *out)
{
	int rc;

	if (unlikely(net_hdr_from_guest(p, out->data, &out->v) < 0)) {
		blame(n, "its headers are not what its flags say");
		return NETIF_RSP_ERROR;
	}
	if (unlikely(__atomic_load_n(&n->nic->trace.on, __ATOMIC_RELAXED))) {
		pthread_mutex_lock(&n->nic->lock);
		net_trace_frame(&n->nic->trace, out->data, p->bytes);
		pthread_mutex_unlock(&n->nic->lock);
	}
	rc = __atomic_load_n(&n->nic->link_down, __ATOMIC_RELAXED) ? -ENETDOWN : 0;
	if (rc == 0 && !n->link->ops->offload) {
		if (out->v.gso_type != VIRTIO_NET_HDR_GSO_NONE) /* it was not offered, and is sent all the same */
			rc = -EOPNOTSUPP;
		else if (out->v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			rc = frame_finish(out->data, p->bytes, out->v.csum_start, out->v.csum_offset);
	}
	if (rc < 0) {
		STAT_ADD(n->stats.tx_dropped, 1);
		return NETIF_RSP_DROPPED;
	}
	out->bytes = p->bytes;
	return NETIF_RSP_OKAY;
}

/* The packets of a turn go one after the other, with nothing between them: after a system call the CPU has forgotten its way back. */
static void send_all(struct net_queue *n, uint32_t nr)
{
	uint64_t packets = 0, bytes = 0, gso = 0;

	n->link->ops->send(n->link, n->out, nr);
	for (uint32_t k = 0; k < nr; k++) {
		const struct link_frame *f = &n->out[k];

		if (unlikely(f->rc < 0)) {
			n->status[n->out_of[k]] = NETIF_RSP_DROPPED;
			continue;
		}
		packets++;
		bytes += f->bytes;
		gso += f->v.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	}
	STAT_ADD(n->stats.tx_packets, packets);
	STAT_ADD(n->stats.tx_bytes, bytes);
	STAT_ADD(n->stats.tx_gso_packets, gso);
	STAT_ADD(n->stats.tx_dropped, nr - packets);
}

/* Segments of one packet: all copied? */
static bool copied(const struct grant_seg *segs, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (segs[i].status)
			return false;
	return true;
}

static void answer(struct net_queue *n, const union net_tx_slot *slots, const struct net_tx_packet *p, int16_t status)
{
	for (uint32_t i = 0; i < p->nr_slots; i++) {
		struct netif_tx_response r = net_tx_answer(p, slots, i, status);

		redo_put(&n->tx_redo, &r, sizeof(r));
	}
}

int net_queue_tx(struct net_queue *n, uint64_t now, bool *notify)
{
	uint32_t nr, nr_segs, seg = 0, slot, out = 0;
	int fatal = 0, rc;

	if (n->slot_at == n->slot_end) {
		rc = refill(n);
		if (rc < 0 || n->slot_at == n->slot_end)
			return rc;
	}
	if (rate_holds(n, now))
		return 0;
	slot = n->slot_at;
	nr = gather(n, now, &nr_segs, &fatal);
	if (nr_segs) {
		STAT_ADD(n->stats.tx_copy_calls, 1);
		STAT_ADD(n->stats.tx_copy_segments, nr_segs);
		rc = grant_copy(worker.grant, worker.domid, n->tx_segs, nr_segs);
		(void)rc; /* each segment says for itself */
		CRASH_POINT("net.tx.copy");
	}
	for (uint32_t i = 0; i < nr; i++) {
		const struct net_tx_packet *p = &n->packets[i];

		if (!n->frames[i])
			continue;
		n->out[out].data = n->frames[i];
		if (likely(copied(&n->tx_segs[seg], p->nr_frags)))
			n->status[i] = prepare(n, p, &n->out[out]);
		else
			blame(n, "a page of it could not be read");
		seg += p->nr_frags;
		if (n->status[i] == NETIF_RSP_OKAY)
			n->out_of[out++] = (uint8_t)i;
	}
	if (out) {
		send_all(n, out);
		CRASH_POINT("net.tx.send");
	}
	for (uint32_t i = 0; i < nr; i++) {
		answer(n, &n->slots[slot], &n->packets[i], n->status[i]);
		slot += n->packets[i].nr_slots;
	}
	if (nr && redo_push(&n->tx_redo))
		*notify = true;
	return fatal ? fatal : (int)nr;
}

bool net_queue_tx_peek(struct net_queue *n)
{
	if (n->slot_at == n->slot_end)
		return ring_back_pending(&n->tx) != 0;
	if (n->room_until)
		return n->link->ops->room(n->link, n->room_bytes);
	return n->rate_until == 0;
}

int net_queue_tx_arm(struct net_queue *n, uint64_t now, uint64_t *until)
{
	if (n->slot_at == n->slot_end)
		return ring_back_arm(&n->tx);
	if (n->room_until) {
		if (now >= n->room_until || n->link->ops->arm_room(n->link, n->room_bytes))
			return 1;
		n->poll_link = true;
		*until = MIN(*until, n->room_until);
		return 0;
	}
	if (!rate_holds(n, now))
		return 1;
	*until = MIN(*until, n->rate_until);
	return 0;
}

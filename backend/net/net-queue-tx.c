/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-queue-tx.c - guest to link: take -> parse -> one grant copy -> header -> link -> answer -> push.
 *
 * Slots are copied out of the ring all at once and dealt with from the copy, packet by packet, so far as the rate and
 * the buffer allow; what is left waits in the copy for the next turn.  Its answers are due, but nothing of the guest's
 * is held: if the connection ends, it knows.
 *
 * The whole frame is in one piece before anything looks at its headers.  The link never makes the guest wait: what it has
 * no room for is dropped and said so, as a wire would.
 */
#include <errno.h>
#include "backend/net/net-queue.h"

static uint32_t room_for(uint32_t bytes)
{
	return (LINK_HEADROOM + bytes + NET_FRAME_ALIGN - 1) / NET_FRAME_ALIGN * NET_FRAME_ALIGN;
}

/* The guest's mistake: counted and told. */
static void blame(struct net_queue *n, const char *why)
{
	STAT_ADD(n->stats.tx_errors, 1);
	n->sins++;
	device_log_guest(n->q->dev, LOG_LVL_WARN, "%s: bad packet from the guest: %s", n->q->dev->name, why);
}

static int16_t change_mcast(struct net_queue *n, const struct net_tx_packet *p)
{
	int rc = 0;

	pthread_mutex_lock(&n->nic->lock);
	if (p->kind == NET_TX_MCAST_ADD)
		rc = net_mcast_add(&n->nic->mcast, p->mac);
	else
		net_mcast_del(&n->nic->mcast, p->mac);
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
	pthread_mutex_unlock(&n->nic->lock);
	return wait;
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

static int16_t forward(struct net_queue *n, const struct net_tx_packet *p, uint8_t *frame)
{
	struct virtio_net_hdr v;
	int rc;

	if (unlikely(net_hdr_from_guest(p, frame, &v) < 0)) {
		blame(n, "its headers are not what its flags say");
		return NETIF_RSP_ERROR;
	}
	if (unlikely(__atomic_load_n(&n->nic->trace.on, __ATOMIC_RELAXED))) {
		pthread_mutex_lock(&n->nic->lock);
		net_trace_frame(&n->nic->trace, frame, p->bytes);
		pthread_mutex_unlock(&n->nic->lock);
	}
	rc = __atomic_load_n(&n->nic->link_down, __ATOMIC_RELAXED) ? -ENETDOWN : 0;
	if (rc == 0 && !n->link->ops->offload) {
		if (v.gso_type != VIRTIO_NET_HDR_GSO_NONE) /* it was not offered, and is sent all the same */
			rc = -EOPNOTSUPP;
		else if (v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			rc = net_csum_finish(frame, p->bytes, v.csum_start, v.csum_offset);
	}
	if (rc == 0)
		rc = n->link->ops->send(n->link, &v, frame, p->bytes);
	if (rc < 0) {
		STAT_ADD(n->stats.tx_dropped, 1);
		return NETIF_RSP_DROPPED;
	}
	STAT_ADD(n->stats.tx_packets, 1);
	STAT_ADD(n->stats.tx_bytes, p->bytes);
	if (v.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		STAT_ADD(n->stats.tx_gso_packets, 1);
	return NETIF_RSP_OKAY;
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

		ring_back_put(&n->tx, &r, sizeof(r));
	}
}

int net_queue_tx(struct net_queue *n, uint64_t now, bool *notify)
{
	uint32_t nr, nr_segs, seg = 0, slot;
	int fatal = 0, rc;

	if (n->slot_at == n->slot_end) {
		rc = refill(n);
		if (rc < 0 || n->slot_at == n->slot_end)
			return rc;
	}
	if (n->rate_until) {
		if (now < n->rate_until)
			return 0;
		n->rate_until = 0;
	}
	slot = n->slot_at;
	nr = gather(n, now, &nr_segs, &fatal);
	if (nr_segs) {
		STAT_ADD(n->stats.tx_copy_calls, 1);
		STAT_ADD(n->stats.tx_copy_segments, nr_segs);
		rc = grant_copy(worker.grant, worker.domid, n->tx_segs, nr_segs);
		(void)rc; /* each segment says for itself */
	}
	for (uint32_t i = 0; i < nr; i++) {
		const struct net_tx_packet *p = &n->packets[i];

		if (n->frames[i]) {
			if (likely(copied(&n->tx_segs[seg], p->nr_frags)))
				n->status[i] = forward(n, p, n->frames[i]);
			else
				blame(n, "a page of it could not be read");
			seg += p->nr_frags;
		}
		answer(n, &n->slots[slot], p, n->status[i]);
		slot += p->nr_slots;
	}
	if (nr && ring_back_push(&n->tx))
		*notify = true;
	return fatal ? fatal : (int)nr;
}

bool net_queue_tx_peek(struct net_queue *n)
{
	if (n->slot_at < n->slot_end)
		return n->rate_until == 0;
	return ring_back_pending(&n->tx) != 0;
}

int net_queue_tx_arm(struct net_queue *n, uint64_t now, uint64_t *until)
{
	if (n->slot_at == n->slot_end)
		return ring_back_arm(&n->tx);
	if (n->rate_until <= now)
		return 1;
	*until = MIN(*until, n->rate_until);
	return 0;
}

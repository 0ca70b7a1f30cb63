/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-queue-rx.c - link to guest: read -> check -> slots -> one grant copy -> answers in ring order -> push.
 *
 * Back-pressure.  At most one frame waits here for the guest's buffers; then nothing more is read, and what comes waits in the link's
 * own queue, which is bounded in packets and drops.  Whether the guest is slow is decided by the frame at the head: it has
 * fewer slots than that frame takes (XSA-392: one slot left for a frame of two is not "not empty").  After STALL_NS of that
 * the guest is stalled: the frame and all that comes is thrown away, until there are slots again.  So a guest that never gives
 * a buffer holds one frame for a second, and then nothing.
 *
 * A link with a stream of frames is not read for each of them: net-pace.h.
 *
 * The front end is asked for an event at the slot that makes the head fit, no earlier.  One that never sends events for
 * buffers (no feature-rx-notify) is looked at again every RECHECK_NS.
 */
#include <errno.h>
#include "backend/net/net-queue.h"
#include "common/base/crash.h"

#define STALL_NS   1000000000ull
#define DISCARD_NS 100000000ull
#define RECHECK_NS 1000000ull
#define DISCARDS   512u /* frames thrown away in a turn */
#define LOOKS      8u   /* of so many looks one reads the link */

/* Put aside, and the first segment is in its place. */
static int begin_cut(struct net_queue *n, uint32_t size, struct net_frame *f)
{
	uint8_t *whole = n->rx_buf + NET_CUT_AT;
	int rc;

	memcpy(whole, f->data, f->bytes);
	rc = net_cut_begin(&n->cut, whole, f->bytes, size);
	if (rc < 0)
		return rc;
	f->bytes = net_cut_next(&n->cut, f->data);
	STAT_ADD(n->stats.rx_cut, 1);
	return 0;
}

/* Not to be given to this guest? */
static bool unwanted(struct net_queue *n, const struct virtio_net_hdr *v, struct net_frame *f)
{
	struct net_dev *nic = n->nic;
	bool known;
	int rc = -ENETDOWN;

	if (!__atomic_load_n(&nic->link_down, __ATOMIC_RELAXED))
		rc = net_hdr_to_guest(v, f->data, f->bytes, nic->features, &f->meta);
	if (unlikely(rc > 0))
		rc = begin_cut(n, v->gso_size, f);
	if (rc < 0) {
		STAT_ADD(n->stats.rx_dropped, 1);
		return true;
	}
	f->slots = net_rx_slots(f->bytes, &f->meta);
	if (f->slots > 1 && !(nic->features & NET_F_SG)) {
		STAT_ADD(n->stats.rx_dropped, 1);
		return true;
	}
	if (!net_mcast_is(f->data) || !__atomic_load_n(&nic->filtered, __ATOMIC_RELAXED))
		return false;
	pthread_mutex_lock(&nic->lock);
	known = net_mcast_has(&net_journal_of(nic)->mcast, f->data);
	pthread_mutex_unlock(&nic->lock);
	if (!known)
		STAT_ADD(n->stats.rx_filtered, 1);
	return !known;
}

/* The next frame for the guest to n->next, at offset @at of the buffer.  False: there is none now. */
static bool fetch(struct net_queue *n, uint32_t at)
{
	struct net_frame *f = &n->next;
	struct virtio_net_hdr v;

	if (unlikely(net_cut_more(&n->cut))) { /* f->meta is every segment's */
		f->data = n->rx_buf + at + LINK_HEADROOM;
		f->bytes = net_cut_next(&n->cut, f->data);
		f->slots = net_rx_slots(f->bytes, &f->meta);
		return n->have = true;
	}
	for (uint32_t i = 0; i < NET_BATCH && !n->link_dead; i++) {
		int len;

		f->data = n->rx_buf + at + LINK_HEADROOM;
		len = n->link->ops->recv(n->link, &v, f->data, NET_RX_MAX_FRAME);
		if (len == 0) {
			if (n->pace.gap_ns)
				n->read_at = now_ns() + n->pace.gap_ns;
			return false;
		}
		if (len == -EMSGSIZE) {
			STAT_ADD(n->stats.rx_dropped, 1);
			continue;
		}
		if (len < 0) {
			n->link_dead = true;
			log_warn("%s: its link is gone: %s", n->q->dev->name, strerror(-len));
			break;
		}
		f->bytes = (uint32_t)len;
		if (unlikely(__atomic_load_n(&n->nic->trace.on, __ATOMIC_RELAXED))) {
			pthread_mutex_lock(&n->nic->lock);
			net_trace_frame(&n->nic->trace, f->data, f->bytes);
			pthread_mutex_unlock(&n->nic->lock);
		}
		if (unwanted(n, &v, f)) {
			net_cut_drop(&n->cut);
			continue;
		}
		n->have = true;
		return true;
	}
	return false;
}

/* Give n->next its slots, which are there. */
static void plan(struct net_queue *n, struct net_rx_plan_frame *pf, uint32_t slot, uint32_t *nr_segs)
{
	struct net_rx_piece pieces[NET_RX_MAX_SLOTS];
	const struct net_frame *f = &n->next;
	union net_rx_slot req[NET_RX_MAX_SLOTS];

	for (uint32_t i = 0; i < f->slots; i++)
		ring_back_take(&n->rx, req[i].bytes);
	*pf = (struct net_rx_plan_frame){ .first = slot, .slots = f->slots, .meta = f->meta, .bytes = f->bytes };
	pf->segs = net_rx_plan(f->bytes, &f->meta, req, &n->answers[slot], pieces);
	for (uint32_t i = 0; i < pf->segs; i++)
		n->rx_segs[(*nr_segs)++] = (struct grant_seg){
			.ref = req[pieces[i].slot].req.gref,
			.bytes = (uint16_t)pieces[i].bytes,
			.local = f->data + pieces[i].offset,
			.to_guest = true,
		};
	n->have = false;
}

static void deliver(struct net_queue *n, uint32_t nr, uint32_t nr_segs)
{
	const struct grant_seg *seg = n->rx_segs;

	STAT_ADD(n->stats.rx_copy_calls, 1);
	STAT_ADD(n->stats.rx_copy_segments, nr_segs);
	if (grant_copy(worker.grant, worker.domid, n->rx_segs, nr_segs) < 0)
		for (uint32_t i = 0; i < nr; seg += n->plans[i++].segs)
			for (uint32_t k = 0; k < n->plans[i].segs; k++)
				if (seg[k].status) {
					net_rx_fail(&n->answers[n->plans[i].first], n->plans[i].slots,
						    &n->plans[i].meta);
					n->plans[i].bytes = 0;
					break;
				}
	CRASH_POINT("net.rx.copy");
	for (uint32_t i = 0; i < nr; i++) {
		const struct net_rx_plan_frame *pf = &n->plans[i];

		for (uint32_t k = 0; k < pf->slots; k++)
			redo_put(&n->rx_redo, n->answers[pf->first + k].bytes, sizeof(union net_rx_slot));
		if (unlikely(pf->bytes == 0)) {
			STAT_ADD(n->stats.rx_errors, 1);
			n->sins++;
			continue;
		}
		STAT_ADD(n->stats.rx_packets, 1);
		STAT_ADD(n->stats.rx_bytes, pf->bytes);
		if (pf->meta.gso_type)
			STAT_ADD(n->stats.rx_gso_packets, 1);
	}
}

/* Not to be read yet. */
static bool paced(struct net_queue *n, uint64_t now)
{
	if (now >= n->read_at)
		n->read_at = 0;
	return n->read_at != 0;
}

/* Stalled, and not a slot there: nothing is read but to throw it away. */
static bool closed(const struct net_queue *n)
{
	return n->stalled && ring_back_pending(&n->rx) == 0;
}

/* The head does not fit. */
static void starve(struct net_queue *n, uint64_t now)
{
	uint32_t thrown = 0;

	if (n->waiting_since == 0) {
		n->waiting_since = now;
		STAT_ADD(n->stats.rx_waits, 1);
	}
	if (now - n->waiting_since < STALL_NS)
		return;
	if (!n->stalled) {
		n->stalled = true;
		worker_log_guest(LOG_LVL_INFO,
				 "%s: the guest gives no buffers; what comes for it is dropped until it does",
				 n->q->dev->name);
	} else if (now < n->discard_at) {
		return;
	}
	n->discard_at = now + DISCARD_NS;
	do {
		n->have = false;
		net_cut_drop(&n->cut); /* all of it */
		STAT_ADD(n->stats.rx_stalled, 1);
	} while (++thrown < DISCARDS && fetch(n, 0));
}

int net_queue_rx(struct net_queue *n, uint64_t now, bool *notify)
{
	uint32_t nr = 0, nr_segs = 0, used = 0, slots = 0;
	int pending = ring_back_pending(&n->rx);

	if (unlikely(pending < 0)) /* also when there is nothing to give: the guest shall know at once */
		return pending;
	if (!n->have && n->read_at && paced(n, now))
		return 0;
	if (!n->have && closed(n)) {
		if (now < n->discard_at)
			return 0;
		if (!fetch(n, 0)) {
			n->discard_at = now + DISCARD_NS;
			return 0;
		}
	}
	while (nr < NET_BATCH && used + LINK_HEADROOM + NET_RX_MAX_FRAME <= NET_BUFFER_BYTES) {
		if (!n->have && !fetch(n, used))
			break;
		pending = ring_back_pending(&n->rx);
		if (unlikely(pending < 0))
			break;
		if ((uint32_t)pending < n->next.slots || slots + n->next.slots > NET_RING_SLOTS)
			break;
		n->waiting_since = 0;
		n->stalled = false;
		used = (uint32_t)(n->next.data - n->rx_buf) + n->next.bytes;
		used = (used + NET_FRAME_ALIGN - 1) / NET_FRAME_ALIGN * NET_FRAME_ALIGN;
		plan(n, &n->plans[nr], slots, &nr_segs);
		slots += n->plans[nr].slots;
		nr++;
	}
	if (nr || n->pace.gap_ns)
		net_pace_count(&n->pace, now, nr);
	if (nr) {
		CRASH_POINT("net.rx.plan");
		deliver(n, nr, nr_segs);
		if (redo_push(&n->rx_redo))
			*notify = true;
	}
	if (pending < 0)
		return pending;
	if (!n->have && net_cut_more(&n->cut))
		(void)fetch(n, 0);
	if (n->have && n->next.data != n->rx_buf + LINK_HEADROOM) {
		memmove(n->rx_buf + LINK_HEADROOM, n->next.data, n->next.bytes);
		n->next.data = n->rx_buf + LINK_HEADROOM;
	}
	if (n->have && (uint32_t)pending < n->next.slots && nr == 0)
		starve(n, now);
	return (int)nr;
}

bool net_queue_rx_peek(struct net_queue *n)
{
	int pending;

	/* Looking at a link costs a system call, looking at the rings next to nothing. */
	if (!n->have && !n->link->ops->peek && ++n->looks % LOOKS)
		return false;
	if (!n->have && n->read_at && paced(n, now_ns()))
		return false;
	if (!n->have && (closed(n) || (n->link->ops->peek && !n->link->ops->peek(n->link)) || !fetch(n, 0)))
		return false;
	pending = ring_back_pending(&n->rx);
	return pending < 0 || (uint32_t)pending >= n->next.slots;
}

int net_queue_rx_arm(struct net_queue *n, uint64_t now, uint64_t *until)
{
	int pending;

	if (!n->have && closed(n)) {
		*until = MIN(*until, n->discard_at);
		if (!(n->nic->features & NET_F_RX_NOTIFY))
			*until = MIN(*until, now + RECHECK_NS);
		return ring_back_arm(&n->rx);
	}
	if (!n->have) {
		if (n->link_dead)
			return 0;
		if (n->read_at) {
			*until = MIN(*until, n->read_at);
			return 0;
		}
		n->poll_link = true;
		return n->link->ops->arm && n->link->ops->arm(n->link);
	}
	pending = ring_back_arm_for(&n->rx, n->next.slots);
	if (pending < 0)
		return pending;
	if ((uint32_t)pending >= n->next.slots)
		return 1;
	*until = MIN(*until, (n->stalled ? n->discard_at : n->waiting_since + STALL_NS));
	if (!(n->nic->features & NET_F_RX_NOTIFY))
		*until = MIN(*until, now + RECHECK_NS);
	return 0;
}

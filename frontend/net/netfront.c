/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* netfront.c - see netfront.h */
#include "frontend/net/netfront.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log/log.h"
#include "common/net/mac.h"
#include "common/ring/ring.h"
#include "common/xen/paths.h"
#include "frontend/core/watch.h"

#define TX             0 /* place in front_queue.ring[] */
#define RX             1
#define DEF_TIMEOUT_MS 10000u
#define MIN_BUFS       32u  /* a frame has up to 18 slots, and some are on their way */
#define GNTALLOC_PAGES 960u /* of the default limit of 1024, with room for somebody else's */
#define IDLE_EVENTS    32u  /* so many events without work in a row: a storm (XSA-391) */
#define NAP_MS         1u
#define MTU_DEFAULT    1500u
#define LOOK_MS        10u /* at most so often is looked at the carrier */

const char *const netfront_types[2] = { "svif", "vif" };

struct netfront_queue {
	struct netfront *n;
	struct front_queue *fq;
	struct ring_front tx_ring, rx_ring;
	struct net_tx tx;
	struct net_rx rx;
	uint8_t *tx_pool, *rx_pool;
	uint32_t *tx_refs, *rx_refs;
	bool masked[FRONT_MAX_RINGS]; /* an event was read, the port is not unmasked yet */
	bool heard, worked;           /* an event was read; something was found to do since */
	uint32_t idle;                /* events in a row after which there was nothing to do */
	struct netfront_counts counts;
} __attribute__((aligned(128)));

struct netfront {
	struct front *front;
	struct netfront_config config;
	struct netfront_info info;
	_Atomic int status;           /* 0 or -errno, see netfront_status() */
	pthread_mutex_t carrier_lock; /* of the next three: what is told last is what it is */
	bool carrier;                 /* written by the watching thread */
	void (*carrier_fn)(void *arg, bool up);
	void *carrier_arg;
	struct store_watch *carrier_watch;
	uint64_t carrier_ns; /* when it was looked at */
	struct log_limit carrier_told;
	int stop_fd; /* eventfd, readable once status is not 0: wakes sleepers */
	struct front_watcher watcher;
	struct netfront_queue *queue;
};

/* ------------------------------------------------------------------ status */

int netfront_status(const struct netfront *n)
{
	return atomic_load_explicit(&n->status, memory_order_relaxed);
}

/* First reason wins, but a closing back end may still go or turn out to be lying.  True when it is news. */
static bool set_status(struct netfront *n, int err)
{
	uint64_t one = 1;
	int old = atomic_load(&n->status);

	do {
		if (old != 0 && (old != -ESHUTDOWN || err == -ESHUTDOWN || err == -ECANCELED))
			return false;
	} while (!atomic_compare_exchange_weak(&n->status, &old, err));
	/* Cannot fail but for a full counter, and then it is readable anyway. */
	if (write(n->stop_fd, &one, sizeof(one)) < 0)
		return true;
	return true;
}

void netfront_stop(struct netfront *n)
{
	set_status(n, -ECANCELED);
}

static void broken(struct netfront_queue *q, enum net_fault fault)
{
	q->counts.fault[fault]++;
	if (set_status(q->n, -EIO))
		log_error("%s: the back end (domain %u) broke the protocol: %s; the interface is not used any more",
			  q->n->front->dev.dir, q->n->front->dev.back_domid, net_fault_text(fault));
}

static bool is_dead(const struct netfront_queue *q)
{
	int st = netfront_status(q->n);

	return unlikely(st != 0) && st != -ESHUTDOWN && st != -ECANCELED;
}

/* ------------------------------------------------------------------ nodes */

/* @otherwise when it is missing; UINT32_MAX when it is nonsense. */
static uint32_t read_node(struct store *s, const char *dir, const char *leaf, uint32_t otherwise)
{
	struct path p;
	uint32_t v;
	int err = store_read_u32(s, NULL, path_join(&p, dir, leaf), UINT32_MAX - 1, &v);

	return err == 0 ? v : err == -ENOENT ? otherwise : UINT32_MAX;
}

static int read_mac(struct store *s, const struct front_dev *d, uint8_t mac[6])
{
	const char *const dirs[2] = { d->dir, d->back };
	char text[24];
	struct path p;

	/* Ours to read first; some back ends write it to their own directory alone. */
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		int err = store_read_into(s, NULL, path_join(&p, dirs[i], "mac"), text, sizeof(text));

		if (err == -ENOENT)
			continue;
		return err < 0 || mac_parse(text, mac) < 0 ? -EPROTO : 0;
	}
	return -EPROTO;
}

static uint32_t read_mtu(struct store *s, const struct front_dev *d, uint32_t max)
{
	uint32_t mtu = read_node(s, d->dir, "mtu", 0);

	if (mtu == 0)
		mtu = read_node(s, d->back, "mtu", MTU_DEFAULT);
	if (mtu < NETFRONT_MTU_MIN || mtu > NETFRONT_MTU_MAX) {
		log_warn("%s: the mtu makes no sense; taking %u", d->dir, MTU_DEFAULT);
		mtu = MTU_DEFAULT;
	}
	return MIN(mtu, max);
}

/* So many pages that all queues' fit what gntalloc grants a domain without being told otherwise. */
static void choose_bufs(const struct netfront_config *c, struct netfront_info *i)
{
	uint32_t room = GNTALLOC_PAGES / i->nr_queues;

	i->rx_bufs = c->rx_bufs;
	i->tx_bufs = c->tx_bufs;
	if (!i->rx_bufs)
		for (i->rx_bufs = NET_MAX_PAGES; i->rx_bufs > MIN_BUFS && i->rx_bufs > room / 2 + 32;)
			i->rx_bufs /= 2;
	if (!i->tx_bufs)
		i->tx_bufs = MIN(NET_MAX_PAGES, MAX(MIN_BUFS, room > i->rx_bufs ? room - i->rx_bufs : 0));
}

int netfront_look(struct store *s, const struct front_dev *d, const struct netfront_config *c,
		  struct netfront_info *ret)
{
	struct netfront_info i = { 0 };
	uint32_t most;
	bool csum;
	int err;

	if (c->rx_bufs && (c->rx_bufs < MIN_BUFS || c->rx_bufs > NET_MAX_PAGES || c->rx_bufs & (c->rx_bufs - 1)))
		return -EINVAL;
	if (c->tx_bufs && (c->tx_bufs < MIN_BUFS || c->tx_bufs > NET_MAX_PAGES))
		return -EINVAL;
	err = read_mac(s, d, i.mac);
	if (err < 0)
		return err;
	if (read_node(s, d->back, "feature-rx-copy", 0) != 1)
		return -EOPNOTSUPP;
	/* Whatever is not "1" is not offered; for the one switch that is on by default, what is not "0" is off. */
	csum = !c->no_csum;
	i.sg = !c->no_sg && read_node(s, d->back, "feature-sg", 0) == 1;
	i.takes.csum4 = csum && read_node(s, d->back, "feature-no-csum-offload", 0) == 0;
	i.takes.csum6 = csum && read_node(s, d->back, "feature-ipv6-csum-offload", 0) == 1;
	i.takes.gso4 = !c->no_gso && i.sg && i.takes.csum4 && read_node(s, d->back, "feature-gso-tcpv4", 0) == 1;
	i.takes.gso6 = !c->no_gso && i.sg && i.takes.csum6 && read_node(s, d->back, "feature-gso-tcpv6", 0) == 1;
	i.gives.csum4 = i.gives.csum6 = csum;
	i.gives.gso4 = i.gives.gso6 = csum && !c->no_gso && !c->no_sg;
	i.tx_max = i.sg ? NETFRONT_TX_MAX : PAGE_BYTES;
	i.mtu = read_mtu(s, d, i.sg ? NETFRONT_MTU_MAX : MTU_DEFAULT);
	most = read_node(s, d->back, "multi-queue-max-queues", 1);
	i.max_queues = most == 0 || most == UINT32_MAX ? 1 : most;
	i.nr_queues = MIN(MIN(c->queues ? c->queues : 1, FRONT_MAX_QUEUES), i.max_queues);
	i.split = !c->no_split && read_node(s, d->back, "feature-split-event-channels", 0) == 1;
	choose_bufs(c, &i);
	*ret = i;
	return 0;
}

/* ------------------------------------------------------------------ connecting */

static int cls_offer(struct front *f, void *arg)
{
	struct netfront *n = arg;
	int err = netfront_look(f->store, &f->dev, &n->config, &n->info);

	f->nr_queues = n->info.nr_queues;
	f->order = 0; /* netif has no larger rings */
	f->split = n->info.split;
	return err;
}

static void refill(struct netfront_queue *q)
{
	uint32_t bufs = q->n->info.rx_bufs, held = net_rx_held(&q->rx);

	/* Page k serves the requests k, k + bufs, ...: a frame under way keeps the last @held ones that were answered. */
	while (q->rx_ring.req_prod - q->rx_ring.rsp_cons + held < bufs) {
		uint32_t k = q->rx_ring.req_prod & (bufs - 1);
		struct netif_rx_request r = { .id = (uint16_t)k, .gref = q->rx_refs[k] };

		ring_front_put(&q->rx_ring, &r, sizeof(r));
	}
}

static int alloc_pool(struct netfront_queue *q, uint32_t nr, bool writable, uint32_t **refs, uint8_t **pool)
{
	void *pages = NULL;
	int err;

	*refs = calloc(nr, sizeof(**refs));
	if (!*refs)
		return -ENOMEM;
	err = share_pages(q->fq->share, q->n->front->dev.back_domid, nr, writable, *refs, &pages);
	*pool = pages;
	return err;
}

static int prepare_queue(struct netfront *n, struct netfront_queue *q, struct front_queue *fq)
{
	const struct netfront_info *i = &n->info;
	bool asked;
	int err;

	q->n = n;
	q->fq = fq;
	err = ring_front_init(&q->tx_ring, fq->ring[TX].pages, fq->ring[TX].bytes, sizeof(struct netif_tx_request),
			      sizeof(struct netif_tx_response));
	if (err == 0)
		err = ring_front_init(&q->rx_ring, fq->ring[RX].pages, fq->ring[RX].bytes,
				      sizeof(struct netif_rx_request), sizeof(struct netif_rx_response));
	if (err == 0)
		err = alloc_pool(q, i->tx_bufs, false, &q->tx_refs, &q->tx_pool);
	if (err == 0)
		err = alloc_pool(q, i->rx_bufs, true, &q->rx_refs, &q->rx_pool);
	if (err < 0)
		return err;
	net_tx_init(&q->tx, i->tx_bufs);
	net_rx_init(&q->rx, !n->config.no_sg, i->gives.gso4, i->gives.gso6);
	/* The back end finds the requests when it connects; there is nobody to notify yet. */
	refill(q);
	asked = ring_front_push(&q->rx_ring);
	(void)asked;
	return 0;
}

static int cls_prepare(struct front *f, void *arg)
{
	struct netfront *n = arg;
	int err = 0;

	n->queue = aligned_alloc(_Alignof(struct netfront_queue), f->nr_queues * sizeof(*n->queue));
	if (!n->queue)
		return -ENOMEM;
	memset(n->queue, 0, f->nr_queues * sizeof(*n->queue));
	for (uint32_t i = 0; i < f->nr_queues && err == 0; i++)
		err = prepare_queue(n, &n->queue[i], &f->queue[i]);
	return err;
}

static int cls_publish(struct front *f, struct store_tx *t, void *arg)
{
	struct netfront *n = arg;
	const struct {
		const char *leaf;
		bool on;
	} nodes[] = {
		{ "request-rx-copy", true },
		{ "feature-rx-notify", true },
		{ "feature-sg", !n->config.no_sg },
		{ "feature-gso-tcpv4", n->info.gives.gso4 },
		{ "feature-gso-tcpv6", n->info.gives.gso6 },
		{ "feature-no-csum-offload", !n->info.gives.csum4 },
		{ "feature-ipv6-csum-offload", n->info.gives.csum6 },
	};
	struct path p;
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(nodes) && err == 0; i++)
		err = store_write(f->store, t, path_join(&p, f->dev.dir, nodes[i].leaf), nodes[i].on ? "1" : "0");
	return err;
}

/* A back end may write it without end: what it says in between is not looked at. */
static void pause_carrier(const struct netfront *n)
{
	struct pollfd p = { .fd = n->front->cancel_fd, .events = POLLIN };
	uint64_t passed = (now_ns() - n->carrier_ns) / 1000000;

	if (passed < LOOK_MS)
		(void)poll(&p, 1, (int)(LOOK_MS - passed));
}

static void look_at_carrier(struct netfront *n, bool first)
{
	bool up;

	if (!first)
		pause_carrier(n);
	up = read_node(n->front->store, n->front->dev.back, "carrier", 1) != 0;
	n->carrier_ns = now_ns();
	if (!first && up == n->carrier)
		return;
	if (!first)
		log_guest(&n->carrier_told, LOG_LVL_INFO, "%s: the link is %s", n->front->dev.dir, up ? "up" : "down");
	pthread_mutex_lock(&n->carrier_lock);
	n->carrier = up;
	if (n->carrier_fn)
		n->carrier_fn(n->carrier_arg, up);
	pthread_mutex_unlock(&n->carrier_lock);
}

static int cls_connected(struct front *f, bool again, void *arg)
{
	look_at_carrier(arg, !again);
	/* A back end that has just bound its ports may have missed what was published before. */
	for (uint32_t i = 0; i < f->nr_queues; i++)
		for (int k = 0; k < (f->split ? 2 : 1); k++)
			evtchn_notify(f->queue[i].evtchn, f->queue[i].ring[k].port);
	return 0;
}

static void on_carrier(struct store *s, const char *path, void *arg)
{
	look_at_carrier(arg, false);
}

static void cls_ended(struct front *f, int err, void *arg)
{
	struct netfront *n = arg;

	if (set_status(n, err ? err : -ESHUTDOWN))
		log_warn("%s: the back end %s", f->dev.dir, err ? "has gone" : "wants the interface back; closing it");
}

static void cls_release(struct front *f, void *arg)
{
	struct netfront *n = arg;

	for (uint32_t i = 0; n->queue && i < n->info.nr_queues; i++) {
		struct netfront_queue *q = &n->queue[i];

		if (q->tx_pool)
			share_revoke(q->fq->share, q->tx_pool, n->info.tx_bufs);
		if (q->rx_pool)
			share_revoke(q->fq->share, q->rx_pool, n->info.rx_bufs);
		free(q->tx_refs);
		free(q->rx_refs);
	}
	free(n->queue);
	n->queue = NULL;
}

static const struct front_class net_class = {
	.nr_rings = 2,
	.ring = { [TX] = "tx-ring-ref", [RX] = "rx-ring-ref" },
	.channel = { [TX] = "event-channel-tx", [RX] = "event-channel-rx" },
	.published = XenbusStateConnected,
	.offer = cls_offer,
	.prepare = cls_prepare,
	.publish = cls_publish,
	.connected = cls_connected,
	.ended = cls_ended,
	.release = cls_release,
};

int netfront_open(struct store *s, const struct front_dev *d, const struct netfront_config *c, struct netfront **ret)
{
	struct netfront *n = calloc(1, sizeof(*n));
	struct path p;
	int err;

	if (!n)
		return -ENOMEM;
	pthread_mutex_init(&n->carrier_lock, NULL);
	n->config = *c;
	n->config.timeout_ms = c->timeout_ms ? c->timeout_ms : DEF_TIMEOUT_MS;
	n->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = n->stop_fd < 0 ? -EMFILE : front_open(s, d, &net_class, n, &n->front);
	if (err == 0)
		err = front_connect(n->front, n->config.timeout_ms);
	if (err == 0)
		err = store_watch(s, path_join(&p, d->back, "carrier"), on_carrier, n, &n->carrier_watch);
	if (err < 0) {
		netfront_close(n, MIN(n->config.timeout_ms, 2000u));
		return err;
	}
	*ret = n;
	return 0;
}

int netfront_watch(struct netfront *n)
{
	return front_watcher_start(&n->watcher, n->front);
}

int netfront_close(struct netfront *n, uint32_t ms)
{
	int err = 0;

	if (!n)
		return 0;
	front_watcher_stop(&n->watcher);
	store_unwatch(n->carrier_watch);
	if (n->front)
		err = front_close(n->front, ms);
	front_free(n->front);
	if (n->stop_fd >= 0)
		close(n->stop_fd);
	pthread_mutex_destroy(&n->carrier_lock);
	free(n);
	return err;
}

const struct netfront_info *netfront_info(const struct netfront *n)
{
	return &n->info;
}

void netfront_on_carrier(struct netfront *n, void (*fn)(void *arg, bool up), void *arg)
{
	pthread_mutex_lock(&n->carrier_lock);
	n->carrier_fn = fn;
	n->carrier_arg = arg;
	if (fn)
		fn(arg, n->carrier);
	pthread_mutex_unlock(&n->carrier_lock);
}

int netfront_fd(const struct netfront *n)
{
	return n->stop_fd;
}

struct netfront_queue *netfront_queue(struct netfront *n, uint32_t i)
{
	return &n->queue[i];
}

struct netfront_counts netfront_counts(const struct netfront_queue *q)
{
	return q->counts;
}

void netfront_count(struct netfront_queue *q, enum net_fault f)
{
	q->counts.fault[f]++;
}

static void notify(struct netfront_queue *q, int ring)
{
	evtchn_notify(q->fq->evtchn, q->fq->ring[ring].port);
	q->counts.events_sent++;
}

/* ------------------------------------------------------------------ sending */

uint32_t netfront_tx_pages(struct netfront_queue *q, struct iovec *iov, uint32_t max)
{
	uint32_t n = 0, page;

	while (n < max && (page = net_tx_peek(&q->tx, n)) != NET_NONE) {
		iov[n].iov_base = q->tx_pool + (size_t)page * PAGE_BYTES;
		iov[n++].iov_len = PAGE_BYTES;
	}
	return n;
}

static void put_gso(struct netfront_queue *q, const struct net_meta *m)
{
	struct netif_extra_info x;

	memset(&x, 0, sizeof(x)); /* its padding is seen by the back end */
	x.type = XEN_NETIF_EXTRA_TYPE_GSO;
	x.u.gso.size = m->gso_size;
	x.u.gso.type = m->gso_type;
	ring_front_put(&q->tx_ring, &x, sizeof(x));
	q->tx.extras++;
}

int netfront_tx(struct netfront_queue *q, uint32_t bytes, const struct net_meta *m)
{
	const struct netfront_info *i = &q->n->info;
	uint32_t pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES, left = bytes;
	bool gso = m->gso_type != XEN_NETIF_GSO_TYPE_NONE;
	int st = netfront_status(q->n);

	if (unlikely(st != 0))
		return st;
	if (unlikely(bytes < NET_FRAME_MIN || bytes > i->tx_max))
		return -EMSGSIZE;
	if (unlikely(gso &&
		     (m->gso_size == 0 || !(m->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 ? i->takes.gso4 : i->takes.gso6))))
		return -EINVAL;
	if (ring_front_free(&q->tx_ring) < pages + gso || q->tx.nr_free < pages)
		return -EAGAIN;
	for (uint32_t k = 0; k < pages; k++) {
		struct netif_tx_request r = { 0 };
		uint32_t page = net_tx_take(&q->tx, &r.id), n = MIN(left, PAGE_BYTES);

		r.gref = q->tx_refs[page];
		/* The first one names the whole frame, and its own length is what the others leave. */
		r.size = (uint16_t)(k == 0 ? bytes : n);
		r.flags = k + 1 < pages ? NETTXF_more_data : 0;
		if (k == 0) {
			r.flags |= (uint16_t)((m->csum_blank ? NETTXF_csum_blank | NETTXF_data_validated : 0) |
					      (m->data_validated ? NETTXF_data_validated : 0) |
					      (gso ? NETTXF_extra_info : 0));
		}
		ring_front_put(&q->tx_ring, &r, sizeof(r));
		if (k == 0 && gso)
			put_gso(q, m);
		left -= n;
	}
	q->counts.tx_frames++;
	q->counts.tx_bytes += bytes;
	return 0;
}

void netfront_kick(struct netfront_queue *q)
{
	if (ring_front_push(&q->tx_ring))
		notify(q, TX);
}

uint32_t netfront_reclaim(struct netfront_queue *q)
{
	struct netif_tx_response r;
	struct net_tx_done done;
	uint32_t freed = 0;
	int n;

	if (unlikely(is_dead(q)))
		return 0;
	n = ring_front_pending(&q->tx_ring);
	if (unlikely(n < 0)) {
		broken(q, NET_BAD_PRODUCER);
		return 0;
	}
	if (n > 0)
		q->worked = true;
	while (n-- > 0) {
		enum net_fault fault;

		ring_front_take(&q->tx_ring, &r);
		fault = net_tx_accept(&q->tx, &r, &done);
		if (unlikely(net_fault_fatal(fault))) {
			broken(q, fault);
			return freed;
		}
		q->counts.fault[fault] += fault != NET_OK;
		q->counts.tx_errors += done.status != 0;
		freed += !done.extra;
	}
	return freed;
}

bool netfront_arm_tx(struct netfront_queue *q)
{
	uint32_t inflight = netfront_tx_inflight(q);
	int n;

	if (is_dead(q) || inflight == 0)
		return false;
	/* Half of them: room for much, and no event for each. */
	n = ring_front_arm(&q->tx_ring, inflight / 2 + 1);
	if (n < 0)
		broken(q, NET_BAD_PRODUCER);
	return n > 0;
}

uint32_t netfront_tx_room(const struct netfront_queue *q)
{
	return ring_front_free(&q->tx_ring);
}

uint32_t netfront_tx_inflight(const struct netfront_queue *q)
{
	return q->tx_ring.req_prod - q->tx_ring.rsp_cons;
}

/* ------------------------------------------------------------------ receiving */

static void deliver(struct netfront_queue *q, netfront_rx_fn *fn, void *arg)
{
	const struct net_rx_frame *r = &q->rx.frame;
	struct netfront_frame f;

	f.nr = r->nr_segs;
	f.bytes = r->bytes;
	f.meta = (struct net_meta){ r->csum_blank, r->data_validated, r->gso_type, r->gso_size };
	for (uint32_t i = 0; i < r->nr_segs; i++) {
		f.iov[i].iov_base = q->rx_pool + (size_t)r->seg[i].page * PAGE_BYTES + r->seg[i].offset;
		f.iov[i].iov_len = r->seg[i].bytes;
	}
	q->counts.rx_frames++;
	q->counts.rx_bytes += r->bytes;
	fn(arg, &f);
}

uint32_t netfront_rx(struct netfront_queue *q, uint32_t max, netfront_rx_fn *fn, void *arg)
{
	uint32_t bufs = q->n->info.rx_bufs, slots = 0, frames = 0;
	uint64_t slot;
	int n;

	if (unlikely(is_dead(q)))
		return 0;
	n = ring_front_pending(&q->rx_ring);
	if (unlikely(n < 0)) {
		broken(q, NET_BAD_PRODUCER);
		return 0;
	}
	_Static_assert(sizeof(slot) == sizeof(struct netif_rx_response), "a receive slot is eight bytes");
	for (; n > 0 && frames < max; n--, slots++) {
		uint32_t page = q->rx_ring.rsp_cons & (bufs - 1);

		ring_front_take(&q->rx_ring, &slot);
		switch (net_rx_feed(&q->rx, page, &slot)) {
		case NET_RX_MORE:
			break;
		case NET_RX_FRAME:
			deliver(q, fn, arg);
			frames++;
			break;
		case NET_RX_DROP:
			q->counts.fault[q->rx.fault]++;
			frames++;
			break;
		case NET_RX_HALT:
			broken(q, q->rx.fault);
			return slots;
		}
	}
	if (slots == 0)
		return 0;
	q->worked = true;
	q->counts.rx_slots += slots;
	refill(q);
	if (ring_front_push(&q->rx_ring))
		notify(q, RX);
	return slots;
}

bool netfront_arm_rx(struct netfront_queue *q)
{
	int n;

	if (is_dead(q))
		return false;
	n = ring_front_arm(&q->rx_ring, 1);
	if (n < 0)
		broken(q, NET_BAD_PRODUCER);
	return n > 0;
}

/* ------------------------------------------------------------------ sleeping */

static void read_events(struct netfront_queue *q)
{
	int port;

	while ((port = evtchn_next(q->fq->evtchn)) > 0) {
		q->counts.events_received++;
		q->heard = true;
		q->worked = false;
		for (int k = 0; k < (q->n->info.split ? 2 : 1); k++)
			if (q->fq->ring[k].port == (uint32_t)port)
				q->masked[k] = true;
	}
}

static void unmask(struct netfront_queue *q)
{
	for (int k = 0; k < 2; k++) {
		if (q->masked[k])
			evtchn_unmask(q->fq->evtchn, q->fq->ring[k].port);
		q->masked[k] = false;
	}
}

int netfront_sleep(struct netfront_queue *q, int fd, short events, uint32_t ms)
{
	struct pollfd p[3] = { { .fd = q->n->stop_fd, .events = POLLIN },
			       { .fd = fd, .events = events },
			       { .fd = evtchn_fd(q->fq->evtchn), .events = POLLIN } };

	if (q->heard && !q->worked) {
		q->idle++;
		q->counts.events_idle++;
	} else if (q->worked) {
		q->idle = 0;
	}
	q->heard = false;
	q->worked = false;
	if (q->idle >= IDLE_EVENTS) {
		/* A storm.  Its port stays masked while we look away; rings and @fd are served all the same. */
		q->idle = IDLE_EVENTS - 1;
		p[2].fd = -1;
		ms = MIN(ms, NAP_MS);
	} else {
		unmask(q);
	}
	q->counts.sleeps++;
	if (netfront_status(q->n) != 0)
		return 0;
	if (poll(p, 3, (int)MIN(ms, (uint32_t)INT32_MAX)) > 0 && p[2].revents)
		read_events(q);
	return p[1].revents;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netfront.h - the network front end as a library: open an interface, send frames, receive frames.
 *
 * Theory.  One `struct netfront` an interface, one `struct netfront_queue` a pair of rings.  A queue is used by one
 * thread at a time; queues share nothing that is written on the data path.  Opening and closing belong to one
 * control thread; between them the xenstore connection is the watching thread's (netfront_watch()).
 *
 * Memory.  All pages are zeroed and granted at connect, once.  Transmit pages are granted read-only: the back end can
 * read what was last sent from them, for as long as the interface is open, and nothing else.  Receive page k belongs to
 * the requests with id k, which is their place in the ring modulo the number of pages, so the order of the ring is kept
 * by construction.  The back end can change a receive page whenever it likes, also while we look at it: copy what you
 * check before you check it.
 *
 * Trust.  The back end is not trusted with anything but the frames it passes on.  Responses are copied, then checked
 * (net-rsp.h).  A frame that cannot be is dropped and counted; a ring that cannot be understood any more ends the
 * device: it is told once in the log, and only closing is left.  Of what is in flight nothing is taken back by asking
 * whether the back end still uses it.
 *
 * Events.  Sending only places requests; netfront_kick() publishes them, with one notification if the back end asked
 * for one.  An event for transmit responses is asked for only by netfront_arm_tx(), when there is no room.  A back end
 * that sends events without work is listened to once in a millisecond.
 */
#ifndef SYNTH_NETFRONT_H
#define SYNTH_NETFRONT_H

#include <sys/uio.h>

#include "common/base/base.h"
#include "frontend/core/front.h"
#include "common/net/offload.h"
#include "frontend/net/net-rsp.h"

#define NETFRONT_MTU_MIN 68u
#define NETFRONT_MTU_MAX \
	65517u /* with its header it is what a transmit request can name: 65535 bytes, a tag of 4 included */
#define NETFRONT_TX_MAX 65535u /* bytes of a frame */

struct netfront_config {
	uint32_t queues; /* at most so many; 0: 1 */
	uint32_t rx_bufs,
		tx_bufs; /* pages a queue, rx a power of two; 32..256; 0: so that all fit gntalloc's default limit */
	bool no_split;   /* one event channel a queue even if the back end would have two */
	bool no_sg, no_gso, no_csum; /* do not offer these, nor use them */
	uint32_t timeout_ms;         /* to connect; 0: 10 s */
};

struct netfront_info {
	uint8_t mac[6];
	uint32_t mtu; /* of the IP packets, bytes: what the toolstack says, or 1500, and never more than fits */
	uint32_t nr_queues, max_queues; /* used, offered */
	bool split;
	bool sg;                /* a frame may have several slots */
	struct net_takes takes; /* what the back end takes from us */
	struct net_takes gives; /* what we told it that we take */
	uint32_t tx_max;        /* bytes of the largest frame that can be sent */
	uint32_t rx_bufs, tx_bufs;
};

struct netfront;
struct netfront_queue;

extern const char *const netfront_types[2]; /* for front_list(): "svif", "vif" */

/* What @d says of itself without connecting to it: 0; -EPROTO: its mac is missing or makes no sense; -EOPNOTSUPP: its
 * back end does not copy. */
int netfront_look(struct store *s, const struct front_dev *d, const struct netfront_config *c,
		  struct netfront_info *ret) __must_check;

/* 0; -EBUSY: in use by another; -ENODEV: no back end; -ETIMEDOUT; -ENOSPC: no more grants; as netfront_look(); -errno.
 * On failure the device is left closed. */
int netfront_open(struct store *s, const struct front_dev *d, const struct netfront_config *c,
		  struct netfront **ret) __must_check;
/* No thread uses a queue any more.  Frees all.  0, or -ETIMEDOUT when the back end did not follow. */
int netfront_close(struct netfront *n, uint32_t ms); /* NULL ok */

const struct netfront_info *netfront_info(const struct netfront *n);
/* 0; -ESHUTDOWN: the back end is closing; -ENODEV: it has gone; -EIO: it broke the protocol; -ECANCELED: we stop. */
int netfront_status(const struct netfront *n);
int netfront_fd(const struct netfront *n); /* readable once the status is not 0 */
/* End all waiting on all queues: netfront_status() is -ECANCELED unless there was another reason before. */
void netfront_stop(struct netfront *n);
/* Called with what the back end says of the link (false is "no carrier"): from the watching thread when it changes, 100 times a second
 * at most, and once at the start; not twice at a time, and not any more once this has returned with NULL. */
void netfront_on_carrier(struct netfront *n, void (*fn)(void *arg, bool up), void *arg);
/* A thread of the library's looks at the back end until netfront_close(); the xenstore connection is its own meanwhile. */
int netfront_watch(struct netfront *n) __must_check;

struct netfront_queue *netfront_queue(struct netfront *n, uint32_t i);

/* ------------------------------------------------------------------ sending */

/* Pages that the next frame can have, at most @max: filled into iov (a page each).  Valid until the next call on
 * this queue that sends. */
uint32_t netfront_tx_pages(struct netfront_queue *q, struct iovec *iov, uint32_t max);
/*
 * Send the first @bytes of these pages.  0; -EAGAIN: no room in ring or pages, netfront_reclaim() first; -EMSGSIZE: more
 * than info.tx_max, or less than an Ethernet header; -EINVAL: offloads the back end did not offer; else as netfront_status().
 */
int netfront_tx(struct netfront_queue *q, uint32_t bytes, const struct net_meta *meta) __must_check;
/* Publish; notify if asked. */
void netfront_kick(struct netfront_queue *q);
/* Take transmit responses.  The number of pages that came back. */
uint32_t netfront_reclaim(struct netfront_queue *q);
/* Ask for an event at further transmit responses; true: some are there, do not sleep. */
bool netfront_arm_tx(struct netfront_queue *q) __must_check;
uint32_t netfront_tx_room(const struct netfront_queue *q); /* free slots: a frame takes one a page, and one for GSO */
uint32_t netfront_tx_inflight(const struct netfront_queue *q); /* slots */

/* ------------------------------------------------------------------ receiving */

struct netfront_frame {
	struct iovec iov[NET_MAX_SEGS]; /* pages that the back end can write to */
	uint32_t nr, bytes;
	struct net_meta meta;
};
/* Valid until it returns. */
typedef void netfront_rx_fn(void *arg, const struct netfront_frame *f);
/* Take at most @max frames, give their pages back to the back end.  The number of slots consumed: 0 is nothing to do. */
uint32_t netfront_rx(struct netfront_queue *q, uint32_t max, netfront_rx_fn *fn, void *arg);
/* Ask for an event at the next receive response; true: there is one, do not sleep. */
bool netfront_arm_rx(struct netfront_queue *q) __must_check;
/* A frame that was whole and could not be used after all. */
void netfront_count(struct netfront_queue *q, enum net_fault f);

/*
 * Sleep until there is an event, the device stops, @fd (unless < 0) has one of @events, or @ms have passed.  Call it
 * when everything is armed.  Returns the poll events of @fd.
 */
int netfront_sleep(struct netfront_queue *q, int fd, short events, uint32_t ms);

struct netfront_counts {
	uint64_t tx_frames, tx_bytes, tx_errors; /* tx_errors: the back end's answer was not OKAY */
	uint64_t rx_frames, rx_bytes, rx_slots;
	uint64_t events_sent, events_received, events_idle, sleeps;
	uint64_t fault[NET_NR_FAULTS];
};
/* By the thread that uses the queue, or when none does. */
struct netfront_counts netfront_counts(const struct netfront_queue *q);

#endif

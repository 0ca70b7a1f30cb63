/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-rsp.h - what a network back end answers, checked: transmit responses against what is in flight, receive
 * responses put together to frames.  Pure.
 *
 * Transmit.  A request's id is made of the page it sends (8 bits) and of that page's generation (8 bits), so that a
 * second answer for a page that has been sent again since is told from the answer to the new request.  Answers come in
 * any order.  An extra slot is answered by NETIF_RSP_NULL and an undefined id; how many of those may come is counted.
 *
 * Receive.  A response sits in the slot of its request, in order, and a response that does not name that request's id
 * is the end of the device.  One frame is a chain of slots: data, then extras if the first one says so, then data as
 * long as more_data is set.  A slot is fed in when it is there; what is wrong with a frame makes that frame be dropped
 * when its chain ends, so a chain without an end costs the back end's own time and nothing else.
 *
 * Two severities: after a *fatal* fault the ring cannot be understood any more (ids, producer), the device is halted.
 * All others spoil one frame.
 */
#ifndef SYNTH_NET_RSP_H
#define SYNTH_NET_RSP_H

#include "common/base/base.h"
#include <xen/io/netif.h>

#define NET_MAX_PAGES  256u /* a ring has 256 slots */
#define NET_NONE       UINT32_MAX
#define NET_FRAME_MIN  14u               /* an Ethernet header */
#define NET_FRAME_MAX  (65535u + 14 + 4) /* bytes: the largest IP packet, a header and one VLAN tag */
#define NET_MAX_SEGS   20u               /* data slots of a frame; netback fills 18 at most */
#define NET_MAX_EXTRAS 4u                /* one of each type */

enum net_fault {
	NET_OK,
	/* fatal */
	NET_BAD_PRODUCER, /* more responses than requests; found by ring_front_pending() */
	NET_TX_BAD_ID,    /* no such page */
	NET_TX_IDLE_ID,   /* nothing sent with it, or answered before */
	NET_TX_BAD_NULL,  /* more answers to extras than extras */
	NET_RX_BAD_ID,    /* not the id of the request in that slot */
	NET_LAST_FATAL = NET_RX_BAD_ID,
	/* the frame is dropped */
	NET_TX_STATUS,      /* (the frame was not sent) a status that does not exist */
	NET_RX_STATUS,      /* negative: the back end itself gave up on it */
	NET_RX_PAGE,        /* offset or length beyond the page */
	NET_RX_CHAIN,       /* too many slots */
	NET_RX_SHORT,       /* no whole Ethernet header */
	NET_RX_LONG,        /* more bytes than an IP packet can have */
	NET_RX_UNASKED,     /* several slots, or GSO, where we did not say that we can */
	NET_RX_PREFIX,      /* the long gone GSO prefix */
	NET_RX_EXTRA_PLACE, /* an extra is announced behind the first slot */
	NET_RX_EXTRA_TYPE,  /* of a type that is not known, or makes no sense here */
	NET_RX_EXTRA_CHAIN, /* more extras than there are types, or one twice */
	NET_RX_GSO_SIZE,    /* 0, or more than the frame */
	NET_RX_GSO_TYPE,    /* neither TCPv4 nor TCPv6, or not what the headers say */
	NET_RX_HEADER,      /* a blank checksum or GSO, and headers that cannot be that */
	NET_NR_FAULTS
};

static inline bool net_fault_fatal(enum net_fault f)
{
	return f != NET_OK && f <= NET_LAST_FATAL;
}
const char *net_fault_text(enum net_fault f); /* for people */
const char *net_fault_name(enum net_fault f); /* for programs: "rx_gso_size" */

/* ------------------------------------------------------------------ transmit */

struct net_tx {
	uint8_t gen[NET_MAX_PAGES];
	bool busy[NET_MAX_PAGES];
	uint8_t free[NET_MAX_PAGES]; /* LIFO: a page that was just answered is warm */
	uint32_t nr, nr_free;
	uint32_t extras; /* slots that await NETIF_RSP_NULL */
};

void net_tx_init(struct net_tx *t, uint32_t nr_pages);
/* The page that the (@i + 1)th net_tx_take() from now will return; NET_NONE when there are not so many. */
uint32_t net_tx_peek(const struct net_tx *t, uint32_t i);
/* Only when one is free.  *id goes on the wire. */
uint32_t net_tx_take(struct net_tx *t, uint16_t *id);

struct net_tx_done {
	bool extra; /* an answer to an extra slot: nothing came back */
	int status; /* 0, or -EIO: not sent, -ENOBUFS: dropped */
};
/* One response, copied out of the ring (4 bytes).  NET_OK or NET_TX_STATUS: *ret is filled, the page is free.  Else
 * fatal, and nothing changed. */
enum net_fault net_tx_accept(struct net_tx *t, const void *bytes, struct net_tx_done *ret) __must_check;

/* ------------------------------------------------------------------ receive */

struct net_seg {
	uint32_t page, offset, bytes;
};

struct net_rx_frame {
	uint32_t nr_segs, bytes; /* no segment is empty */
	struct net_seg seg[NET_MAX_SEGS];
	bool csum_blank, data_validated;
	uint8_t gso_type; /* XEN_NETIF_GSO_TYPE_* */
	uint16_t gso_size;
};

enum net_rx_verdict { NET_RX_MORE, NET_RX_FRAME, NET_RX_DROP, NET_RX_HALT };

struct net_rx {
	/* what we told the back end that we take */
	bool sg, gso4, gso6;
	/* private */
	enum { NET_RX_AT_HEAD, NET_RX_AT_EXTRA, NET_RX_AT_DATA } at;
	bool more_data; /* what the last data slot said */
	uint32_t slots, extras, seen;
	struct net_rx_frame frame;
	enum net_fault fault; /* the first of this frame */
};

void net_rx_init(struct net_rx *r, bool sg, bool gso4, bool gso6);
/*
 * The next slot, copied out of the ring (8 bytes), which answers the request with id @page.  NET_RX_FRAME: r->frame
 * is whole.  NET_RX_DROP: it is not to be used; NET_RX_HALT: nothing is, any more.  In both r->fault says why.
 */
enum net_rx_verdict net_rx_feed(struct net_rx *r, uint32_t page, const void *bytes) __must_check;
/* Slots of the frame under way, whose pages still belong to it; none of a spoilt one, so that even a chain without an
 * end cannot hold them all. */
static inline uint32_t net_rx_held(const struct net_rx *r)
{
	return r->fault == NET_OK ? r->slots : 0;
}

#endif

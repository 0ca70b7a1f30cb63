/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-hdr.h - the headers of a frame, and the two ways to say what is still to be done to it: netif's flags and
 * extras, and virtio_net_hdr (which a TAP speaks).  Pure.  Frames are private memory of the given length; every
 * length inside them is the sender's word and is checked against it.
 */
#ifndef SYNTH_NET_HDR_H
#define SYNTH_NET_HDR_H

#include <linux/virtio_net.h>
#include "backend/net/net-tx.h"
#include "common/base/base.h"

struct net_hdr {
	uint8_t ip;        /* 4 or 6 */
	uint8_t proto;     /* 6 TCP, 17 UDP */
	uint16_t l3, l4;   /* offsets of the IP header and of TCP's or UDP's */
	uint16_t end;      /* where the payload starts: the TCP or UDP header is whole */
	uint16_t csum;     /* offset of the checksum from l4 */
	uint32_t ip_bytes; /* of the IP packet, as its header says; 0 in a jumbogram or a packet to be cut */
};

/* 0, or -EINVAL: no whole TCP or UDP header is there, or it is a fragment of an IP packet. */
int net_hdr_parse(const uint8_t *frame, uint32_t bytes, struct net_hdr *h) __must_check;

/*
 * What a guest says of the frame it sends -> @v.  A packet to be cut whose checksum the guest says is finished gets
 * the unfinished one that cutting needs, in @frame.  0, or -EINVAL: it cannot be what the guest says.
 */
int net_hdr_from_guest(const struct net_tx_packet *p, uint8_t *frame, struct virtio_net_hdr *v) __must_check;

/* For a guest. */
struct net_rx_meta {
	bool csum_blank, data_validated;
	uint8_t gso_type;
	uint16_t gso_size;
};
/*
 * What a link says of the frame -> what the guest is told; a checksum it cannot finish itself (@features: NET_F_*) is
 * finished here, in @frame.  0, -EINVAL: @v contradicts the frame; -EOPNOTSUPP: the guest cannot take what has to be cut.
 */
int net_hdr_to_guest(const struct virtio_net_hdr *v, uint8_t *frame, uint32_t bytes, uint32_t features,
		     struct net_rx_meta *m) __must_check;

/* Sum the bytes from @start to the end, which include the pseudo-header's sum, into the field at @start + @offset. */
int net_csum_finish(uint8_t *frame, uint32_t bytes, uint32_t start, uint32_t offset) __must_check;
/* The pseudo-header's sum, folded and not complemented, of @l4_bytes of TCP or UDP. */
uint16_t net_csum_pseudo(const uint8_t *frame, const struct net_hdr *h, uint32_t l4_bytes);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-hdr.h - a whole frame of a guest, or for one, between netif and virtio_net_hdr (common/net/offload.h says how).  Pure.
 */
#ifndef SYNTH_NET_HDR_H
#define SYNTH_NET_HDR_H

#include "backend/net/net-tx.h"
#include "common/net/offload.h"

/*
 * What a guest says of the frame it sends -> @v.  A packet to be cut whose checksum the guest says is finished gets
 * the unfinished one that cutting needs, in @frame.  0, or it cannot be what the guest says.
 */
int net_hdr_from_guest(const struct net_tx_packet *p, uint8_t *frame, struct virtio_net_hdr *v) __must_check;

/*
 * What a link says of the frame -> what the guest is told; a checksum it cannot finish itself (@features: NET_F_*) is
 * finished here, in @frame.  0; > 0: it is to be cut by the caller (cut.h), and @m is what is said of each segment; -EBADMSG: @v
 * contradicts the frame; -EOPNOTSUPP: the guest cannot take what has to be cut.
 */
int net_hdr_to_guest(const struct virtio_net_hdr *v, uint8_t *frame, uint32_t bytes, uint32_t features,
		     struct net_meta *m) __must_check;

#endif

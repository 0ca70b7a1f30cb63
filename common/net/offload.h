/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * offload.h - the two ways to say what is still to be done to a frame: netif's flags and extras, and the header
 * (struct virtio_net_hdr) by which a TAP says the same.  Pure; for both ends, which stand between the two.
 *
 * netif says of a frame "its checksum is blank" and "cut it into TCP segments of so many bytes" and leaves it to the
 * receiver to find the headers; virtio says where the checksum starts and lies.  A blank checksum field holds the
 * folded sum of the pseudo header, not complemented, in both; so it does in a packet to be cut, with the length of the whole.
 */
#ifndef SYNTH_NET_OFFLOAD_H
#define SYNTH_NET_OFFLOAD_H

#include <linux/virtio_net.h>
#include "common/net/frame.h"

/* What netif says of a frame. */
struct net_meta {
	bool csum_blank, data_validated;
	uint8_t gso_type; /* XEN_NETIF_GSO_TYPE_* */
	uint16_t gso_size;
};

/* What the other end of the rings takes. */
struct net_takes {
	bool csum4, csum6, gso4, gso6;
};

/*
 * From the rings to a TAP: @head are the frame's first @have bytes, ours to correct (a packet to be cut whose checksum was
 * not marked blank gets its pseudo header's sum), of @bytes in all.  One that fits as it is is not cut.
 * -EBADMSG: headers that cannot be; -EPROTOTYPE: GSO of another type than the headers say.
 */
int offload_to_vnet(const struct net_meta *m, uint8_t *head, size_t have, uint32_t bytes,
		    struct virtio_net_hdr *ret) __must_check;

/*
 * From a TAP, or another of our workers, to the rings.  *finish: the checksum must be finished by the caller (csum_start and
 * csum_offset say where), because the other end would not know of it, or not find it: behind a VLAN tag (cut.h).  > 0: for the same reason
 * it must be cut by the caller, into segments of v->gso_size; @ret is what is said of each.  -EBADMSG: @v contradicts the headers;
 * -EOPNOTSUPP: it has to be cut in a way that the other end does not take.
 */
int offload_from_vnet(const struct virtio_net_hdr *v, uint8_t *head, size_t have, uint32_t bytes,
		      const struct net_takes *takes, struct net_meta *ret, bool *finish) __must_check;

#endif

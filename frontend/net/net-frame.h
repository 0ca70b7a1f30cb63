/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-frame.h - Ethernet frames looked into as far as offloads need it: where the TCP or UDP header is, its checksum,
 * and the header (struct virtio_net_hdr) by which a TAP says the same.  Pure.
 *
 * netif says of a frame "its checksum is blank" and "cut it into TCP segments of so many bytes" and leaves it to the
 * receiver to find the headers; virtio says where the checksum starts and lies.  A blank checksum field holds the
 * folded sum of the pseudo header, not complemented, in both.
 */
#ifndef SYNTH_NET_FRAME_H
#define SYNTH_NET_FRAME_H

#include "common/base/base.h"
#include <linux/virtio_net.h>
#include <sys/uio.h>

#define FRAME_ETH_LEN 14u
#define FRAME_HEAD_MAX \
	256u /* bytes copied to be looked into: Ethernet, two tags, IPv6 with options, TCP with options */
#define FRAME_PROTO_TCP 6u
#define FRAME_PROTO_UDP 17u

struct frame_head {
	uint8_t family;  /* 4, 6 */
	uint8_t proto;   /* FRAME_PROTO_* */
	uint16_t l3, l4; /* offsets of the IP and the TCP or UDP header */
	uint16_t csum;   /* offset of the checksum field, from l4 */
	uint16_t bytes;  /* of all headers */
};

/*
 * @p: the first @have bytes of a frame.  0; -EBADMSG: the headers are cut off or lie about their lengths;
 * -EOPNOTSUPP: neither TCP nor UDP over IPv4 or IPv6, or a fragment.
 */
int frame_parse(const uint8_t *p, size_t have, struct frame_head *ret) __must_check;

/* The ones' complement sum of @n bytes added to @sum; @n must be even but for the last piece. */
uint32_t csum_add(uint32_t sum, const void *p, size_t n);
uint16_t csum_fold(uint32_t sum); /* not complemented; as stored, in network order */
/* The pseudo header's sum for @l4_bytes of TCP or UDP header and data. */
uint16_t frame_pseudo(const uint8_t *p, const struct frame_head *h, uint32_t l4_bytes);
/* Finish a blank checksum over the pieces of a frame: from byte @start to the end, stored @offset bytes behind @start.
 * -EBADMSG when the field is not in the frame. */
int csum_finish(const struct iovec *iov, uint32_t nr, uint32_t start, uint32_t offset) __must_check;
/* Is the checksum of a whole TCP or UDP packet right?  (A UDP checksum of 0 is none, in IPv4.) */
bool csum_right(const uint8_t *p, const struct frame_head *h, uint32_t bytes);

/* What netif says of a frame. */
struct net_meta {
	bool csum_blank, data_validated;
	uint8_t gso_type; /* XEN_NETIF_GSO_TYPE_* */
	uint16_t gso_size;
};

/*
 * From a back end to a TAP: @head are the frame's first @have bytes, ours to correct (a GSO frame whose checksum was
 * not marked blank gets its pseudo header's sum), of @bytes in all.
 * -EBADMSG: headers that cannot be; -EPROTOTYPE: GSO of another type than the headers say.
 */
int frame_to_vnet(const struct net_meta *m, uint8_t *head, size_t have, uint32_t bytes,
		  struct virtio_net_hdr *ret) __must_check;

/* What the back end takes. */
struct net_takes {
	bool csum4, csum6, gso4, gso6;
};
/*
 * From a TAP to a back end; the TAP is our own kernel's, and was told what may come.  *finish: the checksum must be
 * finished here, because the back end would not know of it.  -EOPNOTSUPP: cannot be sent.
 */
int frame_from_vnet(const struct virtio_net_hdr *v, const uint8_t *head, size_t have, const struct net_takes *takes,
		    struct net_meta *ret, bool *finish) __must_check;

#endif

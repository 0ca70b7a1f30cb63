/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frame.h - Ethernet frames looked into as far as offloads need it: where the TCP or UDP header is, and its checksum.  Pure.
 * Frames are private memory of the given length; every length inside them is the sender's word and is checked against it.
 */
#ifndef SYNTH_NET_FRAME_H
#define SYNTH_NET_FRAME_H

#include "common/base/base.h"
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
/* The same of a frame in one piece. */
static inline __must_check int frame_finish(uint8_t *frame, uint32_t bytes, uint32_t start, uint32_t offset)
{
	return csum_finish(&(struct iovec){ frame, bytes }, 1, start, offset);
}
/* Is the checksum of a whole TCP or UDP packet right?  (A UDP checksum of 0 is none, in IPv4.) */
bool csum_right(const uint8_t *p, const struct frame_head *h, uint32_t bytes);

#endif

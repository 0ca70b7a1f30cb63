/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * offload.c - see offload.h.  A sender's "checksum blank" is believed only for a whole TCP or UDP header, whose place we find
 * ourselves.  virtio_net_hdr is in native order.
 */
#include <errno.h>
#include <stdint.h>
#include <xen/io/netif.h>
#include "common/net/offload.h"

static void put_pseudo(uint8_t *head, const struct frame_head *h, uint32_t bytes)
{
	uint16_t sum = frame_pseudo(head, h, bytes - h->l4);

	memcpy(head + h->l4 + h->csum, &sum, sizeof(sum));
}

int offload_to_vnet(const struct net_meta *m, uint8_t *head, size_t have, uint32_t bytes, struct virtio_net_hdr *ret)
{
	struct frame_head h;

	memset(ret, 0, sizeof(*ret));
	if (!m->csum_blank && m->gso_type == XEN_NETIF_GSO_TYPE_NONE) {
		if (m->data_validated)
			ret->flags = VIRTIO_NET_HDR_F_DATA_VALID;
		return 0;
	}
	if (frame_parse(head, have, &h) < 0)
		return -EBADMSG;
	ret->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	ret->csum_start = h.l4;
	ret->csum_offset = h.csum;
	if (m->gso_type == XEN_NETIF_GSO_TYPE_NONE)
		return 0;
	if (h.proto != FRAME_PROTO_TCP || h.family != (m->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 ? 4 : 6))
		return -EPROTOTYPE;
	if (!m->csum_blank) /* some forget to say it; the kernel would not take GSO without */
		put_pseudo(head, &h, bytes);
	if (bytes - h.bytes <= m->gso_size)
		return 0; /* nothing to cut */
	ret->gso_type = h.family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	ret->gso_size = m->gso_size;
	ret->hdr_len = h.bytes;
	return 0;
}

/* Linux does not look behind a VLAN tag for what is left to it, and drops the frame. */
static bool tagged(const struct frame_head *h)
{
	return h->l3 != FRAME_ETH_LEN;
}

static int cut_from_vnet(const struct virtio_net_hdr *v, uint8_t *head, uint32_t bytes, const struct frame_head *h,
			 const struct net_takes *takes, struct net_meta *ret)
{
	bool four = v->gso_type == VIRTIO_NET_HDR_GSO_TCPV4;

	/* Nothing else has a name in netif: not UDP's, not TCP's with ECN. */
	if (!four && v->gso_type != VIRTIO_NET_HDR_GSO_TCPV6)
		return -EOPNOTSUPP;
	if (!h || h->proto != FRAME_PROTO_TCP || h->family != (four ? 4 : 6) || v->gso_size == 0)
		return -EBADMSG;
	if (tagged(h))
		return 1;
	if (four ? !takes->gso4 || !takes->csum4 : !takes->gso6 || !takes->csum6)
		return -EOPNOTSUPP;
	if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		put_pseudo(head, h, bytes);
	else if (v->csum_start != h->l4 || v->csum_offset != h->csum)
		return -EBADMSG;
	ret->gso_type = four ? XEN_NETIF_GSO_TYPE_TCPV4 : XEN_NETIF_GSO_TYPE_TCPV6;
	ret->gso_size = v->gso_size;
	/* Windows asserts that a packet to be cut has no checksum yet; Linux repairs it. */
	ret->csum_blank = ret->data_validated = true;
	return 0;
}

int offload_from_vnet(const struct virtio_net_hdr *v, uint8_t *head, size_t have, uint32_t bytes,
		      const struct net_takes *takes, struct net_meta *ret, bool *finish)
{
	struct frame_head h;
	bool known;

	*finish = false;
	memset(ret, 0, sizeof(*ret));
	if (v->gso_type == VIRTIO_NET_HDR_GSO_NONE && !(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		ret->data_validated = v->flags & VIRTIO_NET_HDR_F_DATA_VALID;
		return 0;
	}
	known = frame_parse(head, have, &h) == 0;
	if (v->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return cut_from_vnet(v, head, bytes, known ? &h : NULL, takes, ret);
	/* The other end looks for the place itself: does it find the same one? */
	if (known && !tagged(&h) && h.l4 == v->csum_start && h.csum == v->csum_offset &&
	    (h.family == 4 ? takes->csum4 : takes->csum6))
		ret->csum_blank = ret->data_validated = true;
	else
		*finish = true;
	return 0;
}

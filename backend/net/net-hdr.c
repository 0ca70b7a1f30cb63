/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-hdr.c - see net-hdr.h. */
#include <errno.h>
#include "backend/net/net-hdr.h"
#include "backend/net/net-wire.h"

int net_hdr_from_guest(const struct net_tx_packet *p, uint8_t *f, struct virtio_net_hdr *v)
{
	const struct net_meta m = { p->csum_blank, p->data_validated, p->gso_type, p->gso_size };

	return offload_to_vnet(&m, f, p->bytes, p->bytes, v);
}

int net_hdr_to_guest(const struct virtio_net_hdr *v, uint8_t *f, uint32_t bytes, uint32_t features, struct net_meta *m)
{
	const struct net_takes takes = {
		.csum4 = features & NET_F_CSUM4,
		.csum6 = features & NET_F_CSUM6,
		.gso4 = (features & NET_F_GSO4) && (features & NET_F_SG),
		.gso6 = (features & NET_F_GSO6) && (features & NET_F_SG),
	};
	bool finish;
	int rc;

	if (bytes < NET_MIN_FRAME)
		return -EBADMSG;
	rc = offload_from_vnet(v, f, bytes, bytes, &takes, m, &finish);
	if (rc == 0 && finish)
		rc = frame_finish(f, bytes, v->csum_start, v->csum_offset);
	return rc;
}

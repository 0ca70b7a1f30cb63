/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-rx.c - see net-rx.h. */
#include "backend/net/net-rx.h"

static uint16_t first_flags(const struct net_meta *m, uint32_t data_slots)
{
	uint16_t flags = 0;

	if (m->csum_blank)
		flags |= NETRXF_csum_blank;
	if (m->data_validated)
		flags |= NETRXF_data_validated;
	if (m->gso_type)
		flags |= NETRXF_extra_info;
	if (data_slots > 1)
		flags |= NETRXF_more_data;
	return flags;
}

uint32_t net_rx_plan(uint32_t bytes, const struct net_meta *m, const union net_rx_slot *req, union net_rx_slot *out,
		     struct net_rx_piece pieces[NET_RX_MAX_SLOTS])
{
	uint32_t data = (bytes + PAGE_BYTES - 1) / PAGE_BYTES, slot = 0;

	for (uint32_t i = 0; i < data; i++) {
		uint32_t piece = MIN(bytes - i * (uint32_t)PAGE_BYTES, (uint32_t)PAGE_BYTES);
		uint16_t id = req[slot].req.id;

		pieces[i] = (struct net_rx_piece){ slot, i * (uint32_t)PAGE_BYTES, piece };
		out[slot].rsp = (struct netif_rx_response){
			.id = id,
			.flags = i == 0 ? first_flags(m, data) : (i + 1 < data ? NETRXF_more_data : 0),
			.status = (int16_t)piece,
		};
		slot++;
		if (i > 0 || !m->gso_type)
			continue;
		/* Its slot's buffer goes back unused. */
		memset(&out[slot], 0, sizeof(out[slot]));
		out[slot].extra.type = XEN_NETIF_EXTRA_TYPE_GSO;
		out[slot].extra.u.gso.size = m->gso_size;
		out[slot].extra.u.gso.type = m->gso_type;
		slot++;
	}
	return data;
}

void net_rx_fail(union net_rx_slot *out, uint32_t n, const struct net_meta *m)
{
	for (uint32_t i = 0; i < n; i++)
		if (i != 1 || !m->gso_type)
			out[i].rsp.status = NETIF_RSP_ERROR;
}

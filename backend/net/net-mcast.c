/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-mcast.c - see net-mcast.h. */
#include <errno.h>
#include "backend/net/net-mcast.h"

static uint32_t find(const struct net_mcast *m, const uint8_t mac[NET_MAC_BYTES])
{
	uint32_t i = 0;

	while (i < m->nr && memcmp(m->mac[i], mac, NET_MAC_BYTES) != 0)
		i++;
	return i;
}

int net_mcast_add(struct net_mcast *m, const uint8_t mac[NET_MAC_BYTES])
{
	uint32_t i = find(m, mac);

	if (i == NET_MCAST_MAX)
		return -ENOSPC;
	if (i == m->nr)
		memcpy(m->mac[m->nr++], mac, NET_MAC_BYTES);
	return 0;
}

void net_mcast_del(struct net_mcast *m, const uint8_t mac[NET_MAC_BYTES])
{
	uint32_t i = find(m, mac);

	if (i < m->nr)
		memcpy(m->mac[i], m->mac[--m->nr], NET_MAC_BYTES);
}

bool net_mcast_has(const struct net_mcast *m, const uint8_t mac[NET_MAC_BYTES])
{
	return find(m, mac) < m->nr;
}

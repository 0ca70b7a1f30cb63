/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-mcast.c - see net-mcast.h. */
#include <errno.h>
#include "backend/net/net-mcast.h"

/* Its place, or NET_MCAST_MAX. */
static uint32_t find(const struct net_mcast *m, const uint8_t mac[MAC_BYTES])
{
	for (uint64_t left = m->used; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		if (memcmp(m->mac[i], mac, MAC_BYTES) == 0)
			return i;
	}
	return NET_MCAST_MAX;
}

int net_mcast_add(struct net_mcast *m, const uint8_t mac[MAC_BYTES])
{
	uint32_t i;

	if (find(m, mac) < NET_MCAST_MAX)
		return 0;
	if (m->used == UINT64_MAX)
		return -ENOSPC;
	i = (uint32_t)__builtin_ctzll(~m->used);
	memcpy(m->mac[i], mac, MAC_BYTES);
	/* A successor that sees the bit sees the address. */
	__atomic_store_n(&m->used, m->used | 1ull << i, __ATOMIC_RELEASE);
	return 0;
}

void net_mcast_del(struct net_mcast *m, const uint8_t mac[MAC_BYTES])
{
	uint32_t i = find(m, mac);

	if (i < NET_MCAST_MAX)
		__atomic_store_n(&m->used, m->used & ~(1ull << i), __ATOMIC_RELEASE);
}

bool net_mcast_has(const struct net_mcast *m, const uint8_t mac[MAC_BYTES])
{
	return find(m, mac) < NET_MCAST_MAX;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-mcast.h - the multicast addresses a guest wants to hear.  Pure.
 *
 * The list lies in the journal: who changes it may be killed at any store, and the next worker goes on with what is
 * there.  An address is in the list by its bit, one store, behind which all of it is written.  Any content is a list
 * that some guest could have asked for.
 */
#ifndef SYNTH_NET_MCAST_H
#define SYNTH_NET_MCAST_H

#include "backend/net/net-tx.h"

#define NET_MCAST_MAX 64u

struct net_mcast {
	uint64_t used; /* bit k: mac[k] */
	uint8_t mac[NET_MCAST_MAX][MAC_BYTES];
};

/* One more; again is no harm.  0, or -ENOSPC. */
int net_mcast_add(struct net_mcast *m, const uint8_t mac[MAC_BYTES]) __must_check;
void net_mcast_del(struct net_mcast *m, const uint8_t mac[MAC_BYTES]);
bool net_mcast_has(const struct net_mcast *m, const uint8_t mac[MAC_BYTES]);
/* How many. */
static inline uint32_t net_mcast_nr(const struct net_mcast *m)
{
	return (uint32_t)__builtin_popcountll(m->used);
}
/* A group address that is not everybody's. */
static inline bool net_mcast_is(const uint8_t mac[MAC_BYTES])
{
	static const uint8_t all[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	return (mac[0] & 1) && memcmp(mac, all, MAC_BYTES) != 0;
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-net-mcast.c - libFuzzer target: the control extras of netif, whatever a guest says, against a plain set.
 * links: backend/net/net-tx.c backend/net/net-mcast.c
 * Input: slots of 12 bytes, as on the transmit ring.
 */
#include <errno.h>
#include "backend/net/net-mcast.h"
#include "tests/fuzz/fuzz.h"

#define MODEL_MAX 512u

struct model {
	uint8_t mac[MODEL_MAX][MAC_BYTES];
	uint32_t nr;
};

static uint32_t find(const struct model *m, const uint8_t *mac)
{
	uint32_t i = 0;

	while (i < m->nr && memcmp(m->mac[i], mac, MAC_BYTES) != 0)
		i++;
	return i;
}

static void change(struct net_mcast *l, struct model *m, const struct net_tx_packet *p)
{
	uint32_t at = find(m, p->mac);
	bool there = at < m->nr;
	int rc;

	must(net_mcast_has(l, p->mac) == there);
	if (p->kind == NET_TX_MCAST_ADD) {
		rc = net_mcast_add(l, p->mac);
		must(rc == (there || m->nr < NET_MCAST_MAX ? 0 : -ENOSPC));
		if (rc == 0 && !there)
			memcpy(m->mac[m->nr++], p->mac, MAC_BYTES);
	} else {
		net_mcast_del(l, p->mac);
		if (there)
			memcpy(m->mac[at], m->mac[--m->nr], MAC_BYTES);
	}
	must(net_mcast_nr(l) == m->nr && m->nr <= NET_MCAST_MAX);
	for (uint32_t i = 0; i < m->nr; i++)
		must(net_mcast_has(l, m->mac[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model m;
	struct feed f = { data, size };
	struct net_mcast *l = calloc(1, sizeof(*l));
	uint32_t nr = (uint32_t)MIN(size / 12, 400u);
	union net_tx_slot *slots = calloc(nr + 1, sizeof(*slots));

	must(l && slots);
	m.nr = 0;
	feed_bytes(&f, slots, nr * sizeof(*slots));
	for (uint32_t at = 0; at < nr;) {
		struct net_tx_packet p;
		const char *why = NULL;
		int rc = net_tx_parse(slots + at, nr - at, &p, &why);

		must(rc == 0 || why);
		if (rc == -EPROTO)
			break;
		must(p.nr_slots >= 1 && p.nr_slots <= nr - at);
		if (rc == 0 && p.kind != NET_TX_PACKET)
			change(l, &m, &p);
		at += p.nr_slots;
	}
	free(slots);
	free(l);
	return 0;
}

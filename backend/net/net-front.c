/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-front.c - see net-front.h.  Pure. */
#include <errno.h>
#include <stdio.h>
#include "backend/control/front-nodes.h"
#include "backend/net/net-front.h"

static int get_features(struct front_parse *p, uint32_t *features)
{
	bool copy = false, no_csum = false, sg = false, gso4 = false, gso6 = false, csum6 = false, notify = false;
	const struct {
		const char *name;
		bool *value;
	} nodes[] = {
		{ "request-rx-copy", &copy },
		{ "feature-no-csum-offload", &no_csum },
		{ "feature-sg", &sg },
		{ "feature-gso-tcpv4", &gso4 },
		{ "feature-gso-tcpv6", &gso6 },
		{ "feature-ipv6-csum-offload", &csum6 },
		{ "feature-rx-notify", &notify },
	};

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		int err = front_get_switch(p, nodes[i].name, nodes[i].value);

		if (err < 0)
			return err;
	}
	if (!copy)
		return front_refuse(
			p, "request-rx-copy is not 1: the front end wants pages flipped, which is not offered");
	/* IPv4's switch says no, IPv6's says yes: what is missing means the opposite. */
	*features = (sg ? NET_F_SG : 0) | (gso4 ? NET_F_GSO4 : 0) | (gso6 ? NET_F_GSO6 : 0) |
		    (no_csum ? 0 : NET_F_CSUM4) | (csum6 ? NET_F_CSUM6 : 0) | (notify ? NET_F_RX_NOTIFY : 0);
	return 0;
}

static int get_ref(struct front_parse *p, const char *prefix, const char *leaf, uint32_t *ref)
{
	char name[64];
	int err;

	snprintf(name, sizeof(name), "%s%s", prefix, leaf);
	err = front_get_number(p, name, UINT32_MAX, ref);
	return err == -ENOENT ? front_refuse(p, "%s is missing", name) : err;
}

static int has(struct front_parse *p, const char *prefix, const char *leaf)
{
	char name[64], value[FRONT_VALUE_MAX];
	int err;

	snprintf(name, sizeof(name), "%s%s", prefix, leaf);
	err = front_get(p, name, value);
	return err == -ENOENT ? 0 : (err < 0 ? err : 1);
}

static int get_ports(struct front_parse *p, const char *prefix, uint32_t nr, uint32_t port[WIRE_MAX_RINGS])
{
	int err;

	if (nr == 1)
		return front_get_port(p, prefix, "event-channel", &port[0]);
	err = front_get_port(p, prefix, "event-channel-tx", &port[NET_RING_TX]);
	return err < 0 ? err : front_get_port(p, prefix, "event-channel-rx", &port[NET_RING_RX]);
}

int net_front_parse(const struct node_getter *g, uint32_t max_queues, struct front_params *ret, char why[REASON_MAX])
{
	struct front_parse p = { .g = g, .why = why };
	struct wire_connect *c = &ret->wire;
	bool top = true;
	int err;

	memset(ret, 0, sizeof(*ret));
	why[0] = '\0';
	c->nr_rings = 2;
	err = get_features(&p, &c->features);
	if (err == 0)
		err = front_get_queues(&p, max_queues, &c->nr_queues);
	if (err < 0)
		return err;
	if (c->nr_queues > 1) {
		top = false;
	} else {
		err = has(&p, "", "tx-ring-ref");
		if (err == 0) {
			err = has(&p, "queue-0/", "tx-ring-ref");
			top = err != 1;
		}
		if (err < 0)
			return err;
	}
	/* All queues are split or none is: the first one says which. */
	err = has(&p, top ? "" : "queue-0/", "event-channel-tx");
	if (err < 0)
		return err;
	c->nr_ports = err == 1 ? 2 : 1;
	for (uint32_t i = 0; i < c->nr_queues; i++) {
		char prefix[24] = "";

		if (!top)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		err = get_ref(&p, prefix, "tx-ring-ref", &c->queue[i].refs[NET_RING_TX]);
		if (err == 0)
			err = get_ref(&p, prefix, "rx-ring-ref", &c->queue[i].refs[NET_RING_RX]);
		if (err == 0)
			err = get_ports(&p, prefix, c->nr_ports, ret->remote_port[i]);
		if (err < 0)
			return err;
	}
	return front_check_unique(&p, ret);
}

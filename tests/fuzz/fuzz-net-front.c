/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-net-front.c - libFuzzer target: any nodes of a network front end.
 * links: backend/net/net-front.c backend/control/front-nodes.c backend/control/fault.c common/span/span.c
 * Input: byte 0 the queues offered, then a directory (nodes.h).
 */
#include "backend/net/net-front.h"
#include "tests/fuzz/nodes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };
	uint32_t max = feed_u8(&f) % WIRE_MAX_QUEUES + 1u;
	const struct node_getter g = { fuzz_get, &f };
	static struct front_params p;
	char why[REASON_MAX];

	if (net_front_parse(&g, max, &p, why) < 0) {
		must_be_reason(why);
		return 0;
	}
	must_be_params(&p, max, 0, 2);
	must(!(p.wire.features & ~(NET_F_SG | NET_F_GSO4 | NET_F_GSO6 | NET_F_CSUM4 | NET_F_CSUM6 | NET_F_RX_NOTIFY)));
	return 0;
}

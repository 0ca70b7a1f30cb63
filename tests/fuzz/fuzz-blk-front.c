/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-blk-front.c - libFuzzer target: any nodes of a block front end.
 * links: backend/block/blk-front.c backend/control/front-nodes.c backend/control/fault.c common/span/span.c
 * Input: byte 0 what was offered, then a directory (nodes.h).
 */
#include "backend/block/blk-front.h"
#include "tests/fuzz/nodes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };
	uint8_t choice = feed_u8(&f);
	struct blk_front_limits lim = { .max_queues = choice % WIRE_MAX_QUEUES + 1u,
					.max_order = (choice >> 5) % (WIRE_MAX_ORDER + 1),
					.persistent = choice & 1 };
	const struct node_getter g = { fuzz_get, &f };
	static struct front_params p;
	char why[REASON_MAX];

	if (blk_front_parse(&g, &lim, &p, why) < 0) {
		must_be_reason(why);
		return 0;
	}
	must_be_params(&p, lim.max_queues, lim.max_order, 1);
	must(p.wire.abi < BLK_NR_ABIS && !(p.wire.features & ~BLK_F_PERSISTENT));
	must(lim.persistent || !p.wire.features);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-spec-nic.c - libFuzzer target: a nic's settings, and what its worker says (spec.h).
 * links: backend/net/net-control.c backend/net/net-front.c backend/net/net-rate.c backend/net/net-target.c
 * links: backend/net/tap.c backend/net/pair.c backend/net/pair-ring.c backend/control/spec.c backend/control/nodes.c
 * links: backend/control/front-nodes.c backend/control/fault.c common/span/span.c common/base/time.c
 * needs: json-c
 */
#include "backend/net/net-wire.h"
#include "tests/fuzz/quiet.h"
#include "tests/fuzz/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return spec_fuzz(data, size, sizeof(struct net_info));
}

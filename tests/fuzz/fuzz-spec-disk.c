/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-spec-disk.c - libFuzzer target: a disk's settings, and what its worker says (spec.h).
 * links: backend/block/blk-control.c backend/block/blk-front.c backend/block/fence.c backend/block/image.c
 * links: backend/block/image-uri.c backend/control/spec.c backend/control/nodes.c backend/control/front-nodes.c
 * links: backend/control/fault.c common/span/span.c
 * needs: json-c
 */
#include "backend/block/blk-wire.h"
#include "tests/fuzz/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return spec_fuzz(data, size, sizeof(struct blk_info));
}

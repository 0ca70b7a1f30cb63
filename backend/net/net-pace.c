/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-pace.c - see net-pace.h. */
#include "backend/net/net-pace.h"

void net_pace_count(struct net_pace *p, uint64_t now, uint32_t frames)
{
	uint64_t each;

	p->frames += frames;
	if (now - p->since < PACE_WINDOW_NS)
		return;
	each = (now - p->since) / MAX(p->frames, 1u);
	p->gap_ns = each > PACE_SLOW_NS ? 0 : (uint32_t)MIN(each * PACE_FRAMES, PACE_MAX_NS);
	if (p->gap_ns < PACE_MIN_NS)
		p->gap_ns = 0;
	p->since = now;
	p->frames = 0;
}

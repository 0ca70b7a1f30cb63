/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pace.c - see pace.h */
#include "frontend/core/pace.h"

void pace_connected(struct pace *p, uint64_t now_ns)
{
	p->born_ns = now_ns;
}

bool pace_lasted(const struct pace *p, uint64_t now_ns)
{
	return p->born_ns && now_ns - p->born_ns >= PACE_LASTED_NS;
}

uint64_t pace_next(struct pace *p, uint64_t now_ns)
{
	uint64_t pause = pace_lasted(p, now_ns) ? 0 : p->pause_ns;

	p->born_ns = 0;
	p->pause_ns = MIN(MAX(pause * 2, (uint64_t)PACE_FIRST_NS), (uint64_t)PACE_MOST_NS);
	return pause;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* time.c - the one clock. */
#include <time.h>
#include "common/base/base.h"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

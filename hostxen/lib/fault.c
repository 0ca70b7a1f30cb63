/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fault.c: failures on demand. HOSTXEN_FAULT="map:3,copy:100,notify:7,share:2,bind:1" makes the 3rd map of this process
 * fail as the real one would (EINVAL), the 100th copied segment end in GNTST_general_error, the 7th notify get lost, the
 * 2nd share fail (ENOSPC) and the first bind fail (EINVAL). "map:3+" means the 3rd and all after it.
 */
#include "hostxen/lib/lib.h"

#include <stdlib.h>
#include <string.h>

bool hx_faults, hx_strict;
static struct {
	const char *name;
	unsigned long at;
	bool onward;
	_Atomic unsigned long count;
} faults[HX_NR_FAULTS] = {
	[HX_FAULT_MAP] = { .name = "map:" },       [HX_FAULT_COPY] = { .name = "copy:" },
	[HX_FAULT_NOTIFY] = { .name = "notify:" }, [HX_FAULT_SHARE] = { .name = "share:" },
	[HX_FAULT_BIND] = { .name = "bind:" },
};

bool hx_fault_hit(enum hx_fault which)
{
	if (!faults[which].at)
		return false;
	unsigned long n = atomic_fetch_add_explicit(&faults[which].count, 1, memory_order_relaxed) + 1;
	return faults[which].onward ? n >= faults[which].at : n == faults[which].at;
}

__attribute__((constructor)) static void parse(void)
{
	const char *s = getenv("HOSTXEN_FAULT");
	while (s && *s) {
		for (unsigned i = 0; i < HX_NR_FAULTS; i++) {
			size_t len = strlen(faults[i].name);
			char *end;
			if (strncmp(s, faults[i].name, len))
				continue;
			faults[i].at = strtoul(s + len, &end, 10);
			faults[i].onward = *end == '+';
			hx_faults |= faults[i].at != 0;
		}
		s = strchr(s, ',');
		if (s)
			s++;
	}
}

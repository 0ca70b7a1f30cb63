/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crash.c - see crash.h. */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "common/base/crash.h"

#ifdef SYNTH_CRASH_POINTS

#define MAX_POINTS 8u
#define NAME_MAX_  40u

struct point {
	char name[NAME_MAX_];
	uint32_t hit, every, only, hits;
};

static struct point points[MAX_POINTS];
static uint32_t nr_points, life = 1;

static void add(const char *text, size_t len)
{
	struct point *p = &points[nr_points];
	const char *colon = memchr(text, ':', len);
	char *end;

	if (!colon || (size_t)(colon - text) >= sizeof(p->name) || nr_points == MAX_POINTS)
		return;
	memcpy(p->name, text, (size_t)(colon - text));
	p->hit = (uint32_t)strtoul(colon + 1, &end, 10);
	p->every = *end == '/' ? (uint32_t)strtoul(end + 1, NULL, 10) : 1;
	p->only = *end == '=' ? (uint32_t)strtoul(end + 1, NULL, 10) : 0;
	nr_points += p->hit > 0 && p->every > 0;
}

static void read_points(void)
{
	const char *s = getenv("SYNTH_CRASH");

	while (s && *s) {
		size_t len = strcspn(s, ",");

		add(s, len);
		s += len + (s[len] == ',');
	}
}

void crash_life(uint32_t number)
{
	__atomic_store_n(&life, number, __ATOMIC_RELAXED);
}

void crash_point(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint32_t now;

	pthread_once(&once, read_points);
	now = __atomic_load_n(&life, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < nr_points; i++) {
		struct point *p = &points[i];

		if (strcmp(p->name, name) != 0 || now % p->every != 0 || (p->only && now != p->only))
			continue;
		if (__atomic_add_fetch(&p->hits, 1, __ATOMIC_RELAXED) == p->hit)
			syscall(SYS_exit_group, 0);
	}
}

#endif

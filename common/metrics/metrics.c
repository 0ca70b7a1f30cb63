/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metrics.c - histogram arithmetic and the text form. */
#include <errno.h>
#include <stdio.h>
#include "common/metrics/metrics.h"

#define HIST_MIN_LOG2 8u /* values below 256 ns share the first bucket */

static uint32_t bucket_of(uint64_t ns)
{
	uint32_t log2, sub;

	if (ns < (1u << HIST_MIN_LOG2))
		return 0;
	log2 = 63u - (uint32_t)__builtin_clzll(ns);
	sub = (uint32_t)(ns >> (log2 - 2)) & (HIST_SUB - 1);
	return MIN((log2 - HIST_MIN_LOG2) * HIST_SUB + sub, HIST_BUCKETS - 1);
}

/* The largest value of bucket @b. */
static uint64_t bucket_top(uint32_t b)
{
	uint32_t log2 = b / HIST_SUB + HIST_MIN_LOG2, sub = b % HIST_SUB;

	return (((uint64_t)HIST_SUB + sub + 1) << (log2 - 2)) - 1;
}

void hist_add(struct hist *h, uint64_t ns)
{
	uint64_t *c = &h->count[bucket_of(ns)];

	/* One thread writes, others read meanwhile: relaxed, so no locked instruction. */
	__atomic_store_n(c, *c + 1, __ATOMIC_RELAXED);
	if (ns > h->max)
		__atomic_store_n(&h->max, ns, __ATOMIC_RELAXED);
}

void hist_merge(struct hist *into, const struct hist *from)
{
	uint64_t max = __atomic_load_n(&from->max, __ATOMIC_RELAXED);

	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		into->count[i] += __atomic_load_n(&from->count[i], __ATOMIC_RELAXED);
	into->max = MAX(into->max, max);
}

uint64_t hist_total(const struct hist *h)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		n += h->count[i];
	return n;
}

uint64_t hist_percentile(const struct hist *h, double p)
{
	uint64_t total = hist_total(h), rank, seen = 0;

	if (total == 0)
		return 0;
	rank = (uint64_t)((double)total * p / 100.0);
	rank = MIN(MAX(rank, 1), total);
	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		seen += h->count[i];
		if (seen >= rank)
			return MIN(bucket_top(i), h->max);
	}
	return h->max;
}

void metrics_put(struct metrics_out *o, const char *name, uint64_t value)
{
	size_t left = o->size - o->used;
	int n;

	if (o->full)
		return;
	n = snprintf(o->buf + o->used, left, "%s %llu\n", name, (unsigned long long)value);
	if (n < 0 || (size_t)n >= left) {
		o->full = true;
		if (left)
			o->buf[o->used] = '\0';
		return;
	}
	o->used += (size_t)n;
}

void metrics_put_hist(struct metrics_out *o, const char *name, const struct hist *h)
{
	static const struct {
		const char *suffix;
		double p;
	} points[] = { { "p50", 50 }, { "p90", 90 }, { "p99", 99 } };
	char full[96];

	snprintf(full, sizeof(full), "%s_count", name);
	metrics_put(o, full, hist_total(h));
	for (unsigned i = 0; i < ARRAY_SIZE(points); i++) {
		snprintf(full, sizeof(full), "%s_%s_ns", name, points[i].suffix);
		metrics_put(o, full, hist_percentile(h, points[i].p));
	}
	snprintf(full, sizeof(full), "%s_max_ns", name);
	metrics_put(o, full, h->max);
}

static bool name_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

int metrics_get(struct span *s, char name[64], uint64_t *value)
{
	struct span line, word, at = *s;
	int r;

	if (s->left == 0)
		return -ENOENT;
	if (s->p[s->left - 1] != '\n' || span_get_until(&at, '\n', &line) || span_get_until(&line, ' ', &word) ||
	    word.left == 0 || word.left > 63)
		return -EBADMSG;
	for (size_t i = 0; i < word.left; i++)
		if (!name_char(word.p[i]))
			return -EBADMSG;
	r = parse_u64((const char *)line.p, line.left, UINT64_MAX, value);
	if (r)
		return -EBADMSG;
	memcpy(name, word.p, word.left);
	name[word.left] = '\0';
	*s = at;
	return 0;
}

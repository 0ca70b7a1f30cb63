/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * metrics.h - counters and latency histograms, and their one text form: lines "name value\n", value a decimal
 * u64.  Pure.  A queue's thread owns its counters (plain adds); readers sum them with relaxed loads.
 */
#ifndef SYNTH_METRICS_H
#define SYNTH_METRICS_H

#include "common/base/base.h"
#include "common/span/span.h"

/* Latency in nanoseconds: 4 buckets a power of two, from 256 ns to ~ 1 hour. */
#define HIST_SUB     4u
#define HIST_BUCKETS (HIST_SUB * 36u)
struct hist {
	uint64_t count[HIST_BUCKETS];
	uint64_t max; /* ns, exact */
};
void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *into, const struct hist *from);
uint64_t hist_total(const struct hist *h);
/* Upper bound in ns of the bucket that holds the p-th percentile (p in 0..100), 0 when empty. */
uint64_t hist_percentile(const struct hist *h, double p);

/* Text encoder into a fixed buffer; a full buffer sets .full and drops the rest (whole lines only). */
struct metrics_out {
	char *buf;
	size_t size, used; /* bytes */
	bool full;
};
void metrics_put(struct metrics_out *o, const char *name, uint64_t value);
/* name_count, name_p50_ns, name_p90_ns, name_p99_ns, name_max_ns */
void metrics_put_hist(struct metrics_out *o, const char *name, const struct hist *h);
/* One line: 0, -ENOENT at the end, -EBADMSG for anything else than [a-z0-9_]{1,63} SP u64 LF. */
int metrics_get(struct span *s, char name[64], uint64_t *value) __must_check;

#endif

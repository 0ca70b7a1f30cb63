/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log.h - messages for people, on stderr: "LEVEL program[pid]: text".  Levels are filtered by log_level.
 * A message says what happened, to which device, why, and what to do next where that is known.
 *
 * What a guest can cause goes through log_guest(), which spends from two token buckets, lines and bytes (XSA-157/180: a guest
 * must not fill the host's log): the first bounds a burst, the second what comes of it in a day.  What is suppressed is
 * counted, and told when a bucket refills.
 */
#ifndef SYNTH_LOG_H
#define SYNTH_LOG_H

#include "common/base/base.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };
extern enum log_level log_level; /* default LOG_LVL_INFO; $SYNTH_LOG=error|warn|info|debug overrides in log_init() */

struct log_limit {
	uint32_t per_sec, burst; /* 0, 0: LOG_GUEST_PER_SEC and LOG_GUEST_BURST */
	uint64_t last_ns, nanotokens;
	int64_t nanobytes;   /* may be overdrawn by a line */
	uint64_t suppressed; /* total, for metrics */
	uint64_t untold;     /* since the last message that got through */
	uint64_t bytes;      /* written, for metrics */
};
#define LOG_GUEST_PER_SEC       10u
#define LOG_GUEST_BURST         20u
#define LOG_GUEST_BYTES_PER_SEC 512u /* 44 MB a day */
#define LOG_GUEST_BYTES_BURST   65536u

void log_init(const char *program);
void log_msg(enum log_level level, const char *fmt, ...) __printf(2, 3);
void log_guest(struct log_limit *limit, enum log_level level, const char *fmt, ...) __printf(3, 4);

#define log_error(...) log_msg(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LVL_DEBUG, __VA_ARGS__)

#endif

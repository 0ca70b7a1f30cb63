/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quiet.h - common/log for targets whose code logs each thing that it refuses: the message is made, and goes nowhere. */
#ifndef SYNTH_FUZZ_QUIET_H
#define SYNTH_FUZZ_QUIET_H

#include <stdarg.h>
#include <stdio.h>
#include "common/log/log.h"

enum log_level log_level = LOG_LVL_DEBUG;

void log_init(const char *program)
{
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}

void log_guest(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}

#endif

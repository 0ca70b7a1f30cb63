/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log.c - one line, one write(2), so that lines of several threads and processes do not mix. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "common/log/log.h"

enum log_level log_level = LOG_LVL_INFO;
static const char *prog = "synth";

static const char *const names[] = { "error", "warn", "info", "debug" };

void log_init(const char *program)
{
	const char *env = getenv("SYNTH_LOG");

	prog = program;
	for (unsigned i = 0; env && i < ARRAY_SIZE(names); i++)
		if (strcmp(env, names[i]) == 0)
			log_level = (enum log_level)i;
}

static void vlog(enum log_level level, const char *fmt, va_list ap)
{
	char line[1024];
	int n, m;

	n = snprintf(line, sizeof(line), "%s %s[%d]: ", names[level], prog, (int)getpid());
	m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	if (m < 0)
		return;
	n = MIN(n + m, (int)sizeof(line) - 2);
	/* What a guest put into a name must not forge a second line. */
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20)
			line[i] = '?';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere left to complain */
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level)
		return;
	va_start(ap, fmt);
	vlog(level, fmt, ap);
	va_end(ap);
}

#define TOKEN 1000000000u /* nanotokens: at N a second, N accrue in a nanosecond, with no rounding under a storm */

void log_guest(struct log_limit *l, enum log_level level, const char *fmt, ...)
{
	uint64_t now = now_ns(), rate = l->per_sec ? l->per_sec : LOG_GUEST_PER_SEC;
	uint64_t full = (uint64_t)(l->burst ? l->burst : LOG_GUEST_BURST) * TOKEN;
	va_list ap;

	if (level > log_level)
		return;
	if (l->last_ns == 0 || now - l->last_ns > full / rate)
		l->nanotokens = full;
	else
		l->nanotokens = MIN(l->nanotokens + (now - l->last_ns) * rate, full);
	l->last_ns = now;
	if (l->nanotokens < TOKEN) {
		l->suppressed++;
		l->untold++;
		return;
	}
	l->nanotokens -= TOKEN;
	if (l->untold) {
		log_msg(level, "%llu messages like the next one were suppressed", (unsigned long long)l->untold);
		l->untold = 0;
	}
	va_start(ap, fmt);
	vlog(level, fmt, ap);
	va_end(ap);
}

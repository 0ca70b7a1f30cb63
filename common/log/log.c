/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log.c - one line, one write(2), so that lines of several threads and processes do not mix. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "common/log/log.h"

enum log_level log_level = LOG_LVL_INFO;
static const char *prog = "synth";
static int pid; /* 0: not known yet */

static const char *const names[] = { "error", "warn", "info", "debug" };

/* Who is alone in a PID namespace is 1 there; people know it by its number in the one /proc is of. */
static int host_pid(void)
{
	char text[16];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n <= 0)
		return (int)getpid();
	text[n] = '\0';
	return atoi(text);
}

void log_init(const char *program)
{
	const char *env = getenv("SYNTH_LOG");

	prog = program;
	pid = host_pid();
	for (unsigned i = 0; env && i < ARRAY_SIZE(names); i++)
		if (strcmp(env, names[i]) == 0)
			log_level = (enum log_level)i;
}

/* The bytes of the line. */
static uint32_t vlog(enum log_level level, const char *fmt, va_list ap)
{
	char line[1024];
	int n, m;

	n = snprintf(line, sizeof(line), "%s %s[%d]: ", names[level], prog, pid ? pid : (int)getpid());
	m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	if (m < 0)
		return 0;
	n = MIN(n + m, (int)sizeof(line) - 2);
	/* What a guest put into a name must not forge a second line. */
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20)
			line[i] = '?';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return 0; /* nowhere left to complain */
	return (uint32_t)n;
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

static void refill(struct log_limit *l, uint64_t now)
{
	uint64_t rate = l->per_sec ? l->per_sec : LOG_GUEST_PER_SEC;
	uint64_t full = (uint64_t)(l->burst ? l->burst : LOG_GUEST_BURST) * TOKEN;
	const int64_t bytes_full = (int64_t)LOG_GUEST_BYTES_BURST * TOKEN;
	uint64_t gone = now - l->last_ns;

	if (l->last_ns == 0 || gone > full / rate)
		l->nanotokens = full;
	else
		l->nanotokens = MIN(l->nanotokens + gone * rate, full);
	if (l->last_ns == 0 || gone > 2 * (uint64_t)bytes_full / LOG_GUEST_BYTES_PER_SEC)
		l->nanobytes = bytes_full;
	else
		l->nanobytes = MIN(l->nanobytes + (int64_t)(gone * LOG_GUEST_BYTES_PER_SEC), bytes_full);
	l->last_ns = now;
}

static void spend(struct log_limit *l, uint32_t bytes)
{
	l->nanobytes -= (int64_t)bytes * TOKEN;
	l->bytes += bytes;
}

__printf(3, 4) static void told(struct log_limit *l, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	spend(l, vlog(level, fmt, ap));
	va_end(ap);
}

void log_guest(struct log_limit *l, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level)
		return;
	refill(l, now_ns());
	if (l->nanotokens < TOKEN || l->nanobytes < 0) {
		l->suppressed++;
		l->untold++;
		return;
	}
	l->nanotokens -= TOKEN;
	if (l->untold) {
		told(l, level, "%llu messages like the next one were suppressed", (unsigned long long)l->untold);
		l->untold = 0;
	}
	va_start(ap, fmt);
	spend(l, vlog(level, fmt, ap));
	va_end(ap);
}

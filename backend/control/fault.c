/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fault.c - see fault.h. */
#include <stdarg.h>
#include <stdio.h>
#include "backend/control/fault.h"

const char *fault_code_name(enum fault_code code)
{
	static const char *const names[FAULT_NR] = {
		[FAULT_FAILED] = "failed", [FAULT_USAGE] = "usage",     [FAULT_NOTFOUND] = "notfound",
		[FAULT_BUSY] = "busy",     [FAULT_TIMEOUT] = "timeout", [FAULT_PERMISSION] = "permission",
		[FAULT_EXISTS] = "exists",
	};

	return (unsigned)code < FAULT_NR ? names[code] : "failed";
}

int fault_set(struct fault *f, enum fault_code code, int err, const char *fmt, ...)
{
	va_list ap;

	f->code = code;
	f->next[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, ap);
	va_end(ap);
	return err;
}

void fault_next(struct fault *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->next, sizeof(f->next), fmt, ap);
	va_end(ap);
}

void fault_what(struct fault *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->what, sizeof(f->what), fmt, ap);
	va_end(ap);
}

const char *quote_text(char out[QUOTE_MAX], const char *text)
{
	size_t i;

	for (i = 0; i < 40 && text[i] != '\0'; i++)
		out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
	if (i == 40 && text[i] != '\0') {
		memcpy(out + i, "...", 3);
		i += 3;
	}
	out[i] = '\0';
	return out;
}

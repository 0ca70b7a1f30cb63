/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox.h - what a worker gives up before it looks at the first byte of a guest's.  SECURITY.md has the model.
 */
#ifndef SYNTH_SANDBOX_H
#define SYNTH_SANDBOX_H

#include <sys/syscall.h>
#include "common/base/base.h"

#define SANDBOX_MAX_VALUES 4u
#define SANDBOX_KEEP_UID   UINT32_MAX

/* A system call that stays allowed: always, or when argument @arg, of which @mask's bits count, is one of the values. */
struct sandbox_call {
	int nr;
	const char *why; /* who needs it, in a word or two; NULL ends a table */
	uint8_t arg, nr_values;
	uint32_t mask; /* 0: all 32 bits */
	uint32_t values[SANDBOX_MAX_VALUES];
};

/* Rows of a table; the last one is SANDBOX_END. */
#define SANDBOX_CALL(call, reason)                 \
	{                                          \
		.nr = __NR_##call, .why = (reason) \
	}
#define SANDBOX_CALL_IF(call, reason, n, bits, ...)                                              \
	{                                                                                        \
		.nr = __NR_##call, .why = (reason), .arg = (n), .mask = (bits),                  \
		.nr_values = sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t), .values = { \
			__VA_ARGS__                                                              \
		}                                                                                \
	}
#define SANDBOX_IOCTL(command)      \
	{                           \
		(command), #command \
	}
#define SANDBOX_END \
	{           \
		0   \
	}

struct sandbox_ioctl {
	unsigned long cmd;
	const char *name; /* NULL ends a table */
};

/* What a device class needs beyond the core.  Either may be NULL. */
struct sandbox_class {
	const struct sandbox_call *calls;
	const struct sandbox_ioctl *ioctls;
};

/*
 * Confine this process, for good: to user and group @uid (SANDBOX_KEEP_UID: those it has), without capabilities, in an empty root and
 * namespaces of its own, to the system calls of the core's table and of @class's.  What cannot be had on this host (namespaces without
 * privilege, Landlock on an old kernel) is done without, and said; a user that cannot be changed to, capabilities that stay and a
 * filter that cannot be installed are errors.  The process has one thread.  0 or -errno, logged.
 */
int sandbox_enter(uint32_t uid, const struct sandbox_class *class) __must_check;

/* The tables as text, a line each: call, or "ioctl NAME", and why. */
void sandbox_print(const struct sandbox_class *class);

#endif

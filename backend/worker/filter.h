/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * filter.h - from a list of rules to the program that the kernel runs at each system call (seccomp).  Pure.
 *
 * Every worker makes its own, at each start, so it is made here and not by a library: in microseconds, without anything else
 * in the process.  test-filter.c holds what it makes against what libseccomp makes of the same rules.
 */
#ifndef SYNTH_FILTER_H
#define SYNTH_FILTER_H

#include <linux/filter.h>
#include "common/base/base.h"

#define FILTER_MAX_INSNS 1024u
#define FILTER_MAX_RULES 256u
#define FILTER_NO_ARG    0xffu

/* What to answer system call @nr with; the first rule of a call that holds counts, where none does the process is killed. */
struct filter_rule {
	int nr;
	uint32_t action; /* SECCOMP_RET_* */
	uint8_t arg; /* it holds when the low 32 bits of this argument, and @mask, are @value; FILTER_NO_ARG: always */
	uint32_t mask, value; /* no bit in @value that is not in @mask */
};

struct filter_rules {
	struct filter_rule rule[FILTER_MAX_RULES];
	uint32_t nr;
	bool full; /* there were more, and filter_make() fails */
};

struct filter {
	struct sock_filter insn[FILTER_MAX_INSNS];
	uint16_t nr;
};

void filter_add(struct filter_rules *r, const struct filter_rule *rule);
/*
 * Make the program.  Calls of another ABI than this program's are killed.  0, -EINVAL for a rule that makes no sense, -E2BIG
 * for more than fits; then @f is no program.
 */
int filter_make(const struct filter_rules *r, struct filter *f) __must_check;

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * filter.c - see filter.h.
 *
 * The program: another ABI is killed; then a binary tree over the numbers, whose leaves are one call each.  A leaf without
 * conditions reads no argument, which lets the kernel remember its answer and not run the program again for that call
 * (since 5.11); so the depth of the tree is paid by the few calls with conditions alone.
 *
 * Jumps only go forward, and at most 255 instructions far, which emit() would notice.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include "backend/worker/filter.h"

#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "name the audit architecture of this processor's system calls here"
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW_WORD 0u
#else
#define LOW_WORD 4u
#endif

#define MAX_ARGS 6u
#define MAX_JUMP 255u

struct maker {
	const struct filter_rule *sorted[FILTER_MAX_RULES]; /* by number; those of one call in their order */
	uint32_t first[FILTER_MAX_RULES + 1];               /* of each call, in sorted */
	uint32_t nr_calls;
	struct filter *f;
	int err;
};

void filter_add(struct filter_rules *r, const struct filter_rule *rule)
{
	if (r->nr < FILTER_MAX_RULES)
		r->rule[r->nr++] = *rule;
	else
		r->full = true;
}

/* Where it went; the same place again when there is no more. */
static uint32_t emit(struct maker *m, uint32_t code, uint32_t k, uint32_t if_true, uint32_t if_false)
{
	struct filter *f = m->f;

	if (f->nr == FILTER_MAX_INSNS || if_true > MAX_JUMP || if_false > MAX_JUMP) {
		m->err = -E2BIG;
		return f->nr - 1u;
	}
	f->insn[f->nr] = (struct sock_filter){ (uint16_t)code, (uint8_t)if_true, (uint8_t)if_false, k };
	return f->nr++;
}

static void emit_return(struct maker *m, uint32_t action)
{
	emit(m, BPF_RET | BPF_K, action, 0, 0);
}

static void emit_load(struct maker *m, uint32_t offset)
{
	emit(m, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

/* The accumulator has the number, which may be another than this call's. */
static void emit_call(struct maker *m, uint32_t call)
{
	const struct filter_rule *loaded = NULL;
	uint32_t i, at = emit(m, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)m->sorted[m->first[call]]->nr, 0, 0);

	for (i = m->first[call]; i < m->first[call + 1]; i++) {
		const struct filter_rule *r = m->sorted[i];

		if (r->arg == FILTER_NO_ARG) {
			emit_return(m, r->action);
			break;
		}
		if (!loaded || loaded->arg != r->arg || loaded->mask != r->mask) {
			emit_load(m, (uint32_t)offsetof(struct seccomp_data, args[0]) + 8u * r->arg + LOW_WORD);
			if (r->mask != UINT32_MAX)
				emit(m, BPF_ALU | BPF_AND | BPF_K, r->mask, 0, 0);
			loaded = r;
		}
		emit(m, BPF_JMP | BPF_JEQ | BPF_K, r->value, 0, 1);
		emit_return(m, r->action);
	}
	/* Where it was another call; behind a rule without a condition nothing else comes here. */
	if (m->f->nr - at - 1u > MAX_JUMP)
		m->err = -E2BIG;
	else
		m->f->insn[at].jf = (uint8_t)(m->f->nr - at - 1u);
	emit_return(m, SECCOMP_RET_KILL_PROCESS);
}

/* Calls lo .. hi - 1 */
static void emit_tree(struct maker *m, uint32_t lo, uint32_t hi)
{
	uint32_t mid = lo + (hi - lo) / 2, at;

	if (hi - lo <= 1) {
		emit_call(m, lo);
		return;
	}
	at = emit(m, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)m->sorted[m->first[mid]]->nr, 0, 0);
	emit_tree(m, lo, mid);
	if (m->f->nr - at - 1u > MAX_JUMP)
		m->err = -E2BIG;
	else
		m->f->insn[at].jt = (uint8_t)(m->f->nr - at - 1u);
	emit_tree(m, mid, hi);
}

/* There are a few dozen, and their order within a call counts. */
static void sort(struct maker *m, const struct filter_rules *r)
{
	for (uint32_t i = 0; i < r->nr; i++) {
		uint32_t k = i;

		for (; k > 0 && m->sorted[k - 1]->nr > r->rule[i].nr; k--)
			m->sorted[k] = m->sorted[k - 1];
		m->sorted[k] = &r->rule[i];
	}
	for (uint32_t i = 0; i < r->nr; i++)
		if (i == 0 || m->sorted[i]->nr != m->sorted[i - 1]->nr)
			m->first[m->nr_calls++] = i;
	m->first[m->nr_calls] = r->nr;
}

static bool sane(const struct filter_rule *r)
{
	return r->nr >= 0 && (r->arg == FILTER_NO_ARG || (r->arg < MAX_ARGS && r->mask && !(r->value & ~r->mask)));
}

int filter_make(const struct filter_rules *r, struct filter *f)
{
	struct maker m = { .f = f };

	f->nr = 0;
	if (r->full)
		return -E2BIG;
	for (uint32_t i = 0; i < r->nr; i++)
		if (!sane(&r->rule[i]))
			return -EINVAL;
	if (r->nr == 0)
		return -EINVAL;
	sort(&m, r);
	emit_load(&m, (uint32_t)offsetof(struct seccomp_data, arch));
	emit(&m, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	emit_return(&m, SECCOMP_RET_KILL_PROCESS);
	emit_load(&m, (uint32_t)offsetof(struct seccomp_data, nr));
	emit_tree(&m, 0, m.nr_calls);
	if (m.err)
		f->nr = 0;
	return m.err;
}

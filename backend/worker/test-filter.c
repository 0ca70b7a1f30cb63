/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-filter.c - the program made of a list of rules answers as the list says, and as libseccomp's of the same rules. */
#include "config.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

#include "backend/worker/filter.h"

#ifdef __x86_64__
#define ARCH  AUDIT_ARCH_X86_64
#define OTHER AUDIT_ARCH_I386
#else
#define ARCH  AUDIT_ARCH_AARCH64
#define OTHER AUDIT_ARCH_ARM
#endif
#define KILL SECCOMP_RET_KILL_PROCESS

/* What the kernel does with a program; fails the test where the kernel would refuse it. */
static uint32_t run(const struct sock_filter *insn, uint32_t nr, const struct seccomp_data *d)
{
	uint32_t acc = 0;

	for (uint32_t pc = 0; pc < nr; pc++) {
		const struct sock_filter *i = &insn[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k % 4 == 0 && i->k < sizeof(*d));
			memcpy(&acc, (const char *)d + i->k, sizeof(acc));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			acc &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += acc == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += acc >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += acc > i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("instruction %u has code %#x", pc, i->code);
		}
	}
	fail_msg("it ends without an answer");
	return 0;
}

static uint32_t expected(const struct filter_rules *r, const struct seccomp_data *d)
{
	for (uint32_t i = 0; i < r->nr && d->arch == ARCH; i++) {
		const struct filter_rule *x = &r->rule[i];

		if (x->nr == d->nr && (x->arg == FILTER_NO_ARG || ((uint32_t)d->args[x->arg] & x->mask) == x->value))
			return x->action;
	}
	return KILL;
}

static struct filter_rules rules;
static struct filter made;

static void rule(int nr, uint32_t action, uint8_t arg, uint32_t mask, uint32_t value)
{
	const struct filter_rule r = { nr, action, arg, mask, value };

	filter_add(&rules, &r);
}

static void allow(int nr)
{
	rule(nr, SECCOMP_RET_ALLOW, FILTER_NO_ARG, 0, 0);
}

static uint32_t answer(uint32_t arch, int nr, uint8_t arg, uint64_t value)
{
	struct seccomp_data d = { .nr = nr, .arch = arch };

	d.args[arg] = value;
	assert_int_equal(run(made.insn, made.nr, &d), expected(&rules, &d));
	return run(made.insn, made.nr, &d);
}

static void test_few(void **state)
{
	memset(&rules, 0, sizeof(rules));
	rule(16, SECCOMP_RET_ALLOW, 1, UINT32_MAX, 0x4700);
	allow(3);
	rule(16, SECCOMP_RET_ERRNO | ENOTTY, 1, UINT32_MAX, 0x5401);
	rule(9, SECCOMP_RET_ALLOW, 2, 4, 0);
	rule(9, SECCOMP_RET_ALLOW, 2, 0xf0, 0x10);
	rule(9, SECCOMP_RET_ALLOW, 3, 0xf0, 0x20);
	assert_int_equal(filter_make(&rules, &made), 0);
	assert_int_equal(answer(ARCH, 3, 0, 7), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(ARCH, 16, 1, 0x4700), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(ARCH, 16, 1, 0x100004700), SECCOMP_RET_ALLOW); /* the kernel looks at 32 bits, too */
	assert_int_equal(answer(ARCH, 16, 1, 0x5401), SECCOMP_RET_ERRNO | ENOTTY);
	assert_int_equal(answer(ARCH, 16, 1, 0x4701), KILL);
	assert_int_equal(answer(ARCH, 9, 2, 3), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(ARCH, 9, 2, 0x14), SECCOMP_RET_ALLOW); /* the second rule, of other bits */
	assert_int_equal(answer(ARCH, 9, 2, 0x24), KILL);
	assert_int_equal(answer(OTHER, 3, 0, 7), KILL);
	assert_int_equal(answer(ARCH, 3 | 0x40000000, 0, 7), KILL); /* x32 */
	assert_int_equal(answer(ARCH, -1, 0, 7), KILL);
}

static void test_refused(void **state)
{
	memset(&rules, 0, sizeof(rules));
	assert_int_equal(filter_make(&rules, &made), -EINVAL); /* nobody wants to kill all */
	rule(1, SECCOMP_RET_ALLOW, 6, UINT32_MAX, 0);
	assert_int_equal(filter_make(&rules, &made), -EINVAL);
	memset(&rules, 0, sizeof(rules));
	rule(1, SECCOMP_RET_ALLOW, 0, 4, 1);
	assert_int_equal(filter_make(&rules, &made), -EINVAL);
	memset(&rules, 0, sizeof(rules));
	rule(-1, SECCOMP_RET_ALLOW, FILTER_NO_ARG, 0, 0);
	assert_int_equal(filter_make(&rules, &made), -EINVAL);
	memset(&rules, 0, sizeof(rules));
	for (uint32_t i = 0; i < 200; i++) /* a jump over all of them is too far */
		rule(1, SECCOMP_RET_ALLOW, 0, UINT32_MAX, i);
	assert_int_equal(filter_make(&rules, &made), -E2BIG);
	assert_int_equal(made.nr, 0);
	for (uint32_t i = 0; i < FILTER_MAX_RULES; i++)
		allow((int)i);
	assert_int_equal(filter_make(&rules, &made), -E2BIG);
}

/* Calls without conditions read no argument: the kernel caches their answer. */
static void test_no_argument_read(void **state)
{
	memset(&rules, 0, sizeof(rules));
	for (int i = 0; i < 60; i++)
		if (i % 10 == 5)
			rule(i, SECCOMP_RET_ALLOW, 1, UINT32_MAX, 1);
		else
			allow(i);
	assert_int_equal(filter_make(&rules, &made), 0);
	for (int nr = 0; nr < 60; nr++) {
		uint32_t acc = 0, pc = 0, reads = 0;

		while (BPF_CLASS(made.insn[pc].code) != BPF_RET) {
			const struct sock_filter *i = &made.insn[pc++];

			if (BPF_CLASS(i->code) == BPF_LD) {
				acc = i->k == offsetof(struct seccomp_data, nr) ? (uint32_t)nr : ARCH;
				reads += i->k >= offsetof(struct seccomp_data, args);
			} else if (BPF_CLASS(i->code) == BPF_JMP) {
				pc += (BPF_OP(i->code) == BPF_JEQ ? acc == i->k : acc >= i->k) ? i->jt : i->jf;
			}
		}
		assert_int_equal(reads, nr % 10 == 5);
	}
}

#ifdef HAVE_SECCOMP
static uint32_t random_state;

static uint32_t any(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

/* Rules as the workers' tables are: of a call all conditions are on the same bits of one argument, for values of their own. */
static void make_rules(void)
{
	int nr = 0;

	memset(&rules, 0, sizeof(rules));
	do {
		uint32_t values = any(4) ? 0 : 1 + any(14), mask = any(2) ? UINT32_MAX : 0xff0f, first = any(1000);
		uint8_t arg = (uint8_t)any(6);

		nr += 1 + (int)any(12);
		if (values == 0)
			rule(nr, any(6) ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | (1 + any(100)), FILTER_NO_ARG, 0, 0);
		for (uint32_t i = 0; i < values; i++)
			rule(nr, i ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | ENOTTY, arg, mask,
			     ((first << 16) + i * 0x100) & mask);
	} while (nr < 440 && rules.nr < 90);
	/* in no order */
	for (uint32_t i = rules.nr - 1; i > 0; i--) {
		uint32_t k = any(i + 1);
		struct filter_rule r = rules.rule[i];

		rules.rule[i] = rules.rule[k];
		rules.rule[k] = r;
	}
}

static uint32_t by_library(struct sock_filter *insn, uint32_t max)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	FILE *file = tmpfile();
	size_t n;

	assert_non_null(f);
	assert_non_null(file);
	assert_int_equal(seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), 0);
	for (uint32_t i = 0; i < rules.nr; i++) {
		const struct filter_rule *r = &rules.rule[i];

		if (r->arg == FILTER_NO_ARG)
			assert_int_equal(seccomp_rule_add_exact(f, r->action, r->nr, 0), 0);
		else
			assert_int_equal(
				seccomp_rule_add_exact(f, r->action, r->nr, 1,
						       SCMP_CMP(r->arg, SCMP_CMP_MASKED_EQ, r->mask, r->value)),
				0);
	}
	assert_int_equal(seccomp_export_bpf(f, fileno(file)), 0);
	seccomp_release(f);
	rewind(file);
	n = fread(insn, sizeof(*insn), max, file);
	fclose(file);
	assert_in_range(n, 1, max - 1);
	return (uint32_t)n;
}

static void same(const struct sock_filter *theirs, uint32_t nr, const struct seccomp_data *d)
{
	uint32_t a = run(made.insn, made.nr, d), b = run(theirs, nr, d);

	if (a != b)
		fail_msg("call %d, args %llx %llx %llx %llx %llx %llx: ours says %#x, libseccomp's %#x", d->nr,
			 (unsigned long long)d->args[0], (unsigned long long)d->args[1], (unsigned long long)d->args[2],
			 (unsigned long long)d->args[3], (unsigned long long)d->args[4], (unsigned long long)d->args[5],
			 a, b);
	assert_int_equal(a, expected(&rules, d));
}

static void test_as_libseccomp(void **state)
{
	static struct sock_filter theirs[4096];

	for (uint32_t seed = 1; seed <= 40; seed++) {
		uint32_t nr;

		random_state = seed;
		make_rules();
		assert_int_equal(filter_make(&rules, &made), 0);
		nr = by_library(theirs, ARRAY_SIZE(theirs));
		for (int call = -2; call < 460; call++) {
			struct seccomp_data d = { .nr = call, .arch = ARCH };

			same(theirs, nr, &d);
			d.nr = call | 0x40000000;
			same(theirs, nr, &d);
		}
		for (uint32_t i = 0; i < 4000; i++) {
			const struct filter_rule *r = &rules.rule[any(rules.nr)];
			struct seccomp_data d = { .nr = r->nr, .arch = any(20) ? ARCH : OTHER };

			for (uint32_t a = 0; a < 6; a++)
				d.args[a] = ((uint64_t)any(3) << 32) | (any(1000) << 16) | (any(20) << 8) | any(16);
			if (any(2) && r->arg != FILTER_NO_ARG)
				d.args[r->arg] = ((uint64_t)any(3) << 32) | r->value | (any(2) ? 1u << any(32) : 0);
			same(theirs, nr, &d);
		}
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_argument_read),
#ifdef HAVE_SECCOMP
		cmocka_unit_test(test_as_libseccomp),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

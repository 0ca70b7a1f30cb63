/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-fetch.c - XSA-155, exactly: how often is each word of a page that the peer writes read?  The page is one that cannot be
 * read: each access traps, is noted, is let through as a single step, and then what it has seen changes.  So whoever looks
 * twice sees two values, and is found out however the compiler has arranged it.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <cmocka.h>
#include "backend/block/blk-data.h"
#include "backend/block/blk-slot-test.h"
#include "common/ring/ring.h"

#if !defined(__x86_64__)
int main(void)
{
	return 77; /* single steps are written for one processor */
}
#else

#define TRAP_FLAG 0x100
#define WORD      8u

static uint8_t *page;
static volatile uint32_t reads[PAGE_BYTES], total;
static volatile uint32_t at;
static volatile bool change;

static void on_access(int sig, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	uintptr_t where = (uintptr_t)info->si_addr;

	if (where < (uintptr_t)page || where >= (uintptr_t)page + PAGE_BYTES) {
		signal(SIGSEGV, SIG_DFL); /* another's fault */
		return;
	}
	at = (uint32_t)(where - (uintptr_t)page);
	reads[at]++;
	total++;
	mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE);
	c->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	if (change)
		for (uint32_t i = at; i < MIN(at + WORD, (uint32_t)PAGE_BYTES); i++)
			page[i] = (uint8_t)(page[i] + 1);
	mprotect(page, PAGE_BYTES, PROT_NONE);
	c->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void watch(bool changing)
{
	struct sigaction segv = { .sa_sigaction = on_access, .sa_flags = SA_SIGINFO };
	struct sigaction trap = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	memset((void *)reads, 0, sizeof(reads));
	total = 0;
	change = changing;
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGTRAP, &trap, NULL);
	mprotect(page, PAGE_BYTES, PROT_NONE);
}

static void unwatch(void)
{
	mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
}

/* ------------------------------------------------------------------ a peer's page, mapped */

struct grant;
struct grant_cache;

int grant_copy(struct grant *g, uint32_t domid, struct grant_seg *segs, uint32_t nr)
{
	return 0;
}

int grant_cache_new(struct grant *g, uint32_t domid, uint32_t limit, struct grant_cache **ret)
{
	*ret = (struct grant_cache *)(void *)reads;
	return 0;
}

void grant_cache_free(struct grant_cache *c)
{
}

int grant_cache_get(struct grant_cache *c, uint32_t ref, void **ret)
{
	*ret = page;
	return 0;
}

void grant_cache_put(struct grant_cache *c, uint32_t ref)
{
}

/* ------------------------------------------------------------------ the tests */

static struct ring_back back;
static struct ring_front front;

static int fresh(void **state)
{
	page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || ring_front_init(&front, page, PAGE_BYTES, 112, 16) < 0)
		return -1;
	return ring_back_attach(&back, page, PAGE_BYTES, 112, 16);
}

static int over(void **state)
{
	return munmap(page, PAGE_BYTES);
}

static void the_producer_is_read_once_for_one_decision(void **state)
{
	int n;

	*(uint32_t *)(void *)page = 32; /* the ring is full, and by the next look it is more than that */
	watch(true);
	n = ring_back_pending(&back);
	unwatch();
	assert_int_equal(n, 32);
	assert_int_equal(reads[0], 1);
	assert_int_equal(total, 1);
}

static void the_front_end_reads_the_producer_once_too(void **state)
{
	uint8_t req[112] = { 0 };
	int n;

	ring_front_put(&front, req, sizeof(req));
	if (ring_front_push(&front))
		((uint32_t *)(void *)page)[2] = 1;
	watch(true);
	n = ring_front_pending(&front);
	unwatch();
	assert_int_equal(n, 1);
	assert_int_equal(reads[8], 1);
	assert_int_equal(total, 1);
}

/* No word twice, none in pieces, and nothing else of the page. */
static void a_slot_is_read_as_words_each_once(void **state)
{
	uint8_t copy[112];

	watch(true);
	ring_back_take(&back, copy);
	unwatch();
	assert_int_equal(total, 112 / WORD);
	for (uint32_t i = 0; i < 112 / WORD; i++)
		assert_int_equal(reads[64 + i * WORD], 1);
}

/* All that is decided about a request is decided about the copy. */
static void a_request_is_judged_by_its_copy(void **state)
{
	static const struct blk_limits lim = { .sectors = 2048 };
	uint8_t slot[BLK_SLOT_MAX], copy[BLK_SLOT_MAX];
	struct blk_req r;

	slot_rw(slot, BLK_ABI_X86_64, BLKIF_OP_READ, 11, 99, 0);
	for (uint32_t i = 0; i < 11; i++)
		slot_seg(slot, BLK_ABI_X86_64, i, i, 0, 7);
	memcpy(page + 64, slot, 112);
	watch(true);
	ring_back_take(&back, copy);
	assert_int_equal(blk_parse(BLK_ABI_X86_64, copy, &lim, &r), 0);
	unwatch();
	assert_int_equal(total, 112 / WORD);
	assert_int_equal(r.nr_segs, 11);
	assert_int_equal(r.seg[10].last, 7);
}

/* The page of an indirect request, by way of a persistent grant. */
static void an_indirect_page_is_copied_and_not_looked_at_again(void **state)
{
	static const struct blk_limits lim = { .sectors = 4096 };
	static uint8_t copy[PAGE_BYTES];
	struct blk_seg segs[BLK_MAX_SEGS];
	struct blk_req r = { .nr_segs = 256, .kind = BLK_READ };
	struct blk_data d;
	uint32_t copied;

	assert_int_equal(blk_data_init(&d, NULL, 1, true), 0);
	memset(page, 0, PAGE_BYTES);
	for (uint32_t i = 0; i < BLK_MAX_SEGS; i++)
		page[i * 8 + 5] = 7;
	watch(false);
	assert_int_equal(blk_data_indirect(&d, 5, copy), 0);
	copied = total;
	assert_int_equal(blk_parse_indirect(copy, &lim, &r, segs), 0);
	unwatch();
	assert_true(copied > 0);
	assert_int_equal(total, copied);
	for (uint32_t i = 0; i < BLK_MAX_SEGS; i++)
		assert_true(segs[i].first == 0 && segs[i].last == 7);
	blk_data_fini(&d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_producer_is_read_once_for_one_decision, fresh, over),
		cmocka_unit_test_setup_teardown(the_front_end_reads_the_producer_once_too, fresh, over),
		cmocka_unit_test_setup_teardown(a_slot_is_read_as_words_each_once, fresh, over),
		cmocka_unit_test_setup_teardown(a_request_is_judged_by_its_copy, fresh, over),
		cmocka_unit_test_setup_teardown(an_indirect_page_is_copied_and_not_looked_at_again, fresh, over),
	};

	return cmocka_run_group_tests_name("xsa fetch", tests, NULL, NULL);
}
#endif

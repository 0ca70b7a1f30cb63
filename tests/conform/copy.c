/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy.c: grant copy: directions, status per segment, arguments the driver refuses, races with revocation. */
#include "tests/conform/conform.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static xengnttab_grant_copy_segment_t from_ref(uint32_t ref, unsigned off, void *to, unsigned len)
{
	xengnttab_grant_copy_segment_t s = {
		.dest.virt = to, .len = (uint16_t)len, .flags = GNTCOPY_source_gref, .status = 55
	};
	s.source.foreign.ref = ref;
	s.source.foreign.offset = (uint16_t)off;
	s.source.foreign.domid = (uint16_t)guest;
	return s;
}

static xengnttab_grant_copy_segment_t to_ref(uint32_t ref, unsigned off, void *from, unsigned len)
{
	xengnttab_grant_copy_segment_t s = {
		.source.virt = from, .len = (uint16_t)len, .flags = GNTCOPY_dest_gref, .status = 55
	};
	s.dest.foreign.ref = ref;
	s.dest.foreign.offset = (uint16_t)off;
	s.dest.foreign.domid = (uint16_t)guest;
	return s;
}

static int copy(xengnttab_grant_copy_segment_t *s, uint32_t n)
{
	static xengnttab_handle *g;
	if (!g)
		g = xengnttab_open(NULL, 0);
	CHECK(g);
	return xengnttab_grant_copy(g, n, s);
}

static void from_a_grant(void)
{
	uint8_t buf[200];
	uint32_t ref = (uint32_t)ask("share 0 0 1 0");
	ask("poke 0 1000 11");
	ask("poke 0 1199 12");
	xengnttab_grant_copy_segment_t s = from_ref(ref, 1000, buf, 200);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_okay);
	CHECK_EQ(buf[0], 11);
	CHECK_EQ(buf[199], 12);
}

static void to_a_grant(void)
{
	uint8_t buf[2] = { 21, 22 };
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	xengnttab_grant_copy_segment_t s = to_ref(ref, 4094, buf, 2);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_okay);
	CHECK_EQ(ask("peek 0 4093"), 0);
	CHECK_EQ(ask("peek 0 4094"), 21);
	CHECK_EQ(ask("peek 0 4095"), 22);
}

static void from_grant_to_grant(void)
{
	uint32_t a = (uint32_t)ask("share 0 0 1 0"), b = (uint32_t)ask("share 1 0 1 1");
	ask("poke 0 5 31");
	xengnttab_grant_copy_segment_t s = from_ref(a, 0, NULL, PAGE), d = to_ref(b, 0, NULL, PAGE);
	s.dest = d.dest;
	s.flags |= GNTCOPY_dest_gref;
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_okay);
	CHECK_EQ(ask("peek 1 5"), 31);
}

static void of_no_segments_succeeds(void)
{
	CHECK_EQ(copy(NULL, 0), 0);
}

static void of_length_zero_succeeds(void)
{
	uint8_t x;
	uint32_t ref = (uint32_t)ask("share 0 0 1 0");
	xengnttab_grant_copy_segment_t s = from_ref(ref, 10, &x, 0);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_okay);
}

static void status_is_per_segment(void)
{
	uint8_t buf[40] = { 0 };
	uint32_t ref = (uint32_t)ask("share 0 0 1 0");
	ask("poke 0 0 41");
	xengnttab_grant_copy_segment_t s[20];
	for (unsigned i = 0; i < 20; i++)
		s[i] = from_ref(i % 3 == 1 ? 30000 : ref, 0, buf + 2 * i, 1);
	CHECK_EQ(copy(s, 20), 0);
	for (unsigned i = 0; i < 20; i++) {
		if (i % 3 == 1)
			CHECK(s[i].status < 0);
		else
			CHECK_EQ(s[i].status, GNTST_okay);
		CHECK_EQ(buf[2 * i], i % 3 == 1 ? 0 : 41);
		CHECK_EQ(buf[2 * i + 1], 0);
	}
}

static void a_ref_beyond_the_table_is_bad_gntref(void)
{
	uint8_t x;
	xengnttab_grant_copy_segment_t s = from_ref(0x10000000, 0, &x, 1);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_bad_gntref);
}

static void an_unknown_domain_is_bad_domain(void)
{
	uint8_t x;
	xengnttab_grant_copy_segment_t s = from_ref(8, 0, &x, 1);
	s.source.foreign.domid = 32000;
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_bad_domain);
}

static void a_grant_to_another_domain_is_general_error(void)
{
	uint8_t x;
	uint32_t ref = (uint32_t)ask("share 0 %u 1 1", guest + 1);
	xengnttab_grant_copy_segment_t s = from_ref(ref, 0, &x, 1);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_general_error);
}

static void to_a_readonly_grant_is_general_error(void)
{
	uint8_t x = 1;
	uint32_t ref = (uint32_t)ask("share 0 0 1 0");
	xengnttab_grant_copy_segment_t s = to_ref(ref, 0, &x, 1);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_general_error);
	CHECK_EQ(ask("peek 0 0"), 0);
}

static void an_unshared_grant_is_an_error(void)
{
	uint8_t x;
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	ask("unshare 0");
	xengnttab_grant_copy_segment_t s = from_ref(ref, 0, &x, 1);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK(s.status < 0);
}

static void across_the_end_of_a_granted_page_is_einval(void)
{
	uint8_t buf[PAGE + 8];
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	xengnttab_grant_copy_segment_t s = from_ref(ref, 4000, buf, 97);
	CHECK_FAILS(copy(&s, 1), EINVAL);
	s = to_ref(ref, 1, buf, PAGE);
	CHECK_FAILS(copy(&s, 1), EINVAL);
	s = from_ref(ref, 4000, buf, 96);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_okay);
}

static void memory_of_ours_may_cross_pages(void)
{
	static _Alignas(4096) uint8_t buf[3 * 4096];
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	ask("poke 0 0 61");
	ask("poke 0 4095 62");
	xengnttab_grant_copy_segment_t s = from_ref(ref, 0, buf + 4000, PAGE);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(s.status, GNTST_okay);
	CHECK_EQ(buf[4000], 61);
	CHECK_EQ(buf[4000 + 4095], 62);
}

static void with_no_grant_at_all_is_einval(void)
{
	uint8_t a, b = 1;
	xengnttab_grant_copy_segment_t s = { .source.virt = &b, .dest.virt = &a, .len = 1 };
	CHECK_FAILS(copy(&s, 1), EINVAL);
}

static void a_mapped_grant_can_be_copied_too(void)
{
	uint8_t x = 0;
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	uint8_t *p = xengnttab_map_grant_ref(xengnttab_open(NULL, 0), guest, ref, PROT_READ | PROT_WRITE);
	CHECK(p);
	*p = 71;
	xengnttab_grant_copy_segment_t s = from_ref(ref, 0, &x, 1);
	CHECK_EQ(copy(&s, 1), 0);
	CHECK_EQ(x, 71);
}

/* The guest gives one page after the other to us and, the moment it is unshared, maybe the same to somebody else. */
static void never_shows_what_came_after_unshare(void)
{
	enum { ENOUGH = 300 };
	uint8_t buf[PAGE];
	unsigned good = 0, refused = 0;
	uint32_t control = (uint32_t)ask("share 0 0 1 1");
	uint32_t *ref = xengnttab_map_grant_ref(xengnttab_open(NULL, 0), guest, control, PROT_READ | PROT_WRITE);
	CHECK(ref);
	pid_t pid = fork();
	if (!pid) {
		ask("churn 0 0");
		_exit(0);
	}
	while (!__atomic_load_n(ref, __ATOMIC_SEQ_CST) && waitpid(pid, NULL, WNOHANG) == 0)
		;
	long start = now_ms();
	while (now_ms() < start + 300 || ((good < ENOUGH || refused < ENOUGH) && now_ms() < start + 10000)) {
		xengnttab_grant_copy_segment_t s = from_ref(__atomic_load_n(ref, __ATOMIC_SEQ_CST), 0, buf, PAGE);
		CHECK_EQ(copy(&s, 1), 0);
		refused += s.status != GNTST_okay;
		good += s.status == GNTST_okay;
		/* zero: shared, not filled yet */
		for (unsigned i = 0; s.status == GNTST_okay && i < PAGE; i++)
			CHECK(buf[i] == 0x11 || buf[i] == 0);
	}
	__atomic_store_n((uint8_t *)ref + 4, 1, __ATOMIC_SEQ_CST);
	CHECK(good > 0 && refused > 0);
	int status;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

#define T(fn)           \
	{               \
#fn, fn \
	}
const struct test copy_tests[] = {
	T(from_a_grant),
	T(to_a_grant),
	T(from_grant_to_grant),
	T(of_no_segments_succeeds),
	T(of_length_zero_succeeds),
	T(status_is_per_segment),
	T(a_ref_beyond_the_table_is_bad_gntref),
	T(an_unknown_domain_is_bad_domain),
	T(a_grant_to_another_domain_is_general_error),
	T(to_a_readonly_grant_is_general_error),
	T(an_unshared_grant_is_an_error),
	T(across_the_end_of_a_granted_page_is_einval),
	T(memory_of_ours_may_cross_pages),
	T(with_no_grant_at_all_is_einval),
	T(a_mapped_grant_can_be_copied_too),
	T(never_shows_what_came_after_unshare),
	{ NULL, NULL },
};

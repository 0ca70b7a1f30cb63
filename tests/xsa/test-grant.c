/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-grant.c - common/xen/grant.c on a libxengnttab of our own, which fails as the hypervisor can: in single elements of a
 * batch, by never looking at the rest of it, by a map that does not succeed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <xenctrl.h>
#include <xengnttab.h>
#include "common/xen/grant.h"

#define DOMID  7u
#define NOBODY UINT32_MAX

/* ------------------------------------------------------------------ the library */

static struct {
	uint32_t bad[8], nr_bad;  /* refs whose elements fail */
	uint32_t looked_at;       /* elements of a batch that are looked at; the others are left as they came */
	uint32_t no_map;          /* the ref that cannot be mapped */
	uint32_t maps, most_maps; /* pages mapped now, and at most */
	uint32_t calls, elements;
} lib;
static char page_of_all[PAGE_BYTES];

xengnttab_handle *xengnttab_open(xentoollog_logger *logger, unsigned open_flags)
{
	return (xengnttab_handle *)(void *)&lib;
}

int xengnttab_close(xengnttab_handle *h)
{
	return 0;
}

static void *map(uint32_t nr)
{
	lib.maps += nr;
	lib.most_maps = MAX(lib.maps, lib.most_maps);
	return page_of_all;
}

void *xengnttab_map_grant_ref(xengnttab_handle *h, uint32_t domid, uint32_t ref, int prot)
{
	if (ref == lib.no_map) {
		errno = EINVAL;
		return NULL;
	}
	return map(1);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *h, uint32_t nr, uint32_t domid, uint32_t *refs, int prot)
{
	for (uint32_t i = 0; i < nr; i++)
		if (refs[i] == lib.no_map) {
			errno = EINVAL;
			return NULL;
		}
	return map(nr);
}

int xengnttab_unmap(xengnttab_handle *h, void *start, uint32_t nr)
{
	lib.maps -= nr;
	return 0;
}

int xengnttab_grant_copy(xengnttab_handle *h, uint32_t nr, xengnttab_grant_copy_segment_t *segs)
{
	lib.calls++;
	lib.elements += nr;
	for (uint32_t i = 0; i < MIN(nr, lib.looked_at); i++) {
		uint32_t ref = segs[i].flags & GNTCOPY_dest_gref ? segs[i].dest.foreign.ref
								 : segs[i].source.foreign.ref;

		segs[i].status = GNTST_okay;
		for (uint32_t k = 0; k < lib.nr_bad; k++)
			if (lib.bad[k] == ref)
				segs[i].status = GNTST_bad_gntref;
	}
	return 0;
}

/* ------------------------------------------------------------------ the tests */

static struct grant *g;
static char local[PAGE_BYTES];
static struct grant_seg segs[300];

static int fresh(void **state)
{
	memset(&lib, 0, sizeof(lib));
	lib.looked_at = lib.no_map = NOBODY;
	for (uint32_t i = 0; i < ARRAY_SIZE(segs); i++)
		segs[i] = (struct grant_seg){ .ref = i, .bytes = 512, .local = local, .to_guest = i & 1, .status = 1 };
	return grant_open(&g);
}

static int over(void **state)
{
	grant_close(g);
	return 0;
}

/* XSA-361: the first, one in the middle, the last, one in each of two calls, all. */
static void each_element_has_its_own_status(void **state)
{
	static const struct {
		uint32_t bad[3], nr;
	} rows[] = { { { 0 }, 1 }, { { 150 }, 1 }, { { 299 }, 1 }, { { 127, 128, 298 }, 3 }, { { 0, 299 }, 2 } };

	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		grant_close(g);
		fresh(NULL);
		memcpy(lib.bad, rows[r].bad, sizeof(rows[r].bad));
		lib.nr_bad = rows[r].nr;
		assert_int_equal(grant_copy(g, DOMID, segs, 300), -ENOENT);
		for (uint32_t i = 0; i < 300; i++) {
			bool bad = false;

			for (uint32_t k = 0; k < rows[r].nr; k++)
				bad = bad || rows[r].bad[k] == i;
			assert_int_equal(segs[i].status, bad ? -ENOENT : 0);
		}
	}
	grant_close(g);
	fresh(NULL);
	assert_int_equal(grant_copy(g, DOMID, segs, 300), 0);
}

/* XSA-361: a hypercall that stopped half way. */
static void what_was_never_looked_at_has_failed(void **state)
{
	lib.looked_at = 5;
	assert_true(grant_copy(g, DOMID, segs, 20) < 0);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(segs[i].status < 0, i >= 5);
}

/* One that reaches beyond its page makes the kernel refuse all: it fails alone, and is never passed on. */
static void beyond_its_page_fails_alone(void **state)
{
	segs[3].offset = 3585;
	segs[4].offset = 3584; /* just fits */
	segs[5].bytes = 0;
	segs[6].bytes = 4097;
	segs[7].offset = 65535;
	assert_int_equal(grant_copy(g, DOMID, segs, 10), -EINVAL);
	assert_int_equal(lib.elements, 6);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(segs[i].status, i == 3 || (i >= 5 && i <= 7) ? -EINVAL : 0);
}

/* XSA-365: a map that fails gives no page to use. */
static void a_map_that_fails_says_so_and_gives_no_page(void **state)
{
	static const uint32_t refs[] = { 1, 2, 3, 4 };
	void *page = NULL;

	lib.no_map = 3;
	assert_int_equal(grant_map(g, DOMID, refs, 4, true, &page), -EINVAL);
	assert_null(page);
	assert_int_equal(grant_map(g, DOMID, refs + 2, 1, true, &page), -EINVAL);
	assert_null(page);
	assert_int_equal(lib.maps, 0);
}

/* XSA-300: what a guest can make us map has an end, whatever it names. */
static void a_guest_cannot_have_more_mapped_than_the_cache_holds(void **state)
{
	struct grant_cache *c;
	void *page;

	assert_int_equal(grant_cache_new(g, DOMID, 64, &c), 0);
	for (uint32_t ref = 0; ref < 1000; ref++) {
		int rc = grant_cache_get(c, ref, &page);

		if (rc == 0 && ref % 3)
			grant_cache_put(c, ref);
		if (ref % 50 == 0)
			grant_cache_trim(c, ref, UINT64_MAX);
	}
	assert_true(lib.most_maps <= 64);
	assert_true(lib.maps > 32);
	grant_cache_free(c);
}

/* XSA-300: nor by more rings; persistent grants leave room for rings, and rings find an end too. */
static void all_rings_of_a_guest_share_a_limit(void **state)
{
	static const uint32_t refs[16];
	struct grant_cache *c[2];
	void *page, *rings[2];
	struct grant_use u;

	grant_limit(g, 64);
	assert_int_equal(grant_cache_new(g, DOMID, 64, &c[0]), 0);
	assert_int_equal(grant_cache_new(g, DOMID, 64, &c[1]), 0);
	for (uint32_t ref = 0; ref < 200; ref++)
		if (grant_cache_get(c[ref % 2], ref, &page) == 0 && ref % 3)
			grant_cache_put(c[ref % 2], ref);
	assert_int_equal(lib.maps, 48);
	assert_int_equal(grant_map(g, DOMID, refs, 16, true, &rings[0]), 0);
	assert_int_equal(grant_map(g, DOMID, refs, 1, true, &rings[1]), -ENOSPC);
	grant_used(g, &u);
	assert_int_equal(u.mapped, 64);
	assert_int_equal(u.limit, 64);
	assert_true(u.refused > 0);
	grant_unmap(g, rings[0], 16);
	grant_limit(g, 32); /* of less, what is idle goes */
	grant_cache_trim(c[0], 1, UINT64_MAX);
	grant_cache_trim(c[1], 1, UINT64_MAX);
	assert_int_equal(lib.maps, 24);
	grant_cache_free(c[0]);
	grant_cache_free(c[1]);
	grant_used(g, &u);
	assert_int_equal(u.mapped, 0);
	assert_int_equal(lib.maps, 0);
}

/* XSA-371: also pages in use. */
static void nothing_stays_mapped_when_the_cache_goes(void **state)
{
	struct grant_cache *c;
	void *page;

	assert_int_equal(grant_cache_new(g, DOMID, 8, &c), 0);
	for (uint32_t ref = 0; ref < 8; ref++) {
		assert_int_equal(grant_cache_get(c, ref, &page), 0);
		if (ref & 1)
			grant_cache_put(c, ref);
	}
	assert_int_equal(lib.maps, 8);
	grant_cache_free(c);
	assert_int_equal(lib.maps, 0);
}

/* A page that is written by one request is not given to another. */
static void a_page_in_use_is_not_given_twice(void **state)
{
	struct grant_cache *c;
	void *page;

	assert_int_equal(grant_cache_new(g, DOMID, 8, &c), 0);
	assert_int_equal(grant_cache_get(c, 1, &page), 0);
	assert_int_equal(grant_cache_get(c, 1, &page), -EBUSY);
	grant_cache_put(c, 1);
	assert_int_equal(grant_cache_get(c, 1, &page), 0);
	grant_cache_free(c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_element_has_its_own_status, fresh, over),
		cmocka_unit_test_setup_teardown(what_was_never_looked_at_has_failed, fresh, over),
		cmocka_unit_test_setup_teardown(beyond_its_page_fails_alone, fresh, over),
		cmocka_unit_test_setup_teardown(a_map_that_fails_says_so_and_gives_no_page, fresh, over),
		cmocka_unit_test_setup_teardown(a_guest_cannot_have_more_mapped_than_the_cache_holds, fresh, over),
		cmocka_unit_test_setup_teardown(all_rings_of_a_guest_share_a_limit, fresh, over),
		cmocka_unit_test_setup_teardown(nothing_stays_mapped_when_the_cache_goes, fresh, over),
		cmocka_unit_test_setup_teardown(a_page_in_use_is_not_given_twice, fresh, over),
	};

	return cmocka_run_group_tests_name("xsa grant", tests, NULL, NULL);
}

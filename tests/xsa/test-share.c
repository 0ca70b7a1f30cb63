/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-share.c - frontend/core/share.c on a driver of our own, which hands out pages that somebody has used. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <xengnttab.h>
#include "frontend/core/share.h"

static _Alignas(PAGE_BYTES) uint8_t memory[3][PAGE_BYTES];
static uint32_t revoked;

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	return (xengntshr_handle *)(void *)memory;
}

int xengntshr_close(xengntshr_handle *h)
{
	return 0;
}

void *xengntshr_share_pages(xengntshr_handle *h, uint32_t domid, int count, uint32_t *refs, int writable)
{
	if (count > 3) {
		errno = ENOSPC;
		return NULL;
	}
	memset(memory, 0xa5, sizeof(memory));
	for (int i = 0; i < count; i++)
		refs[i] = (uint32_t)i + 8;
	return memory;
}

int xengntshr_unshare(xengntshr_handle *h, void *start, uint32_t count)
{
	revoked += count;
	return 0;
}

/* XSA-403: what was in them before is nobody's business. */
static void pages_are_zero_when_they_are_granted(void **state)
{
	const uint8_t *bytes;
	struct share *s;
	uint32_t refs[3];
	void *pages;

	assert_int_equal(share_open(&s), 0);
	assert_int_equal(share_pages(s, 0, 3, true, refs, &pages), 0);
	bytes = pages;
	for (size_t i = 0; i < sizeof(memory); i++)
		assert_int_equal(bytes[i], 0);
	share_revoke(s, pages, 3);
	assert_int_equal(revoked, 3);
	share_close(s);
}

static void no_room_in_the_table_is_an_error_and_no_page(void **state)
{
	struct share *s;
	uint32_t refs[4];
	void *pages = NULL;

	assert_int_equal(share_open(&s), 0);
	assert_int_equal(share_pages(s, 0, 4, true, refs, &pages), -ENOSPC);
	assert_null(pages);
	share_close(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_zero_when_they_are_granted),
		cmocka_unit_test(no_room_in_the_table_is_an_error_and_no_page),
	};

	return cmocka_run_group_tests_name("xsa share", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-blk-parse.c - every rule of the request parser, in every layout; then a great many broken slots. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/block/blk-slot-test.h"

#define SECTORS 2048u

static const struct blk_limits rw = { SECTORS, .can_flush = true, .can_barrier = true, .can_discard = true,
				      .can_secure = true };
static const struct blk_limits ro = { SECTORS, .readonly = true, .can_flush = true, .can_barrier = true };

static uint8_t slot[BLK_SLOT_MAX];
static struct blk_req r;

#define EACH_ABI(abi) for (enum blk_abi abi = 0; abi < BLK_NR_ABIS; abi++)

static void slots_have_the_sizes_of_the_wire(void **state)
{
	assert_int_equal(blk_slot_bytes(BLK_ABI_X86_32), 108);
	assert_int_equal(blk_slot_bytes(BLK_ABI_X86_64), 112);
	assert_int_equal(blk_slot_bytes(BLK_ABI_NATIVE), sizeof(struct blkif_request));
	assert_int_equal(blk_rsp_bytes(BLK_ABI_X86_32), 12);
	assert_int_equal(blk_rsp_bytes(BLK_ABI_X86_64), 16);
	assert_int_equal(blk_slot_bytes(BLK_NR_ABIS), 0);
}

static void a_read_comes_out_whole_in_every_layout(void **state)
{
	EACH_ABI(abi)
	{
		slot_rw(slot, abi, BLKIF_OP_READ, 2, 0x1122334455667788, 16);
		slot_seg(slot, abi, 0, 0xaabbccdd, 0, 7);
		slot_seg(slot, abi, 1, 77, 3, 3);
		assert_int_equal(blk_parse(abi, slot, &rw, &r), 0);
		assert_true(r.id == 0x1122334455667788);
		assert_int_equal(r.op, BLKIF_OP_READ);
		assert_int_equal(r.kind, BLK_READ);
		assert_int_equal(r.sector, 16);
		assert_int_equal(r.nr_sectors, 9);
		assert_int_equal(r.nr_segs, 2);
		assert_int_equal(r.seg[0].gref, 0xaabbccdd);
		assert_int_equal(r.seg[0].last, 7);
		assert_int_equal(r.seg[1].gref, 77);
		assert_int_equal(r.seg[1].first, 3);
		assert_false(r.indirect);
	}
}

/* What is wrong with a plain request, one row a sin. */
static void plain_sins_are_refused(void **state)
{
	static const struct {
		const char *sin;
		uint8_t op, nr;
		uint64_t sector;
		uint8_t first, last;
		bool readonly;
		int want;
	} rows[] = {
		{ "unknown operation 4", 4, 1, 0, 0, 7, false, -EOPNOTSUPP },
		{ "unknown operation 7", 7, 1, 0, 0, 7, false, -EOPNOTSUPP },
		{ "unknown operation 255", 255, 1, 0, 0, 7, false, -EOPNOTSUPP },
		{ "read of 0 segments", BLKIF_OP_READ, 0, 0, 0, 7, false, -EINVAL },
		{ "write of 0 segments", BLKIF_OP_WRITE, 0, 0, 0, 7, false, -EINVAL },
		{ "12 segments", BLKIF_OP_READ, 12, 0, 0, 7, false, -EINVAL },
		{ "255 segments", BLKIF_OP_WRITE, 255, 0, 0, 7, false, -EINVAL },
		{ "flush of 12 segments", BLKIF_OP_FLUSH_DISKCACHE, 12, 0, 0, 7, false, -EINVAL },
		{ "first after last", BLKIF_OP_READ, 1, 0, 5, 4, false, -EINVAL },
		{ "last beyond the page", BLKIF_OP_READ, 1, 0, 0, 8, false, -EINVAL },
		{ "last far beyond the page", BLKIF_OP_WRITE, 1, 0, 0, 255, false, -EINVAL },
		{ "first and last beyond the page", BLKIF_OP_READ, 1, 0, 200, 255, false, -EINVAL },
		{ "one sector past the end", BLKIF_OP_READ, 1, SECTORS - 7, 0, 7, false, -ERANGE },
		{ "starts at the end", BLKIF_OP_READ, 1, SECTORS, 0, 0, false, -ERANGE },
		{ "starts past the end", BLKIF_OP_WRITE, 1, SECTORS + 1, 0, 0, false, -ERANGE },
		{ "sector + length overflows", BLKIF_OP_WRITE, 1, UINT64_MAX - 3, 0, 7, false, -ERANGE },
		{ "sector + length is 2^64", BLKIF_OP_READ, 1, UINT64_MAX - 7, 0, 7, false, -ERANGE },
		{ "byte offset would overflow", BLKIF_OP_READ, 1, 1ull << 55, 0, 7, false, -ERANGE },
		{ "write to a read-only disk", BLKIF_OP_WRITE, 1, 0, 0, 7, true, -EROFS },
		{ "barrier with data to a read-only disk", BLKIF_OP_WRITE_BARRIER, 1, 0, 0, 7, true, -EROFS },
		{ "flush with data to a read-only disk", BLKIF_OP_FLUSH_DISKCACHE, 1, 0, 0, 7, true, -EROFS },
		{ "(the last page is fine)", BLKIF_OP_READ, 1, SECTORS - 8, 0, 7, false, 0 },
		{ "(a read of a read-only disk is fine)", BLKIF_OP_READ, 1, 0, 0, 7, true, 0 },
		{ "(an empty flush is fine)", BLKIF_OP_FLUSH_DISKCACHE, 0, UINT64_MAX, 0, 0, false, 0 },
		{ "(an empty flush of a read-only disk is fine)", BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, 0, true, 0 },
		{ "(an empty barrier is fine)", BLKIF_OP_WRITE_BARRIER, 0, 0, 0, 0, false, 0 },
	};

	EACH_ABI(abi)
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		slot_rw(slot, abi, rows[i].op, rows[i].nr, 99, rows[i].sector);
		for (uint32_t s = 0; s < MIN(rows[i].nr, 11); s++)
			slot_seg(slot, abi, s, s, rows[i].first, rows[i].last);
		if (blk_parse(abi, slot, rows[i].readonly ? &ro : &rw, &r) != rows[i].want)
			fail_msg("%s (abi %d): wrong verdict", rows[i].sin, abi);
		assert_int_equal(r.id, 99); /* it can be answered all the same */
		assert_int_equal(r.op, rows[i].op);
	}
}

static void what_was_not_offered_is_not_supported(void **state)
{
	static const struct blk_limits bare = { .sectors = SECTORS };

	EACH_ABI(abi)
	{
		slot_rw(slot, abi, BLKIF_OP_FLUSH_DISKCACHE, 0, 1, 0);
		assert_int_equal(blk_parse(abi, slot, &bare, &r), -EOPNOTSUPP);
		slot_rw(slot, abi, BLKIF_OP_WRITE_BARRIER, 0, 1, 0);
		assert_int_equal(blk_parse(abi, slot, &bare, &r), -EOPNOTSUPP);
		slot_discard(slot, abi, 0, 1, 0, 8);
		assert_int_equal(blk_parse(abi, slot, &bare, &r), -EOPNOTSUPP);
	}
}

static void discards_are_checked(void **state)
{
	static const struct {
		uint64_t sector, nr;
		int want;
	} rows[] = {
		{ 0, SECTORS, 0 },           { SECTORS - 1, 1, 0 },
		{ 0, 0, -EINVAL },           { SECTORS, 1, -ERANGE },
		{ 0, SECTORS + 1, -ERANGE }, { 1, UINT64_MAX, -ERANGE },
		{ UINT64_MAX, 1, -ERANGE },  { UINT64_MAX, UINT64_MAX, -ERANGE },
	};

	EACH_ABI(abi)
	{
		for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
			slot_discard(slot, abi, 0, 5, rows[i].sector, rows[i].nr);
			assert_int_equal(blk_parse(abi, slot, &rw, &r), rows[i].want);
			assert_int_equal(r.op, BLKIF_OP_DISCARD);
			assert_false(r.secure);
		}
		slot_discard(slot, abi, 0, 5, 0, 8);
		assert_int_equal(blk_parse(abi, slot, &ro, &r), -EROFS);
	}
}

static void secure_counts_only_where_it_was_offered(void **state)
{
	struct blk_limits plain = rw;

	plain.can_secure = false;
	slot_discard(slot, BLK_ABI_X86_64, BLKIF_DISCARD_SECURE, 5, 0, 8);
	assert_int_equal(blk_parse(BLK_ABI_X86_64, slot, &rw, &r), 0);
	assert_true(r.secure);
	assert_int_equal(blk_parse(BLK_ABI_X86_64, slot, &plain, &r), 0);
	assert_false(r.secure); /* the spec: ignored if discard-secure=0 */
}

static uint8_t page[PAGE_BYTES];
static struct blk_seg segs[BLK_MAX_SEGS];

static void fill_page(uint32_t nr)
{
	memset(page, 0xff, sizeof(page)); /* what lies behind the segments is garbage */
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t gref = 1000 + i;

		memset(page + i * 8, 0, 8);
		memcpy(page + i * 8, &gref, 4);
		page[i * 8 + 5] = 7;
	}
}

static void an_indirect_request_takes_its_segments_from_the_page(void **state)
{
	EACH_ABI(abi)
	{
		slot_indirect(slot, abi, BLKIF_OP_WRITE, 256, 9, 0, 4711);
		assert_int_equal(blk_parse(abi, slot, &rw, &r), 0);
		assert_true(r.indirect);
		assert_int_equal(r.op, BLKIF_OP_WRITE); /* what the response must carry */
		assert_int_equal(r.nr_indirect, 1);
		assert_int_equal(r.ind_gref[0], 4711);
		fill_page(256);
		assert_int_equal(blk_parse_indirect(page, &rw, &r, segs), 0);
		assert_int_equal(r.nr_sectors, 256 * 8);
		assert_int_equal(segs[255].gref, 1255);
	}
}

static void indirect_sins_are_refused(void **state)
{
	static const struct {
		uint8_t op;
		uint16_t nr;
		uint64_t sector;
		bool readonly;
		int want;
	} rows[] = {
		{ BLKIF_OP_READ, 0, 0, false, -EINVAL },
		{ BLKIF_OP_READ, 257, 0, false, -EINVAL },
		{ BLKIF_OP_READ, 65535, 0, false, -EINVAL },
		{ BLKIF_OP_INDIRECT, 8, 0, false, -EINVAL }, /* nested */
		{ BLKIF_OP_DISCARD, 8, 0, false, -EINVAL },
		{ BLKIF_OP_FLUSH_DISKCACHE, 8, 0, false, -EINVAL },
		{ 200, 8, 0, false, -EINVAL },
		{ BLKIF_OP_WRITE, 8, 0, true, -EROFS },
		{ BLKIF_OP_READ, 8, UINT64_MAX - 2, false, -ERANGE },
		{ BLKIF_OP_READ, 8, SECTORS - 7, false, -ERANGE },
	};

	EACH_ABI(abi)
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		slot_indirect(slot, abi, rows[i].op, rows[i].nr, 9, rows[i].sector, 1);
		assert_int_equal(blk_parse(abi, slot, rows[i].readonly ? &ro : &rw, &r), rows[i].want);
		assert_int_equal(r.id, 9);
	}
}

static void bad_segments_in_the_page_are_refused(void **state)
{
	slot_indirect(slot, BLK_ABI_X86_64, BLKIF_OP_READ, 20, 9, SECTORS - 160, 1);
	fill_page(20);
	assert_int_equal(blk_parse(BLK_ABI_X86_64, slot, &rw, &r), 0);
	assert_int_equal(blk_parse_indirect(page, &rw, &r, segs), 0);
	page[19 * 8 + 5] = 8;
	assert_int_equal(blk_parse_indirect(page, &rw, &r, segs), -EINVAL);
	page[19 * 8 + 5] = 7;
	page[10 * 8 + 4] = 8;
	assert_int_equal(blk_parse_indirect(page, &rw, &r, segs), -EINVAL);
	page[10 * 8 + 4] = 0;
	r.sector++; /* now the sum goes past the end */
	assert_int_equal(blk_parse_indirect(page, &rw, &r, segs), -ERANGE);
}

static void a_response_is_padded_with_zeroes(void **state)
{
	static const uint8_t want[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0xff, 0xff, 0, 0, 0, 0 };
	struct blk_rsp rsp = blk_make_rsp(0x0807060504030201, 9, BLKIF_RSP_ERROR);

	assert_memory_equal(rsp.bytes, want, sizeof(want));
}

/* Whatever is accepted lies inside the disk and inside its pages. */
static void check_invariants(const struct blk_limits *lim, const struct blk_seg *s)
{
	uint64_t sum = 0;

	assert_true(r.kind < BLK_NR_KINDS);
	if (r.kind == BLK_DISCARD || r.nr_segs)
		assert_true(r.sector <= lim->sectors && r.nr_sectors <= lim->sectors - r.sector && r.nr_sectors > 0);
	else
		assert_true(r.kind == BLK_FLUSH || r.kind == BLK_BARRIER);
	if (lim->readonly)
		assert_true(r.kind == BLK_READ || r.nr_segs == 0);
	assert_true(r.nr_segs <= (r.indirect ? BLK_MAX_SEGS : BLKIF_MAX_SEGMENTS_PER_REQUEST));
	for (uint32_t i = 0; i < r.nr_segs; i++) {
		assert_true(s[i].first <= s[i].last && s[i].last <= 7);
		sum += s[i].last - s[i].first + 1u;
	}
	if (r.nr_segs)
		assert_int_equal(sum, r.nr_sectors);
}

static void a_million_broken_slots_break_nothing(void **state)
{
	static const uint8_t nasty[] = { 0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 127, 128, 254, 255 };
	uint64_t x = 0x9e3779b97f4a7c15ull;
	uint32_t good = 0;

	for (uint32_t n = 0; n < 1000000; n++) {
		enum blk_abi abi = (enum blk_abi)(n % BLK_NR_ABIS);
		const struct blk_limits *lim = n % 5 ? &rw : &ro;

		if (n % 4 == 0)
			slot_indirect(slot, abi, (uint8_t)(n / 4 % 2), (uint16_t)(n % 300), n, n % SECTORS, n);
		else
			slot_rw(slot, abi, (uint8_t)(n % 7), (uint8_t)(n % 13), n, n % SECTORS);
		for (int m = 0; m < 4; m++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			slot[x % sizeof(slot)] = x >> 60 ? nasty[(x >> 32) % sizeof(nasty)] : (uint8_t)(x >> 40);
		}
		if (blk_parse(abi, slot, lim, &r))
			continue;
		if (r.indirect) {
			fill_page(r.nr_segs);
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			if (x & 1)
				page[(x >> 8) % (r.nr_segs * 8u)] = nasty[(x >> 32) % sizeof(nasty)];
			if (blk_parse_indirect(page, lim, &r, segs))
				continue;
		}
		check_invariants(lim, r.indirect ? segs : r.seg);
		good++;
	}
	assert_true(good > 10000); /* else the mutations test nothing */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_have_the_sizes_of_the_wire),
		cmocka_unit_test(a_read_comes_out_whole_in_every_layout),
		cmocka_unit_test(plain_sins_are_refused),
		cmocka_unit_test(what_was_not_offered_is_not_supported),
		cmocka_unit_test(discards_are_checked),
		cmocka_unit_test(secure_counts_only_where_it_was_offered),
		cmocka_unit_test(an_indirect_request_takes_its_segments_from_the_page),
		cmocka_unit_test(indirect_sins_are_refused),
		cmocka_unit_test(bad_segments_in_the_page_are_refused),
		cmocka_unit_test(a_response_is_padded_with_zeroes),
		cmocka_unit_test(a_million_broken_slots_break_nothing),
	};

	return cmocka_run_group_tests_name("blk-parse", tests, NULL, NULL);
}

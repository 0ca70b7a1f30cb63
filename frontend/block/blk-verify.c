/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-verify.c - see blk-verify.h */
#include "frontend/block/blk-verify.h"

#define MAGIC 0x534e545956524659u /* "SNTYVRFY" */
#define STEP  0x9e3779b97f4a7c15u

static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	return x;
}

static struct verify_head head_of(uint64_t offset, uint64_t seq, uint64_t seed)
{
	struct verify_head h = { MAGIC, offset, seq, seed, 0 };

	h.check = mix(mix(mix(offset ^ MAGIC) + seq) + seed);
	return h;
}

void verify_fill(void *unit, uint64_t offset, uint64_t seq, uint64_t seed)
{
	struct verify_head h = head_of(offset, seq, seed);
	uint64_t x = h.check;
	uint8_t *p = unit;

	memcpy(p, &h, sizeof(h));
	for (size_t i = sizeof(h); i < VERIFY_UNIT; i += sizeof(x)) {
		uint64_t w = mix(x += STEP);

		memcpy(p + i, &w, sizeof(w));
	}
}

enum verify_result verify_check(const void *unit, uint64_t offset, uint64_t seq, uint64_t seed)
{
	struct verify_head h, want;
	const uint8_t *p = unit;
	uint64_t x, bad = 0;

	memcpy(&h, p, sizeof(h));
	if (h.magic != MAGIC)
		return seq ? VERIFY_CORRUPT : VERIFY_FOREIGN;
	want = head_of(h.offset, h.seq, h.seed);
	if (h.check != want.check)
		return VERIFY_CORRUPT;
	if (h.offset != offset)
		return VERIFY_OFFSET;
	if (seq && (h.seq != seq || h.seed != seed))
		return VERIFY_STALE;
	x = h.check;
	for (size_t i = sizeof(h); i < VERIFY_UNIT; i += sizeof(x)) {
		uint64_t w;

		memcpy(&w, p + i, sizeof(w));
		bad |= w ^ mix(x += STEP);
	}
	return bad ? VERIFY_CORRUPT : VERIFY_OK;
}

const char *verify_text(enum verify_result r)
{
	static const char *const text[VERIFY_NR] = {
		[VERIFY_OK] = "right",
		[VERIFY_FOREIGN] = "not written by this tool",
		[VERIFY_OFFSET] = "data that belongs to another offset",
		[VERIFY_STALE] = "data of an older write",
		[VERIFY_CORRUPT] = "corrupt data",
	};

	return (unsigned int)r < VERIFY_NR ? text[r] : "?";
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sins-request.c - every way a single request can be wrong.  Each is answered before the next is made, so the
 * response must come into the very slot the request was in, and what lies behind it must be as we left it.
 */
#include <stdio.h>
#include "tests/hostile/sins.h"

#define READ  BLKIF_OP_READ
#define WRITE BLKIF_OP_WRITE
#define NOREF 0x7fff1u /* beyond any grant table here */

static uint32_t ref_of(const struct guest *g, uint32_t i)
{
	return g->data_refs[i];
}

/* A request that is right but for what the sin changes afterwards: page 0, whole, sector 0. */
static void good(struct guest *g, struct guest_req *r, uint8_t op, uint64_t id)
{
	req_init(g, r, op, 1, 0, id);
	req_seg(g, r, 0, ref_of(g, 0), 0, 7);
}

static void unknown_op(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, 99, 1);
}

static void reserved_op(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, BLKIF_OP_RESERVED_1, 1);
}

static void op_255(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, 255, 1);
}

static void no_segments(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_init(g, r, READ, 0, 0, 2);
}

static void no_segments_write(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_init(g, r, WRITE, 0, 0, 2);
}

static void segments(struct guest *g, struct guest_req *r, uint8_t said)
{
	req_init(g, r, READ, said, 0, 3);
	for (uint32_t i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
		req_seg(g, r, i, ref_of(g, i), 0, 7);
}

static void segments_12(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	segments(g, r, 12);
}

static void segments_255(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	segments(g, r, 255);
}

static void first_after_last(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, READ, 4);
	req_seg(g, r, 0, ref_of(g, 0), 5, 4);
}

static void last_8(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, READ, 5);
	req_seg(g, r, 0, ref_of(g, 0), 0, 8);
}

static void first_last_255(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, WRITE, 5);
	req_seg(g, r, 0, ref_of(g, 0), 255, 255);
}

static void past_end(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_init(g, r, READ, 1, g->sectors - 7, 6); /* one sector too many */
	req_seg(g, r, 0, ref_of(g, 0), 0, 7);
}

static void past_end_write(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_init(g, r, WRITE, 1, g->sectors, 6);
	req_seg(g, r, 0, ref_of(g, 0), 0, 0);
}

static void overflow(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_init(g, r, WRITE, 1, UINT64_MAX - 3, 7);
	req_seg(g, r, 0, ref_of(g, 0), 0, 7);
}

/* sector * 512 wraps to 0 in 64 bits */
static void overflow_bytes(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_init(g, r, WRITE, 1, 1ull << 55, 7);
	req_seg(g, r, 0, ref_of(g, 0), 0, 7);
}

static void just_read(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, READ, 8);
}

static void just_write(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, WRITE, 8);
}

static void just_discard(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_discard(g, r, 0, 0, 8, 8);
}

static void just_barrier(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, BLKIF_OP_WRITE_BARRIER, 8);
}

static void flush_with_data(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, BLKIF_OP_FLUSH_DISKCACHE, 8);
}

static void just_indirect_write(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_indirect(g, r, WRITE, 1, 0, 8);
	req_indirect_ref(g, r, 0, g->ind_ref);
	ind_seg(g, 0, ref_of(g, 0), 0, 7);
}

static void indirect(struct guest *g, struct guest_req *r, uint8_t op, uint16_t nr)
{
	req_indirect(g, r, op, nr, 0, 9);
	req_indirect_ref(g, r, 0, g->ind_ref);
	for (uint32_t i = 0; i < 512; i++)
		ind_seg(g, i, ref_of(g, i % GUEST_DATA_PAGES), 0, 0);
}

static void indirect_0(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, READ, 0);
}

static void indirect_257(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, READ, 257);
}

static void indirect_65535(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, READ, 65535);
}

static void indirect_nested(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, BLKIF_OP_INDIRECT, 1);
}

static void indirect_flush(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, BLKIF_OP_FLUSH_DISKCACHE, 1);
}

static void indirect_bad_page(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, READ, 4);
	req_indirect_ref(g, r, 0, NOREF);
}

static void indirect_last_8(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, READ, 4);
	ind_seg(g, 3, ref_of(g, 3), 0, 8);
}

static void indirect_past_end(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_indirect(g, r, READ, 4, g->sectors - 5, 9); /* 4 segments of 2: three sectors too many */
	req_indirect_ref(g, r, 0, g->ind_ref);
	for (uint32_t i = 0; i < 4; i++)
		ind_seg(g, i, ref_of(g, i), 0, 1);
}

static void indirect_bad_gref(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, READ, 4);
	ind_seg(g, 2, NOREF, 0, 0);
}

/* the page of segments is among its own segments: a read into what is being read */
static void indirect_self(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	indirect(g, r, READ, 4);
	ind_seg(g, 1, g->ind_ref, 0, 7);
}

static void bad_gref(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, READ, 10);
	req_seg(g, r, 0, NOREF, 0, 7);
}

static void bad_gref_write(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, WRITE, 10);
	req_seg(g, r, 0, UINT32_MAX, 0, 7);
}

/* XSA-361/365: first, middle or last of several is bad; the others' success must not hide it */
static void some_bad_gref(struct guest *g, struct guest_req *r, uint32_t which)
{
	segments(g, r, 11);
	req_seg(g, r, which, NOREF, 0, 7);
}

static void bad_gref_first(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	some_bad_gref(g, r, 0);
}

static void bad_gref_middle(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	some_bad_gref(g, r, 5);
}

static void bad_gref_last(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	some_bad_gref(g, r, 10);
}

static void foreign_gref(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, WRITE, 11);
	req_seg(g, r, 0, a->ref ? a->ref : NOREF, 0, 7);
}

static uint32_t granted_otherwise(struct guest *g, uint32_t domid, int writable)
{
	uint32_t ref;

	if (!xengntshr_share_pages(g->shr, domid, 1, &ref, writable))
		die("cannot grant a page to domain %u", domid);
	return ref;
}

/* ours, but granted to a third domain */
static void third_party_gref(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, WRITE, 11);
	req_seg(g, r, 0, granted_otherwise(g, a->other, 1), 0, 7);
}

/* granted read-only: the back end may not read an image into it */
static void readonly_gref(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, READ, 11);
	req_seg(g, r, 0, granted_otherwise(g, g->back_domid, 0), 0, 7);
}

static void same_gref_twice(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_init(g, r, READ, 2, 0, 12);
	req_seg(g, r, 0, ref_of(g, 0), 0, 7);
	req_seg(g, r, 1, ref_of(g, 0), 0, 7);
}

static void ring_gref(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	good(g, r, WRITE, 12); /* the ring's own page as data: read by the back end, no more */
	req_seg(g, r, 0, g->q[0].refs[0], 0, 7);
}

static void discard_overflow(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_discard(g, r, 0, UINT64_MAX - 1, 8, 13);
}

static void discard_huge(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_discard(g, r, 0, 0, UINT64_MAX, 13);
}

static void discard_past_end(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_discard(g, r, 0, 8, g->sectors - 7, 13);
}

static void discard_zero(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_discard(g, r, 0, 0, 0, 13);
}

static void discard_flags(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	req_discard(g, r, 0xfe, 0, 8, 13);
}

static void flush_garbage(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	memset(r->bytes, 0x5a, sizeof(r->bytes));
	r->bytes[0] = BLKIF_OP_FLUSH_DISKCACHE;
	r->bytes[1] = 0;
}

static void flush_12_segments(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	segments(g, r, 12);
	r->bytes[0] = BLKIF_OP_FLUSH_DISKCACHE;
}

static void zero_slot(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	memset(r, 0, sizeof(*r));
}

static void ones_slot(struct guest *g, const struct sin_args *a, struct guest_req *r)
{
	memset(r, 0xff, sizeof(*r));
}

static const struct {
	const char *name;
	void (*fill)(struct guest *g, const struct sin_args *a, struct guest_req *r);
	bool untouched; /* no byte of our data pages may have changed */
	bool mode;      /* only when asked for by name: what comes back depends on the device */
} sins[] = {
	{ "unknown-op", unknown_op, true, false },
	{ "reserved-op", reserved_op, true, false },
	{ "op-255", op_255, true, false },
	{ "no-segments", no_segments, true, false },
	{ "no-segments-write", no_segments_write, true, false },
	{ "12-segments", segments_12, true, false },
	{ "255-segments", segments_255, true, false },
	{ "first-after-last", first_after_last, true, false },
	{ "last-8", last_8, true, false },
	{ "first-last-255", first_last_255, true, false },
	{ "past-end", past_end, true, false },
	{ "past-end-write", past_end_write, true, false },
	{ "sector-overflow", overflow, true, false },
	{ "byte-overflow", overflow_bytes, true, false },
	{ "indirect-0", indirect_0, true, false },
	{ "indirect-257", indirect_257, true, false },
	{ "indirect-65535", indirect_65535, true, false },
	{ "indirect-nested", indirect_nested, true, false },
	{ "indirect-flush", indirect_flush, true, false },
	{ "indirect-bad-page", indirect_bad_page, true, false },
	{ "indirect-last-8", indirect_last_8, true, false },
	{ "indirect-past-end", indirect_past_end, true, false },
	{ "indirect-bad-gref", indirect_bad_gref, false, false },
	{ "indirect-self", indirect_self, false, false },
	{ "bad-gref", bad_gref, true, false },
	{ "bad-gref-write", bad_gref_write, true, false },
	{ "bad-gref-first", bad_gref_first, false, false },
	{ "bad-gref-middle", bad_gref_middle, false, false },
	{ "bad-gref-last", bad_gref_last, false, false },
	{ "foreign-gref", foreign_gref, true, false },
	{ "third-party-gref", third_party_gref, true, false },
	{ "readonly-gref", readonly_gref, true, false },
	{ "same-gref-twice", same_gref_twice, false, false },
	{ "ring-gref", ring_gref, true, false },
	{ "discard-overflow", discard_overflow, true, false },
	{ "discard-huge", discard_huge, true, false },
	{ "discard-past-end", discard_past_end, true, false },
	{ "discard-zero", discard_zero, true, false },
	{ "discard-flags", discard_flags, true, false },
	{ "flush-garbage", flush_garbage, true, false },
	{ "flush-12-segments", flush_12_segments, true, false },
	{ "zero-slot", zero_slot, true, false },
	{ "ones-slot", ones_slot, true, false },
	{ "read", just_read, true, true },
	{ "write", just_write, true, true },
	{ "discard", just_discard, true, true },
	{ "barrier", just_barrier, true, true },
	{ "flush-with-data", flush_with_data, true, true },
	{ "indirect-write", just_indirect_write, true, true },
};

static const char *status_name(int16_t status)
{
	static char other[16];

	switch (status) {
	case BLKIF_RSP_OKAY:
		return "ok";
	case BLKIF_RSP_ERROR:
		return "error";
	case BLKIF_RSP_EOPNOTSUPP:
		return "eopnotsupp";
	default:
		snprintf(other, sizeof(other), "status%d", status);
		return other;
	}
}

static bool page_touched(struct guest *g)
{
	for (size_t i = 0; i < (size_t)GUEST_DATA_PAGES * PAGE_BYTES; i++)
		if (g->data[i] != GUEST_FILL)
			return true;
	return false;
}

/* Send one, print "NAME STATUS" and what else is wrong. */
static void send_one(struct guest *g, const char *name, const struct guest_req *r, bool untouched)
{
	struct guest_queue *q = &g->q[0];
	uint32_t index = q->prod;
	struct guest_rsp rsp;
	uint64_t id;

	guest_put(g, q, r);
	guest_push(g, q);
	if (!guest_take(g, q, &rsp, 5000)) {
		printf("%s unanswered\n", name);
		return;
	}
	memcpy(&id, r->bytes + g->l->id, sizeof(id));
	printf("%s %s", name, status_name(rsp.status));
	if (rsp.id != id)
		printf(" wrong-id");
	/* an indirect request is answered as what it carries; a kernel's front end insists */
	if (rsp.op != r->bytes[0] && !(r->bytes[0] == BLKIF_OP_INDIRECT && rsp.op == r->bytes[1]))
		printf(" wrong-op");
	if (rsp.dirty || memcmp(guest_slot(g, q, index) + 16, r->bytes + 16, g->l->slot - 16))
		printf(" dirty");
	if (untouched && page_touched(g))
		printf(" touched");
	printf("\n");
	memset(g->data, GUEST_FILL, (size_t)GUEST_DATA_PAGES * PAGE_BYTES);
}

bool good_request(struct guest *g, struct guest_queue *q, uint64_t sector)
{
	struct guest_req r;
	struct guest_rsp rsp;

	req_init(g, &r, READ, 1, sector, 77);
	req_seg(g, &r, 0, ref_of(g, 0), 0, 7);
	guest_put(g, q, &r);
	guest_push(g, q);
	return guest_take(g, q, &rsp, 5000) && rsp.status == BLKIF_RSP_OKAY && rsp.id == 77;
}

/* Two requests at once for one page: both are answered. */
static void same_gref_in_two(struct guest *g)
{
	struct guest_queue *q = &g->q[0];
	struct guest_req r;
	struct guest_rsp rsp;

	for (uint64_t i = 0; i < 2; i++) {
		req_init(g, &r, READ, 1, i * 8, 100 + i);
		req_seg(g, &r, 0, ref_of(g, 0), 0, 7);
		guest_put(g, q, &r);
	}
	guest_push(g, q);
	printf("same-gref-in-two");
	for (uint32_t i = 0; i < 2; i++)
		printf(" %s", guest_take(g, q, &rsp, 5000) ? status_name(rsp.status) : "unanswered");
	printf("\n");
}

bool sin_request(struct guest *g, const struct sin_args *a, const char *name)
{
	struct guest_req r;

	if (strcmp(name, "same-gref-in-two") == 0) {
		same_gref_in_two(g);
		return true;
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(sins); i++) {
		if (strcmp(sins[i].name, name) != 0)
			continue;
		memset(&r, 0, sizeof(r));
		sins[i].fill(g, a, &r);
		send_one(g, name, &r, sins[i].untouched);
		return true;
	}
	return false;
}

void sin_request_all(struct guest *g, const struct sin_args *a)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(sins); i++)
		if (!sins[i].mode)
			sin_request(g, a, sins[i].name);
	same_gref_in_two(g);
}

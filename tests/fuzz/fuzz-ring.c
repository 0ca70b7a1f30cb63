/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-ring.c - libFuzzer target: one end of a shared ring, ours, against a peer that knows its layout and tells lies; a shadow of
 * the shared pages says which bytes we may have written.
 * links: common/ring/ring.c
 * Input: byte 0: the end, the kind of entries; byte 1: pages and what is there at the start.  Then steps, a byte and its operands.
 */
#include <errno.h>
#include "common/ring/ring.h"
#include "tests/fuzz/fuzz.h"

#define HEAD 64u

struct world {
	uint8_t *mem, *shadow; /* the heap's, of exactly so many bytes */
	size_t bytes;
	uint32_t ent, rsp, nr;
	uint32_t lie; /* what the peer's index will be moved by next */
};

enum { REQ_PROD, REQ_EVENT, RSP_PROD, RSP_EVENT };

static uint32_t word(const struct world *w, uint32_t i)
{
	uint32_t v;

	memcpy(&v, w->mem + i * 4, 4);
	return v;
}

static void poke(struct world *w, size_t at, const void *bytes, size_t n)
{
	memcpy(w->mem + at, bytes, n);
	memcpy(w->shadow + at, bytes, n);
}

static void set_word(struct world *w, uint32_t i, uint32_t v)
{
	poke(w, i * 4, &v, 4);
}

/* We wrote there, as we should. */
static void expect(struct world *w, size_t at, const void *bytes, size_t n)
{
	memcpy(w->shadow + at, bytes, n);
	must(memcmp(w->mem, w->shadow, w->bytes) == 0);
}

static void expect_word(struct world *w, uint32_t i, uint32_t v)
{
	expect(w, i * 4, &v, 4);
}

static size_t slot_at(const struct world *w, uint32_t index)
{
	return HEAD + (size_t)(index & (w->nr - 1)) * w->ent;
}

/* The peer scribbles: a slot, the header, its index a little or a lot. */
static void scribble(struct world *w, struct feed *f, uint8_t what, uint32_t index_word)
{
	static const uint32_t lies[] = {
		1, 2, 31, 32, 33, 255, 256, 257, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe
	};
	uint8_t bytes[RING_MAX_ENTRY];
	size_t at, n;

	switch (what & 3) {
	case 0:
		set_word(w, index_word, word(w, index_word) + lies[feed_u8(f) % ARRAY_SIZE(lies)]);
		break;
	case 1:
		set_word(w, feed_u8(f) & 3, feed_u32(f));
		break;
	case 2:
		feed_bytes(f, bytes, w->ent);
		poke(w, slot_at(w, feed_u8(f)), bytes, w->ent);
		break;
	default:
		at = feed_u16(f) % w->bytes;
		n = MIN((size_t)(what >> 2), w->bytes - at);
		feed_bytes(f, bytes, n);
		poke(w, at, bytes, n);
	}
}

/* ------------------------------------------------------------------ back end */

static int back_expect(const struct world *w, const struct ring_back *r)
{
	uint32_t prod = word(w, REQ_PROD);

	if (prod - r->rsp_prod > w->nr || prod - r->req_cons > w->nr)
		return -EPROTO;
	return (int)(prod - r->req_cons);
}

static void back_take(struct world *w, struct ring_back *r, uint32_t want)
{
	int n = ring_back_pending(r);
	uint8_t *copy;

	must(n == back_expect(w, r));
	for (; n > 0 && want; n--, want--) {
		copy = malloc(w->ent);
		must(copy);
		size_t at = slot_at(w, r->req_cons);

		ring_back_take(r, copy);
		must(memcmp(copy, w->mem + at, w->ent) == 0);
		free(copy);
	}
	must(ring_back_inflight(r) <= w->nr);
}

static void back_put(struct world *w, struct ring_back *r, struct feed *f)
{
	uint8_t rsp[RING_MAX_ENTRY], want[RING_MAX_ENTRY] = { 0 };
	size_t n = feed_u8(f) % (w->rsp + 1), at = slot_at(w, r->rsp_prod);

	if (!ring_back_inflight(r))
		return;
	memset(rsp, 0x77, sizeof(rsp));
	memcpy(want, rsp, n);
	ring_back_put(r, rsp, n);
	expect(w, at, want, w->rsp);
}

static void back_tell(struct world *w, struct ring_back *r, uint8_t what)
{
	uint32_t unseen = ring_back_unseen(r);
	bool asked = r->rsp_prod - word(w, RSP_EVENT) < unseen, said;

	if (what & 4) {
		said = ring_back_push(r);
	} else {
		ring_back_publish(r);
		said = ring_back_asked(r);
		if (what & 8)
			ring_back_told(r);
	}
	must(said == asked);
	must(ring_back_unseen(r) == (what & 12 ? 0 : unseen));
	expect_word(w, RSP_PROD, r->rsp_prod);
}

static void back_sleep(struct world *w, struct ring_back *r, uint32_t n)
{
	int before = back_expect(w, r), rc = n == 1 ? ring_back_arm(r) : ring_back_arm_for(r, n);

	must(rc == before); /* nobody moved meanwhile */
	if (before >= 0 && (uint32_t)before < n)
		expect_word(w, REQ_EVENT, r->req_cons + n);
}

static void back(struct world *w, struct feed *f)
{
	struct ring_back r;
	int rc = ring_back_attach(&r, w->mem, w->bytes, w->ent, w->rsp);

	must(rc == (word(w, REQ_PROD) - word(w, RSP_PROD) > w->nr ? -EPROTO : 0));
	while (f->left && rc == 0) {
		uint8_t what = feed_u8(f);

		switch (what >> 5) {
		case 0:
		case 1:
			scribble(w, f, what, REQ_PROD);
			break;
		case 2: /* an honest producer, and more than honest */
			set_word(w, REQ_PROD, word(w, REQ_PROD) + (what & 31));
			break;
		case 3:
			back_take(w, &r, (what & 31) + 1);
			break;
		case 4:
			back_put(w, &r, f);
			break;
		case 5:
			back_tell(w, &r, what);
			break;
		case 6:
			back_sleep(w, &r, (what & 31) + 1);
			break;
		default: /* halted, or closed and opened again */
			rc = ring_back_attach(&r, w->mem, w->bytes, w->ent, w->rsp);
			must(rc == (word(w, REQ_PROD) - word(w, RSP_PROD) > w->nr ? -EPROTO : 0));
		}
		must(rc || ring_back_inflight(&r) <= w->nr);
		must(memcmp(w->mem, w->shadow, w->bytes) == 0);
	}
}

/* ------------------------------------------------------------------ front end */

static int front_expect(const struct world *w, const struct ring_front *r)
{
	uint32_t n = word(w, RSP_PROD) - r->rsp_cons;

	return n > r->req_prod - r->rsp_cons ? -EPROTO : (int)n;
}

static void front_take(struct world *w, struct ring_front *r, uint32_t want)
{
	int n = ring_front_pending(r);

	must(n == front_expect(w, r));
	for (; n > 0 && want; n--, want--) {
		uint8_t *copy = malloc(w->rsp);
		size_t at = slot_at(w, r->rsp_cons);

		must(copy);
		ring_front_take(r, copy);
		must(memcmp(copy, w->mem + at, w->rsp) == 0);
		free(copy);
	}
}

static void front_put(struct world *w, struct ring_front *r, size_t n)
{
	uint8_t req[RING_MAX_ENTRY], want[RING_MAX_ENTRY] = { 0 };
	size_t at = slot_at(w, r->req_prod);

	if (!ring_front_free(r))
		return;
	n = MIN(n * 8, w->ent);
	memset(req, 0x55, sizeof(req));
	memcpy(want, req, n);
	ring_front_put(r, req, n);
	expect(w, at, want, w->ent);
}

static void front_push(struct world *w, struct ring_front *r)
{
	uint32_t old = word(w, REQ_PROD), event = word(w, REQ_EVENT);
	bool asked = ring_front_push(r);

	must(asked == (r->req_prod - event < r->req_prod - old));
	expect_word(w, REQ_PROD, r->req_prod);
}

static void front_sleep(struct world *w, struct ring_front *r, uint32_t more)
{
	int before = front_expect(w, r), rc = ring_front_arm(r, more);

	must(rc == before);
	if (before == 0)
		expect_word(w, RSP_EVENT, r->rsp_cons + more);
}

static void front(struct world *w, struct feed *f)
{
	struct ring_front r;

	must(ring_front_init(&r, w->mem, w->bytes, w->ent, w->rsp) == 0);
	memset(w->shadow, 0, w->bytes);
	set_word(w, REQ_EVENT, word(w, REQ_EVENT));
	set_word(w, RSP_EVENT, word(w, RSP_EVENT));
	must(word(w, REQ_EVENT) == 1 && word(w, RSP_EVENT) == 1);
	while (f->left) {
		uint8_t what = feed_u8(f);

		switch (what >> 5) {
		case 0:
		case 1:
			scribble(w, f, what, RSP_PROD);
			break;
		case 2:
			set_word(w, RSP_PROD, word(w, RSP_PROD) + (what & 31));
			break;
		case 3:
			front_take(w, &r, (what & 31) + 1);
			break;
		case 4:
		case 7:
			front_put(w, &r, what & 31);
			break;
		case 5:
			front_push(w, &r);
			break;
		default:
			front_sleep(w, &r, (what & 31) + 1);
		}
		must(ring_front_free(&r) <= w->nr);
		must(memcmp(w->mem, w->shadow, w->bytes) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct {
		uint32_t ent, rsp;
	} kinds[] = { { 112, 16 }, { 108, 12 }, { 112, 16 }, { 12, 4 }, { 8, 8 }, { 4, 4 }, { 128, 128 }, { 64, 60 } };
	struct feed f = { data, size };
	uint8_t how = feed_u8(&f), start = feed_u8(&f);
	struct world w = { .bytes = PAGE_BYTES << (start & 1 ? 2 : 0) };

	w.ent = kinds[how >> 5].ent;
	w.rsp = kinds[how >> 5].rsp;
	w.nr = ring_entries(w.bytes, w.ent);
	must(w.nr && (w.nr & (w.nr - 1)) == 0 && HEAD + (size_t)w.nr * w.ent <= w.bytes);
	w.mem = aligned_alloc(64, w.bytes);
	w.shadow = calloc(1, w.bytes);
	must(w.mem && w.shadow);
	memset(w.mem, 0, w.bytes);
	if (start & 2) /* indices about to wrap, or anything */
		set_word(&w, RSP_PROD, feed_u32(&f));
	if (start & 4)
		set_word(&w, REQ_PROD, word(&w, RSP_PROD) + feed_u16(&f));
	if (how & 1)
		front(&w, &f);
	else
		back(&w, &f);
	free(w.mem);
	free(w.shadow);
	return 0;
}

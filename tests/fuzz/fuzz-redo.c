/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-redo.c - libFuzzer target: a nic's log of responses.  Either any bytes are found in it (a worker that was taken over left them), beside
 * any ring; or it was kept by workers that died at any step: then each slot of the ring gets one answer, the right one, in its place.
 * Input: byte 0: 0xff deaths, else any bytes.  Deaths: a byte a step of the worker, and how many steps each life has.
 */
#include "tests/fuzz/mortal.h"
#include "common/ring/redo.c"
#include "tests/fuzz/fuzz.h"

#define ENT  12u
#define RSP  4u
#define ENTS 256u /* of a page */

static struct redo_log *make_log(void)
{
	struct redo_log *l = calloc(1, redo_bytes(ENTS, RSP));

	must(l);
	return l;
}

static void *make_ring(void)
{
	void *p = aligned_alloc(64, PAGE_BYTES);

	must(p);
	memset(p, 0, PAGE_BYTES);
	return p;
}

static uint32_t word(const void *ring, uint32_t i)
{
	return ((const uint32_t *)ring)[i];
}

static void any_bytes(struct feed *f, uint8_t how)
{
	struct redo_log *log = make_log();
	uint32_t *ring = make_ring(), rsp, prod;
	struct ring_back r;
	struct redo redo;
	int rc;

	ring[2] = rsp = how & 1 ? feed_u32(f) : UINT32_MAX - 3; /* rsp_prod */
	ring[0] = rsp + (how & 2 ? feed_u32(f) : feed_u8(f));
	log->prod = prod = how & 4 ? feed_u32(f) : rsp + feed_u8(f) % 200;
	feed_bytes(f, log->slots, ENTS * RSP);
	if (ring_back_attach(&r, ring, PAGE_BYTES, ENT, RSP) == 0) {
		must(r.nr_ents == ENTS);
		rc = redo_resume(&redo, log, &r);
		must((rc == 0) == (prod - rsp <= ENTS && ring[0] - rsp <= ENTS && ring[0] - prod <= ENTS));
		must(rc == 0 || (rc == -EBADMSG && word(ring, 2) == rsp));
		if (rc == 0) {
			must(word(ring, 2) == prod && r.req_cons == prod && r.rsp_prod == prod &&
			     ring_back_inflight(&r) == 0);
			for (uint32_t i = rsp; i != prod; i++)
				must(memcmp((uint8_t *)ring + 64 + (i % ENTS) * ENT, log->slots + (i % ENTS) * RSP,
					    RSP) == 0);
		}
	}
	free(ring);
	free(log);
}

/* ------------------------------------------------------------------ deaths */

static struct {
	uint32_t *ring;
	struct redo_log *log;
	uint32_t asked, seen;
} world;

static void guest_asks(uint32_t n)
{
	for (; n > 0 && world.asked - world.seen < ENTS; n--, world.asked++) {
		uint8_t *slot = (uint8_t *)world.ring + 64 + (world.asked % ENTS) * ENT;

		memset(slot, 0, ENT);
		memcpy(slot, &world.asked, 4);
	}
	world.ring[0] = world.asked;
}

/* Each answer is there, in the slot of its request and to it. */
static void guest_looks(void)
{
	must(world.ring[2] - world.seen <= world.asked - world.seen);
	for (; world.seen != world.ring[2]; world.seen++) {
		uint32_t got;

		memcpy(&got, (uint8_t *)world.ring + 64 + (world.seen % ENTS) * ENT, 4);
		must(got == (world.seen ^ 0x5a5a5a5au));
	}
}

static void answer(struct redo *redo, struct ring_back *r, uint32_t n)
{
	int there = ring_back_pending(r);

	must(there >= 0);
	for (n = MIN(n, (uint32_t)there); n > 0; n--) {
		uint8_t req[ENT];
		uint32_t id;

		ring_back_take(r, req);
		memcpy(&id, req, 4);
		must(id == redo->placed); /* a request of which nothing was written over */
		id ^= 0x5a5a5a5au;
		redo_put(redo, &id, 4);
	}
	(void)!redo_push(redo);
	guest_looks();
}

static void deaths(struct feed *f)
{
	static struct ring_back r;
	static struct redo redo;

	memset(&world, 0, sizeof(world));
	world.ring = make_ring();
	world.log = make_log();
	world.asked = world.seen = world.ring[2] = world.ring[0] = UINT32_MAX - 40;
	mortal = false;
	must(ring_back_attach(&r, world.ring, PAGE_BYTES, ENT, RSP) == 0);
	redo_begin(&redo, world.log, &r);
	if (sigsetjmp(grave, 0)) {
		guest_looks();
		mortal = f->left > 0;
		if (mortal)
			steps_left = feed_u8(f);
		must(ring_back_attach(&r, world.ring, PAGE_BYTES, ENT, RSP) == 0);
		must(redo_resume(&redo, world.log, &r) == 0);
		guest_looks();
	}
	while (f->left) {
		uint8_t what = feed_u8(f);

		switch (what & 3) {
		case 0:
			guest_asks(what >> 2);
			break;
		case 1:
		case 2:
			answer(&redo, &r, what >> 2);
			break;
		default:
			mortal = true;
			steps_left = what >> 2;
		}
	}
	mortal = false;
	answer(&redo, &r, ENTS);
	must(world.seen == world.asked);
	free(world.ring);
	free(world.log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };
	uint8_t how = feed_u8(&f);

	mortal = false;
	if (how == 0xff)
		deaths(&f);
	else
		any_bytes(&f, how);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-blk-rsp.c - libFuzzer target: any response of a block back end, in any order, against what is in flight.
 * links: frontend/block/blk-rsp.c
 * Input: byte 0 the slots; then a byte a step: ask, forget, or judge a response: of something in flight, or any 16 bytes.
 */
#include "frontend/block/blk-rsp.h"
#include "tests/fuzz/fuzz.h"

#define SLOTS 64u

struct model {
	uint64_t id[SLOTS];
	uint8_t op[SLOTS];
	bool busy[SLOTS], ever[SLOTS];
	uint32_t used;
};

static void judge(struct blk_flight *f, struct model *m, const struct blkif_response *r)
{
	uint32_t slot = (uint32_t)r->id;
	bool known = slot < f->nr && m->busy[slot] && m->id[slot] == r->id;
	struct blk_rsp out = { .slot = 12345, .op = 77, .status = 99 };
	enum blk_rsp_fault fault = blk_rsp_accept(f, r, &out);

	must(blk_rsp_fault_text(fault)[0] != '?');
	must((fault == BLK_RSP_OK) == (known && m->op[slot] == r->operation));
	if (fault != BLK_RSP_OK) {
		must(out.slot == 12345 && out.op == 77 && out.status == 99 && f->used == m->used);
		return;
	}
	must(out.slot == slot && out.op == r->operation && out.status <= 0);
	must((out.status == 0) == (r->status == BLKIF_RSP_OKAY));
	m->busy[slot] = false;
	m->used--;
	must(f->used == m->used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model m;
	struct feed f = { data, size };
	struct blk_flight fl = { 0 };
	uint32_t nr = feed_u8(&f) % SLOTS + 1, slot;

	memset(&m, 0, sizeof(m));
	must(blk_flight_again(&fl, nr) == 0);
	while (f.left) {
		uint8_t what = feed_u8(&f);
		struct blkif_response r;
		uint64_t id;

		slot = (what >> 2) % nr;
		switch (what & 3) {
		case 0:
			slot = blk_flight_take(&fl, what >> 4, &id);
			must((slot == BLK_RSP_NONE) == (m.used == nr));
			if (slot == BLK_RSP_NONE)
				break;
			must(slot < nr && !m.busy[slot] && (!m.ever[slot] || id != m.id[slot]));
			m.busy[slot] = m.ever[slot] = true;
			m.id[slot] = id;
			m.op[slot] = what >> 4;
			m.used++;
			break;
		case 1:
			if (!m.busy[slot])
				break;
			blk_flight_drop(&fl, slot);
			m.busy[slot] = false;
			m.used--;
			break;
		case 2: /* true, or nearly */
			memset(&r, 0, sizeof(r));
			r.id = m.id[slot] + (what & 0x80 ? (uint64_t)feed_u8(&f) << 32 : 0);
			r.operation = m.op[slot];
			r.status = (int16_t)feed_u8(&f) - 2;
			judge(&fl, &m, &r);
			break;
		default:
			feed_bytes(&f, &r, sizeof(r));
			judge(&fl, &m, &r);
		}
		must(fl.used == m.used);
	}
	blk_flight_fini(&fl);
	blk_flight_fini(&fl);
	return 0;
}

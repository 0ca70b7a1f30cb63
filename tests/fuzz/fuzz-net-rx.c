/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-net-rx.c - libFuzzer target: any slots on a receive ring, any transmit responses, any bytes in the pages.
 * tests/fuzz/run.sh builds it.
 * links: frontend/net/net-rsp.c common/net/frame.c common/net/offload.c frontend/net/net-probe.c
 * Input: byte 0 chooses what was asked for, byte 1 how many slots there are; then the slots, 8 bytes each (their ids are
 * put right unless the slot's last byte is 0xff), then what lies in the pages.
 */
#include <stdlib.h>
#include "common/net/offload.h"
#include "frontend/net/net-probe.h"
#include "frontend/net/net-rsp.h"

#define PAGES 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* As `up` and `io` do: gather, look at the headers, translate, verify.  On the heap, so that a byte too far is seen. */
static void use(const struct net_rx_frame *f, uint8_t pages[PAGES][PAGE_BYTES])
{
	struct net_meta m = { f->csum_blank, f->data_validated, f->gso_type, f->gso_size }, back;
	struct net_takes takes = { true, f->gso_size & 1, true, f->gso_size & 1 };
	uint8_t *whole = malloc(f->bytes), *head;
	uint32_t at = 0, have = MIN(f->bytes, FRAME_HEAD_MAX), carried;
	static struct probe_flow flow;
	struct virtio_net_hdr v;
	struct probe p;
	bool finish;

	must(whole != NULL);
	must(f->nr_segs >= 1 && f->nr_segs <= NET_MAX_SEGS && f->bytes >= NET_FRAME_MIN && f->bytes <= NET_FRAME_MAX);
	must(f->gso_type <= 2 && (f->gso_type == 0 || (f->gso_size > 0 && f->gso_size <= f->bytes)));
	for (uint32_t i = 0; i < f->nr_segs; i++) {
		const struct net_seg *s = &f->seg[i];

		must(s->page < PAGES && s->bytes >= 1 && s->offset + s->bytes <= PAGE_BYTES);
		must(at + s->bytes <= f->bytes);
		memcpy(whole + at, pages[s->page] + s->offset, s->bytes);
		at += s->bytes;
	}
	must(at == f->bytes);
	head = malloc(have);
	must(head != NULL);
	memcpy(head, whole, have);
	if (offload_to_vnet(&m, head, have, f->bytes, &v) == 0) {
		must(!(v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || v.csum_start + v.csum_offset + 2u <= have);
		must(v.gso_type == 0 || (v.hdr_len <= have && v.hdr_len < f->bytes && v.gso_size > 0));
		if (offload_from_vnet(&v, head, have, f->bytes, &takes, &back, &finish) == 0 && finish)
			must(frame_finish(whole, f->bytes, v.csum_start, v.csum_offset) == 0);
	}
	if (probe_check(whole, f->bytes, true, f->csum_blank, &p, &carried) == PROBE_OK)
		probe_count(&flow, &p, f->bytes, carried);
	probe_turn(whole, f->bytes);
	free(head);
	free(whole);
}

static void transmit(const uint8_t *data, size_t size)
{
	static struct net_tx t;
	struct net_tx_done d;
	uint16_t id;

	net_tx_init(&t, 40);
	t.extras = 2;
	for (int i = 0; i < 20; i++)
		must(net_tx_take(&t, &id) < 40);
	for (; size >= 4; data += 4, size -= 4) {
		uint32_t before = t.nr_free;
		enum net_fault f = net_tx_accept(&t, data, &d);

		must(t.nr_free <= 40 && t.extras <= 2);
		must(net_fault_fatal(f) ? t.nr_free == before : t.nr_free == before + !d.extra);
		if (t.nr_free > 30)
			must(net_tx_take(&t, &id) < 40);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t pages[PAGES][PAGE_BYTES];
	const uint8_t *slots;
	uint32_t nr, page = 0;
	struct net_rx r;

	if (size < 2)
		return 0;
	net_rx_init(&r, data[0] & 1, data[0] & 2, data[0] & 4);
	nr = MIN(data[1], (uint32_t)(size - 2) / 8);
	slots = data + 2;
	transmit(slots, size - 2);
	data += 2 + nr * 8;
	size -= 2 + nr * 8;
	for (uint32_t i = 0; i < PAGES; i++) {
		memset(pages[i], 0, PAGE_BYTES);
		memcpy(pages[i], data, MIN(size, PAGE_BYTES));
	}
	for (uint32_t i = 0; i < nr; i++, page = (page + 1) % PAGES) {
		uint8_t slot[8];
		uint16_t id = (uint16_t)page;

		memcpy(slot, slots + i * 8, 8);
		if (slot[7] != 0xff && r.at != NET_RX_AT_EXTRA)
			memcpy(slot, &id, 2);
		must(net_rx_held(&r) < PAGES - 1);
		switch (net_rx_feed(&r, page, slot)) {
		case NET_RX_MORE:
			break;
		case NET_RX_FRAME:
			must(r.fault == NET_OK);
			use(&r.frame, pages);
			break;
		case NET_RX_DROP:
			must(r.fault != NET_OK && !net_fault_fatal(r.fault));
			break;
		case NET_RX_HALT:
			must(net_fault_fatal(r.fault));
			return 0;
		}
	}
	return 0;
}

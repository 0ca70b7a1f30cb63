/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-net-tx.c - libFuzzer target: any transmit slots, then any frame of the length they promise, both ways through
 * the headers and into receive slots.  tests/fuzz/run.sh builds it.
 * links: backend/net/net-tx.c backend/net/net-hdr.c backend/net/net-rx.c common/net/cut.c common/net/frame.c common/net/offload.c
 * Input: byte 0 the number of slots, byte 1 the features, then the slots, then the frame (padded with zeroes).
 */
#include <errno.h>
#include <stdlib.h>
#include "backend/net/net-rx.h"
#include "common/net/cut.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct net_tx_packet *p)
{
	uint32_t sum = 0;

	must(p->bytes >= NET_MIN_FRAME && p->bytes <= 65535 && p->nr_frags >= 1 && p->nr_frags <= NET_TX_MAX_FRAGS);
	for (uint32_t i = 0; i < p->nr_frags; i++) {
		must(p->frags[i].bytes > 0 && p->frags[i].offset + p->frags[i].bytes <= 4096);
		sum += p->frags[i].bytes;
	}
	must(sum == p->bytes);
	must(p->gso_type <= 2 && (!p->gso_type || p->gso_size));
}

/* On the heap, and no longer than it must be. */
static void cut(const uint8_t *frame, uint32_t bytes, uint32_t size)
{
	uint8_t *seg = malloc(bytes);
	struct net_cut c;
	uint32_t sum = 0;

	must(seg != NULL);
	if (net_cut_begin(&c, frame, bytes, size) == 0) {
		while (net_cut_more(&c)) {
			uint32_t n = net_cut_next(&c, seg);
			struct frame_head h;

			must(n > c.h.bytes && n <= bytes && n - c.h.bytes <= size);
			must(frame_parse(seg, n, &h) == 0 && h.bytes == c.h.bytes && csum_right(seg, &h, n));
			sum += n - c.h.bytes;
		}
		must(sum == bytes - c.h.bytes);
	}
	free(seg);
}

static void receive(const struct virtio_net_hdr *v, uint8_t *frame, uint32_t bytes, uint32_t features)
{
	union net_rx_slot *slots;
	struct net_rx_piece pieces[NET_RX_MAX_SLOTS];
	struct net_meta m;
	uint32_t n, nr, sum = 0;
	int rc = net_hdr_to_guest(v, frame, bytes, features, &m);

	if (rc > 0)
		cut(frame, bytes, v->gso_size);
	if (rc != 0)
		return;
	must(!m.gso_type || (m.gso_size && m.csum_blank));
	n = net_rx_slots(bytes, &m);
	must(n >= 1 && n <= NET_RX_MAX_SLOTS);
	slots = calloc(n, sizeof(*slots));
	must(slots);
	nr = net_rx_plan(bytes, &m, slots, slots, pieces);
	for (uint32_t i = 0; i < nr; i++) {
		must(pieces[i].slot < n && pieces[i].offset == sum && pieces[i].bytes <= 4096);
		sum += pieces[i].bytes;
	}
	must(sum == bytes);
	free(slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_tx_packet p;
	struct virtio_net_hdr v;
	union net_tx_slot *slots;
	const char *why = NULL;
	uint32_t nr, features;
	uint8_t *frame;
	size_t n;
	int rc;

	if (size < 2)
		return 0;
	nr = data[0] % 64 + 1u;
	features = data[1];
	data += 2;
	size -= 2;
	slots = calloc(nr, sizeof(*slots));
	must(slots);
	n = MIN(size, nr * sizeof(*slots));
	memcpy(slots, data, n);
	data += n;
	size -= n;
	rc = net_tx_parse(slots, nr, &p, &why);
	must(rc == 0 || why);
	if (rc != -EPROTO) {
		must(p.nr_slots >= 1 && p.nr_slots <= nr && p.nr_extras < p.nr_slots);
		for (uint32_t i = 0; i < p.nr_slots; i++)
			must(net_tx_answer(&p, slots, i, 0).id == slots[i].req.id);
	}
	if (rc == 0 && p.kind == NET_TX_PACKET) {
		check(&p);
		frame = calloc(1, p.bytes);
		must(frame);
		memcpy(frame, data, MIN(size, p.bytes));
		if (net_hdr_from_guest(&p, frame, &v) == 0)
			receive(&v, frame, p.bytes, features);
		/* what another worker says: anything */
		if (size >= sizeof(v)) {
			memcpy(&v, data + size - sizeof(v), sizeof(v));
			receive(&v, frame, p.bytes, features);
		}
		free(frame);
	}
	free(slots);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* badnic-sins.c - see badnic.h: what a guest can put into its rings, and into its state. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <xen/io/xenbus.h>
#include "tests/net/badnic.h"

#define MORE      NETTXF_more_data
#define EXTRA     NETTXF_extra_info
#define BAD_GRANT 0x7fffffffu

/* Slots as they are put into the ring. */
static const struct sin {
	const char *name;
	struct {
		char kind; /* R request, B one with a grant that is none, G a GSO extra, X another; 0: the end */
		uint16_t size, offset, flags;
		uint8_t type;  /* of an extra, or of its GSO */
		uint8_t times; /* 0: once */
	} s[5];
} sins[] = {
	{ "short", { { 'R', 13, 0, 0, 0, 0 } } },
	{ "smaller-than-fragments", { { 'R', 60, 0, MORE, 0, 0 }, { 'R', 61, 0, 0, 0, 0 } } },
	{ "wrapped-total", { { 'R', 4064, 0, MORE, 0, 0 }, { 'R', 4096, 0, MORE, 0, 16 }, { 'R', 4096, 0, 0, 0, 0 } } },
	{ "too-many-slots", { { 'R', 200, 0, MORE, 0, 0 }, { 'R', 3, 0, MORE, 0, 29 }, { 'R', 3, 0, 0, 0, 0 } } },
	/* XSA-423, XSA-432: headers all over the slots */
	{ "tiny-fragments", { { 'R', 60, 0, MORE, 0, 0 }, { 'R', 3, 0, MORE, 0, 16 }, { 'R', 3, 0, 0, 0, 0 } } },
	{ "first-of-one-byte", { { 'R', 60, 0, MORE, 0, 0 }, { 'R', 59, 0, 0, 0, 0 } } },
	/* XSA-448: a fragment of no bytes, whose grant is none */
	{ "empty-fragments",
	  { { 'R', 60, 0, MORE, 0, 0 },
	    { 'B', 0, 0, MORE, 0, 0 },
	    { 'R', 30, 0, MORE, 0, 0 },
	    { 'B', 0, 0, 0, 0, 0 } } },
	{ "empty-first", { { 'B', 60, 0, MORE, 0, 0 }, { 'R', 60, 0, 0, 0, 0 } } },
	{ "all-empty", { { 'B', 0, 0, MORE, 0, 3 }, { 'B', 0, 0, 0, 0, 0 } } },
	{ "bad-grant", { { 'B', 60, 0, 0, 0, 0 } } },
	{ "bad-grant-first", { { 'B', 180, 0, MORE, 0, 0 }, { 'R', 60, 0, MORE, 0, 0 }, { 'R', 60, 0, 0, 0, 0 } } },
	{ "bad-grant-in-the-middle",
	  { { 'R', 180, 0, MORE, 0, 0 }, { 'B', 60, 0, MORE, 0, 0 }, { 'R', 60, 0, 0, 0, 0 } } },
	{ "bad-grant-last", { { 'R', 180, 0, MORE, 0, 0 }, { 'R', 60, 0, MORE, 0, 0 }, { 'B', 60, 0, 0, 0, 0 } } },
	{ "blank-checksum-of-nothing", { { 'R', 60, 0, NETTXF_csum_blank, 0, 0 } } },
	{ "gso-of-nothing", { { 'R', 600, 0, EXTRA, 0, 0 }, { 'G', 100, 0, 0, 1, 0 } } },
	{ "page-crossing", { { 'R', 60, 4090, 0, 0, 0 } } },
	{ "longer-than-its-page", { { 'R', 5000, 0, 0, 0, 0 } } },
	{ "wrapping-offset", { { 'R', 65535, 65535, 0, 0, 0 } } },
	{ "later-page-crossing", { { 'R', 200, 0, MORE, 0, 0 }, { 'R', 100, 3997, 0, 0, 0 } } },
	{ "unknown-extra", { { 'R', 60, 0, EXTRA, 0, 0 }, { 'X', 0, 0, 0, 77, 0 } } },
	{ "extra-of-type-0", { { 'R', 60, 0, EXTRA, 0, 0 }, { 'X', 0, 0, 0, 0, 0 } } },
	{ "missing-extra", { { 'R', 60, 0, EXTRA, 0, 0 } } },
	{ "missing-second-extra", { { 'R', 60, 0, EXTRA, 0, 0 }, { 'G', 100, 0, XEN_NETIF_EXTRA_FLAG_MORE, 1, 0 } } },
	{ "missing-fragment", { { 'R', 60, 0, MORE, 0, 0 } } },
	{ "endless-chain", { { 'R', 1, 0, MORE, 0, 255 }, { 'R', 1, 0, MORE, 0, 0 } } },
	{ "endless-extras", { { 'R', 60, 0, EXTRA, 0, 0 }, { 'G', 100, 0, XEN_NETIF_EXTRA_FLAG_MORE, 1, 255 } } },
	{ "gso-size-0", { { 'R', 60, 0, EXTRA, 0, 0 }, { 'G', 0, 0, 0, 1, 0 } } },
	{ "gso-type-9", { { 'R', 60, 0, EXTRA, 0, 0 }, { 'G', 100, 0, 0, 9, 0 } } },
};

/* Producer indices that cannot be: so far ahead of what was put there. */
static const struct jump {
	const char *name;
	bool rx;
	uint32_t by;
} jumps[] = {
	{ "producer-jump", false, SLOTS + 1 },   { "producer-far", false, 1u << 31 },
	{ "producer-back", false, -5u },         { "producer-one-back", false, -1u },
	{ "rx-producer-jump", true, SLOTS + 1 }, { "rx-producer-far", true, 1u << 31 },
	{ "rx-producer-back", true, -100u },
};

static struct netif_tx_request *put_request(struct nic_queue *q, uint32_t size, uint32_t offset, uint32_t flags)
{
	struct netif_tx_request *r = tx_slot(q, q->tx_prod);

	*r = (struct netif_tx_request){ g.refs[q->tx_prod % DATA_PAGES], (uint16_t)offset, (uint16_t)flags,
					(uint16_t)(q->tx_prod & (SLOTS - 1)), (uint16_t)size };
	q->tx_prod++;
	return r;
}

static void put_extra(struct nic_queue *q, const struct netif_extra_info *e)
{
	memset(tx_slot(q, q->tx_prod), 0, 12);
	memcpy(tx_slot(q, q->tx_prod++), e, sizeof(*e));
}

uint32_t mcast(struct nic_queue *q, uint8_t type, uint8_t last)
{
	struct netif_extra_info e = { .type = type };
	const uint8_t group[6] = { 1, 0, 0x5e, 9, 9, last };

	put_request(q, 0, 0, EXTRA);
	memcpy(e.u.mcast.addr, group, 6);
	put_extra(q, &e);
	return 2;
}

static uint32_t put_sin(struct nic_queue *q, const struct sin *s)
{
	uint32_t from = q->tx_prod;

	for (size_t i = 0; i < ARRAY_SIZE(s->s) && s->s[i].kind; i++) {
		struct netif_extra_info e = { .type = s->s[i].type, .flags = (uint8_t)s->s[i].flags };

		if (s->s[i].kind == 'G') {
			e.type = XEN_NETIF_EXTRA_TYPE_GSO;
			e.u.gso.size = s->s[i].size;
			e.u.gso.type = s->s[i].type;
		}
		for (uint32_t k = 0; k < MAX(s->s[i].times, 1u); k++) {
			if (s->s[i].kind == 'G' || s->s[i].kind == 'X')
				put_extra(q, &e);
			else if (s->s[i].kind == 'B')
				put_request(q, s->s[i].size, s->s[i].offset, s->s[i].flags)->gref = BAD_GRANT;
			else
				put_request(q, s->s[i].size, s->s[i].offset, s->s[i].flags);
		}
	}
	return q->tx_prod - from;
}

static const struct sin *find_sin(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(sins); i++)
		if (!strcmp(name, sins[i].name))
			return &sins[i];
	die("no sin \"%s\"", name);
}

void step_sin(struct nic_queue *q, const char *name, bool answered)
{
	uint32_t n;

	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		if (strcmp(name, jumps[i].name) != 0)
			continue;
		*word(jumps[i].rx ? q->rx : q->tx, 0) = (jumps[i].rx ? q->rx_prod : q->tx_prod) + jumps[i].by;
		kick(q, jumps[i].rx);
		return;
	}
	fill(g.data, DATA_PAGES * PAGE, broadcast, 9);
	n = put_sin(q, find_sin(name));
	push_tx(q);
	if (answered)
		answers(q, n);
}

/* The same again and again: how often it was answered. */
void step_sins(struct nic_queue *q, const char *name, uint32_t times)
{
	const struct sin *s = find_sin(name);
	uint32_t done = 0;

	for (; done < times; done++) {
		put_sin(q, s);
		push_tx(q);
		if (!all_answered(q, PATIENCE))
			break;
	}
	q->tx_cons = q->tx_prod;
	printf("answered %u\n", done);
}

/* A transmit ring exactly full, at once. */
void step_full(struct nic_queue *q)
{
	fill(g.data, DATA_PAGES * PAGE, broadcast, 9);
	for (uint32_t i = 0; i < SLOTS; i++)
		put_request(q, 60, 0, 0);
	push_tx(q);
	puts(all_answered(q, PATIENCE) ? "full ring answered" : "full ring not answered");
	q->tx_cons = q->tx_prod;
}

/* ------------------------------------------------------------------ what changes while it is read */

static uint32_t next_random(uint32_t *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 8;
}

static struct {
	struct nic_queue *q;
	uint32_t seed;
	bool stop;
} flipper;

/* Every field of every slot takes values each of which is possible, and whose sums often are not; the headers in the pages too. */
static void *flip(void *arg)
{
	static const uint16_t totals[] = { 0, 14, 60, 100, 120, 4096 }, parts[] = { 0, 30, 60, 61, 1000 },
			      marks[] = { 0, NETTXF_csum_blank, NETTXF_data_validated };
	uint32_t s = flipper.seed;

	while (!__atomic_load_n(&flipper.stop, __ATOMIC_RELAXED)) {
		uint32_t i = next_random(&s) % SLOTS;
		volatile struct netif_tx_request *r = tx_slot(flipper.q, i);
		uint16_t more = i % 2 ? 0 : MORE;

		switch (next_random(&s) % 5) {
		case 0:
			r->size = i % 2 ? parts[next_random(&s) % 5] : totals[next_random(&s) % 6];
			break;
		case 1:
			r->gref = next_random(&s) % 4 ? g.refs[i % DATA_PAGES] : BAD_GRANT;
			break;
		case 2:
			r->flags = (uint16_t)(more | marks[next_random(&s) % 3]);
			break;
		case 3:
			r->id = (uint16_t)next_random(&s);
			break;
		default:
			*(volatile uint8_t *)(g.data + next_random(&s) % 60) = (uint8_t)next_random(&s);
		}
	}
	return arg;
}

void step_flip(struct nic_queue *q, uint32_t ms, uint32_t seed)
{
	uint64_t end = now_ms() + ms;
	bool answered = true;
	uint32_t rounds = 0;
	pthread_t thread;

	flipper.q = q;
	flipper.seed = seed;
	for (uint32_t i = 0; i < DATA_PAGES; i++)
		fill_tcp(g.data + (size_t)i * PAGE, PAGE, 3);
	if (pthread_create(&thread, NULL, flip, NULL) != 0)
		die("no thread");
	while (answered && now_ms() < end) {
		for (uint32_t i = 0; i < SLOTS / 2; i++) {
			put_request(q, 120, 0, MORE);
			put_request(q, 60, 0, 0);
		}
		push_tx(q);
		answered = all_answered(q, PATIENCE);
		rounds++;
	}
	__atomic_store_n(&flipper.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	q->tx_cons = q->tx_prod;
	printf("%s %s\n", rounds > 20 ? "many rings" : "few rings", answered ? "answered" : "not answered");
}

void step_storm(struct nic_queue *q, uint32_t ms)
{
	uint64_t end = now_ms() + ms;
	uint32_t n = 0;

	while (now_ms() < end)
		for (uint32_t i = 0; i < 100; i++, n++)
			xenevtchn_notify(g.evtchn, (evtchn_port_t)q->port[n % 2 && g.split ? 1 : 0]);
	puts(n > 10000 ? "kicked many times" : "kicked few times");
}

/* Any state after any other, and settings besides; left closed. */
void step_states(uint32_t ms, uint32_t seed)
{
	static const char *const values[] = { "0", "1", "", "x", "4294967297" };
	uint64_t end = now_ms() + ms;
	uint32_t s = seed, n = 0;

	for (; now_ms() < end; n++) {
		switch (next_random(&s) % 4) {
		case 0:
			put("request-multicast-control", "%s", values[next_random(&s) % ARRAY_SIZE(values)]);
			break;
		case 1:
			put("feature-sg", "%s", values[next_random(&s) % 2]);
			break;
		default:
			put("state", "%u", next_random(&s) % 8);
		}
		usleep(next_random(&s) % 3000);
	}
	put("feature-sg", "1");
	put("request-multicast-control", "0");
	put("state", "6");
	if (wait_back(XenbusStateClosed, XenbusStateClosed) < 0)
		die("the back end does not close: state %d", state_of(g.back));
	puts(n > 20 ? "many states" : "few states");
}

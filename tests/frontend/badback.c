/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * badback.c - a back end for sinners: connects by the book, answers some requests, then does what it is told.
 *
 *   badback DOMID VDEV SIN [AFTER [BACK-DOMID]]
 *
 * It makes both xenstore directories itself (backend/badback, device/svbd; only the former when it runs in another domain than 0), prints "ready", serves one front end after
 * the other, and ends on SIGTERM.  AFTER: requests answered honestly before the sin (default 8).  "null" never
 * sins: it is the fastest back end there can be, for measuring the front end alone.
 *
 * It also looks for what a front end must not show: padding in ring slots, and bytes in pages granted for a read.
 * What it finds is printed as "leak: ...".
 *
 * Some sins end a connection and are followed by an honest one, with an offer of another shape for some.  "lose-..." says which
 * requests were taken and not answered ("lost OP SECTOR"), and the first requests of the connection after it ("again OP SECTOR").
 */
#include "tests/lib/badback.h"
#include <xen/io/blkif.h>

#define SECTORS "131072"

struct queue { /* the only one */
	struct ring_back ring;
	uint32_t *raw; /* the ring's page */
	uint32_t pages, port;
	struct blkif_request r; /* at hand, already taken */
	uint8_t last_op;
	/* what follows the sin */
	uint32_t lives, nr_lost, nr_again, losing;
	bool leaving;
	uint64_t old_id;
	uint32_t *held_ring, *held_page; /* of the life before, still mapped, all MARK */
	uint32_t held_bytes;
};

/* ------------------------------------------------------------------ nodes */

void offer(struct back *b)
{
	put(b, &b->back, "online", "1");
	put(b, &b->back, "sectors", SECTORS);
	put(b, &b->back, "sector-size", "512");
	put(b, &b->back, "info", "0");
	put(b, &b->back, "feature-flush-cache", "1");
	put(b, &b->back, "feature-persistent", "1");
	put(b, &b->back, "max-ring-page-order", "2");
	put(b, &b->back, "feature-max-indirect-segments", "64");
	put(b, &b->back, "feature-discard", "1");
	put(b, &b->back, "multi-queue-max-queues", "1");
	put(b, &b->back, "params", "/a/disk");
}

void make_dirs(struct back *b)
{
	make_back(b, XenbusStateInitWait);
	if (b->back_domid)
		return;
	make_front(b);
	make_front_nodes(b);
}

/* ------------------------------------------------------------------ looking for leaks */

static void look_at_slot(struct back *b, const struct blkif_request *r)
{
	const uint8_t *p = (const uint8_t *)r;
	size_t used = offsetof(struct blkif_request, seg) + r->nr_segments * sizeof(r->seg[0]);

	if (r->operation == BLKIF_OP_INDIRECT || r->operation == BLKIF_OP_DISCARD)
		return;
	for (size_t i = 4; i < 8; i++)
		if (p[i])
			leak(b, "padding of the request holds 0x%02x", p[i]);
	for (int i = 0; i < r->nr_segments && i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
		if (((const uint8_t *)&r->seg[i])[6] || ((const uint8_t *)&r->seg[i])[7])
			leak(b, "padding of segment %d is not zero", i);
	for (size_t i = used; i < sizeof(*r); i++)
		if (p[i])
			leak(b, "byte %zu, behind the request, holds 0x%02x", i, p[i]);
}

/* Before a read is answered, nothing of the front end's may be in its page. */
static void look_at_page(struct back *b, const struct blkif_request *r)
{
	uint8_t page[PAGE_BYTES];
	struct grant_seg s = { .ref = r->seg[0].gref, .bytes = PAGE_BYTES, .local = page };

	if (r->operation != BLKIF_OP_READ || r->nr_segments == 0)
		return;
	if (grant_copy(b->grant, b->domid, &s, 1) < 0)
		return;
	for (size_t i = 0; i < sizeof(page); i++)
		if (page[i]) {
			leak(b, "byte %zu of a page granted for reading holds 0x%02x", i, page[i]);
			return;
		}
}

/* ------------------------------------------------------------------ answers */

static void respond(struct queue *q, uint64_t id, uint8_t op, int16_t status)
{
	struct blkif_response r;

	memset(&r, 0, sizeof(r));
	r.id = id;
	r.operation = op;
	r.status = status;
	ring_back_put(&q->ring, &r, sizeof(r));
}

static uint8_t op_of(const struct blkif_request *r)
{
	return r->operation == BLKIF_OP_INDIRECT ? r->nr_segments : r->operation;
}

static void push(struct back *b, struct queue *q)
{
	if (ring_back_push(&q->ring))
		evtchn_notify(b->evtchn, q->port);
}

/* What was answered before, and then another producer than that. */
static void push_to(struct back *b, struct queue *q, uint32_t rsp_prod)
{
	push(b, q);
	force(b, q->raw, q->port, rsp_prod);
}

static bool sin_bad_id(struct back *b, struct queue *q)
{
	respond(q, (q->r.id & ~(uint64_t)0xffffffffu) | 0x7fffffff, op_of(&q->r), 0);
	return true;
}

static bool sin_idle_id(struct back *b, struct queue *q)
{
	respond(q, q->r.id ^ 31, op_of(&q->r), 0);
	return true;
}

static bool sin_old_id(struct back *b, struct queue *q)
{
	respond(q, q->r.id - ((uint64_t)1 << 32), op_of(&q->r), 0);
	return true;
}

static bool sin_wrong_op(struct back *b, struct queue *q)
{
	respond(q, q->r.id, (uint8_t)(op_of(&q->r) ^ 1), 0);
	return true;
}

static bool sin_double(struct back *b, struct queue *q)
{
	respond(q, q->r.id, op_of(&q->r), 0);
	respond(q, q->r.id, op_of(&q->r), 0);
	return true;
}

static bool sin_jump(struct back *b, struct queue *q)
{
	push_to(b, q, q->ring.rsp_prod + q->ring.nr_ents + 1);
	return true;
}

static bool sin_jump_far(struct back *b, struct queue *q)
{
	push_to(b, q, q->ring.rsp_prod + 0x80000000u);
	return true;
}

static bool sin_backwards(struct back *b, struct queue *q)
{
	push_to(b, q, q->ring.rsp_prod - 1);
	return true;
}

/* One answer more than there are requests; the slot holds what is there. */
static bool sin_too_many(struct back *b, struct queue *q)
{
	respond(q, q->r.id, op_of(&q->r), 0);
	push_to(b, q, q->ring.req_cons + 1);
	return true;
}

static bool sin_status(struct back *b, struct queue *q)
{
	respond(q, q->r.id, op_of(&q->r), -77);
	return true;
}

static bool sin_silent(struct back *b, struct queue *q)
{
	printf("silent\n");
	fflush(stdout);
	return true;
}

/* Events without an answer, then the answer. */
static bool sin_storm(struct back *b, struct queue *q)
{
	storm(b, q->port);
	return false;
}

/* Random bytes all over the ring, for a while. */
static bool sin_scribble(struct back *b, struct queue *q)
{
	for (int round = 0; round < 2000; round++) {
		for (uint32_t i = 0; i < q->pages * PAGE_BYTES / 4; i += 1 + b->rnd % 7)
			__atomic_store_n(&q->raw[i], rnd(b), __ATOMIC_RELAXED);
		evtchn_notify(b->evtchn, q->port);
	}
	b->halted = true;
	return true;
}

static bool sin_detach(struct back *b, struct queue *q)
{
	make_anew(b);
	return true;
}

static bool sin_reborn(struct back *b, struct queue *q)
{
	let_go(b);
	set_state(b, XenbusStateInitialising);
	usleep(200000);
	set_state(b, XenbusStateInitWait);
	return true;
}

/* Closed, and about to be removed: who goes on then would be in the toolstack's way. */
static bool sin_leave(struct back *b, struct queue *q)
{
	put(b, &b->back, "online", "0");
	set_state(b, XenbusStateClosed);
	q->leaving = true;
	b->halted = true;
	return true;
}

/* Once the front end has closed, too. */
static void leave(struct back *b, struct queue *q)
{
	sleep(1);
	printf("left %u\n", get(b, &b->front, "state", 0));
	fflush(stdout);
	make_anew(b);
	q->leaving = false;
}

/* Each life a few requests, then Closed: five times. */
static bool sin_short_lives(struct back *b, struct queue *q)
{
	if (q->lives <= 5)
		b->sinned = false;
	set_state(b, XenbusStateClosed);
	return true;
}

/* All states and none, in no order, as fast as xenstore takes them. */
static bool sin_flap(struct back *b, struct queue *q)
{
	uint64_t end = now_ns() + 3000000000u;

	let_go(b);
	/* For a while, and leave it where a front end in the middle of anything finds out. */
	for (int i = 0; (i < 20000 && now_ns() < end) || i < 100; i++) {
		put_any_state(b);
		if (i % 997 == 0)
			remove_dir(b, &b->back);
		if (i % 997 == 1)
			make_back(b, XenbusStateConnected);
	}
	printf("flapped\n");
	fflush(stdout);
	remove_dir(b, &b->back);
	make_back(b, XenbusStateClosed);
	return true;
}

static bool sin_lose(struct back *b, struct queue *q)
{
	q->losing = 4;
	return false;
}

static void hold(struct back *b, struct queue *q)
{
	void *page;

	q->held_ring = q->raw;
	q->held_bytes = q->pages * PAGE_BYTES;
	must("map a page", grant_map(b->grant, b->domid, &q->r.seg[0].gref, 1, true, &page));
	q->held_page = page;
}

#define MARK 0xa5a5a5a5u

/* It keeps what it has mapped, and goes on writing to it. */
static bool sin_hold(struct back *b, struct queue *q)
{
	if (q->r.operation != BLKIF_OP_READ && q->r.operation != BLKIF_OP_WRITE) {
		b->sinned = false;
		return false;
	}
	hold(b, q);
	b->halted = true;
	set_state(b, XenbusStateClosed);
	return true;
}

static void mark_held(struct queue *q)
{
	for (uint32_t i = 0; q->held_ring && i < q->held_bytes / 4; i++)
		__atomic_store_n(&q->held_ring[i], MARK, __ATOMIC_RELAXED);
	for (uint32_t i = 0; q->held_page && i < PAGE_BYTES / 4; i++)
		__atomic_store_n(&q->held_page[i], MARK, __ATOMIC_RELAXED);
}

/* What the front end does now must not touch what we hold. */
static void look_at_held(struct back *b, struct queue *q)
{
	for (uint32_t i = 0; q->held_ring && i < q->held_bytes / 4; i++)
		if (q->held_ring[i] != MARK)
			return leak(b, "the ring of the life before is used again");
	for (uint32_t i = 0; q->held_page && i < PAGE_BYTES / 4; i++)
		if (q->held_page[i] != MARK)
			return leak(b, "a page of the life before is used again");
}

/* A request of the life before is answered in the one after it. */
static bool sin_late(struct back *b, struct queue *q)
{
	if (q->lives == 1) {
		q->old_id = q->r.id;
		b->sinned = false;
		set_state(b, XenbusStateClosed);
		return true;
	}
	respond(q, q->old_id, op_of(&q->r), 0);
	return true;
}

static void again_small(struct back *b)
{
	put(b, &b->back, "sectors", "65536");
}

static void again_readonly(struct back *b)
{
	put(b, &b->back, "info", "4");
}

static void again_plain(struct back *b)
{
	static const char *const nodes[][2] = { { "feature-persistent", "0" },
						{ "max-ring-page-order", "0" },
						{ "feature-max-indirect-segments", "0" },
						{ "feature-flush-cache", "0" },
						{ "feature-discard", "0" } };

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		put(b, &b->back, nodes[i][0], nodes[i][1]);
}

static void again_nonsense(struct back *b)
{
	static const char *const nodes[][2] = { { "feature-persistent", "yes" },
						{ "max-ring-page-order", "4294967295" },
						{ "feature-max-indirect-segments", "-1" },
						{ "feature-flush-cache", "11" },
						{ "info", "0x4" },
						{ "multi-queue-max-queues", "18446744073709551617" } };

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		put(b, &b->back, nodes[i][0], nodes[i][1]);
}

static void again_other(struct back *b)
{
	put(b, &b->back, "params", "/another/disk");
}

static void again_sectors(struct back *b)
{
	put(b, &b->back, "sector-size", "4096");
}

static void again_no_size(struct back *b)
{
	put(b, &b->back, "sectors", "many");
}

static bool sin_resize(struct back *b, struct queue *q)
{
	put(b, &b->back, "sectors", "262144");
	set_state(b, XenbusStateConnected);
	return false;
}

static bool sin_shrink(struct back *b, struct queue *q)
{
	put(b, &b->back, "sectors", "8");
	set_state(b, XenbusStateConnected);
	return false;
}

static void sin_bad_sectors(struct back *b)
{
	put(b, &b->back, "sectors", "1x");
}

static void sin_no_sectors(struct back *b)
{
	struct path p;

	must("remove", store_rm(b->store, NULL, path_join(&p, b->back.s, "sectors")));
}

static void sin_huge_sectors(struct back *b)
{
	put(b, &b->back, "sectors", "18446744073709551615");
}

static void sin_sector_size(struct back *b)
{
	put(b, &b->back, "sector-size", "513");
}

static void sin_offers(struct back *b)
{
	put(b, &b->back, "max-ring-page-order", "4294967295");
	put(b, &b->back, "multi-queue-max-queues", "0");
	put(b, &b->back, "feature-max-indirect-segments", "4294967295");
	put(b, &b->back, "feature-persistent", "-1");
	put(b, &b->back, "info", "banana");
	put(b, &b->back, "physical-sector-size", "4294967295");
}

static void sin_no_discard(struct back *b)
{
	put(b, &b->back, "feature-discard", "0");
}

static const struct sin sins[] = {
	{ "none", ALWAYS, NULL, NULL },
	{ "null", ALWAYS, NULL, NULL },
	{ "bad-id", AT_REQUEST, sin_bad_id, NULL },
	{ "idle-id", AT_REQUEST, sin_idle_id, NULL },
	{ "old-id", AT_REQUEST, sin_old_id, NULL },
	{ "wrong-op", AT_REQUEST, sin_wrong_op, NULL },
	{ "double", AT_REQUEST, sin_double, NULL },
	{ "jump", AT_REQUEST, sin_jump, NULL },
	{ "jump-far", AT_REQUEST, sin_jump_far, NULL },
	{ "backwards", AT_REQUEST, sin_backwards, NULL },
	{ "too-many", AT_REQUEST, sin_too_many, NULL },
	{ "status", AT_REQUEST, sin_status, NULL },
	{ "silent", AT_REQUEST, sin_silent, NULL },
	{ "storm", AT_REQUEST, sin_storm, NULL },
	{ "scribble", AT_REQUEST, sin_scribble, NULL },
	{ "closed", AT_REQUEST, sin_closed, NULL },
	{ "closing", AT_REQUEST, sin_closing, NULL },
	{ "vanish", AT_REQUEST, sin_vanish, NULL },
	{ "states", AT_REQUEST, sin_states, NULL },
	{ "resize", AT_REQUEST, sin_resize, NULL },
	{ "shrink", AT_REQUEST, sin_shrink, NULL },
	{ "bad-sectors", AT_CONNECT, NULL, sin_bad_sectors },
	{ "no-sectors", AT_CONNECT, NULL, sin_no_sectors },
	{ "huge-sectors", AT_CONNECT, NULL, sin_huge_sectors },
	{ "sector-size", AT_CONNECT, NULL, sin_sector_size },
	{ "offers", AT_INITWAIT, NULL, sin_offers },
	{ "no-discard", AT_INITWAIT, NULL, sin_no_discard },
	{ "refuse", AT_CONNECT, NULL, sin_refuse },
	{ "refuse-closed", AT_CONNECT, NULL, sin_refuse_closed },
	{ "never", AT_CONNECT, NULL, NULL },
	{ "no-close", ALWAYS, NULL, NULL },
	{ "vanish-back", AT_REQUEST, sin_vanish_back, NULL },
	{ "detach", AT_REQUEST, sin_detach, NULL },
	{ "forget", AT_REQUEST, sin_forget, NULL },
	{ "reborn", AT_REQUEST, sin_reborn, NULL },
	{ "leave", AT_REQUEST, sin_leave, NULL },
	{ "short-lives", AT_REQUEST, sin_short_lives, NULL },
	{ "vain-lives", AT_REQUEST, sin_vain_lives, NULL },
	{ "flap", AT_REQUEST, sin_flap, NULL },
	{ "hold", AT_REQUEST, sin_hold, NULL },
	{ "late", AT_REQUEST, sin_late, NULL },
	{ "lose", AT_REQUEST, sin_lose, NULL },
	{ "lose-small", AT_REQUEST, sin_lose, again_small },
	{ "lose-readonly", AT_REQUEST, sin_lose, again_readonly },
	{ "lose-plain", AT_REQUEST, sin_lose, again_plain },
	{ "lose-nonsense", AT_REQUEST, sin_lose, again_nonsense },
	{ "lose-other", AT_REQUEST, sin_lose, again_other },
	{ "lose-sectors", AT_REQUEST, sin_lose, again_sectors },
	{ "lose-no-size", AT_REQUEST, sin_lose, again_no_size },
};

/* ------------------------------------------------------------------ serving */

void disconnect_rings(struct back *b)
{
	struct queue *q = b->queue;

	printf("last %u\n", q->last_op);
	fflush(stdout);
	evtchn_unbind(b->evtchn, q->port);
	if (q->raw == q->held_ring)
		mark_held(q);
	else
		grant_unmap(b->grant, q->raw, q->pages);
}

void connect_rings(struct back *b)
{
	uint32_t refs[16], order = get(b, &b->front, "ring-page-order", 0);
	struct queue *q = b->queue;
	void *ring;

	q->pages = 1u << MIN(order, 4u);
	refs[0] = get(b, &b->front, "ring-ref", 0);
	for (uint32_t i = 0; order && i < q->pages; i++) {
		char leaf[24];

		snprintf(leaf, sizeof(leaf), "ring-ref%u", i);
		refs[i] = get(b, &b->front, leaf, 0);
	}
	must("map the ring", grant_map(b->grant, b->domid, refs, q->pages, true, &ring));
	must("attach", ring_back_attach(&q->ring, ring, q->pages * PAGE_BYTES, sizeof(struct blkif_request),
					sizeof(struct blkif_response)));
	q->raw = ring;
	q->port = bind_port(b, get(b, &b->front, "event-channel", 0));
	q->lives++;
}

static void tell(const struct blkif_request *r, const char *what)
{
	printf("%s %u %llu\n", what, op_of(r),
	       (unsigned long long)(r->operation == BLKIF_OP_FLUSH_DISKCACHE ? 0 : r->sector_number));
	fflush(stdout);
}

/* Taken, and never answered; after the last one the connection ends. */
static void lose(struct back *b, struct queue *q)
{
	tell(&q->r, "lost");
	q->nr_lost++;
	if (--q->losing)
		return;
	push(b, q); /* what was answered before */
	b->halted = true;
	set_state(b, XenbusStateClosed);
}

static void answer(struct back *b, struct queue *q)
{
	if (q->losing)
		return lose(b, q);
	if (q->nr_again < q->nr_lost) {
		q->nr_again++;
		tell(&q->r, "again");
	}
	/* Sins without an end go on: nothing is answered any more after "silent". */
	if (b->sinned && b->sin->request == sin_silent)
		return;
	b->done++;
	if (q->held_ring && q->lives > 1)
		look_at_held(b, q);
	respond(q, q->r.id, op_of(&q->r), 0);
}

static void serve(struct back *b, struct queue *q)
{
	bool look = strcmp(b->sin->name, "null") != 0;
	int n;

	while (b->connected && !b->halted && (n = ring_back_pending(&q->ring)) > 0) {
		while (n-- > 0) {
			ring_back_take(&q->ring, &q->r);
			q->last_op = q->r.operation;
			if (look && (!b->sinned || q->lives > 1)) {
				look_at_slot(b, &q->r);
				look_at_page(b, &q->r);
			}
			if (!time_to_sin(b) || !b->sin->request(b, q))
				answer(b, q);
			if (b->halted)
				return;
		}
		push(b, q);
	}
}

static void run(struct back *b, struct queue *q)
{
	bool spin = !strcmp(b->sin->name, "null");

	while (!over) {
		serve(b, q);
		/* Only now and then a look at xenstore, else as fast as it goes. */
		for (int i = 0; spin && b->connected && i < 100000; i++)
			serve(b, q);
		if (q->leaving && !b->connected && b->state == XenbusStateClosed)
			leave(b, q);
		if (b->connected && !b->halted && !spin && ring_back_arm(&q->ring) > 0)
			continue;
		back_wait(b, spin && b->connected ? 0 : 1000);
	}
}

int main(int argc, char **argv)
{
	struct queue q = { 0 };
	struct back b = { .after = 8, .rnd = 1, .queue = &q };

	if (argc < 4 || parse_str_u32(argv[1], 32751, &b.domid) < 0 || parse_str_u32(argv[2], UINT32_MAX, &b.id) < 0 ||
	    (argc > 4 && parse_str_u32(argv[4], UINT32_MAX, &b.after) < 0) ||
	    (argc > 5 && parse_str_u32(argv[5], 32751, &b.back_domid) < 0)) {
		fprintf(stderr, "usage: badback DOMID VDEV SIN [AFTER [BACK-DOMID]]\n");
		return 2;
	}
	b.sin = find_sin(sins, ARRAY_SIZE(sins), argv[3]);
	back_open(&b, "svbd");
	run(&b, &q);
	let_go(&b);
	if (q.held_ring) {
		grant_unmap(b.grant, q.held_ring, q.held_bytes / PAGE_BYTES);
		grant_unmap(b.grant, q.held_page, 1);
	}
	back_close(&b);
	return 0;
}

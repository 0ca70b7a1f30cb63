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
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <xen/io/protocols.h>

#include "common/base/base.h"
#include <xen/io/blkif.h>
#include "common/ring/ring.h"
#include "common/span/span.h"
#include "common/xen/evtchn.h"
#include "common/xen/grant.h"
#include "common/xen/paths.h"
#include "common/xen/store.h"
#include "common/xenbus/xenbus.h"

#define TYPE    "badback"
#define SECTORS "131072"

enum sin_when { AT_REQUEST, AT_CONNECT, AT_INITWAIT, ALWAYS };

struct back;
struct sin {
	const char *name;
	enum sin_when when;
	/* AT_REQUEST: answer @r (already taken); true when that was done, else it is answered honestly */
	bool (*request)(struct back *b, const struct blkif_request *r);
	void (*other)(struct back *b);
	void (*again)(struct back *b); /* before the front end may connect once more */
};

struct back {
	uint32_t domid, vdev, after, answered, leaks;
	const struct sin *sin;
	struct store *store;
	struct grant *grant;
	struct evtchn *evtchn;
	uint32_t port;
	uint32_t *raw; /* the ring's page */
	uint32_t pages;
	struct ring_back ring;
	struct path front, back;
	uint32_t state;
	bool connected, sinned;
	bool halted; /* the ring stays as the sin left it */
	uint32_t rnd;
	/* what follows the sin */
	uint32_t lives, nr_lost, nr_again, losing;
	uint32_t back_domid;
	uint8_t last_op;
	bool leaving;
	uint64_t old_id;
	uint32_t *held_ring, *held_page; /* of the life before, still mapped, all MARK */
	uint32_t held_bytes;
};

static volatile sig_atomic_t over;

static void on_term(int sig)
{
	over = 1;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "badback: %s: %s\n", what, strerror(-err));
	exit(3);
}

static void must(const char *what, int err)
{
	if (err < 0)
		die(what, err);
}

static void leak(struct back *b, const char *fmt, ...) __printf(2, 3);
static void leak(struct back *b, const char *fmt, ...)
{
	va_list ap;

	if (b->leaks++ > 5)
		return;
	va_start(ap, fmt);
	printf("leak: ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
}

/* ------------------------------------------------------------------ nodes */

static void put(struct back *b, const struct path *dir, const char *leaf, const char *value)
{
	struct path p;

	must(leaf, store_write(b->store, NULL, path_join(&p, dir->s, leaf), value));
}

static void set_state(struct back *b, uint32_t state)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", state);
	put(b, &b->back, "state", text);
	b->state = state;
}

static uint32_t get(struct back *b, const char *leaf, uint32_t otherwise)
{
	struct path p;
	uint32_t v;

	return store_read_u32(b->store, NULL, path_join(&p, b->front.s, leaf), UINT32_MAX, &v) == 0 ? v : otherwise;
}

static void offer(struct back *b)
{
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

static void make_back(struct back *b, uint32_t state)
{
	char text[STORE_PATH_MAX];

	must("back directory", store_mkdir(b->store, NULL, b->back.s));
	must("permissions", store_perms(b->store, NULL, b->back.s, b->back_domid, b->domid));
	snprintf(text, sizeof(text), "%u", b->domid);
	put(b, &b->back, "frontend-id", text);
	put(b, &b->back, "frontend", b->front.s);
	put(b, &b->back, "online", "1");
	offer(b);
	set_state(b, state);
}

static void make_front(struct back *b)
{
	store_mkdir(b->store, NULL, b->front.s) < 0 ? die("front directory", -errno) : (void)0;
	must("permissions", store_perms(b->store, NULL, b->front.s, b->domid, 0));
	put(b, &b->front, "backend-id", "0");
	put(b, &b->front, "backend", b->back.s);
	put(b, &b->front, "state", "1");
}

static void make_dirs(struct back *b)
{
	path_front(&b->front, b->domid, "svbd", b->vdev);
	path_back(&b->back, b->back_domid, TYPE, b->domid, b->vdev);
	make_back(b, XenbusStateInitWait);
	if (!b->back_domid)
		make_front(b);
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

static void respond(struct back *b, uint64_t id, uint8_t op, int16_t status)
{
	struct blkif_response r;

	memset(&r, 0, sizeof(r));
	r.id = id;
	r.operation = op;
	r.status = status;
	ring_back_put(&b->ring, &r, sizeof(r));
}

static uint8_t op_of(const struct blkif_request *r)
{
	return r->operation == BLKIF_OP_INDIRECT ? r->nr_segments : r->operation;
}

static void push(struct back *b)
{
	if (ring_back_push(&b->ring))
		evtchn_notify(b->evtchn, b->port);
}

static void force(struct back *b, uint32_t word, uint32_t value)
{
	push(b);
	__atomic_store_n(&b->raw[word], value, __ATOMIC_SEQ_CST);
	b->halted = true;
	evtchn_notify(b->evtchn, b->port);
}

#define RSP_PROD 2 /* word in the ring's header */

static bool sin_bad_id(struct back *b, const struct blkif_request *r)
{
	respond(b, (r->id & ~(uint64_t)0xffffffffu) | 0x7fffffff, op_of(r), 0);
	return true;
}

static bool sin_idle_id(struct back *b, const struct blkif_request *r)
{
	respond(b, r->id ^ 31, op_of(r), 0);
	return true;
}

static bool sin_old_id(struct back *b, const struct blkif_request *r)
{
	respond(b, r->id - ((uint64_t)1 << 32), op_of(r), 0);
	return true;
}

static bool sin_wrong_op(struct back *b, const struct blkif_request *r)
{
	respond(b, r->id, (uint8_t)(op_of(r) ^ 1), 0);
	return true;
}

static bool sin_double(struct back *b, const struct blkif_request *r)
{
	respond(b, r->id, op_of(r), 0);
	respond(b, r->id, op_of(r), 0);
	return true;
}

static bool sin_jump(struct back *b, const struct blkif_request *r)
{
	force(b, RSP_PROD, b->ring.rsp_prod + b->ring.nr_ents + 1);
	return true;
}

static bool sin_jump_far(struct back *b, const struct blkif_request *r)
{
	force(b, RSP_PROD, b->ring.rsp_prod + 0x80000000u);
	return true;
}

static bool sin_backwards(struct back *b, const struct blkif_request *r)
{
	force(b, RSP_PROD, b->ring.rsp_prod - 1);
	return true;
}

/* One answer more than there are requests; the slot holds what is there. */
static bool sin_too_many(struct back *b, const struct blkif_request *r)
{
	respond(b, r->id, op_of(r), 0);
	force(b, RSP_PROD, b->ring.req_cons + 1);
	return true;
}

static bool sin_status(struct back *b, const struct blkif_request *r)
{
	respond(b, r->id, op_of(r), -77);
	return true;
}

static bool sin_silent(struct back *b, const struct blkif_request *r)
{
	printf("silent\n");
	fflush(stdout);
	return true;
}

/* Events without an answer, as fast as it goes; then the answer. */
static bool sin_storm(struct back *b, const struct blkif_request *r)
{
	for (int i = 0; i < 3000 && !over; i++) {
		evtchn_notify(b->evtchn, b->port);
		usleep(200);
	}
	return false;
}

/* Random bytes all over the ring, for a while. */
static bool sin_scribble(struct back *b, const struct blkif_request *r)
{
	for (int round = 0; round < 2000; round++) {
		for (uint32_t i = 0; i < b->pages * PAGE_BYTES / 4; i += 1 + b->rnd % 7) {
			b->rnd = b->rnd * 1664525 + 1013904223;
			__atomic_store_n(&b->raw[i], b->rnd, __ATOMIC_RELAXED);
		}
		evtchn_notify(b->evtchn, b->port);
	}
	b->halted = true;
	return true;
}

static bool sin_closed(struct back *b, const struct blkif_request *r)
{
	set_state(b, XenbusStateClosed);
	return true;
}

static bool sin_closing(struct back *b, const struct blkif_request *r)
{
	set_state(b, XenbusStateClosing);
	return false;
}

static bool sin_vanish(struct back *b, const struct blkif_request *r)
{
	must("remove", store_rm(b->store, NULL, b->back.s));
	return true;
}

static void let_go(struct back *b);

/* Removed, and made anew a little later. */
static bool sin_vanish_back(struct back *b, const struct blkif_request *r)
{
	must("remove", store_rm(b->store, NULL, b->back.s));
	let_go(b);
	usleep(300000);
	make_back(b, XenbusStateInitWait);
	return true;
}

/* The whole device, as a toolstack does it by force. */
static bool sin_detach(struct back *b, const struct blkif_request *r)
{
	must("remove", store_rm(b->store, NULL, b->back.s));
	must("remove", store_rm(b->store, NULL, b->front.s));
	let_go(b);
	usleep(300000);
	make_back(b, XenbusStateInitWait);
	make_front(b);
	return true;
}

/* It forgets the front end, and waits for one. */
static bool sin_forget(struct back *b, const struct blkif_request *r)
{
	let_go(b);
	set_state(b, XenbusStateInitWait);
	return true;
}

static bool sin_reborn(struct back *b, const struct blkif_request *r)
{
	let_go(b);
	set_state(b, XenbusStateInitialising);
	usleep(200000);
	set_state(b, XenbusStateInitWait);
	return true;
}

/* Closed, and about to be removed: who goes on then would be in the toolstack's way. */
static bool sin_leave(struct back *b, const struct blkif_request *r)
{
	put(b, &b->back, "online", "0");
	set_state(b, XenbusStateClosed);
	b->leaving = true;
	b->halted = true;
	return true;
}

static void leave(struct back *b)
{
	sleep(1);
	printf("left %u\n", get(b, "state", 0));
	fflush(stdout);
	sin_detach(b, NULL);
	b->leaving = false;
}

/* Each life a few requests, then Closed: five times. */
static bool sin_short_lives(struct back *b, const struct blkif_request *r)
{
	if (b->lives <= 5)
		b->sinned = false;
	set_state(b, XenbusStateClosed);
	return true;
}

/* Nothing is ever answered, and no life lasts. */
static bool sin_vain_lives(struct back *b, const struct blkif_request *r)
{
	b->sinned = false;
	b->halted = true;
	set_state(b, XenbusStateClosed);
	return true;
}

/* All states and none, in no order, as fast as xenstore takes them. */
static bool sin_flap(struct back *b, const struct blkif_request *r)
{
	static const char *const games[] = { "0", "1", "2",  "3", "4", "5",  "6",
					     "7", "8", "99", "",  "x", "-1", "4294967298" };
	uint64_t end = now_ns() + 3000000000u;

	let_go(b);
	/* For a while, and leave it where a front end in the middle of anything finds out. */
	for (int i = 0; (i < 20000 && now_ns() < end) || i < 100; i++) {
		b->rnd = b->rnd * 1664525 + 1013904223;
		put(b, &b->back, "state", games[(b->rnd >> 16) % ARRAY_SIZE(games)]);
		if (i % 997 == 0)
			must("remove", store_rm(b->store, NULL, b->back.s));
		if (i % 997 == 1)
			make_back(b, XenbusStateConnected);
	}
	printf("flapped\n");
	fflush(stdout);
	must("remove", store_rm(b->store, NULL, b->back.s));
	make_back(b, XenbusStateClosed);
	return true;
}

static bool sin_lose(struct back *b, const struct blkif_request *r)
{
	b->losing = 4;
	return false;
}

static void hold(struct back *b, const struct blkif_request *r)
{
	void *page;

	b->held_ring = b->raw;
	b->held_bytes = b->pages * PAGE_BYTES;
	must("map a page", grant_map(b->grant, b->domid, &r->seg[0].gref, 1, true, &page));
	b->held_page = page;
}

#define MARK 0xa5a5a5a5u

/* It keeps what it has mapped, and goes on writing to it. */
static bool sin_hold(struct back *b, const struct blkif_request *r)
{
	if (r->operation != BLKIF_OP_READ && r->operation != BLKIF_OP_WRITE) {
		b->sinned = false;
		return false;
	}
	hold(b, r);
	b->halted = true;
	set_state(b, XenbusStateClosed);
	return true;
}

static void mark_held(struct back *b)
{
	for (uint32_t i = 0; b->held_ring && i < b->held_bytes / 4; i++)
		__atomic_store_n(&b->held_ring[i], MARK, __ATOMIC_RELAXED);
	for (uint32_t i = 0; b->held_page && i < PAGE_BYTES / 4; i++)
		__atomic_store_n(&b->held_page[i], MARK, __ATOMIC_RELAXED);
}

/* What the front end does now must not touch what we hold. */
static void look_at_held(struct back *b)
{
	for (uint32_t i = 0; b->held_ring && i < b->held_bytes / 4; i++)
		if (b->held_ring[i] != MARK)
			return leak(b, "the ring of the life before is used again");
	for (uint32_t i = 0; b->held_page && i < PAGE_BYTES / 4; i++)
		if (b->held_page[i] != MARK)
			return leak(b, "a page of the life before is used again");
}

/* A request of the life before is answered in the one after it. */
static bool sin_late(struct back *b, const struct blkif_request *r)
{
	if (b->lives == 1) {
		b->old_id = r->id;
		b->sinned = false;
		set_state(b, XenbusStateClosed);
		return true;
	}
	respond(b, b->old_id, op_of(r), 0);
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

static bool sin_states(struct back *b, const struct blkif_request *r)
{
	static const char *const games[] = { "2", "3", "7", "8", "1", "4", "4", "99", "", "x", "-1", "4" };

	/* Slowly, so that each is seen. */
	for (size_t i = 0; i < ARRAY_SIZE(games); i++) {
		put(b, &b->back, "state", games[i]);
		usleep(50000);
	}
	return false;
}

static bool sin_resize(struct back *b, const struct blkif_request *r)
{
	put(b, &b->back, "sectors", "262144");
	set_state(b, XenbusStateConnected);
	return false;
}

static bool sin_shrink(struct back *b, const struct blkif_request *r)
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

static void sin_refuse(struct back *b)
{
	set_state(b, XenbusStateClosing);
}

static void sin_refuse_closed(struct back *b)
{
	set_state(b, XenbusStateClosed);
}

static const struct sin sins[] = {
	{ "none", ALWAYS, NULL, NULL, NULL },
	{ "null", ALWAYS, NULL, NULL, NULL },
	{ "bad-id", AT_REQUEST, sin_bad_id, NULL, NULL },
	{ "idle-id", AT_REQUEST, sin_idle_id, NULL, NULL },
	{ "old-id", AT_REQUEST, sin_old_id, NULL, NULL },
	{ "wrong-op", AT_REQUEST, sin_wrong_op, NULL, NULL },
	{ "double", AT_REQUEST, sin_double, NULL, NULL },
	{ "jump", AT_REQUEST, sin_jump, NULL, NULL },
	{ "jump-far", AT_REQUEST, sin_jump_far, NULL, NULL },
	{ "backwards", AT_REQUEST, sin_backwards, NULL, NULL },
	{ "too-many", AT_REQUEST, sin_too_many, NULL, NULL },
	{ "status", AT_REQUEST, sin_status, NULL, NULL },
	{ "silent", AT_REQUEST, sin_silent, NULL, NULL },
	{ "storm", AT_REQUEST, sin_storm, NULL, NULL },
	{ "scribble", AT_REQUEST, sin_scribble, NULL, NULL },
	{ "closed", AT_REQUEST, sin_closed, NULL, NULL },
	{ "closing", AT_REQUEST, sin_closing, NULL, NULL },
	{ "vanish", AT_REQUEST, sin_vanish, NULL, NULL },
	{ "states", AT_REQUEST, sin_states, NULL, NULL },
	{ "resize", AT_REQUEST, sin_resize, NULL, NULL },
	{ "shrink", AT_REQUEST, sin_shrink, NULL, NULL },
	{ "bad-sectors", AT_CONNECT, NULL, sin_bad_sectors, NULL },
	{ "no-sectors", AT_CONNECT, NULL, sin_no_sectors, NULL },
	{ "huge-sectors", AT_CONNECT, NULL, sin_huge_sectors, NULL },
	{ "sector-size", AT_CONNECT, NULL, sin_sector_size, NULL },
	{ "offers", AT_INITWAIT, NULL, sin_offers, NULL },
	{ "no-discard", AT_INITWAIT, NULL, sin_no_discard, NULL },
	{ "refuse", AT_CONNECT, NULL, sin_refuse, NULL },
	{ "refuse-closed", AT_CONNECT, NULL, sin_refuse_closed, NULL },
	{ "never", AT_CONNECT, NULL, NULL, NULL },
	{ "no-close", ALWAYS, NULL, NULL, NULL },
	{ "vanish-back", AT_REQUEST, sin_vanish_back, NULL, NULL },
	{ "detach", AT_REQUEST, sin_detach, NULL, NULL },
	{ "forget", AT_REQUEST, sin_forget, NULL, NULL },
	{ "reborn", AT_REQUEST, sin_reborn, NULL, NULL },
	{ "leave", AT_REQUEST, sin_leave, NULL, NULL },
	{ "short-lives", AT_REQUEST, sin_short_lives, NULL, NULL },
	{ "vain-lives", AT_REQUEST, sin_vain_lives, NULL, NULL },
	{ "flap", AT_REQUEST, sin_flap, NULL, NULL },
	{ "hold", AT_REQUEST, sin_hold, NULL, NULL },
	{ "late", AT_REQUEST, sin_late, NULL, NULL },
	{ "lose", AT_REQUEST, sin_lose, NULL, NULL },
	{ "lose-small", AT_REQUEST, sin_lose, NULL, again_small },
	{ "lose-readonly", AT_REQUEST, sin_lose, NULL, again_readonly },
	{ "lose-plain", AT_REQUEST, sin_lose, NULL, again_plain },
	{ "lose-nonsense", AT_REQUEST, sin_lose, NULL, again_nonsense },
	{ "lose-other", AT_REQUEST, sin_lose, NULL, again_other },
	{ "lose-sectors", AT_REQUEST, sin_lose, NULL, again_sectors },
	{ "lose-no-size", AT_REQUEST, sin_lose, NULL, again_no_size },
};

/* ------------------------------------------------------------------ serving */

static void let_go(struct back *b)
{
	if (!b->connected)
		return;
	b->connected = false;
	printf("last %u\n", b->last_op);
	fflush(stdout);
	evtchn_unbind(b->evtchn, b->port);
	if (b->raw == b->held_ring)
		mark_held(b);
	else
		grant_unmap(b->grant, b->raw, b->pages);
}

static void connect_front(struct back *b)
{
	uint32_t refs[16], order = get(b, "ring-page-order", 0);
	void *ring;
	int port;

	if (b->sin->when == AT_CONNECT && !b->sinned) {
		b->sinned = true;
		if (!strcmp(b->sin->name, "never"))
			return;
		b->sin->other(b);
		if (b->state != XenbusStateInitWait)
			return;
	}
	b->pages = 1u << MIN(order, 4u);
	refs[0] = get(b, "ring-ref", 0);
	for (uint32_t i = 0; order && i < b->pages; i++) {
		char leaf[24];

		snprintf(leaf, sizeof(leaf), "ring-ref%u", i);
		refs[i] = get(b, leaf, 0);
	}
	must("map the ring", grant_map(b->grant, b->domid, refs, b->pages, true, &ring));
	must("attach", ring_back_attach(&b->ring, ring, b->pages * PAGE_BYTES, sizeof(struct blkif_request),
					sizeof(struct blkif_response)));
	b->raw = ring;
	port = evtchn_bind(b->evtchn, b->domid, get(b, "event-channel", 0));
	must("bind", port);
	b->port = (uint32_t)port;
	b->connected = true;
	b->halted = false;
	b->answered = 0;
	b->lives++;
	set_state(b, XenbusStateConnected);
}

static void front_changed(struct back *b)
{
	uint32_t front = get(b, "state", 0);

	switch (front) {
	case XenbusStateInitialised:
	case XenbusStateConnected:
		if (!b->connected && b->state == XenbusStateInitWait)
			connect_front(b);
		break;
	case XenbusStateClosing:
		if (strcmp(b->sin->name, "no-close") && b->state != XenbusStateClosed)
			set_state(b, XenbusStateClosing);
		break;
	case XenbusStateClosed:
		if (!strcmp(b->sin->name, "no-close"))
			break;
		let_go(b);
		if (b->leaving)
			leave(b);
		else if (b->state != XenbusStateClosed)
			set_state(b, XenbusStateClosed);
		break;
	case XenbusStateInitialising:
		let_go(b);
		if (b->state == XenbusStateInitWait)
			break;
		if (b->sinned && b->sin->again)
			b->sin->again(b);
		set_state(b, XenbusStateInitWait);
		break;
	default:
		break;
	}
}

static void tell(const struct blkif_request *r, const char *what)
{
	printf("%s %u %llu\n", what, r->operation == BLKIF_OP_INDIRECT ? ((const uint8_t *)r)[1] : r->operation,
	       (unsigned long long)(r->operation == BLKIF_OP_FLUSH_DISKCACHE ? 0 : r->sector_number));
	fflush(stdout);
}

/* Taken, and never answered; after the last one the connection ends. */
static void lose(struct back *b, const struct blkif_request *r)
{
	tell(r, "lost");
	b->nr_lost++;
	if (--b->losing)
		return;
	push(b); /* what was answered before */
	b->halted = true;
	set_state(b, XenbusStateClosed);
}

static void serve(struct back *b)
{
	bool look = strcmp(b->sin->name, "null") != 0;
	struct blkif_request r;
	int n;

	while (b->connected && !b->halted && (n = ring_back_pending(&b->ring)) > 0) {
		while (n-- > 0) {
			ring_back_take(&b->ring, &r);
			b->last_op = r.operation;
			if (look && (!b->sinned || b->lives > 1))
				look_at_slot(b, &r);
			if (look && (!b->sinned || b->lives > 1))
				look_at_page(b, &r);
			if (b->sin->when == AT_REQUEST && b->answered >= b->after && !b->sinned) {
				b->sinned = true;
				if (b->sin->request(b, &r)) {
					if (b->halted)
						return;
					continue;
				}
			}
			if (b->losing) {
				lose(b, &r);
				if (b->halted)
					return;
				continue;
			}
			if (b->nr_again < b->nr_lost) {
				b->nr_again++;
				tell(&r, "again");
			}
			/* Sins without an end go on: nothing is answered any more after "silent". */
			if (b->sinned && b->sin->request == sin_silent)
				continue;
			b->answered++;
			if (b->held_ring && b->lives > 1)
				look_at_held(b);
			respond(b, r.id, r.operation == BLKIF_OP_INDIRECT ? ((const uint8_t *)&r)[1] : r.operation, 0);
		}
		push(b);
	}
}

static void on_watch(struct store *s, const char *path, void *arg)
{
	front_changed(arg);
}

static void run(struct back *b)
{
	bool spin = !strcmp(b->sin->name, "null");
	struct pollfd p[2] = { { .fd = store_fd(b->store), .events = POLLIN },
			       { .fd = evtchn_fd(b->evtchn), .events = POLLIN } };

	while (!over) {
		int port;

		serve(b);
		/* Only now and then a look at xenstore, else as fast as it goes. */
		for (int i = 0; spin && b->connected && i < 100000; i++)
			serve(b);
		if (b->connected && !b->halted && !spin && ring_back_arm(&b->ring) > 0)
			continue;
		if (poll(p, 2, spin && b->connected ? 0 : 1000) <= 0)
			continue;
		while (p[1].revents && (port = evtchn_next(b->evtchn)) > 0)
			evtchn_unmask(b->evtchn, (uint32_t)port);
		if (p[0].revents)
			must("xenstore", store_dispatch(b->store));
	}
}

int main(int argc, char **argv)
{
	struct back b = { .after = 8, .rnd = 1 };
	struct store_watch *w;
	struct path p;

	if (argc < 4 || parse_str_u32(argv[1], 32751, &b.domid) < 0 ||
	    parse_str_u32(argv[2], UINT32_MAX, &b.vdev) < 0 ||
	    (argc > 4 && parse_str_u32(argv[4], UINT32_MAX, &b.after) < 0) ||
	    (argc > 5 && parse_str_u32(argv[5], 32751, &b.back_domid) < 0)) {
		fprintf(stderr, "usage: badback DOMID VDEV SIN [AFTER [BACK-DOMID]]\n");
		return 2;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sins); i++)
		if (!strcmp(argv[3], sins[i].name))
			b.sin = &sins[i];
	if (!b.sin) {
		fprintf(stderr, "badback: no such sin: %s\n", argv[3]);
		return 2;
	}
	signal(SIGTERM, on_term);
	must("xenstore", store_open(&b.store));
	must("grants", grant_open(&b.grant));
	must("event channels", evtchn_open(&b.evtchn));
	make_dirs(&b);
	if (b.sin->when == AT_INITWAIT)
		b.sin->other(&b);
	must("watch", store_watch(b.store, path_join(&p, b.front.s, "state"), on_watch, &b, &w));
	printf("ready\n");
	fflush(stdout);
	run(&b);
	let_go(&b);
	if (b.held_ring) {
		grant_unmap(b.grant, b.held_ring, b.held_bytes / PAGE_BYTES);
		grant_unmap(b.grant, b.held_page, 1);
	}
	if (!b.back_domid)
		must("clean", store_rm(b.store, NULL, b.front.s));
	must("clean", store_rm(b.store, NULL, b.back.s));
	store_close(b.store);
	evtchn_close(b.evtchn);
	grant_close(b.grant);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net.c - the ring of a nic, and crash: answered in ring order, from a mirror in the journal (common/ring/redo.h).
 *
 * The back end writes the answers of a batch of whole packets to the mirror, commits them by one store of redo.prod, puts
 * them into the ring, publishes.  A successor writes rsp_prod..redo.prod again from the mirror and goes on taking at
 * redo.prod.  A packet may be sent twice or never; a slot of the ring is answered once, and nobody starts in the middle
 * of a packet.  Slots are numbered as requests are in block.c.
 */
#include "tests/model/model.h"

#define MAX_ENTS  4u
#define MAX_SLOTS 6u
#define INDICES   16u
#define INDEX_0   14u

#define ENT_NOTHING 0x00u
#define ENT_REQ     0x10u
#define ENT_HALF    0x20u
#define ENT_RSP     0x30u

enum front_state { ASLEEP, AWAKE, ARMED };
enum pc { DOWN, RUN, COMMIT, WRITE, PUBLISH, LOOK, NOTIFY, RECHECK, SLEEP, REWRITE, REPUBLISH, RENOTIFY, BROKEN };

struct state {
	uint8_t req_prod, rsp_prod, req_event, rsp_event, ent[MAX_ENTS];
	uint8_t to_front, to_back;
	uint8_t front, kick_due, nr_placed, rsp_cons, answered, lies;
	/* the journal */
	uint8_t redo_prod, mirror[MAX_ENTS];
	/* the back end's own: what it has taken but not published is published .. taken */
	uint8_t pc, arg, published, taken, due;
	uint8_t crashes, script;
	uint8_t pad[4];
};
_Static_assert(sizeof(struct state) % 8 == 0 && sizeof(struct state) <= EXPLORE_MAX_BYTES, "a state is whole words");

#define X(id, name) static const char step_##id[] = name;
NET_STEPS(X)
#undef X

static uint8_t idx(uint32_t i)
{
	return (uint8_t)(i % INDICES);
}

static uint8_t ahead(uint32_t a, uint32_t b)
{
	return idx(a - b);
}

static uint8_t *entry(const struct net_config *c, struct state *s, uint32_t i)
{
	return &s->ent[i % c->nr_ents];
}

/* Slots of this script's packets. */
static uint32_t slots_of(const char *script)
{
	uint32_t nr = 0;

	for (; *script; script++)
		nr += (uint32_t)(*script - '0');
	return nr;
}

/* Slots of the packet that starts with the @k-th slot; 0: none starts there. */
static uint32_t packet_at(const struct net_config *c, const struct state *s, uint32_t k)
{
	uint32_t at = 0;

	for (const char *p = c->scripts[s->script]; *p; p++) {
		if (at == k)
			return (uint32_t)(*p - '0');
		at += (uint32_t)(*p - '0');
	}
	return at == k;
}

static void go(struct explorer *e, const struct state *s, const char *step)
{
	explore_to(e, s, step);
}

/* ------------------------------------------------------------------ the front end */

static void front_place(struct explorer *e, const struct net_config *c, struct state s)
{
	uint32_t left = slots_of(c->scripts[s.script]) - s.nr_placed, nr;

	if (s.kick_due) { /* asked for between the old req_prod and the new one? */
		if (ahead(s.req_prod, s.req_event) < s.kick_due && s.pc != DOWN)
			s.to_back = 1;
		s.kick_due = 0;
		go(e, &s, "front: kick");
		return;
	}
	nr = left ? packet_at(c, &s, s.nr_placed) : 0;
	if (nr == 0 || ahead(s.req_prod + nr, s.rsp_cons) > c->nr_ents)
		return;
	for (uint32_t i = 0; i < nr; i++)
		*entry(c, &s, s.req_prod + i) = (uint8_t)(ENT_REQ | (s.nr_placed + i));
	s.req_prod = idx(s.req_prod + nr);
	s.nr_placed = (uint8_t)(s.nr_placed + nr);
	s.kick_due = (uint8_t)nr;
	go(e, &s, "front: packet");
}

static void front_take(struct explorer *e, const struct net_config *c, struct state s)
{
	uint8_t *ent = entry(c, &s, s.rsp_cons);
	uint32_t k = *ent & 0xfu, kind = *ent & 0xf0u;
	const char *why = NULL;

	if (ahead(s.rsp_prod, s.rsp_cons) > ahead(s.req_prod, s.rsp_cons))
		why = "more answers than requests";
	else if (kind == ENT_HALF)
		why = "half an answer";
	else if (kind != ENT_RSP)
		why = "no answer where there is to be one";
	else if (s.answered >> k & 1)
		why = "a slot is answered twice";
	else if (k != ahead(s.rsp_cons, INDEX_0))
		why = "an answer out of order";
	if (why) {
		explore_fault(e, &s, "front: answer", why);
		return;
	}
	s.answered |= (uint8_t)(1u << k);
	s.rsp_cons = idx(s.rsp_cons + 1u);
	go(e, &s, "front: answer");
}

static void front_steps(struct explorer *e, const struct net_config *c, const struct state *old)
{
	struct state s = *old;

	front_place(e, c, s);
	switch (s.front) {
	case ASLEEP:
		if (!s.to_front)
			return;
		s.to_front = 0;
		s.front = AWAKE;
		go(e, &s, "front: wake");
		break;
	case AWAKE:
		if (s.rsp_prod != s.rsp_cons) {
			front_take(e, c, s);
			return;
		}
		s.rsp_event = idx(s.rsp_cons + 1u);
		s.front = ARMED;
		go(e, &s, "front: rsp_event");
		break;
	default:
		s.front = s.rsp_prod != s.rsp_cons ? AWAKE : ASLEEP;
		go(e, &s, "front: look again");
		break;
	}
}

static void hostile_steps(struct explorer *e, const struct net_config *c, const struct state *old)
{
	if (old->lies == c->hostile)
		return;
	for (uint32_t v = 0; v < INDICES; v++) {
		struct state s = *old;

		s.lies++;
		s.req_prod = (uint8_t)v;
		explore_to(e, &s, "front: lie req_prod");
		s.req_prod = old->req_prod;
		s.rsp_prod = (uint8_t)v;
		explore_to(e, &s, "front: lie rsp_prod");
	}
}

/* ------------------------------------------------------------------ the back end */

static void kill_step(struct explorer *e, const struct net_config *c, const struct state *old)
{
	struct state s = *old;

	if (s.pc == DOWN || s.pc == BROKEN || s.crashes == c->crashes)
		return;
	s.crashes++;
	s.pc = DOWN;
	s.arg = s.published = s.taken = s.due = s.to_back = 0;
	explore_kill(e, &s, "kill");
}

static void refuse(struct explorer *e, const struct net_config *c, struct state s, const char *step)
{
	s.pc = BROKEN;
	if (c->hostile)
		explore_to(e, &s, step);
	else
		explore_fault(e, &s, step, "an honest guest's ring is refused");
}

static void after_publish(const struct net_config *c, struct state *s)
{
	s->pc = c->flags & NET_NO_NOTIFY ? RUN : RENOTIFY;
}

static void recover(struct explorer *e, const struct net_config *c, struct state s)
{
	if (c->flags & NET_NO_REDO)
		s.redo_prod = s.rsp_prod;
	s.published = s.rsp_prod;
	s.taken = s.redo_prod;
	if (!(c->flags & NET_NO_BOUNDS) &&
	    (ahead(s.redo_prod, s.rsp_prod) > c->nr_ents || ahead(s.req_prod, s.rsp_prod) > c->nr_ents ||
	     ahead(s.req_prod, s.redo_prod) > c->nr_ents)) {
		refuse(e, c, s, "validate");
		return;
	}
	if (s.published == s.taken)
		after_publish(c, &s);
	else
		s.pc = c->flags & NET_NO_REWRITE ? REPUBLISH : REWRITE;
	go(e, &s, "validate");
}

/* Put one answer of the mirror into the ring, by two stores.  False: it was the last. */
static bool put(const struct net_config *c, struct state *s)
{
	uint8_t at = idx(s->published + s->arg / 2u), rsp = s->mirror[at % c->nr_ents];

	*entry(c, s, at) = s->arg % 2 ? rsp : (uint8_t)(ENT_HALF | (rsp & 0xfu));
	if (++s->arg < 2u * ahead(s->taken, s->published))
		return true;
	s->arg = 0;
	return false;
}

static void rewrite(struct explorer *e, const struct net_config *c, struct state s)
{
	if (s.arg / 2u >= c->nr_ents) {
		explore_fault(e, &s, step_recover_write, "more answers are written than a ring holds");
		return;
	}
	if (!put(c, &s))
		s.pc = REPUBLISH;
	go(e, &s, step_recover_write);
}

static int pending(const struct net_config *c, const struct state *s)
{
	if (ahead(s->req_prod, s->published) > c->nr_ents || ahead(s->req_prod, s->taken) > c->nr_ents)
		return -1;
	return ahead(s->req_prod, s->taken);
}

/* Take a packet, whole or, where that is broken, a slot of it: its answers go to the mirror. */
static void take(struct explorer *e, const struct net_config *c, struct state s, int waiting)
{
	uint32_t k = ahead(s.taken, INDEX_0), nr = c->hostile ? 1 : packet_at(c, &s, k);

	if (ahead(s.taken, s.published) >= c->nr_ents) {
		explore_fault(e, &s, "take", "more is taken than the mirror holds");
		return;
	}
	if (!c->hostile && (nr == 0 || nr > (uint32_t)waiting)) {
		explore_fault(e, &s, "take", "taking starts in the middle of a packet");
		return;
	}
	if (c->flags & NET_COMMIT_SLOTS)
		nr = 1;
	for (uint32_t i = 0; i < nr; i++) {
		uint8_t at = idx(s.taken + i), ent = *entry(c, &s, at);

		if (!c->hostile && (ent & 0xf0u) != ENT_REQ) {
			explore_fault(e, &s, "take", "a request was overwritten before it was taken");
			return;
		}
		if (!(c->flags & NET_COMMIT_FIRST))
			s.mirror[at % c->nr_ents] = (uint8_t)(ENT_RSP | (ent & 0xfu));
	}
	s.taken = idx(s.taken + nr);
	go(e, &s, step_redo_write);
}

/* With the order of stores turned round: the mirror, after it was committed. */
static void late_mirror(const struct net_config *c, struct state *s)
{
	for (uint8_t at = s->published; at != s->taken; at = idx(at + 1u))
		s->mirror[at % c->nr_ents] = (uint8_t)(ENT_RSP | (*entry(c, s, at) & 0xfu));
}

static void run(struct explorer *e, const struct net_config *c, const struct state *old)
{
	struct state s = *old;
	uint32_t batch = ahead(s.taken, s.published);
	int waiting = pending(c, &s);

	if (waiting < 0) {
		refuse(e, c, s, "refuse");
		return;
	}
	/* In the broken variant a packet goes on slot by slot, with a commit after each. */
	if (waiting > 0 && batch < c->batch) {
		if ((c->flags & NET_COMMIT_SLOTS) && batch > 0)
			waiting = 0;
		else
			take(e, c, s, waiting);
	}
	if (batch > 0) {
		s.pc = c->flags & NET_COMMIT_LATE ? WRITE : COMMIT;
		go(e, &s, "the batch is full");
	} else if (waiting == 0) {
		s.req_event = idx(s.taken + 1u);
		s.pc = RECHECK;
		go(e, &s, "req_event");
	}
}

static void commit(struct explorer *e, const struct net_config *c, struct state s)
{
	if (s.arg == 1) { /* NET_COMMIT_FIRST */
		late_mirror(c, &s);
		s.arg = 0;
		s.pc = WRITE;
		go(e, &s, step_redo_write);
		return;
	}
	if (!(c->flags & NET_NO_REDO))
		s.redo_prod = s.taken;
	s.pc = c->flags & NET_COMMIT_LATE ? PUBLISH : WRITE;
	if (c->flags & NET_COMMIT_FIRST) {
		s.pc = COMMIT;
		s.arg = 1;
	}
	go(e, &s, step_redo_commit);
}

static void back_steps(struct explorer *e, const struct net_config *c, const struct state *old)
{
	struct state s = *old;

	switch (s.pc) {
	case DOWN:
		recover(e, c, s);
		return;
	case RUN:
		run(e, c, old);
		return;
	case COMMIT:
		commit(e, c, s);
		return;
	case WRITE:
		if (!put(c, &s))
			s.pc = c->flags & NET_COMMIT_LATE ? COMMIT : PUBLISH;
		go(e, &s, step_ring_write);
		return;
	case PUBLISH:
		s.rsp_prod = s.taken;
		s.pc = LOOK;
		go(e, &s, step_publish);
		return;
	case LOOK:
		s.pc = ahead(s.taken, s.rsp_event) < ahead(s.taken, s.published) ? NOTIFY : RUN;
		s.published = s.taken;
		go(e, &s, "look at rsp_event");
		return;
	case RECHECK:
		s.pc = s.req_prod != s.taken ? RUN : SLEEP;
		go(e, &s, "look again");
		return;
	case SLEEP:
		if (!s.to_back)
			return;
		s.to_back = 0;
		s.pc = RUN;
		go(e, &s, "wake");
		return;
	case REWRITE:
		rewrite(e, c, s);
		return;
	case REPUBLISH:
		s.rsp_prod = s.published = s.taken;
		after_publish(c, &s);
		go(e, &s, step_recover_publish);
		return;
	case NOTIFY:
	case RENOTIFY:
		s.to_front = 1;
		s.pc = RUN;
		go(e, &s, "notify");
		return;
	default:
		return;
	}
}

/* ------------------------------------------------------------------ the model */

static void net_start(struct explorer *e, const void *config)
{
	const struct net_config *c = config;

	for (uint8_t i = 0; c->scripts[i]; i++) {
		struct state s = { .script = i, .pc = RUN };

		s.req_prod = s.rsp_prod = s.rsp_cons = s.redo_prod = s.published = s.taken = INDEX_0;
		s.req_event = s.rsp_event = idx(INDEX_0 + 1u);
		if (c->hostile)
			s.req_prod = idx(INDEX_0 + c->nr_ents);
		explore_to(e, &s, c->scripts[i]);
	}
}

static void net_next(struct explorer *e, const void *config, const void *state)
{
	const struct net_config *c = config;

	if (c->hostile)
		hostile_steps(e, c, state);
	else
		front_steps(e, c, state);
	back_steps(e, c, state);
	kill_step(e, c, state);
}

static bool net_ended(const void *config, const void *state)
{
	const struct net_config *c = config;
	const struct state *s = state;

	return c->hostile || s->answered == (1u << slots_of(c->scripts[s->script])) - 1;
}

static void net_show(FILE *to, const void *config, const void *state)
{
	static const char *const ents[] = { "--", "q", "h", "a" };
	const struct net_config *c = config;
	const struct state *s = state;

	fprintf(to, "req %2u rsp %2u ring", s->req_prod, s->rsp_prod);
	for (uint32_t i = 0; i < c->nr_ents; i++)
		if (s->ent[i] == ENT_NOTHING)
			fputs(" --", to);
		else
			fprintf(to, " %s%u", ents[s->ent[i] >> 4], s->ent[i] & 0xfu);
	fprintf(to, " | redo %2u mirror", s->redo_prod);
	for (uint32_t i = 0; i < c->nr_ents; i++)
		if (s->mirror[i] == ENT_NOTHING)
			fputs(" --", to);
		else
			fprintf(to, " a%u", s->mirror[i] & 0xfu);
	fprintf(to, " | answered");
	for (uint32_t k = 0; k < MAX_SLOTS; k++)
		if (s->answered >> k & 1)
			fprintf(to, " %u", k);
}

const struct model net_model = { sizeof(struct state), net_start, net_next, net_ended, net_show };

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * block.c - ring, journal and crash: a front end, a back end that may be killed between any two stores, the image.
 *
 * Requests are numbered in the order they are placed; number k stands at ring index INDEX_0 + k.  Indices have four
 * bits and start just before they wrap.  The image is a few registers: a write puts the number of its request there,
 * so that a read tells which write it saw.
 */
#include "tests/model/model.h"

#define MAX_ENTS  4u
#define MAX_REQS  5u
#define REGISTERS 3u
#define INDICES   16u
#define INDEX_0   14u
#define TRIES     2u /* a request that was replayed so often is answered with an error */

/* What a ring entry holds: one of these and the number of a request. */
#define ENT_NOTHING 0x00u
#define ENT_REQ     0x10u
#define ENT_HALF    0x20u /* the first of the two stores of an answer */
#define ENT_RSP     0x30u
#define ENT_ERR     0x40u

enum slot_state { FREE, INFLIGHT, DONE };
enum io_state { NOT_SENT, SENT, EXECUTED, REFUSED };
enum front_state { ASLEEP, AWAKE, ARMED };

enum pc {
	DOWN,
	RUN,
	TAKE_COPY,
	TAKE_INFLIGHT,
	TAKE_CONS,
	COMPLETE_DONE,
	COMPLETE_WRITE,
	COMPLETE_PUBLISH,
	LOOK,
	COMPLETE_FREE,
	NOTIFY,
	RECHECK,
	SLEEP,
	RECOVER_FREE,
	RECOVER_REWRITE,
	RECOVER_PUBLISH,
	RECOVER_FREE_REST,
	RECOVER_ATTEMPT,
	RECOVER_RESUBMIT,
	RECOVER_NOTIFY,
	BROKEN, /* it has refused to go on */
};

struct slot {
	uint8_t state, req, ring_idx, rsp_idx, failed, attempts;
};

struct state {
	/* pages shared with the front end */
	uint8_t req_prod, rsp_prod, req_event, rsp_event, ent[MAX_ENTS];
	/* events on their way */
	uint8_t to_front, to_back;
	/* the front end, and what it knows */
	uint8_t front, kick_due, nr_placed, rsp_cons, answered, failed, before[MAX_REQS], seen[MAX_REQS];
	uint8_t lies; /* indices overwritten */
	/* the image, and what a dead back end had asked of it */
	uint8_t reg[REGISTERS], stale;
	/* the journal */
	uint8_t req_cons, rsp_base, redo_full, redo_idx, redo_req, redo_failed;
	struct slot slot[MAX_ENTS];
	/* the back end's own memory */
	uint8_t pc, arg, rsp_prod_pvt, published, batch, due, blame, io[MAX_ENTS];
	/* of the exploration */
	uint8_t crashes, script;
	uint8_t pad[6];
};
_Static_assert(sizeof(struct state) % 8 == 0 && sizeof(struct state) <= EXPLORE_MAX_BYTES, "a state is whole words");

#define X(id, name) static const char step_##id[] = name;
BLOCK_STEPS(X)
#undef X

/* ------------------------------------------------------------------ small things */

static uint8_t idx(uint32_t i)
{
	return (uint8_t)(i % INDICES);
}

/* How far @a is ahead of @b. */
static uint8_t ahead(uint32_t a, uint32_t b)
{
	return idx(a - b);
}

static const char *script_of(const struct block_config *c, const struct state *s)
{
	return c->scripts[s->script];
}

static char op_of(const struct block_config *c, const struct state *s, uint32_t req)
{
	return script_of(c, s)[req];
}

static bool is_read(char op)
{
	return op >= 'a';
}

static uint32_t register_of(char op)
{
	return op == 'P' ? REGISTERS : (uint32_t)(is_read(op) ? op - 'a' : op - 'A');
}

static bool overlap(char a, char b)
{
	return register_of(a) == register_of(b) && !(is_read(a) && is_read(b));
}

static uint8_t all_of(const struct block_config *c, const struct state *s)
{
	return (uint8_t)((1u << strlen(script_of(c, s))) - 1);
}

static uint8_t *entry(const struct block_config *c, struct state *s, uint32_t i)
{
	return &s->ent[i % c->nr_ents];
}

/* ------------------------------------------------------------------ is the history one of a disk? */

struct history {
	const struct block_config *c;
	const struct state *s;
	uint32_t reg;
	bool to_the_end;
};

/*
 * Is there an order of the requests on this register that a disk could have executed one by one, in which no request
 * comes before one that was answered before it was placed?  @did: those ordered so far, which left @value.
 */
static bool can_order(const struct history *h, uint32_t did, uint8_t value)
{
	uint32_t missing = 0;

	for (uint32_t k = 0; k < h->s->nr_placed; k++) {
		char op = op_of(h->c, h->s, k);
		bool answered = h->s->answered >> k & 1, failed = h->s->failed >> k & 1;
		uint32_t bit = 1u << k;

		if (register_of(op) != h->reg || (did & bit) || (is_read(op) && (!answered || failed)))
			continue;
		missing |= answered && !failed ? bit : 0; /* any other may have happened, or not */
		if ((h->s->before[k] & ~did & ~h->s->failed) != 0)
			continue;
		if (is_read(op) && h->s->seen[k] != value)
			continue;
		/* One that failed and has not happened by now, does not: its answer was there before this one was asked. */
		if (can_order(h, did | bit | h->s->before[k], is_read(op) ? value : (uint8_t)(k + 1)))
			return true;
	}
	return missing == 0 && (!h->to_the_end || value == h->s->reg[h->reg]);
}

static bool history_is_good(const struct block_config *c, const struct state *s, bool to_the_end)
{
	struct history h = { c, s, 0, to_the_end };

	for (; h.reg < REGISTERS; h.reg++)
		if (!can_order(&h, 0, 0))
			return false;
	return true;
}

/* ------------------------------------------------------------------ the end of a step */

static void go(struct explorer *e, const struct block_config *c, const struct state *s, const char *step)
{
	if (!c->hostile && s->answered == all_of(c, s) && !history_is_good(c, s, true))
		explore_fault(e, s, step, "what is on the image now is not what was acknowledged");
	else
		explore_to(e, s, step);
}

/* ------------------------------------------------------------------ the front end */

/* Nobody looks at a slot before req_prod says so: both stores are one step.  The event is another. */
static void front_place(struct explorer *e, const struct block_config *c, struct state s)
{
	uint8_t k = s.nr_placed, at = idx(INDEX_0 + k);
	char op;

	if (s.kick_due) {
		if (s.req_event == s.req_prod && s.pc != DOWN)
			s.to_back = 1;
		s.kick_due = 0;
		go(e, c, &s, "front: kick");
		return;
	}
	if (k == strlen(script_of(c, &s)) || ahead(at, s.rsp_cons) >= c->nr_ents)
		return;
	op = op_of(c, &s, k);
	*entry(c, &s, at) = (uint8_t)(ENT_REQ | k);
	for (uint32_t i = 0; i < k; i++)
		if ((s.answered >> i & 1) && register_of(op_of(c, &s, i)) == register_of(op))
			s.before[k] |= (uint8_t)(1u << i);
	s.req_prod = idx(at + 1u);
	s.nr_placed++;
	s.kick_due = 1;
	go(e, c, &s, "front: place");
}

static void front_take(struct explorer *e, const struct block_config *c, struct state s)
{
	uint8_t *ent = entry(c, &s, s.rsp_cons);
	uint32_t k = *ent & 0xfu, kind = *ent & 0xf0u;
	const char *why = NULL;

	if (ahead(s.rsp_prod, s.rsp_cons) > ahead(s.req_prod, s.rsp_cons))
		why = "more answers than requests";
	else if (kind == ENT_HALF)
		why = "half an answer";
	else if (kind != ENT_RSP && kind != ENT_ERR)
		why = "no answer where there is to be one";
	else if (s.answered >> k & 1)
		why = "a request is answered twice";
	else if (kind == ENT_ERR && !strchr(script_of(c, &s), 'P') && !c->blame)
		why = "an error for a request that did no harm";
	if (why) {
		explore_fault(e, &s, "front: answer", why);
		return;
	}
	s.answered |= (uint8_t)(1u << k);
	s.failed |= (uint8_t)(kind == ENT_ERR ? 1u << k : 0);
	s.rsp_cons = idx(s.rsp_cons + 1u);
	*ent = ENT_NOTHING; /* in truth it stays, and nobody asks for it again */
	if (!history_is_good(c, &s, false))
		explore_fault(e, &s, "front: answer", "a read saw what no disk would have shown");
	else
		go(e, c, &s, "front: answer");
}

static void front_steps(struct explorer *e, const struct block_config *c, const struct state *old)
{
	struct state s = *old;

	front_place(e, c, s);
	switch (s.front) {
	case ASLEEP:
		if (!s.to_front)
			return;
		s.to_front = 0;
		s.front = AWAKE;
		go(e, c, &s, "front: wake");
		break;
	case AWAKE:
		if (s.rsp_prod != s.rsp_cons) {
			front_take(e, c, s);
			return;
		}
		s.rsp_event = idx(s.rsp_cons + 1u);
		s.front = ARMED;
		go(e, c, &s, "front: rsp_event");
		break;
	default:
		s.front = s.rsp_prod != s.rsp_cons ? AWAKE : ASLEEP;
		go(e, c, &s, "front: look again");
		break;
	}
}

/* It writes what it likes where the back end reads; its requests are of no interest. */
static void hostile_steps(struct explorer *e, const struct block_config *c, const struct state *old)
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

/* ------------------------------------------------------------------ the image */

static void execute(const struct block_config *c, struct state *s, uint32_t req)
{
	char op = op_of(c, s, req);

	if (register_of(op) >= REGISTERS)
		return;
	if (is_read(op))
		s->seen[req] = s->reg[register_of(op)];
	else
		s->reg[register_of(op)] = (uint8_t)(req + 1);
}

static void image_steps(struct explorer *e, const struct block_config *c, const struct state *old)
{
	for (uint32_t i = 0; i < c->nr_ents; i++) {
		struct state s = *old;

		if (s.io[i] != SENT)
			continue;
		if (!c->hostile)
			execute(c, &s, s.slot[i].req);
		s.io[i] = EXECUTED;
		go(e, c, &s, "image: execute");
	}
	for (uint32_t k = 0; k < MAX_REQS; k++) {
		struct state s = *old;

		if (!(s.stale >> k & 1))
			continue;
		s.stale &= (uint8_t) ~(1u << k);
		go(e, c, &s, "image: late one lost");
		execute(c, &s, k);
		go(e, c, &s, "image: late one done");
	}
}

/* ------------------------------------------------------------------ the back end dies */

static void die(const struct block_config *c, struct state *s, bool guilty)
{
	for (uint32_t i = 0; i < c->nr_ents; i++) {
		if (s->io[i] == SENT && !c->hostile)
			s->stale |= (uint8_t)(1u << s->slot[i].req);
		s->io[i] = NOT_SENT;
	}
	if (c->flags & BLOCK_NO_JOURNAL) {
		memset(s->slot, 0, sizeof(s->slot));
		s->req_cons = s->rsp_base = 0;
	}
	s->pc = DOWN;
	s->arg = s->rsp_prod_pvt = s->published = s->batch = s->due = 0;
	s->to_back = 0; /* nobody listens: it is lost */
	s->blame = guilty;
}

static void kill_step(struct explorer *e, const struct block_config *c, const struct state *old)
{
	struct state s = *old;

	if (s.pc == DOWN || s.pc == BROKEN || s.crashes == c->crashes)
		return;
	s.crashes++;
	die(c, &s, c->blame);
	if (!c->hostile && s.answered == all_of(c, &s) && !history_is_good(c, &s, true))
		explore_fault(e, &s, "kill", "what is on the image now is not what was acknowledged");
	else
		explore_kill(e, &s, "kill");
}

/* ------------------------------------------------------------------ the back end: what its journal holds */

/* Taken: INFLIGHT or DONE, and req_cons says so. */
static bool taken(const struct block_config *c, const struct state *s, const struct slot *t)
{
	return (c->flags & BLOCK_CONS_FIRST) || t->ring_idx != s->req_cons;
}

static int find_free(const struct block_config *c, const struct state *s)
{
	for (int i = 0; i < c->nr_ents; i++)
		if (s->slot[i].state == FREE)
			return i;
	return -1;
}

/* The answer that belongs at @at, or -1. */
static int find_done(const struct block_config *c, const struct state *s, uint8_t at)
{
	for (int i = 0; i < c->nr_ents; i++)
		if (s->slot[i].state == DONE && s->slot[i].rsp_idx == at)
			return i;
	return -1;
}

/*
 * The age of a request: when it was taken, among all (the code has a sequence number).  It says nothing that the oldest
 * is more than a ring behind req_cons: others may have come and gone at the indices after it.
 */
static uint32_t age(const struct slot *t)
{
	return ahead(t->ring_idx, INDEX_0);
}

/* The oldest in flight of those that are not older than @from; -1: none. */
static int find_inflight(const struct block_config *c, const struct state *s, uint32_t from)
{
	int best = -1;

	for (int i = 0; i < c->nr_ents; i++)
		if (s->slot[i].state == INFLIGHT && age(&s->slot[i]) >= from &&
		    (best < 0 || age(&s->slot[i]) < age(&s->slot[best])))
			best = i;
	return best;
}

/* Is an older one in flight that touches the same? */
static bool must_wait(const struct block_config *c, const struct state *s, int i)
{
	const struct slot *t = &s->slot[i];

	if (c->hostile || (c->flags & BLOCK_NO_OVERLAP))
		return false;
	for (int j = 0; j < c->nr_ents; j++) {
		const struct slot *o = &s->slot[j];

		if (j == i || o->state != INFLIGHT || !overlap(op_of(c, s, o->req), op_of(c, s, t->req)))
			continue;
		if (age(o) < age(t) && (!(c->flags & BLOCK_EARLY_OVERLAP) || s->io[j] != EXECUTED))
			return true;
	}
	return false;
}

/* Hand a request to the image.  False: it killed us. */
static bool submit(const struct block_config *c, struct state *s, int i)
{
	if (!c->hostile && op_of(c, s, s->slot[i].req) == 'P')
		return false;
	s->io[i] = SENT;
	return true;
}

/* ------------------------------------------------------------------ the back end recovers */

static bool published(const struct state *s, const struct slot *t)
{
	return ahead(t->rsp_idx, s->rsp_base) < ahead(s->published, s->rsp_base);
}

/* The checks of a ring and a journal that a stranger may have written. */
static bool plausible(const struct block_config *c, const struct state *s)
{
	uint32_t live = 0, waiting = 0;

	if (c->flags & BLOCK_NO_BOUNDS)
		return true;
	if (ahead(s->rsp_prod, s->rsp_base) > c->nr_ents || ahead(s->req_cons, s->rsp_prod) > c->nr_ents ||
	    ahead(s->req_prod, s->rsp_prod) > c->nr_ents || ahead(s->req_prod, s->req_cons) > c->nr_ents)
		return false;
	if (c->flags & (BLOCK_NO_COUNT | BLOCK_NO_RSP_IDX | BLOCK_CONS_FIRST | BLOCK_FREE_FIRST | BLOCK_PUBLISH_FIRST))
		return true;
	for (uint32_t i = 0; i < c->nr_ents; i++) {
		const struct slot *t = &s->slot[i];

		if (t->state == DONE && ahead(t->rsp_idx, s->rsp_base) >= c->nr_ents)
			return false;
		live += t->state == INFLIGHT && taken(c, s, t);
		waiting += t->state == DONE && !published(s, t);
	}
	for (uint32_t n = 0; n < waiting; n++)
		if (find_done(c, s, idx(s->published + n)) < 0)
			return false;
	return live + waiting == ahead(s->req_cons, s->rsp_prod);
}

/* What a successor does with this slot before anything else: -1 nothing. */
static bool is_over(const struct block_config *c, const struct state *s, const struct slot *t)
{
	if (t->state == INFLIGHT)
		return !taken(c, s, t);
	return t->state == DONE && !(c->flags & (BLOCK_NO_RSP_IDX | BLOCK_KEEP_DONE)) && published(s, t);
}

/* The answer to write as the @n-th: by its index, or, where the journal does not know it, in the order of the ring. */
static int to_rewrite(const struct block_config *c, const struct state *s, uint32_t n)
{
	uint32_t from = c->flags & BLOCK_KEEP_DONE ? s->rsp_base : s->published;
	uint32_t seen = 0;

	if (!(c->flags & BLOCK_NO_RSP_IDX))
		return find_done(c, s, idx(from + n));
	for (uint32_t at = 0; at < INDICES; at++)
		for (int i = 0; i < c->nr_ents; i++)
			if (s->slot[i].state == DONE && age(&s->slot[i]) == at && seen++ == n)
				return i;
	return -1;
}

static uint8_t answer_of(const struct slot *t)
{
	return (uint8_t)((t->failed ? ENT_ERR : ENT_RSP) | t->req);
}

/* On to the next thing that recovery has to do. */
static void recover_on(const struct block_config *c, struct state *s)
{
	if (s->pc == RECOVER_FREE) {
		for (; s->arg < c->nr_ents; s->arg++)
			if (is_over(c, s, &s->slot[s->arg]))
				return;
		s->pc = RECOVER_REWRITE;
		s->arg = 0;
	}
	if (s->pc == RECOVER_REWRITE) {
		if (to_rewrite(c, s, s->arg / 2u) >= 0)
			return;
		s->batch = s->arg / 2u;
		s->arg = 0;
		s->pc = s->batch ? RECOVER_PUBLISH : RECOVER_ATTEMPT;
	}
	if (s->pc == RECOVER_FREE_REST) {
		for (; s->arg < c->nr_ents; s->arg++)
			if (s->slot[s->arg].state == DONE)
				return;
		s->pc = RECOVER_ATTEMPT;
		s->arg = s->batch = 0;
	}
	if (s->pc == RECOVER_ATTEMPT) {
		int i = find_inflight(c, s, s->arg);

		if (i >= 0) {
			s->arg = (uint8_t)age(&s->slot[i]);
			if (!s->blame || (c->flags & (BLOCK_NO_ATTEMPTS | BLOCK_LATE_ATTEMPTS)))
				s->pc = RECOVER_RESUBMIT;
			return;
		}
		s->arg = 0;
		s->blame = 0;
		s->pc = RECOVER_NOTIFY;
		if (c->flags & BLOCK_NO_NOTIFY)
			s->pc = RUN;
	}
}

/* Without a journal: all that is known is the ring, and the one record. */
static void attach(struct explorer *e, const struct block_config *c, struct state s)
{
	s.rsp_prod_pvt = s.published = s.req_cons = s.rsp_prod;
	if ((c->flags & BLOCK_REDO) && s.redo_full && s.redo_idx == s.rsp_prod) {
		s.req_cons = idx(s.req_cons + 1u);
		s.rsp_prod_pvt = s.req_cons;
		s.slot[0] = (struct slot){
			.state = DONE, .req = s.redo_req, .rsp_idx = s.redo_idx, .failed = s.redo_failed
		};
		s.batch = 1;
		s.pc = COMPLETE_WRITE;
	} else {
		s.pc = RECOVER_NOTIFY;
	}
	go(e, c, &s, "attach");
}

static void recover_start(struct explorer *e, const struct block_config *c, struct state s)
{
	if (s.stale && !(c->flags & BLOCK_NO_FENCE))
		return; /* the fence */
	if (c->flags & BLOCK_NO_JOURNAL) {
		attach(e, c, s);
		return;
	}
	s.rsp_prod_pvt = s.published = s.rsp_prod;
	if (!plausible(c, &s)) {
		s.pc = BROKEN;
		if (c->hostile)
			explore_to(e, &s, step_recover_validate);
		else
			explore_fault(e, &s, step_recover_validate, "an honest guest's ring is refused");
		return;
	}
	s.pc = RECOVER_FREE;
	recover_on(c, &s);
	go(e, c, &s, step_recover_validate);
}

static void recover_attempt(struct explorer *e, const struct block_config *c, struct state s)
{
	int i = find_inflight(c, &s, s.arg);

	if (s.slot[i].attempts <= TRIES)
		s.slot[i].attempts++;
	s.pc = RECOVER_RESUBMIT;
	go(e, c, &s, step_recover_attempt);
}

static void recover_resubmit(struct explorer *e, const struct block_config *c, struct state s)
{
	int i = find_inflight(c, &s, s.arg);

	if (s.slot[i].attempts > TRIES) {
		s.io[i] = REFUSED;
	} else if (!must_wait(c, &s, i) && !submit(c, &s, i)) {
		die(c, &s, true);
		go(e, c, &s, "it kills");
		return;
	}
	if ((c->flags & BLOCK_LATE_ATTEMPTS) && s.blame && s.slot[i].attempts <= TRIES)
		s.slot[i].attempts++;
	s.pc = RECOVER_ATTEMPT;
	s.arg++;
	recover_on(c, &s);
	go(e, c, &s, step_recover_resubmit);
}

static void recover_steps(struct explorer *e, const struct block_config *c, const struct state *old)
{
	struct state s = *old;
	const struct slot *t;

	switch (s.pc) {
	case DOWN:
		recover_start(e, c, s);
		return;
	case RECOVER_FREE:
	case RECOVER_FREE_REST:
		s.slot[s.arg] = (struct slot){ 0 };
		recover_on(c, &s);
		go(e, c, &s, step_recover_free);
		return;
	case RECOVER_REWRITE:
		t = &s.slot[to_rewrite(c, &s, s.arg / 2u)];
		if (s.arg / 2u >= c->nr_ents) {
			explore_fault(e, &s, step_recover_rewrite, "more answers are written than a ring holds");
			return;
		}
		*entry(c, &s, s.published + s.arg / 2u) = s.arg % 2 ? answer_of(t) : (uint8_t)(ENT_HALF | t->req);
		s.arg++;
		recover_on(c, &s);
		go(e, c, &s, step_recover_rewrite);
		return;
	case RECOVER_PUBLISH:
		s.rsp_prod = s.rsp_prod_pvt = idx(s.published + s.batch);
		s.pc = RECOVER_FREE_REST;
		s.published = s.rsp_prod;
		recover_on(c, &s);
		go(e, c, &s, step_recover_publish);
		return;
	case RECOVER_ATTEMPT:
		recover_attempt(e, c, s);
		return;
	case RECOVER_RESUBMIT:
		recover_resubmit(e, c, s);
		return;
	case RECOVER_NOTIFY:
		s.to_front = 1;
		s.pc = RUN;
		go(e, c, &s, step_recover_notify);
		return;
	default:
		return;
	}
}

/* ------------------------------------------------------------------ the back end takes */

/* Requests waiting, or -1 when the indices cannot be true. */
static int pending(const struct block_config *c, const struct state *s)
{
	if (ahead(s->req_prod, s->rsp_prod_pvt) > c->nr_ents || ahead(s->req_prod, s->req_cons) > c->nr_ents)
		return -1;
	return ahead(s->req_prod, s->req_cons);
}

static void take(struct explorer *e, const struct block_config *c, struct state s)
{
	int i = find_free(c, &s);
	uint8_t ent = *entry(c, &s, s.req_cons);

	if (c->hostile)
		ent = ENT_REQ;
	if (i < 0 && c->hostile)
		return; /* it lied while answers were waiting to be published; later */
	if (i < 0) {
		explore_fault(e, &s, step_take_copy, "the ring has room and the journal has none");
		return;
	}
	if ((ent & 0xf0u) != ENT_REQ) {
		explore_fault(e, &s, step_take_copy, "a request was overwritten before it was taken");
		return;
	}
	if (s.answered >> (ent & 0xfu) & 1) {
		explore_fault(e, &s, step_take_copy, "an answered request is taken");
		return;
	}
	if (c->flags & BLOCK_CONS_FIRST) {
		s.arg = ent & 0xfu;
		s.req_cons = idx(s.req_cons + 1u);
		s.pc = TAKE_COPY;
		go(e, c, &s, step_take_cons);
		return;
	}
	s.slot[i].req = ent & 0xfu;
	s.slot[i].ring_idx = s.req_cons;
	s.arg = (uint8_t)i;
	s.pc = TAKE_INFLIGHT;
	go(e, c, &s, step_take_copy);
}

static void take_steps(struct explorer *e, const struct block_config *c, struct state s)
{
	int i;

	switch (s.pc) {
	case TAKE_COPY: /* req_cons is ahead already */
		i = find_free(c, &s);
		s.slot[i].req = s.arg;
		s.slot[i].ring_idx = idx(s.req_cons - 1u);
		s.arg = (uint8_t)i;
		s.pc = TAKE_INFLIGHT;
		go(e, c, &s, step_take_copy);
		return;
	case TAKE_INFLIGHT:
		s.slot[s.arg].state = INFLIGHT;
		s.pc = TAKE_CONS;
		if (c->flags & BLOCK_CONS_FIRST) {
			s.pc = RUN;
			s.arg = 0;
		}
		go(e, c, &s, step_take_inflight);
		return;
	default:
		s.req_cons = idx(s.req_cons + 1u);
		s.pc = RUN;
		s.arg = 0;
		go(e, c, &s, step_take_cons);
		return;
	}
}

/* ------------------------------------------------------------------ the back end completes */

static void complete_base(struct explorer *e, const struct block_config *c, struct state s, uint32_t i)
{
	s.arg = (uint8_t)i;
	s.pc = COMPLETE_DONE;
	if (s.batch == 0) {
		s.rsp_base = s.rsp_prod_pvt;
		go(e, c, &s, step_complete_base);
		return;
	}
	go(e, c, &s, "next of the batch");
}

static void complete_done(struct explorer *e, const struct block_config *c, struct state s)
{
	struct slot *t = &s.slot[s.arg];

	if (s.rsp_prod_pvt == s.req_cons) {
		explore_fault(e, &s, step_complete_done, "an answer at an index of which nothing was taken");
		return;
	}
	t->failed = s.io[s.arg] == REFUSED;
	t->rsp_idx = s.rsp_prod_pvt;
	t->attempts = 0;
	t->state = DONE;
	s.rsp_prod_pvt = idx(s.rsp_prod_pvt + 1u);
	if (c->flags & BLOCK_REDO) {
		s.redo_full = 1;
		s.redo_idx = t->rsp_idx;
		s.redo_req = t->req;
		s.redo_failed = t->failed;
	}
	s.io[s.arg] = NOT_SENT;
	s.batch++;
	s.arg = 0;
	s.pc = RUN;
	if (s.batch == c->batch)
		s.pc = c->flags & BLOCK_PUBLISH_FIRST ? COMPLETE_PUBLISH : COMPLETE_WRITE;
	go(e, c, &s, step_complete_done);
}

static void complete_write(struct explorer *e, const struct block_config *c, struct state s)
{
	uint8_t at = idx(s.published + s.arg / 2u);
	int i = find_done(c, &s, at);
	const struct slot *t = &s.slot[i < 0 ? 0 : i];

	if (i < 0) {
		explore_fault(e, &s, step_complete_write, "an answer that is due is not in the journal");
		return;
	}
	*entry(c, &s, at) = s.arg % 2 ? answer_of(t) : (uint8_t)(ENT_HALF | t->req);
	if (++s.arg == 2 * s.batch) {
		s.arg = 0;
		s.pc = c->flags & BLOCK_FREE_FIRST ? COMPLETE_FREE : COMPLETE_PUBLISH;
		if (c->flags & BLOCK_PUBLISH_FIRST)
			s.pc = LOOK;
	}
	go(e, c, &s, step_complete_write);
}

/* The next one of the batch to free: those DONE, as no batch is begun before this one is over. */
static void free_on(const struct block_config *c, struct state *s)
{
	for (; s->arg < c->nr_ents; s->arg++)
		if (s->slot[s->arg].state == DONE)
			return;
	s->arg = 0;
	if (c->flags & BLOCK_FREE_FIRST) {
		s->pc = COMPLETE_PUBLISH;
		return;
	}
	s->batch = 0;
	s->pc = s->due ? NOTIFY : RUN;
}

static void complete_steps(struct explorer *e, const struct block_config *c, struct state s)
{
	switch (s.pc) {
	case COMPLETE_DONE:
		complete_done(e, c, s);
		return;
	case COMPLETE_WRITE:
		complete_write(e, c, s);
		return;
	case COMPLETE_PUBLISH:
		s.rsp_prod = s.rsp_prod_pvt;
		s.pc = LOOK;
		if (c->flags & BLOCK_PUBLISH_FIRST)
			s.pc = COMPLETE_WRITE;
		else
			s.published = s.rsp_prod_pvt;
		go(e, c, &s, step_complete_publish);
		return;
	case LOOK: /* did they ask to be told? */
		s.due = ahead(s.rsp_prod_pvt, s.rsp_event) < s.batch;
		s.published = s.rsp_prod_pvt;
		s.pc = COMPLETE_FREE;
		if (c->flags & BLOCK_FREE_FIRST) {
			s.batch = 0;
			s.pc = s.due ? NOTIFY : RUN;
		} else {
			free_on(c, &s);
		}
		go(e, c, &s, "look at rsp_event");
		return;
	case COMPLETE_FREE:
		s.slot[s.arg] = (struct slot){ 0 };
		free_on(c, &s);
		go(e, c, &s, step_complete_free);
		return;
	default:
		s.to_front = 1;
		s.due = 0;
		s.pc = RUN;
		go(e, c, &s, "notify");
		return;
	}
}

/* ------------------------------------------------------------------ the back end's loop */

/* Whatever may start, starts at once; true: something did. */
static bool start_one(struct explorer *e, const struct block_config *c, const struct state *old)
{
	for (int i = 0; i < c->nr_ents; i++) {
		struct state s = *old;

		if (s.slot[i].state != INFLIGHT || s.io[i] != NOT_SENT || must_wait(c, &s, i))
			continue;
		if (!submit(c, &s, i)) {
			die(c, &s, true);
			go(e, c, &s, "it kills");
		} else {
			go(e, c, &s, "submit");
		}
		return true;
	}
	return false;
}

static void close_batch(struct explorer *e, const struct block_config *c, struct state s)
{
	s.pc = c->flags & BLOCK_PUBLISH_FIRST ? COMPLETE_PUBLISH : COMPLETE_WRITE;
	go(e, c, &s, "the batch is full");
}

static void run(struct explorer *e, const struct block_config *c, const struct state *old)
{
	struct state s = *old;
	int waiting = pending(c, &s);
	bool busy = s.batch > 0;

	if (waiting < 0) {
		s.pc = BROKEN;
		if (c->hostile)
			explore_to(e, &s, "refuse");
		else
			explore_fault(e, &s, "refuse", "an honest guest's ring is refused");
		return;
	}
	if (start_one(e, c, &s))
		return;
	if (waiting > 0)
		take(e, c, s);
	for (uint32_t i = 0; i < c->nr_ents; i++) {
		if (s.slot[i].state != INFLIGHT || (s.io[i] != EXECUTED && s.io[i] != REFUSED))
			continue;
		if ((c->flags & BLOCK_IN_ORDER) && s.slot[i].ring_idx != s.rsp_prod_pvt)
			continue;
		busy = true;
		complete_base(e, c, s, i);
	}
	if (s.batch > 0)
		close_batch(e, c, s);
	if (!busy && waiting == 0) {
		s.req_event = idx(s.req_cons + 1u);
		s.pc = RECHECK;
		go(e, c, &s, "req_event");
	}
}

static void idle_steps(struct explorer *e, const struct block_config *c, struct state s)
{
	bool done = false;

	if (s.pc == RECHECK) {
		s.pc = s.req_prod != s.req_cons ? RUN : SLEEP;
		go(e, c, &s, "look again");
		return;
	}
	for (uint32_t i = 0; i < c->nr_ents; i++)
		done = done || s.io[i] == EXECUTED;
	if (!done && !s.to_back)
		return;
	s.to_back = 0;
	s.pc = RUN;
	go(e, c, &s, "wake");
}

static void back_steps(struct explorer *e, const struct block_config *c, const struct state *s)
{
	switch (s->pc) {
	case RUN:
		run(e, c, s);
		break;
	case TAKE_COPY:
	case TAKE_INFLIGHT:
	case TAKE_CONS:
		take_steps(e, c, *s);
		break;
	case COMPLETE_DONE:
	case COMPLETE_WRITE:
	case COMPLETE_PUBLISH:
	case LOOK:
	case COMPLETE_FREE:
	case NOTIFY:
		complete_steps(e, c, *s);
		break;
	case RECHECK:
	case SLEEP:
		idle_steps(e, c, *s);
		break;
	default:
		recover_steps(e, c, s);
		break;
	}
}

/* ------------------------------------------------------------------ the model */

static void block_start(struct explorer *e, const void *config)
{
	const struct block_config *c = config;

	for (uint8_t i = 0; c->scripts[i]; i++) {
		struct state s = { .script = i, .pc = RUN };

		s.req_prod = s.rsp_prod = s.rsp_cons = s.req_cons = s.rsp_base = s.rsp_prod_pvt = s.published = INDEX_0;
		s.req_event = s.rsp_event = idx(INDEX_0 + 1u);
		if (c->hostile) /* both are busy when the lies begin */
			s.req_prod = idx(INDEX_0 + c->nr_ents);
		explore_to(e, &s, script_of(c, &s));
	}
}

static void block_next(struct explorer *e, const void *config, const void *state)
{
	const struct block_config *c = config;
	const struct state *s = state;

	if (c->hostile)
		hostile_steps(e, c, s);
	else
		front_steps(e, c, s);
	image_steps(e, c, s);
	back_steps(e, c, s);
	kill_step(e, c, s);
}

static bool block_ended(const void *config, const void *state)
{
	const struct state *s = state;

	return ((const struct block_config *)config)->hostile || s->answered == all_of(config, s);
}

static void block_show(FILE *to, const void *config, const void *state)
{
	static const char *const ents[] = { "--", "q", "h", "a", "e" };
	static const char slots[] = ".id";
	const struct block_config *c = config;
	const struct state *s = state;

	fprintf(to, "req %2u rsp %2u ring", s->req_prod, s->rsp_prod);
	for (uint32_t i = 0; i < c->nr_ents; i++)
		if (s->ent[i] == ENT_NOTHING)
			fputs(" --", to);
		else
			fprintf(to, " %s%u", ents[s->ent[i] >> 4], s->ent[i] & 0xfu);
	fprintf(to, " | journal cons %2u base %2u", s->req_cons, s->rsp_base);
	for (uint32_t i = 0; i < c->nr_ents; i++) {
		const struct slot *t = &s->slot[i];

		fprintf(to, " %c", slots[t->state]);
		if (t->state != FREE)
			fprintf(to, "%u@%u", t->req, t->state == DONE ? t->rsp_idx : t->ring_idx);
	}
	fprintf(to, " | image");
	for (uint32_t i = 0; i < REGISTERS; i++)
		fprintf(to, " %d", s->reg[i] - 1);
	if (s->stale)
		fprintf(to, " late %x", s->stale);
	fprintf(to, " | answered");
	for (uint32_t k = 0; k < MAX_REQS; k++)
		if (s->answered >> k & 1) {
			fprintf(to, " %u", k);
			if (!c->hostile && is_read(op_of(c, s, k)))
				fprintf(to, "=%d", s->seen[k] - 1);
		}
}

const struct model block_model = { sizeof(struct state), block_start, block_next, block_ended, block_show };

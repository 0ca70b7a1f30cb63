/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rings.c - several rings of one disk, and requests which overlap across them.
 *
 * What the stores of a ring and its journal do is block.c's; here a request is taken, claims its range, goes to the image, and is
 * answered, each at once.  A ring begins its requests in order: one that finds its range claimed waits, and all behind it.
 *
 * One that kills who serves it does so when it is submitted.  A kill from outside may come at any time, and counts against no request.
 */
#include "tests/model/model.h"

#define MAX_RINGS    3u
#define MAX_REQUESTS 6u
#define TRIES        2u /* of successors: then it is answered with an error */

enum stage {
	QUEUED,  /* in the ring */
	TAKEN,   /* in the journal */
	WAITS,   /* a discard that is published: what overlaps waits for it, and it for what is claimed */
	HELD,    /* its range is claimed */
	SENT,    /* with the image */
	ANSWERED /* and the claim is released */
};

struct state {
	uint8_t stage[MAX_REQUESTS];
	uint8_t marked; /* in the journal: it has claimed its range */
	uint8_t ran;    /* executed for this back end */
	uint8_t seen;   /* executed at least once, and not answered: its effect may be there */
	uint8_t late;   /* given to the image by one that is dead, and not executed yet */
	uint8_t crashes, script, down;
	uint8_t replayed;            /* taken by one that is dead, and not begun since */
	uint8_t alone;               /* one that was tried before is under way: which, and 1 */
	uint8_t blame;               /* of what was under way, for the last death */
	uint8_t tried[MAX_REQUESTS]; /* in the journal: by successors */
	uint8_t counted;             /* RINGS_COUNT_WAIT: for this replay, already */
	uint8_t pad;
};
_Static_assert(sizeof(struct state) % 8 == 0 && sizeof(struct state) <= EXPLORE_MAX_BYTES, "a state is whole words");

struct request {
	uint8_t ring, range; /* a bit a sector */
	char kind;
};

/* "w7/w1r4": in the first ring a write to sectors 0 to 2, in the second one to sector 0 and a read of sector 2.  d: a discard, p: a write that kills. */
static uint32_t requests_of(const char *script, struct request r[MAX_REQUESTS])
{
	uint32_t nr = 0;
	uint8_t ring = 0;

	for (; *script; script++)
		if (*script == '/') {
			ring++;
		} else {
			r[nr++] = (struct request){ ring, (uint8_t)(script[1] - '0'), *script };
			script++;
		}
	return nr;
}

struct here {
	struct explorer *e;
	const struct rings_config *c;
	struct request r[MAX_REQUESTS];
	uint32_t nr;
};

static struct here here(struct explorer *e, const struct rings_config *c, const struct state *s)
{
	struct here h = { .e = e, .c = c };

	h.nr = requests_of(c->scripts[s->script], h.r);
	return h;
}

static bool overlap(const struct request *a, const struct request *b)
{
	return (a->range & b->range) && (a->kind != 'r' || b->kind != 'r');
}

static bool claimed(const struct state *s, uint32_t i)
{
	return s->stage[i] == HELD || s->stage[i] == SENT;
}

static bool published(const struct here *h, const struct state *s, uint32_t i)
{
	return h->r[i].kind == 'd' && (s->stage[i] == WAITS || claimed(s, i));
}

static bool in_the_way(const struct here *h, const struct state *s, uint32_t i)
{
	for (uint32_t k = 0; k < h->nr; k++)
		if (k != i && (claimed(s, k) || published(h, s, k)) && overlap(&h->r[k], &h->r[i]))
			return true;
	return false;
}

static bool discard_in_the_way(const struct here *h, const struct state *s, uint32_t i)
{
	for (uint32_t k = 0; k < h->nr; k++)
		if (k != i && published(h, s, k) && overlap(&h->r[k], &h->r[i]))
			return true;
	return false;
}

/* Of its ring, the first that has not begun. */
static bool next_to_begin(const struct here *h, const struct state *s, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++)
		if (h->r[k].ring == h->r[i].ring && s->stage[k] < SENT)
			return false;
	return true;
}

/* The image does @i.  No other may see or undo what is not answered: it may be done once more. */
static void execute(const struct here *h, struct state s, uint32_t i, const char *step)
{
	for (uint32_t k = 0; k < h->nr; k++)
		if (!h->c->only_ends && k != i && (s.seen >> k & 1) && overlap(&h->r[k], &h->r[i])) {
			explore_fault(h->e, &s, step,
				      "executed between another's execution and its answer, and they overlap");
			return;
		}
	s.seen |= (uint8_t)(1u << i);
	s.late &= (uint8_t) ~(1u << i);
	if (!s.down)
		s.ran |= (uint8_t)(1u << i);
	explore_to(h->e, &s, step);
}

static void answered(struct state *s, uint32_t i)
{
	uint8_t others = (uint8_t) ~(1u << i);

	s->stage[i] = ANSWERED;
	s->marked &= others;
	s->ran &= others;
	s->seen &= others;
	s->replayed &= others;
	s->tried[i] = 0;
	if (s->alone == i + 1)
		s->alone = 0;
}

static void die(const struct here *h, struct state s, bool blame)
{
	s.down = 1;
	s.blame = blame;
	for (uint32_t i = 0; i < h->nr; i++) {
		if (s.stage[i] == SENT && !(s.ran >> i & 1) && h->r[i].kind != 'p')
			s.late |= (uint8_t)(1u << i);
		if (claimed(&s, i) || s.stage[i] == WAITS)
			s.stage[i] = TAKEN;
	}
	s.ran = s.alone = s.replayed = s.counted = 0;
	if (blame)
		explore_to(h->e, &s, "dies of it");
	else
		explore_kill(h->e, &s, "killed");
}

static bool sent_in_ring(const struct here *h, const struct state *s, uint8_t ring)
{
	for (uint32_t k = 0; k < h->nr; k++)
		if (h->r[k].ring == ring && s->stage[k] == SENT)
			return true;
	return false;
}

/* A successor begins it again, if it may; from now on that counts. */
static bool replay(const struct here *h, struct state *s, uint32_t i)
{
	uint8_t bit = (uint8_t)(1u << i);
	bool again = s->tried[i] > (h->c->flags & RINGS_COUNT_WAIT ? 1 : 0);

	if (again && sent_in_ring(h, s, h->r[i].ring))
		return false;
	if (again && !(h->c->flags & RINGS_OWN_ALONE))
		s->alone = (uint8_t)(i + 1);
	if (!(h->c->flags & RINGS_COUNT_WAIT))
		s->tried[i]++;
	s->replayed &= (uint8_t)~bit;
	return true;
}

static void submit(const struct here *h, struct state s, uint32_t i)
{
	bool again = s.replayed >> i & 1;

	if (s.alone && (again || !(h->c->flags & RINGS_ALONE_LATE)))
		return;
	if (again && !replay(h, &s, i))
		return;
	s.stage[i] = SENT;
	if (h->r[i].kind == 'p')
		die(h, s, true);
	else
		explore_to(h->e, &s, "submit");
}

/* Its turn has come to be begun again.  True: that was a step. */
static bool judge(const struct here *h, struct state s, uint32_t i)
{
	uint8_t bit = (uint8_t)(1u << i);

	if (!(s.replayed & bit) || !next_to_begin(h, &s, i))
		return false;
	if (s.tried[i] >= TRIES && !(s.counted & bit)) {
		if (h->r[i].kind != 'p')
			explore_fault(h->e, &s, "error", "it gets an error, and another was what killed");
		answered(&s, i);
		explore_to(h->e, &s, "error");
		return true;
	}
	if (!(h->c->flags & RINGS_COUNT_WAIT) || (s.counted & bit))
		return false;
	s.counted |= bit;
	s.tried[i]++;
	explore_to(h->e, &s, "count");
	return true;
}

static void request_steps(const struct here *h, const struct state *old, uint32_t i)
{
	uint8_t bit = (uint8_t)(1u << i);
	struct state s = *old;
	bool marks = h->c->flags & RINGS_MARKS;

	if (judge(h, s, i))
		return;
	switch (s.stage[i]) {
	case QUEUED:
		if (!next_to_begin(h, &s, i))
			return;
		s.stage[i] = TAKEN;
		explore_to(h->e, &s, "take");
		return;
	case TAKEN:
		if (h->r[i].kind == 'd') {
			if (!next_to_begin(h, &s, i) ||
			    (!(h->c->flags & RINGS_TWO_WAIT) && discard_in_the_way(h, &s, i)))
				return;
			s.stage[i] = WAITS;
			if (h->c->flags & RINGS_MARK_WAITS)
				s.marked |= bit;
			explore_to(h->e, &s, "publish");
			return;
		}
		if (!next_to_begin(h, &s, i) || (!(h->c->flags & RINGS_NO_CLAIMS) && in_the_way(h, &s, i)))
			return;
		s.stage[i] = HELD;
		explore_to(h->e, &s, "claim");
		return;
	case WAITS:
		if (in_the_way(h, &s, i))
			return;
		s.stage[i] = HELD;
		explore_to(h->e, &s, "claim");
		return;
	case HELD:
		if (marks && !(s.marked & bit) && !(h->c->flags & RINGS_MARK_LATE)) {
			s.marked |= bit;
			explore_to(h->e, &s, "mark");
		} else if (next_to_begin(h, &s, i)) {
			submit(h, s, i);
		}
		return;
	case SENT:
		if (marks && !(s.marked & bit)) {
			s.marked |= bit;
			explore_to(h->e, &s, "mark");
			s = *old;
		}
		if (!(s.ran & bit)) {
			execute(h, s, i, "execute");
			return;
		}
		answered(&s, i);
		explore_to(h->e, &s, "answer");
		return;
	default:
		return;
	}
}

static void kill(const struct here *h, struct state s)
{
	if (s.crashes == h->c->crashes)
		return;
	s.crashes++;
	die(h, s, false);
}

/* Ring by ring, before any is served.  What the image had is done by now, or never will be. */
static void recover(const struct here *h, struct state s)
{
	bool stopped[MAX_RINGS] = { false };

	s.down = s.late = 0;
	for (uint32_t i = 0; i < h->nr; i++) {
		bool *stop = &stopped[h->r[i].ring];

		if (s.stage[i] != TAKEN)
			continue;
		s.replayed |= (uint8_t)(1u << i);
		if (!s.blame && s.tried[i] > 0)
			s.tried[i]--;
		if (h->c->flags & RINGS_MARKS) {
			if (s.marked >> i & 1)
				s.stage[i] = HELD;
		} else if (!(h->c->flags & RINGS_NO_CLAIMS) && !*stop) {
			if (!in_the_way(h, &s, i))
				s.stage[i] = HELD;
			else if (h->c->flags & RINGS_PREFIX)
				*stop = true;
		}
	}
	s.blame = 0;
	explore_to(h->e, &s, "recover");
}

static void rings_start(struct explorer *e, const void *config)
{
	const struct rings_config *c = config;

	for (uint8_t i = 0; c->scripts[i]; i++) {
		struct state s = { .script = i };

		explore_to(e, &s, c->scripts[i]);
	}
}

static void rings_next(struct explorer *e, const void *config, const void *state)
{
	const struct state *s = state;
	struct here h = here(e, config, s);

	if (s->down) {
		for (uint32_t i = 0; i < h.nr; i++)
			if (s->late >> i & 1)
				execute(&h, *s, i, "execute late");
		recover(&h, *s);
		return;
	}
	for (uint32_t i = 0; i < h.nr; i++)
		request_steps(&h, s, i);
	kill(&h, *s);
}

static bool rings_ended(const void *config, const void *state)
{
	const struct state *s = state;
	struct here h = here(NULL, config, s);

	for (uint32_t i = 0; i < h.nr; i++)
		if (s->stage[i] != ANSWERED)
			return false;
	return true;
}

static void rings_show(FILE *to, const void *config, const void *state)
{
	static const char *const stages[] = { "queued", "taken", "waits", "held", "sent", "answered" };
	const struct state *s = state;
	struct here h = here(NULL, config, s);

	fprintf(to, "%s", s->down ? "down" : "up");
	for (uint32_t i = 0; i < h.nr; i++)
		fprintf(to, " | ring %u %c%u tried %u %s%s%s%s%s", h.r[i].ring, h.r[i].kind, h.r[i].range, s->tried[i],
			stages[s->stage[i]], s->alone == i + 1 ? " alone" : "", s->marked >> i & 1 ? " marked" : "",
			s->seen >> i & 1 ? " executed" : "", s->late >> i & 1 ? " late" : "");
}

const struct model rings_model = { sizeof(struct state), rings_start, rings_next, rings_ended, rings_show };

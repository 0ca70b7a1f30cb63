/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* explore.c - see explore.h. */
#include <stdlib.h>
#include "tests/model/explore.h"

#define NONE       UINT32_MAX
#define MAX_LABELS 128u

/* How a state was first reached. */
struct origin {
	uint32_t from; /* NONE: a first state */
	uint8_t label;
};

struct explorer {
	const struct model *m;
	uint8_t *states; /* nr of m->bytes each, in the order they were found */
	struct origin *origins;
	uint32_t nr, room;
	uint32_t *table; /* open addressing: numbers of states, or NONE */
	uint32_t mask;
	uint32_t *edges; /* from, to; kills are not among them */
	uint64_t nr_edges, edge_room;
	uint64_t all_edges;
	uint32_t at;     /* the state whose successors are being told, NONE at the start */
	uint32_t faulty; /* NONE */
	const char *fault;
};

static const char *labels[MAX_LABELS];
static uint32_t nr_labels;

static void *grow(void *p, size_t bytes)
{
	p = realloc(p, bytes);
	if (!p) {
		fprintf(stderr, "model: out of memory\n");
		exit(2);
	}
	return p;
}

static uint8_t label_of(const char *step)
{
	for (uint32_t i = 0; i < nr_labels; i++)
		if (labels[i] == step || strcmp(labels[i], step) == 0)
			return (uint8_t)i;
	if (nr_labels == MAX_LABELS)
		abort();
	labels[nr_labels] = step;
	return (uint8_t)nr_labels++;
}

bool explore_took(const char *step)
{
	for (uint32_t i = 0; i < nr_labels; i++)
		if (strcmp(labels[i], step) == 0)
			return true;
	return false;
}

static uint8_t *state_at(const struct explorer *e, uint32_t i)
{
	return e->states + (size_t)i * e->m->bytes;
}

static uint32_t hash(const struct explorer *e, const void *state)
{
	const uint8_t *p = state;
	uint64_t h = 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < e->m->bytes; i += 8) {
		uint64_t w;

		memcpy(&w, p + i, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	return (uint32_t)h;
}

/* Where it stands in the table, or the free place where it belongs. */
static uint32_t *find(const struct explorer *e, const void *state)
{
	uint32_t i = hash(e, state) & e->mask;

	while (e->table[i] != NONE && memcmp(state_at(e, e->table[i]), state, e->m->bytes) != 0)
		i = (i + 1) & e->mask;
	return &e->table[i];
}

static void make_room(struct explorer *e)
{
	if (e->nr < e->room)
		return;
	e->room = e->room ? e->room * 2 : 1u << 14;
	e->states = grow(e->states, (size_t)e->room * e->m->bytes);
	e->origins = grow(e->origins, e->room * sizeof(*e->origins));
	e->mask = e->room * 2 - 1;
	e->table = grow(e->table, ((size_t)e->mask + 1) * sizeof(*e->table));
	memset(e->table, 0xff, ((size_t)e->mask + 1) * sizeof(*e->table));
	for (uint32_t i = 0; i < e->nr; i++)
		*find(e, state_at(e, i)) = i;
}

/* The number of @state, which may be new. */
static uint32_t add(struct explorer *e, const void *state, const char *step)
{
	uint32_t *place;

	make_room(e);
	place = find(e, state);
	if (*place == NONE) {
		*place = e->nr;
		memcpy(state_at(e, e->nr), state, e->m->bytes);
		e->origins[e->nr] = (struct origin){ e->at, label_of(step) };
		e->nr++;
	}
	e->all_edges++;
	return *place;
}

void explore_to(struct explorer *e, const void *state, const char *step)
{
	uint32_t to = add(e, state, step);

	if (e->at == NONE || !e->m->ended)
		return;
	if (e->nr_edges == e->edge_room) {
		e->edge_room = e->edge_room ? e->edge_room * 2 : 1u << 16;
		e->edges = grow(e->edges, e->edge_room * 2 * sizeof(*e->edges));
	}
	e->edges[e->nr_edges * 2] = e->at;
	e->edges[e->nr_edges * 2 + 1] = to;
	e->nr_edges++;
}

void explore_kill(struct explorer *e, const void *state, const char *step)
{
	(void)add(e, state, step);
}

void explore_fault(struct explorer *e, const void *state, const char *step, const char *why)
{
	if (e->fault)
		return;
	/* a place of its own, even when the state was met before: its story is to end with this step */
	make_room(e);
	e->faulty = e->nr++;
	memcpy(state_at(e, e->faulty), state, e->m->bytes);
	e->origins[e->faulty] = (struct origin){ e->at, label_of(step) };
	e->fault = why;
}

/* Backwards from the ends; the first state that was not met is one that hangs. */
static void find_hang(struct explorer *e, const void *config)
{
	uint32_t *first = grow(NULL, ((size_t)e->nr + 1) * sizeof(*first));
	uint32_t *from = grow(NULL, (e->nr_edges + 1) * sizeof(*from));
	uint32_t *todo = grow(NULL, ((size_t)e->nr + 1) * sizeof(*todo)), nr_todo = 0;
	uint8_t *met = grow(NULL, (size_t)e->nr + 1);

	/* edges sorted by where they go to */
	memset(first, 0, ((size_t)e->nr + 1) * sizeof(*first));
	for (uint64_t i = 0; i < e->nr_edges; i++)
		first[e->edges[i * 2 + 1]]++;
	for (uint32_t i = 0, sum = 0; i <= e->nr; i++) {
		sum += first[i];
		first[i] = sum;
	}
	for (uint64_t i = 0; i < e->nr_edges; i++)
		from[--first[e->edges[i * 2 + 1]]] = e->edges[i * 2];

	for (uint32_t i = 0; i < e->nr; i++) {
		met[i] = e->m->ended(config, state_at(e, i));
		if (met[i])
			todo[nr_todo++] = i;
	}
	while (nr_todo > 0) {
		uint32_t to = todo[--nr_todo];

		for (uint32_t i = first[to]; i < (to + 1 < e->nr ? first[to + 1] : e->nr_edges); i++)
			if (!met[from[i]]) {
				met[from[i]] = 1;
				todo[nr_todo++] = from[i];
			}
	}
	for (uint32_t i = 0; i < e->nr && !e->fault; i++)
		if (!met[i]) {
			e->faulty = i;
			e->fault = "from here on it never ends";
		}
	free(first);
	free(from);
	free(todo);
	free(met);
}

static uint32_t depth_of(const struct explorer *e, uint32_t i)
{
	uint32_t depth = 0;

	for (; e->origins[i].from != NONE; i = e->origins[i].from)
		depth++;
	return depth;
}

static void tell(const struct explorer *e, const void *config, uint32_t i, FILE *to)
{
	uint32_t nr = depth_of(e, i) + 1, *path = grow(NULL, nr * sizeof(*path));

	for (uint32_t at = nr; at-- > 0; i = e->origins[i].from)
		path[at] = i;
	for (uint32_t at = 0; at < nr; at++) {
		fprintf(to, "%3u %-20s ", at, labels[e->origins[path[at]].label]);
		e->m->show(to, config, state_at(e, path[at]));
		fputc('\n', to);
	}
	fprintf(to, "    %s\n", e->fault);
	free(path);
}

struct explore_result explore(const struct model *m, const void *config, FILE *trace)
{
	struct explorer e = { .m = m, .at = NONE, .faulty = NONE };
	struct explore_result r;

	m->start(&e, config);
	for (uint32_t i = 0; i < e.nr && !e.fault; i++) {
		uint64_t copy[EXPLORE_MAX_BYTES / 8]; /* the table may move */

		memcpy(copy, state_at(&e, i), m->bytes);
		e.at = i;
		m->next(&e, config, copy);
	}
	if (!e.fault && m->ended)
		find_hang(&e, config);
	if (e.fault && trace)
		tell(&e, config, e.faulty, trace);
	r = (struct explore_result){ .states = e.nr, .edges = e.all_edges, .fault = e.fault };
	r.depth = depth_of(&e, e.fault ? e.faulty : e.nr - 1);
	free(e.states);
	free(e.origins);
	free(e.table);
	free(e.edges);
	return r;
}

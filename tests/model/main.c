/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * main.c - explore each design and each broken variant; TAP, one case each.
 *
 *	model                 the short form, which is part of make check
 *	model --full          larger rings, more requests, more crashes: minutes, and two gigabytes
 *	model --list          the names of all of them
 *	model --trace NAME    one of them, and the shortest story of how it goes wrong
 *	model --steps         the steps which are crash points in the code
 */
#include <unistd.h>
#include "tests/model/model.h"

#define SCRIPTS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define BLOCK(...)                                 \
	&block_model, &(const struct block_config) \
	{                                          \
		__VA_ARGS__                        \
	}
#define RINGS(...)                                 \
	&rings_model, &(const struct rings_config) \
	{                                          \
		__VA_ARGS__                        \
	}
#define NET(...)                               \
	&net_model, &(const struct net_config) \
	{                                      \
		__VA_ARGS__                    \
	}

enum form { SHORT, LONG };      /* in which forms of a run */
enum outcome { HOLDS, BREAKS }; /* as it has to be */

struct variant {
	const char *name;
	enum form form;
	enum outcome outcome;
	const struct model *model;
	const void *config;
};

/* nr_ents, crashes, batch, hostile, blame, flags, scripts */
static const struct variant variants[] = {
	{ "the design, ring of 2, two crashes", SHORT, HOLDS, BLOCK(2, 2, 1, 0, false, 0, SCRIPTS("ABC", "AaA")) },
	{ "the design, ring of 2, reads between", SHORT, HOLDS, BLOCK(2, 1, 1, 0, false, 0, SCRIPTS("AaAa", "ABab")) },
	{ "the design, ring of 2, batches of 2", SHORT, HOLDS, BLOCK(2, 2, 2, 0, false, 0, SCRIPTS("ABC")) },
	{ "the design, ring of 4, batches of up to 4", SHORT, HOLDS,
	  BLOCK(4, 1, 4, 0, false, 0, SCRIPTS("ABa", "ABC")) },
	{ "the design, a request that kills", SHORT, HOLDS, BLOCK(2, 1, 2, 0, false, 0, SCRIPTS("PAa", "AP")) },
	{ "the design, a front end that lies", SHORT, HOLDS, BLOCK(2, 1, 2, 2, false, 0, SCRIPTS("A")) },
	{ "in order, with one record of the answer", SHORT, HOLDS,
	  BLOCK(2, 2, 1, 0, false, BLOCK_NO_JOURNAL | BLOCK_IN_ORDER | BLOCK_REDO, SCRIPTS("ABC")) },

	{ "long: the design, ring of 2", LONG, HOLDS,
	  BLOCK(2, 2, 1, 0, false, 0, SCRIPTS("ABCA", "AaAa", "ABab", "AAaa")) },
	{ "long: the design, ring of 2, three crashes", LONG, HOLDS,
	  BLOCK(2, 3, 2, 0, false, 0, SCRIPTS("ABa", "ABCA")) },
	{ "long: the design, ring of 2, five requests", LONG, HOLDS,
	  BLOCK(2, 2, 2, 0, false, 0, SCRIPTS("ABCAB", "AaAaA")) },
	{ "long: the design, ring of 2, batches of 2", LONG, HOLDS,
	  BLOCK(2, 2, 2, 0, false, 0, SCRIPTS("ABCA", "AaAa", "ABab")) },
	{ "long: the design, ring of 4", LONG, HOLDS, BLOCK(4, 1, 1, 0, false, 0, SCRIPTS("ABCA", "AaAa", "ABab")) },
	{ "long: the design, ring of 4, two crashes", LONG, HOLDS, BLOCK(4, 2, 4, 0, false, 0, SCRIPTS("ABC", "AaA")) },
	{ "long: the design, ring of 4, batches of up to 3", LONG, HOLDS,
	  BLOCK(4, 1, 3, 0, false, 0, SCRIPTS("ABCA")) },
	{ "long: the design, ring of 4, batches of up to 4", LONG, HOLDS,
	  BLOCK(4, 1, 4, 0, false, 0, SCRIPTS("ABCA", "ABab")) },
	{ "long: the design, each crash counts", LONG, HOLDS, BLOCK(2, 3, 2, 0, true, 0, SCRIPTS("ABa")) },
	{ "long: the design, a front end that lies", LONG, HOLDS, BLOCK(2, 2, 2, 2, false, 0, SCRIPTS("A")) },
	{ "long: in order, with one record of the answer", LONG, HOLDS,
	  BLOCK(2, 3, 1, 0, false, BLOCK_NO_JOURNAL | BLOCK_IN_ORDER | BLOCK_REDO, SCRIPTS("ABCA", "AaAa")) },

	{ "no journal", SHORT, BREAKS, BLOCK(2, 2, 1, 0, false, BLOCK_NO_JOURNAL, SCRIPTS("ABC")) },
	{ "no journal, in order", SHORT, BREAKS,
	  BLOCK(2, 2, 1, 0, false, BLOCK_NO_JOURNAL | BLOCK_IN_ORDER, SCRIPTS("ABC")) },
	{ "req_cons before the slot", SHORT, BREAKS, BLOCK(2, 1, 1, 0, false, BLOCK_CONS_FIRST, SCRIPTS("ABC")) },
	{ "freed before published", SHORT, BREAKS, BLOCK(2, 1, 1, 0, false, BLOCK_FREE_FIRST, SCRIPTS("ABC")) },
	{ "no response index", SHORT, BREAKS, BLOCK(2, 2, 1, 0, false, BLOCK_NO_RSP_IDX, SCRIPTS("ABC")) },
	{ "published before written", SHORT, BREAKS, BLOCK(2, 2, 1, 0, false, BLOCK_PUBLISH_FIRST, SCRIPTS("ABC")) },
	{ "published answers written again", SHORT, BREAKS, BLOCK(2, 2, 1, 0, false, BLOCK_KEEP_DONE, SCRIPTS("ABC")) },
	{ "no fence", SHORT, BREAKS, BLOCK(2, 1, 1, 0, false, BLOCK_NO_FENCE, SCRIPTS("Aa", "AA")) },
	{ "no overlap rule", SHORT, BREAKS, BLOCK(2, 1, 1, 0, false, BLOCK_NO_OVERLAP, SCRIPTS("AaAa")) },
	{ "overlap rule until the image is done", SHORT, BREAKS,
	  BLOCK(2, 1, 1, 0, false, BLOCK_EARLY_OVERLAP, SCRIPTS("AaAa")) },
	{ "no event after recovery", SHORT, BREAKS, BLOCK(2, 1, 1, 0, false, BLOCK_NO_NOTIFY, SCRIPTS("ABC")) },
	{ "replays not counted", SHORT, BREAKS, BLOCK(2, 1, 1, 0, false, BLOCK_NO_ATTEMPTS, SCRIPTS("AP")) },
	{ "replays counted too late", SHORT, BREAKS, BLOCK(2, 1, 1, 0, false, BLOCK_LATE_ATTEMPTS, SCRIPTS("AP")) },
	{ "recovery without bounds", SHORT, BREAKS, BLOCK(2, 1, 2, 2, false, BLOCK_NO_BOUNDS, SCRIPTS("A")) },
	{ "recovery without a count of what is in flight", SHORT, BREAKS,
	  BLOCK(2, 1, 2, 2, false, BLOCK_NO_COUNT, SCRIPTS("A")) },

	{ "rings: the design, two rings", SHORT, HOLDS,
	  RINGS(2, false, RINGS_MARKS, SCRIPTS("w1w2/w7w4", "w7w1/w1w4", "r1w2/w3r2", "w7r1/r1w4", "w1/w1w1")) },
	{ "rings: the design, three rings", SHORT, HOLDS,
	  RINGS(2, false, RINGS_MARKS, SCRIPTS("w1r2/w7/w4", "w3/w6/r5w2")) },
	{ "long: rings: the design, three crashes", LONG, HOLDS,
	  RINGS(3, false, RINGS_MARKS, SCRIPTS("w1r2/w7w4/w4", "w3w1/w6w4/r5w2")) },
	{ "rings: the design, discards", SHORT, HOLDS,
	  RINGS(2, false, RINGS_MARKS, SCRIPTS("d7/w1w4", "d3w4/w1d6", "d3/d6/w2r4", "r1d7/w4r1", "d1/d1w1")) },
	{ "long: rings: the design, discards, three crashes", LONG, HOLDS,
	  RINGS(3, false, RINGS_MARKS, SCRIPTS("d3w4/w1d6", "d3w1/d6w4/r5w2", "d7p1/w2d4")) },
	{ "rings: the design, a request that kills", SHORT, HOLDS,
	  RINGS(1, false, RINGS_MARKS, SCRIPTS("p1/w1", "p1w2/w4/w1", "w1p2/w4", "p1/w2/p4", "w1/w2p2/w4")) },
	{ "long: rings: the design, a request that kills, two crashes", LONG, HOLDS,
	  RINGS(2, false, RINGS_MARKS, SCRIPTS("p1w2/w4/w1", "w1p2/w4w2", "p1w2/w2p4", "p1/w2/p4")) },
	{ "rings: nothing is claimed", SHORT, BREAKS, RINGS(1, false, RINGS_NO_CLAIMS, SCRIPTS("w1/w1")) },
	{ "rings: a successor claims what it can", SHORT, BREAKS, RINGS(1, false, 0, SCRIPTS("w1w2/w7w4", "w1/w7w4")) },
	{ "rings: a successor claims up to the first it cannot", SHORT, BREAKS,
	  RINGS(1, false, RINGS_PREFIX, SCRIPTS("w1w2/w7w4", "w1/w7w4")) },
	{ "rings: a successor claims what it can, and that all ends", SHORT, BREAKS,
	  RINGS(1, true, 0, SCRIPTS("w1/w7w4")) },
	{ "rings: a successor claims up to the first it cannot, and that all ends", SHORT, HOLDS,
	  RINGS(2, true, RINGS_PREFIX, SCRIPTS("w1w2/w7w4", "w1/w7w4", "w1r2/w7/w4")) },
	{ "rings: marked after it went to the image", SHORT, BREAKS,
	  RINGS(1, false, RINGS_MARKS | RINGS_MARK_LATE, SCRIPTS("w1/w1")) },
	{ "rings: what may kill is alone in its ring only", SHORT, BREAKS,
	  RINGS(0, false, RINGS_MARKS | RINGS_OWN_ALONE, SCRIPTS("p1/w2")) },
	{ "rings: what only waits is counted as tried", SHORT, BREAKS,
	  RINGS(0, false, RINGS_MARKS | RINGS_COUNT_WAIT, SCRIPTS("p1/w1")) },
	{ "rings: what is new begins beside what may kill", SHORT, BREAKS,
	  RINGS(0, false, RINGS_MARKS | RINGS_ALONE_LATE, SCRIPTS("p1/w2/p4")) },
	{ "rings: a discard that waits is marked", SHORT, BREAKS,
	  RINGS(1, false, RINGS_MARKS | RINGS_MARK_WAITS, SCRIPTS("d7/w1")) },
	{ "rings: two discards wait for each other", SHORT, BREAKS,
	  RINGS(0, false, RINGS_MARKS | RINGS_TWO_WAIT, SCRIPTS("d3/d6")) },

	{ "nic: the design, ring of 2", SHORT, HOLDS, NET(2, 3, 2, 0, 0, SCRIPTS("11111", "212")) },
	{ "nic: the design, ring of 4", SHORT, HOLDS, NET(4, 2, 4, 0, 0, SCRIPTS("12111", "3121", "222")) },
	{ "nic: the design, a front end that lies", SHORT, HOLDS, NET(2, 2, 2, 2, 0, SCRIPTS("1")) },
	{ "nic: no record", SHORT, BREAKS, NET(2, 2, 2, 0, NET_NO_REDO, SCRIPTS("1111")) },
	{ "nic: committed after the ring was written", SHORT, BREAKS,
	  NET(2, 2, 2, 0, NET_COMMIT_LATE, SCRIPTS("1111")) },
	{ "nic: committed before the mirror was written", SHORT, BREAKS,
	  NET(2, 2, 2, 0, NET_COMMIT_FIRST, SCRIPTS("1111")) },
	{ "nic: committed slot by slot", SHORT, BREAKS, NET(4, 2, 4, 0, NET_COMMIT_SLOTS, SCRIPTS("212")) },
	{ "nic: committed answers not written again", SHORT, BREAKS, NET(2, 2, 2, 0, NET_NO_REWRITE, SCRIPTS("1111")) },
	{ "nic: no event after recovery", SHORT, BREAKS, NET(2, 2, 2, 0, NET_NO_NOTIFY, SCRIPTS("1111")) },
	{ "nic: recovery without bounds", SHORT, BREAKS, NET(2, 2, 2, 2, NET_NO_BOUNDS, SCRIPTS("1")) },
};

static const char *const steps[] = {
#define X(id, name) name,
	BLOCK_STEPS(X) NET_STEPS(X)
#undef X
};

static uint32_t nr_cases, nr_failed;

static void print_case(bool good, const char *name)
{
	nr_cases++;
	nr_failed += !good;
	printf("%s %u - %s", good ? "ok" : "not ok", nr_cases, name);
}

/* False: not as it has to be. */
static void run(const struct variant *v, bool trace)
{
	uint64_t t = now_ns();
	struct explore_result r = explore(v->model, v->config, trace ? stdout : NULL);

	print_case((r.fault == NULL) == (v->outcome == HOLDS), v->name);
	printf(v->outcome == HOLDS ? " holds\n" : " is found out\n");
	printf("# %llu states, %llu steps, %.1f s", (unsigned long long)r.states, (unsigned long long)r.edges,
	       (double)(now_ns() - t) / 1e9);
	if (r.fault)
		printf("; after %u steps: %s", r.depth, r.fault);
	printf("\n");
	fflush(stdout);
}

static void print_all(void (*one)(const char *))
{
	for (uint32_t i = 0; i < ARRAY_SIZE(variants); i++)
		one(variants[i].name);
}

static void print_name(const char *name)
{
	printf("%s\n", name);
}

/* A step that no exploration takes is one that nothing is known about. */
static void check_steps(void)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (!explore_took(steps[i])) {
			print_case(false, "all steps are taken");
			printf("\n# never: %s\n", steps[i]);
			return;
		}
	print_case(true, "all steps are taken");
	printf("\n");
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "", *name = argc > 2 ? argv[2] : NULL;
	bool trace = strcmp(how, "--trace") == 0 && name, full = strcmp(how, "--full") == 0;

	if (argc == 2 && strcmp(how, "--list") == 0) {
		print_all(print_name);
		return 0;
	}
	if (argc == 2 && strcmp(how, "--steps") == 0) {
		for (uint32_t i = 0; i < ARRAY_SIZE(steps); i++)
			print_name(steps[i]);
		return 0;
	}
	if (argc > 1 && !trace && !full) {
		fprintf(stderr, "usage: model [--full | --list | --steps | --trace NAME]\n");
		return 2;
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(variants); i++)
		if (trace ? strcmp(name, variants[i].name) == 0 : full || variants[i].form == SHORT)
			run(&variants[i], trace);
	if (!trace)
		check_steps();
	printf("1..%u\n", nr_cases);
	return nr_failed > 0;
}

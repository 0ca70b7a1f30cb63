/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * badfront.c - a front end for sinners: connects to a device by the book, commits one sin, prints what came of it.
 *
 *	badfront [options] DEV ACTION [NAME...]
 *
 * DEV is a virtual device number or a directory ("device/svbd/51712").  Actions: see the table.  Exit status 0 when
 * the action could be done (what came of it is printed), 3 when not, 2 for usage.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/hostile/sins.h"

#define MAX_NODES 24u

static void jump_size(struct guest *g, const struct sin_args *a)
{
	sin_jump(g, a, g->nr_ents); /* exactly full: legal */
}

static void jump_size_1(struct guest *g, const struct sin_args *a)
{
	sin_jump(g, a, g->nr_ents + 1);
}

static void jump_2_31(struct guest *g, const struct sin_args *a)
{
	sin_jump(g, a, 1u << 31);
}

static void jump_minus_1(struct guest *g, const struct sin_args *a)
{
	sin_jump(g, a, UINT32_MAX);
}

static const struct {
	const char *name;
	void (*run)(struct guest *g, const struct sin_args *a);
	bool connect;
} actions[] = {
	{ "all-requests", sin_request_all, true },
	{ "jump-size", jump_size, true },
	{ "jump-size+1", jump_size_1, true },
	{ "jump-2^31", jump_2_31, true },
	{ "jump-minus-1", jump_minus_1, true },
	{ "jumps", sin_jumps, false },
	{ "repent", sin_repent, true },
	{ "backwards", sin_backwards, true },
	{ "full", sin_full, true },
	{ "never-consume", sin_never_consume, true },
	{ "storm", sin_storm, true },
	{ "flip", sin_flip, true },
	{ "rewrite", sin_rewrite, false },
	{ "bad-flood", sin_bad_flood, true },
	{ "toggle", sin_toggle, true },
	{ "walk", sin_walk, false },
	{ "die", sin_die, true },
	{ "revoke", sin_revoke, true },
	{ "rmdir", sin_rmdir, true },
	{ "reconnect", sin_reconnect, false },
	{ "close-busy", sin_close_busy, true },
	{ "publish", sin_publish, false },
	{ "flood", sin_flood, false },
	{ "verify", act_verify, true },
	{ "grefs", act_grefs, false },
	{ "load", act_load, true },
	{ "hold", act_hold, true },
};

static void usage(void)
{
	fprintf(stderr,
		"usage: badfront [-a x86_64|x86_32|none] [-o ORDER] [-q QUEUES] [-p] [-k] [-t MS] [-n COUNT] [-s "
		"SEED]\n"
		"                [-r REF] [-d DOMID] [-N NODE] [--set NODE=VALUE] [--unset NODE] [--huge NODE]\n"
		"                DEV request NAME... | DEV ACTION\nactions:");
	for (uint32_t i = 0; i < ARRAY_SIZE(actions); i++)
		fprintf(stderr, " %s", actions[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

static struct guest_node nodes[MAX_NODES];

static void add_node(struct guest *g, char *text, int how)
{
	static char huge[1900]; /* the most a guest may write, with its permissions */
	char *eq = strchr(text, '=');

	if (g->nr_nodes == MAX_NODES || (how == 'S' && !eq))
		usage();
	nodes[g->nr_nodes].name = text;
	if (how == 'S') {
		*eq = '\0';
		nodes[g->nr_nodes].value = eq + 1;
	} else if (how == 'H') {
		memset(huge, '9', sizeof(huge) - 1);
		nodes[g->nr_nodes].value = huge;
	}
	g->nr_nodes++;
	g->nodes = nodes;
}

static void set_abi(struct guest *g, const char *name)
{
	if (strcmp(name, "x86_64") == 0)
		g->l = &guest_layouts[0];
	else if (strcmp(name, "x86_32") == 0)
		g->l = &guest_layouts[1];
	else if (strcmp(name, "none") == 0)
		g->l = &guest_layouts[2];
	else
		usage();
}

static uint32_t number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 0);

	if (*end || v > UINT32_MAX)
		usage();
	return (uint32_t)v;
}

static void set_option(struct guest *g, struct sin_args *a, int opt)
{
	switch (opt) {
	case 'a':
		set_abi(g, optarg);
		break;
	case 'o':
		g->order = MIN(number(optarg), 4u);
		break;
	case 'q':
		g->nr_queues = MIN(number(optarg), GUEST_MAX_QUEUES);
		break;
	case 'p':
		g->persistent = true;
		break;
	case 'k':
		g->by_order = true;
		break;
	case 't':
		a->ms = number(optarg);
		break;
	case 'n':
		a->count = number(optarg);
		break;
	case 's':
		a->seed = number(optarg);
		break;
	case 'r':
		a->ref = number(optarg);
		break;
	case 'd':
		a->other = number(optarg);
		break;
	case 'N':
		a->node = optarg;
		break;
	case 'S':
	case 'U':
	case 'H':
		add_node(g, optarg, opt);
		break;
	default:
		usage();
	}
}

static void run(struct guest *g, const struct sin_args *a, char **argv, int argc)
{
	if (strcmp(argv[0], "request") == 0) {
		guest_connect(g);
		for (int i = 1; i < argc; i++)
			if (!sin_request(g, a, argv[i]))
				usage();
		return;
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, argv[0]) != 0)
			continue;
		if (actions[i].connect)
			guest_connect(g);
		actions[i].run(g, a);
		return;
	}
	usage();
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "set", required_argument, NULL, 'S' },
					       { "unset", required_argument, NULL, 'U' },
					       { "huge", required_argument, NULL, 'H' },
					       { NULL, 0, NULL, 0 } };
	static struct guest g = { .l = &guest_layouts[0], .nr_queues = 1 };
	struct sin_args a = { .ms = 1000, .seed = 1, .other = 1 };
	int opt;

	while ((opt = getopt_long(argc, argv, "a:o:q:pkt:n:s:r:d:N:", longs, NULL)) != -1)
		set_option(&g, &a, opt);
	if (argc - optind < 2 || g.nr_queues == 0)
		usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	guest_open(&g, argv[optind]);
	run(&g, &a, argv + optind + 1, argc - optind - 1);
	return 0;
}

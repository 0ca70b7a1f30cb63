/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-front.c - see blk-front.h.  Pure. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "backend/block/blk-front.h"
#include "common/span/span.h"

/* Event channels of a domain under the FIFO ABI; more cannot exist. */
#define PORT_MAX 131071u

struct parse {
	const struct node_getter *g;
	char *why;
};

static int refuse(struct parse *p, const char *fmt, ...) __printf(2, 3);
static int refuse(struct parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->why, REASON_MAX, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int get(struct parse *p, const char *name, char value[FRONT_VALUE_MAX])
{
	int err = p->g->get(p->g->arg, name, value, FRONT_VALUE_MAX);

	switch (err) {
	case 0:
	case -ENOENT:
		return err;
	case -EMSGSIZE:
		return refuse(p, "%s is longer than any legal value", name);
	case -EINVAL:
		return refuse(p, "%s has a NUL in it", name);
	default:
		snprintf(p->why, REASON_MAX, "cannot read %s: %s", name, strerror(-err));
		return err;
	}
}

/* 0, -ENOENT without the node, else refused. */
static int get_number(struct parse *p, const char *name, uint32_t max, uint32_t *ret)
{
	char value[FRONT_VALUE_MAX], q[QUOTE_MAX];
	int err = get(p, name, value);

	if (err < 0)
		return err;
	err = parse_str_u32(value, max, ret);
	if (err == -ERANGE)
		return refuse(p, "%s is \"%s\", but at most %u is allowed", name, quote_text(q, value), max);
	if (err < 0)
		return refuse(p, "%s is \"%s\", which is no number", name, quote_text(q, value));
	return 0;
}

static int get_abi(struct parse *p, uint32_t *ret)
{
	char value[FRONT_VALUE_MAX], q[QUOTE_MAX];
	int err = get(p, "protocol", value);

	if (err == -ENOENT) {
		/* Old 32-bit front ends did not write it, and every back end took that for x86_32, whatever the header says. */
#if defined(__x86_64__) || defined(__i386__)
		*ret = BLK_ABI_X86_32;
#else
		*ret = BLK_ABI_NATIVE;
#endif
		return 0;
	}
	if (err < 0)
		return err;
	if (strcmp(value, "x86_32-abi") == 0)
		*ret = BLK_ABI_X86_32;
	else if (strcmp(value, "x86_64-abi") == 0)
		*ret = BLK_ABI_X86_64;
#if defined(__arm__) || defined(__aarch64__)
	else if (strcmp(value, "arm-abi") == 0)
		*ret = BLK_ABI_NATIVE;
#endif
	else
		return refuse(p, "protocol is \"%s\", which is unknown", quote_text(q, value));
	return 0;
}

/* *named: the refs are ring-ref0.. */
static int get_order(struct parse *p, const struct blk_front_limits *lim, uint32_t *order, bool *named)
{
	uint32_t pages = 0, o = 0;
	int err;

	*named = false;
	*order = 0;
	err = get_number(p, "ring-page-order", lim->max_order, &o);
	if (err < 0 && err != -ENOENT)
		return err;
	if (err == 0) {
		*named = true;
		*order = o;
	}
	err = get_number(p, "num-ring-pages", 1u << lim->max_order, &pages);
	if (err == -ENOENT)
		return 0;
	if (err < 0)
		return err;
	if (pages == 0 || (pages & (pages - 1)))
		return refuse(p, "num-ring-pages is %u, which is no power of two", pages);
	if (*named && pages != 1u << o)
		return refuse(p, "num-ring-pages is %u but ring-page-order is %u", pages, o);
	*order = (uint32_t)__builtin_ctz(pages);
	*named = true;
	return 0;
}

static int get_refs(struct parse *p, const char *prefix, uint32_t order, bool named, uint32_t *refs)
{
	char name[64];
	int err;

	if (order == 0) {
		/* One page: ring-ref is what the protocol says without an order; with order 0 both are seen. */
		snprintf(name, sizeof(name), "%sring-ref", prefix);
		err = get_number(p, name, UINT32_MAX, &refs[0]);
		if (err != -ENOENT)
			return err;
		if (!named)
			return refuse(p, "%s is missing", name);
	}
	for (uint32_t i = 0; i < 1u << order; i++) {
		snprintf(name, sizeof(name), "%sring-ref%u", prefix, i);
		err = get_number(p, name, UINT32_MAX, &refs[i]);
		if (err == -ENOENT)
			return refuse(p, "%s is missing", name);
		if (err < 0)
			return err;
	}
	return 0;
}

static int get_port(struct parse *p, const char *prefix, uint32_t *port)
{
	char name[64];
	int err;

	snprintf(name, sizeof(name), "%sevent-channel", prefix);
	err = get_number(p, name, PORT_MAX, port);
	if (err == -ENOENT)
		return refuse(p, "%s is missing", name);
	if (err == 0 && *port == 0)
		return refuse(p, "%s is 0, which is no port", name);
	return err;
}

static int get_queues(struct parse *p, const struct blk_front_limits *lim, uint32_t *nr, bool *top)
{
	char value[FRONT_VALUE_MAX];
	int err = get_number(p, "multi-queue-num-queues", lim->max_queues, nr);

	if (err == -ENOENT) {
		*nr = 1;
		err = 0;
	}
	if (err < 0)
		return err;
	if (*nr == 0)
		return refuse(p, "multi-queue-num-queues is 0");
	*top = *nr == 1;
	if (*nr == 1 && get(p, "event-channel", value) == -ENOENT && get(p, "queue-0/event-channel", value) == 0)
		*top = false;
	return 0;
}

/* A page or port given twice would make two rings of one. */
static int check_unique(struct parse *p, const struct front_params *f)
{
	const struct wire_connect *c = &f->wire;
	uint32_t pages = 1u << c->order, total = c->nr_queues * pages;

	for (uint32_t i = 0; i < total; i++)
		for (uint32_t j = 0; j < i; j++)
			if (c->queue[i / pages].refs[i % pages] == c->queue[j / pages].refs[j % pages])
				return refuse(p, "grant %u is given for two ring pages",
					      c->queue[i / pages].refs[i % pages]);
	for (uint32_t i = 0; i < c->nr_queues; i++)
		for (uint32_t j = 0; j < i; j++)
			if (f->remote_port[i] == f->remote_port[j])
				return refuse(p, "event channel %u is given for two queues", f->remote_port[i]);
	return 0;
}

int blk_front_parse(const struct node_getter *g, const struct blk_front_limits *lim, struct front_params *ret,
		    char why[REASON_MAX])
{
	struct parse p = { .g = g, .why = why };
	struct wire_connect *c = &ret->wire;
	uint32_t persistent = 0;
	bool named, top = true;
	int err;

	memset(ret, 0, sizeof(*ret));
	why[0] = '\0';
	err = get_abi(&p, &c->abi);
	if (err < 0)
		return err;
	err = get_number(&p, "feature-persistent", 1, &persistent);
	if (err < 0 && err != -ENOENT)
		return err;
	if (persistent && lim->persistent)
		c->features |= BLK_F_PERSISTENT;
	err = get_order(&p, lim, &c->order, &named);
	if (err < 0)
		return err;
	err = get_queues(&p, lim, &c->nr_queues, &top);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < c->nr_queues; i++) {
		char prefix[24] = "";

		if (!top)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		err = get_refs(&p, prefix, c->order, named, c->queue[i].refs);
		if (err < 0)
			return err;
		err = get_port(&p, prefix, &ret->remote_port[i]);
		if (err < 0)
			return err;
	}
	return check_unique(&p, ret);
}

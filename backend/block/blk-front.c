/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blk-front.c - see blk-front.h.  Pure. */
#include <errno.h>
#include <stdio.h>
#include "backend/block/blk-front.h"
#include "backend/control/front-nodes.h"
#include "common/span/span.h"

static int get_abi(struct front_parse *p, uint32_t *ret)
{
	char value[FRONT_VALUE_MAX], q[QUOTE_MAX];
	int err = front_get(p, "protocol", value);

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
		return front_refuse(p, "protocol is \"%s\", which is unknown", quote_text(q, value));
	return 0;
}

/* *named: the refs are ring-ref0.. */
static int get_order(struct front_parse *p, const struct blk_front_limits *lim, uint32_t *order, bool *named)
{
	uint32_t pages = 0, o = 0;
	int err;

	*named = false;
	*order = 0;
	err = front_get_number(p, "ring-page-order", lim->max_order, &o);
	if (err < 0 && err != -ENOENT)
		return err;
	if (err == 0) {
		*named = true;
		*order = o;
	}
	err = front_get_number(p, "num-ring-pages", 1u << lim->max_order, &pages);
	if (err == -ENOENT)
		return 0;
	if (err < 0)
		return err;
	if (pages == 0 || (pages & (pages - 1)))
		return front_refuse(p, "num-ring-pages is %u, which is no power of two", pages);
	if (*named && pages != 1u << o)
		return front_refuse(p, "num-ring-pages is %u but ring-page-order is %u", pages, o);
	*order = (uint32_t)__builtin_ctz(pages);
	*named = true;
	return 0;
}

static int get_refs(struct front_parse *p, const char *prefix, uint32_t order, bool named, uint32_t *refs)
{
	char name[64];
	int err;

	if (order == 0) {
		/* One page: ring-ref is what the protocol says without an order; with order 0 both are seen. */
		snprintf(name, sizeof(name), "%sring-ref", prefix);
		err = front_get_number(p, name, UINT32_MAX, &refs[0]);
		if (err != -ENOENT)
			return err;
		if (!named)
			return front_refuse(p, "%s is missing", name);
	}
	for (uint32_t i = 0; i < 1u << order; i++) {
		snprintf(name, sizeof(name), "%sring-ref%u", prefix, i);
		err = front_get_number(p, name, UINT32_MAX, &refs[i]);
		if (err == -ENOENT)
			return front_refuse(p, "%s is missing", name);
		if (err < 0)
			return err;
	}
	return 0;
}

static int get_queues(struct front_parse *p, const struct blk_front_limits *lim, uint32_t *nr, bool *top)
{
	char value[FRONT_VALUE_MAX];
	int err = front_get_queues(p, lim->max_queues, nr);

	if (err < 0)
		return err;
	*top = *nr == 1;
	if (*nr == 1 && front_get(p, "event-channel", value) == -ENOENT &&
	    front_get(p, "queue-0/event-channel", value) == 0)
		*top = false;
	return 0;
}

int blk_front_parse(const struct node_getter *g, const struct blk_front_limits *lim, struct front_params *ret,
		    char why[REASON_MAX])
{
	struct front_parse p = { .g = g, .why = why };
	struct wire_connect *c = &ret->wire;
	uint32_t persistent = 0;
	bool named, top = true;
	int err;

	memset(ret, 0, sizeof(*ret));
	why[0] = '\0';
	c->nr_rings = c->nr_ports = 1;
	err = get_abi(&p, &c->abi);
	if (err < 0)
		return err;
	err = front_get_number(&p, "feature-persistent", 1, &persistent);
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
		err = front_get_port(&p, prefix, "event-channel", &ret->remote_port[i][0]);
		if (err < 0)
			return err;
	}
	return front_check_unique(&p, ret);
}

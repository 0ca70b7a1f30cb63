/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* front-nodes.c - see front-nodes.h.  Pure. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "backend/control/front-nodes.h"
#include "common/span/span.h"

/* Event channels of a domain under the FIFO ABI; more cannot exist. */
#define PORT_MAX 131071u

int front_refuse(struct front_parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->why, REASON_MAX, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int front_get(struct front_parse *p, const char *name, char value[FRONT_VALUE_MAX])
{
	int err = p->g->get(p->g->arg, name, value, FRONT_VALUE_MAX);

	switch (err) {
	case 0:
	case -ENOENT:
		return err;
	case -EMSGSIZE:
		return front_refuse(p, "%s is longer than any legal value", name);
	case -EINVAL:
		return front_refuse(p, "%s has a NUL in it", name);
	default:
		snprintf(p->why, REASON_MAX, "cannot read %s: %s", name, strerror(-err));
		return err;
	}
}

int front_get_number(struct front_parse *p, const char *name, uint32_t max, uint32_t *ret)
{
	char value[FRONT_VALUE_MAX], q[QUOTE_MAX];
	int err = front_get(p, name, value);

	if (err < 0)
		return err;
	err = parse_str_u32(value, max, ret);
	if (err == -ERANGE)
		return front_refuse(p, "%s is \"%s\", but at most %u is allowed", name, quote_text(q, value), max);
	if (err < 0)
		return front_refuse(p, "%s is \"%s\", which is no number", name, quote_text(q, value));
	return 0;
}

int front_get_switch(struct front_parse *p, const char *name, bool *ret)
{
	uint32_t n = *ret;
	int err = front_get_number(p, name, 1, &n);

	if (err == -ENOENT)
		return 0;
	if (err == 0)
		*ret = n != 0;
	return err;
}

int front_get_port(struct front_parse *p, const char *prefix, const char *leaf, uint32_t *port)
{
	char name[64];
	int err;

	snprintf(name, sizeof(name), "%s%s", prefix, leaf);
	err = front_get_number(p, name, PORT_MAX, port);
	if (err == -ENOENT)
		return front_refuse(p, "%s is missing", name);
	if (err == 0 && *port == 0)
		return front_refuse(p, "%s is 0, which is no port", name);
	return err;
}

int front_get_queues(struct front_parse *p, uint32_t max, uint32_t *nr)
{
	uint32_t n = 1;
	int err = front_get_number(p, "multi-queue-num-queues", max, &n);

	if (err < 0 && err != -ENOENT)
		return err;
	if (n == 0)
		return front_refuse(p, "multi-queue-num-queues is 0");
	*nr = n;
	return 0;
}

int front_check_unique(struct front_parse *p, const struct front_params *f)
{
	const struct wire_connect *c = &f->wire;
	uint32_t pages = c->nr_rings << c->order, total = c->nr_queues * pages, ports = c->nr_queues * c->nr_ports;

	for (uint32_t i = 0; i < total; i++)
		for (uint32_t j = 0; j < i; j++)
			if (c->queue[i / pages].refs[i % pages] == c->queue[j / pages].refs[j % pages])
				return front_refuse(p, "grant %u is given for two ring pages",
						    c->queue[i / pages].refs[i % pages]);
	for (uint32_t i = 0; i < ports; i++) {
		uint32_t port = f->remote_port[i / c->nr_ports][i % c->nr_ports];

		for (uint32_t j = 0; j < i; j++)
			if (port == f->remote_port[j / c->nr_ports][j % c->nr_ports])
				return front_refuse(p, "event channel %u is given for two queues or directions", port);
	}
	return 0;
}

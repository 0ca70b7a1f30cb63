/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nodes.h - a directory of xenstore out of a fuzzer's input: lines "name=value", the first of a name counts.  A value may hold
 * anything but a newline; one that starts with '!' cannot be read at all.
 */
#ifndef SYNTH_FUZZ_NODES_H
#define SYNTH_FUZZ_NODES_H

#include <errno.h>
#include "backend/control/class.h"
#include "tests/fuzz/fuzz.h"

static int fuzz_get(void *arg, const char *name, char *value, size_t bytes)
{
	const struct feed *f = arg;
	size_t len = strlen(name);

	for (size_t at = 0; at < f->left;) {
		const uint8_t *line = f->p + at, *nl = memchr(line, '\n', f->left - at);
		size_t n = nl ? (size_t)(nl - line) : f->left - at;

		at += n + 1;
		if (n <= len || memcmp(line, name, len) != 0 || line[len] != '=')
			continue;
		line += len + 1;
		n -= len + 1;
		if (n && *line == '!')
			return -EIO;
		if (n >= bytes)
			return -EMSGSIZE;
		if (memchr(line, '\0', n))
			return -EINVAL;
		memcpy(value, line, n);
		value[n] = '\0';
		return 0;
	}
	return -ENOENT;
}

/* What goes to a log or into a guest's error node. */
static inline void must_be_reason(const char *why)
{
	size_t n = strnlen(why, REASON_MAX);

	must(n > 0 && n < REASON_MAX);
	for (size_t i = 0; i < n; i++)
		must((unsigned char)why[i] >= 0x20 && (unsigned char)why[i] < 0x7f);
}

/* Within what was offered, and nothing twice. */
static inline void must_be_params(const struct front_params *p, uint32_t max_queues, uint32_t max_order,
				  uint32_t nr_rings)
{
	const struct wire_connect *c = &p->wire;
	uint32_t pages = c->nr_rings << c->order;

	must(c->nr_rings == nr_rings && c->order <= max_order && c->nr_queues >= 1 && c->nr_queues <= max_queues);
	must(c->nr_ports >= 1 && c->nr_ports <= c->nr_rings);
	for (uint32_t q = 0; q < c->nr_queues; q++) {
		for (uint32_t i = 0; i < c->nr_ports; i++)
			must(p->remote_port[q][i] >= 1 && p->remote_port[q][i] <= 131071);
		for (uint32_t r = 0; r <= q; r++) {
			for (uint32_t i = 0; i < pages; i++)
				for (uint32_t k = 0; k < pages; k++)
					must((q == r && i == k) || c->queue[q].refs[i] != c->queue[r].refs[k]);
			for (uint32_t i = 0; i < c->nr_ports; i++)
				for (uint32_t k = 0; k < c->nr_ports; k++)
					must((q == r && i == k) || p->remote_port[q][i] != p->remote_port[r][k]);
		}
	}
}

#endif

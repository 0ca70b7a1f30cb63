/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nodes.c - see nodes.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "backend/control/nodes.h"

void nodes_add(struct nodes *n, uint32_t where, const char *name, const char *fmt, ...)
{
	struct node *v;
	va_list ap;
	int len;

	if (n->err < 0)
		return;
	if (n->nr == NODES_MAX || strlen(name) >= sizeof(n->v[0].name)) {
		n->err = -ENOSPC;
		return;
	}
	v = &n->v[n->nr];
	va_start(ap, fmt);
	len = vasprintf(&v->value, fmt, ap);
	va_end(ap);
	if (len < 0) {
		v->value = NULL;
		n->err = -ENOMEM;
		return;
	}
	memcpy(v->name, name, strlen(name) + 1);
	v->where = where;
	n->nr++;
}

void nodes_free(struct nodes *n)
{
	for (uint32_t i = 0; i < n->nr; i++)
		free(n->v[i].value);
	memset(n, 0, sizeof(*n));
}

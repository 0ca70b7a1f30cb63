/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * list.h - circular doubly linked list, intrusive.  An entry not on a list points at itself.  Pure.
 */
#ifndef SYNTH_LIST_H
#define SYNTH_LIST_H

#include "common/base/base.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *e)
{
	e->prev = head->prev;
	e->next = head;
	head->prev->next = e;
	head->prev = e;
}

static inline void list_add(struct list *head, struct list *e)
{
	list_add_tail(head->next, e);
}

/* Safe on an entry that is on no list. */
static inline void list_del(struct list *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	list_init(e);
}

#define list_entry(p, t, m) container_of(p, t, m)

#define list_for_each(e, head, m)                                              \
	for (e = list_entry((head)->next, __typeof__(*e), m); &e->m != (head); \
	     e = list_entry(e->m.next, __typeof__(*e), m))

#define list_for_each_safe(e, n, head, m)                                                                   \
	for (e = list_entry((head)->next, __typeof__(*e), m), n = list_entry(e->m.next, __typeof__(*e), m); \
	     &e->m != (head); e = n, n = list_entry(n->m.next, __typeof__(*e), m))

#endif

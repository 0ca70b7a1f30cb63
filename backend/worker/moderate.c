/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moderate.c - see moderate.h. */
#include "backend/worker/moderate.h"

uint32_t moderate_slowness(uint64_t call_ns)
{
	return (uint32_t)MIN(MAX(call_ns / SLOWNESS_CALL_NS, 1u), SLOWNESS_MAX);
}

void moderate_init(struct moderate *m, uint64_t max_ns, uint32_t max_batch)
{
	*m = (struct moderate){ .max_ns = max_batch > 1 ? max_ns : 0,
				.max_batch = max_batch,
				.batch = 1,
				.gap = MODERATE_GAP_MIN,
				.wait = MODERATE_GAP_MIN };
}

void moderate_let_go(struct moderate *m, uint32_t posted)
{
	m->until = 0;
	m->posted = posted;
}

/* The batch is whole. */
static void filled(struct moderate *m, uint32_t posted)
{
	if (m->trial)
		m->gap = MODERATE_GAP_MIN;
	m->trial = false;
	if (posted == m->posted || m->batch >= m->max_batch)
		return;
	if (m->wait > 0) {
		m->wait--;
		return;
	}
	m->batch++;
	m->trial = true;
}

/* The time is over before it was. */
static void timed_out(struct moderate *m, uint32_t unseen)
{
	if (m->trial)
		m->batch--;
	else
		m->batch = unseen > m->first ? unseen : MAX(m->batch / 2, 1u);
	if (m->trial || m->batch == 1)
		m->gap = MIN(m->gap * 2, MODERATE_GAP_MAX);
	m->wait = m->gap;
	m->trial = false;
}

/* The event goes out. */
static bool send(struct moderate *m, uint32_t posted)
{
	moderate_let_go(m, posted);
	return false;
}

bool moderate_hold(struct moderate *m, uint64_t now, const struct moderate_load *l)
{
	if (m->max_ns == 0 || (l->work > 0 && l->work <= l->unseen))
		return send(m, l->posted);
	if (l->unseen >= m->batch) {
		filled(m, l->posted);
		return send(m, l->posted);
	}
	if (!m->until) {
		m->until = now + m->max_ns;
		m->first = l->unseen;
	} else if (now >= m->until) {
		timed_out(m, l->unseen);
		return send(m, l->posted);
	}
	return true;
}

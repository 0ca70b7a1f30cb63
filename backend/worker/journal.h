/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journal.h - a device's journal (backend/journal.h), mapped in its worker.
 */
#ifndef SYNTH_WORKER_JOURNAL_H
#define SYNTH_WORKER_JOURNAL_H

#include "backend/journal.h"

struct journal {
	void *map; /* NULL: none */
	size_t bytes;
	struct journal_live *live;
	void *class_part;
	uint64_t class_bytes;
	bool resume; /* the class's part is what a predecessor left: recover from it */
	bool blame;  /* and it died of what it was doing, as far as can be told */
};

/*
 * Map @fd (which stays the caller's) for a connection that needs @class_bytes of the class.  Counts a life.  -EBADMSG:
 * it is damaged, of another version, or not for this connection; the reason is logged with @name.
 */
int journal_map(struct journal *j, int fd, const struct wire_connect *c, uint64_t class_bytes,
		const char *name) __must_check;
/* All queues have formatted their part: from here on a successor recovers. */
void journal_ready(struct journal *j);
void journal_unmap(struct journal *j); /* idempotent */

#endif

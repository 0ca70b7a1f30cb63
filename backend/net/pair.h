/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pair.h - nics of two guests joined without a TAP: each names the other, whichever is attached first.  Their workers are
 * two processes; between them is memory with a ring a queue each way (pair-ring.h) and a socket pair a queue to wake
 * each other by.  The control plane makes these and keeps them while either nic is there, so that a worker that is replaced
 * finds them again.  The loop's thread only.
 */
#ifndef SYNTH_PAIR_H
#define SYNTH_PAIR_H

#include "backend/control/wire.h"
#include "common/base/base.h"

struct pair_end;

/*
 * The end of the nic with these two names ("web1/eth0", "3/eth0"), which wants to reach @peer (either name of the other).  0,
 * -EBUSY: the other nic is joined to one that is not this.  @queues is what a new pair gets.
 */
int pair_get(const char *name, const char *number, const char *peer, uint32_t queues,
	     struct pair_end **ret) __must_check;
void pair_put(struct pair_end *e); /* NULL ok */
/* Descriptors of this end, the pair's. */
uint32_t pair_fds(const struct pair_end *e, const int **fds);
/*
 * All that makes the pair, for a control plane after this one: so many of @fds, the pair's; 0: too many.  And back again,
 * from the worker of either nic, or of both: takes @fds when it goes well.
 */
uint32_t pair_keep(const struct pair_end *e, int fds[WIRE_MAX_FDS]);
int pair_taken(const char *name, const char *number, const char *peer, const int *fds, uint32_t nr,
	       struct pair_end **ret) __must_check;
bool pair_whole(const struct pair_end *e); /* the other nic is there too */

#endif

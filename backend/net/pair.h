/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pair.h - nics of two guests joined without a TAP: each names the other, whichever is attached first.  Their workers are
 * two processes; between them is a socket pair a queue, which the control plane makes and keeps while either nic
 * is there, so that a worker that is replaced finds it again.  The loop's thread only.
 */
#ifndef SYNTH_PAIR_H
#define SYNTH_PAIR_H

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
bool pair_whole(const struct pair_end *e); /* the other nic is there too */

#endif

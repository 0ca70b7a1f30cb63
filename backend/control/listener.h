/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * listener.h - where workers are found again: a listening socket each, $SYNTH_RUNDIR/workers/STEM-DOMID.N.ERA.  The control
 * plane makes it and the worker listens at it (WIRE_LISTEN_FD), so that it outlives the one and goes with the other.  The
 * era, which says how old the worker's program is, stands in the name since no worker can change that.
 */
#ifndef SYNTH_LISTENER_H
#define SYNTH_LISTENER_H

#include <sys/types.h>
#include "common/base/base.h"

#define LISTENER_NAME_MAX 64u

/* Make the directory, for nobody but us. */
int listener_dir(const char *rundir) __must_check;
/* A new one, bound, and its name: its fd, or -errno. */
int listener_new(const char *stem, uint32_t domid, uint32_t era, char name[LISTENER_NAME_MAX]) __must_check;
void listener_remove(const char *name); /* "" ok */
/*
 * For each that is there (@domid and @era as its name says, which is 0 when it says none): a connected, non-blocking socket, @fn's from then on, and the pid of
 * the worker.  Those nobody listens at are removed.
 */
typedef void listener_fn(void *arg, const char *name, uint32_t domid, uint32_t era, int sock, pid_t pid);
void listener_each(const char *stem, listener_fn *fn, void *arg);

#endif

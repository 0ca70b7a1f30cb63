/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * spawn.h - how a worker's process is made: what it inherits, and nothing else.
 */
#ifndef SYNTH_SPAWN_H
#define SYNTH_SPAWN_H

#include <sys/types.h>
#include "common/base/base.h"

struct spawn {
	const char *path;    /* of the binary */
	const char *program; /* argv[0] */
	const char *name;    /* of the domain, for the worker's log */
	uint32_t domid;
	uint32_t parts; /* struct control_class, parts() */
	uint32_t uid;   /* the user and group it becomes when it has opened what takes more; 0: ours */
	int sock;       /* the worker's end of the socketpair: its WIRE_FD; stays the caller's */
	int listener;   /* its WIRE_LISTEN_FD, or -1: none; stays the caller's */
};

/*
 * Start it: stdin is /dev/null, stdout and stderr are the daemon's, no other descriptor is inherited (all of the daemon's are
 * close-on-exec), no signal is blocked or ignored, and it is a process group of its own and, where possible, a PID namespace.  0 and *pid, or -errno, logged.
 */
int spawn_worker(const struct spawn *s, pid_t *pid) __must_check;

#endif

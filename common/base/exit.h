/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * exit.h - exit statuses of every tool of ours: stable, told in their manual pages, fit for scripts.  Pure.
 */
#ifndef SYNTH_EXIT_H
#define SYNTH_EXIT_H

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* at run time */
	EXIT_USAGE = 2,
	EXIT_NOTFOUND = 3, /* no such domain, device, image */
	EXIT_BUSY = 4,     /* the other side refuses, or something is in use */
	EXIT_TIMEOUT = 5,
	EXIT_PERMISSION = 6,
	EXIT_UNREACHABLE = 7, /* no daemon, no xenstore */
	EXIT_EXISTS = 8,      /* the name is taken */
	EXIT_INTERRUPTED = 130,
};

#endif

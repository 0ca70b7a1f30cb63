/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fault.h - why something a person asked for did not work: what, why, and what to do next.  Pure.
 *
 * Functions that can fail for a reason a person must read return -errno and fill a struct fault: `why` (and
 * `next`) where the failure is found, `what` at the edge, where the request is known.
 */
#ifndef SYNTH_FAULT_H
#define SYNTH_FAULT_H

#include "common/base/base.h"

/* docs/control-protocol.md has the same list. */
enum fault_code {
	FAULT_FAILED,
	FAULT_USAGE,
	FAULT_NOTFOUND,
	FAULT_BUSY,
	FAULT_TIMEOUT,
	FAULT_PERMISSION,
	FAULT_EXISTS,
	FAULT_NR
};

struct fault {
	enum fault_code code;
	char what[160];
	char why[512];
	char next[256]; /* "" for none */
};

const char *fault_code_name(enum fault_code code);
/* Set code and why, clear next; gives back @err (a -errno), so that it can be returned. */
int fault_set(struct fault *f, enum fault_code code, int err, const char *fmt, ...) __printf(4, 5);
void fault_next(struct fault *f, const char *fmt, ...) __printf(2, 3);
void fault_what(struct fault *f, const char *fmt, ...) __printf(2, 3);

/* Foreign text made fit for a log line or a reply: at most 40 bytes of it, anything not printable ASCII as '?'. */
#define QUOTE_MAX 48u
const char *quote_text(char out[QUOTE_MAX], const char *text);

#endif

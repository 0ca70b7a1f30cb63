/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synth-blkfront.h - what the commands of the tool share.  A command returns the process's exit status.
 */
#ifndef SYNTH_SYNTH_BLKFRONT_H
#define SYNTH_SYNTH_BLKFRONT_H

#include "common/base/exit.h"
#include "frontend/block/blkfront.h"

/* "synth-blkfront: WHAT: WHY" and, unless NULL, "next: NEXT" on stderr.  Returns @code. */
int complain(int code, const char *next, const char *fmt, ...) __printf(3, 4);
/* The same for a usage error: points to --help. */
int usage(const char *fmt, ...) __printf(1, 2);

struct target {
	struct store *store;
	struct front_dev dev;
	char name[16]; /* "xvda" */
	struct blkfront *b;
};

/* Find DEV (NULL: the only device).  0, or an exit status with the reason told. */
int target_find(struct target *t, const char *dev);
/* Connect it; a thread of the library's watches the back end. */
int target_open(struct target *t, const struct blkfront_config *c);
/* Also after a failure.  Returns @code, or a failure's if closing is the first thing that fails. */
int target_close(struct target *t, int code);

/* Set by SIGINT and SIGTERM: stop cleanly. */
extern _Atomic bool interrupted;
void catch_signals(void);
/* How long in ms a back end may be silent before we give up, when all that is left is to wait for answers. */
#define PATIENCE_MS        30000u
#define PATIENCE_SIGNAL_MS 3000u
static inline bool out_of_patience(uint64_t since_ns)
{
	return now_ns() - since_ns > (interrupted ? PATIENCE_SIGNAL_MS : PATIENCE_MS) * (uint64_t)1000000;
}

/* Options' values: 0, or an exit status with the reason told. */
int opt_size(const char *name, const char *text, uint64_t *ret);
int opt_u32(const char *name, const char *text, uint32_t max, uint32_t *ret);
/* DEV among the arguments that are left; more is an error. */
int opt_dev(int argc, char **argv, int first, const char **ret);

/* blk-io.c */
int cmd_io(int argc, char **argv);
/* blk-copy.c */
int cmd_read(int argc, char **argv);
int cmd_write(int argc, char **argv);
int cmd_flush(int argc, char **argv);
int cmd_discard(int argc, char **argv);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synth-blkfront.h - what the commands of the tool share.  A command returns the process's exit status.
 */
#ifndef SYNTH_SYNTH_BLKFRONT_H
#define SYNTH_SYNTH_BLKFRONT_H

#include "frontend/core/tool.h"
#include "frontend/block/blkfront.h"

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

/* --reconnect SECONDS, --no-reconnect: of all commands that connect. */
struct reconnect {
	bool never;
	uint32_t seconds;
};
#define RECONNECT_DEFAULT                   \
	{                                   \
		false, BLKFRONT_RECONNECT_S \
	}
enum { O_RECONNECT = 512, O_NO_RECONNECT };
#define RECONNECT_OPTIONS                               \
	{ "reconnect", 1, NULL, O_RECONNECT },          \
	{                                               \
		"no-reconnect", 0, NULL, O_NO_RECONNECT \
	}
/* 0, or an exit status: @o is none of them, or its value is none. */
int opt_reconnect(struct reconnect *r, int o, const char *value);

/* The disk is over (blkfront_status()): tells why.  An exit status. */
int target_over(struct target *t, const char *what);

/* How long in ms a back end may be silent before we give up, when all that is left is to wait for answers. */
#define PATIENCE_MS        30000u
#define PATIENCE_SIGNAL_MS 3000u
static inline bool out_of_patience(uint64_t since_ns)
{
	return now_ns() - since_ns > (interrupted ? PATIENCE_SIGNAL_MS : PATIENCE_MS) * (uint64_t)1000000;
}

/* blk-io.c */
int cmd_io(int argc, char **argv);
/* blk-copy.c */
int cmd_read(int argc, char **argv);
int cmd_write(int argc, char **argv);
int cmd_flush(int argc, char **argv);
int cmd_discard(int argc, char **argv);

#endif

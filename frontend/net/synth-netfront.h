/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synth-netfront.h - what the commands of the tool share.  A command returns the process's exit status.
 */
#ifndef SYNTH_SYNTH_NETFRONT_H
#define SYNTH_SYNTH_NETFRONT_H

#include "frontend/core/tool.h"
#include "frontend/net/netfront.h"

#define CLOSE_MS 10000u

struct target {
	struct store *store;
	struct front_dev dev;
	char name[16]; /* "eth0" */
	struct netfront *n;
};

/* Find DEV (NULL: the only interface).  0, or an exit status with the reason told. */
int target_find(struct target *t, const char *dev);
/* What is said when netfront_open() fails with @err; the exit status. */
int target_failed(const struct target *t, int err);
/* Connect it; a thread of the library's watches the back end.  0, or an exit status with the reason told. */
int target_open(struct target *t, const struct netfront_config *c);
/* Disconnect, keep xenstore.  -ETIMEDOUT: the back end did not follow. */
int target_disconnect(struct target *t);
/* Also after a failure.  Returns @code, or a failure's if closing is the first thing that fails. */
int target_close(struct target *t, int code);

/* Options that `up` and `io` share, for getopt_long(); handled by opt_config(), which returns 0, or an exit status. */
#define CONFIG_OPTIONS                                                                               \
	{ "queues", 1, NULL, 'q' }, { "rx-bufs", 1, NULL, 'R' }, { "tx-bufs", 1, NULL, 'T' },        \
		{ "no-split", 0, NULL, 'S' }, { "no-sg", 0, NULL, 'G' }, { "no-gso", 0, NULL, 'O' }, \
		{ "no-csum", 0, NULL, 'C' },                                                         \
	{                                                                                            \
		"timeout", 1, NULL, 't'                                                              \
	}
int opt_config(struct netfront_config *c, int o, const char *value);

/* Offloads as people read them: "csum4 csum6 gso4 gso6", "none". */
const char *takes_text(const struct net_takes *t, char buf[32]);
/* Counters of all queues together; their JSON. */
void counts_add(struct netfront_counts *to, const struct netfront_counts *c);
void put_counts(struct json_object *o, const struct netfront_counts *c);

/* net-up.c */
int cmd_up(int argc, char **argv);
/* net-io.c */
int cmd_io(int argc, char **argv);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tool.h - what the front ends' command line tools share: messages with exit statuses, options, signals, JSON.
 * A command returns the process's exit status.
 */
#ifndef SYNTH_TOOL_H
#define SYNTH_TOOL_H

#include "common/base/base.h"
#include "common/base/exit.h"
#include "frontend/core/front.h"

struct json_object;
struct option;

extern const char *tool_name; /* set first thing in main() */

/* "TOOL: WHAT: WHY" and, unless NULL, "next: NEXT" on stderr.  Returns @code. */
int complain(int code, const char *next, const char *fmt, ...) __printf(3, 4);
/* The same for a usage error: points to --help. */
int usage(const char *fmt, ...) __printf(1, 2);

/* Options' values: 0, or an exit status with the reason told. */
int opt_size(const char *name, const char *text, uint64_t *ret);
int opt_u32(const char *name, const char *text, uint32_t max, uint32_t *ret);
/* getopt_long(); what is wrong is told as all usage errors are, and '?' returned. */
int opt_next(int argc, char **argv, const char *shorts, const struct option *longs);
/* DEV among the arguments that are left; more is an error. */
int opt_dev(int argc, char **argv, int first, const char **ret);

/* Set by SIGINT and SIGTERM: stop cleanly.  The second signal kills. */
extern _Atomic bool interrupted;
void catch_signals(void);

/* A numeric node; @otherwise when it is missing or no number. */
uint64_t tool_node(struct store *s, const char *dir, const char *leaf, uint64_t otherwise);

/* What a tool says of its class's devices. */
struct tool_class {
	const char *const *types; /* of the front end's directories, best first */
	uint32_t nr_types;
	const char *device;  /* "disk" */
	const char *example; /* of a DEV: "a device name (like xvda) or number (like 51712)" */
	const char *none;    /* what to do when the domain has none */
	/* of one that does not open: what holds it, and what to do when the back end is silent, or pages to grant run out */
	const char *free_it, *silent, *use_less;
	const char *nonsense; /* what the back end publishes makes no sense: what of it */
	int (*parse)(const char *text, uint32_t *id);
	void (*name)(uint32_t id, char name[16]);
	struct json_object *(*describe)(struct store *s,
					const struct front_dev *d); /* `list` and `info` print from it */
	void (*row)(struct json_object *o);                         /* of `list`; NULL: its heading */
};
/* Find @dev (NULL: the only one), in a xenstore opened for it.  0, or an exit status with the reason told; *s may be open then. */
int tool_find(const struct tool_class *c, const char *dev, struct store **s, struct front_dev *ret, char name[16]);
/* What is said when opening @d, called @name, failed with @err; the exit status. */
int tool_not_opened(const struct tool_class *c, struct store *s, const struct front_dev *d, const char *name, int err);
/* The commands. */
int tool_list(const struct tool_class *c, int argc, char **argv);
int tool_info(const struct tool_class *c, int argc, char **argv);

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args, *help;
};
/* Run the command that argv[1] names; --help and --version are @help() and the package's version. */
int tool_main(const char *name, const struct command *commands, size_t nr, void (*help)(void), int argc, char **argv);
void tool_help(const struct command *commands, size_t nr);

/* Members of a JSON object; a double with six digits. */
void put_d(struct json_object *o, const char *name, double v);
void put_i(struct json_object *o, const char *name, uint64_t v);
void put_s(struct json_object *o, const char *name, const char *v);
void put_b(struct json_object *o, const char *name, bool v);
/* On stdout; @pretty: for people. */
void print_json(struct json_object *o, bool pretty);
/* A member as text, "-" when it is null or missing. */
const char *text_of(struct json_object *o, const char *name);

#endif

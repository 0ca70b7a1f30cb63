/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synthctl.h - the parts of synthctl to each other: options, the daemon's client, output, and the commands.
 */
#ifndef SYNTHCTL_H
#define SYNTHCTL_H

#include <json-c/json.h>
#include "common/base/base.h"
#include "common/base/exit.h"

/* ------------------------------------------------------------------ synthctl.c */

/* Every option of every command; a command says by bits which it takes. */
enum opt {
	OPT_HELP,
	OPT_VERSION,
	OPT_SOCKET,
	OPT_TIMEOUT,
	OPT_JSON,
	OPT_QUIET,
	OPT_OUTPUT,
	OPT_NOHEADINGS,
	OPT_BYTES,
	OPT_RO,
	OPT_QUEUES,
	OPT_USER_FRONTEND,
	OPT_CDROM,
	OPT_REMOVABLE,
	OPT_CACHE,
	OPT_NO_DISCARD,
	OPT_POLL_US,
	OPT_WAIT,
	OPT_MAY_EXIST,
	OPT_FORCE,
	OPT_IF_EXISTS,
	OPT_INTERVAL,
	OPT_COUNT,
	OPT_TAP,
	OPT_BRIDGE,
	OPT_OVS,
	OPT_PAIR,
	OPT_STREAM,
	OPT_NULL,
	OPT_MAC,
	OPT_MTU,
	OPT_RATE,
	OPT_LINK,
	OPT_DEV,
	OPT_WRITE,
	OPT_SNAPLEN,
	OPT_MAX_SIZE,
	OPT_STOP,
	OPT_PROGRAM,
	OPT_NR
};
#define OPT_BIT(o) (1ull << (o))

/* A daemon: one a class of device. */
struct service {
	const char *class;   /* "disk" */
	const char *program; /* "synth-blkd" */
	const char *stem;    /* "blkd": of its socket */
};
extern const struct service services[];
#define SERVICE_DISK (&services[0])
#define SERVICE_NIC  (&services[1])
#define NR_SERVICES  2u

struct opts {
	const struct service *service; /* whom to ask; NULL: SERVICE_DISK */
	uint64_t given;                /* OPT_BIT() */
	const char *text[OPT_NR];      /* arguments as typed, NULL where there is none */
	double seconds[OPT_NR];        /* of OPT_TIMEOUT, OPT_WAIT, OPT_INTERVAL */
	uint32_t number[OPT_NR];       /* of OPT_QUEUES, OPT_POLL_US, OPT_COUNT */
};

static inline bool opt_has(const struct opts *o, enum opt which)
{
	return o->given & OPT_BIT(which);
}

/* A command gets what follows its name, and returns the exit status. */
struct command {
	const char *name, *noun; /* "attach", "disk"; noun NULL when there is none */
	const char *args;        /* for the usage line */
	const char *what;        /* one line */
	int min_args, max_args;  /* max -1: any number */
	uint64_t opts;           /* OPT_BIT()s it takes beside the common ones */
	int (*run)(const struct opts *o, char **args, int nr_args);
};

/* "synthctl: WHAT: WHY" and the next step, or with --json one object, on stderr.  @why and @next may be NULL. */
void complain(const char *code, const char *what, const char *why, const char *next);
int usage_error(const char *fmt, ...) __printf(1, 2); /* complains, returns EXIT_USAGE */

/* ------------------------------------------------------------------ client.c */

struct client;

/* Why a request failed, complained about or not yet. */
struct failure {
	int status;              /* EXIT_* */
	bool absent;             /* nobody listens there */
	char code[16];           /* as in docs/control-protocol.md; "interrupted", "nodaemon" are the client's own */
	char *what, *why, *next; /* owned; next may be NULL */
};
void failure_clear(struct failure *f);
double now_s(void);                    /* since some moment */
int failure_report(struct failure *f); /* complains, clears, returns the status */

/* Connects to the daemon of --socket, $SYNTH_RUNDIR or the default.  0, or EXIT_* with @f filled. */
int client_open(const struct opts *o, struct client **ret, struct failure *f) __must_check;
void client_close(struct client *c); /* NULL ok */
/* A request with its "cmd" set; add the arguments. */
struct json_object *request_new(const char *cmd);
/*
 * Send @req (taken over) and wait for its reply, @extra_s longer than --timeout.  0 and *ret (the caller's; may be NULL
 * for a null result), or EXIT_* with @f filled.  SIGINT gives EXIT_INTERRUPTED.
 */
int client_call(struct client *c, struct json_object *req, double extra_s, struct json_object **ret,
		struct failure *f) __must_check;
/* More than --timeout, in seconds: what the daemon gives storage, servers and networks to answer, of a request that stands on them. */
#define PATIENCE_S 30.0
/* The options, for the daemon that has @dev: "eth0" is a nic, all else a disk. */
struct opts opts_for(const struct opts *o, const char *dev);
static inline const struct service *service_of(const struct opts *o)
{
	return o->service ? o->service : SERVICE_DISK;
}
/*
 * Ask every daemon that is there (with --socket: that one) and join their lists; @make gives the request anew.  One that is not
 * running has no devices, unless none is.  *ret is the caller's.
 */
int ask_each(const struct opts *o, struct json_object *(*make)(void *arg), void *arg,
	     struct json_object **ret) __must_check;
/*
 * Ask @req (taken over) on a new connection, for two seconds at most and without a complaint: how things stand meanwhile, or
 * when the first one was interrupted.  0 and the answer in *@ret, the caller's; or an exit status and NULL.
 */
int ask_quietly(const struct opts *o, struct json_object *req, struct json_object **ret);
/* client_open + client_call + report: for commands that need one answer. */
int ask(const struct opts *o, struct json_object *req, double extra_s, struct json_object **ret) __must_check;

/* ------------------------------------------------------------------ output.c */

struct table;
/* Columns by name; @right lists with true those whose text is set to the right. */
struct table *table_new(const char *const *names, const bool *right, unsigned nr);
void table_add(struct table *t, char **cells);    /* nr strings, each taken over (free()) */
void table_print(struct table *t, bool headings); /* and frees */

/* Devices, as docs/control-protocol.md describes them: chosen columns (NULL: the usual ones).  EXIT_* */
int print_devices(const struct opts *o, struct json_object *array);
/* All that is known of one device, a line each, or with --json the object. */
int print_device(const struct opts *o, struct json_object *dev);
int print_json(struct json_object *what);
/* Text from elsewhere, safe for a terminal: control characters become '?'.  The caller's. */
char *clean_text(const char *s);
char *human_size(uint64_t bytes); /* "40G", "1.5M", "512"; the caller's */
/* The string member, "" when there is none. */
const char *member(struct json_object *o, const char *name);

/* ------------------------------------------------------------------ commands */

/* Ctrl-C ended an attach: says how things stand with @dev (taken over; NULL: not there).  EXIT_INTERRUPTED */
int attach_interrupted(const struct opts *o, struct json_object *dev);
int cmd_attach_nic(const struct opts *o, char **args, int nr);
int cmd_set(const struct opts *o, char **args, int nr);
int cmd_trace(const struct opts *o, char **args, int nr);
int cmd_attach_disk(const struct opts *o, char **args, int nr);
int cmd_detach(const struct opts *o, char **args, int nr);
int cmd_list(const struct opts *o, char **args, int nr);
int cmd_show(const struct opts *o, char **args, int nr);
int cmd_stat(const struct opts *o, char **args, int nr);
int cmd_resize(const struct opts *o, char **args, int nr);
int cmd_doctor(const struct opts *o, char **args, int nr);
int cmd_daemon(const struct opts *o, char **args, int nr);
int cmd_block_attach(const struct opts *o, char **args, int nr);
int cmd_block_detach(const struct opts *o, char **args, int nr);
int cmd_block_list(const struct opts *o, char **args, int nr);

#endif

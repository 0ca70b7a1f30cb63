/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-doctor.h - `synthctl doctor`: what its files are to each other.
 *
 *   cmd-doctor-parse.c   text of the kernel -> numbers                       pure
 *   cmd-doctor-report.c  findings, and the commands they advise              pure
 *   cmd-doctor-judge.c   one device as it was seen from everywhere -> findings   pure
 *   cmd-doctor-store.c   xenstore -> the devices seen there                  reads, on a thread with a deadline
 *   cmd-doctor-daemon.c  the daemons: sockets, workers, their limits         reads
 *   cmd-doctor-host.c    Xen, kernel, scripts, disk space                    reads
 *   cmd-doctor.c         one look, a second one when something moved, the output
 *
 * The doctor changes nothing: it opens, reads, asks `status`, `list` and `stat`, and never takes a lock.
 */
#ifndef SYNTH_CMD_DOCTOR_H
#define SYNTH_CMD_DOCTOR_H

#include <json-c/json.h>
#include "common/base/base.h"
#include "common/xen/paths.h"

struct opts;

/* ------------------------------------------------------------------ classes */

#define DOCTOR_MIRROR_MAX 16u

/* A class of device, as far as a doctor has to know it. */
struct doctor_class {
	const char *word;      /* "disk" */
	const char *type;      /* "vbd": backend/vbd, device/vbd; the kernel's driver has this name too */
	const char *user_type; /* "svbd": device/svbd, of front ends in user space */
	const char *program;   /* "synth-blkd" */
	const char *stem;      /* "blkd": $SYNTH_RUNDIR/blkd.sock, blkd.lock */
	const char *script;    /* "block-synth": hotplug script, by which a mirror is known as ours too */
	const char *xl;        /* "block": xl's block-attach, block-detach, block-list */
	const char *module;    /* "xen_blkback": the kernel's back end of the same protocol */
	/* leaves of the back end directory which libxl's mirror has too, NULL-terminated */
	const char *mirror[DOCTOR_MIRROR_MAX + 1];
};
extern const struct doctor_class doctor_classes[];
extern const unsigned doctor_nr_classes;

/* ------------------------------------------------------------------ report */

enum level { LEVEL_OK, LEVEL_NOTE, LEVEL_WARNING, LEVEL_ERROR, LEVEL_NA, LEVEL_NR };

struct finding {
	const char *check; /* one of the ids of cmd-doctor.c */
	enum level level;
	char *subject; /* device, process, file; NULL: none */
	char *what, *why, *next;
	char **commands; /* lines for a shell, in this order */
	unsigned nr_commands;
};

struct report {
	struct finding *v;
	size_t nr, room;
};

/* The new finding is valid until the next one is added.  @subject may be NULL. */
struct finding *report_add(struct report *r, const char *check, enum level level, const char *subject, const char *fmt,
			   ...) __printf(5, 6);
void finding_why(struct finding *f, const char *fmt, ...) __printf(2, 3);
void finding_next(struct finding *f, const char *fmt, ...) __printf(2, 3);
void finding_command(struct finding *f, const char *fmt, ...) __printf(2, 3);
/* The command that starts this daemon: the service manager's when it has a @unit, so that it stays in its care. */
void finding_start(struct finding *f, bool unit, const char *run_prefix, const char *program);
void report_clear(struct report *r);
size_t report_count(const struct report *r, enum level level);
/* Does it have a problem (warning, error) of this check about this subject? */
bool report_problem(const struct report *r, const char *check, const char *subject);
/* Problems of @r that @before does not have are dropped: they came and may go.  How many. */
size_t report_confirm(struct report *r, const struct report *before, bool (*moving)(const char *check));
const char *level_name(enum level level);

/* asprintf() that does not fail: the doctor has nothing better to do without memory than to end.  The caller's. */
char *text(const char *fmt, ...) __printf(1, 2);
/* One word for a shell, quoted when need be.  The caller's. */
char *shell_word(const char *s);

/* ------------------------------------------------------------------ parse (pure) */

/* "vbd-1-51712", a name below /sys/bus/xen-backend/devices.  0 or -EINVAL. */
int parse_bus_name(const char *name, char type[16], uint32_t *domid, uint32_t *id) __must_check;
/* The soft limit of the line "Max open files   1024   4096   files" in /proc/PID/limits; UINT64_MAX: unlimited. 0, -ENOENT. */
int parse_limit(const char *limits, const char *name, uint64_t *soft) __must_check;
/* Who holds a flock on that inode, from /proc/locks: the pid (0: not to be seen from here), or -ENOENT: nobody. */
int64_t parse_lock_holder(const char *locks, uint32_t major, uint32_t minor, uint64_t inode) __must_check;
/* Is @word among the words of @text (blanks and commas between them)? */
bool has_word(const char *text, const char *word);
/* "BOOT-ID:PID" of a synth/daemon node, of this boot: the pid, else 0. */
int64_t parse_instance(const char *instance, const char *boot_id);

/* ------------------------------------------------------------------ devices */

enum doctor_domain { DOMAIN_UNKNOWN, DOMAIN_ALIVE, DOMAIN_DEAD };

struct doctor_front {
	bool there;
	char backend[STORE_PATH_MAX]; /* its `backend` node; "" none, or not to be read */
	uint32_t nodes;               /* in it */
};

/* One number of one guest, as it is seen from xenstore, the daemon and the kernel. */
struct doctor_device {
	const struct doctor_class *class;
	uint32_t domid, id;
	enum doctor_domain domain;
	/* xenstore */
	bool back, ours;                 /* its back end directory is there; and says that it is ours */
	char frontend[STORE_PATH_MAX];   /* its `frontend` node */
	char instance[96];               /* its synth/daemon */
	char script[STORE_PATH_MAX];     /* its `script` */
	struct doctor_front front, user; /* device/TYPE/ID and device/USER_TYPE/ID */
	bool mirror, mirror_ours;        /* /libxl/N/device/TYPE/ID; with our script */
	char mirror_backend[STORE_PATH_MAX];
	char *mirror_values[DOCTOR_MIRROR_MAX]; /* of class->mirror, read when there is no mirror; NULL: none */
	char rival[STORE_PATH_MAX];             /* another back end directory that names the same front end */
	/* the daemon */
	bool known;
	char name[96]; /* "web1/xvda" */
	char phase[16], state[16], front_state[16];
	char broken[384];
	uint64_t phase_s;           /* UINT64_MAX: it does not say */
	uint64_t oldest_request_ns; /* 0: none */
	bool worker_loops;          /* its worker dies again and again */
	/* the kernel */
	bool bus;          /* it made a device of it */
	char claimed[32];  /* the driver that has it, "" none */
	bool other_daemon; /* a live process that is not the daemon we ask is said to serve it */
};

/* What the judge has to know beside the device. */
struct doctor_view {
	uint32_t back_domid;
	bool daemon_up;         /* it answered, and told its devices */
	bool unit;              /* systemd has one for it */
	const char *run_prefix; /* "hostxen run -d 0 -- ", or "" */
};

/* Everything that is wrong with this device's directories, links and states. */
void judge_device(const struct doctor_device *d, const struct doctor_view *v, struct report *r);

/* ------------------------------------------------------------------ what was seen */

#define DOCTOR_MAX_DEVICES 4096u
#define DOCTOR_MAX_DOMAINS 4096u

/* Of xenstore. */
struct doctor_store {
	int err; /* 0; -ETIMEDOUT, -EACCES, or what xs_open() says */
	bool full;
	uint32_t back_domid;
	uint64_t answer_ns, transaction_ns;
	struct doctor_device *devices;
	uint32_t nr;
	uint32_t homes[DOCTOR_MAX_DOMAINS], nr_homes; /* domains with a home that are not introduced */
};
/* Reads all of it, at most so long.  The result is the caller's: store_seen_free(). */
struct doctor_store *store_look(double timeout_s);
void store_seen_free(struct doctor_store *s);
/* The one of that number, made if need be; NULL when there are too many. */
struct doctor_device *store_device(struct doctor_store *s, const struct doctor_class *k, uint32_t domid, uint32_t id);

enum daemon_how {
	DAEMON_ABSENT,    /* no socket, nobody has the lock */
	DAEMON_DEAD,      /* a socket, and nobody behind it */
	DAEMON_DEAF,      /* somebody has the lock, but nobody listens */
	DAEMON_SILENT,    /* no answer in time, or one that is not understood */
	DAEMON_FORBIDDEN, /* we may not ask */
	DAEMON_UP
};

struct doctor_daemon {
	const struct doctor_class *class;
	enum daemon_how how;
	char dir[256], socket[300], lock[300];
	int64_t lock_pid;                         /* who has the lock; 0 unknown, < 0 nobody */
	char *why;                                /* of DAEMON_SILENT */
	struct json_object *status, *list, *stat; /* of DAEMON_UP; NULL: not understood */
};

struct doctor {
	const struct opts *o;
	const char *root; /* before /sys, /proc/xen, /dev/xen, scripts, units: "", or $SYNTH_SYSROOT of a test */
	bool hostxen, xen, dom0, is_root, interrupted;
	char boot_id[40];
	double timeout_s;
	struct doctor_store *store;
	struct doctor_daemon daemons[4];
	struct report report;
};

/* A small file's text, cut off at @bytes; below d->root.  Length or -errno. */
int read_small(const char *root, const char *path, char *buf, size_t bytes);

/* Each adds its findings to d->report. */
void host_look(struct doctor *d); /* first: is this Xen? */
void host_check(struct doctor *d);
void host_claims(struct doctor *d);                          /* fills bus, claimed */
bool host_unit(const struct doctor *d, const char *program); /* does systemd run here, with a unit for it? */
void host_scripts(struct doctor *d);
void host_space(struct doctor *d);
void host_grants(struct doctor *d);
void daemon_look(struct doctor *d);
void daemon_check(struct doctor *d);
/* Is it running, or should it be? */
bool daemon_wanted(const struct doctor *d, const struct doctor_class *k);
bool daemon_sees(const struct doctor_daemon *m); /* it answers, and sees what is in xenstore */
void daemon_devices(struct doctor *d);           /* fills known and what follows */
void daemon_limits(struct doctor *d);
void daemon_forget(struct doctor *d);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * class.h - what a device class supplies to the control plane (to the data plane: backend/class.h).  One const table
 * a class; the control plane owns the device and calls down.
 *
 * A class keeps its own data about one device in a `spec`: what the user asked for, and what the worker said
 * about it once it was opened.  Everything runs on the loop, but for open_run(), look_run(), resize_run() and gone_run(), which
 * run on a thread of their own with nothing but their job (see job.h): storage and networks may be slow, the control plane may
 * not.
 *
 * Each int is 0 or -errno.
 */
#ifndef SYNTH_CONTROL_CLASS_H
#define SYNTH_CONTROL_CLASS_H

#include "backend/control/fault.h"
#include "backend/control/job.h"
#include "backend/control/nodes.h"
#include "backend/control/wire.h"
#include "common/base/base.h"
#include "common/xen/vdev.h"

struct device;
struct control_class;
struct json_object;

/* Bytes of a front end's node we are ready to look at, with the NUL; all that are legal are far shorter. */
#define FRONT_VALUE_MAX 64u
#define REASON_MAX      256u

/* Defaults from the command line. */
struct class_options {
	uint32_t max_queues; /* 1..WIRE_MAX_QUEUES */
	uint32_t poll_us;
};

/*
 * How a parser reads nodes: @name is relative to the directory, the answer is NUL-terminated.  -ENOENT, -EMSGSIZE
 * (longer than the buffer), -EINVAL (a NUL inside), or the store's own error.
 */
struct node_getter {
	int (*get)(void *arg, const char *name, char *value, size_t bytes);
	void *arg;
};

/* Front end's published parameters: `wire` has no ports yet, they are bound by the control plane from remote_port
 * (nr_ports of each queue). */
struct front_params {
	struct wire_connect wire;
	uint32_t remote_port[WIRE_MAX_QUEUES][WIRE_MAX_RINGS];
};

#define SETTINGS_MAX       256u
#define CLASS_MAX_SETTINGS 4u
#define OPEN_MAX_FDS       (WIRE_MAX_QUEUES + 2u) /* one a queue, and what they share */
/* Work of opening what a device stands on (an image, a TAP). */
struct open_job {
	struct job job;       /* job.run and .done are the control plane's */
	struct device *owner; /* the control plane's; not for the class */
	const struct control_class *class;
	uint32_t domid, vdev;
	uint64_t size;   /* of a resize */
	bool again;      /* a front end is connected all the while: rings of a worker that is gone are to be served */
	bool unanswered; /* and that one had something under way when it went (struct control_class, unanswered()) */
	uint64_t was[2]; /* .id of what it has to be, since a guest goes on with it; 0, 0: nothing in particular */
	/* in, by open_new() */
	void *priv; /* the class's, of open_new(); gone with open_free() */
	/* out, by open_run() */
	int err;               /* -EBUSY with .fault: somebody holds it, may be tried again */
	struct fault fault;    /* when err < 0 */
	uint64_t file_bytes;   /* of a regular file that is written to, of resize_run() too; 0: there is none */
	uint64_t id[2];        /* identifies the thing among all of the class; 0, 0: nothing shared */
	bool exclusive;        /* no other device of ours may have the same id: nothing else would notice */
	int fds[OPEN_MAX_FDS]; /* owned by the job until open_free() */
	uint32_t nr_fds;
	uint32_t bytes; /* of .body, WIRE_OPEN's */
	uint8_t body[1024];
};

/* A device that was found open in its worker. */
struct taken {
	const char *device;
	uint32_t domid, vdev;
	const void *body; /* of keep() */
	uint32_t bytes;
	const int *fds;
	uint32_t nr_fds;
};

/* Nodes that may change while the device lives, which the class is told of. */
struct class_setting {
	const char *name; /* NULL ends a list */
	uint32_t where;   /* NODE_BACK: a toolstack's; NODE_FRONT: the guest's */
};

struct control_class {
	const char *name;      /* "disk": the control protocol's word */
	const char *type;      /* "vbd": backend/vbd, and device/vbd */
	const char *user_type; /* "svbd": device/svbd, for front ends in user space */
	const char *program;   /* "synth-blkd" */
	const char *worker;    /* "synth-blkd-worker" */
	const char *stem;      /* "blkd": $SYNTH_RUNDIR/blkd.sock, blkd.lock */

	/* "xvda" or "51712" -> number; number -> "xvda"; the n-th name to try when the user gave none (-ENOENT: no more) */
	int (*dev_parse)(const char *text, uint32_t *vdev);
	void (*dev_name)(uint32_t vdev, char name[VDEV_NAME_MAX]);
	int (*dev_nth)(uint32_t n, uint32_t *vdev);

	/* From a control request, or from the back end directory of a device that is there already. */
	int (*spec_new)(struct json_object *args, const struct class_options *opt, void **ret, struct fault *f);
	int (*spec_load)(const struct node_getter *g, const struct class_options *opt, void **ret, struct fault *f);
	void (*spec_free)(void *spec);
	/*
	 * Detached, or its domain died: what was made on this host is undone.  On the loop, what that is, taken out of the spec, or
	 * NULL: nothing; on a thread, undone; on the loop again, freed.  Then it is told to be detached.  NULL ok: all three.
	 */
	void *(*gone_new)(void *spec);
	void (*gone_run)(void *what);
	void (*gone_free)(void *what);

	/* Leaves written once, when the device is made; and those written with every InitWait and Connected. */
	void (*nodes_birth)(const void *spec, uint32_t vdev, struct nodes *n);
	void (*nodes_live)(const void *spec, struct nodes *n);

	/* NULL: none.  settings_body() reads them (into the spec too) and fills a WIRE_SET's body, of at most SETTINGS_MAX: its
	 * bytes.  change() turns a `set` request into nodes to write. */
	const struct class_setting *settings;
	uint32_t (*settings_body)(void *spec, const struct node_getter *back, const struct node_getter *front,
				  void *body);
	int (*change)(void *spec, struct json_object *args, struct nodes *n, struct fault *f);

	/*
	 * Parts of a worker that this device needs, a bit each, and others do without: a worker loads them at its start or never.
	 * A device that its guest's worker cannot serve waits until that is replaced (upgrade.c).  NULL: there are none.
	 */
	uint32_t (*parts)(const void *spec);

	/* Opening: on the loop, on a thread, on the loop again.  open_new() sets priv, and fds that are there already. */
	int (*open_new)(void *spec, const char *device, struct open_job *j);
	void (*open_run)(struct open_job *j); /* what is not what it .was is -ESTALE, and not touched */
	void (*open_told)(void *spec, const struct open_job *j); /* it went well: remember what matters */
	void (*open_free)(struct open_job *j);                   /* closes fds; also of a job that never ran */
	/* Could a successor of its worker open what the device stands on?  On a thread, @priv as made by open_new().  NULL: it
	 * could. */
	int (*look_run)(struct open_job *j);
	/*
	 * For the next control plane, which finds the device open in its worker, and has opened nothing.  keep(): what
	 * open_told() was told, into @body (WIRE_TAG_MAX), and descriptors, which stay the spec's, into @fds: the bytes.
	 * taken() gets it back from the worker, who may have been taken over by its guest; when it goes well the fds are
	 * the class's.  info() follows.
	 */
	uint32_t (*keep)(const void *spec, void *body, int fds[WIRE_MAX_FDS], uint32_t *nr_fds);
	int (*taken)(void *spec, const struct taken *t);
	/* The worker's answer to WIRE_OPEN or WIRE_RESIZE: checked, remembered.  1: the size is not what it was before, or
	 * what spec_load() found in xenstore.  -EFBIG: it stands on a regular file, of which the worker may write
	 * @file_bytes only. */
	int (*info)(void *spec, const void *body, size_t bytes, uint64_t file_bytes);

	/* Bytes of the class's part of the journal for such a connection (backend/journal.h). */
	uint64_t (*journal_bytes)(const struct wire_connect *c);
	/* Pure: does that part say that something was under way?  NULL: nothing outlives a worker. */
	bool (*unanswered)(const void *part, const struct wire_connect *c);
	/* Pure: the front end's nodes -> checked parameters, or -errno and @why. */
	int (*front)(const void *spec, const struct node_getter *g, struct front_params *ret, char why[REASON_MAX]);

	/* Change the size of what the device stands on (@size 0: look at it only, for .file_bytes); runs on a thread, @priv as made by open_new().  NULL: has no size. */
	int (*resize_run)(struct open_job *j, uint64_t size);

	bool traces; /* its workers take WIRE_TRACE */

	/* Members of a device in replies; @p NULL when it is not connected. */
	void (*show)(const void *spec, const struct front_params *p, struct json_object *o);
};

/* The class of this daemon: each class has a daemon, and its workers, of its own. */
extern const struct control_class *const daemon_class;

#endif

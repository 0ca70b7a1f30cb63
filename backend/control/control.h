/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control.h - what the control plane's files share: the daemon, its workers, its devices.
 *
 *   ctl.c       lines from clients          -> cmd.c     commands -> instance.c
 *   discover.c  xenstore, domains coming and going       -> instance.c
 *   instance.c  one device: events -> common/xenbus's table -> layout.c (nodes), open.c (image),
 *               connect.c (rings), supervise.c (worker)
 *   guest.c     one guest: what all of its devices together may cost us
 *
 * One thread, but for jobs (job.h).  Nothing here waits: a step that takes time is started and its answer comes as
 * an event.  Functions named TYPE_VERB belong to the file that defines TYPE below.
 */
#ifndef SYNTH_CONTROL_H
#define SYNTH_CONTROL_H

#include <sys/types.h>
#include "backend/control/class.h"
#include "backend/control/ctl.h"
#include "backend/control/domain.h"
#include "backend/control/fault.h"
#include "backend/control/guest.h"
#include "backend/control/job.h"
#include "backend/control/wire.h"
#include "common/base/list.h"
#include "common/event/loop.h"
#include "common/log/log.h"
#include "common/xen/evtchn.h"
#include "common/xen/paths.h"
#include "common/xen/store.h"
#include "common/xenbus/xenbus.h"

#define UUID_MAX 40u

struct control {
	const struct control_class *class;
	struct class_options opt;
	struct loop *loop;
	/*
	 * Two connections: libxenstore starts a reader thread for one that watches, which costs every answer on it two more
	 * thread switches; making a device takes some sixty questions.
	 */
	struct store *store, *watches;
	struct loop_fd *store_watch;
	bool store_lost;
	struct loop_timer *store_retry; /* while it is lost */
	struct loop_timer *strays;      /* while there are some (find.c) */
	struct loop_timer *watchdog;    /* systemd's; NULL without */
	uint64_t watchdog_ms;
	struct domains *domains;
	struct jobs *jobs;
	struct ctl *ctl;
	struct list devices, workers;
	struct list guests; /* that have devices (guest.c) */
	struct list turns;  /* of these, who has devices to be looked at, in this order */
	bool turning;
	struct list holds;  /* domains that wait for their disks (kept.c) */
	struct list posted; /* devices with events put off to the end of the turn */
	bool posting;
	uint32_t back_domid;       /* ours */
	uint32_t worker_uid_base;  /* + domid: the user of a guest's workers; 0: they keep ours */
	struct wire_limits limits; /* of a guest */
	uint32_t max_grants_all;   /* of all workers together */
	uint32_t linger_s;         /* how long a toolstack gets to remove the nodes of a closed device */
	uint64_t started_ns;
	char instance[64]; /* boot id and pid: synth/daemon */
	bool stopping;
	bool leaving; /* without having stopped them: workers serve on */
	uint32_t era; /* upgrades there were (upgrade.c) */
	struct upgrade *upgrade;
	struct ctl_req *stop_req; /* who asked, if a client did */
	struct loop_timer *stop_timer;
};

/* ---------------------------------------------------------------- workers */

struct worker;
/*
 * @err 0 or -errno: the worker's, -ETIMEDOUT, or -EPIPE when it died (its devices are told so separately).
 * @m NULL unless it answered.
 */
typedef void worker_reply_fn(void *arg, int err, const struct wire_msg *m);

/* The worker of a domain, made at need; each user keeps one reference.  The process is started by the first question. */
int worker_get(struct control *c, uint32_t domid, struct worker **ret) __must_check;
void worker_put(struct worker *w); /* the last one tells it to quit */
/* @ms, but for tests, which kill and stop workers on purpose: what @name in the environment says. */
uint32_t worker_ms(const char *name, uint32_t ms);
/*
 * Ask; @fn is called once, from the loop, unless worker_forget() came first.  Never waits: questions are queued
 * until the worker is there.  @fds are duplicated.
 */
struct worker_ask {
	uint16_t type;
	uint32_t handle;
	const void *body;
	uint32_t bytes;
	const int *fds;
	uint32_t nr_fds;
	uint32_t deadline_ms; /* of a process that is up */
	bool kill;            /* when it does not answer in time, kill it: the guest must not hang on it for ever */
	worker_reply_fn *fn;
	void *arg;
};
int worker_ask(struct worker *w, const struct worker_ask *q) __must_check;
uint32_t worker_new_handle(struct worker *w); /* for a device of it */
/* It is about to be given a regular file to write to, of so many bytes. */
void worker_writes(struct worker *w, uint64_t bytes);
uint64_t worker_may_write(const struct worker *w); /* of a regular file: bytes */
/* What was not sent yet never is; what was is answered to nobody.  @type 0: all; @w NULL ok. */
void worker_forget(struct worker *w, const void *arg, uint16_t type);
/* Has this question, which is not answered, reached it? */
bool worker_told(const struct worker *w, const void *arg, uint16_t type);
/* Who asked this is in a hurry: answered (or killed) in @ms at most. */
void worker_hurry(struct worker *w, const void *arg, uint16_t type, uint32_t ms);
/* May a device that needs these parts be given to it? */
bool worker_can(const struct worker *w, uint32_t parts);
/* It was told to quit and takes no question any more: while devices have it still, it hands over to a successor. */
bool worker_leaving(const struct worker *w);
pid_t worker_pid(const struct worker *w); /* 0: none at the moment */
uint32_t worker_domid(const struct worker *w);
uint32_t worker_crashes(const struct worker *w); /* early deaths in a row */
uint32_t worker_deaths(const struct worker *w);  /* in all, of the processes of this domain's worker */
bool worker_own_fault(const struct worker *w);   /* the last one to die was not killed by somebody else */
/* 0, or milliseconds until the next start is tried. */
uint64_t worker_backoff(const struct worker *w);
void workers_reap(struct control *c); /* SIGCHLD */
/* Tell all to quit; workers_left() says how many have not. */
void workers_quit(struct control *c);
uint32_t workers_left(const struct control *c);
void workers_free(struct control *c);
/* The one after @w (NULL: the first), or NULL. */
const struct worker *worker_next(const struct control *c, const struct worker *w);
const char *worker_state_name(const struct worker *w);
uint32_t worker_strays(const struct worker *w);
uint64_t worker_up_ns(const struct worker *w); /* since its process was started, or found; 0: none */

/* find.c: workers of a daemon that died, and the devices they serve */
struct found_device {
	struct list link;
	struct worker *w;
	uint32_t handle;
	bool spare;  /* worker_spare() */
	pid_t stray; /* whose it is; 0: it is none */
	struct wire_device told;
	const uint8_t *tag, *info; /* told.tag.bytes, told.info_bytes */
	int fds[WIRE_MAX_FDS];     /* of the tag; ours */
	uint32_t nr_fds;
	uint8_t body[];
};
/* At start: reach them all and hear what they have.  Waits, at most FIND_MS. */
void workers_find(struct control *c);
/* The one that serves this device, or NULL.  To be freed, its worker is a reference of the caller's. */
struct found_device *worker_claim(struct control *c, uint32_t domid, const char *uuid);
void found_device_free(struct found_device *f); /* NULL ok */
/* Its nodes are there and cannot be used: it is not to be closed for that. */
void worker_spare(struct control *c, uint32_t domid, const char *uuid);
/*
 * Devices that nobody claimed are closed, workers without any quit.  True: there are strays, connected devices that cannot be had,
 * though their guests run and nobody detached them: they are served on, until the guest goes or another daemon can have them.
 */
bool workers_unclaimed(struct control *c);
void worker_drop(struct found_device *f); /* close this one; takes @f and its reference */
void found_free(struct worker *w);

/* ---------------------------------------------------------------- devices */

enum device_phase {
	DEVICE_ATTACHING, /* the image is being opened; nothing in xenstore yet */
	DEVICE_LIVE,      /* its nodes are there; `state` drives it */
	DEVICE_LEAVING,   /* 6 is written; the worker is forgetting it, or what was made on this host is being undone */
	DEVICE_LINGERING, /* 6 is written; a toolstack is expected to remove the nodes */
};

enum device_opening {
	OPEN_NONE,
	OPEN_JOB,    /* on a thread */
	OPEN_RETRY,  /* locked by somebody; trying again soon */
	OPEN_WAITS,  /* for a worker that can be asked (upgrade.c); .job has what was opened */
	OPEN_WORKER, /* the worker was asked */
	OPEN_DONE,   /* the worker has it, under .handle */
};

enum wait_kind { WAIT_ATTACH, WAIT_CONNECTED, WAIT_DETACHED, WAIT_RESIZE };

struct device {
	struct list link; /* control.devices */
	struct control *c;
	void *spec;
	uint32_t domid, vdev;
	struct domain_id domain;      /* which life of the domid */
	char domain_name[64];         /* "" unknown */
	char dev_name[VDEV_NAME_MAX]; /* "xvda" */
	char name[80];                /* "web1/xvda" */
	char uuid[UUID_MAX];
	bool user_frontend;
	bool name_chosen; /* by us: another will do if it is taken */
	struct path front, back, mirror;
	uint64_t attached_ns, phase_ns; /* since when; and in this phase and state */

	enum device_phase phase;
	enum back_state state;
	uint32_t published;      /* our xenbus state in xenstore, as far as we know */
	uint32_t front_state;    /* last seen */
	char broken[REASON_MAX]; /* "" when all is well */
	bool committed;          /* its nodes were written */
	bool toolstack;          /* somebody else is removing it: the nodes are theirs to remove */
	bool unwanted;           /* somebody detached it, or it was kept: nothing of it is kept (any more) */
	enum domain_end kept;    /* being made from what was kept when its domain ended so (kept.c); else DOMAIN_RUNS */
	enum domain_end ending;  /* how its domain was shut down, when last seen */
	bool adopted;            /* found Connected at start: its state node is not touched while we connect again */

	/* events, bounded: at most one of each kind is put off */
	struct list posted;     /* control.posted */
	uint32_t posted_events; /* bits: 1 << enum back_event, DEVICE_POST_* */
	struct store_watch *front_watch, *online_watch, *setting_watch[CLASS_MAX_SETTINGS];
	bool settings_due;                   /* one of them fired */
	bool settings_asked, settings_again; /* the worker was told and has not answered; they changed since */
	struct guest *guest;                 /* whose account it is on */
	struct list due;                     /* guest.due: it is to be looked at */
	uint64_t looks, throttled;           /* made; put off since the guest had had its share */

	/* the worker */
	struct worker *worker;
	enum device_opening opening;
	bool connect_after; /* when open, go on connecting */
	uint32_t handle;
	struct open_job *job;
	struct loop_timer *retry; /* of a locked image, or a busy port */
	uint64_t retry_until_ns;
	uint32_t retry_ms;    /* until the next try */
	uint64_t identity[2]; /* of the image */
	uint64_t file_bytes;  /* so far its worker may write to it, a regular file; of a found one: to any file */
	bool has_rings;       /* the worker was told to connect and not yet to disconnect */
	bool halted;          /* and has told that it halted them */
	bool draining, drain_finish;
	bool forced;                    /* taken away: its worker gets FORCE_DRAIN_MS to let go of it */
	bool was_draining;              /* when it was found */
	uint64_t handed_ns, resumed_ns; /* upgrade.c: given to another worker, taken up by it */
	uint64_t unserved_ns;           /* since when nobody serves its rings, though they are to be served; 0 */
	bool resume;                    /* the next connect goes on from the journal */
	bool redrain;                   /* and then drains, as the worker that died was about to */
	struct front_params *params;    /* while connected */
	struct evtchn *ports[WIRE_MAX_QUEUES];
	struct open_job *look;     /* at what it stands on (device_look_below()) */
	char look_why[REASON_MAX]; /* what was wrong with it; "" */
	struct undo *undo;         /* what was made on this host for it is being undone; then it goes */
	struct open_job *resize;
	bool resize_asked; /* the worker was asked for the size */
	bool resize_due;   /* it is to be, when one has it open that can be asked */
	bool size_due;     /* what is in xenstore is not the size any more */

	struct list waits; /* struct device_wait */
	struct loop_timer *linger;
	struct loop_timer *force; /* asked for by force, and asking the guest first */
};

#define DEVICE_POST_LOOK (1u << BACK_NR_EVENTS)
#define DEVICE_POST_LEFT (2u << BACK_NR_EVENTS)

/* A client waiting for a device. */
struct device_wait {
	struct list link;
	struct device *d;
	enum wait_kind kind;
	struct ctl_req *req;
	uint32_t wait_s; /* WAIT_ATTACH: go on to wait for Connected so long; 0: do not */
	struct loop_timer *timer;
};

struct attach {
	uint32_t domid;
	const char *domain_name; /* "" unknown */
	bool vdev_given, user_frontend;
	enum domain_end kept; /* as in struct device */
	uint32_t vdev;
	uint32_t wait_s;
	struct ctl_req *req; /* NULL: nobody asked */
};

/* instance.c.  Takes @spec and, when it succeeds, answers the request itself. */
int device_attach(struct control *c, const struct attach *a, void *spec, struct fault *f) __must_check;
/* One found in xenstore: *d is filled in but for its machinery.  Takes @d. */
int device_adopt(struct device *d, uint32_t back_state, bool online) __must_check;
/* A worker serves it already, and goes on: before device_adopt().  Takes @f; false: it does not, after all. */
bool device_take(struct device *d, struct found_device *f);
/* One whose domain, or front end, is gone: what is left of it goes, too.  Takes @d. */
void device_found_gone(struct device *d);
struct device *device_new(struct control *c, uint32_t domid, uint32_t vdev, bool user_frontend) __must_check;
void device_free(struct device *d); /* leaves xenstore alone */
struct device *device_find(struct control *c, uint32_t domid, uint32_t vdev);
void device_name_it(struct device *d, const char *domain_name);
const char *device_phase_name(const struct device *d);
/* What happens to a device, now (from the loop's top) or at the end of the turn. */
void device_event(struct device *d, enum back_event ev);
void device_post(struct device *d, enum back_event ev);
void device_post_left(struct device *d); /* the worker has forgotten it */
/* Take it away: a front end that is connected is told first, and given a moment. */
void device_force(struct device *d);
void device_look_now(struct device *d); /* at the front end's state, in its guest's turn: guest_look() */
int device_wait_for(struct device *d, enum wait_kind kind, uint32_t seconds, struct ctl_req *req) __must_check;
void device_waits_done(struct device *d, enum wait_kind kind, const struct fault *f); /* NULL: success */
uint64_t device_watch_events(const struct device *d);
/* Something may have happened to the domain, which is still there. */
void device_domain_changed(struct device *d);
/* The domain is no more, or dying. */
void device_domain_gone(struct device *d);
struct json_object *device_json(struct device *d);

/* open.c */
#define DEVICE_ASK_MS       30000u /* for a worker to answer what has nothing to do with the guest */
#define DEVICE_RETRY_MS     50u
#define DEVICE_RETRY_MIN_MS 2u /* at first: what a dead worker had under way takes a moment, its guest waits */
void device_open(struct device *d, uint32_t patience_ms); /* ends in device_opened() */
void device_open_cancel(struct device *d);
/* OPEN_WAITS: its worker is another, or is started again; and: it will not be. */
void device_open_go_on(struct device *d);
void device_open_give_up(struct device *d, const char *why);
uint32_t device_parts(const struct device *d); /* of a worker, that it needs */
/*
 * Could a successor of its worker open what it stands on?  Known when .look is NULL again, and that may be never: .look_why.
 */
void device_look_below(struct device *d);
/* @size 0: it has another already.  Ends in a WAIT_RESIZE answer. */
int device_resize(struct device *d, uint64_t size, struct fault *f) __must_check;
/* resize_due: it was opened again, or (@err, @why) could not be. */
void device_resize_go_on(struct device *d, int err, const struct fault *why);
int device_publish_size(struct device *d); /* if it is due; it stays so when it cannot be */

/* connect.c */
void device_attach_opened(struct device *d, int err, const struct fault *f); /* instance.c */
void device_opened(struct device *d, int err, const struct fault *f);
void device_settings(struct device *d); /* tell the worker what the class's settings are now */
/* The same when a guest may have changed them: one question at a time, whatever the worker does. */
void device_settings_changed(struct device *d);
void device_connect(struct device *d);        /* answers CONNECTED or REFUSED */
void device_disconnect(struct device *d);     /* answers DRAINED */
void device_disconnect_now(struct device *d); /* by force: a drain that is under way, or comes, is cut short */
/* Its worker died while it drained, and nobody waits any more for what it had not answered: it is let go of as it is. */
void device_redrain_not(struct device *d);
void device_taken_rings(struct device *d); /* found connected: know what its front end had asked for */
void device_reconnect(struct device *d);   /* found draining: connect again when that is over */
/* Its worker has quit in favour of @to, at @since or later. */
void device_hand_over(struct device *d, struct worker *to, uint64_t since);
void device_worker_lost(struct device *d, const char *how);
int device_trace(struct device *d, const struct wire_trace *t, int fd, worker_reply_fn *fn, void *arg) __must_check;
void device_broken(struct device *d, const char *why, size_t bytes); /* the worker's words, which may be the guest's */
void device_wire_event(struct control *c, struct worker *w, const struct wire_msg *m);

/* layout.c */
int layout_paths(struct device *d);
int layout_create(struct device *d, struct fault *f) __must_check;
/* 0, -ENOENT when the directory is not there any more (or not ours). */
int layout_state(struct device *d, uint32_t state) __must_check;
int layout_error(struct device *d, const char *text); /* "" removes it */
int layout_write(struct device *d, const struct nodes *n, struct fault *f) __must_check;
int layout_remove(struct device *d, bool domain_dead);
/* Does the `backend` node of a front end's (or mirror's) directory name our back end directory?  1, 0, or -errno: it cannot be told. */
int layout_points_here(struct store *s, struct store_tx *t, const struct path *dir, const struct device *d);
/* A free number for a device nobody named: -ENOSPC. */
int layout_free_vdev(struct control *c, uint32_t domid, uint32_t *vdev) __must_check;
int layout_front_state(struct device *d, uint32_t *state) __must_check; /* -ENOENT: the directory is gone */

/* kept.c */
/* The device is about to go with its domain, which was suspended or reboots: remember it. */
void kept_save(struct device *d);
/* It is there: what was remembered under its name is of no more use. */
void kept_forget(struct device *d);
/* A domain may have come for which something is kept. */
void kept_look(struct control *c);
/* A kept device is attached (@f NULL) or cannot be.  Harmless for others, and the second time. */
void kept_done(struct device *d, const struct fault *f);
void kept_free(struct control *c);

/* discover.c */
/* A struct node_getter on a directory in xenstore. */
struct dir_reader {
	struct store *store;
	const char *dir;
	int err; /* of the first question that failed (store_answered()); 0: none has */
};
int dir_read(void *dir_reader, const char *name, char *value, size_t bytes);
int discover_start(struct control *c) __must_check;

/* cmd.c */
void cmd_run(struct ctl_req *req, struct json_object *args, void *arg);

/* main.c */
void control_stop(struct control *c, struct ctl_req *req);
void control_notify(const char *state); /* the service manager, if there is one */

#endif

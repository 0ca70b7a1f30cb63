/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * front.h - the front end of a device, whatever its class: finds it, connects it, takes it down so that it can be
 * opened again.
 *
 * Theory.  A front end owns its own xenstore directory and writes its state there; the back end's state node is
 * watched.  What to do is decided by front_step() (common/xenbus); this file carries it out:
 *
 *   back end InitWait  -> class: read the offers, choose queues and ring order; rings are granted, ports allocated;
 *                         everything is published in one transaction with the class's state: Initialised for a
 *                         disk; Connected for a network interface, whose back ends wait for no other
 *   back end Connected -> class: read the nodes; state Connected
 *   we are done        -> Closing, wait for Closing or Closed, Closed, wait for Closed, Initialising: the device is
 *                         then as it was before, and the next front end (ours, a kernel's) can take it
 *   left by a crash    -> our node is not Initialising: write Closed, wait for Closed, then Initialising.  Two steps,
 *                         since the back end may see only the last of two quick writes.
 *   gone, or closed    -> the class is told; front_again() begins another life of the device, once the back end waits
 *                         for one
 *
 * The grants of a ring are given up only after the back end is Closed, has gone, or did not answer in time; the
 * grant driver keeps pages that are still mapped away from everybody else.
 *
 * Another life.  Nothing of the life before is used again: rings, grants and ports are new.  It begins when
 *
 *   the device is there   our directory names a back end, and that one is in InitWait, or is Closed and stays
 *                         ("online" is not 0: a toolstack that takes the device away for good says so by that)
 *   the class takes it    its offer() looks at what there is now
 *   it is time            again (pace.h); what the back end says meanwhile is looked at now and then only
 *
 * A device is used by one process of the domain at a time (-EBUSY, see front_open()).
 * Single-threaded but for front_take_queue(), and the rings, which belong to the class's threads.
 */
#ifndef SYNTH_FRONT_H
#define SYNTH_FRONT_H

#include <pthread.h>

#include "common/base/base.h"
#include "common/xen/evtchn.h"
#include "common/xen/store.h"
#include "common/xenbus/xenbus.h"
#include "frontend/core/pace.h"
#include "frontend/core/share.h"

#define FRONT_MAX_QUEUES 32u
#define FRONT_MAX_ORDER  4u
#define FRONT_MAX_RINGS  2u
#define FRONT_TYPE_MAX   8u

/* A device directory of this domain. */
struct front_dev {
	char type[FRONT_TYPE_MAX]; /* "svbd", "vbd", "svif", "vif" */
	uint32_t id;               /* the directory's name: the device's number */
	char dir[64];              /* ours: "device/svbd/51712", relative to the domain's home */
	char back[STORE_PATH_MAX]; /* the other end's, absolute; "" when there is no such link */
	uint32_t back_domid;
};

/* All devices of the given types, by type, then number.  *ret is freed by the caller.  0 with *nr = 0 when none. */
int front_list(struct store *s, const char *const *types, uint32_t nr_types, struct front_dev **ret,
	       uint32_t *nr) __must_check;
/* A state node: 0..8, XenbusStateUnknown when missing or nonsense.  @dir: ours or the back end's. */
uint32_t front_read_state(struct store *s, const char *dir);

enum front_there {
	FRONT_THERE_NOT,  /* no device: taken away, by force or by consent */
	FRONT_THERE_AWAY, /* nobody waits for us there */
	FRONT_THERE_WAITS /* InitWait; or Closed, and to stay ("online") */
};
/* Can @d be connected to?  A device that has been made anew may have another back end: @d follows. */
enum front_there front_look(struct store *s, struct front_dev *d);

struct front_ring {
	void *pages; /* zeroed when granted */
	size_t bytes;
	uint32_t refs[1u << FRONT_MAX_ORDER];
	uint32_t port; /* the same for all rings of a queue unless front.split */
};

struct front_queue {
	struct front_ring ring[FRONT_MAX_RINGS]; /* in the class's order */
	struct share *share;                     /* this queue's thread may grant more with it */
	struct evtchn *evtchn;                   /* this queue's own handle */
};

struct front;

/* What a class does; each int is 0 or -errno, and an error ends the connection attempt. */
struct front_class {
	uint32_t nr_rings;                 /* a queue */
	const char *ring[FRONT_MAX_RINGS]; /* their nodes: "ring-ref", "tx-ring-ref" */
	const char
		*channel[FRONT_MAX_RINGS]; /* the nodes of their ports when front.split; else it is "event-channel" */
	uint32_t published;                /* the state that says "read my nodes": Initialised, or Connected */
	/* The back end is in InitWait: read what it offers, set f->nr_queues, f->order and f->split. */
	int (*offer)(struct front *f, void *arg);
	/* Rings are granted: initialise them, grant buffers.  What it grants is release()'s to give up. */
	int (*prepare)(struct front *f, void *arg);
	/* Write the class's own nodes below f->dev.dir. */
	int (*publish)(struct front *f, struct store_tx *t, void *arg);
	/* The back end is Connected: read its nodes.  Called again when it says so again (resize). */
	int (*connected)(struct front *f, bool again, void *arg);
	/* @err 0: the back end wants to close: start nothing new, and front_close() when all in flight is back.  Else
	 * it has gone (-ENODEV).  From front_dispatch(); going may follow closing. */
	void (*ended)(struct front *f, int err, void *arg);
	/* Everything is closed: give up what prepare() granted.  Also after a prepare() that failed. */
	void (*release)(struct front *f, void *arg);
};

struct front {
	struct store *store;
	struct front_dev dev;
	enum front_state state;
	uint32_t nr_queues, order;
	bool split; /* a port a ring */
	struct front_queue queue[FRONT_MAX_QUEUES];

	int cancel_fd; /* readable: waiting ends with -ECANCELED; -1: none */

	/* private */
	const struct front_class *class;
	void *arg;
	struct store_watch *watch, *link_watch;
	uint32_t back_state;
	int lock; /* fd */
	bool changed, prepared, ended, closing;
	int err; /* first failure of a step */
	struct pace pace;
	uint32_t lives;
	pthread_mutex_t mutex; /* for queue[], once they may be taken */
	uint32_t ready;        /* the life whose queues may be; 0: none */
};

/*
 * Take the device.  -EBUSY: another process, or the kernel's own driver, has it.  -ENODEV: no back end.
 * @class and @arg must outlive the front.
 */
int front_open(struct store *s, const struct front_dev *dev, const struct front_class *class, void *arg,
	       struct front **ret) __must_check;
/* Reset what a crashed predecessor left, connect.  -ETIMEDOUT after @ms, -ENODEV: the back end went away,
 * -ECONNREFUSED: it closed instead of connecting, or what a callback of the class said. */
int front_connect(struct front *f, uint32_t ms) __must_check;
/* After store_fd() became readable.  0, or -errno when xenstore is lost. */
int front_dispatch(struct front *f);
/* The back end asks to close, or has gone. */
bool front_over(const struct front *f);
bool front_asked(const struct front *f); /* it only asks: our rings are still served */

/* Each successful connect is a life, 1, 2...: the number of this one. */
uint32_t front_life(const struct front *f);
/* From any thread: the rings of queue @i in life @life are the caller's from here on, and front_queue_free()'s in the end.  False: that
 * life is over. */
bool front_take_queue(struct front *f, uint32_t life, uint32_t i, struct front_queue *ret) __must_check;
void front_queue_free(struct front_queue *q); /* zeroed afterwards */

/* After ended(): answer a back end that asked to close.  0, -ETIMEDOUT, -ECANCELED; the device can be had again() in any case. */
int front_let_go(struct front *f, uint32_t ms);
/*
 * Begin the next life: wait for the back end, at most until @deadline (now_ns(); UINT64_MAX: for ever), and connect; a try takes @try_ms at most.
 * 0; -ETIMEDOUT; -ECANCELED; -ENODEV etc. only when xenstore is lost.  f->dev may be another one's afterwards: whoever made the device anew
 * may have given it another back end.  @why, unless NULL, is told what the last try failed of (0: nobody was there).
 */
int front_again(struct front *f, uint64_t deadline, uint32_t try_ms, int *why) __must_check;
/* Close; no thread may use the rings any more.  -ETIMEDOUT: the back end did not follow; all is given up even so. */
int front_close(struct front *f, uint32_t ms);
void front_free(struct front *f); /* NULL ok; front_close() first */

#endif

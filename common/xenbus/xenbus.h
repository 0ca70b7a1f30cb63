/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus.h - states of the xenbus protocol (xen/io/xenbus.h) and the two state machines over them.  Pure:
 * step(state, event) says what to do; the caller does it.  The tables in words: docs/xenbus.md.
 */
#ifndef SYNTH_XENBUS_H
#define SYNTH_XENBUS_H

#include <xen/io/xenbus.h>
#include "common/base/base.h"

/* "InitWait" etc.; "?" for what is no state. */
const char *xenbus_state_name(uint32_t state);

/* ------------------------------------------------------------------ back end */

enum back_state {
	BACK_INITWAIT,   /* 2: features published, waiting for the front end */
	BACK_CONNECTING, /* 2: the worker is mapping the rings */
	BACK_CONNECTED,  /* 4 */
	BACK_DETACHING,  /* 5: we asked the front end to close; its rings are still served */
	BACK_CLOSING,    /* draining since the front end is Closing; 5 is written when drained */
	BACK_HALF,       /* 5: drained, front end not Closed yet */
	BACK_FAILING,    /* draining after a failure of ours or unusable parameters; 5 is written when drained */
	BACK_FAILED,     /* 5: as HALF, but what the front end publishes is not tried again before it starts afresh */
	BACK_FINISHING,  /* draining since the front end is Closed; 6 is written when drained */
	BACK_CLOSED,     /* 6: waiting for the front end to start again */
	BACK_RESETTING,  /* draining since the front end started again without closing; 2 is written when drained */
	BACK_REMOVING,   /* draining for good; 6 is written and the device removed when drained */
	BACK_REMOVED,    /* nothing left */
	BACK_NR_STATES
};

enum back_event {
	/* the front end's state node, 0..8 (missing or not a number is Unknown) */
	BACK_EV_FRONT_UNKNOWN,
	BACK_EV_FRONT_INITIALISING,
	BACK_EV_FRONT_INITWAIT,
	BACK_EV_FRONT_INITIALISED,
	BACK_EV_FRONT_CONNECTED,
	BACK_EV_FRONT_CLOSING,
	BACK_EV_FRONT_CLOSED,
	BACK_EV_FRONT_RECONFIGURING,
	BACK_EV_FRONT_RECONFIGURED,
	BACK_EV_DETACH,    /* a toolstack wants it gone: ask the guest */
	BACK_EV_FORCE,     /* gone without asking: --force, directory vanished, domain dead */
	BACK_EV_CONNECTED, /* the worker serves the rings */
	BACK_EV_REFUSED,   /* front end's parameters or the worker's mapping failed */
	BACK_EV_DRAINED,   /* the worker has let go: nothing mapped, nothing in flight */
	BACK_EV_LOST,      /* the worker died */
	BACK_NR_EVENTS
};

/* What to do, in this order.  Afterwards, if the step changed the state and BACK_DO_RECHECK is set, feed the front end's present state again. */
#define BACK_DO_CONNECT 0x01u /* read the front end's nodes, tell the worker; answer EV_CONNECTED or EV_REFUSED */
#define BACK_DO_DISCONNECT \
	0x02u /* tell the worker to drain and unmap; answer EV_DRAINED (also when nothing was connected) */
#define BACK_DO_WRITE \
	0x04u /* write .xenbus to our state node (4: with the class's nodes, 2: with features, same transaction) */
#define BACK_DO_REMOVE  0x08u /* remove the directories and the instance */
#define BACK_DO_RECHECK 0x10u
#define BACK_DO_ERROR   0x20u /* write the error node */

struct back_step {
	enum back_state next;
	uint32_t todo;   /* BACK_DO_* */
	uint32_t xenbus; /* state to write, with BACK_DO_WRITE */
};

struct back_step back_step(enum back_state state, enum back_event event);
const char *back_state_name(enum back_state s);
const char *back_event_name(enum back_event e);
/* ----------------------------------------------------------------- front end */

enum front_state {
	FRONT_WAITING,   /* 1: waiting for the back end's InitWait */
	FRONT_PUBLISHED, /* 3: rings published, waiting for Connected */
	FRONT_CONNECTED, /* 4 */
	FRONT_CLOSING,   /* 5: our wish; waiting for the back end */
	FRONT_CLOSED,    /* 6 */
	FRONT_DEAD,      /* back end gone or lying: nothing more to do in this life */
	FRONT_NR_STATES
};

enum front_event {
	/* the back end's state node, 0..8 */
	FRONT_EV_BACK_UNKNOWN,
	FRONT_EV_BACK_INITIALISING,
	FRONT_EV_BACK_INITWAIT,
	FRONT_EV_BACK_INITIALISED,
	FRONT_EV_BACK_CONNECTED,
	FRONT_EV_BACK_CLOSING,
	FRONT_EV_BACK_CLOSED,
	FRONT_EV_BACK_RECONFIGURING,
	FRONT_EV_BACK_RECONFIGURED,
	FRONT_EV_CLOSE, /* our user is done */
	FRONT_EV_FATAL, /* the back end broke the protocol */
	FRONT_EV_AGAIN, /* our user wants another life of the device */
	FRONT_NR_EVENTS
};

#define FRONT_DO_PUBLISH 0x01u /* allocate and publish rings, then write .xenbus */
#define FRONT_DO_WRITE   0x02u
#define FRONT_DO_CONNECT 0x04u /* read the back end's nodes, then write .xenbus */
#define FRONT_DO_RELEASE 0x08u /* free rings and grants */
#define FRONT_DO_RESIZED 0x10u /* the back end said Connected again: read its size again */

struct front_step {
	enum front_state next;
	uint32_t todo;   /* FRONT_DO_* */
	uint32_t xenbus; /* state to write */
};

struct front_step front_step(enum front_state state, enum front_event event);
const char *front_state_name(enum front_state s);

#endif

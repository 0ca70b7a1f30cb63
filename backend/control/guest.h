/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guest.h - what one guest may cost the control plane, with all its devices together: lines in the log, and time.
 *
 * Time.  A guest that writes its nodes makes us look at them, and may make us connect and disconnect, which takes milliseconds.
 * So looks wait in a queue of their guest: in a turn of the loop each guest has one of them, in between everybody else has
 * his turn, and a guest gets GUEST_LOOKS_PER_SEC of them and GUEST_SHARE per cent of our time, with bursts.  What it does
 * beyond that waits, and is one look a device when its time comes, however often its nodes were written.
 */
#ifndef SYNTH_CONTROL_GUEST_H
#define SYNTH_CONTROL_GUEST_H

#include "common/base/list.h"
#include "common/log/log.h"

struct control;
struct device;
struct loop_timer;

#define GUEST_LOOKS_PER_SEC 100u
#define GUEST_LOOKS_BURST   400u
#define GUEST_SHARE         20u /* per cent */
#define GUEST_BURST_NS      500000000
#define GUEST_CHARGE_MAX_NS 5000000u /* of a look: a host that is slow is not the guest's fault */

struct guest {
	struct list link; /* control.guests */
	struct control *c;
	uint32_t domid, refs;
	struct log_limit log;
	struct list due;         /* devices to be looked at: struct device.due */
	struct list turn;        /* control.turns, when one of them may be */
	struct loop_timer *rest; /* until then none may */
	uint64_t filled_ns;      /* when the budgets were last filled */
	int64_t budget_ns;       /* may be overdrawn by a look */
	uint64_t nanolooks;
	uint64_t entered_ns;
	uint32_t depth;
	uint64_t spent_ns; /* of our time, in all, as it was charged */
};

/* The one of this domain, made at need; each device keeps a reference.  NULL: no memory. */
struct guest *guest_get(struct control *c, uint32_t domid);
void guest_put(struct guest *g); /* NULL ok */

/* What is done in between is on the guest's account; may be nested. */
void guest_enter(struct guest *g);
void guest_leave(struct guest *g);

/* device_look_now() is called for @d soon: once, however often it is asked for. */
void guest_look(struct device *d);
void guest_look_not(struct device *d);

#endif

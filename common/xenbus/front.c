/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * front.c - the front end's side of the xenbus handshake, as a table.  Every cell is written: an empty one would
 * be a thought not had.
 *
 * A back end may be in Connected already when we publish (QEMU after a quick reconnect is not, ours after a restart
 * is); it may say Connected again (it changed size); and it may go away at any time.  One that is back at the start
 * (Initialising, InitWait) while we are Connected has forgotten us: nobody serves our rings.
 */
#include "common/xenbus/xenbus.h"

#define STAY(s)                 \
	{                       \
		FRONT_##s, 0, 0 \
	}
#define GO(s, todo, st)                 \
	{                               \
		FRONT_##s, (todo), (st) \
	}

#define PUBLISH GO(PUBLISHED, FRONT_DO_PUBLISH | FRONT_DO_WRITE, XenbusStateInitialised)
#define CONNECT GO(CONNECTED, FRONT_DO_CONNECT | FRONT_DO_WRITE, XenbusStateConnected)
#define CLOSE   GO(CLOSING, FRONT_DO_WRITE, XenbusStateClosing)
#define FINISH  GO(CLOSED, FRONT_DO_RELEASE | FRONT_DO_WRITE, XenbusStateClosed)
#define DIE     GO(DEAD, FRONT_DO_RELEASE | FRONT_DO_WRITE, XenbusStateClosed)
#define RESIZED GO(CONNECTED, FRONT_DO_RESIZED, 0)
#define AGAIN   GO(WAITING, FRONT_DO_RELEASE, 0) /* what our state node says, and what is left there, is reset first */

static const struct front_step table[FRONT_NR_STATES][FRONT_NR_EVENTS] = {
	[FRONT_WAITING] = {
		[FRONT_EV_BACK_UNKNOWN]	      = STAY(WAITING),
		[FRONT_EV_BACK_INITIALISING]  = STAY(WAITING),
		[FRONT_EV_BACK_INITWAIT]      = PUBLISH,
		[FRONT_EV_BACK_INITIALISED]   = STAY(WAITING),
		[FRONT_EV_BACK_CONNECTED]     = STAY(WAITING), /* an older life's: it will notice our 1 and go to 2 */
		[FRONT_EV_BACK_CLOSING]	      = STAY(WAITING), /* letting an older life go */
		[FRONT_EV_BACK_CLOSED]	      = STAY(WAITING),
		[FRONT_EV_BACK_RECONFIGURING] = STAY(WAITING),
		[FRONT_EV_BACK_RECONFIGURED]  = STAY(WAITING),
		[FRONT_EV_CLOSE]	      = FINISH,
		[FRONT_EV_FATAL]	      = DIE,
		[FRONT_EV_AGAIN]	      = STAY(WAITING),
	},
	[FRONT_PUBLISHED] = {
		[FRONT_EV_BACK_UNKNOWN]	      = DIE,
		[FRONT_EV_BACK_INITIALISING]  = STAY(PUBLISHED),
		[FRONT_EV_BACK_INITWAIT]      = STAY(PUBLISHED),
		[FRONT_EV_BACK_INITIALISED]   = STAY(PUBLISHED),
		[FRONT_EV_BACK_CONNECTED]     = CONNECT,
		[FRONT_EV_BACK_CLOSING]	      = DIE, /* it refused what we published */
		[FRONT_EV_BACK_CLOSED]	      = DIE,
		[FRONT_EV_BACK_RECONFIGURING] = STAY(PUBLISHED),
		[FRONT_EV_BACK_RECONFIGURED]  = STAY(PUBLISHED),
		[FRONT_EV_CLOSE]	      = CLOSE,
		[FRONT_EV_FATAL]	      = DIE,
		[FRONT_EV_AGAIN]	      = AGAIN,
	},
	[FRONT_CONNECTED] = {
		[FRONT_EV_BACK_UNKNOWN]	      = DIE,
		[FRONT_EV_BACK_INITIALISING]  = DIE, /* made anew */
		[FRONT_EV_BACK_INITWAIT]      = DIE,
		[FRONT_EV_BACK_INITIALISED]   = STAY(CONNECTED),
		[FRONT_EV_BACK_CONNECTED]     = RESIZED,
		[FRONT_EV_BACK_CLOSING]	      = CLOSE, /* the toolstack wants the device back */
		[FRONT_EV_BACK_CLOSED]	      = DIE,
		[FRONT_EV_BACK_RECONFIGURING] = STAY(CONNECTED),
		[FRONT_EV_BACK_RECONFIGURED]  = STAY(CONNECTED),
		[FRONT_EV_CLOSE]	      = CLOSE,
		[FRONT_EV_FATAL]	      = DIE,
		[FRONT_EV_AGAIN]	      = AGAIN,
	},
	[FRONT_CLOSING] = {
		[FRONT_EV_BACK_UNKNOWN]	      = DIE,
		[FRONT_EV_BACK_INITIALISING]  = STAY(CLOSING),
		[FRONT_EV_BACK_INITWAIT]      = FINISH, /* it never connected, or is past it already */
		[FRONT_EV_BACK_INITIALISED]   = STAY(CLOSING),
		[FRONT_EV_BACK_CONNECTED]     = STAY(CLOSING),
		[FRONT_EV_BACK_CLOSING]	      = FINISH, /* it has let go of our grants */
		[FRONT_EV_BACK_CLOSED]	      = FINISH,
		[FRONT_EV_BACK_RECONFIGURING] = STAY(CLOSING),
		[FRONT_EV_BACK_RECONFIGURED]  = STAY(CLOSING),
		[FRONT_EV_CLOSE]	      = STAY(CLOSING),
		[FRONT_EV_FATAL]	      = DIE,
		[FRONT_EV_AGAIN]	      = AGAIN,
	},
	[FRONT_CLOSED] = {
		[FRONT_EV_BACK_UNKNOWN]	      = STAY(CLOSED),
		[FRONT_EV_BACK_INITIALISING]  = STAY(CLOSED),
		[FRONT_EV_BACK_INITWAIT]      = STAY(CLOSED), /* a new connection is a new front end */
		[FRONT_EV_BACK_INITIALISED]   = STAY(CLOSED),
		[FRONT_EV_BACK_CONNECTED]     = STAY(CLOSED),
		[FRONT_EV_BACK_CLOSING]	      = STAY(CLOSED),
		[FRONT_EV_BACK_CLOSED]	      = STAY(CLOSED),
		[FRONT_EV_BACK_RECONFIGURING] = STAY(CLOSED),
		[FRONT_EV_BACK_RECONFIGURED]  = STAY(CLOSED),
		[FRONT_EV_CLOSE]	      = STAY(CLOSED),
		[FRONT_EV_FATAL]	      = STAY(CLOSED),
		[FRONT_EV_AGAIN]	      = AGAIN,
	},
	[FRONT_DEAD] = {
		[FRONT_EV_BACK_UNKNOWN]	      = STAY(DEAD),
		[FRONT_EV_BACK_INITIALISING]  = STAY(DEAD),
		[FRONT_EV_BACK_INITWAIT]      = STAY(DEAD),
		[FRONT_EV_BACK_INITIALISED]   = STAY(DEAD),
		[FRONT_EV_BACK_CONNECTED]     = STAY(DEAD),
		[FRONT_EV_BACK_CLOSING]	      = STAY(DEAD),
		[FRONT_EV_BACK_CLOSED]	      = STAY(DEAD),
		[FRONT_EV_BACK_RECONFIGURING] = STAY(DEAD),
		[FRONT_EV_BACK_RECONFIGURED]  = STAY(DEAD),
		[FRONT_EV_CLOSE]	      = STAY(DEAD),
		[FRONT_EV_FATAL]	      = STAY(DEAD),
		[FRONT_EV_AGAIN]	      = AGAIN,
	},
};

struct front_step front_step(enum front_state state, enum front_event event)
{
	return table[state][event];
}

const char *front_state_name(enum front_state s)
{
	static const char *const names[FRONT_NR_STATES] = {
		[FRONT_WAITING] = "waiting", [FRONT_PUBLISHED] = "published", [FRONT_CONNECTED] = "connected",
		[FRONT_CLOSING] = "closing", [FRONT_CLOSED] = "closed",       [FRONT_DEAD] = "dead",
	};

	return (unsigned)s < FRONT_NR_STATES ? names[s] : "?";
}

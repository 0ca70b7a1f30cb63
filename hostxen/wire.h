/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wire.h: what a process and the broker say to each other.
 * A connected SOCK_SEQPACKET; the process asks, the broker answers; file descriptors ride along (SCM_RIGHTS).
 * The first question is HELLO. Both ends are of one build, so the structs are the format.
 */
#ifndef HOSTXEN_WIRE_H
#define HOSTXEN_WIRE_H

#include <stdint.h>

#define HX_SOCKET "broker.sock" /* in the state directory */
#define HX_NAME   64

enum hx_op {
	HX_HELLO,      /* arg0 domid, or HX_TOOLSTACK -> value0 gen; fds: world, own domain */
	HX_DOM_MAP,    /* arg0 domid -> value0 gen; fds: domain */
	HX_REGION_MAP, /* arg0 slot, arg1 gen -> value0 size; fds: region */
	HX_HAZARD,     /* -> value0 slot, the process's until its connection closes */

	HX_EVTCHN_OPEN,      /* -> value0 hid; fds: pipe to read ports from */
	HX_EVTCHN_ADOPT,     /* fd: such a pipe -> value0 hid */
	HX_EVTCHN_SENDER,    /* arg0 hid -> fds: the pipe's other end */
	HX_BIND_UNBOUND,     /* arg0 hid, arg1 remote domid -> value0 port */
	HX_BIND_INTERDOMAIN, /* arg0 hid, arg1 remote domid, arg2 remote port -> value0 port */
	HX_BIND_VIRQ,        /* arg0 hid, arg1 virq -> value0 port */
	HX_UNBIND,           /* arg0 hid, arg1 port */
	HX_RESTRICT,         /* arg0 hid, arg1 domid */

	HX_GNTTAB_OPEN,   /* -> value0 hid; fds: life line, maptrack */
	HX_GNTSHR_OPEN,   /* -> value0 hid, value1 region slot, value2 gen; fds: life line, region */
	HX_NOTIFY_ADD,    /* arg0 hid, arg1 domid, arg2 gref, arg3 offset or -1, arg4 port or -1 -> value0 id */
	HX_NOTIFY_FIRE,   /* arg0 hid, arg1 id: do it and forget it */
	HX_HANDLE_CLOSED, /* arg0 hid: the process has closed a descriptor of it; look whether it was the last */

	HX_CREATE,   /* arg0 domid, name -> value0 xenstore port, value1 gen */
	HX_DESTROY,  /* arg0 domid, arg1: 1 also kill the domain's processes */
	HX_SHUTDOWN, /* arg0 domid, arg1 reason: the domain has shut down and is still there */
	HX_DOM_INFO, /* arg0 domid -> value0 gen, value1 flags, value2 handles, value3 ports, value4 grants, name */
	HX_DOM_DONE, /* arg0 domid: its xenstore home is complete */
	HX_STOP,     /* no answer but end of file, when all is gone */
	HX_NR_OPS
};

#define HX_TOOLSTACK 0xffffffffU /* HELLO of a program that is not in any domain: the hostxen command */

struct hx_req {
	uint32_t op;
	uint32_t arg[5];
	char name[HX_NAME];
};

struct hx_rsp {
	int32_t err; /* 0 or -errno */
	uint32_t value[5];
	char name[HX_NAME];
};

#endif

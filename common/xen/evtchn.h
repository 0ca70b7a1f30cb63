/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * evtchn.h - event channels of one handle (libxenevtchn), with this project's error convention.
 *
 * A port read by evtchn_next() is masked until evtchn_unmask(): unmask only when the work is done, else the
 * kernel's lateeoi logic counts the guest's events against it (XSA-332).  One thread uses a handle at a time.
 * Handles do not survive fork; they may be passed as fds: evtchn_fd() in one process, evtchn_adopt() in the other.
 */
#ifndef SYNTH_EVTCHN_H
#define SYNTH_EVTCHN_H

#include "common/base/base.h"

struct evtchn;

int evtchn_open(struct evtchn **ret) __must_check;
/* Takes over @fd (closed by evtchn_close(), also when this fails). */
int evtchn_adopt(int fd, struct evtchn **ret) __must_check;
void evtchn_close(struct evtchn *e); /* NULL ok; unbinds its ports unless another process holds the fd too */

int evtchn_fd(const struct evtchn *e); /* for poll; non-blocking */
/* Each returns a local port > 0, or -errno. */
int evtchn_bind(struct evtchn *e, uint32_t domid, uint32_t remote_port) __must_check;
int evtchn_alloc(struct evtchn *e, uint32_t domid) __must_check; /* unbound, for @domid to bind */
/* From now on the handle binds ports of @domid alone; those it has stay.  For good, and for who else holds its fd.  -ENOTTY: an old
 * kernel, which cannot. */
int evtchn_restrict(struct evtchn *e, uint32_t domid) __must_check;
int evtchn_unbind(struct evtchn *e, uint32_t port);
int evtchn_notify(struct evtchn *e, uint32_t port);
/* The next pending port, which is now masked; -EAGAIN when there is none. */
int evtchn_next(struct evtchn *e) __must_check;
int evtchn_unmask(struct evtchn *e, uint32_t port);

#endif

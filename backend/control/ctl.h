/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ctl.h - the control socket: lines of JSON in, lines of JSON out (docs/control-protocol.md).  Knows no command.
 *
 * A request is answered exactly once, when its answer is there; the client may be gone by then, which the answerer
 * need not know.
 */
#ifndef SYNTH_CTL_H
#define SYNTH_CTL_H

#include "backend/control/fault.h"
#include "common/base/base.h"

struct ctl;
struct ctl_req;
struct json_object;
struct loop;

#define CTL_MAX_LINE    65536u              /* bytes of a request */
#define CTL_MAX_DEPTH   8                   /* of its nesting */
#define CTL_MAX_CLIENTS 128u                /* connections at once */
#define CTL_MAX_PENDING 64u                 /* unanswered requests of one client; more are not read meanwhile */
#define CTL_MAX_OUTPUT  (16u * 1024 * 1024) /* bytes a client may leave unread before it is dropped */
#define CTL_IDLE_OUT_MS 30000u              /* and how long */

/* @args stays the callee's only during the call. */
typedef void ctl_run_fn(struct ctl_req *req, struct json_object *args, void *arg);

int ctl_open(struct loop *l, const char *path, ctl_run_fn *fn, void *arg, struct ctl **ret) __must_check;
void ctl_close(struct ctl *c); /* NULL ok; removes the socket; sends what can be sent at once */

/* Each ends the request.  @result is taken; NULL stands for {}. */
void ctl_ok(struct ctl_req *req, struct json_object *result);
void ctl_fail(struct ctl_req *req, const struct fault *f);

#endif

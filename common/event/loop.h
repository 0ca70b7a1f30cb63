/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loop.h - the control plane's event loop: fds (epoll, level-triggered), timers, signals, and work put off to
 * the end of the turn.  Single-threaded.  A callback may delete any watch or timer, its own included.
 */
#ifndef SYNTH_LOOP_H
#define SYNTH_LOOP_H

#include <signal.h>
#include "common/base/base.h"

struct loop;
struct loop_fd;
struct loop_timer;

int loop_new(struct loop **ret) __must_check;
void loop_free(struct loop *l); /* NULL ok; frees what is still watched, closes no fd */

/* @events: EPOLLIN | EPOLLOUT; EPOLLHUP and EPOLLERR are always reported. */
typedef void loop_fd_fn(struct loop *l, int fd, uint32_t events, void *arg);
int loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg, struct loop_fd **ret) __must_check;
int loop_mod_fd(struct loop_fd *w, uint32_t events) __must_check;
void loop_del_fd(struct loop_fd *w); /* NULL ok */

typedef void loop_timer_fn(struct loop *l, void *arg);
/* Fires once, @ms from now. */
int loop_add_timer(struct loop *l, uint64_t ms, loop_timer_fn *fn, void *arg, struct loop_timer **ret) __must_check;
void loop_del_timer(struct loop_timer *t); /* NULL ok; not needed (and not allowed) after it fired */

/* Runs after the callbacks of this turn; may be asked for from anywhere in the loop's thread. */
int loop_defer(struct loop *l, loop_timer_fn *fn, void *arg) __must_check;

typedef void loop_signal_fn(struct loop *l, int sig, void *arg);
/* Blocks @sig for the process and delivers it here. */
int loop_add_signal(struct loop *l, int sig, loop_signal_fn *fn, void *arg) __must_check;

int loop_run(struct loop *l); /* until loop_stop(); 0 or -errno */
void loop_stop(struct loop *l);

#endif

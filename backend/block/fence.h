/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fence.h - nothing that a dead worker asked of an NBD server may still be on its way when its successor starts.  (Files:
 * image.c, which locks them.)
 *
 * The control plane keeps a copy of the socket it gave to the worker; so the connection outlives the worker.  Before another
 * one is made, it says that nothing more will come (SHUT_WR), and waits until the server has closed its end, which it does when
 * nothing of that client is under way any more.
 *
 * That a server hangs up is not enough: qemu-nbd does at once, and nbdkit does when the last request was cut, while others
 * are under way.  Of a Unix socket the kernel tells whether anybody still has the other end (sock_diag).  Of TCP nobody can:
 * there, and where nobody has a copy of the socket any more (worker and daemon died), and where the network lost the
 * connection, only time stands between the one and the other, FENCE_GRACE_MS, if requests were unanswered.
 */
#ifndef SYNTH_BLK_FENCE_H
#define SYNTH_BLK_FENCE_H

#include "backend/control/fault.h"
#include "common/base/base.h"

#define FENCE_WAIT_MS  2000u  /* at once; then it is told, and tried again */
#define FENCE_GRACE_MS 60000u /* without proof */

struct fence;

/* Of a connected stream socket, which stays the caller's.  NULL: no memory, no descriptor, or not such a socket. */
struct fence *fence_new(int sock) __must_check;
struct fence *fence_ref(struct fence *f); /* NULL ok */
void fence_put(struct fence *f);          /* NULL ok */
int fence_fd(const struct fence *f);      /* for another daemon; stays the fence's */

/*
 * 0: the server has let go of the connection, which is over in any case.  -EINPROGRESS and the reason in @why: it has not,
 * in @ms, or it cannot be told, and @unanswered: the worker left something under way.  Any thread.
 */
int fence_wait(struct fence *f, uint32_t ms, bool unanswered, struct fault *why) __must_check;
/* The same without a socket: 0 when the grace is over, counted from @since_ns. */
int fence_blind(uint64_t since_ns, struct fault *why) __must_check;

#endif

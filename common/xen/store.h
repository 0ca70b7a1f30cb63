/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store.h - xenstore (libxenstore) with typed values, transactions that retry, and bounded watches.
 *
 * Paths are built by paths.h.  Values read are at most STORE_VALUE_MAX bytes; longer ones are an error, not a
 * truncation.  Watches: at most one pending event a path and token, whatever the peer does (XSA-349); the
 * callback says "this path changed", the reader then reads what is there now.
 */
#ifndef SYNTH_STORE_H
#define SYNTH_STORE_H

#include "common/base/base.h"

#define STORE_PATH_MAX  256u
#define STORE_VALUE_MAX 2048u /* xenstored's own limit on what a guest may write */

struct store;    /* a connection */
struct store_tx; /* an open transaction; NULL where one is accepted means "outside" */
struct store_watch;

int store_open(struct store **ret) __must_check;
void store_close(struct store *s); /* NULL ok */

/* NUL-terminated; *ret is freed by the caller.  -ENOENT, -EACCES, -EMSGSIZE (too long), -EINVAL (a NUL inside)... */
int store_read(struct store *s, struct store_tx *t, const char *path, char **ret) __must_check;
/* The same into a buffer; -EMSGSIZE when it does not fit. */
int store_read_into(struct store *s, struct store_tx *t, const char *path, char *value, size_t bytes) __must_check;
/* Strict numbers: -EINVAL, -ERANGE as parse_u64(). */
int store_read_u64(struct store *s, struct store_tx *t, const char *path, uint64_t max, uint64_t *ret) __must_check;
int store_read_u32(struct store *s, struct store_tx *t, const char *path, uint32_t max, uint32_t *ret) __must_check;
/*
 * An error that is an answer, of a node: it is not there, not for us, or not what was asked for.  Any other says that the question
 * failed, and nothing of the node.
 */
bool store_answered(int err);
/* 1 there, 0 not there, -errno: it cannot be told. */
int store_there(struct store *s, struct store_tx *t, const char *path) __must_check;
bool store_exists(struct store *s, struct store_tx *t,
		  const char *path); /* for whom "cannot be told" is as good as "no" */
int store_write(struct store *s, struct store_tx *t, const char *path, const char *value) __must_check;
int store_writef(struct store *s, struct store_tx *t, const char *path, const char *fmt, ...) __must_check
	__printf(4, 5);
int store_mkdir(struct store *s, struct store_tx *t, const char *path) __must_check;
int store_rm(struct store *s, struct store_tx *t, const char *path) __must_check; /* a missing path is success */
/* Children's names; *ret is one block freed by the caller (free()). */
int store_list(struct store *s, struct store_tx *t, const char *path, char ***ret, uint32_t *nr) __must_check;
/* Owner @owner (no other right for others), readable by @reader; UINT32_MAX for "no reader". */
int store_perms(struct store *s, struct store_tx *t, const char *path, uint32_t owner, uint32_t reader) __must_check;

/*
 * Run @fn inside a transaction, again from the start while xenstored says EAGAIN (at most 64 times, then
 * -EAGAIN).  @fn returning < 0 aborts and is returned.  @fn must have no side effect but through @t.
 */
typedef int store_tx_fn(struct store *s, struct store_tx *t, void *arg);
int store_transact(struct store *s, store_tx_fn *fn, void *arg) __must_check;

/* Watches.  The callback runs from store_dispatch(), once per watch however often the path fired. */
typedef void store_watch_fn(struct store *s, const char *path, void *arg);
int store_watch(struct store *s, const char *path, store_watch_fn *fn, void *arg,
		struct store_watch **ret) __must_check;
void store_unwatch(struct store_watch *w);                /* NULL ok; no callback after it */
uint64_t store_watch_events(const struct store_watch *w); /* how often its path fired; NULL ok */
int store_fd(struct store *s);                            /* readable: call store_dispatch() */
int store_dispatch(struct store *s);                      /* 0, or -errno when the connection is lost */

int store_introduced(struct store *s, uint32_t domid); /* 1 yes, 0 no, -errno */

#endif

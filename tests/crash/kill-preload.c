/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kill-preload.c - preloaded into a daemon: kills it just before the N-th thing it changes in xenstore.
 *
 *	KILL_AT=FILE    while FILE is there it holds N, which each change makes one less; at 0 the process is killed,
 *	                and FILE removed first.  So a FILE that is still there tells that there were fewer changes.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xenstore.h>

static void change(void)
{
	const char *file = getenv("KILL_AT");
	FILE *f = file ? fopen(file, "r+e") : NULL;
	int n = 0;

	if (!f)
		return;
	if (fscanf(f, "%d", &n) == 1 && --n <= 0) {
		unlink(file);
		kill(getpid(), SIGKILL);
	}
	rewind(f);
	fprintf(f, "%-8d\n", n);
	fclose(f);
}

#define NEXT(name)                       \
	static __typeof__(&(name)) next; \
	if (!next)                       \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	NEXT(xs_transaction_start);
	change();
	return next(h);
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	NEXT(xs_transaction_end);
	change();
	return next(h, t, abort);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int len)
{
	NEXT(xs_write);
	change();
	return next(h, t, path, data, len);
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	NEXT(xs_mkdir);
	change();
	return next(h, t, path);
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	NEXT(xs_rm);
	change();
	return next(h, t, path);
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path, struct xs_permissions *perms,
			unsigned int nr)
{
	NEXT(xs_set_permissions);
	change();
	return next(h, t, path, perms, nr);
}

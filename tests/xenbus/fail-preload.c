/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fail-preload.c - preloaded into a daemon: one question to xenstore fails.
 *
 *	FAIL_AT=FILE    while FILE is there it holds a path, and whoever reads or lists that is told EIO; FILE is removed first.
 *	                So a FILE that is still there tells that nobody asked.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

static bool fails(const char *path)
{
	const char *file = getenv("FAIL_AT");
	FILE *f = file ? fopen(file, "re") : NULL;
	char which[256] = "";
	bool it;

	if (!f)
		return false;
	if (fgets(which, sizeof(which), f))
		which[strcspn(which, "\n")] = '\0';
	fclose(f);
	it = strcmp(which, path) == 0 && unlink(file) == 0;
	if (it)
		errno = EIO;
	return it;
}

#define NEXT(name)                       \
	static __typeof__(&(name)) next; \
	if (!next)                       \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	NEXT(xs_read);
	return fails(path) ? NULL : next(h, t, path, len);
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	NEXT(xs_directory);
	return fails(path) ? NULL : next(h, t, path, num);
}

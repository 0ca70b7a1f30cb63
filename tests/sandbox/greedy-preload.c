/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * greedy-preload.c - preloaded into a worker: it tries to take more of its image's file system than the image has, when its
 * guest discards at 4 MiB.
 *
 *	GREEDY=FILE    how, as is in FILE when the worker starts: "fallocate" or "write"; without FILE it does nothing
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define AT   (4 << 20)
#define MUCH (8LL << 30)

static char how[32];

__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("GREEDY");
	FILE *f = file ? fopen(file, "re") : NULL;

	if (f && fgets(how, sizeof(how), f))
		how[strcspn(how, "\n")] = '\0';
	if (f)
		fclose(f);
}

static void take(int fd)
{
	const struct iovec io = { how, 1 };
	char text[128];
	long rc;

	if (strcmp(how, "fallocate") == 0)
		rc = syscall(SYS_fallocate, fd, 0, 0L, (long)MUCH);
	else if (strcmp(how, "write") == 0)
		rc = pwritev(fd, &io, 1, MUCH);
	else
		return;
	snprintf(text, sizeof(text), "greedy: %s: %s\n", how, rc < 0 ? strerror(errno) : "got it");
	rc = write(STDERR_FILENO, text, strlen(text));
	(void)rc;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (offset == AT)
		take(fd);
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

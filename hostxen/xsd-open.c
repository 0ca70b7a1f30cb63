/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xsd-open.c: libhostxen-xsd.so, preloaded into xenstored only. Its start in dom0 reads /proc/xen/xsd_port (the event
 * channel to dom0's kernel) and maps /proc/xen/xsd_kva (the ring page shared with it). There is no such kernel here: the
 * first is answered with a port the broker made, the second with an empty page.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static int stand_in(const char *path)
{
	const char *port = getenv("HOSTXEN_XSD_PORT");
	int fd = memfd_create(path, MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (strstr(path, "xsd_port") && port) {
		if (write(fd, port, strlen(port)) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
			close(fd);
			return -1;
		}
	} else if (ftruncate(fd, 4096) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int do_open(const char *name, const char *path, int flags, mode_t mode)
{
	int (*real)(const char *, int, ...);
	if (!strcmp(path, "/proc/xen/xsd_port") || !strcmp(path, "/proc/xen/xsd_kva"))
		return stand_in(path);
	*(void **)&real = dlsym(RTLD_NEXT, name);
	return real(path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return do_open("open", path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return do_open("open64", path, flags, mode);
}

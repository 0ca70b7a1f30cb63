/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* listener.c - see listener.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "backend/control/listener.h"
#include "common/log/log.h"
#include "common/span/span.h"

#define REACH_TRIES  100u
#define REACH_TRY_US 10000u
#define TRIES        1000u /* workers of one domain: one, and some that are ending */

static char dir[256];

int listener_dir(const char *rundir)
{
	if ((size_t)snprintf(dir, sizeof(dir), "%s/workers", rundir) >= sizeof(dir))
		return -ENAMETOOLONG;
	return mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int address(const char *name, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/%s", dir, name) >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

int listener_new(const char *stem, uint32_t domid, uint32_t era, char name[LISTENER_NAME_MAX])
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err = -EADDRINUSE;
	struct sockaddr_un sa;
	mode_t old;

	if (fd < 0)
		return -errno;
	old = umask(0177);
	for (unsigned n = 0; err == -EADDRINUSE && n < TRIES; n++) {
		snprintf(name, LISTENER_NAME_MAX, "%s-%u.%u.%u", stem, domid, n, era);
		err = address(name, &sa);
		if (err == 0 && bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
			err = -errno;
	}
	umask(old);
	if (err == 0)
		return fd;
	*name = '\0';
	close(fd);
	return err;
}

void listener_remove(const char *name)
{
	struct sockaddr_un sa;

	if (*name && address(name, &sa) == 0 && unlink(sa.sun_path) < 0 && errno != ENOENT)
		log_debug("%s stays: %s", sa.sun_path, strerror(errno));
}

/* "STEM-DOMID.N.ERA", or without an era of a daemon that knew none */
static bool parse_name(const char *name, const char *stem, uint32_t *domid, uint32_t *era)
{
	size_t len = strlen(stem);
	char text[LISTENER_NAME_MAX];
	char *dot;

	if (strncmp(name, stem, len) != 0 || name[len] != '-' || strlen(name) >= sizeof(text))
		return false;
	strcpy(text, name + len + 1);
	dot = strchr(text, '.');
	if (!dot)
		return false;
	*dot = '\0';
	*era = 0;
	dot = strchr(dot + 1, '.');
	return parse_str_u32(text, UINT16_MAX, domid) == 0 && (!dot || parse_str_u32(dot + 1, UINT32_MAX, era) == 0);
}

/* Its fd, and who listens. */
static int reach(const char *name, pid_t *pid)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
	struct sockaddr_un sa;
	struct ucred c;
	socklen_t len = sizeof(c);

	if (fd < 0)
		return -errno;
	err = address(name, &sa);
	/* Full of those who tried before us and died: it looks at them first. */
	for (unsigned n = 0; err == 0 && connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0; n++) {
		if (errno != EAGAIN || n == REACH_TRIES)
			err = -errno;
		else
			usleep(REACH_TRY_US);
	}
	if (err == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0)
		err = -errno;
	if (err < 0) {
		close(fd);
		return err;
	}
	*pid = c.pid;
	return fd;
}

void listener_each(const char *stem, listener_fn *fn, void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d) {
		log_warn("cannot look for workers in %s: %s", dir, strerror(errno));
		return;
	}
	while ((e = readdir(d))) {
		uint32_t domid, era;
		pid_t pid = 0;
		int fd;

		if (!parse_name(e->d_name, stem, &domid, &era))
			continue;
		fd = reach(e->d_name, &pid);
		if (fd == -ECONNREFUSED)
			listener_remove(e->d_name);
		else if (fd < 0)
			log_error("cannot reach the worker at %s/%s: %s", dir, e->d_name, strerror(-fd));
		else
			fn(arg, e->d_name, domid, era, fd, pid);
	}
	closedir(d);
}

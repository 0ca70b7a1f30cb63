/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* record.c - see record.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "backend/control/record.h"
#include "backend/journal.h"

static char dir_path[280];

int record_dir(const char *rundir)
{
	snprintf(dir_path, sizeof(dir_path), "%s/journal", rundir);
	return mkdir(dir_path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static const char *path_of(const struct device *d, char *buf, size_t bytes)
{
	snprintf(buf, bytes, "%s/%s-%s", dir_path, d->c->class->stem, d->uuid);
	return buf;
}

static int write_head(int fd, const struct journal_head *h)
{
	ssize_t n = pwrite(fd, h, sizeof(*h), 0);

	return n < 0 ? -errno : n == (ssize_t)sizeof(*h) ? 0 : -ENOSPC;
}

static void head_of(const struct device *d, uint64_t class_bytes, struct journal_head *h)
{
	*h = (struct journal_head){ .domid = d->domid, .vdev = d->vdev };
	snprintf(h->class, sizeof(h->class), "%s", d->c->class->name);
	snprintf(h->uuid, sizeof(h->uuid), "%s", d->uuid);
	memcpy(h->identity, d->identity, sizeof(h->identity));
	h->wire = d->params->wire;
	memcpy(h->remote_port, d->params->remote_port, sizeof(h->remote_port));
	journal_head_seal(h, class_bytes);
}

int record_create(struct device *d, struct fault *f)
{
	uint64_t class_bytes = d->c->class->journal_bytes(&d->params->wire);
	struct journal_head h;
	char path[400];
	int fd, err;

	head_of(d, class_bytes, &h);
	path_of(d, path, sizeof(path));
	(void)unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = fd < 0 ? -errno : 0;
	/* All of it now: a page that is not there when a worker writes to it would kill that worker. */
	if (err == 0)
		err = -posix_fallocate(fd, 0, (off_t)h.bytes);
	if (err == 0)
		err = write_head(fd, &h);
	if (err == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	(void)unlink(path);
	fault_set(f, FAULT_FAILED, err, "cannot make its journal %s: %s", path, strerror(-err));
	fault_next(f, "make room in the run directory; the device connects when its front end tries again");
	return err;
}

/* A worker that was taken over can have written it, and made the CRC good: no number of it is taken as it is. */
static bool in_range(const struct device *d, const struct journal_head *h)
{
	const struct wire_connect *w = &h->wire;

	return w->nr_queues > 0 && w->nr_queues <= WIRE_MAX_QUEUES && w->order <= WIRE_MAX_ORDER && w->nr_rings > 0 &&
	       w->nr_rings <= WIRE_MAX_RINGS && w->nr_ports > 0 && w->nr_ports <= w->nr_rings &&
	       h->class_bytes == d->c->class->journal_bytes(w);
}

static int check(const struct device *d, int fd, struct journal_head *h)
{
	const char *why = "it is another device's";
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	n = pread(fd, h, sizeof(*h), 0);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(*h))
		why = "it is too short";
	else if (journal_head_check(h, (uint64_t)st.st_size, &why) == 0 && strcmp(h->uuid, d->uuid) == 0 &&
		 h->domid == d->domid && h->vdev == d->vdev && strcmp(h->class, d->c->class->name) == 0) {
		if (in_range(d, h))
			return 0;
		why = "its head says what no connection can be";
	}
	log_error("%s: its journal cannot be used: %s", d->name, why ? why : "it is another device's");
	return -EBADMSG;
}

/* The fd of one whose head is well. */
static int open_checked(const struct device *d, struct journal_head *h)
{
	char path[400];
	int fd = open(path_of(d, path, sizeof(path)), O_RDWR | O_CLOEXEC | O_NOFOLLOW), err;

	if (fd < 0)
		return -errno;
	err = check(d, fd, h);
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

int record_open(const struct device *d, struct front_params *p)
{
	struct journal_head h;
	int fd = open_checked(d, &h);

	if (fd < 0)
		return fd;
	p->wire = h.wire;
	memcpy(p->remote_port, h.remote_port, sizeof(p->remote_port));
	return fd;
}

int record_identity(const struct device *d, uint64_t id[2])
{
	struct journal_head h;
	int fd = open_checked(d, &h);

	if (fd < 0 && fd != -ENOENT && fd != -EBADMSG)
		return fd;
	id[0] = fd < 0 ? 0 : h.identity[0];
	id[1] = fd < 0 ? 0 : h.identity[1];
	if (fd >= 0)
		close(fd);
	return 0;
}

static bool read_unanswered(const struct device *d, int fd, const struct wire_connect *c)
{
	uint64_t bytes = d->c->class->journal_bytes(c);
	void *part = malloc(bytes); /* not mapped: who else has the file could cut it */
	struct journal_live live;
	bool any = true;

	/* When a server was lost, what it had under way was answered, and is not over. */
	if (part && pread(fd, &live, sizeof(live), JOURNAL_LIVE_AT) == (ssize_t)sizeof(live) &&
	    pread(fd, part, bytes, JOURNAL_CLASS_AT) == (ssize_t)bytes)
		any = live.poisoned == JOURNAL_STORAGE_LOST || d->c->class->unanswered(part, c);
	free(part);
	return any;
}

bool record_unanswered(const struct device *d)
{
	struct front_params *p = d->c->class->unanswered ? malloc(sizeof(*p)) : NULL;
	int fd = p ? record_open(d, p) : -ENOENT;
	bool any = fd >= 0 ? read_unanswered(d, fd, &p->wire) : fd != -ENOENT;

	if (fd >= 0)
		close(fd);
	free(p);
	return any;
}

bool record_there(const struct device *d)
{
	char path[400];

	return *d->uuid && access(path_of(d, path, sizeof(path)), F_OK) == 0;
}

void record_remove(const struct device *d)
{
	char path[400];

	if (*d->uuid && unlink(path_of(d, path, sizeof(path))) < 0 && errno != ENOENT)
		log_warn("%s: cannot remove %s: %s", d->name, path, strerror(errno));
}

void record_sweep(struct control *c)
{
	const size_t stem = strlen(c->class->stem);
	DIR *dir = opendir(dir_path);
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		const char *uuid = e->d_name + stem + 1;
		const struct device *d;
		bool known = false;

		if (strncmp(e->d_name, c->class->stem, stem) != 0 || e->d_name[stem] != '-')
			continue;
		list_for_each (d, &c->devices, link)
			known = known || strcmp(d->uuid, uuid) == 0;
		if (!known && unlinkat(dirfd(dir), e->d_name, 0) < 0)
			log_warn("cannot remove %s/%s: %s", dir_path, e->d_name, strerror(errno));
	}
	if (dir)
		closedir(dir);
}

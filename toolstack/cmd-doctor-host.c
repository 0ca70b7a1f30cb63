/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-doctor-host.c - Xen, the kernel's devices and back ends, hotplug scripts, disk space.  Paths of the kernel and of scripts are
 * below d->root, which is "" but for tests.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "common/span/span.h"
#include "common/xen/grant.h"
#include "toolstack/cmd-doctor.h"
#include "toolstack/synthctl.h"

#define RUNDIR_LOW (256u << 10)

int read_small(const char *root, const char *path, char *buf, size_t bytes)
{
	char full[PATH_MAX];
	size_t used = 0;
	int fd;

	buf[0] = '\0';
	snprintf(full, sizeof(full), "%s%s", root, path);
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	while (used < bytes - 1) {
		ssize_t n = read(fd, buf + used, bytes - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && used == 0) {
			int err = -errno;

			close(fd);
			return err;
		}
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	buf[used] = '\0';
	return (int)used;
}

static void read_line(const char *root, const char *path, char *buf, size_t bytes)
{
	if (read_small(root, path, buf, bytes) < 0)
		buf[0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}

static bool exists(const struct doctor *d, const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", d->root, path);
	return access(full, F_OK) == 0;
}

bool host_unit(const struct doctor *d, const char *program)
{
	static const char *const dirs[] = { "/etc/systemd/system", "/run/systemd/system",
					    "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
					    "/lib/systemd/system" };
	char path[128];

	if (d->hostxen || !exists(d, "/run/systemd/system"))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s.service", dirs[i], program);
		if (exists(d, path))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------ Xen */

void host_look(struct doctor *d)
{
	const char *world = getenv("HOSTXEN_DIR"), *root = getenv("SYNTH_SYSROOT");
	char line[256], socket[PATH_MAX];

	d->root = root ? root : "";
	d->hostxen = world && *world;
	d->is_root = geteuid() == 0;
	read_line("", "/proc/sys/kernel/random/boot_id", d->boot_id, sizeof(d->boot_id));
	/* Outside of `hostxen run` too: the world's xenstored is at a known place. */
	snprintf(socket, sizeof(socket), "%s/xenstored/socket", d->hostxen ? world : "");
	if (d->hostxen && setenv("XENSTORED_PATH", socket, 0) < 0)
		return;
	read_line(d->root, "/sys/hypervisor/type", line, sizeof(line));
	d->xen = !strcmp(line, "xen") || exists(d, "/proc/xen/capabilities");
	if (read_small(d->root, "/proc/xen/capabilities", line, sizeof(line)) >= 0) {
		d->dom0 = has_word(line, "control_d");
	} else {
		read_line(d->root, "/sys/hypervisor/uuid", line, sizeof(line));
		d->dom0 = !strcmp(line, "00000000-0000-0000-0000-000000000000");
	}
}

static void check_xen(struct doctor *d)
{
	char major[16], minor[16], extra[32];
	struct finding *f;

	if (d->hostxen) {
		f = report_add(&d->report, "xen", LEVEL_NOTE, NULL,
			       "this is hostxen's world %s: what concerns Xen and the kernel does not apply",
			       getenv("HOSTXEN_DIR"));
		finding_why(f, "HOSTXEN_DIR is set");
		return;
	}
	if (!d->xen) {
		f = report_add(&d->report, "xen", LEVEL_ERROR, NULL,
			       "this machine does not run under Xen (no /sys/hypervisor/type)");
		finding_why(f, "there are no guests to serve here");
		finding_next(f,
			     "boot Xen; or, with hostxen, a stand-in for it: set HOSTXEN_DIR to its directory, or run");
		finding_command(f, "hostxen run -d 0 -- synthctl doctor");
		return;
	}
	read_line(d->root, "/sys/hypervisor/version/major", major, sizeof(major));
	read_line(d->root, "/sys/hypervisor/version/minor", minor, sizeof(minor));
	read_line(d->root, "/sys/hypervisor/version/extra", extra, sizeof(extra));
	if (d->dom0) {
		report_add(&d->report, "xen", LEVEL_OK, NULL, "Xen %s.%s%s, and this is dom0", major, minor, extra);
	} else {
		f = report_add(&d->report, "xen", LEVEL_NOTE, NULL, "Xen %s.%s%s, and this is not dom0", major, minor,
			       extra);
		finding_why(f, "the back ends run in dom0");
	}
}

static void check_xenfs(struct doctor *d)
{
	struct finding *f;

	if (exists(d, "/proc/xen/capabilities")) {
		report_add(&d->report, "xenfs", LEVEL_OK, NULL, "mounted on /proc/xen");
		return;
	}
	f = report_add(&d->report, "xenfs", LEVEL_WARNING, NULL, "xenfs is not mounted on /proc/xen");
	finding_why(f, "xenstored finds its page and port there, and tools see by it that this is dom0");
	finding_next(f, "mount it, and let it be mounted at boot (/etc/fstab, or xen's init script)");
	finding_command(f, "modprobe xenfs");
	finding_command(f, "mount -t xenfs xenfs /proc/xen");
}

static const struct kernel_device {
	const char *path, *other, *module; /* other: an older place, or NULL */
	enum level missing;
	const char *why;
} kernel_devices[] = {
	{ "/dev/xen/evtchn", NULL, "xen-evtchn", LEVEL_ERROR, "no event channel can be bound: no guest can connect" },
	{ "/dev/xen/gntdev", NULL, "xen-gntdev", LEVEL_ERROR,
	  "no guest's page can be mapped or copied: no guest can connect" },
	{ "/dev/xen/privcmd", "/proc/xen/privcmd", "xen-privcmd", LEVEL_WARNING,
	  "the daemon cannot ask Xen which domains live, and notices a dying one late; xl does not work" },
	{ "/dev/xen/xenbus", "/proc/xen/xenbus", "xenfs", LEVEL_NOTE,
	  "xenstore is then reached through xenstored's socket alone, which suffices where xenstored runs" },
};

/* 0, or errno. */
static int try_open(const struct doctor *d, const char *path)
{
	char full[PATH_MAX];
	int fd;

	snprintf(full, sizeof(full), "%s%s", d->root, path);
	fd = open(full, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static void check_kernel_device(struct doctor *d, const struct kernel_device *k)
{
	int err = try_open(d, k->path);
	struct finding *f;

	if (err && k->other && try_open(d, k->other) == 0)
		err = 0;
	if (!err) {
		report_add(&d->report, "kernel-device", LEVEL_OK, k->path, "there, and can be opened");
		return;
	}
	if ((err == EACCES || err == EPERM) && !d->is_root) {
		report_add(&d->report, "kernel-device", LEVEL_NA, k->path, "there; only root may open it");
		return;
	}
	f = report_add(&d->report, "kernel-device", k->missing, k->path, "%s",
		       err == ENOENT ? "it is not there" : strerror(err));
	finding_why(f, "%s", k->why);
	finding_next(f, "load its module, and at boot too (/etc/modules-load.d)");
	finding_command(f, "modprobe %s", k->module);
}

static void check_backend_modules(struct doctor *d)
{
	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		char *path = text("/sys/module/%s", doctor_classes[i].module);
		bool loaded = exists(d, path);

		free(path);
		report_add(&d->report, "kernel-back-end", LEVEL_OK, doctor_classes[i].module, "%s",
			   loaded ? "loaded: it serves xl's own devices, and keeps away from ours"
				  : "not loaded: nobody needs it for ours");
	}
}

void host_check(struct doctor *d)
{
	static const char *const checks[] = { "xenfs", "kernel-device", "kernel-back-end" };

	check_xen(d);
	if (d->hostxen || !d->xen) {
		for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
			report_add(&d->report, checks[i], LEVEL_NA, NULL, d->hostxen ? "hostxen needs none" : "no Xen");
		return;
	}
	check_xenfs(d);
	for (size_t i = 0; i < ARRAY_SIZE(kernel_devices); i++)
		check_kernel_device(d, &kernel_devices[i]);
	check_backend_modules(d);
}

/* The devices that the kernel's bus knows, with their drivers, to ours. */
void host_claims(struct doctor *d)
{
	static const char bus[] = "/sys/bus/xen-backend/devices";
	char full[PATH_MAX], type[16], link[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	if (d->hostxen)
		return;
	snprintf(full, sizeof(full), "%s%s", d->root, bus);
	dir = opendir(full);
	while (dir && (e = readdir(dir))) {
		uint32_t domid, id;

		if (parse_bus_name(e->d_name, type, &domid, &id) < 0)
			continue;
		for (uint32_t i = 0; i < d->store->nr; i++) {
			struct doctor_device *dev = &d->store->devices[i];
			ssize_t n;

			if (!dev->ours || dev->domid != domid || dev->id != id || strcmp(dev->class->type, type) != 0)
				continue;
			dev->bus = true;
			snprintf(full, sizeof(full), "%s%s/%s/driver", d->root, bus, e->d_name);
			n = readlink(full, link, sizeof(link) - 1);
			link[n > 0 ? n : 0] = '\0';
			snprintf(dev->claimed, sizeof(dev->claimed), "%.30s",
				 strrchr(link, '/') ? strrchr(link, '/') + 1 : link);
		}
	}
	if (dir)
		closedir(dir);
}

/* ------------------------------------------------------------------ scripts */

static void check_script(struct doctor *d, const struct doctor_class *k, const char *path,
			 const struct doctor_device *user)
{
	char full[PATH_MAX], *word;
	struct stat st = { 0 };
	struct finding *f;

	snprintf(full, sizeof(full), "%s%s", d->root, path);
	if (stat(full, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111)) {
		report_add(&d->report, "script", LEVEL_OK, path, "there, and executable");
		return;
	}
	if (report_problem(&d->report, "script", path))
		return;
	f = report_add(&d->report, "script", user ? LEVEL_ERROR : LEVEL_WARNING, path, "the hotplug script %s",
		       access(full, F_OK) < 0 ? "is not there"
		       : S_ISREG(st.st_mode)  ? "is not executable"
					      : "is no file");
	if (user)
		finding_why(f,
			    "device %u/%u names it: `xl %s-detach` asks the guest to close, and then fails without it",
			    user->domid, user->id, k->xl);
	else
		finding_why(f, "`xl %s-detach` of a device attached from now on would fail without it", k->xl);
	if (access(full, F_OK) == 0 && S_ISREG(st.st_mode)) {
		word = shell_word(full);
		finding_command(f, "chmod 755 %s", word);
		free(word);
	} else {
		finding_next(f, "install synth's files again: `make install`, or its package, puts it there");
	}
}

void host_scripts(struct doctor *d)
{
	if (d->hostxen) {
		report_add(&d->report, "script", LEVEL_NA, NULL, "hostxen runs none");
		return;
	}
	if (!d->xen) {
		report_add(&d->report, "script", LEVEL_NA, NULL, "no Xen");
		return;
	}
	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		char *path = text(SYNTH_SCRIPTDIR "/%s", doctor_classes[i].script);
		const struct doctor_device *user = NULL;

		/* Each other path that a device names; then the one that the next device will name. */
		for (uint32_t n = 0; n < d->store->nr; n++) {
			const struct doctor_device *dev = &d->store->devices[n];

			if (!dev->ours || dev->class != &doctor_classes[i] || dev->domain == DOMAIN_DEAD ||
			    dev->script[0] != '/')
				continue;
			if (!strcmp(dev->script, path))
				user = dev;
			else if (!report_problem(&d->report, "script", dev->script))
				check_script(d, &doctor_classes[i], dev->script, dev);
		}
		if (user || daemon_wanted(d, &doctor_classes[i]))
			check_script(d, &doctor_classes[i], path, user);
		free(path);
	}
}

/* ------------------------------------------------------------------ space */

#define MAX_FILE_SYSTEMS 64u

struct file_system {
	dev_t dev;
	char *example; /* an image on it */
	uint64_t missing, free, size;
	unsigned images;
};

/* Has its worker another one than that which the name leads to? */
static bool replaced(struct json_object *o, const struct stat *st)
{
	bool blk = S_ISBLK(st->st_mode);
	char *now = text("%llx:%llx", (unsigned long long)(blk ? st->st_rdev : st->st_dev),
			 blk ? ULLONG_MAX : (unsigned long long)st->st_ino);
	bool other = *member(o, "image_id") && strcmp(now, member(o, "image_id")) != 0;

	free(now);
	return other;
}

static void check_image(struct doctor *d, struct json_object *o, struct file_system *fs, unsigned *nr)
{
	const char *target = member(o, "target"), *path = target + 5;
	struct json_object *ro;
	struct finding *f;
	struct statvfs v;
	struct stat st;
	unsigned i;

	if (strncmp(target, "file:/", 6) != 0)
		return;
	bool gone = stat(path, &st) < 0;

	if (gone && errno != ENOENT)
		return;
	if (gone || replaced(o, &st)) {
		f = report_add(&d->report, "image", LEVEL_WARNING, member(o, "device"),
			       gone ? "its image %s is not there any more"
				    : "another file has taken the place of its image %s",
			       path);
		finding_why(f, "the guest goes on with the file that was removed or renamed; when the device is "
			       "detached its data are lost, and when its worker dies the guest waits for that file");
		finding_next(f, "put it back under its name; or copy the disk inside the guest before anything else");
		return;
	}
	ro = json_object_object_get(o, "ro");
	if (!S_ISREG(st.st_mode) || json_object_get_boolean(ro) || statvfs(path, &v) < 0)
		return;
	for (i = 0; i < *nr && fs[i].dev != st.st_dev; i++)
		;
	if (i == MAX_FILE_SYSTEMS)
		return;
	if (i == *nr)
		fs[(*nr)++] = (struct file_system){ .dev = st.st_dev,
						    .example = text("%s", path),
						    .free = (uint64_t)v.f_bavail * v.f_frsize,
						    .size = (uint64_t)v.f_blocks * v.f_frsize };
	fs[i].images++;
	if ((uint64_t)st.st_size > (uint64_t)st.st_blocks * 512)
		fs[i].missing += (uint64_t)st.st_size - (uint64_t)st.st_blocks * 512;
}

static void check_file_system(struct doctor *d, const struct file_system *fs)
{
	char *missing = human_size(fs->missing), *left = human_size(fs->free);
	struct finding *f;

	if (fs->missing <= fs->free) {
		report_add(&d->report, "space", LEVEL_OK, fs->example, "%u image%s here may grow by %s; %s are free",
			   fs->images, fs->images > 1 ? "s" : "", missing, left);
	} else {
		f = report_add(
			&d->report, "space", LEVEL_WARNING, fs->example,
			"the file system of this image has %s free, and the %u sparse image%s on it may grow by %s",
			left, fs->images, fs->images > 1 ? "s" : "", missing);
		finding_why(f, "when it is full, guests' writes fail%s", fs->free == 0 ? ": it is full" : "");
		finding_next(f, "free space, or make it larger; see it with:");
		char *word = shell_word(fs->example);

		finding_command(f, "df -h %s", word);
		free(word);
	}
	free(missing);
	free(left);
}

static void check_rundir(struct doctor *d, const struct doctor_daemon *m)
{
	struct finding *f;
	struct statvfs v;

	if (m->how != DAEMON_UP || statvfs(m->dir, &v) < 0 || v.f_blocks == 0)
		return;
	if ((uint64_t)v.f_bavail * v.f_frsize >= RUNDIR_LOW && (v.f_files == 0 || v.f_favail > 16))
		return;
	f = report_add(&d->report, "space", LEVEL_WARNING, m->dir, "the run directory's file system is full");
	finding_why(f, "%s cannot make its socket and lock when it is started anew", m->class->program);
	finding_next(f, "free space there; see it with:");
	char *word = shell_word(m->dir);

	finding_command(f, "df -h %s; df -i %s", word, word);
	free(word);
}

void host_space(struct doctor *d)
{
	struct file_system fs[MAX_FILE_SYSTEMS];
	unsigned nr = 0, asked = 0;
	size_t before = d->report.nr;

	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		const struct doctor_daemon *m = &d->daemons[i];

		if (m->how != DAEMON_UP)
			continue;
		asked++;
		for (size_t n = 0; n < json_object_array_length(m->list); n++)
			check_image(d, json_object_array_get_idx(m->list, n), fs, &nr);
		check_rundir(d, m);
	}
	for (unsigned i = 0; i < nr; i++) {
		check_file_system(d, &fs[i]);
		free(fs[i].example);
	}
	if (!asked)
		report_add(&d->report, "space", LEVEL_NA, NULL, "no daemon tells its images");
	else if (d->report.nr == before)
		report_add(&d->report, "space", LEVEL_OK, NULL, "no image on a file system");
}

/* ------------------------------------------------------------------ grants */

static int64_t sum_member(struct json_object *array, const char *outer, const char *name)
{
	int64_t sum = 0;

	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i), *v;

		if (outer)
			o = json_object_object_get(o, outer);
		if (o && json_object_object_get_ex(o, name, &v))
			sum += json_object_get_int64(v);
	}
	return sum;
}

/* "; N pages of guests are mapped", or nothing.  The caller's. */
static char *mapped(const struct doctor *d)
{
	unsigned asked = 0;
	int64_t sum = 0;

	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		const struct doctor_daemon *m = &d->daemons[i];

		asked += m->how == DAEMON_UP;
		sum += sum_member(m->stat, "metrics", "persistent_mapped");
		for (size_t n = 0; m->list && n < json_object_array_length(m->list); n++) {
			struct json_object *o = json_object_array_get_idx(m->list, n), *pages = NULL, *queues = NULL;

			json_object_object_get_ex(o, "ring_pages", &pages);
			json_object_object_get_ex(o, "queues", &queues);
			sum += json_object_get_int64(pages) * json_object_get_int64(queues);
		}
	}
	return asked ? text("; %" PRId64 " pages of guests are mapped", sum) : text("%s", "");
}

void host_grants(struct doctor *d)
{
	static const char path[] = "/sys/module/xen_gntdev/parameters/limit";
	char line[32], *pages = mapped(d);
	struct finding *f;
	uint64_t limit;

	read_line(d->root, path, line, sizeof(line));
	if (d->hostxen || !d->xen) {
		report_add(&d->report, "grants", LEVEL_NA, NULL, "%s%s",
			   d->hostxen ? "hostxen has no limit on mappings" : "no Xen", pages);
	} else if (parse_str_u64(line, UINT64_MAX, &limit) < 0) {
		report_add(&d->report, "grants", LEVEL_NA, NULL, "gntdev's limit is not to be seen (%s)%s", path,
			   pages);
	} else if (limit < GRANT_MAP_MAX) {
		f = report_add(&d->report, "grants", LEVEL_ERROR, NULL,
			       "gntdev maps at most %" PRIu64 " pages a call; we need %u%s", limit, GRANT_MAP_MAX,
			       pages);
		finding_why(f, "guests with rings of several pages cannot connect");
		finding_command(f, "echo 65536 >%s", path);
	} else {
		report_add(&d->report, "grants", LEVEL_OK, NULL, "gntdev maps up to %" PRIu64 " pages a call%s", limit,
			   pages);
	}
	free(pages);
	report_add(&d->report, "maptrack", LEVEL_NA, NULL, "%s",
		   d->hostxen || !d->xen ? "no Xen"
					 : "Xen's limits (maptrack and grant table frames) and how much of them is in "
					   "use are not visible from here");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-doctor-daemon.c - the daemons: is one there, does it answer, what does it say of its devices and workers, and how near
 * are they to their limits.  The lock file is never locked, not even for a moment: a daemon that starts just then would
 * see it taken.  /proc/locks tells who has it.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "config.h"
#include "toolstack/cmd-doctor.h"
#include "toolstack/synthctl.h"

#define LOCKS_MAX   (1u << 20)
#define CRASH_LOOP  2   /* early deaths in a row */
#define LONG_LIFE_S 10  /* a worker that lives so long does not die again and again */
#define FILES_FULL  0.8 /* of RLIMIT_NOFILE */
#define MEMLOCK_LOW (64u << 10)

static int64_t number(struct json_object *o, const char *name, int64_t otherwise)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_int))
		return otherwise;
	return json_object_get_int64(v);
}

/* ------------------------------------------------------------------ looking */

/* < 0: nobody has it; 0: somebody, or it cannot be seen; else a pid. */
static int64_t lock_holder(const char *path)
{
	struct stat st;
	char *locks;
	int64_t pid;
	int n;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? -1 : 0;
	locks = malloc(LOCKS_MAX);
	if (!locks)
		return 0;
	n = read_small("", "/proc/locks", locks, LOCKS_MAX);
	pid = n < 0 ? 0 : parse_lock_holder(locks, major(st.st_dev), minor(st.st_dev), st.st_ino);
	free(locks);
	return pid < 0 ? -1 : pid;
}

/* One question; NULL when there is no answer of that type. */
static struct json_object *question(struct doctor *d, struct client *c, const char *cmd, enum json_type type,
				    struct failure *f)
{
	struct json_object *ret = NULL;

	if (client_call(c, request_new(cmd), 0, &ret, f) != 0) {
		d->interrupted |= f->status == EXIT_INTERRUPTED;
		return NULL;
	}
	if (json_object_is_type(ret, type))
		return ret;
	json_object_put(ret);
	return NULL;
}

static void ask_all(struct doctor *d, struct doctor_daemon *m)
{
	struct opts o = *d->o;
	struct failure f = { 0 };
	struct client *c;

	o.given |= OPT_BIT(OPT_SOCKET) | OPT_BIT(OPT_TIMEOUT);
	o.text[OPT_SOCKET] = m->socket;
	o.seconds[OPT_TIMEOUT] = d->timeout_s;
	if (client_open(&o, &c, &f) != 0) {
		m->how = f.status == EXIT_PERMISSION ? DAEMON_FORBIDDEN : m->lock_pid > 0 ? DAEMON_DEAF : DAEMON_DEAD;
		failure_clear(&f);
		return;
	}
	m->status = question(d, c, "status", json_type_object, &f);
	if (m->status)
		m->list = question(d, c, "list", json_type_array, &f);
	if (m->list)
		m->stat = question(d, c, "stat", json_type_array, &f);
	m->how = m->status && m->list ? DAEMON_UP : DAEMON_SILENT;
	if (m->how == DAEMON_SILENT)
		m->why = text("%s%s%s", f.what ? f.what : "its answer is not understood", f.why ? ": " : "",
			      f.why ? f.why : "");
	failure_clear(&f);
	client_close(c);
}

static void look_at(struct doctor *d, struct doctor_daemon *m, bool given)
{
	const char *dir = getenv("SYNTH_RUNDIR");
	struct stat st;

	snprintf(m->dir, sizeof(m->dir), "%s", dir && *dir ? dir : SYNTH_RUNDIR);
	snprintf(m->lock, sizeof(m->lock), "%s/%s.lock", m->dir, m->class->stem);
	if (given)
		snprintf(m->socket, sizeof(m->socket), "%s", d->o->text[OPT_SOCKET]);
	else
		snprintf(m->socket, sizeof(m->socket), "%s/%s.sock", m->dir, m->class->stem);
	m->lock_pid = lock_holder(m->lock);
	if (stat(m->socket, &st) == 0)
		ask_all(d, m);
	else if (errno == EACCES)
		m->how = DAEMON_FORBIDDEN;
	else
		m->how = m->lock_pid > 0 ? DAEMON_DEAF : DAEMON_ABSENT;
}

void daemon_look(struct doctor *d)
{
	for (unsigned i = 0; i < doctor_nr_classes && !d->interrupted; i++) {
		d->daemons[i] = (struct doctor_daemon){ .class = &doctor_classes[i] };
		look_at(d, &d->daemons[i], i == 0 && opt_has(d->o, OPT_SOCKET));
	}
}

void daemon_forget(struct doctor *d)
{
	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		struct doctor_daemon *m = &d->daemons[i];

		json_object_put(m->status);
		json_object_put(m->list);
		json_object_put(m->stat);
		free(m->why);
		*m = (struct doctor_daemon){ 0 };
	}
}

/* ------------------------------------------------------------------ the daemon */

static uint32_t devices_of(const struct doctor *d, const struct doctor_class *k)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < d->store->nr; i++)
		nr += d->store->devices[i].class == k && d->store->devices[i].ours;
	return nr;
}

/* Not every host serves every class: a daemon that never ran here, with nothing to serve, is missed by nobody, if there is another. */
bool daemon_wanted(const struct doctor *d, const struct doctor_class *k)
{
	bool absent = false, other = false;

	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		if (d->daemons[i].class == k)
			absent = d->daemons[i].how == DAEMON_ABSENT;
		else
			other |= d->daemons[i].how != DAEMON_ABSENT || devices_of(d, d->daemons[i].class) > 0;
	}
	/* With none at all it is the first class's that is missed. */
	return !absent || devices_of(d, k) > 0 || (!other && k == &doctor_classes[0]);
}

static const char *run_prefix(const struct doctor *d)
{
	return d->hostxen ? "hostxen run -d 0 -- " : "";
}

static void check_absent(struct doctor *d, const struct doctor_daemon *m)
{
	const char *p = m->class->program;
	uint32_t nr = devices_of(d, m->class);
	struct finding *f;

	if (m->how == DAEMON_DEAF) {
		f = report_add(&d->report, "daemon", LEVEL_ERROR, p,
			       "process %" PRId64 " has its lock, and does not listen on %s", m->lock_pid, m->socket);
		finding_why(f, "it is starting, stopping, or hangs; or it listens elsewhere");
		finding_next(f, "try again; say where its socket is with --socket; look at its log");
		return;
	}
	if (!daemon_wanted(d, m->class)) {
		report_add(&d->report, "daemon", LEVEL_OK, p,
			   "it is not running, and nothing is there for it to serve");
		return;
	}
	f = report_add(&d->report, "daemon", LEVEL_ERROR, p,
		       m->how == DAEMON_DEAD ? "it is dead, and left its socket %s" : "it is not running (no %s)",
		       m->socket);
	if (nr)
		finding_why(f, "%u device%s in xenstore wait%s for it, and so do the guests", nr, nr > 1 ? "s" : "",
			    nr > 1 ? "" : "s");
	else
		finding_why(f, "nothing can be attached");
	finding_next(f, "start it: it serves what it finds in xenstore, and needs no tidying up before");
	finding_start(f, host_unit(d, p), run_prefix(d), p);
}

static void check_up(struct doctor *d, const struct doctor_daemon *m)
{
	const char *p = m->class->program, *version = member(m->status, "version");
	struct finding *f;

	report_add(&d->report, "daemon", LEVEL_OK, p,
		   "pid %" PRId64 ", up for %" PRId64 " s, %" PRId64 " devices, %" PRId64 " workers",
		   number(m->status, "pid", 0), number(m->status, "uptime_s", 0), number(m->status, "devices", 0),
		   number(m->status, "workers", 0));
	if (strcmp(version, PACKAGE_VERSION) != 0) {
		f = report_add(&d->report, "version", LEVEL_WARNING, p,
			       "it is version %s, synthctl is " PACKAGE_VERSION, version);
		finding_why(f, "it was started before an update, or the two are of different installations");
		finding_next(f, "bring it to the installed version: guests only notice a pause");
		finding_command(f, "synthctl daemon upgrade %s", m->class->word);
	} else {
		report_add(&d->report, "version", LEVEL_OK, p, "%s, as synthctl", version);
	}
	if (!strcmp(member(m->status, "xenstore"), "connected")) {
		report_add(&d->report, "daemon-xenstore", LEVEL_OK, p, "connected to xenstore");
	} else {
		f = report_add(&d->report, "daemon-xenstore", LEVEL_ERROR, p, "its connection to xenstore is lost");
		finding_why(f, "connected devices are served on; nothing can be attached or detached, no guest can "
			       "connect or close");
		finding_next(f, "see to xenstored; when it answers again, %s connects again by itself", p);
	}
}

static void check_strays(struct doctor *d, struct json_object *w)
{
	char *subject = text("domain %" PRId64, number(w, "domid", -1));
	struct finding *f;

	f = report_add(&d->report, "worker", LEVEL_ERROR, subject,
		       "its worker serves %" PRId64 " connected devices that cannot be had from xenstore",
		       number(w, "strays", 0));
	free(subject);
	finding_why(f,
		    "their nodes are damaged, or xenstored was started again under the running domain; they are served "
		    "on, but cannot be seen or detached, and not be served again when the worker ends");
	finding_next(f,
		     "shut the domain down from inside; or mend the nodes (the daemon's log names them) and start the "
		     "daemon anew");
}

static void check_workers(struct doctor *d, const struct doctor_daemon *m)
{
	struct json_object *list;
	uint32_t wrong = 0;
	size_t nr = 0;

	if (!json_object_object_get_ex(m->status, "worker_list", &list) ||
	    !json_object_is_type(list, json_type_array)) {
		report_add(&d->report, "worker", LEVEL_NA, m->class->program, "an older %s does not tell",
			   m->class->program);
		return;
	}
	nr = json_object_array_length(list);
	for (size_t i = 0; i < nr; i++) {
		struct json_object *w = json_object_array_get_idx(list, i);
		int64_t crashes = number(w, "crashes", 0);
		struct finding *f;
		char *subject;

		if (number(w, "strays", 0) > 0) {
			wrong++;
			check_strays(d, w);
		}
		if (crashes < CRASH_LOOP ||
		    (!strcmp(member(w, "state"), "ready") && number(w, "up_s", 0) >= LONG_LIFE_S))
			continue;
		wrong++;
		subject = text("domain %" PRId64, number(w, "domid", -1));
		f = report_add(&d->report, "worker", LEVEL_ERROR, subject,
			       "its worker died %" PRId64 " times in a row soon after its start", crashes);
		free(subject);
		finding_why(f, "the domain's devices are not served meanwhile; starts are tried less and less often, "
			       "at least every 30 s");
		finding_next(f,
			     "look at the log of %s for how it dies: a missing program or library, a limit, a guest "
			     "that kills it (detach "
			     "its devices one by one)",
			     m->class->program);
	}
	if (!wrong)
		report_add(&d->report, "worker", LEVEL_OK, m->class->program,
			   "%zu worker%s, none that dies again and again", nr, nr == 1 ? "" : "s");
}

void daemon_check(struct doctor *d)
{
	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		const struct doctor_daemon *m = &d->daemons[i];
		struct finding *f;

		switch (m->how) {
		case DAEMON_ABSENT:
		case DAEMON_DEAD:
		case DAEMON_DEAF:
			check_absent(d, m);
			break;
		case DAEMON_SILENT:
			f = report_add(&d->report, "daemon", LEVEL_ERROR, m->class->program,
				       "it does not answer on %s: %s", m->socket, m->why);
			finding_why(f, "it hangs, or is not what it seems; connected devices are served by their "
				       "workers meanwhile");
			finding_next(f, "look at its log; end it and start it anew: guests only notice a pause");
			if (m->lock_pid > 0) {
				finding_command(f, "kill -9 %" PRId64, m->lock_pid);
				/* systemd may have done so already: then it does nothing. */
				finding_start(f, host_unit(d, m->class->program), run_prefix(d), m->class->program);
			}
			break;
		case DAEMON_FORBIDDEN:
			report_add(&d->report, "daemon", LEVEL_NA, m->class->program,
				   "only root and its own user may ask it");
			break;
		case DAEMON_UP:
			check_up(d, m);
			check_workers(d, m);
			break;
		}
	}
}

/* ------------------------------------------------------------------ its devices */

bool daemon_sees(const struct doctor_daemon *m)
{
	return m->how == DAEMON_UP && !strcmp(member(m->status, "xenstore"), "connected");
}

static void keep(char *to, size_t bytes, struct json_object *o, const char *name)
{
	snprintf(to, bytes, "%s", member(o, name));
}

/* Is its synth/daemon a live process of that name, and not the daemon we ask? */
static bool other_daemon(const struct doctor *d, const struct doctor_daemon *m, const struct doctor_device *dev)
{
	int64_t pid = parse_instance(dev->instance, d->boot_id);
	char path[64], comm[64];

	if (pid <= 0 || pid == number(m->status, "pid", 0))
		return false;
	snprintf(path, sizeof(path), "/proc/%" PRId64 "/comm", pid);
	return read_small("", path, comm, sizeof(comm)) > 0 && strstr(comm, m->class->program);
}

static void take_device(struct doctor *d, const struct doctor_class *k, struct json_object *o)
{
	int64_t domid = number(o, "domid", -1), id = number(o, "vdev", -1);
	struct doctor_device *dev;

	if (domid < 0 || domid > UINT16_MAX || id < 0 || id > UINT32_MAX)
		return;
	dev = store_device(d->store, k, (uint32_t)domid, (uint32_t)id);
	if (!dev)
		return;
	dev->known = true;
	keep(dev->name, sizeof(dev->name), o, "device");
	keep(dev->phase, sizeof(dev->phase), o, "phase");
	keep(dev->state, sizeof(dev->state), o, "state");
	keep(dev->front_state, sizeof(dev->front_state), o, "frontend_state");
	keep(dev->broken, sizeof(dev->broken), o, "broken");
	dev->phase_s = (uint64_t)number(o, "phase_s", -1);
}

static void take_metrics(struct doctor *d, const struct doctor_class *k, struct json_object *o)
{
	const char *name = member(o, "device");
	struct json_object *m;

	if (!*name || !json_object_object_get_ex(o, "metrics", &m))
		return;
	for (uint32_t i = 0; i < d->store->nr; i++) {
		struct doctor_device *dev = &d->store->devices[i];

		if (dev->class == k && dev->known && !strcmp(dev->name, name)) {
			dev->oldest_request_ns = (uint64_t)number(m, "oldest_request_ns", 0);
			return;
		}
	}
}

void daemon_devices(struct doctor *d)
{
	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		const struct doctor_daemon *m = &d->daemons[i];

		if (!daemon_sees(m))
			continue;
		for (size_t n = 0; n < json_object_array_length(m->list); n++)
			take_device(d, m->class, json_object_array_get_idx(m->list, n));
		for (size_t n = 0; m->stat && n < json_object_array_length(m->stat); n++)
			take_metrics(d, m->class, json_object_array_get_idx(m->stat, n));
		for (uint32_t n = 0; n < d->store->nr; n++) {
			struct doctor_device *dev = &d->store->devices[n];
			char domain[32];

			if (dev->class != m->class)
				continue;
			dev->other_daemon = other_daemon(d, m, dev);
			snprintf(domain, sizeof(domain), "domain %u", dev->domid);
			dev->worker_loops = report_problem(&d->report, "worker", domain);
		}
	}
}

/* ------------------------------------------------------------------ limits */

/* Descriptors in use, or -errno. */
static int64_t count_files(int64_t pid)
{
	char path[64];
	struct dirent *e;
	int64_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

struct usage {
	uint64_t processes, hidden, most, most_of;
};

static void check_process(struct doctor *d, const char *what, int64_t pid, struct usage *u)
{
	char path[64], limits[4096], *subject;
	uint64_t files, memlock;
	int64_t used = count_files(pid);
	struct finding *f;

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/limits", pid);
	if (used == -ENOENT)
		return; /* it went meanwhile */
	if (used < 0 || read_small("", path, limits, sizeof(limits)) < 0 ||
	    parse_limit(limits, "Max open files", &files) < 0) {
		u->hidden++;
		return;
	}
	u->processes++;
	if (files && (double)used / (double)files >= (u->most_of ? (double)u->most / (double)u->most_of : 0)) {
		u->most = (uint64_t)used;
		u->most_of = files;
	}
	subject = text("%s %" PRId64, what, pid);
	if ((double)used >= FILES_FULL * (double)files) {
		f = report_add(&d->report, "files", LEVEL_WARNING, subject,
			       "%" PRId64 " of %" PRIu64 " file descriptors are in use", used, files);
		finding_why(
			f, "each image and each queue takes some; at the limit no device can be attached or connected");
		finding_next(f, "raise the limit, and start it anew with it (LimitNOFILE= of a systemd unit, or ulimit "
				"-n); now:");
		finding_command(f, "prlimit --pid %" PRId64 " --nofile=%" PRIu64, pid, MAX(4 * files, (uint64_t)65536));
	}
	if (parse_limit(limits, "Max locked memory", &memlock) == 0 && memlock < MEMLOCK_LOW) {
		f = report_add(&d->report, "files", LEVEL_WARNING, subject,
			       "it may lock only %" PRIu64 " bytes of memory", memlock);
		finding_why(f, "older kernels count io_uring's rings there; images then fall back to slower I/O");
		finding_next(f, "raise the limit (LimitMEMLOCK= of a systemd unit, or ulimit -l)");
	}
	free(subject);
}

void daemon_limits(struct doctor *d)
{
	for (unsigned i = 0; i < doctor_nr_classes; i++) {
		const struct doctor_daemon *m = &d->daemons[i];
		struct usage u = { 0 };
		struct json_object *list;

		if (m->how != DAEMON_UP)
			continue;
		check_process(d, m->class->program, number(m->status, "pid", 0), &u);
		if (json_object_object_get_ex(m->status, "worker_list", &list) &&
		    json_object_is_type(list, json_type_array))
			for (size_t n = 0; n < json_object_array_length(list); n++) {
				int64_t pid = number(json_object_array_get_idx(list, n), "pid", 0);

				if (pid > 0)
					check_process(d, "worker", pid, &u);
			}
		if (!u.processes && u.hidden)
			report_add(&d->report, "files", LEVEL_NA, m->class->program,
				   "only root and its own user may see what it has open");
		else if (u.processes)
			report_add(&d->report, "files", LEVEL_OK, m->class->program,
				   "%" PRIu64 " process%s; the fullest has %" PRIu64 " of %" PRIu64
				   " descriptors in use",
				   u.processes, u.processes > 1 ? "es" : "", u.most, u.most_of);
	}
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * upgrade.c - from one program to the next while guests are served.
 *
 *   1. The new daemon's program is asked whether it reads our journals and speaks with our workers; it asks its own worker's
 *      program the same.  If not, nothing has happened.
 *   2. The era (how many upgrades there were) is written down, and the daemon execs the new program.  Workers serve on
 *      and are found again (find.c), as after a daemon's death.
 *   3. Each worker of an earlier era, one after the other: a new process is started; when it is ready, the old one is told
 *      to quit, and its devices are resumed by the new one, as after a worker's death.  But not one that has an image which
 *      the new one would not find under its name: nobody else may have that any more.
 *
 * Each step may be the last one that a daemon does: the next one finds the era and goes on with 3.
 *
 * In the same way a worker is replaced by one with parts it was started without (struct control_class, parts()), when a
 * device comes that needs them.  Such devices wait (OPEN_WAITS), and that is all that is known of the wish: one that is gone by
 * the time wishes nothing, and the next process of a worker that died has what its devices need in any case.  After a
 * daemon's death nothing is left of it, since nothing is in xenstore yet of a device that is not open.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "backend/control/upgrade.h"
#include "backend/control/worker.h"
#include "backend/journal.h"
#include "common/span/span.h"

#define ASK_MS      10000u
#define EXEC_MS     100u   /* for the answer to reach who asked */
#define JOBS_MS     10000u /* for jobs to end: images that are opened, ports that are removed */
#define READY_MS    30000u /* for a new worker to start */
#define LOOK_MS     1000u /* for images to be looked at: storage that does not answer keeps no worker from being replaced */
#define HANDOVER_MS 1000u /* for the old one to answer its guest; then it is killed, which loses nothing */
#define RESUME_MS   10000u
#define TICK_MS     5u

extern char **environ;

enum upgrade_step { STEP_NONE, STEP_READY, STEP_RESUMED };

struct upgrade {
	struct control *c;
	char **argv;
	char program[512]; /* as it was started */
	char next[512];
	char era_path[300];
	struct ask_job *job;
	struct loop_timer *exec; /* until we become the next program */
	uint64_t jobs_end;       /* when it is given up since jobs run; 0: none were waited for */
	struct loop_timer *timer;
	/* replacing workers, one at a time */
	enum upgrade_step step;
	bool moving;              /* for a device that waits; else for an upgrade */
	struct worker *old, *new; /* a reference of each */
	uint64_t step_end, handed_ns;
	uint64_t look_end; /* of the look at the old one's images; 0: not begun */
	bool upgrading;
	uint32_t replaced, failed, moved;
	char error[REASON_MAX];
	uint32_t nr_pauses, pause_us[UPGRADE_PAUSES];
};

struct ask_job {
	struct job job;
	struct control *c;
	struct ctl_req *req;
	char program[512];
	bool ok;
	char why[REASON_MAX];
};

static void replace_next(struct upgrade *u);

/* --------------------------------------------------------------- the era */

static uint32_t read_era(const char *path)
{
	char text[32] = "";
	uint32_t era = 1;
	FILE *f = fopen(path, "re");

	if (!f)
		return 1;
	if (fgets(text, sizeof(text), f))
		text[strcspn(text, "\n")] = '\0';
	fclose(f);
	return parse_str_u32(text, UINT32_MAX, &era) == 0 ? era : 1;
}

static int write_era(const char *path, uint32_t era)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%u\n", era), fd, err = 0;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)n) != n)
		err = -EIO;
	close(fd);
	return err;
}

int upgrade_open(struct control *c, const char *rundir, char **argv)
{
	struct upgrade *u = calloc(1, sizeof(*u));
	ssize_t n;

	if (!u)
		return -ENOMEM;
	u->c = c;
	u->argv = argv;
	snprintf(u->era_path, sizeof(u->era_path), "%s/%s.era", rundir, c->class->stem);
	c->era = read_era(u->era_path);
	/* Now: a package that is upgraded puts another file there. */
	n = readlink("/proc/self/exe", u->program, sizeof(u->program) - 1);
	u->program[n > 0 ? n : 0] = '\0';
	c->upgrade = u;
	return 0;
}

void upgrade_close(struct control *c)
{
	struct upgrade *u = c->upgrade;

	if (!u)
		return;
	loop_del_timer(u->exec);
	loop_del_timer(u->timer);
	worker_forget(u->old, u, 0);
	worker_put(u->old);
	worker_put(u->new);
	free(u);
	c->upgrade = NULL;
}

/* ------------------------------------------------------- may it take over? */

int upgrade_answer(const struct control_class *k, uint32_t journal, uint32_t wire)
{
	const char *dir = getenv("SYNTH_LIBEXECDIR");
	char path[512], number[16], program[64], opt[] = "--reads-journal";
	char *argv[] = { program, opt, number, NULL };

	if (wire && wire != WIRE_VERSION) {
		fprintf(stderr, "%s: workers speak version %u of the worker protocol, this program version %u\n",
			k->program, wire, WIRE_VERSION);
		return 1;
	}
	if (!journal)
		return 0;
	if (journal != JOURNAL_VERSION) {
		fprintf(stderr, "%s: there are journals of version %u, this program reads version %u\n", k->program,
			journal, JOURNAL_VERSION);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/%s", dir && *dir ? dir : SYNTH_LIBEXECDIR, k->worker);
	snprintf(program, sizeof(program), "%s", k->worker);
	snprintf(number, sizeof(number), "%u", journal);
	execv(path, argv);
	fprintf(stderr, "%s: cannot start %s: %s\n", k->program, path, strerror(errno));
	return 1;
}

/* Its first line, until it ends or the time is over. */
static void read_words(int fd, char *buf, size_t bytes)
{
	uint64_t end = now_ns() + ASK_MS * 1000000ull, now;
	size_t used = 0;

	while ((now = now_ns()) < end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char scrap[256];
		ssize_t n;

		if (poll(&p, 1, (int)((end - now) / 1000000u) + 1) <= 0)
			continue;
		n = used < bytes - 1 ? read(fd, buf + used, bytes - 1 - used) : read(fd, scrap, sizeof(scrap));
		if (n <= 0)
			break;
		used = MIN(used + (size_t)n, bytes - 1);
	}
	buf[used] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	for (char *p = buf; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
}

static int start_asking(struct ask_job *j, int out, pid_t *pid)
{
	char journal[16], wire[16], a[] = "--reads-journal", b[] = "--speaks-wire";
	char *argv[] = { j->program, a, journal, b, wire, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none;
	int err;

	snprintf(journal, sizeof(journal), "%u", JOURNAL_VERSION);
	snprintf(wire, sizeof(wire), "%u", WIRE_VERSION);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	err = posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (err == 0)
		err = posix_spawn_file_actions_adddup2(&fa, out, 2);
	if (err == 0)
		err = posix_spawnattr_setsigmask(&at, &none);
	if (err == 0)
		err = posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK);
	if (err == 0)
		err = posix_spawn(pid, j->program, &fa, &at, argv, environ);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return -err;
}

static void ask_run(struct job *job)
{
	struct ask_job *j = container_of(job, struct ask_job, job);
	int p[2], err = pipe2(p, O_CLOEXEC) < 0 ? -errno : 0, status = -1;
	pid_t pid;

	if (err == 0) {
		err = start_asking(j, p[1], &pid);
		close(p[1]);
		if (err == 0) {
			read_words(p[0], j->why, sizeof(j->why));
			/* It has said all, or had its time. */
			for (unsigned n = 0; waitpid(pid, &status, WNOHANG) == 0; n++) {
				if (n == 100)
					kill(pid, SIGKILL);
				usleep(10000);
			}
		}
		close(p[0]);
	}
	j->ok = err == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (err < 0)
		snprintf(j->why, sizeof(j->why), "it cannot be started: %s", strerror(-err));
	else if (!j->ok && !j->why[0])
		snprintf(j->why, sizeof(j->why), "it does not say that it can take over (%s %d)",
			 WIFEXITED(status) ? "exit status" : "signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* ------------------------------------------------------------ becoming it */

/*
 * An exec waits for all other threads to be gone, and one that waits for storage may not be killable.  0, or how many jobs run;
 * no other begins from here on.
 */
static uint32_t jobs_left(struct upgrade *u)
{
	uint32_t nr = jobs_hold(u->c->jobs, true);

	if (u->jobs_end == 0)
		u->jobs_end = now_ns() + JOBS_MS * 1000000ull;
	return nr;
}

static void jobs_go_on(struct upgrade *u)
{
	u->jobs_end = 0;
	(void)jobs_hold(u->c->jobs, false);
}

static void become(struct loop *l, void *arg)
{
	struct upgrade *u = arg;
	uint32_t jobs = 0;
	sigset_t none;
	int err;

	u->exec = NULL;
	if (u->c->stopping)
		return;
	if (u->step != STEP_NONE) /* a worker is being replaced, which has an end, and takes jobs */
		jobs_go_on(u);
	else
		jobs = jobs_left(u);
	if ((u->step != STEP_NONE || (jobs > 0 && now_ns() < u->jobs_end)) &&
	    loop_add_timer(l, EXEC_MS, become, u, &u->exec) == 0)
		return;
	if (jobs > 0) {
		snprintf(u->error, sizeof(u->error),
			 "%u jobs for disks or nics do not end, since storage or a switch does not answer: see "
			 "synthctl list",
			 jobs);
		log_error("not upgraded: %s", u->error);
		jobs_go_on(u);
		upgrade_look(u->c);
		return;
	}
	err = write_era(u->era_path, u->c->era + 1);
	if (err == 0) {
		log_info("becoming %s; workers serve on", u->next);
		control_notify("RELOADING=1");
		sigemptyset(&none);
		u->argv[0] = u->next;
		execv(u->next, u->argv);
		err = -errno;
	}
	snprintf(u->error, sizeof(u->error), "cannot become %.100s: %s", u->next, strerror(-err));
	log_error("%s; all is as it was", u->error);
	control_notify("READY=1");
	if (write_era(u->era_path, u->c->era) < 0)
		log_error("%s cannot be written", u->era_path);
	jobs_go_on(u);
	upgrade_look(u->c);
}

void upgrade_restart(struct control *c)
{
	struct upgrade *u = c->upgrade;

	if (!u || !u->program[0] || c->stopping)
		return;
	if (jobs_left(u) > 0 && now_ns() < u->jobs_end)
		return; /* we are called again; but without xenstore we are of no use anyhow */
	log_info("starting afresh; workers serve on");
	control_notify("RELOADING=1");
	u->argv[0] = u->program;
	execv(u->program, u->argv);
	log_error("cannot start %s: %s", u->program, strerror(errno));
	jobs_go_on(u);
}

static void ask_done(struct job *job, bool cancelled)
{
	struct ask_job *j = container_of(job, struct ask_job, job);
	struct control *c = j->c;
	struct upgrade *u = c->upgrade;
	struct fault f = { .code = FAULT_FAILED };
	json_object *o;

	if (u)
		u->job = NULL;
	fault_what(&f, "not upgraded");
	if (!j->ok || cancelled || c->stopping || !u) {
		log_error("not upgraded to %s: %s", j->program, j->why);
		fault_set(&f, FAULT_FAILED, -EINVAL, "%s: %s", j->program, j->why);
		fault_next(&f,
			   "nothing has changed; a daemon that is stopped and started takes any version, guests wait "
			   "meanwhile");
		ctl_fail(j->req, &f);
	} else {
		memcpy(u->next, j->program, sizeof(u->next));
		u->error[0] = '\0';
		o = json_object_new_object();
		json_object_object_add(o, "era", json_object_new_int64((int64_t)c->era + 1));
		json_object_object_add(o, "program", json_object_new_string(u->next));
		ctl_ok(j->req, o);
		if (loop_add_timer(c->loop, EXEC_MS, become, u, &u->exec) < 0)
			log_error("out of memory: not upgraded");
	}
	free(j);
}

void upgrade_start(struct control *c, const char *program, struct ctl_req *req)
{
	struct upgrade *u = c->upgrade;
	struct fault f = { .code = FAULT_FAILED };
	struct ask_job *j;

	fault_what(&f, "cannot upgrade");
	j = u->job || u->exec || (u->step != STEP_NONE && !u->moving) ? NULL : calloc(1, sizeof(*j));
	if (j) {
		j->c = c;
		j->req = req;
		j->job.run = ask_run;
		j->job.done = ask_done;
		j->job.domid = UINT32_MAX;
		snprintf(j->program, sizeof(j->program), "%s", program ? program : u->program);
		if (jobs_start(c->jobs, &j->job) == 0) {
			u->job = j;
			return;
		}
		free(j);
		fault_set(&f, FAULT_FAILED, -ENOMEM, "out of memory");
	} else {
		fault_set(&f, FAULT_BUSY, -EBUSY, "an upgrade is going on");
	}
	ctl_fail(req, &f);
}

/* -------------------------------------------------------- worker by worker */

static bool resumed(struct upgrade *u)
{
	struct device *d;
	bool all = true;

	list_for_each (d, &u->c->devices, link) {
		if (!d->handed_ns)
			continue;
		if (d->resume || d->opening != OPEN_DONE) {
			all = false;
			continue;
		}
		if (d->has_rings && u->moving)
			log_info("%s: has another worker after %llu us", d->name,
				 (unsigned long long)(d->resumed_ns - d->handed_ns) / 1000u);
		else if (d->has_rings && u->nr_pauses < UPGRADE_PAUSES)
			u->pause_us[u->nr_pauses++] = (uint32_t)((d->resumed_ns - d->handed_ns) / 1000u);
		d->handed_ns = 0;
	}
	return all;
}

static void handed_over(void *arg, int err, const struct wire_msg *m)
{
	struct upgrade *u = arg;
	struct worker *old = u->old;
	struct device *d, *n;

	if (err < 0)
		log_warn("worker %d of domain %u did not let go in time: its successor goes on from the journal",
			 (int)old->pid, old->domid);
	u->old = NULL;
	if (u->c->stopping) { /* the next daemon's workers go on */
		u->step = STEP_NONE;
		loop_del_timer(u->timer);
		u->timer = NULL;
		worker_put(old);
		return;
	}
	u->step = STEP_RESUMED;
	u->step_end = now_ns() + RESUME_MS * 1000000ull;
	list_for_each_safe (d, n, &u->c->devices, link)
		if (d->worker == old)
			device_hand_over(d, u->new, u->handed_ns);
	worker_put(old);
}

/* A device of its guest's waits for parts that it was started without. */
static bool lacking(const struct control *c, const struct worker *w)
{
	const struct device *d;

	list_for_each (d, &c->devices, link)
		if (d->worker == w && d->opening == OPEN_WAITS)
			return true;
	return false;
}

static bool outdated(const struct control *c, const struct worker *w)
{
	return w->era < c->era && w->pidfd >= 0;
}

/* Still to be replaced?  It may have died meanwhile, which replaces it too. */
static bool due(const struct upgrade *u)
{
	return u->old->state == WORKER_READY && (u->moving ? lacking(u->c, u->old) : outdated(u->c, u->old));
}

/* The old one serves on. */
static void not_replaced(struct upgrade *u, const char *why)
{
	char text[REASON_MAX];
	struct device *d, *n;

	snprintf(text, sizeof(text), "domain %u keeps the worker it has: %s", u->old->domid, why);
	log_error("%s", text);
	if (u->moving) {
		list_for_each_safe (d, n, &u->c->devices, link)
			if (d->worker == u->old)
				device_open_give_up(d, why);
		return;
	}
	memcpy(u->error, text, sizeof(u->error));
	u->failed++;
	u->old->era = u->c->era; /* not again */
}

/* Time is over, and the new worker does not serve all that the old one had: it waits for an image, say.  It goes on trying. */
static void not_resumed(struct upgrade *u)
{
	struct device *d;

	list_for_each (d, &u->c->devices, link) {
		if (!d->handed_ns)
			continue;
		d->handed_ns = 0;
		snprintf(u->error, sizeof(u->error), "%s is not served by its new worker yet%s%.100s", d->name,
			 d->broken[0] ? ": " : "", d->broken);
		log_error("%s", u->error);
	}
}

/* The guest's connected devices, and their images.  0: they are looked at; 1: all is well; else -errno and @why. */
static int look(struct upgrade *u, char why[REASON_MAX])
{
	bool begin = u->look_end == 0, wait = false;
	uint64_t now = now_ns();
	struct device *d;

	if (worker_strays(u->old) > 0) {
		snprintf(why, REASON_MAX,
			 "it serves devices that another would not be told of, since they are not in xenstore");
		return -ENOENT;
	}
	if (begin)
		u->look_end = now + LOOK_MS * 1000000ull;
	list_for_each (d, &u->c->devices, link) {
		if (d->worker != u->old || !d->has_rings)
			continue;
		if (begin)
			device_look_below(d);
		wait |= d->look != NULL;
		if (d->look || !d->look_why[0])
			continue;
		snprintf(why, REASON_MAX, "%s: %.*s", d->name, REASON_MAX - 90, d->look_why);
		return -ESTALE;
	}
	return !wait || now >= u->look_end;
}

static void tick(struct loop *l, void *arg)
{
	struct upgrade *u = arg;
	bool late = now_ns() >= u->step_end;
	char why[REASON_MAX];
	int there;

	u->timer = NULL;
	if (u->step == STEP_READY && u->handed_ns == 0) {
		if (!due(u))
			return replace_next(u);
		if (u->new->state == WORKER_READY) {
			there = look(u, why);
			if (there < 0) {
				not_replaced(u, why);
				return replace_next(u);
			}
			if (there > 0) {
				u->handed_ns = now_ns();
				worker_hand_over(u->old, worker_ms("SYNTH_HANDOVER_MS", HANDOVER_MS), handed_over, u);
			}
		} else if (late || u->new->crashes > 0) {
			not_replaced(u, "another could not be started");
			return replace_next(u);
		}
	} else if (u->step == STEP_RESUMED && resumed(u)) {
		if (u->moving)
			u->moved++;
		else
			u->replaced++;
		return replace_next(u);
	} else if (u->step == STEP_RESUMED && late) {
		not_resumed(u);
		u->failed += !u->moving;
		return replace_next(u);
	}
	if (loop_add_timer(l, TICK_MS, tick, u, &u->timer) < 0)
		log_error("out of memory: a worker is not replaced");
}

/* Whom somebody waits for, then those of an earlier era. */
static struct worker *choose(const struct upgrade *u, bool moving)
{
	struct worker *w;

	if (u->c->stopping || (moving && u->exec))
		return NULL;
	list_for_each (w, &u->c->workers, link)
		if (w->state == WORKER_READY && (moving ? lacking(u->c, w) : outdated(u->c, w)))
			return w;
	return NULL;
}

static void replace_next(struct upgrade *u)
{
	struct worker *old = u->old, *new = u->new;

	u->new = u->old = NULL;
	worker_put(new);
	worker_put(old);
	u->step = STEP_NONE;
	u->handed_ns = u->look_end = 0;
	u->old = choose(u, true);
	u->moving = u->old != NULL;
	if (!u->old)
		u->old = choose(u, false);
	if (!u->old) {
		if (u->upgrading)
			log_info("upgraded: %u workers replaced, %u not", u->replaced, u->failed);
		u->upgrading = false;
		return;
	}
	u->old->refs++;
	u->new = worker_new(u->c, u->old->domid);
	if (!u->new || loop_add_timer(u->c->loop, TICK_MS, tick, u, &u->timer) < 0) {
		log_error("out of memory: a worker is not replaced");
		return;
	}
	if (u->moving)
		log_info("domain %u: its worker is replaced by one with what a new device needs", u->old->domid);
	u->step = STEP_READY;
	u->step_end = now_ns() + READY_MS * 1000000ull;
	worker_start(u->new);
}

void upgrade_workers(struct control *c)
{
	c->upgrade->upgrading = choose(c->upgrade, false) != NULL;
	if (c->upgrade->upgrading)
		upgrade_look(c);
}

void upgrade_look(struct control *c)
{
	if (c->upgrade && c->upgrade->step == STEP_NONE)
		replace_next(c->upgrade);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

json_object *upgrade_json(const struct control *c)
{
	const struct upgrade *u = c->upgrade;
	json_object *o = json_object_new_object(), *pause = json_object_new_object();
	uint32_t *sorted = calloc(u->nr_pauses + 1, sizeof(uint32_t));

	json_object_object_add(o, "running", json_object_new_boolean(u->step != STEP_NONE || u->job || u->exec));
	json_object_object_add(o, "replaced", json_object_new_int64(u->replaced));
	json_object_object_add(o, "moved", json_object_new_int64(u->moved));
	json_object_object_add(o, "failed", json_object_new_int64(u->failed));
	json_object_object_add(o, "error", u->error[0] ? json_object_new_string(u->error) : NULL);
	if (sorted && u->nr_pauses) {
		uint32_t n = u->nr_pauses;

		memcpy(sorted, u->pause_us, n * sizeof(uint32_t));
		qsort(sorted, n, sizeof(uint32_t), by_size);
		json_object_object_add(pause, "devices", json_object_new_int64(n));
		json_object_object_add(pause, "p50_us", json_object_new_int64(sorted[(n - 1) / 2]));
		json_object_object_add(pause, "p99_us", json_object_new_int64(sorted[(uint64_t)(n - 1) * 99 / 100]));
		json_object_object_add(pause, "max_us", json_object_new_int64(sorted[n - 1]));
	}
	free(sorted);
	json_object_object_add(o, "pause", pause);
	return o;
}

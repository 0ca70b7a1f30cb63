/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * supervise.c - workers: one process a domain, started at the first question, asked over a socketpair, replaced when
 * it dies.
 *
 *   IDLE -> STARTING (fork, exec) -> READY (it said HELLO, or was found: find.c) -> QUITTING -> gone
 *             |                        |
 *             +---- died ------ BACKOFF (none, then a delay that doubles with each early death) -> STARTING
 *
 * Questions wait in a queue until the worker is READY; the time for an answer begins when it is asked.  When it dies, each open
 * question is answered with -EPIPE and each of its devices is told; a worker that lived for a while is started again at
 * once, at the next question.
 *
 * A worker's death is seen by its socket closing and by SIGCHLD (of one that was found: by its pidfd); the first one
 * starts, reaping ends it.  Nothing but fds 3 and 4 (and 0, 1, 2) is inherited: every descriptor of the daemon is
 * close-on-exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "backend/control/spawn.h"
#include "backend/control/upgrade.h"
#include "backend/control/worker.h"

/* Starting takes milliseconds. But a busy host may leave a process waiting for a CPU or its pages for long (under
 * AddressSanitizer on a loaded host healthy ones took more than 5 s), and killing it makes its successor wait again. */
#define HELLO_MS        20000u
#define QUIT_MS         30000u
#define KILLED_MS       1000u                 /* who is dead sooner than that is waited for */
#define BEHIND_MS       1000u                 /* more, for a question behind one that takes long */
#define SHORT_LIFE_NS   1000000000ull         /* one that did not: it did so at once */
#define LONG_LIFE_NS    (10ull * 1000000000u) /* a worker that lived so long did not crash in a loop */
#define BACKOFF_MIN_MS  100u
#define BACKOFF_MAX_MS  30000u
#define BACKOFF_SHIFT   9u
#define MAX_MSGS_A_TURN 64u
#define LOG_ROOM        (1ull << 30) /* bytes that workers may write to a log that is a file */

struct ask {
	struct list link;
	struct worker *w;
	struct wire_hdr hdr;
	void *body;
	int fds[WIRE_MAX_FDS];
	uint32_t nr_fds;
	bool sent, kill;
	uint32_t deadline_ms;
	int err;             /* what it is answered with when its time is over */
	worker_reply_fn *fn; /* NULL: forgotten */
	void *arg;
	struct loop_timer *deadline;
};

static void worker_gone(struct worker *w, const char *how);
static void quit_late(struct loop *l, void *arg);
static void killed_late(struct loop *l, void *arg);

void worker_kill(const struct worker *w, int sig)
{
	if (w->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, w->pidfd, sig, NULL, 0);
	else if (w->pid > 0)
		kill(w->pid, sig);
}

uint32_t worker_ms(const char *name, uint32_t ms)
{
	const char *forced = getenv(name);

	return forced ? (uint32_t)strtoul(forced, NULL, 10) : ms;
}

static void set_timer(struct worker *w, uint64_t ms, loop_timer_fn *fn)
{
	loop_del_timer(w->timer);
	w->timer = NULL;
	w->timer_due_ns = 0;
	if (!fn)
		return;
	w->timer_due_ns = now_ns() + ms * 1000000u;
	if (loop_add_timer(w->c->loop, ms, fn, w, &w->timer) < 0)
		log_error("out of memory: the worker of domain %u is not watched over", w->domid);
}

/* -------------------------------------------------------------- questions */

static void ask_free(struct ask *a)
{
	loop_del_timer(a->deadline);
	list_del(&a->link);
	for (uint32_t i = 0; i < a->nr_fds; i++)
		close(a->fds[i]);
	free(a->body);
	free(a);
}

static void ask_answer(struct ask *a, int err, const struct wire_msg *m)
{
	worker_reply_fn *fn = a->fn;
	void *arg = a->arg;

	ask_free(a);
	if (fn)
		fn(arg, err, m);
}

/*
 * A worker does one thing after the other, and a server takes as long as it likes for the handshake of an image.  So who asked
 * after an OPEN waits for that, whose own time is limited.  Not who has the worker quit: killing it then loses nothing.
 */
static bool behind_open(const struct ask *a)
{
	const struct ask *o;

	if (a->hdr.type == WIRE_QUIT)
		return false;
	list_for_each (o, &a->w->asks, link) {
		if (o == a)
			break;
		if (o->hdr.type == WIRE_OPEN)
			return true;
	}
	return false;
}

static void ask_late(struct loop *l, void *arg);

/* Its time begins. */
static int ask_until(struct ask *a, uint32_t ms)
{
	struct loop_timer *t;
	int err = loop_add_timer(a->w->c->loop, ms, ask_late, a, &t);

	if (err < 0)
		return err;
	loop_del_timer(a->deadline);
	a->deadline = t;
	a->deadline_ms = ms;
	return 0;
}

static void ask_late(struct loop *l, void *arg)
{
	struct ask *a = arg;
	struct worker *w = a->w;

	a->deadline = NULL;
	/* It was not asked yet: it is starting, after its back-off perhaps, and has a time of its own for that. */
	if (!a->sent && w->state == WORKER_STARTING && ask_until(a, a->deadline_ms) == 0)
		return;
	if (a->kill && w->pid > 0 && w->sock >= 0 && behind_open(a) && ask_until(a, BEHIND_MS) == 0)
		return;
	if (a->kill && w->pid > 0 && w->sock >= 0) {
		log_error("worker %d of domain %u did not answer in time and is killed", (int)w->pid, w->domid);
		w->hung = true;
		worker_kill(w, SIGKILL);                  /* its end answers all questions */
		if (w->state != WORKER_QUITTING || a->fn) /* somebody goes on when it is gone */
			set_timer(w, KILLED_MS, killed_late);
		return;
	}
	ask_answer(a, a->err, NULL);
}

/* It cannot be asked: answered soon, from the loop, as every question is. */
static void ask_unsendable(struct ask *a, int err)
{
	a->sent = true;
	a->kill = false;
	a->err = err;
	if (ask_until(a, 0) < 0)
		log_error("out of memory: worker %d is not asked, and who asked waits", (int)a->w->pid);
}

static void send_asks(struct worker *w)
{
	struct ask *a, *n;

	if (w->state != WORKER_READY && w->state != WORKER_QUITTING)
		return;
	list_for_each_safe (a, n, &w->asks, link) {
		int err;

		if (a->sent)
			continue;
		err = wire_send(w->sock, &a->hdr, a->body, a->fds, a->nr_fds);
		if (err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM)
			break; /* EPOLLOUT comes */
		if (err < 0 && err != -EPIPE && err != -ECONNRESET) {
			log_error("cannot tell worker %d of domain %u: %s", (int)w->pid, w->domid, strerror(-err));
			ask_unsendable(a, err);
			continue;
		}
		if (err < 0)
			break; /* it is dead: its end of file comes */
		a->sent = true;
		for (uint32_t i = 0; i < a->nr_fds; i++)
			close(a->fds[i]);
		a->nr_fds = 0;
	}
	for (a = list_entry(w->asks.prev, struct ask, link); &a->link != &w->asks && a->sent;
	     a = list_entry(a->link.prev, struct ask, link))
		;
	if (loop_mod_fd(w->watch, EPOLLIN | (&a->link != &w->asks ? EPOLLOUT : 0)) < 0)
		log_error("cannot watch worker %d", (int)w->pid);
}

int worker_ask(struct worker *w, const struct worker_ask *q)
{
	struct ask *a;
	int err = -ENOMEM;

	if (w->state == WORKER_QUITTING)
		return -ESHUTDOWN;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	list_init(&a->link);
	a->w = w;
	a->hdr = (struct wire_hdr){ .type = q->type, .seq = ++w->seq, .handle = q->handle, .bytes = q->bytes };
	a->fn = q->fn;
	a->arg = q->arg;
	a->kill = q->kill;
	a->err = -ETIMEDOUT;
	if (q->bytes) {
		a->body = malloc(q->bytes);
		if (!a->body)
			goto fail;
		memcpy(a->body, q->body, q->bytes);
	}
	for (; a->nr_fds < q->nr_fds; a->nr_fds++) {
		a->fds[a->nr_fds] = fcntl(q->fds[a->nr_fds], F_DUPFD_CLOEXEC, 3);
		if (a->fds[a->nr_fds] < 0) {
			err = -errno;
			goto fail;
		}
	}
	err = ask_until(a, q->deadline_ms);
	if (err < 0)
		goto fail;
	list_add_tail(&w->asks, &a->link);
	if (w->state == WORKER_IDLE)
		worker_start(w);
	else
		send_asks(w);
	return 0;
fail:
	ask_free(a);
	return err;
}

void worker_forget(struct worker *w, const void *arg, uint16_t type)
{
	struct ask *a, *n;

	if (!w)
		return;
	list_for_each_safe (a, n, &w->asks, link) {
		if (a->arg != arg || (type != 0 && a->hdr.type != type))
			continue;
		if (a->sent)
			a->fn = NULL;
		else
			ask_free(a);
	}
}

bool worker_told(const struct worker *w, const void *arg, uint16_t type)
{
	struct ask *a;

	list_for_each (a, &w->asks, link)
		if (a->arg == arg && a->hdr.type == type)
			return a->sent;
	return false;
}

void worker_hurry(struct worker *w, const void *arg, uint16_t type, uint32_t ms)
{
	struct ask *a;

	list_for_each (a, &w->asks, link)
		if (a->arg == arg && a->hdr.type == type && a->deadline && ask_until(a, ms) < 0)
			log_debug("out of memory: worker %d is not hurried", (int)w->pid);
}

/* ----------------------------------------------------------------- limits */

#define LIMITS_MS 30000u

/*
 * All workers together have so many pages mapped at most: each gets its share.  Among as many as the next power of two, so
 * that few are told when one comes or goes.
 */
static uint32_t grants_share(const struct control *c)
{
	const struct worker *w;
	uint32_t nr = 0, sharers = 1;

	list_for_each (w, &c->workers, link)
		nr += w->pid > 0;
	while (sharers < nr)
		sharers *= 2;
	return MIN(c->limits.max_grants, MAX(c->max_grants_all / sharers, 1u));
}

static void tell_limits(struct worker *w, uint32_t share)
{
	struct wire_limits l = w->c->limits;
	struct worker_ask q = { .type = WIRE_LIMITS, .body = &l, .bytes = sizeof(l), .deadline_ms = LIMITS_MS };

	l.max_grants = share;
	if (w->state == WORKER_READY && w->grants_told != share && worker_ask(w, &q) == 0)
		w->grants_told = share;
}

/* One has come, or has gone. */
static void limits_changed(struct control *c)
{
	uint32_t share = grants_share(c);
	struct worker *w;

	list_for_each (w, &c->workers, link)
		tell_limits(w, share);
}

/* ------------------------------------------------------------------ files */

/* The log may be a file, too. */
static uint64_t log_room(void)
{
	uint64_t most = 0;
	struct stat st;

	for (int fd = 1; fd <= 2; fd++)
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			most = MAX(most, (uint64_t)st.st_size + LOG_ROOM);
	return most;
}

/*
 * No worker writes beyond the end of its longest image, the most of a trace, or the room of a log, nor needs to: a journal is mapped.
 * One that was taken over would fill file systems so.  The limit is soft, since a daemon that is not root can raise no other; no
 * worker can change either.
 */
static int limit_files(const struct worker *w)
{
	struct rlimit r;

	if (w->pidfd >= 0 && syscall(SYS_pidfd_send_signal, w->pidfd, 0, NULL, 0) < 0)
		return -errno; /* its number may be another's */
	if (prlimit(w->pid, RLIMIT_FSIZE, NULL, &r) < 0)
		return -errno;
	r.rlim_cur = MIN(r.rlim_max, MAX(w->file_bytes, log_room()));
	return prlimit(w->pid, RLIMIT_FSIZE, &r, NULL) < 0 ? -errno : 0;
}

static void limit_files_first(struct worker *w)
{
	static bool told;
	int err = limit_files(w);

	if (err == 0)
		return;
	if (!told)
		log_warn("workers are not limited in how long they make a file: %s", strerror(-err));
	told = true;
	w->file_bytes = UINT64_MAX;
}

void worker_writes(struct worker *w, uint64_t bytes)
{
	int err;

	if (bytes <= w->file_bytes)
		return;
	w->file_bytes = bytes;
	err = w->state == WORKER_READY ? limit_files(w) : 0;
	if (err < 0)
		log_error("worker %d of domain %u may not write to all of a file that it has: %s", (int)w->pid,
			  w->domid, strerror(-err));
}

uint64_t worker_may_write(const struct worker *w)
{
	return w->file_bytes;
}

/* ---------------------------------------------------------------- answers */

static void worker_message(struct worker *w, struct wire_msg *m)
{
	struct ask *a;

	for (uint32_t i = 0; i < m->nr_fds; i++) /* no answer has any */
		close(m->fds[i]);
	if (m->hdr.type == WIRE_HELLO) {
		if (w->state != WORKER_STARTING)
			return;
		w->state = WORKER_READY;
		set_timer(w, 0, NULL);
		limit_files_first(w);
		list_for_each (a, &w->asks, link)
			if (ask_until(a, a->deadline_ms) < 0)
				log_debug("out of memory: worker %d has less time for an answer", (int)w->pid);
		limits_changed(w->c);
		send_asks(w);
		upgrade_look(w->c); /* who came meanwhile may need more than it has */
		return;
	}
	if (!(m->hdr.type & WIRE_REPLY)) {
		device_wire_event(w->c, w, m);
		return;
	}
	list_for_each (a, &w->asks, link) {
		if (!a->sent || a->hdr.seq != m->hdr.seq || a->hdr.type != (m->hdr.type & ~WIRE_REPLY) ||
		    a->hdr.handle != m->hdr.handle)
			continue;
		ask_answer(a, m->hdr.err <= 0 && m->hdr.err > -4096 ? m->hdr.err : -EPROTO, m);
		return;
	}
	log_debug("worker %d answered what nobody waits for", (int)w->pid);
}

static void worker_ready(struct loop *l, int fd, uint32_t events, void *arg)
{
	struct worker *w = arg;
	/* One is enough (the loop is not entered twice), and too big for the stack of every caller. */
	static struct wire_msg m;
	int err = 0;

	w->refs++; /* an answer may let the last user go */
	for (unsigned i = 0; i < MAX_MSGS_A_TURN && w->sock == fd; i++) {
		err = wire_recv(fd, &m);
		if (err < 0)
			break;
		worker_message(w, &m);
	}
	if (w->sock == fd) {
		if (err == -EPROTO) {
			log_error("worker %d of domain %u sent nonsense and is killed", (int)w->pid, w->domid);
			worker_kill(w, SIGKILL);
			worker_gone(w, "sent nonsense");
		} else if (err < 0 && err != -EAGAIN) {
			worker_gone(w, "closed its socket");
		} else if (events & EPOLLOUT) {
			send_asks(w);
		}
	}
	worker_put(w);
}

/* -------------------------------------------------------------------- life */

static void hello_late(struct loop *l, void *arg)
{
	struct worker *w = arg;

	w->timer = NULL;
	log_error("worker %d of domain %u did not come up in %u s and is killed", (int)w->pid, w->domid,
		  HELLO_MS / 1000);
	worker_kill(w, SIGKILL);
}

/*
 * The kernel cannot end it before its I/O ends, and that may never be.  We go on without it: what it serves is taken away from
 * it; its successor, and who wants its images, waits until it is reaped.
 */
static void killed_late(struct loop *l, void *arg)
{
	struct worker *w = arg;

	w->timer = NULL;
	if (w->sock < 0)
		return;
	if (w->state == WORKER_QUITTING)
		log_error("worker %d of domain %u was killed and does not die: its storage does not answer",
			  (int)w->pid, w->domid);
	worker_gone(w, "was killed and does not die: its storage does not answer");
}

static void backoff_over(struct loop *l, void *arg)
{
	struct worker *w = arg;

	w->timer = NULL;
	w->timer_due_ns = 0;
	w->backoff_over = w->pid > 0;
	if (w->backoff_over) /* killed, not reaped yet: worker_reaped() goes on */
		return;
	w->state = WORKER_IDLE;
	if (!list_empty(&w->asks))
		worker_start(w);
}

static const char *worker_path(const struct control *c, char *buf, size_t bytes)
{
	const char *dir = getenv("SYNTH_LIBEXECDIR");

	snprintf(buf, bytes, "%s/%s", dir && *dir ? dir : SYNTH_LIBEXECDIR, c->class->worker);
	return buf;
}

static int spawn(struct worker *w, int sock, pid_t *pid)
{
	char path[512], name[64];
	struct spawn s = { .path = worker_path(w->c, path, sizeof(path)),
			   .program = w->c->class->worker,
			   .name = name,
			   .domid = w->domid,
			   .parts = w->parts,
			   .uid = w->c->worker_uid_base ? w->c->worker_uid_base + w->domid : 0,
			   .sock = sock,
			   .listener = listener_new(w->c->class->stem, w->domid, w->c->era, w->listener) };
	int err;

	if (s.listener < 0)
		log_error("the worker of domain %u could not be found again if we died: %s", w->domid,
			  strerror(-s.listener));
	domain_name(w->c->domains, w->domid, name); /* for its log */
	if (!*name)
		snprintf(name, sizeof(name), "%u", w->domid);
	err = spawn_worker(&s, pid);
	if (s.listener >= 0)
		close(s.listener);
	if (err < 0)
		listener_remove(w->listener);
	return err;
}

/* After a death: try again at once, then later, later still each time. */
static void worker_backoff_start(struct worker *w)
{
	uint64_t ms;

	w->crashes++;
	ms = w->crashes == 1 ? 0 : (uint64_t)BACKOFF_MIN_MS << MIN(w->crashes - 2, BACKOFF_SHIFT);
	w->state = WORKER_BACKOFF;
	w->backoff_over = false;
	set_timer(w, MIN(ms, worker_ms("SYNTH_BACKOFF_MAX_MS", BACKOFF_MAX_MS)), backoff_over);
}

static void fail_asks(struct worker *w, int err)
{
	while (!list_empty(&w->asks))
		ask_answer(list_entry(w->asks.next, struct ask, link), err, NULL);
}

static void start_failed(struct loop *l, void *arg)
{
	struct worker *w = arg;
	struct device *d, *n;

	w->timer = NULL;
	w->refs++;
	fail_asks(w, -ECHILD);
	worker_backoff_start(w);
	list_for_each_safe (d, n, &w->c->devices, link)
		if (d->worker == w)
			device_open_go_on(d);
	worker_put(w);
}

/* What the devices need that this guest has now: none is loaded for one that was detached. */
static uint32_t parts_wanted(struct control *c, uint32_t domid)
{
	struct device *d;
	uint32_t parts = 0;

	list_for_each (d, &c->devices, link)
		if (d->domid == domid && (d->phase == DEVICE_ATTACHING || d->phase == DEVICE_LIVE))
			parts |= device_parts(d);
	return parts;
}

void worker_start(struct worker *w)
{
	int sv[2] = { -1, -1 }, err;

	w->state = WORKER_IDLE;
	if (w->c->stopping) /* who asks is answered at the end: the next daemon's workers go on */
		return;
	w->started_ns = now_ns();
	w->parts = parts_wanted(w->c, w->domid);
	err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0 ? -errno : 0;
	if (err == 0 && fcntl(sv[0], F_SETFL, O_NONBLOCK) < 0)
		err = -errno;
	if (err == 0)
		err = spawn(w, sv[1], &w->pid);
	if (err == 0) {
		w->sock = sv[0];
		sv[0] = -1;
		err = loop_add_fd(w->c->loop, w->sock, EPOLLIN, worker_ready, w, &w->watch);
		if (err < 0)
			worker_kill(w, SIGKILL);
	}
	for (int i = 0; i < 2; i++)
		if (sv[i] >= 0)
			close(sv[i]);
	w->state = WORKER_STARTING;
	w->grants_told = 0;
	if (err < 0) /* answered from the loop, as every question is */
		set_timer(w, 0, start_failed);
	else
		set_timer(w, HELLO_MS, hello_late);
}

static void forget_process(struct worker *w)
{
	loop_del_fd(w->pid_watch);
	w->pid_watch = NULL;
	if (w->pidfd >= 0)
		close(w->pidfd);
	w->pidfd = -1;
	w->pid = 0;
}

void worker_free(struct worker *w)
{
	fail_asks(w, -EPIPE);
	loop_del_timer(w->timer);
	loop_del_fd(w->watch);
	if (w->sock >= 0)
		close(w->sock);
	forget_process(w);
	found_free(w);
	list_del(&w->link);
	free(w);
}

/* The process is of no use any more, whether it is reaped or not. */
static void worker_gone(struct worker *w, const char *how)
{
	uint64_t life = now_ns() - w->started_ns;
	bool quitting = w->state == WORKER_QUITTING;
	struct device *d, *n;

	loop_del_fd(w->watch);
	w->watch = NULL;
	if (w->sock >= 0)
		close(w->sock);
	w->sock = -1;
	w->file_bytes = 0; /* the next one is given all anew */
	set_timer(w, 0, NULL);
	w->refs++;
	if (quitting) {
		log_debug("worker %d of domain %u is gone", (int)w->pid, w->domid);
		if (w->pid > 0)
			set_timer(w, QUIT_MS, quit_late);
	} else {
		log_error("worker %d of domain %u %s", (int)w->pid, w->domid, how);
		w->deaths++;
		if (life >= SHORT_LIFE_NS)
			w->crashes = life < LONG_LIFE_NS ? w->crashes / 2 : 0;
		worker_backoff_start(w);
		worker_kill(w, SIGKILL); /* it cannot be told anything any more */
	}
	fail_asks(w, -EPIPE);
	if (!quitting)
		list_for_each_safe (d, n, &w->c->devices, link)
			if (d->worker == w)
				device_worker_lost(d, how);
	worker_put(w);
}

/* How it ended, for the log, and whose fault that was. */
static void exit_words(struct worker *w, int status, char *buf, size_t bytes)
{
	w->own_fault = w->hung || (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM
						       : WEXITSTATUS(status) != 0);
	if (WIFSIGNALED(status))
		snprintf(buf, bytes, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(buf, bytes, "exited with status %d", WEXITSTATUS(status));
}

static void worker_reaped(struct worker *w, const char *how)
{
	pid_t pid = w->pid;

	w->refs++;
	w->hung = false;
	listener_remove(w->listener);
	w->listener[0] = '\0';
	if (w->sock >= 0) {
		/* What it said last counts: the replies of a clean quit. */
		worker_ready(w->c->loop, w->sock, EPOLLIN, w);
		if (w->sock >= 0)
			worker_gone(w, how);
	} else if (w->state == WORKER_BACKOFF) {
		log_error("worker %d of domain %u %s", (int)pid, w->domid, how);
	}
	forget_process(w);
	limits_changed(w->c);
	if (w->state == WORKER_BACKOFF && w->backoff_over)
		set_timer(w, 0, backoff_over);
	worker_put(w);
}

/* One that was found has ended.  It may be a child all the same: of the daemon we were before an upgrade. */
static void pid_ready(struct loop *l, int fd, uint32_t events, void *arg)
{
	struct worker *w = arg;
	struct control *c = w->c;
	siginfo_t si = { 0 };
	char how[96] = "died";

	w->own_fault = w->hung; /* as far as can be told of one that is no child */
	if (waitid((idtype_t)P_PIDFD, (id_t)w->pidfd, &si, WEXITED | WNOHANG) == 0 && si.si_pid > 0)
		exit_words(w, si.si_code == CLD_EXITED ? si.si_status << 8 : si.si_status, how, sizeof(how));
	worker_reaped(w, how);
	if (c->stopping && workers_left(c) == 0)
		loop_stop(c->loop);
}

void workers_reap(struct control *c)
{
	struct worker *w, *n;
	bool again = true;
	char how[96];
	int status;

	/* Reaping one may free others that nobody uses: look from the start each time. */
	while (again) {
		again = false;
		list_for_each_safe (w, n, &c->workers, link)
			if (w->pid > 0 && w->pidfd < 0 && waitpid(w->pid, &status, WNOHANG) == w->pid) {
				exit_words(w, status, how, sizeof(how));
				worker_reaped(w, how);
				again = true;
				break;
			}
	}
	if (c->stopping && workers_left(c) == 0)
		loop_stop(c->loop);
}

struct worker *worker_new(struct control *c, uint32_t domid)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->c = c;
	w->domid = domid;
	w->refs = 1;
	w->sock = w->pidfd = -1;
	list_init(&w->asks);
	list_init(&w->found);
	list_add_tail(&c->workers, &w->link);
	return w;
}

int worker_found_ready(struct worker *w)
{
	struct rlimit r;
	int err = loop_add_fd(w->c->loop, w->sock, EPOLLIN, worker_ready, w, &w->watch);

	if (err == 0)
		err = loop_add_fd(w->c->loop, w->pidfd, EPOLLIN, pid_ready, w, &w->pid_watch);
	if (err == 0) {
		w->state = WORKER_READY;
		w->file_bytes = UINT64_MAX;
		if (prlimit(w->pid, RLIMIT_FSIZE, NULL, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
			w->file_bytes = r.rlim_cur;
		limits_changed(w->c);
	}
	return err;
}

int worker_get(struct control *c, uint32_t domid, struct worker **ret)
{
	struct worker *w;

	list_for_each (w, &c->workers, link)
		if (w->domid == domid && w->state != WORKER_QUITTING && w->refs > 0) {
			w->refs++;
			*ret = w;
			return 0;
		}
	*ret = worker_new(c, domid);
	return *ret ? 0 : -ENOMEM;
}

static void quit_late(struct loop *l, void *arg)
{
	struct worker *w = arg;

	w->timer = NULL;
	log_error("worker %d of domain %u did not quit in %u s and is killed", (int)w->pid, w->domid, QUIT_MS / 1000);
	worker_kill(w, SIGKILL);
}

static void worker_quit(struct worker *w)
{
	struct worker_ask q = { .type = WIRE_QUIT, .deadline_ms = QUIT_MS };

	if (w->state == WORKER_QUITTING)
		return;
	if (w->state == WORKER_READY && worker_ask(w, &q) < 0)
		log_warn("out of memory: worker %d is told to quit by a signal", (int)w->pid);
	if (w->state == WORKER_STARTING || (w->state == WORKER_READY && list_empty(&w->asks))) {
		/* Not up yet, or cannot be told. */
		worker_kill(w, SIGTERM);
		loop_del_fd(w->watch);
		w->watch = NULL;
		close(w->sock);
		w->sock = -1;
	}
	w->state = WORKER_QUITTING;
	set_timer(w, QUIT_MS, quit_late);
}

void worker_hand_over(struct worker *w, uint32_t ms, worker_reply_fn *fn, void *arg)
{
	struct worker_ask q = { .type = WIRE_QUIT, .deadline_ms = ms, .kill = true, .fn = fn, .arg = arg };

	if (worker_ask(w, &q) < 0) {
		worker_kill(w, SIGKILL);
		fn(arg, -ENOMEM, NULL);
	}
	w->state = WORKER_QUITTING;
	set_timer(w, QUIT_MS, quit_late);
}

void worker_put(struct worker *w)
{
	if (!w || --w->refs > 0)
		return;
	if (w->c->leaving && w->state != WORKER_QUITTING) {
		w->refs = 1; /* workers_free() comes */
		return;
	}
	if (w->pid > 0) {
		worker_quit(w); /* freed when it is reaped: that takes a reference and comes back here */
		return;
	}
	if (w->state == WORKER_BACKOFF || w->state == WORKER_IDLE || w->state == WORKER_QUITTING || w->sock < 0) {
		w->refs = 1; /* answers to its questions may come back here */
		w->state = WORKER_QUITTING;
		fail_asks(w, -EPIPE);
		worker_free(w);
	}
}

uint32_t worker_new_handle(struct worker *w)
{
	return ++w->last_handle;
}

bool worker_can(const struct worker *w, uint32_t parts)
{
	if (w->state == WORKER_STARTING || w->state == WORKER_READY)
		return (w->parts & parts) == parts;
	return !worker_leaving(w); /* the process that comes will have them */
}

bool worker_leaving(const struct worker *w)
{
	return w->state == WORKER_QUITTING;
}

pid_t worker_pid(const struct worker *w)
{
	return w ? w->pid : 0;
}

uint32_t worker_domid(const struct worker *w)
{
	return w->domid;
}

uint32_t worker_crashes(const struct worker *w)
{
	return w ? w->crashes : 0;
}

bool worker_own_fault(const struct worker *w)
{
	return w && w->own_fault;
}

uint32_t worker_deaths(const struct worker *w)
{
	return w ? w->deaths : 0;
}

uint64_t worker_backoff(const struct worker *w)
{
	uint64_t now = now_ns();

	if (!w || w->state != WORKER_BACKOFF || w->timer_due_ns <= now)
		return 0;
	return (w->timer_due_ns - now) / 1000000u + 1;
}

void workers_quit(struct control *c)
{
	struct worker *w;

	list_for_each (w, &c->workers, link)
		if (w->pid > 0)
			worker_quit(w);
}

uint32_t workers_left(const struct control *c)
{
	const struct worker *w;
	uint32_t n = 0;

	list_for_each (w, &c->workers, link)
		n += w->pid > 0;
	return n;
}

const struct worker *worker_next(const struct control *c, const struct worker *w)
{
	const struct list *e = w ? w->link.next : c->workers.next;

	return e == &c->workers ? NULL : list_entry(e, const struct worker, link);
}

const char *worker_state_name(const struct worker *w)
{
	static const char *const names[] = {
		[WORKER_IDLE] = "idle",   [WORKER_BACKOFF] = "backoff",   [WORKER_STARTING] = "starting",
		[WORKER_READY] = "ready", [WORKER_QUITTING] = "quitting",
	};

	return names[w->state];
}

uint64_t worker_up_ns(const struct worker *w)
{
	return w->pid > 0 ? now_ns() - w->started_ns : 0;
}

/* At the very end: who was told to quit drains, who was not serves on and waits for the next daemon. */
void workers_free(struct control *c)
{
	while (!list_empty(&c->workers))
		worker_free(list_entry(c->workers.next, struct worker, link));
}

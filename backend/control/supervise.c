/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * supervise.c - workers: one process a domain, started at the first question, asked over a socketpair, replaced when
 * it dies.
 *
 *   IDLE -> STARTING (fork, exec) -> READY (it said HELLO) -> QUITTING -> gone
 *             |                        |
 *             +---- died ------ BACKOFF (a delay that doubles with each early death) -> STARTING
 *
 * Questions wait in a queue until the worker is READY.  When it dies, each open question is answered with -EPIPE
 * and each of its devices is told; a worker that lived for a while is started again at once, at the next question.
 *
 * A worker's death is seen by its socket closing and by SIGCHLD; the first one starts, reaping ends it.  Nothing but
 * fd 3 (and 0, 1, 2) is inherited: every descriptor of the daemon is close-on-exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "backend/control/control.h"

#define HELLO_MS        5000u
#define QUIT_MS         30000u
#define LONG_LIFE_NS    (10ull * 1000000000u) /* a worker that lived so long did not crash in a loop */
#define BACKOFF_MIN_MS  100u
#define BACKOFF_MAX_MS  30000u
#define BACKOFF_SHIFT   8u
#define MAX_MSGS_A_TURN 64u

extern char **environ;

enum worker_state { WORKER_IDLE, WORKER_BACKOFF, WORKER_STARTING, WORKER_READY, WORKER_QUITTING };

struct ask {
	struct list link;
	struct worker *w;
	struct wire_hdr hdr;
	void *body;
	int fds[WIRE_MAX_FDS];
	uint32_t nr_fds;
	bool sent, kill;
	int err;             /* what it is answered with when its time is over */
	worker_reply_fn *fn; /* NULL: forgotten */
	void *arg;
	struct loop_timer *deadline;
};

struct worker {
	struct list link;
	struct control *c;
	uint32_t domid;
	uint32_t refs;
	enum worker_state state;
	pid_t pid; /* 0: none */
	int sock;  /* -1: none */
	struct loop_fd *watch;
	uint32_t seq;
	struct list asks;         /* in order; unsent ones at the end */
	struct loop_timer *timer; /* hello, backoff or quit */
	uint64_t timer_due_ns;
	uint64_t started_ns;
	uint32_t crashes; /* early deaths in a row */
};

static void worker_start(struct worker *w);
static void worker_gone(struct worker *w, const char *how);
static void quit_late(struct loop *l, void *arg);

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

static void ask_late(struct loop *l, void *arg)
{
	struct ask *a = arg;
	struct worker *w = a->w;

	a->deadline = NULL;
	if (a->kill && w->pid > 0) {
		log_error("worker %d of domain %u did not answer in time and is killed", (int)w->pid, w->domid);
		kill(w->pid, SIGKILL); /* its end answers all questions */
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
	loop_del_timer(a->deadline);
	if (loop_add_timer(a->w->c->loop, 0, ask_late, a, &a->deadline) < 0) {
		a->deadline = NULL;
		log_error("out of memory: worker %d is not asked, and who asked waits", (int)a->w->pid);
	}
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
	err = loop_add_timer(w->c->loop, q->deadline_ms, ask_late, a, &a->deadline);
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
	struct ask *a;

	if (!w)
		return;
	list_for_each (a, &w->asks, link)
		if (a->arg == arg && (type == 0 || a->hdr.type == type))
			a->fn = NULL;
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
		send_asks(w);
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
			kill(w->pid, SIGKILL);
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
	kill(w->pid, SIGKILL);
}

static void backoff_over(struct loop *l, void *arg)
{
	struct worker *w = arg;

	w->timer = NULL;
	w->timer_due_ns = 0;
	if (w->pid > 0) { /* killed, not reaped yet: stuck in the kernel */
		set_timer(w, BACKOFF_MAX_MS / 10, backoff_over);
		return;
	}
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
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	char path[512], domid[16], name[64], program[64];
	char opt_domid[] = "--domid", opt_name[] = "--name";
	char *argv[] = { program, opt_domid, domid, opt_name, name, NULL };
	sigset_t none, all;
	int err;

	worker_path(w->c, path, sizeof(path));
	snprintf(program, sizeof(program), "%s", w->c->class->worker);
	domain_name(w->c->domains, w->domid, name); /* for its log */
	if (!*name)
		snprintf(name, sizeof(name), "%u", w->domid);
	snprintf(domid, sizeof(domid), "%u", w->domid);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	err = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (err == 0)
		err = posix_spawn_file_actions_adddup2(&fa, sock, WIRE_FD);
	if (err == 0)
		err = posix_spawnattr_setsigmask(&at, &none);
	if (err == 0)
		err = posix_spawnattr_setsigdefault(&at, &all);
	/* A group of its own: Ctrl-C at our terminal is for us, we tell the workers in order. */
	if (err == 0)
		err = posix_spawnattr_setpgroup(&at, 0);
	if (err == 0)
		err = posix_spawnattr_setflags(&at,
					       POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	if (err == 0)
		err = posix_spawn(pid, path, &fa, &at, argv, environ);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	if (err)
		log_error("cannot start %s: %s", path, strerror(err));
	return -err;
}

/* After a death: try again later, later still each time. */
static void worker_backoff_start(struct worker *w)
{
	uint64_t ms;

	w->crashes++;
	ms = (uint64_t)BACKOFF_MIN_MS << MIN(w->crashes - 1, BACKOFF_SHIFT);
	w->state = WORKER_BACKOFF;
	set_timer(w, MIN(ms, (uint64_t)BACKOFF_MAX_MS), backoff_over);
}

static void fail_asks(struct worker *w, int err)
{
	while (!list_empty(&w->asks))
		ask_answer(list_entry(w->asks.next, struct ask, link), err, NULL);
}

static void start_failed(struct loop *l, void *arg)
{
	struct worker *w = arg;

	w->timer = NULL;
	w->refs++;
	fail_asks(w, -ECHILD);
	worker_backoff_start(w);
	worker_put(w);
}

static void worker_start(struct worker *w)
{
	int sv[2] = { -1, -1 }, err;

	w->started_ns = now_ns();
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
			kill(w->pid, SIGKILL);
	}
	for (int i = 0; i < 2; i++)
		if (sv[i] >= 0)
			close(sv[i]);
	w->state = WORKER_STARTING;
	if (err < 0) /* answered from the loop, as every question is */
		set_timer(w, 0, start_failed);
	else
		set_timer(w, HELLO_MS, hello_late);
}

static void worker_free(struct worker *w)
{
	fail_asks(w, -EPIPE);
	loop_del_timer(w->timer);
	loop_del_fd(w->watch);
	if (w->sock >= 0)
		close(w->sock);
	list_del(&w->link);
	free(w);
}

/* The process is of no use any more, whether it is reaped or not. */
static void worker_gone(struct worker *w, const char *how)
{
	bool quitting = w->state == WORKER_QUITTING, early = now_ns() - w->started_ns < LONG_LIFE_NS;
	struct device *d, *n;

	loop_del_fd(w->watch);
	w->watch = NULL;
	if (w->sock >= 0)
		close(w->sock);
	w->sock = -1;
	set_timer(w, 0, NULL);
	w->refs++;
	if (quitting) {
		log_debug("worker %d of domain %u is gone", (int)w->pid, w->domid);
		if (w->pid > 0)
			set_timer(w, HELLO_MS, quit_late);
	} else {
		log_error("worker %d of domain %u %s", (int)w->pid, w->domid, how);
		if (!early)
			w->crashes = 0;
		worker_backoff_start(w);
		if (w->pid > 0)
			kill(w->pid, SIGKILL); /* it cannot be told anything any more */
	}
	fail_asks(w, -EPIPE);
	if (!quitting)
		list_for_each_safe (d, n, &w->c->devices, link)
			if (d->worker == w)
				device_worker_lost(d, how);
	worker_put(w);
}

static void exit_words(int status, char *buf, size_t bytes)
{
	if (WIFSIGNALED(status))
		snprintf(buf, bytes, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(buf, bytes, "exited with status %d", WEXITSTATUS(status));
}

static void worker_reaped(struct worker *w, int status)
{
	char how[96];
	pid_t pid = w->pid;

	exit_words(status, how, sizeof(how));
	w->refs++;
	if (w->sock >= 0) {
		/* What it said last counts: the replies of a clean quit. */
		worker_ready(w->c->loop, w->sock, EPOLLIN, w);
		if (w->sock >= 0)
			worker_gone(w, how);
	} else if (w->state == WORKER_BACKOFF) {
		log_error("worker %d of domain %u %s", (int)pid, w->domid, how);
	}
	w->pid = 0;
	worker_put(w);
}

void workers_reap(struct control *c)
{
	struct worker *w, *n;
	bool again = true;
	int status;

	/* Reaping one may free others that nobody uses: look from the start each time. */
	while (again) {
		again = false;
		list_for_each_safe (w, n, &c->workers, link)
			if (w->pid > 0 && waitpid(w->pid, &status, WNOHANG) == w->pid) {
				worker_reaped(w, status);
				again = true;
				break;
			}
	}
	if (c->stopping && workers_left(c) == 0)
		loop_stop(c->loop);
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
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->c = c;
	w->domid = domid;
	w->refs = 1;
	w->sock = -1;
	list_init(&w->asks);
	list_add_tail(&c->workers, &w->link);
	*ret = w;
	return 0;
}

static void quit_late(struct loop *l, void *arg)
{
	struct worker *w = arg;

	w->timer = NULL;
	log_error("worker %d of domain %u did not quit in %u s and is killed", (int)w->pid, w->domid, QUIT_MS / 1000);
	kill(w->pid, SIGKILL);
}

static void worker_quit(struct worker *w)
{
	struct worker_ask q = { .type = WIRE_QUIT, .deadline_ms = QUIT_MS };

	if (w->state == WORKER_QUITTING)
		return;
	if (w->state == WORKER_READY && worker_ask(w, &q) < 0)
		log_warn("out of memory: worker %d is told to quit by closing its socket", (int)w->pid);
	if (w->state == WORKER_STARTING || (w->state == WORKER_READY && list_empty(&w->asks))) {
		/* Not up yet, or cannot be told: end of file says the same. */
		loop_del_fd(w->watch);
		w->watch = NULL;
		close(w->sock);
		w->sock = -1;
	}
	w->state = WORKER_QUITTING;
	set_timer(w, QUIT_MS, quit_late);
}

void worker_put(struct worker *w)
{
	if (!w || --w->refs > 0)
		return;
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

/* At the very end: whoever still lives drains at the end of file. */
void workers_free(struct control *c)
{
	while (!list_empty(&c->workers))
		worker_free(list_entry(c->workers.next, struct worker, link));
}

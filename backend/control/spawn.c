/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * spawn.c - start a worker.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "config.h"
#include "backend/control/spawn.h"
#include "backend/control/wire.h"
#include "common/log/log.h"

extern char **environ;

/* A copy beyond the numbers the worker knows, so that giving it one of them does not take another's place. */
static int above(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, WIRE_LISTEN_FD + 1);

	return copy < 0 ? -errno : copy;
}

/* ------------------------------------------------------------------ the child, until exec */

/* It has a copy of our memory, and of our other threads nothing: system calls alone from here on. */
struct child {
	const struct spawn *s;
	char *const *argv;
	int sock, listener;
	int go;     /* end of file: it may go on; -1: at once */
	int go_on;  /* the other end, which it has a copy of, too */
	int failed; /* where it tells errno; end of file: exec has worked */
};

static int child_prepare(const struct child *c)
{
	sigset_t none;
	char byte;
	int null;

	if (c->go >= 0 && (close(c->go_on) < 0 || read(c->go, &byte, 1) != 0))
		return -ECHILD;
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL); /* fails for those which nobody may change */
	sigemptyset(&none);
	/* A group of its own: Ctrl-C at our terminal is for us, we tell the workers in order. */
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || setpgid(0, 0) < 0)
		return -errno;
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(c->sock, WIRE_FD) < 0 ||
	    (c->listener >= 0 && dup2(c->listener, WIRE_LISTEN_FD) < 0))
		return -errno;
	return 0;
}

static void __attribute__((noreturn)) child_run(const struct child *c)
{
	int err = child_prepare(c);
	ssize_t n;

	if (err == 0) {
		execve(c->s->path, c->argv, environ);
		err = -errno;
	}
	n = write(c->failed, &err, sizeof(err));
	(void)n;
	_exit(127);
}

/* ------------------------------------------------------------------ its namespaces */

static int put(pid_t pid, const char *file, const char *text)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -errno : 0;
}

/* In its user namespace it is who we are. */
static int map_user(pid_t pid)
{
	char uids[40], gids[40];
	int err;

	snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
	snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
	err = put(pid, "setgroups", "deny");
	if (err == 0)
		err = put(pid, "gid_map", gids);
	return err ? err : put(pid, "uid_map", uids);
}

static pid_t clone_child(const struct child *c, unsigned long flags)
{
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		child_run(c);
	return pid < 0 ? -errno : pid;
}

/*
 * A PID namespace is made with the process.  Without privilege it takes a user namespace, which wants to be told its user
 * from outside before exec.  The other namespaces are the worker's own business: it needs the old ones to start.
 */
static int clone_confined(struct child *c, pid_t *pid)
{
	static bool told;
	int go[2] = { -1, -1 }, err = 0;
#ifdef SYNTH_SANITIZER
	pid_t p = clone_child(c, 0); /* looking for leaks in a PID namespace takes a /proc of that */
#else
	pid_t p = clone_child(c, CLONE_NEWPID);
#endif

	if (p == -EPERM && geteuid() != 0 && pipe2(go, O_CLOEXEC) == 0) {
		c->go = go[0];
		c->go_on = go[1];
		p = clone_child(c, CLONE_NEWUSER | CLONE_NEWPID);
		c->go = -1;
		if (p > 0)
			err = map_user(p);
		if (err < 0) { /* a kernel that gives user namespaces to nobody: end it before it goes */
			kill(p, SIGKILL);
			waitpid(p, NULL, 0);
			p = err;
		}
		close(go[0]);
		close(go[1]);
	}
	if (p < 0) {
		if (!told)
			log_warn("workers get no PID namespace of their own: %s", strerror(-p));
		told = true;
		p = clone_child(c, 0);
	}
	if (p > 0)
		*pid = p;
	return p > 0 ? 0 : p;
}

/* ------------------------------------------------------------------ */

/* Nothing that arrives meanwhile may run a handler of ours in the child. */
static int clone_quietly(struct child *c, pid_t *pid)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	err = clone_confined(c, pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return err;
}

static int spawn_with(const struct spawn *s, int sock, int listener, pid_t *ret)
{
	char domid[16], name[64], program[64], uid[16], parts[16];
	char opt_domid[] = "--domid", opt_name[] = "--name", opt_parts[] = "--parts", opt_uid[] = "--uid";
	char *argv[] = {
		program, opt_domid, domid, opt_name, name, opt_parts, parts, s->uid ? opt_uid : NULL, uid, NULL
	};
	struct child c = { .s = s, .argv = argv, .sock = sock, .listener = listener, .go = -1 };
	int failed[2], err, why;
	pid_t pid = 0;

	snprintf(program, sizeof(program), "%s", s->program);
	snprintf(name, sizeof(name), "%s", s->name);
	snprintf(domid, sizeof(domid), "%u", s->domid);
	snprintf(parts, sizeof(parts), "%u", s->parts);
	snprintf(uid, sizeof(uid), "%u", s->uid);
	if (pipe2(failed, O_CLOEXEC) < 0)
		return -errno;
	c.failed = above(failed[1]);
	close(failed[1]);
	err = c.failed < 0 ? c.failed : clone_quietly(&c, &pid);
	if (c.failed >= 0)
		close(c.failed);
	if (err == 0 && read(failed[0], &why, sizeof(why)) == (ssize_t)sizeof(why)) {
		waitpid(pid, NULL, 0);
		err = why;
	}
	close(failed[0]);
	if (err == 0)
		*ret = pid;
	return err;
}

int spawn_worker(const struct spawn *s, pid_t *pid)
{
	int sock = above(s->sock), listener = s->listener >= 0 ? above(s->listener) : -1, err;

	if (sock < 0 || (s->listener >= 0 && listener < 0))
		err = MIN(sock, listener);
	else
		err = spawn_with(s, sock, listener, pid);
	if (sock >= 0)
		close(sock);
	if (listener >= 0)
		close(listener);
	if (err < 0)
		log_error("cannot start %s: %s", s->path, strerror(-err));
	return err;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * acts.c - acts WORKER UID restrict|free ACT...: start WORKER (checker.c) for each act as the daemon starts its own, let it try,
 * and print a line: "ACT: done", "ACT: error NAME", or "ACT: killed SIGNAL".  It hands over an unconnected socket, or an event
 * channel handle, which was restricted to guest 1 or not.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "backend/control/spawn.h"
#include "backend/control/wire.h"
#include "common/log/log.h"
#include "common/xen/evtchn.h"

#define GUEST 1u

static struct evtchn *evtchn;
static int other_sock;

static int ask(int sock, const char *act)
{
	static struct wire_msg m;
	struct wire_hdr h = { .type = WIRE_OPEN, .seq = 1, .handle = 1, .bytes = (uint32_t)strlen(act) };
	const int fd = strstr(act, "event channel") ? evtchn_fd(evtchn) : other_sock;
	int err = wire_recv(sock, &m);

	if (err < 0 || m.hdr.type != WIRE_HELLO)
		return err < 0 ? err : -EPROTO;
	err = wire_send(sock, &h, act, &fd, 1);
	if (err == 0)
		err = wire_recv(sock, &m);
	return err < 0 ? err : -m.hdr.err;
}

static int try(const char *worker, uint32_t uid, const char *act)
{
	int sv[2], err, status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	const struct spawn s = { .path = worker,
				 .program = "checker",
				 .name = "test",
				 .domid = GUEST,
				 .uid = uid,
				 .sock = sv[1],
				 .listener = -1 };
	err = spawn_worker(&s, &pid);
	close(sv[1]);
	if (err < 0)
		return err;
	err = ask(sv[0], act);
	if (err >= 0)
		kill(pid, SIGKILL); /* it has answered */
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	close(sv[0]);
	if (err == 0 || (err < 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0))
		printf("%s: done\n", act); /* a program that was executed has ended well */
	else if (err > 0)
		printf("%s: error %s\n", act, strerrorname_np(err));
	else if (WIFSIGNALED(status))
		printf("%s: killed SIG%s\n", act, sigabbrev_np(WTERMSIG(status)));
	else
		printf("%s: exit %d\n", act, WEXITSTATUS(status));
	return 0;
}

int main(int argc, char **argv)
{
	int err;

	log_init("acts");
	if (argc < 5)
		return 2;
	other_sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	err = other_sock < 0 ? -errno : evtchn_open(&evtchn);
	if (err == 0 && strcmp(argv[3], "restrict") == 0)
		err = evtchn_restrict(evtchn, GUEST);
	for (int i = 4; i < argc && err == 0; i++)
		err = try(argv[1], (uint32_t)strtoul(argv[2], NULL, 10), argv[i]);
	fflush(stdout);
	if (err < 0)
		fprintf(stderr, "acts: %s\n", strerror(-err));
	return err < 0;
}

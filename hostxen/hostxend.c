/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hostxend.c: the broker daemon: start, event loop, stop. Started by "hostxen start" with
 *   hostxend STATE_DIR LIBRARY XSD_LIBRARY XENSTORED READY_FD
 * and not meant to be run by hand.
 *
 * Theory. Three processes: the guard (the one started), the broker (its child) and xenstored (the broker's child). When
 * any of them dies, for whatever reason, the others follow: the kernel kills a child whose parent is gone, and the guard,
 * to which orphans fall, waits for the last before it goes. It also marks the world dead in the shared memory, so that
 * what processes do without the broker fails too. The lock file tells whether a world runs in the directory; when it is
 * removed, the world ends.
 */
#include "hostxen/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 10000

struct hx_world *world;
int world_fd;
const char *state_dir;

static int epfd, ready_fd;
static bool stopping;
static pid_t xenstored_pid;
static struct epoll_event turn[256]; /* the events being handled */
static int nturn;

void broker_log(const char *fmt, ...)
{
	struct timespec t;
	va_list ap;
	clock_gettime(CLOCK_REALTIME, &t);
	fprintf(stderr, "%lld.%03ld hostxend: ", (long long)t.tv_sec, t.tv_nsec / 1000000);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* Says to the one who started us what went wrong (or, with "", that all is well). */
static void report(const char *text)
{
	if (ready_fd < 0)
		return;
	if (write(ready_fd, text, strlen(text) + 1) < 0)
		broker_log("%s", text);
	close(ready_fd);
	ready_fd = -1;
}

static int fatal(const char *what, int err)
{
	char text[256];
	snprintf(text, sizeof(text), "%s: %s", what, strerror(err < 0 ? -err : err));
	broker_log("%s", text);
	report(text);
	return 1;
}

/* --- the loop -------------------------------------------------------------------- */

int source_add(struct source *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };
	return epoll_ctl(epfd, EPOLL_CTL_ADD, s->fd, &e) ? -errno : 0;
}

void source_events(struct source *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };
	(void)epoll_ctl(epfd, EPOLL_CTL_MOD, s->fd, &e);
}

void source_del(struct source *s)
{
	(void)epoll_ctl(epfd, EPOLL_CTL_DEL, s->fd, NULL);
	for (int i = 0; i < nturn; i++)
		if (turn[i].data.ptr == s)
			turn[i].data.ptr = NULL;
}

void broker_stop(void)
{
	stopping = true;
}

/* Deaths first: who saw a process end and then asks for its port shall get it. */
static void loop_once(int timeout)
{
	nturn = epoll_wait(epfd, turn, 256, timeout);
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < nturn && !stopping; i++) {
			struct source *s = turn[i].data.ptr;
			if (!s || s->death != !pass)
				continue;
			turn[i].data.ptr = NULL;
			s->fire(s, turn[i].events);
		}
	}
	nturn = 0;
	world_sweep();
}

/* --- xenstored ---------------------------------------------------------------------- */

static void start_xenstored(const char *lib, const char *xsd_lib, const char *prog, int port)
{
	char preload[2 * 4096], path[4096], number[16];
	sigset_t none;
	pid_t broker = getpid();
	xenstored_pid = fork();
	if (xenstored_pid)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != broker)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(preload, sizeof(preload), "%s:%s", xsd_lib, lib);
	snprintf(path, sizeof(path), "%s/xenstored", state_dir);
	snprintf(number, sizeof(number), "%d", port);
	setenv("LD_PRELOAD", preload, 1);
	setenv("HOSTXEN_DIR", state_dir, 1);
	setenv("HOSTXEN_DOMID", "0", 1);
	setenv("HOSTXEN_XSD_PORT", number, 1);
	setenv("XENSTORED_RUNDIR", path, 1);
	setenv("XENSTORED_ROOTDIR", path, 1);
	unsetenv("HOSTXEN_FAULT");
	unsetenv("HOSTXEN_STRICT");
	snprintf(path, sizeof(path), "%s/xenstored/socket", state_dir);
	setenv("XENSTORED_PATH", path, 1);
	execl(prog, "xenstored", "-N", (char *)NULL);
	broker_log("%s: %s", prog, strerror(errno));
	_exit(127);
}

static bool xenstored_answers(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.80s/xenstored/socket", state_dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	if (fd >= 0)
		close(fd);
	return ok;
}

static void child_fire(struct source *s, uint32_t events)
{
	struct signalfd_siginfo si;
	if (read(s->fd, &si, sizeof(si)) < 0)
		return;
	if (si.ssi_signo != SIGCHLD) { /* SIGTERM, SIGINT */
		stopping = true;
		return;
	}
	int status;
	if (waitpid(xenstored_pid, &status, WNOHANG) != xenstored_pid)
		return;
	xenstored_pid = 0;
	broker_log("xenstored is gone (status 0x%x)", (unsigned)status);
	report("xenstored did not start (see hostxend.log in the state directory)");
	stopping = true;
}

/* --- start and stop -------------------------------------------------------------------- */

static int make_world(void)
{
	world_fd = memfd_create("hostxen-world", MFD_CLOEXEC);
	if (world_fd < 0 || ftruncate(world_fd, sizeof(*world)) < 0)
		return -errno;
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED, world_fd, 0);
	if (world == MAP_FAILED)
		return -errno;
	world->version = HX_VERSION;
	world->magic = HX_MAGIC;
	return 0;
}

static int watch_signals(void)
{
	static struct source src;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	src = (struct source){ .fire = child_fire, .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) };
	return src.fd < 0 ? -errno : source_add(&src, EPOLLIN);
}

static void removed_fire(struct source *s, uint32_t events)
{
	stopping = true;
}

/* Somebody removes the directory: the world is of no use to anybody any more. */
static int watch_lock(void)
{
	static struct source src;
	char path[4096];
	snprintf(path, sizeof(path), "%s/lock", state_dir);
	src = (struct source){ .fire = removed_fire, .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
	if (src.fd < 0 || inotify_add_watch(src.fd, path, IN_ATTRIB | IN_DELETE_SELF) < 0)
		return -errno;
	return source_add(&src, EPOLLIN);
}

/* dom0, and the unbound port that stands for the event channel to dom0's kernel. */
static int make_dom0(int *ret_port)
{
	struct domain *d;
	struct handle *h;
	int rfd, err = domain_create(0, "Domain-0", &d);
	if (!err)
		err = handle_open(d, HANDLE_EVTCHN, &h, &rfd);
	if (err)
		return err;
	h->rfd = rfd;
	d->ready = true;
	*ret_port = port_bind_unbound(h, 0);
	return *ret_port < 0 ? *ret_port : 0;
}

static int broker(char **argv)
{
	char path[4096];
	struct timespec t0, t;
	int port, err;
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)prctl(PR_SET_NAME, "hostxend");
	signal(SIGPIPE, SIG_IGN);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	err = epfd < 0 ? -errno : watch_signals();
	if (!err)
		err = watch_lock();
	if (!err)
		err = make_dom0(&port);
	if (err)
		return fatal("domain 0", err);
	snprintf(path, sizeof(path), "%s/" HX_SOCKET, state_dir);
	err = serve_listen(path);
	if (err)
		return fatal(path, err);
	start_xenstored(argv[2], argv[3], argv[4], port);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	while (!stopping && !xenstored_answers()) {
		loop_once(1);
		clock_gettime(CLOCK_MONOTONIC, &t);
		if ((t.tv_sec - t0.tv_sec) * 1000 > START_MS) {
			report("xenstored does not answer (see hostxend.log in the state directory)");
			stopping = true;
		}
	}
	if (!stopping)
		report("");
	while (!stopping)
		loop_once(world_busy() ? 10 : -1);
	atomic_store(&world->dead, 1);
	if (xenstored_pid > 0) {
		kill(xenstored_pid, SIGKILL);
		(void)waitpid(xenstored_pid, NULL, 0);
	}
	while (domains) { /* sockets of the guests */
		if (domains->proxy)
			proxy_free(domains->proxy);
		domains = domains->next;
	}
	return 0;
}

static int guard(char **argv)
{
	char path[4096];
	pid_t pid;
	int status = 0;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)prctl(PR_SET_NAME, "hostxen-guard");
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	pid = fork();
	if (!pid)
		_exit(broker(argv));
	if (ready_fd >= 0)
		close(ready_fd);
	while (pid > 0 && (waitpid(pid, &status, 0) == pid || errno == EINTR)) {
		if (!WIFEXITED(status) && !WIFSIGNALED(status))
			continue;
		break;
	}
	atomic_store(&world->dead, 1);
	if (WIFSIGNALED(status))
		broker_log("the broker died: signal %d", WTERMSIG(status));
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	snprintf(path, sizeof(path), "%s/" HX_SOCKET, state_dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/xenstored/socket", state_dir);
	unlink(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	char path[4096];
	struct rlimit rl;
	if (argc != 6) {
		fprintf(stderr, "hostxend is started by \"hostxen start\"\n");
		return 2;
	}
	state_dir = argv[1];
	ready_fd = atoi(argv[5]);
	(void)fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
	umask(077);
	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	snprintf(path, sizeof(path), "%s/lock", state_dir);
	int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0)
		return fatal(path, errno);
	if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
		report("a world runs there already");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/xenstored", state_dir);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fatal(path, errno);
	if (snprintf(path, sizeof(path), "%s/xenstored/socket", state_dir) >= 107) {
		report("the state directory's name is too long for a Unix socket");
		return 1;
	}
	unlink(path);
	int err = make_world();
	if (err)
		return fatal("shared memory", err);
	return guard(argv);
}

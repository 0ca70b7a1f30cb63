/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conform.c: the runner. Each test runs in a process of its own, after the agent was told to close everything.
 *   conform agent                                    in the guest
 *   conform dom0 GUEST [--toolstack PROG] [PATTERN]  in dom0: TAP on stdout; exit 0 when all tests pass
 */
#include "tests/conform/conform.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint32_t guest;
const char *toolstack;
uint32_t *made;
static int why_fd; /* what the test says about its end */

long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void nap_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static _Noreturn void ended(int code, const char *text)
{
	if (write(why_fd, text, strlen(text)) < 0)
		fputs(text, stderr);
	_exit(code);
}

void failed(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	const char *base = strrchr(file, '/');
	int n = snprintf(text, sizeof(text), "%s:%d: ", base ? base + 1 : file, line);
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	ended(1, text);
}

void skip(const char *why)
{
	ended(77, why);
}

/* --- asking the agent -------------------------------------------------------------- */

static struct {
	struct xs_handle *xs;
	pid_t owner;         /* a forked child has to open its own */
	char watched[8][96]; /* where answers come */
} st;

static struct xs_handle *store(void)
{
	if (st.owner != getpid()) {
		memset(&st, 0, sizeof(st));
		st.xs = xs_open(0);
		st.owner = getpid();
	}
	if (!st.xs)
		failed(__FILE__, __LINE__, "no xenstore: %s", strerror(errno));
	return st.xs;
}

static void watch_once(const char *path)
{
	unsigned i = 0;
	while (i < 8 && st.watched[i][0] && strcmp(st.watched[i], path))
		i++;
	if (i == 8 || st.watched[i][0])
		return;
	if (!xs_watch(store(), path, "answer"))
		failed(__FILE__, __LINE__, "no watch: %s", strerror(errno));
	snprintf(st.watched[i], sizeof(st.watched[i]), "%s", path);
}

/* Until something has changed, or for @ms. */
static void await_change(int ms)
{
	struct pollfd p = { .fd = xs_fileno(store()), .events = POLLIN };
	unsigned n;
	if (poll(&p, 1, ms) == 1)
		free(xs_read_watch(store(), &n));
}

/* Waits until the agent's answer to question @seq is there. */
static char *answer(const char *path, const char *seq)
{
	for (long end = now_ms() + 40000; now_ms() < end; await_change(1000)) {
		char *s = xs_read(store(), XBT_NULL, path, NULL);
		if (s && !strncmp(s, seq, strlen(seq)) && s[strlen(seq)] == ' ')
			return s;
		free(s);
	}
	failed(__FILE__, __LINE__, "the agent does not answer");
}

static int vask(unsigned who, long *v, unsigned nv, const char *fmt, va_list ap)
{
	static unsigned count;
	char path[96], req[96], seq[32], line[512];
	struct timespec t;
	int n;
	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(seq, sizeof(seq), "%lld%09ld.%u", (long long)t.tv_sec, t.tv_nsec, ++count);
	n = snprintf(line, sizeof(line), "%s ", seq);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	snprintf(path, sizeof(path), "/local/domain/%u/data/conform/%u/rsp", guest, who);
	snprintf(req, sizeof(req), "/local/domain/%u/data/conform/%u/req", guest, who);
	(void)store();
	watch_once(path);
	if (!xs_write(store(), XBT_NULL, req, line, (unsigned)strlen(line)))
		failed(__FILE__, __LINE__, "no agent %u: %s", who, strerror(errno));
	char *s = answer(path, seq), *at = s + strlen(seq) + 1;
	if (!strncmp(at, "err ", 4)) {
		errno = (int)strtol(at + 4, NULL, 10);
		free(s);
		return -1;
	}
	unsigned got = 0;
	for (at += 2; got < nv && *at; got++)
		v[got] = strtol(at, &at, 10);
	free(s);
	return (int)got;
}

int ask_agent(unsigned who, long *v, unsigned nv, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vask(who, v, nv, fmt, ap);
	va_end(ap);
	return n;
}

long try_ask(const char *fmt, ...)
{
	long v = 0;
	va_list ap;
	va_start(ap, fmt);
	int n = vask(0, &v, 1, fmt, ap);
	va_end(ap);
	return n < 0 ? -1 : v;
}

long ask(const char *fmt, ...)
{
	long v = 0;
	va_list ap;
	va_start(ap, fmt);
	int n = vask(0, &v, 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		failed(__FILE__, __LINE__, "the agent cannot \"%s\": %s", fmt, strerror(errno));
	return v;
}

bool agent_wait(uint32_t domid, int ms)
{
	char path[96];
	snprintf(path, sizeof(path), "/local/domain/%u/data/conform/0/rsp", domid);
	for (long end = now_ms() + ms; now_ms() < end; nap_ms(5)) {
		char *s = xs_read(store(), XBT_NULL, path, NULL);
		free(s);
		if (s)
			return true;
	}
	return false;
}

/* --- shorthands --------------------------------------------------------------------- */

int event_within(xenevtchn_handle *e, int ms)
{
	struct pollfd p = { .fd = xenevtchn_fd(e), .events = POLLIN };
	return poll(&p, 1, ms) == 1 && (p.revents & POLLIN) ? xenevtchn_pending(e) : -1;
}

struct channel channel_open(void)
{
	struct channel c = { .e = xenevtchn_open(NULL, 0) };
	CHECK(c.e);
	ask("open 0");
	c.guest_port = (int)ask("unbound 0 0");
	c.port = xenevtchn_bind_interdomain(c.e, guest, (evtchn_port_t)c.guest_port);
	CHECK(c.port > 0);
	CHECK_EQ(event_within(c.e, 5000), c.port);
	CHECK_EQ(xenevtchn_unmask(c.e, (evtchn_port_t)c.port), 0);
	return c;
}

bool refused(xengnttab_handle *g, uint32_t ref)
{
	void *p = xengnttab_map_grant_ref(g, guest, ref, PROT_READ);
	if (!p)
		return true;
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	return false;
}

static sigjmp_buf fault_jmp;

static void on_fault(int sig)
{
	siglongjmp(fault_jmp, 1);
}

bool write_faults(volatile char *at)
{
	struct sigaction sa = { .sa_handler = on_fault }, segv, bus;
	volatile bool faulted = true;
	sigaction(SIGSEGV, &sa, &segv);
	sigaction(SIGBUS, &sa, &bus);
	if (!sigsetjmp(fault_jmp, 1)) {
		*at = 1;
		faulted = false;
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return faulted;
}

/* --- running ------------------------------------------------------------------------- */

static unsigned count, bad;

static void run(const char *group, const struct test *t)
{
	char why[600];
	int fds[2], status;
	ssize_t n = 0, got;
	if (pipe(fds))
		return;
	fflush(stdout);
	long start = now_ms();
	pid_t pid = fork();
	if (!pid) {
		why_fd = fds[1];
		close(fds[0]);
		setpgid(0, 0);
		alarm(300); /* making a guest on an emulated machine that others use too takes a minute */
		ask("reset");
		t->fn();
		_exit(0);
	}
	close(fds[1]);
	setpgid(pid, pid);
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL); /* what a test that failed left running would keep the pipe open */
	while (n < (ssize_t)sizeof(why) - 1 && (got = read(fds[0], why + n, sizeof(why) - 1 - (size_t)n)) > 0)
		n += got;
	why[n] = 0;
	close(fds[0]);
	bool ok = WIFEXITED(status) && (!WEXITSTATUS(status) || WEXITSTATUS(status) == 77);
	printf("%sok %u - %s: %s", ok ? "" : "not ", ++count, group, t->name);
	if (ok && WEXITSTATUS(status) == 77)
		printf(" # SKIP %s", why);
	printf("\n");
	if (!ok && WIFSIGNALED(status))
		printf("# killed by signal %d\n", WTERMSIG(status));
	if (!ok && n)
		printf("# %s\n", why);
	if (now_ms() - start > 3000)
		printf("# took %ld ms\n", now_ms() - start);
	bad += !ok;
}

/* What became of a test's child by exec, with an event channel handle: answers one event. */
static int adopt(int fd, int port)
{
	xenevtchn_handle *e = xenevtchn_fdopen(NULL, fd, 0);
	if (!e || event_within(e, 5000) != port)
		return 1;
	return xenevtchn_unmask(e, (evtchn_port_t)port) || xenevtchn_notify(e, (evtchn_port_t)port) ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		const struct test *tests;
	} groups[] = {
		{ "evtchn", evtchn_tests }, { "grant", grant_tests }, { "copy", copy_tests },
		{ "death", death_tests },   { "store", store_tests }, { "domain", domain_tests },
	};
	const char *pattern = "";
	if (argc == 2 && !strcmp(argv[1], "agent"))
		return agent_main();
	if (argc == 4 && !strcmp(argv[1], "adopt"))
		return adopt(atoi(argv[2]), atoi(argv[3]));
	if (argc < 3 || strcmp(argv[1], "dom0")) {
		fprintf(stderr, "usage: conform agent | conform dom0 GUEST [--toolstack PROG] [PATTERN]\n");
		return 2;
	}
	guest = (uint32_t)strtoul(argv[2], NULL, 10);
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "--toolstack") && i + 1 < argc)
			toolstack = argv[++i];
		else
			pattern = argv[i];
	}
	made = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (made == MAP_FAILED || !agent_wait(guest, 20000)) {
		printf("Bail out! no agent in domain %u\n", guest);
		return 1;
	}
	for (unsigned g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct test *t = groups[g].tests; t->name; t++)
			if (strstr(t->name, pattern) || !strcmp(groups[g].name, pattern))
				run(groups[g].name, t);
	printf("1..%u\n", count);
	return bad || !count ? 1 : 0;
}

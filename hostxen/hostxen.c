/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hostxen.c: the command: start and stop a world, create, destroy and list its domains, run programs in them.
 * It is the toolstack of this machine: what libxl writes to xenstore for a new domain is written here.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

#include "hostxen/wire.h"
#include "hostxen/world.h"

static char dir[PATH_MAX]; /* the state directory */
static struct {
	char broker[PATH_MAX], lib[PATH_MAX], xsd_lib[PATH_MAX], xenstored[PATH_MAX];
} prog;

static int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *fmt, ...)
{
	va_list ap;
	fputs("hostxen: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

static const char *in_dir(const char *name)
{
	static char path[PATH_MAX + 64];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void nap(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* --- where things are --------------------------------------------------------------- */

static void find_dir(void)
{
	const char *env = getenv("HOSTXEN_DIR"), *run = getenv("XDG_RUNTIME_DIR");
	char given[PATH_MAX];
	if (env && *env)
		snprintf(given, sizeof(given), "%s", env);
	else if (run && *run)
		snprintf(given, sizeof(given), "%s/hostxen", run);
	else
		snprintf(given, sizeof(given), "/tmp/hostxen-%u", (unsigned)getuid());
	if (!realpath(given, dir))
		snprintf(dir, sizeof(dir), "%s", given);
}

static bool try_place(char *to, const char *base, const char *rest)
{
	char path[2 * PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", base, rest);
	return realpath(path, to) && !access(to, R_OK);
}

/* Beside this very program in the build tree, or where make install puts them, moved or not. */
static bool find_one(char *to, const char *const *places)
{
	char self[PATH_MAX];
	const char *build = getenv("SYNTH_BUILDDIR");
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n < 0 ? 0 : n] = 0;
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	for (; *places; places++)
		if (try_place(to, self, *places))
			return true;
	if (!build)
		return false;
	snprintf(self, sizeof(self), "%s/hostxen", build);
	return try_place(to, self, places[-2]) || try_place(to, self, places[-1]);
}

static bool find_xenstored(void)
{
	const char *env = getenv("HOSTXEN_XENSTORED");
	glob_t g = { 0 };
	bool ok = env && realpath(env, prog.xenstored);
	if (!env && !glob("/usr/lib/xen-*/bin/xenstored", 0, NULL, &g))
		ok = realpath(g.gl_pathv[g.gl_pathc - 1], prog.xenstored);
	if (!ok && !env)
		ok = realpath("/usr/sbin/xenstored", prog.xenstored) ||
		     realpath("/usr/local/sbin/xenstored", prog.xenstored);
	globfree(&g);
	return ok;
}

static int find_programs(void)
{
	/* installed places first, the build tree's last */
	static const char *const broker[] = { SYNTH_LIBEXECDIR "/hostxend", "../libexec/synth/hostxend", "./hostxend",
					      "hostxend", NULL };
	static const char *const lib[] = { SYNTH_LIBDIR "/libhostxen.so", "../lib/synth/libhostxen.so",
					   ".libs/libhostxen.so", "libhostxen.so", NULL };
	static const char *const xsd[] = { SYNTH_LIBDIR "/libhostxen-xsd.so", "../lib/synth/libhostxen-xsd.so",
					   ".libs/libhostxen-xsd.so", "libhostxen-xsd.so", NULL };
	if (!find_one(prog.broker, broker + 1) && !realpath(broker[0], prog.broker))
		return complain("hostxend not found: neither installed nor in a build tree around this program");
	if ((!find_one(prog.lib, lib + 1) && !realpath(lib[0], prog.lib)) ||
	    (!find_one(prog.xsd_lib, xsd + 1) && !realpath(xsd[0], prog.xsd_lib)))
		return complain("libhostxen.so not found: neither installed nor in a build tree around this program");
	return 0;
}

/* --- talking to the broker -------------------------------------------------------------- */

static int broker_fd = -1;
static struct hx_world *world;

static int call(const struct hx_req *q, struct hx_rsp *r)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { r, sizeof(*r) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)
	};
	if (send(broker_fd, q, sizeof(*q), MSG_NOSIGNAL) != (ssize_t)sizeof(*q) ||
	    recvmsg(broker_fd, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*r))
		return -ENODEV;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (!r->err && c && c->cmsg_type == SCM_RIGHTS) {
		int fd;
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		world = mmap(NULL, sizeof(*world), PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
	}
	return r->err;
}

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct hx_req q = { .op = HX_HELLO, .arg = { HX_TOOLSTACK } };
	struct hx_rsp r;
	if ((size_t)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/" HX_SOCKET, dir) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	broker_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (broker_fd < 0)
		return -errno;
	if (connect(broker_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || call(&q, &r) || world == MAP_FAILED ||
	    !world) {
		close(broker_fd);
		broker_fd = -1;
		return -ENOENT;
	}
	return 0;
}

static int need_world(void)
{
	if (dial())
		return complain("no world runs in %s: start one with \"hostxen start\" (HOSTXEN_DIR chooses the place)",
				dir);
	return 0;
}

static int info(uint32_t domid, struct hx_rsp *r)
{
	return call(&(struct hx_req){ .op = HX_DOM_INFO, .arg = { domid } }, r);
}

static int parse_domid(const char *s, uint32_t *ret)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);
	if (!*s || *end || *s == '-' || *s == '+' || n >= HX_DOMIDS)
		return complain("\"%s\" is not a domain number (0 to %u)", s, HX_DOMIDS - 1);
	*ret = (uint32_t)n;
	return 0;
}

/* --- a domain's home in xenstore ----------------------------------------------------------- */

struct home {
	struct xs_handle *xs;
	xs_transaction_t t;
	uint32_t domid;
	char dom[64], vm[64], xl[64];
	bool ok;
};

enum who { GUEST_READS, GUEST_WRITES, INHERITED };

static void node(struct home *h, enum who who, const char *base, const char *rel, const char *value)
{
	char path[256];
	struct xs_permissions ro[2] = { { 0, XS_PERM_NONE }, { h->domid, XS_PERM_READ } };
	struct xs_permissions rw[1] = { { h->domid, XS_PERM_NONE } };
	snprintf(path, sizeof(path), "%s%s%s", base, *rel ? "/" : "", rel);
	h->ok = h->ok &&
		(value ? xs_write(h->xs, h->t, path, value, (unsigned)strlen(value)) : xs_mkdir(h->xs, h->t, path));
	if (who == GUEST_READS)
		h->ok = h->ok && xs_set_permissions(h->xs, h->t, path, ro, 2);
	else if (who == GUEST_WRITES)
		h->ok = h->ok && xs_set_permissions(h->xs, h->t, path, rw, 1);
}

static void make_uuid(char *to)
{
	unsigned char b[16];
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		memset(b, 0, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (unsigned i = 0; i < 16; i++)
		to += sprintf(to, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
}

/*
 * The nodes libxl makes, with libxl's permissions: the guest reads its home and owns only what it is meant to write.
 * A node starts with its parent's permissions, so most need not be told.
 */
static void home_nodes(struct home *h, const char *uuid, const char *name, uint32_t xs_port)
{
	static const char *const dirs_ro[] = { "cpu", "memory", "device", "control", NULL };
	static const char *const dirs_rw[] = { "control/shutdown",
					       "control/feature-poweroff",
					       "control/feature-reboot",
					       "control/feature-suspend",
					       "control/sysrq",
					       "data",
					       "drivers",
					       "feature",
					       "attr",
					       "error",
					       NULL };
	char number[16];
	h->ok = true;
	(void)xs_rm(h->xs, h->t, h->dom);
	(void)xs_rm(h->xs, h->t, h->xl);
	node(h, GUEST_READS, h->dom, "", NULL);
	node(h, GUEST_READS, h->vm, "", NULL);
	node(h, INHERITED, h->xl, "", NULL);
	node(h, INHERITED, h->xl, "device", NULL);
	node(h, INHERITED, h->xl, "type", "pvh");
	node(h, INHERITED, h->dom, "vm", h->vm);
	node(h, INHERITED, h->dom, "name", name);
	for (const char *const *d = dirs_ro; *d; d++)
		node(h, INHERITED, h->dom, *d, NULL);
	for (const char *const *d = dirs_rw; *d; d++)
		node(h, GUEST_WRITES, h->dom, *d, strncmp(*d, "control/", 8) ? NULL : "");
	node(h, INHERITED, h->dom, "control/platform-feature-multiprocessor-suspend", "1");
	node(h, INHERITED, h->dom, "cpu/0", NULL);
	node(h, INHERITED, h->dom, "cpu/0/availability", "online");
	snprintf(number, sizeof(number), "%u", h->domid);
	node(h, INHERITED, h->dom, "domid", number);
	node(h, INHERITED, h->dom, "store", NULL);
	snprintf(number, sizeof(number), "%u", xs_port);
	node(h, INHERITED, h->dom, "store/port", number);
	node(h, INHERITED, h->dom, "store/ring-ref", "1");
	node(h, INHERITED, h->vm, "uuid", uuid);
	node(h, INHERITED, h->vm, "name", name);
}

static struct xs_handle *store_open(void)
{
	setenv("XENSTORED_PATH", in_dir("xenstored/socket"), 1);
	return xs_open(0);
}

static int home_make(uint32_t domid, const char *name, const char *its_uuid, uint32_t xs_port)
{
	char uuid[40];
	struct home h = { .xs = store_open(), .domid = domid };
	if (!h.xs)
		return complain("xenstored does not answer");
	if (its_uuid)
		snprintf(uuid, sizeof(uuid), "%s", its_uuid);
	else
		make_uuid(uuid);
	snprintf(h.dom, sizeof(h.dom), "/local/domain/%u", domid);
	snprintf(h.vm, sizeof(h.vm), "/vm/%s", uuid);
	snprintf(h.xl, sizeof(h.xl), "/libxl/%u", domid);
	do {
		h.t = xs_transaction_start(h.xs);
		if (!h.t)
			break;
		home_nodes(&h, uuid, name, xs_port);
		if (xs_transaction_end(h.xs, h.t, !h.ok))
			break;
		h.ok = false;
	} while (errno == EAGAIN);
	bool ok = h.ok && xs_introduce_domain(h.xs, domid, 1, xs_port);
	int err = errno;
	xs_close(h.xs);
	return ok ? 0 : complain("domain %u's xenstore home: %s", domid, strerror(err));
}

static void home_remove(uint32_t domid)
{
	char path[64], *vm;
	struct xs_handle *xs = store_open();
	if (!xs)
		return;
	snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
	vm = xs_read(xs, XBT_NULL, path, NULL);
	if (vm && !strncmp(vm, "/vm/", 4))
		(void)xs_rm(xs, XBT_NULL, vm);
	free(vm);
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	(void)xs_rm(xs, XBT_NULL, path);
	snprintf(path, sizeof(path), "/libxl/%u", domid);
	(void)xs_rm(xs, XBT_NULL, path);
	xs_close(xs);
}

/* --- create and destroy ------------------------------------------------------------------------ */

static int create(uint32_t domid, const char *name, const char *uuid, bool quiet_if_there)
{
	struct hx_req q = { .op = HX_CREATE, .arg = { domid } };
	struct hx_rsp r;
	char made_up[HX_NAME];
	if (!name) {
		snprintf(made_up, sizeof(made_up), "guest-%u", domid);
		name = made_up;
	}
	snprintf(q.name, sizeof(q.name), "%s", name);
	int err = call(&q, &r);
	if (err == -EEXIST && quiet_if_there)
		return 0;
	if (err == -EEXIST)
		return complain("domain %u exists already", domid);
	if (err)
		return complain("cannot create domain %u: %s", domid, strerror(-err));
	if (home_make(domid, name, uuid, r.value[0])) {
		(void)call(&(struct hx_req){ .op = HX_DESTROY, .arg = { domid } }, &r);
		home_remove(domid);
		return 1;
	}
	(void)call(&(struct hx_req){ .op = HX_DOM_DONE, .arg = { domid } }, &r);
	return 0;
}

/* getopt_long(), which says what is wrong as all else is said. */
static int next_option(int argc, char **argv, const char *shorts, const struct option *longs)
{
	opterr = 0;
	int c = getopt_long(argc, argv, shorts, longs, NULL);
	if (c == '?') {
		complain("%s: no such option, or its argument is missing", argv[optind - 1]);
		fputs("next: hostxen --help\n", stderr);
	}
	return c;
}

/* As xl takes it, in small letters. */
static int parse_uuid(const char *text, char uuid[40])
{
	size_t n = strlen(text);
	if (n != 36 || strspn(text, "0123456789abcdefABCDEF-") != n) {
		complain("\"%s\" is no UUID, as 01234567-89ab-cdef-0123-456789abcdef is", text);
		return 2;
	}
	for (size_t i = 0; i <= n; i++)
		uuid[i] = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] + 'a' - 'A' : text[i]);
	return 0;
}

static int cmd_create(int argc, char **argv)
{
	static const struct option opts[] = { { "name", required_argument, NULL, 'n' },
					      { "uuid", required_argument, NULL, 'u' },
					      { 0 } };
	const char *name = NULL;
	char uuid[40] = "";
	uint32_t domid;
	for (int c; (c = next_option(argc, argv, "n:u:", opts)) != -1;) {
		if (c == 'n')
			name = optarg;
		else if (c == '?' || parse_uuid(optarg, uuid))
			return 2;
	}
	if (optind + 1 != argc) {
		complain("create wants one domain number");
		return 2;
	}
	if (parse_domid(argv[optind], &domid))
		return 2;
	return need_world() || create(domid, name, *uuid ? uuid : NULL, false);
}

static int cmd_destroy(int argc, char **argv)
{
	static const struct option opts[] = { { "kill", no_argument, NULL, 'k' }, { 0 } };
	struct hx_rsp r;
	uint32_t domid, kill_too = 0;
	for (int c; (c = next_option(argc, argv, "k", opts)) != -1;) {
		if (c != 'k')
			return 2;
		kill_too = 1;
	}
	if (optind + 1 != argc) {
		complain("destroy wants one domain number");
		return 2;
	}
	if (parse_domid(argv[optind], &domid))
		return 2;
	if (need_world())
		return 1;
	int err = call(&(struct hx_req){ .op = HX_DESTROY, .arg = { domid, kill_too } }, &r);
	if (err)
		return complain("cannot destroy domain %u: %s", domid,
				err == -ESRCH ? "no such domain" : strerror(-err));
	home_remove(domid);
	/* Unless somebody still maps its pages it is gone when xenstored has let go of its ring: a matter of a moment. */
	for (int i = 0; i < 100 && atomic_load(&world->dom[domid].gen); i++)
		nap(1);
	return 0;
}

static int cmd_shutdown(int argc, char **argv)
{
	static const char *const reasons[] = { "poweroff", "reboot", "suspend", "crash" }; /* as SHUTDOWN_* count */
	struct hx_rsp r;
	uint32_t domid, reason = 0;
	if (argc != 3) {
		complain("shutdown wants a domain number and a reason");
		return 2;
	}
	while (reason < 4 && strcmp(argv[2], reasons[reason]))
		reason++;
	if (reason == 4) {
		complain("the reason is poweroff, reboot, suspend or crash");
		return 2;
	}
	if (parse_domid(argv[1], &domid))
		return 2;
	if (need_world())
		return 1;
	int err = call(&(struct hx_req){ .op = HX_SHUTDOWN, .arg = { domid, reason } }, &r);
	return err ? complain("cannot shut domain %u down: %s", domid,
			      err == -ESRCH ? "no such domain" : strerror(-err))
		   : 0;
}

/* --- list -------------------------------------------------------------------------------------- */

static int cmd_list(int argc, char **argv)
{
	bool json = argc == 2 && !strcmp(argv[1], "--json"), first = true;
	struct hx_rsp r;
	if (argc > 2 || (argc == 2 && !json)) {
		complain("list takes no argument but --json");
		return 2;
	}
	if (need_world())
		return 1;
	printf(json ? "[" : "  ID NAME                 STATE    HANDLES  PORTS  GRANTS\n");
	for (uint32_t i = 0; i < atomic_load(&world->top_dom); i++) {
		if (!atomic_load(&world->dom[i].gen) || info(i, &r))
			continue;
		const char *state = r.value[1] & 1 ? "dying" : r.value[1] & 2 ? "running" : "building";
		if (!(r.value[1] & 1) && atomic_load(&world->dom[i].flags) & HX_DOM_SHUTDOWN)
			state = "shutdown";
		else if (!(r.value[1] & 1) && atomic_load(&world->dom[i].paused))
			state = "paused";
		if (json)
			printf("%s{\"domid\":%u,\"name\":\"%s\",\"state\":\"%s\",\"handles\":%u,\"ports\":%u,"
			       "\"grants\":%u}",
			       first ? "" : ",\n ", i, r.name, state, r.value[2], r.value[3], r.value[4]);
		else
			printf("%4u %-20s %-8s %7u %6u %7u\n", i, r.name, state, r.value[2], r.value[3], r.value[4]);
		first = false;
	}
	if (json)
		printf("]\n");
	return 0;
}

/* --- run and env ------------------------------------------------------------------------------------ */

/* Puts @value in front of what the variable has. */
static void prepend(const char *var, const char *value, const char *sep)
{
	const char *old = getenv(var);
	char *both;
	if (!old || !*old)
		setenv(var, value, 1);
	else if (asprintf(&both, "%s%s%s", value, sep, old) >= 0) {
		setenv(var, both, 1);
		free(both);
	}
}

static void set_environment(uint32_t domid)
{
	char number[16], path[PATH_MAX + 64];
	const char *preload = getenv("LD_PRELOAD");
	snprintf(number, sizeof(number), "%u", domid);
	if (domid)
		snprintf(path, sizeof(path), "%s/xenbus-%u.sock", dir, domid);
	else
		snprintf(path, sizeof(path), "%s/xenstored/socket", dir);
	setenv("HOSTXEN_DIR", dir, 1);
	setenv("HOSTXEN_DOMID", number, 1);
	setenv("XENSTORED_PATH", path, 1);
	if (!preload || !strstr(preload, prog.lib))
		prepend("LD_PRELOAD", prog.lib, ":");
	/* The runtime of gcc's AddressSanitizer insists on coming first, but does not need to. */
	const char *asan = getenv("ASAN_OPTIONS");
	if (!asan || !strstr(asan, "verify_asan_link_order"))
		prepend("ASAN_OPTIONS", "verify_asan_link_order=0", ":");
}

static int ready_domain(uint32_t domid, const char *name)
{
	struct hx_rsp r;
	int err = info(domid, &r);
	if (err == -ESRCH && domid) {
		if (create(domid, name, NULL, true))
			return 1;
		err = info(domid, &r);
	}
	for (int i = 0; !err && !(r.value[1] & 2) && i < 5000; i++) { /* somebody else is creating it */
		nap(1);
		err = info(domid, &r);
	}
	if (err || (r.value[1] & 1))
		return complain("domain %u %s", domid, err ? "does not exist" : "is dying");
	return 0;
}

static int domain_option(int argc, char **argv, uint32_t *domid, const char **name)
{
	static const struct option opts[] = { { "domid", required_argument, NULL, 'd' },
					      { "name", required_argument, NULL, 'n' },
					      { 0 } };
	*domid = 0;
	*name = NULL;
	for (int c; (c = next_option(argc, argv, "+d:n:", opts)) != -1;) {
		if (c == 'd' && parse_domid(optarg, domid))
			return 2;
		if (c == 'n')
			*name = optarg;
		if (c == '?')
			return 2;
	}
	return 0;
}

static int cmd_run(int argc, char **argv)
{
	uint32_t domid;
	const char *name;
	if (domain_option(argc, argv, &domid, &name))
		return 2;
	if (optind == argc) {
		complain("run wants a command");
		return 2;
	}
	if (find_programs() || need_world() || ready_domain(domid, name))
		return 1;
	close(broker_fd);
	set_environment(domid);
	execvp(argv[optind], argv + optind);
	complain("%s: %s", argv[optind], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

static int cmd_env(int argc, char **argv)
{
	static const char *const vars[] = { "HOSTXEN_DIR", "HOSTXEN_DOMID", "XENSTORED_PATH", "LD_PRELOAD",
					    "ASAN_OPTIONS" };
	uint32_t domid;
	const char *name;
	if (domain_option(argc, argv, &domid, &name))
		return 2;
	if (find_programs() || need_world() || ready_domain(domid, name))
		return 1;
	set_environment(domid);
	for (unsigned i = 0; i < sizeof(vars) / sizeof(vars[0]); i++) {
		printf("%s='", vars[i]);
		for (const char *s = getenv(vars[i]); *s; s++)
			fputs(*s == '\'' ? "'\\''" : (char[]){ *s, 0 }, stdout);
		printf("'; export %s;\n", vars[i]);
	}
	return 0;
}

/* --- start and stop ------------------------------------------------------------------------------------- */

/* The daemon's side of fork: a session of its own, the log for its words, nothing else of ours open. */
static void become_daemon(int ready)
{
	char number[16];
	int log = open(in_dir("hostxend.log"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	setsid();
	if (chdir("/") < 0 || log < 0 || null < 0)
		_exit(1);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	dup2(ready, 3);
	close_range(4, ~0U, 0);
	snprintf(number, sizeof(number), "%d", 3);
	unsetenv("LD_PRELOAD");
	execl(prog.broker, "hostxend", dir, prog.lib, prog.xsd_lib, prog.xenstored, number, (char *)NULL);
	_exit(127);
}

static int dom0_home(void)
{
	struct xs_handle *xs = store_open();
	bool ok = xs && xs_write(xs, XBT_NULL, "/local/domain/0/domid", "0", 1) &&
		  xs_write(xs, XBT_NULL, "/local/domain/0/name", "Domain-0", 8);
	if (xs)
		xs_close(xs);
	return ok ? 0 : complain("cannot write to xenstored: %s", strerror(errno));
}

static int make_dir(void)
{
	struct stat st;
	char copy[PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", dir);
	if (mkdir(copy, 0700) < 0 && errno != EEXIST)
		return complain("%s: %s", copy, strerror(errno));
	if (!realpath(copy, dir) || stat(dir, &st))
		return complain("%s: %s", copy, strerror(errno));
	if (st.st_uid != getuid())
		return complain("%s belongs to somebody else", dir);
	return 0;
}

static int stop(void);

static int cmd_start(int argc, char **argv)
{
	int pipefd[2];
	char text[512];
	size_t len = 0;
	if (argc != 1) {
		complain("start takes no argument (HOSTXEN_DIR chooses the place)");
		return 2;
	}
	if (find_programs())
		return 1;
	if (!find_xenstored())
		return complain(
			"xenstored (the C one) not found; Debian has it in the package xen-utils-4.17 or so, and "
			"HOSTXEN_XENSTORED can name it");
	if (make_dir())
		return 1;
	if (strlen(dir) > 80)
		return complain("%s: too long for the Unix sockets in it (80 characters at most)", dir);
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return complain("%s", strerror(errno));
	pid_t pid = fork();
	if (!pid)
		become_daemon(pipefd[1]);
	close(pipefd[1]);
	if (pid < 0)
		return complain("fork: %s", strerror(errno));
	for (ssize_t n; len < sizeof(text) - 1 && (n = read(pipefd[0], text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = 0;
	if (!len)
		return complain("hostxend did not start (see %s)", in_dir("hostxend.log"));
	if (text[0])
		return complain("%s: %s", dir, text);
	if (dom0_home()) {
		(void)stop();
		return 1;
	}
	return 0;
}

/* Waits until the last process of the world has let go of the lock. */
static int wait_unlocked(void)
{
	int fd = open(in_dir("lock"), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	for (int i = 0; i < 5000; i++, nap(1)) {
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			continue;
		close(fd);
		return 0;
	}
	close(fd);
	return complain("the world in %s does not end", dir);
}

static int stop(void)
{
	glob_t g = { 0 };
	struct hx_rsp r;
	if (broker_fd >= 0 || !dial())
		(void)call(&(struct hx_req){ .op = HX_STOP }, &r);
	if (wait_unlocked())
		return 1;
	/* what a killed broker could not remove, and front ends' lock files */
	unlink(in_dir(HX_SOCKET));
	if (!glob(in_dir("xenbus-*.sock*"), 0, NULL, &g))
		for (size_t i = 0; i < g.gl_pathc; i++)
			unlink(g.gl_pathv[i]);
	globfree(&g);
	return 0;
}

static int cmd_stop(int argc, char **argv)
{
	if (argc != 1) {
		complain("stop takes no argument");
		return 2;
	}
	return stop();
}

/* --- main ------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "start", cmd_start, "start                            start a world (broker and xenstored) in HOSTXEN_DIR" },
	{ "run", cmd_run,
	  "run [-d DOMID] [--name NAME] -- CMD...   become CMD in a domain (default 0), created if need be" },
	{ "create", cmd_create, "create DOMID [--name NAME] [--uuid UUID]  create a domain with its xenstore home" },
	{ "shutdown", cmd_shutdown,
	  "shutdown DOMID poweroff|reboot|suspend|crash  as the guest: it is down, and still there" },
	{ "destroy", cmd_destroy,
	  "destroy DOMID [--kill]           end a domain, as \"xl destroy\"; --kill its processes too" },
	{ "list", cmd_list, "list [--json]                    show the domains" },
	{ "env", cmd_env, "env [-d DOMID]                   print the environment of a domain for a shell to eval" },
	{ "stop", cmd_stop, "stop                             end the world" },
};

static bool is_help(const char *arg)
{
	return !strcmp(arg, "--help") || !strcmp(arg, "-h");
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";
	bool help = is_help(name) || !strcmp(name, "help") || (argc > 2 && is_help(argv[2]));
	find_dir();
	for (unsigned i = 0; !help && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].fn(argc - 1, argv + 1);
	if (!strcmp(name, "--version")) {
		puts("hostxen (synth) " PACKAGE_VERSION);
		return 0;
	}
	FILE *out = help && argc > 1 ? stdout : stderr;
	if (!help)
		complain("unknown command \"%s\"", name);
	fprintf(out, "hostxen: a stand-in for Xen on a plain Linux host\n\nusage:\n");
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  hostxen %s\n", commands[i].help);
	fprintf(out, "\nThe state directory is HOSTXEN_DIR, else $XDG_RUNTIME_DIR/hostxen, else /tmp/hostxen-UID.\n");
	return out == stdout ? 0 : 2;
}

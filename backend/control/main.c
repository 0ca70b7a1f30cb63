/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * main.c - synth-blkd: options, what must be there, the loop, and the end.
 *
 * On SIGTERM, SIGINT and `stop` the workers finish what is in flight and quit; xenstore stays as it is, so guests
 * wait, and the next daemon serves them again.  When we die instead, the workers serve on, and the next daemon finds them.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "backend/control/listener.h"
#include "backend/control/record.h"
#include "backend/control/upgrade.h"
#include "common/xen/grant.h"
#include "common/span/span.h"
#include "config.h"

#define STOP_MS          30000u
#define STORE_RETRY_MS   500u
#define DEFAULT_POLL_US  50u
#define DEFAULT_QUEUES   4u
#define DEFAULT_LINGER_S 30u
#define DEFAULT_UID_BASE 1890000000u /* in a part of the numbers that neither people, services nor containers get */
#define UID_BASE_MAX     2000000000u
/* A page that is mapped takes an entry of a table that all guests of the host share: Xen has 262144 of these unless told otherwise. */
#define DEFAULT_GRANTS     GRANT_LIMIT_DEFAULT
#define DEFAULT_GRANTS_ALL 131072u
#define GRANTS_MIN         64u
#define GRANTS_MAX         (1u << 24)
#define DEFAULT_BOUNCE_MIB 64u
#define BOUNCE_MAX_MIB     65536u
#define PAGES_A_MIB        ((1u << 20) / PAGE_BYTES)
#define LOCK_TRIES         20
#define LOCK_TRY_US        50000u

struct options {
	char rundir[256], socket[300];
	struct class_options class;
	uint32_t linger_s;
	uint32_t max_grants, max_grants_all, bounce_mib;
	uint32_t journal, wire; /* asked whether we can take over; 0: not asked */
	uint32_t uid_base;      /* UINT32_MAX: not said */
};

static void usage(FILE *f, const struct control_class *k)
{
	fprintf(f,
		"Usage: %s [OPTION]...\n"
		"Serve %ss to Xen guests.\n\n"
		"  -f, --foreground      stay in the foreground (the default; there is no other way)\n"
		"  -r, --rundir DIR      where the socket and the lock are (default: $SYNTH_RUNDIR, else " SYNTH_RUNDIR
		")\n"
		"  -s, --socket PATH     control socket (default: DIR/%s.sock)\n"
		"  -q, --max-queues N    offer guests at most N queues a device, 1 to %u (default: %u, or the CPUs if "
		"fewer)\n"
		"  -p, --poll-us N       let workers poll so long before they sleep, in microseconds (default: %u; 0: "
		"never)\n"
		"      --max-grants N        map at most N pages of a guest (default: %u)\n"
		"      --max-grants-all N    and at most N of all guests together (default: %u)\n"
		"      --max-bounce MIB      use at most so much memory for data of a guest's disks on its way, "
		"beyond\n"
		"                            1 MiB a ring (default: %u)\n"
		"      --linger SEC      after another toolstack closed a device, wait so long for it to remove the\n"
		"                        device's nodes (default: %u)\n"
		"      --worker-uid-base N   a guest's workers run as user N + its domid (default: "
		"$SYNTH_WORKER_UID_BASE,\n"
		"                        else %u; 0: as the daemon's user)\n"
		"  -l, --log-level L     error, warn, info or debug (default: $SYNTH_LOG, else info)\n"
		"      --reads-journal N, --speaks-wire N\n"
		"                        only tell (exit status 0) whether this program can take over from one whose\n"
		"                        journals and workers have these versions\n"
		"  -V, --version         print the version\n"
		"  -h, --help            print this\n",
		k->program, k->name, k->stem, WIRE_MAX_QUEUES, DEFAULT_QUEUES, DEFAULT_POLL_US, DEFAULT_GRANTS,
		DEFAULT_GRANTS_ALL, DEFAULT_BOUNCE_MIB, DEFAULT_LINGER_S, DEFAULT_UID_BASE);
}

static uint32_t default_queues(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus >= 1 && cpus < (long)DEFAULT_QUEUES ? (uint32_t)cpus : DEFAULT_QUEUES;
}

static int set_log_level(const char *text)
{
	/* The workers take it from there too. */
	static const char *const names[] = { "error", "warn", "info", "debug" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			log_level = (enum log_level)i;
			return setenv("SYNTH_LOG", text, 1) < 0 ? -errno : 0;
		}
	return -EINVAL;
}

/* An option that wants a number. */
struct number {
	int opt; /* 0: the end */
	const char *name;
	uint32_t min, max, *to;
};

static int take_number(const char *program, const struct number *n, int opt, const char *text)
{
	uint32_t value;

	while (n->opt && n->opt != opt)
		n++;
	if (n->opt && parse_str_u32(text, n->max, &value) == 0 && value >= n->min) {
		*n->to = value;
		return 0;
	}
	if (n->opt)
		fprintf(stderr, "%s: --%s wants a number from %u to %u\n", program, n->name, n->min, n->max);
	return -EINVAL;
}

static int choose_paths(struct options *o, const struct control_class *k, const char *dir, const char *sock)
{
	int n;

	if (!dir || !*dir)
		dir = SYNTH_RUNDIR;
	n = snprintf(o->rundir, sizeof(o->rundir), "%s", dir);
	if ((size_t)n < sizeof(o->rundir))
		n = sock ? snprintf(o->socket, sizeof(o->socket), "%s", sock)
			 : snprintf(o->socket, sizeof(o->socket), "%s/%s.sock", dir, k->stem);
	else
		n = sizeof(o->socket);
	if ((size_t)n < sizeof(o->socket))
		return 0;
	fprintf(stderr, "%s: the path of the run directory or socket is too long\n", k->program);
	return -EINVAL;
}

/* 0 go on, > 0 done (exit 0), < 0 wrong (exit 2). */
static int parse_options(int argc, char **argv, const struct control_class *k, struct options *o)
{
	static const struct option longs[] = {
		{ "foreground", no_argument, NULL, 'f' },
		{ "rundir", required_argument, NULL, 'r' },
		{ "socket", required_argument, NULL, 's' },
		{ "max-queues", required_argument, NULL, 'q' },
		{ "poll-us", required_argument, NULL, 'p' },
		{ "max-grants", required_argument, NULL, 'G' },
		{ "max-grants-all", required_argument, NULL, 'A' },
		{ "max-bounce", required_argument, NULL, 'B' },
		{ "linger", required_argument, NULL, 'L' },
		{ "worker-uid-base", required_argument, NULL, 'U' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "reads-journal", required_argument, NULL, 'J' },
		{ "speaks-wire", required_argument, NULL, 'W' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const struct number numbers[] = {
		{ 'q', "max-queues", 1, WIRE_MAX_QUEUES, &o->class.max_queues },
		{ 'p', "poll-us", 0, 10000, &o->class.poll_us },
		{ 'G', "max-grants", GRANTS_MIN, GRANTS_MAX, &o->max_grants },
		{ 'A', "max-grants-all", GRANTS_MIN, GRANTS_MAX, &o->max_grants_all },
		{ 'B', "max-bounce", 0, BOUNCE_MAX_MIB, &o->bounce_mib },
		{ 'L', "linger", 0, 3600, &o->linger_s },
		{ 'U', "worker-uid-base", 0, UID_BASE_MAX, &o->uid_base },
		{ 'J', "reads-journal", 1, UINT32_MAX, &o->journal },
		{ 'W', "speaks-wire", 1, UINT32_MAX, &o->wire },
		{ 0, NULL, 0, 0, NULL },
	};
	const char *dir = getenv("SYNTH_RUNDIR"), *sock = NULL, *uids = getenv("SYNTH_WORKER_UID_BASE");
	int opt, err = 0;

	if (uids && *uids)
		err = take_number(k->program, numbers, 'U', uids);
	while (err == 0 && (opt = getopt_long(argc, argv, "fr:s:q:p:l:Vh", longs, NULL)) != -1) {
		switch (opt) {
		case 'f':
			break;
		case 'r':
			dir = optarg;
			break;
		case 's':
			sock = optarg;
			break;
		case 'l':
			err = set_log_level(optarg);
			if (err < 0)
				fprintf(stderr, "%s: --log-level wants error, warn, info or debug\n", k->program);
			break;
		case 'V':
			printf("%s %s\n", k->program, PACKAGE_VERSION);
			return 1;
		case 'h':
			usage(stdout, k);
			return 1;
		case '?':
			fprintf(stderr, "Try: %s --help\n", k->program);
			return -EINVAL;
		default:
			err = take_number(k->program, numbers, opt, optarg);
		}
	}
	if (err == 0 && optind < argc) {
		fprintf(stderr, "%s: unexpected argument \"%s\"\nTry: %s --help\n", k->program, argv[optind],
			k->program);
		err = -EINVAL;
	}
	return err ? err : choose_paths(o, k, dir, sock);
}

/* One daemon a run directory.  The descriptor is kept until the process ends. */
static int take_lock(const struct options *o, const struct control_class *k)
{
	char path[300], pid[32];
	int fd, n, tries = LOCK_TRIES;

	if (mkdir(o->rundir, 0755) < 0 && errno != EEXIST) {
		log_error("cannot make the run directory %s: %s; make it, or choose another with --rundir", o->rundir,
			  strerror(errno));
		return -errno;
	}
	snprintf(path, sizeof(path), "%s/%s.lock", o->rundir, k->stem);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		n = -errno;
		log_error("cannot write to the run directory (%s): %s; run as root, or choose another with --rundir",
			  path, strerror(-n));
		return n;
	}
	/* One that was told to stop has answered a moment before it is gone. */
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EINTR || (errno == EWOULDBLOCK && tries-- > 0)) {
			usleep(LOCK_TRY_US);
			continue;
		}
		ssize_t got = read(fd, pid, sizeof(pid) - 1);

		pid[got > 0 ? got : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		log_error("another %s runs already (pid %s, lock %s); stop it first, or choose another --rundir",
			  k->program, *pid ? pid : "unknown", path);
		close(fd);
		return -EBUSY;
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || write(fd, pid, (size_t)n) != n)
		log_warn("cannot write %s: %s", path, strerror(errno));
	return fd;
}

/* systemd's readiness protocol, for those who use it. */
void control_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&sa,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_debug("cannot notify the service manager: %s", strerror(errno));
	close(fd);
}

static void stop_late(struct loop *l, void *arg)
{
	struct control *c = arg;

	c->stop_timer = NULL;
	log_warn("%u workers are still draining; they go on by themselves", workers_left(c));
	loop_stop(l);
}

void control_stop(struct control *c, struct ctl_req *req)
{
	if (req) {
		if (c->stop_req) {
			ctl_ok(req, NULL);
			return;
		}
		c->stop_req = req;
	}
	if (c->stopping)
		return;
	c->stopping = true;
	log_info("stopping: %u workers drain", workers_left(c));
	control_notify("STOPPING=1");
	workers_quit(c);
	if (workers_left(c) == 0)
		loop_stop(c->loop);
	else if (loop_add_timer(c->loop, STOP_MS, stop_late, c, &c->stop_timer) < 0)
		loop_stop(c->loop);
}

static void on_stop_signal(struct loop *l, int sig, void *arg)
{
	control_stop(arg, NULL);
}

static void on_child(struct loop *l, int sig, void *arg)
{
	workers_reap(arg);
}

/* One that is dying still lets connect: something is asked. */
static bool store_answers(void)
{
	struct store *s;
	char **names;
	uint32_t nr;
	bool there;

	if (store_open(&s) < 0)
		return false;
	there = store_list(s, NULL, "/", &names, &nr) == 0;
	if (there)
		free(names);
	store_close(s);
	return there;
}

/*
 * When xenstore is there again everything we know of it may be out of date.  A daemon that starts reads it all, and finds the
 * workers: so we become one.
 */
static void store_retry(struct loop *l, void *arg)
{
	struct control *c = arg;

	c->store_retry = NULL;
	if (store_answers())
		upgrade_restart(c);
	if (loop_add_timer(l, STORE_RETRY_MS, store_retry, c, &c->store_retry) < 0)
		log_error("out of memory: restart %s when xenstored is back", c->class->program);
}

/* systemd: we are well as long as this runs. */
static void watchdog(struct loop *l, void *arg)
{
	struct control *c = arg;

	c->watchdog = NULL;
	control_notify("WATCHDOG=1");
	if (loop_add_timer(l, c->watchdog_ms, watchdog, c, &c->watchdog) < 0)
		log_error("out of memory: the service manager will think that we hang");
}

static void watchdog_start(struct control *c)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t us;

	if (!usec || parse_str_u64(usec, UINT64_MAX, &us) < 0 || us < 2000 ||
	    (pid && strtoul(pid, NULL, 10) != (unsigned long)getpid()))
		return;
	c->watchdog_ms = us / 2000; /* half of it */
	watchdog(c->loop, c);
}

static void on_store(struct loop *l, int fd, uint32_t events, void *arg)
{
	struct control *c = arg;
	int err = store_dispatch(c->watches);

	if (err == 0)
		return;
	log_error(
		"the connection to xenstore is lost (%s): connected devices are served on, nothing else works until it "
		"is back",
		strerror(-err));
	c->store_lost = true;
	loop_del_fd(c->store_watch);
	c->store_watch = NULL;
	store_retry(c->loop, c);
}

static int open_store(struct control *c)
{
	int err = store_open(&c->store);

	if (err == 0)
		err = store_open(&c->watches);
	if (err < 0) {
		log_error("cannot connect to xenstore: %s; is xenstored running, and are we root?", strerror(-err));
		return err;
	}
	if (store_read_u32(c->store, NULL, "domid", UINT16_MAX, &c->back_domid) < 0)
		c->back_domid = 0;
	err = domains_open(c->store, &c->domains);
	if (err == 0)
		err = loop_add_fd(c->loop, store_fd(c->watches), EPOLLIN, on_store, c, &c->store_watch);
	return err;
}

static void name_instance(struct control *c)
{
	char boot[40] = "unknown";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f) {
		if (!fgets(boot, sizeof(boot), f))
			strcpy(boot, "unknown");
		boot[strcspn(boot, "\n")] = '\0';
		fclose(f);
	}
	snprintf(c->instance, sizeof(c->instance), "%s:%d", boot, (int)getpid());
}

/* Each queue being connected takes a descriptor or two; the workers set their own limit. */
static void raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0)
			log_debug("cannot raise the limit of open files");
	}
}

/* Whether all users from @base on, one a domid, exist where we are: in a container there may be few. */
static bool users_exist(uint32_t base)
{
	FILE *f = fopen("/proc/self/uid_map", "re");
	unsigned long first, outside, nr;
	bool found = !f;

	while (!found && fscanf(f, "%lu %lu %lu", &first, &outside, &nr) == 3)
		found = base >= first && nr > DOMID_LAST && base - first <= nr - DOMID_LAST - 1;
	if (f)
		fclose(f);
	return found;
}

static int choose_users(struct control *c, const struct options *o)
{
	uint32_t base = o->uid_base == UINT32_MAX ? DEFAULT_UID_BASE : o->uid_base;

	if (geteuid() != 0) {
		log_info("not root: all workers run as this user");
		return 0;
	}
	if (base == 0 || users_exist(base)) {
		c->worker_uid_base = base;
		return 0;
	}
	if (o->uid_base != UINT32_MAX) {
		log_error(
			"there are no users from %u on here (/proc/self/uid_map); choose others with --worker-uid-base",
			base);
		return -EINVAL;
	}
	log_warn("there are no users from %u on here (/proc/self/uid_map): all workers run as root, without its "
		 "capabilities; choose others with --worker-uid-base",
		 base);
	return 0;
}

static int control_start(struct control *c, const struct options *o)
{
	int err;

	err = loop_new(&c->loop);
	if (err == 0)
		err = loop_add_signal(c->loop, SIGCHLD, on_child, c);
	if (err == 0)
		err = loop_add_signal(c->loop, SIGTERM, on_stop_signal, c);
	if (err == 0)
		err = loop_add_signal(c->loop, SIGINT, on_stop_signal, c);
	if (err < 0) {
		log_error("cannot set up: %s", strerror(-err));
		return err;
	}
	err = open_store(c);
	if (err < 0)
		return err;
	err = jobs_new(c->loop, &c->jobs);
	if (err == 0)
		err = discover_start(c);
	if (err < 0) {
		log_error("cannot set up: %s", strerror(-err));
		return err;
	}
	/* Last: who reaches the socket finds everything there. */
	err = ctl_open(c->loop, o->socket, cmd_run, c, &c->ctl);
	if (err < 0)
		log_error("cannot listen on %s: %s; choose another with --socket", o->socket, strerror(-err));
	return err;
}

/* How many threads are left, which wait for storage. */
static uint32_t control_end(struct control *c)
{
	struct fault f = { .code = FAULT_FAILED };
	struct device *d;
	uint32_t left;

	c->leaving = !c->stopping;
	/* Nothing is taken out of xenstore; devices are forgotten, not detached. */
	fault_set(&f, FAULT_FAILED, 0, "%s is stopping", c->class->program);
	list_for_each (d, &c->devices, link)
		device_waits_done(d, WAIT_DETACHED, &f);
	while (!list_empty(&c->devices))
		device_free(list_entry(c->devices.next, struct device, link));
	left = jobs_free(c->jobs); /* after the devices, which cancel theirs */
	c->jobs = NULL;
	kept_free(c);
	upgrade_close(c);
	workers_free(c);
	if (c->stop_req)
		ctl_ok(c->stop_req, NULL);
	ctl_close(c->ctl);
	domains_close(c->domains);
	loop_del_fd(c->store_watch);
	store_close(c->watches);
	store_close(c->store);
	loop_del_timer(c->stop_timer);
	loop_del_timer(c->store_retry);
	loop_del_timer(c->strays);
	loop_del_timer(c->watchdog);
	loop_free(c->loop);
	return left;
}

int main(int argc, char **argv)
{
	struct control c = { .class = daemon_class, .started_ns = now_ns() };
	struct options o = { .class = { .max_queues = default_queues(), .poll_us = DEFAULT_POLL_US },
			     .linger_s = DEFAULT_LINGER_S,
			     .max_grants = DEFAULT_GRANTS,
			     .max_grants_all = DEFAULT_GRANTS_ALL,
			     .bounce_mib = DEFAULT_BOUNCE_MIB,
			     .uid_base = UINT32_MAX };
	uint32_t left;
	int err, lock;

	log_init(c.class->program);
	err = parse_options(argc, argv, c.class, &o);
	if (err != 0)
		return err > 0 ? 0 : 2;
	if (o.journal || o.wire)
		return upgrade_answer(c.class, o.journal, o.wire);
	c.opt = o.class;
	c.linger_s = o.linger_s;
	c.limits = (struct wire_limits){ .max_grants = o.max_grants, .bounce_pages = o.bounce_mib * PAGES_A_MIB };
	c.max_grants_all = o.max_grants_all;
	list_init(&c.devices);
	list_init(&c.workers);
	list_init(&c.posted);
	list_init(&c.guests);
	list_init(&c.turns);
	list_init(&c.holds);
	signal(SIGPIPE, SIG_IGN);
	/* What we were started with is not for the workers. */
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		log_debug("cannot mark inherited descriptors: %s", strerror(errno));
	raise_nofile();
	name_instance(&c);
	if (choose_users(&c, &o) < 0)
		return 2;
	lock = take_lock(&o, c.class);
	if (lock < 0)
		return 1;
#ifdef SYNTH_NO_FENCE
	log_warn("built WITHOUT the fence, for a test: what a dead worker wrote may land on what was written after it");
#endif
	err = listener_dir(o.rundir);
	if (err == 0)
		err = record_dir(o.rundir);
	if (err == 0)
		err = upgrade_open(&c, o.rundir, argv);
	if (err < 0)
		log_error("cannot make directories in %s: %s", o.rundir, strerror(-err));
	else
		err = control_start(&c, &o);
	if (err == 0) {
		log_info("ready, listening on %s", o.socket);
		control_notify("READY=1");
		watchdog_start(&c);
		upgrade_workers(&c);
		err = loop_run(c.loop);
	}
	left = control_end(&c);
	close(lock);
	if (left > 0) {
		log_warn("%u jobs for disks or nics had not ended, since storage or a switch does not answer", left);
		_exit(err < 0 ? 1 : 0); /* whatever else is done at an end would have to get past these threads */
	}
	return err < 0 ? 1 : 0;
}

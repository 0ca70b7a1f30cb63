/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox.c - see sandbox.h.
 *
 * The order: first what needs privilege or a file system (namespaces, the empty root, the user), then what takes privilege
 * away (capabilities, Landlock), last the filter, after which the calls above are gone too.
 *
 * A daemon that is root gives its workers a user each, and namespaces need no more than its capabilities.  One that is not
 * root cannot change the user; a user namespace, where the kernel allows it, gives the capabilities for the rest, which are
 * then dropped like any others.
 *
 * The filter is a list of what is allowed; anything else kills the process.  Some calls are refused with an error instead:
 * those which the C library tries and can do without.  tests/sandbox/calls-block.t and calls-net.t hold the list against what workers
 * really call: an entry too few kills one there, an entry too many fails the test.
 */
#include "config.h"
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>

#include "backend/worker/sandbox.h"
#include "common/log/log.h"

/* Open files: a disk's queue has six. Processes: threads and the kernel's helpers of io_uring count, of all workers of the guest. */
#define MAX_FILES 8192u
#define MAX_TASKS 4096u
#define MAX_ARENA 4

/*
 * The run-time libraries of sanitizers look at /proc, and that for leaks stops all threads from a process of its own, by ptrace.
 * What stands in their way is left out of such a build: filter, empty root, Landlock, and the PID namespace (spawn.c).
 */
#ifdef SYNTH_SANITIZER
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define THREAD_FLAGS                                                                                       \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS | \
	 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* ------------------------------------------------------------------ the filter */

static const struct sandbox_call core_calls[] = {
	SANDBOX_CALL(read, "event channels, eventfds, signals"),
	SANDBOX_CALL(write, "event channels, eventfds, the log"),
	SANDBOX_CALL(close, "what came with a device"),
	SANDBOX_CALL(ppoll, "sleep"),
	SANDBOX_CALL(sendmsg, "the control plane"),
	SANDBOX_CALL(recvmsg, "the control plane"),
	SANDBOX_CALL_IF(accept4, "the next control plane", 3, 0, SOCK_CLOEXEC),
	SANDBOX_CALL_IF(getsockopt, "the next control plane's user", 2, 0, SO_PEERCRED),
	SANDBOX_CALL(futex, "threads"),
	SANDBOX_CALL_IF(clone, "threads", 0, 0, THREAD_FLAGS),
	SANDBOX_CALL(exit, "threads"),
	SANDBOX_CALL(exit_group, "the end"),
	SANDBOX_CALL(rt_sigprocmask, "threads"),
	SANDBOX_CALL(rt_sigaction, "threads; the guard of an image in memory"),
	SANDBOX_CALL(rseq, "threads: the C library ends the process without it"),
	SANDBOX_CALL_IF(prctl, "a thread's name", 0, 0, PR_SET_NAME),
	SANDBOX_CALL_IF(mmap, "memory, rings", 2, PROT_EXEC, 0),
	SANDBOX_CALL_IF(mprotect, "memory, stacks", 2, PROT_EXEC, 0),
	SANDBOX_CALL(munmap, "memory, rings"),
	SANDBOX_CALL(madvise, "memory, stacks"),
	SANDBOX_CALL(brk, "memory: the C library takes an error for an address"),
	SANDBOX_CALL_IF(fcntl, "flags of descriptors", 1, 0, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC),
	SANDBOX_CALL(eventfd2, "a queue's control"),
	SANDBOX_CALL_IF(newfstatat, "what an open file is", 3, 0, AT_EMPTY_PATH),
	SANDBOX_CALL(getpid, "who are we, after a fork"),
	SANDBOX_CALL(clock_gettime, "time, where the vDSO cannot tell it"),
	SANDBOX_CALL(restart_syscall, "a sleep that was stopped and continued"),
	SANDBOX_END,
};

static const struct sandbox_ioctl core_ioctls[] = {
	SANDBOX_IOCTL(IOCTL_EVTCHN_NOTIFY),          SANDBOX_IOCTL(IOCTL_GNTDEV_MAP_GRANT_REF),
	SANDBOX_IOCTL(IOCTL_GNTDEV_UNMAP_GRANT_REF), SANDBOX_IOCTL(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR),
	SANDBOX_IOCTL(IOCTL_GNTDEV_GRANT_COPY),      SANDBOX_END,
};

/* What the C library tries, and does without.  in_force() asks for mremap. */
static const struct {
	int nr, err;
} refused[] = {
	{ __NR_clone3, ENOSYS }, /* its flags are in memory: clone is tried next, whose are not */
	{ __NR_set_robust_list, ENOSYS }, { __NR_mremap, ENOMEM },
	{ __NR_openat, EACCES },          { __NR_sched_getaffinity, EPERM },
};

static int add(scmp_filter_ctx f, const struct sandbox_call *c)
{
	int rc = 0;

	if (c->nr_values == 0)
		return seccomp_rule_add(f, SCMP_ACT_ALLOW, c->nr, 0);
	for (uint32_t i = 0; rc == 0 && i < c->nr_values; i++)
		rc = seccomp_rule_add(
			f, SCMP_ACT_ALLOW, c->nr, 1,
			SCMP_CMP(c->arg, SCMP_CMP_MASKED_EQ, c->mask ? c->mask : UINT32_MAX, c->values[i]));
	return rc;
}

static int add_calls(scmp_filter_ctx f, const struct sandbox_call *c)
{
	int rc = 0;

	for (; rc == 0 && c && c->why; c++)
		rc = add(f, c);
	return rc;
}

static int add_ioctls(scmp_filter_ctx f, const struct sandbox_ioctl *i)
{
	int rc = 0;

	for (; rc == 0 && i && i->name; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, __NR_ioctl, 1,
				      SCMP_CMP(1, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)i->cmd));
	return rc;
}

static int add_all(scmp_filter_ctx f, const struct sandbox_class *class)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(refused); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO((uint32_t)refused[i].err), refused[i].nr, 0);
	/* Xen's libraries make a logger for a handle they take over, which looks whether stderr is a terminal. */
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOTTY), __NR_ioctl, 1,
				      SCMP_CMP(1, SCMP_CMP_MASKED_EQ, UINT32_MAX, TCGETS));
	if (rc == 0)
		rc = add_calls(f, core_calls);
	if (rc == 0)
		rc = add_calls(f, class->calls);
	if (rc == 0)
		rc = add_ioctls(f, core_ioctls);
	if (rc == 0)
		rc = add_ioctls(f, class->ioctls);
	return rc;
}

/*
 * The kernel said yes: does it do what it said?  An address that is none gets another answer from the kernel than from the
 * filter; nothing is moved either way.
 */
static bool in_force(void)
{
	return syscall(SYS_mremap, 1ul, 0ul, 0ul, 0ul, 0ul) == -1 && errno == ENOMEM;
}

static int filter(const struct sandbox_class *class)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	if (!f)
		return -ENOMEM;
	rc = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* Older kernels slow a filtered process down against Spectre v4, which is for those who run foreign code in themselves. */
	if (rc == 0)
		rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1);
	/* A tree over the numbers: calls whose arguments are looked at have it run each time, others are remembered by the kernel. */
	if (rc == 0)
		rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = add_all(f, class);
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	if (rc == 0 && !in_force())
		rc = -ENOTRECOVERABLE;
	return rc;
}

static void print_calls(const struct sandbox_call *c)
{
	for (; c && c->why; c++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, c->nr);

		printf("%-20s %s\n", name ? name : "?", c->why);
		free(name);
	}
}

static void print_ioctls(const struct sandbox_ioctl *i)
{
	for (; i && i->name; i++)
		printf("ioctl %s\n", i->name);
}

void sandbox_print(const struct sandbox_class *class)
{
	print_calls(core_calls);
	print_calls(class->calls);
	print_ioctls(core_ioctls);
	print_ioctls(class->ioctls);
}

#ifdef SYNTH_SANDBOX_OFF
/* A build for measuring what the sandbox costs, and for the tests which show that their forbidden acts work without it. */
int sandbox_enter(uint32_t uid, const struct sandbox_class *class)
{
	(void)filter;
	log_warn("built without the sandbox");
	return 0;
}
#else

/* ------------------------------------------------------------------ namespaces, root */

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -errno : 0;
}

/* This user, and no other, in a namespace where it has all capabilities. */
static int own_user_namespace(void)
{
	char uids[40], gids[40];
	int rc;

	snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
	snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
	prctl(PR_SET_DUMPABLE, 1); /* else the files below are root's */
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	rc = put("/proc/self/setgroups", "deny");
	if (rc == 0 || rc == -ENOENT)
		rc = put("/proc/self/gid_map", gids);
	return rc ? rc : put("/proc/self/uid_map", uids);
}

/* To the file system we are in, and out of the old root. */
static int leave_root(void)
{
	if (syscall(SYS_pivot_root, ".", ".") == 0)
		return umount2(".", MNT_DETACH) < 0 ? -errno : 0;
	/* The kernel's first root, an initramfs that nobody has left, cannot be swapped: it is covered, as switch_root does. */
	if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

/* A file system with nothing in it, read-only, and nothing else. */
static int empty_root(void)
{
	static const char *const places[] = { "/run", "/tmp", "/proc" }; /* any directory will do: the old root goes */
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int rc = -ENOENT;

	if (mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		rc = mount("synth", places[i], "tmpfs", flags, "nr_inodes=2,nr_blocks=1,mode=0555") < 0 ? -errno : 0;
		if (rc == 0)
			rc = chdir(places[i]) < 0 ? -errno : 0;
		if (rc == 0)
			break;
	}
	return rc ? rc : leave_root();
}

static void namespaces(void)
{
	/* One by one: a kernel may lack one. */
	static const struct {
		int flag;
		const char *name;
	} spaces[] = { { CLONE_NEWNET, "network" },
		       { CLONE_NEWIPC, "IPC" },
		       { CLONE_NEWUTS, "UTS" },
		       { CLONE_NEWCGROUP, "cgroup" } };
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(spaces); i++)
		if (unshare(spaces[i].flag) < 0)
			log_warn("sandbox: no %s namespace: %s", spaces[i].name, strerror(errno));
	rc = SANITIZED ? 0 : unshare(CLONE_NEWNS) < 0 ? -errno : 0;
	if (SANITIZED)
		return;
	if (rc == 0)
		rc = empty_root();
	if (rc < 0)
		log_warn("sandbox: no empty root: %s", strerror(-rc));
}

/* ------------------------------------------------------------------ user, capabilities, limits */

static int become(uint32_t uid)
{
	if (uid == SANDBOX_KEEP_UID)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

static int drop_bounding(void)
{
	capng_clear(CAPNG_SELECT_ALL);
	return capng_apply(CAPNG_SELECT_BOUNDS) == 0 ? 0 : -EPERM;
}

static int drop_caps(void)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0 || capng_apply(CAPNG_SELECT_AMBIENT) != 0)
		return -EPERM;
	return 0;
}

static void limit(int what, rlim_t n)
{
	struct rlimit r;

	/* Never more than it was. */
	if (getrlimit(what, &r) < 0)
		return;
	r.rlim_max = MIN(r.rlim_max, n); /* RLIM_INFINITY is the greatest number */
	r.rlim_cur = r.rlim_max;
	if (setrlimit(what, &r) < 0)
		log_debug("sandbox: limit %d: %s", what, strerror(errno));
}

/* No limit of a file's size (an image has any) nor of address space (an image in memory is mapped whole). */
static void limits(uint32_t uid)
{
	limit(RLIMIT_NOFILE, MAX_FILES);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_MSGQUEUE, 0);
	limit(RLIMIT_LOCKS, 0);
	limit(RLIMIT_RTPRIO, 0);
	/* It counts the user's processes, so it is only for one that nobody shares. */
	if (uid != SANDBOX_KEEP_UID)
		limit(RLIMIT_NPROC, MAX_TASKS);
}

/* ------------------------------------------------------------------ Landlock */

/* As in newer headers. */
#define ACCESS_FS_V1       0x1fffu
#define ACCESS_FS_REFER    (1u << 13)
#define ACCESS_FS_TRUNCATE (1u << 14)
#define ACCESS_FS_IOCTL    (1u << 15)
#define ACCESS_NET         3u /* bind, connect */
#define SCOPES             3u /* abstract sockets, signals to those outside */

/* Nothing of what this kernel can deny is allowed. Files that are open stay open. */
static int landlock(void)
{
	struct {
		uint64_t fs, net, scoped;
	} handled = { .fs = ACCESS_FS_V1 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), fd;
	size_t bytes = 8;
	int rc = 0;

	if (abi < 1)
		return -errno;
	if (abi >= 2)
		handled.fs |= ACCESS_FS_REFER;
	if (abi >= 3)
		handled.fs |= ACCESS_FS_TRUNCATE;
	if (abi >= 4) {
		handled.net = ACCESS_NET;
		bytes = 16;
	}
	if (abi >= 5)
		handled.fs |= ACCESS_FS_IOCTL;
	if (abi >= 6) {
		handled.scoped = SCOPES;
		bytes = 24;
	}
	fd = syscall(SYS_landlock_create_ruleset, &handled, bytes, 0);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_landlock_restrict_self, (int)fd, 0) < 0)
		rc = -errno;
	close((int)fd);
	return rc;
}

/* ------------------------------------------------------------------ all of it */

static int failed(const char *what, int err)
{
	log_error("sandbox: %s: %s", what, strerror(-err));
	return err;
}

/* To the user, and into the namespaces, with privilege or without. */
static int enter_spaces(uint32_t uid)
{
	bool admin = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) == 1, root = geteuid() == 0;
	int rc;

	limits(uid); /* here, since a user of its own has no right to more, and a user namespace counts for itself */
	if (admin) {
		namespaces();
		rc = root ? drop_bounding() : 0;
		if (rc < 0)
			return failed("cannot drop the bounding set", rc);
	}
	rc = become(uid);
	if (rc < 0) {
		log_error("sandbox: cannot become user %u: %s; choose others with --worker-uid-base", uid,
			  strerror(-rc));
		return rc;
	}
	if (!admin) {
		rc = own_user_namespace();
		if (rc == 0)
			namespaces();
		else
			log_warn("sandbox: no namespaces: not root, and no user namespace: %s", strerror(-rc));
	}
	return 0;
}

int sandbox_enter(uint32_t uid, const struct sandbox_class *class)
{
	int rc;

	/* The library would look for the number of CPUs when it is asked for many. */
	mallopt(M_ARENA_MAX, MAX_ARENA);
	capng_get_caps_process();
	rc = enter_spaces(uid);
	if (rc < 0)
		return rc;
	rc = drop_caps();
	if (rc < 0)
		return failed("cannot drop capabilities", rc);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed("cannot give up new privileges", -errno);
	if (prctl(PR_SET_DUMPABLE, SANITIZED ? 1 : 0, 0, 0, 0) < 0)
		return failed("cannot be made undumpable", -errno);
	rc = SANITIZED ? 0 : landlock();
	if (rc < 0)
		log_debug("sandbox: no Landlock: %s", strerror(-rc));
	rc = SANITIZED ? 0 : filter(class);
	return rc < 0 ? failed("cannot filter system calls", rc) : 0;
}
#endif

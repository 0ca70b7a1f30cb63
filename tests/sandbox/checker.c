/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * checker.c - a device class for a worker whose devices are misdeeds: WIRE_OPEN names one, it is tried from inside, and the
 * answer is what the kernel said.  The rest of the process is the product's: main.c, sandbox.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include "backend/worker/device.h"

#define OTHER_GUEST 2u

/* Each returns what its system call did: < 0 with errno.  @fd came with the message, or is -1. */
static long act_open(int fd)
{
	return syscall(SYS_open, "/etc/passwd", O_RDONLY);
}

static long act_openat(int fd)
{
	return openat(AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static long act_create(int fd)
{
	return syscall(SYS_open, "/", O_RDWR | O_TMPFILE, 0600);
}

static long act_stat(int fd)
{
	struct stat st;

	return syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, 0);
}

static long act_unlink(int fd)
{
	return syscall(SYS_unlink, "/nonexistent/file");
}

static long act_socket(int fd)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long act_connect(int fd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "/nonexistent" };

	return connect(fd, (const struct sockaddr *)&sa, sizeof(sa));
}

static long act_bind(int fd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	return bind(fd, (const struct sockaddr *)&sa, sizeof(sa.sun_family));
}

static long act_listen(int fd)
{
	return listen(fd, 1);
}

static long act_ptrace(int fd)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long act_read_memory(int fd)
{
	char a = 0, b = 0;
	struct iovec from = { &a, 1 }, to = { &b, 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0);
}

static long act_execve(int fd)
{
	char path[] = "/bin/true";
	char *argv[] = { path, NULL };

	return execve(path, argv, argv + 1);
}

static long act_fork(int fd)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long act_clone3(int fd)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} a = { .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &a, sizeof(a));

	if (pid == 0)
		_exit(0);
	return pid;
}

static long act_kill(int fd)
{
	return kill(1, 0);
}

static long act_setuid(int fd)
{
	return setresuid(0, 0, 0);
}

static long act_setgroups(int fd)
{
	return syscall(SYS_setgroups, 0, NULL);
}

static long act_capset(int fd)
{
	uint32_t header[2] = { 0x20080522, 0 }, data[6] = { 0 };

	return syscall(SYS_capset, header, data);
}

static long act_mount(int fd)
{
	return mount("none", "/nonexistent", "tmpfs", 0, NULL);
}

static long act_chroot(int fd)
{
	return chroot("/");
}

static long act_unshare(int fd)
{
	return unshare(CLONE_NEWUTS);
}

static long act_bpf(int fd)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	return syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a));
}

static long act_perf(int fd)
{
	return syscall(SYS_perf_event_open, NULL, 0, 0, -1, 0);
}

static long act_keyctl(int fd)
{
	return syscall(SYS_keyctl, 0, -3, 0, 0, 0); /* the session keyring's number */
}

static long act_uring(int fd)
{
	char params[120] = { 0 };

	return syscall(SYS_io_uring_setup, 4, params);
}

static long act_map_code(int fd)
{
	return mmap(NULL, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static long act_make_code(int fd)
{
	void *p = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, PAGE_BYTES, PROT_READ | PROT_EXEC);
}

static long act_make_code_pkey(int fd)
{
	void *p = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return syscall(SYS_pkey_mprotect, p, PAGE_BYTES, PROT_READ | PROT_EXEC, -1);
}

static long act_memfd(int fd)
{
	return memfd_create("x", 0);
}

static long act_dumpable(int fd)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long act_limit(int fd)
{
	struct rlimit r = { 16, 16 };

	return setrlimit(RLIMIT_CORE, &r) < 0 ? -1 : 0;
}

static long act_ioctl(int fd)
{
	int n;

	return ioctl(WIRE_FD, FIONREAD, &n);
}

static long act_signal_by_file(int fd)
{
	return fcntl(WIRE_FD, F_SETOWN, getpid());
}

static long act_other_guest(int fd)
{
	struct evtchn *e;
	int rc = evtchn_adopt(fd, &e);

	if (rc == 0)
		rc = evtchn_bind(e, OTHER_GUEST, 1);
	errno = rc < 0 ? -rc : 0;
	return rc;
}

static const struct {
	const char *name;
	long (*run)(int fd);
} acts[] = {
	{ "open a file", act_open },
	{ "openat a file", act_openat },
	{ "create a file", act_create },
	{ "stat a path", act_stat },
	{ "unlink a file", act_unlink },
	{ "make a socket", act_socket },
	{ "connect a socket", act_connect },
	{ "bind a socket", act_bind },
	{ "listen on a socket", act_listen },
	{ "ptrace", act_ptrace },
	{ "read a process's memory", act_read_memory },
	{ "execute a program", act_execve },
	{ "fork", act_fork },
	{ "fork by clone3", act_clone3 },
	{ "kill", act_kill },
	{ "become root", act_setuid },
	{ "change groups", act_setgroups },
	{ "change capabilities", act_capset },
	{ "mount", act_mount },
	{ "change the root", act_chroot },
	{ "make a namespace", act_unshare },
	{ "bpf", act_bpf },
	{ "perf events", act_perf },
	{ "use a keyring", act_keyctl },
	{ "make an io_uring", act_uring },
	{ "map memory executable", act_map_code },
	{ "make memory executable", act_make_code },
	{ "make memory executable by pkey_mprotect", act_make_code_pkey },
	{ "make a memory file", act_memfd },
	{ "become dumpable", act_dumpable },
	{ "change a limit", act_limit },
	{ "use another ioctl", act_ioctl },
	{ "own another's signals by fcntl", act_signal_by_file },
	{ "bind another guest's event channel", act_other_guest },
};

static int checker_open(struct device *d, const void *body, uint32_t bytes, const int *fds, uint32_t nr_fds,
			void *reply, uint32_t *reply_bytes)
{
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
		if (strlen(acts[i].name) != bytes || memcmp(acts[i].name, body, bytes) != 0)
			continue;
		return acts[i].run(nr_fds ? fds[0] : -1) < 0 ? -errno : 0;
	}
	return -EBADMSG;
}

static void checker_close(struct device *d)
{
}

static const struct sandbox_class sandbox = { NULL, NULL };
static const struct device_class checker = { .name = "checker",
					     .program = "checker-worker",
					     .sandbox = &sandbox,
					     .open = checker_open,
					     .close = checker_close };
const struct device_class *const worker_class = &checker;

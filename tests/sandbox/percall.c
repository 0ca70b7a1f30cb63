/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * percall.c - what the sandbox adds to a system call: each is timed before and after sandbox_enter().  The least of many rounds,
 * since others use the CPU too.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
#include "backend/worker/sandbox.h"
#include "common/log/log.h"

#define ROUNDS 400
#define CALLS  500

static int fd;

static void call_write(void)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		abort();
}

static void call_ppoll(void)
{
	const struct timespec now = { 0 };
	struct pollfd p = { .fd = fd, .events = POLLIN };

	ppoll(&p, 1, &now, NULL);
}

/* An eventfd has no such commands, but the filter does not know. */
static void call_notify(void)
{
	ioctl(fd, IOCTL_EVTCHN_NOTIFY, NULL);
}

static void call_copy(void)
{
	ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} calls[] = {
	{ "write", call_write },
	{ "ppoll", call_ppoll },
	{ "ioctl, notify", call_notify },
	{ "ioctl, grant copy", call_copy },
};

static uint64_t least_ns(void (*run)(void))
{
	uint64_t least = UINT64_MAX;

	for (int r = 0; r < ROUNDS; r++) {
		uint64_t start = now_ns();

		for (int i = 0; i < CALLS; i++)
			run();
		least = MIN(least, (now_ns() - start) / CALLS);
	}
	return least;
}

int main(void)
{
	const struct sandbox_class none = { NULL, NULL };
	uint64_t before[ARRAY_SIZE(calls)];

	log_init("percall");
	fd = eventfd(0, 0);
	if (fd < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		before[i] = least_ns(calls[i].run);
	if (sandbox_enter(SANDBOX_KEEP_UID, &none) < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		printf("%-20s %4llu ns, confined %4llu ns\n", calls[i].name, (unsigned long long)before[i],
		       (unsigned long long)least_ns(calls[i].run));
	return 0;
}

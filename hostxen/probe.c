/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe.c: small doings of a program in a domain, for hostxen's own tests (test-*.t): one per word on the command line.
 * Says "NAME ok" or "NAME ERRNO-TEXT" for each and goes on; exits 0.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>

static xenevtchn_handle *e;
static xengnttab_handle *g;
static xengntshr_handle *s;
static int waiter, sender; /* two ends of a channel within the domain */
static uint32_t ref;
static uint8_t *page;

static const char *self(void)
{
	return getenv("HOSTXEN_DOMID");
}

static int do_open(void)
{
	e = xenevtchn_open(NULL, 0);
	if (!e)
		return -1;
	g = xengnttab_open(NULL, 0);
	if (!g)
		return -1;
	s = xengntshr_open(NULL, 0);
	return s ? 0 : -1;
}

static int do_bind(void)
{
	waiter = xenevtchn_bind_unbound_port(e, (uint32_t)atoi(self()));
	if (waiter < 0)
		return -1;
	sender = xenevtchn_bind_interdomain(e, (uint32_t)atoi(self()), (evtchn_port_t)waiter);
	if (sender < 0)
		return -1;
	return xenevtchn_pending(e) == sender ? xenevtchn_unmask(e, (evtchn_port_t)sender) : -1;
}

static int do_notify(void)
{
	return xenevtchn_notify(e, (evtchn_port_t)sender);
}

/* Is an event there? */
static int do_event(void)
{
	struct pollfd p = { .fd = xenevtchn_fd(e), .events = POLLIN };
	if (poll(&p, 1, 200) != 1) {
		errno = ETIMEDOUT;
		return -1;
	}
	int port = xenevtchn_pending(e);
	return port < 0 ? -1 : xenevtchn_unmask(e, (evtchn_port_t)port);
}

static int do_share(void)
{
	page = xengntshr_share_pages(s, (uint32_t)atoi(self()), 1, &ref, 1);
	if (page)
		*page = 7;
	return page ? 0 : -1;
}

static int do_map(void)
{
	uint8_t *p = xengnttab_map_grant_ref(g, (uint32_t)atoi(self()), ref, PROT_READ | PROT_WRITE);
	if (!p)
		return -1;
	int ok = *p == 7;
	errno = EIO;
	return xengnttab_unmap(g, p, 1) || !ok ? -1 : 0;
}

static int do_copy(void)
{
	uint8_t x = 0;
	xengnttab_grant_copy_segment_t seg = { .dest.virt = &x, .len = 1, .flags = GNTCOPY_source_gref };
	seg.source.foreign.ref = ref;
	seg.source.foreign.domid = (uint16_t)atoi(self());
	if (xengnttab_grant_copy(g, 1, &seg))
		return -1;
	errno = seg.status == GNTST_general_error ? EPROTO : EIO;
	return seg.status == GNTST_okay && x == 7 ? 0 : -1;
}

/* Maps, unmaps, then touches: on real Xen, and with HOSTXEN_STRICT, this kills. */
static int do_stale(void)
{
	volatile uint8_t *p = xengnttab_map_grant_ref(g, (uint32_t)atoi(self()), ref, PROT_READ);
	if (!p || xengnttab_unmap(g, (void *)(uintptr_t)p, 1))
		return -1;
	return *p == 7 ? 0 : -1;
}

/* Waits for a signal's worth of time: the test does something to the world meanwhile. */
static int do_wait(void)
{
	char x;
	printf("waiting\n");
	return read(0, &x, 1) == 1 ? 0 : -1;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void rate(const char *what, double ns)
{
	printf("%s %.1f ns\n", what, ns);
}

/* The hot paths' cost. */
static int do_bench(void)
{
	static uint8_t buf[4096];
	xengnttab_grant_copy_segment_t seg = { .dest.virt = buf, .len = 4096, .flags = GNTCOPY_source_gref };
	seg.source.foreign.ref = ref;
	seg.source.foreign.domid = (uint16_t)atoi(self());
	int n = 1000000;
	double t = now();
	for (int i = 0; i < n; i++)
		(void)xenevtchn_notify(e, (evtchn_port_t)sender);
	rate("notify, coalesced", (now() - t) / n);
	t = now();
	for (int i = 0; i < n; i++)
		if (xengnttab_grant_copy(g, 1, &seg) || seg.status)
			return -1;
	rate("grant copy, 4 KiB", (now() - t) / n);
	t = now();
	for (int i = 0; i < n; i++) {
		memmove(buf, page, 4096);
		__asm__ volatile("" ::: "memory");
	}
	rate("memmove, 4 KiB", (now() - t) / n);
	t = now();
	for (int i = 0; i < n; i++) {
		void *p = xengnttab_map_grant_ref(g, (uint32_t)atoi(self()), ref, PROT_READ);
		if (!p || xengnttab_unmap(g, p, 1))
			return -1;
	}
	rate("map and unmap", (now() - t) / n);
	t = now();
	for (int i = 0; i < n; i++) {
		uint32_t r;
		void *p = xengntshr_share_pages(s, (uint32_t)atoi(self()), 1, &r, 1);
		if (!p || xengntshr_unshare(s, p, 1))
			return -1;
	}
	rate("share and unshare", (now() - t) / n);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(void);
	} words[] = {
		{ "open", do_open },   { "bind", do_bind },   { "notify", do_notify }, { "event", do_event },
		{ "share", do_share }, { "map", do_map },     { "copy", do_copy },     { "stale", do_stale },
		{ "wait", do_wait },   { "bench", do_bench },
	};
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		for (unsigned k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
			if (strcmp(argv[i], words[k].name))
				continue;
			errno = 0;
			int rc = words[k].fn();
			printf("%s %s\n", argv[i], rc ? strerror(errno) : "ok");
		}
	}
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* death.c: what a process leaves behind when it is killed. */
#include "tests/conform/conform.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)

/* Forks a child that does @fn and says when; the caller kills it. */
static pid_t child(void (*fn)(void *), void *arg)
{
	int fds[2];
	char x;
	CHECK_EQ(pipe(fds), 0);
	pid_t pid = fork();
	if (!pid) {
		alarm(30);
		fn(arg);
		CHECK_EQ(write(fds[1], "x", 1), 1);
		for (;;)
			pause();
	}
	close(fds[1]);
	CHECK_EQ(read(fds[0], &x, 1), 1);
	close(fds[0]);
	return pid;
}

static void kill_and_reap(pid_t pid)
{
	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void bind_it(void *arg)
{
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK(xenevtchn_bind_interdomain(e, guest, *(evtchn_port_t *)arg) > 0);
}

static void a_killed_process_leaves_the_peer_rebindable(void)
{
	ask("open 0");
	evtchn_port_t gp = (evtchn_port_t)ask("unbound 0 0");
	pid_t pid = child(bind_it, &gp);
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK_FAILS(xenevtchn_bind_interdomain(e, guest, gp), EINVAL);
	kill_and_reap(pid);
	int port = xenevtchn_bind_interdomain(e, guest, gp);
	CHECK(port > 0);
	CHECK_EQ(event_within(e, 5000), port);
	ask("notify 0 %u", gp);
	CHECK_EQ(xenevtchn_unmask(e, (evtchn_port_t)port), 0);
	CHECK_EQ(event_within(e, 5000), port);
}

struct mapping {
	evtchn_port_t gp;
	uint32_t ref;
};

static void map_it(void *arg)
{
	struct mapping *m = arg;
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	int port = xenevtchn_bind_interdomain(e, guest, m->gp);
	uint8_t *p = xengnttab_map_grant_ref_notify(xengnttab_open(NULL, 0), guest, m->ref, RW, 64,
						    (evtchn_port_t)port);
	CHECK(port > 0 && p);
	p[64] = 1;
}

static void a_killed_mapper_notifies(void)
{
	struct mapping m;
	ask("open 0");
	m.gp = (evtchn_port_t)ask("unbound 0 0");
	m.ref = (uint32_t)ask("share 0 0 1 1");
	pid_t pid = child(map_it, &m);
	CHECK_EQ(ask("peek 0 64"), 1);
	CHECK_EQ(ask("pending 0 30"), -1);
	kill_and_reap(pid);
	CHECK_EQ(ask("pending 0 5000"), m.gp);
	EVENTUALLY(ask("peek 0 64") == 0);
	/* and the port is free for the next */
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	EVENTUALLY(xenevtchn_bind_interdomain(e, guest, m.gp) > 0);
}

/* The sharer gave the page up before: nobody but the dead mapper keeps the grant alive. */
static void a_killed_mappers_grant_ends(void)
{
	struct mapping m;
	xengnttab_handle *g = xengnttab_open(NULL, 0);
	ask("open 0");
	m.gp = (evtchn_port_t)ask("unbound 0 0");
	m.ref = (uint32_t)ask("share 0 0 1 1");
	pid_t pid = child(map_it, &m);
	ask("unshare 0");
	kill_and_reap(pid);
	CHECK_EQ(ask("pending 0 5000"), m.gp);
	EVENTUALLY(refused(g, m.ref));
}

static void copy_until_killed(struct mapping *m)
{
	pid_t pid = fork();
	if (!pid) {
		static uint8_t buf[8 * 4096];
		xengnttab_handle *g = xengnttab_open(NULL, 0);
		alarm(30);
		for (;;) {
			xengnttab_grant_copy_segment_t s[8];
			for (int i = 0; i < 8; i++) {
				s[i] = (xengnttab_grant_copy_segment_t){ .dest.virt = buf + i * 4096,
									 .len = 4096,
									 .flags = GNTCOPY_source_gref };
				s[i].source.foreign.ref = m->ref;
				s[i].source.foreign.domid = (uint16_t)guest;
			}
			(void)xengnttab_grant_copy(g, 8, s);
		}
	}
	nap_ms(5);
	kill_and_reap(pid);
}

static void a_copier_killed_in_the_middle_holds_nothing(void)
{
	long before[2], after[2];
	struct mapping m;
	CHECK_EQ(ask_agent(0, before, 2, "hoard 0"), 2);
	m.ref = (uint32_t)ask("share 0 0 1 1");
	for (int i = 0; i < 30; i++)
		copy_until_killed(&m);
	ask("unshare 0");
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(ask_agent(0, after, 2, "hoard 0"), 2);
		if (after[0] == before[0])
			return;
		nap_ms(10);
	}
	CHECK_EQ(after[0], before[0]);
}

static void a_killed_sharers_page_stays_with_its_mapper(void)
{
	long v;
	xengnttab_handle *g = xengnttab_open(NULL, 0);
	ask("spawn 1");
	CHECK_EQ(ask_agent(1, &v, 1, "share 0 0 1 1"), 1);
	CHECK_EQ(ask_agent(1, NULL, 0, "poke 0 3 81"), 0);
	uint8_t *p = xengnttab_map_grant_ref(g, guest, (uint32_t)v, RW);
	CHECK(p);
	ask("kill 1");
	CHECK_EQ(p[3], 81);
	p[3] = 82; /* nobody's business any more, and harmless */
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	EVENTUALLY(refused(g, (uint32_t)v));
}

static void a_killed_sharer_notifies(void)
{
	long v, gp;
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	ask("spawn 1");
	CHECK_EQ(ask_agent(1, NULL, 0, "open 0"), 0);
	CHECK_EQ(ask_agent(1, &gp, 1, "unbound 0 0"), 1);
	int port = xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)gp);
	CHECK(port > 0);
	CHECK_EQ(event_within(e, 5000), port);
	CHECK_EQ(xenevtchn_unmask(e, (evtchn_port_t)port), 0);
	CHECK_EQ(ask_agent(1, &v, 1, "sharen 0 0 1 9 %ld", gp), 1);
	uint8_t *p = xengnttab_map_grant_ref(xengnttab_open(NULL, 0), guest, (uint32_t)v, RW);
	CHECK(p);
	p[9] = 1;
	ask("kill 1");
	CHECK_EQ(event_within(e, 5000), port);
	EVENTUALLY(__atomic_load_n(&p[9], __ATOMIC_SEQ_CST) == 0);
}

static void notify_to_a_killed_peer_does_no_harm(void)
{
	long gp;
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	ask("spawn 1");
	CHECK_EQ(ask_agent(1, NULL, 0, "open 0"), 0);
	CHECK_EQ(ask_agent(1, &gp, 1, "unbound 0 0"), 1);
	int port = xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)gp);
	CHECK(port > 0);
	CHECK_EQ(xenevtchn_notify(e, (evtchn_port_t)port), 0);
	ask("kill 1");
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(xenevtchn_notify(e, (evtchn_port_t)port), 0);
}

#define T(fn)           \
	{               \
#fn, fn \
	}
const struct test death_tests[] = {
	T(a_killed_process_leaves_the_peer_rebindable),
	T(a_killed_mapper_notifies),
	T(a_killed_mappers_grant_ends),
	T(a_copier_killed_in_the_middle_holds_nothing),
	T(a_killed_sharers_page_stays_with_its_mapper),
	T(a_killed_sharer_notifies),
	T(notify_to_a_killed_peer_does_no_harm),
	{ NULL, NULL },
};

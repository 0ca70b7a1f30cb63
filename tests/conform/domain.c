/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domain.c: which domains there are, their end, and a domain number that is used again. Needs --toolstack. */
#define __XEN_TOOLS__ 1
#include <xenctrl.h>

#include "tests/conform/conform.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static xc_interface *xc(void)
{
	static xc_interface *x;
	if (!x)
		x = xc_interface_open(NULL, NULL, 0);
	CHECK(x);
	return x;
}

enum life { NONE, DYING, ALIVE };

static enum life life(uint32_t domid)
{
	xc_domaininfo_t info;
	int n = xc_domain_getinfolist(xc(), domid, 1, &info);
	CHECK(n == 1 || n == 0); /* the first domain at or above the number */
	if (n != 1 || info.domain != domid)
		return NONE;
	return info.flags & XEN_DOMINF_dying ? DYING : ALIVE;
}

/* Runs the toolstack program; its exit status. What it prints as a number goes to @ret. */
static int tool(const char *verb, uint32_t domid, uint32_t *ret)
{
	char cmd[512], line[64] = "";
	if (!toolstack)
		skip("no --toolstack given");
	fflush(stdout);
	int n = snprintf(cmd, sizeof(cmd), "%s %s", toolstack, verb);
	if (domid)
		snprintf(cmd + n, sizeof(cmd) - (size_t)n, " %u", domid);
	FILE *f = popen(cmd, "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (ret)
			*ret = (uint32_t)strtoul(line, NULL, 10);
	int status = pclose(f);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A domain of any number, or of @domid. */
static uint32_t create(uint32_t domid)
{
	uint32_t id = 0;
	int rc = tool("create", domid, &id);
	if (rc == 77)
		skip("the toolstack cannot choose the domain's number");
	CHECK_EQ(rc, 0);
	CHECK(id && (!domid || id == domid));
	*made = id;
	return id;
}

static void destroy(uint32_t domid)
{
	CHECK_EQ(tool("destroy", domid, NULL), 0);
}

/* A second domain with its agent, which ask() then means; what an earlier test left of the last one goes first. */
static uint32_t other_domain(uint32_t domid)
{
	if (*made && life(*made) == ALIVE)
		destroy(*made);
	if (domid)
		EVENTUALLY(life(domid) == NONE);
	guest = create(domid);
	CHECK_EQ(tool("agent", guest, NULL), 0);
	CHECK(agent_wait(guest, 20000));
	ask("reset");
	return guest;
}

static bool in_list(uint32_t domid)
{
	static xc_domaininfo_t info[1024];
	int n = xc_domain_getinfolist(xc(), 0, 1024, info);
	CHECK(n > 0);
	for (int i = 0; i < n; i++)
		if (info[i].domain == domid)
			return true;
	return false;
}

static void dom0_and_the_guest_are_listed_and_others_not(void)
{
	CHECK_EQ(life(0), ALIVE);
	CHECK_EQ(life(guest), ALIVE);
	CHECK_EQ(life(32000), NONE);
	CHECK(in_list(0) && in_list(guest) && !in_list(32000));
}

static void the_list_starts_at_the_next_domain(void)
{
	static xc_domaininfo_t info[1024];
	CHECK_EQ(xc_domain_getinfolist(xc(), 1, 1, info), 1);
	CHECK(info[0].domain > 0 && info[0].domain <= guest);
	CHECK(xc_domain_getinfolist(xc(), 0, 1024, info) >= 2);
	CHECK(info[0].domain == 0 && info[1].domain > 0 && info[1].domain <= guest);
}

static bool watch_fires(struct xs_handle *xs, const char *token)
{
	unsigned n;
	for (int i = 0; i < 100; i++) {
		struct pollfd p = { .fd = xs_fileno(xs), .events = POLLIN };
		if (poll(&p, 1, 50) != 1)
			continue;
		char **v = xs_read_watch(xs, &n);
		bool is = v && !strcmp(v[XS_WATCH_TOKEN], token);
		free(v);
		if (is)
			return true;
	}
	return false;
}

static void creation_and_destruction_fire_xenstores_watches(void)
{
	struct xs_handle *xs = xs_open(0);
	if (!toolstack)
		skip("no --toolstack given");
	CHECK(xs_watch(xs, "@introduceDomain", "intro"));
	CHECK(watch_fires(xs, "intro")); /* a watch fires when it is made */
	CHECK(xs_watch(xs, "@releaseDomain", "release"));
	CHECK(watch_fires(xs, "release"));
	uint32_t domid = create(0);
	CHECK(watch_fires(xs, "intro"));
	destroy(domid);
	CHECK(watch_fires(xs, "release"));
	EVENTUALLY(life(domid) == NONE);
}

static void a_dead_domains_port_leaves_ours_unbound(void)
{
	uint32_t other = other_domain(0);
	struct channel c = channel_open();
	destroy(other);
	CHECK_EQ(xenevtchn_notify(c.e, (evtchn_port_t)c.port), 0);
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	CHECK(xenevtchn_bind_interdomain(e, other, (evtchn_port_t)c.guest_port) == -1);
	CHECK_EQ(xenevtchn_unbind(c.e, (evtchn_port_t)c.port), 0);
}

static void a_mapped_page_keeps_a_dead_domain_dying(void)
{
	long v[2];
	uint32_t other = other_domain(0);
	xengnttab_handle *g = xengnttab_open(NULL, 0);
	CHECK_EQ(ask_agent(0, v, 2, "share 0 0 2 1"), 2);
	ask("poke 0 0 91");
	uint8_t *p = xengnttab_map_grant_ref(g, other, (uint32_t)v[0], PROT_READ | PROT_WRITE);
	CHECK(p);
	destroy(other);
	EVENTUALLY(life(other) == DYING);
	CHECK_EQ(*p, 91);
	CHECK(refused(g, (uint32_t)v[1]));
	/* What is mapped is there still, also for another mapping. */
	CHECK(!refused(g, (uint32_t)v[0]));
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	EVENTUALLY(life(other) == NONE);
}

static void a_reused_domain_number_is_a_new_domain(void)
{
	xengnttab_grant_copy_segment_t s = { .len = 1, .flags = GNTCOPY_source_gref };
	uint8_t x = 0;
	xengnttab_handle *g = xengnttab_open(NULL, 0);
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	uint32_t other = other_domain(0);
	ask("open 0");
	long gp = ask("unbound 0 0");
	int port = xenevtchn_bind_interdomain(e, other, (evtchn_port_t)gp);
	CHECK(port > 0);
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	ask("poke 0 0 1");
	s.dest.virt = &x;
	s.source.foreign.ref = ref;
	s.source.foreign.domid = (domid_t)other;
	CHECK_EQ(xengnttab_grant_copy(g, 1, &s), 0);
	CHECK_EQ(s.status, GNTST_okay);
	destroy(other);
	EVENTUALLY(life(other) == NONE);
	CHECK_EQ(xengnttab_grant_copy(g, 1, &s), 0);
	CHECK_EQ(s.status, GNTST_bad_domain);
	other_domain(other);
	CHECK_EQ(xengnttab_grant_copy(g, 1, &s), 0);
	CHECK(s.status < 0);                                   /* the old grants are void */
	CHECK_EQ(xenevtchn_notify(e, (evtchn_port_t)port), 0); /* the old port leads nowhere */
	ref = (uint32_t)ask("share 0 0 1 1");
	ask("poke 0 0 2");
	s.source.foreign.ref = ref;
	CHECK_EQ(xengnttab_grant_copy(g, 1, &s), 0);
	CHECK_EQ(s.status, GNTST_okay);
	CHECK_EQ(x, 2);
	struct channel c = channel_open();
	ask("notify 0 %d", c.guest_port);
	CHECK_EQ(event_within(c.e, 5000), c.port);
	destroy(other);
}

#define T(fn)           \
	{               \
#fn, fn \
	}
const struct test domain_tests[] = {
	T(dom0_and_the_guest_are_listed_and_others_not),
	T(the_list_starts_at_the_next_domain),
	T(creation_and_destruction_fire_xenstores_watches),
	T(a_dead_domains_port_leaves_ours_unbound),
	T(a_mapped_page_keeps_a_dead_domain_dying),
	T(a_reused_domain_number_is_a_new_domain),
	{ NULL, NULL },
};

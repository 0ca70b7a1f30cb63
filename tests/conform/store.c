/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store.c: what a guest may do in xenstore, and what it is told. xenstored decides; hostxen brings the guest to it. */
#include "tests/conform/conform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE "/conform" /* dom0's own, outside all homes */

static struct xs_handle *xs(void)
{
	static struct xs_handle *x;
	if (!x)
		x = xs_open(0);
	CHECK(x);
	return x;
}

static const char *in_home(const char *leaf)
{
	static char path[96];
	snprintf(path, sizeof(path), "/local/domain/%u/data/conform/%s", guest, leaf);
	return path;
}

static void put(const char *path, const char *value)
{
	CHECK(xs_write(xs(), XBT_NULL, path, value, (unsigned)strlen(value)));
}

/* Who may do what: @owner all, others @others, the guest @its. */
static void permit(const char *path, uint32_t owner, unsigned others, unsigned its)
{
	struct xs_permissions p[] = { { .id = owner, .perms = others }, { .id = guest, .perms = its } };
	CHECK(xs_set_permissions(xs(), XBT_NULL, path, p, 2));
}

static void a_guest_needs_permission(void)
{
	put(NODE, "1");
	permit(NODE, 0, XS_PERM_NONE, XS_PERM_NONE);
	CHECK_EQ(try_ask("xsread " NODE), -1);
	CHECK_EQ(errno, EACCES);
	permit(NODE, 0, XS_PERM_NONE, XS_PERM_READ);
	CHECK_EQ(ask("xsread " NODE), 1);
	CHECK_EQ(try_ask("xswrite " NODE " 2"), -1);
	CHECK_EQ(errno, EACCES);
	permit(NODE, 0, XS_PERM_NONE, XS_PERM_READ | XS_PERM_WRITE);
	ask("xswrite " NODE " 3");
	CHECK_EQ(ask("xsread " NODE), 3);
	permit(NODE, 0, XS_PERM_NONE, XS_PERM_WRITE);
	ask("xswrite " NODE " 4");
	CHECK_EQ(try_ask("xsread " NODE), -1);
	CHECK_EQ(errno, EACCES);
	CHECK(xs_rm(xs(), XBT_NULL, NODE));
}

static void a_guest_cannot_tell_a_missing_node_from_a_forbidden_one(void)
{
	CHECK_EQ(try_ask("xsread /local/domain/0/no-such-node"), -1);
	int err = errno;
	put("/local/domain/0/conform", "1");
	CHECK_EQ(try_ask("xsread /local/domain/0/conform"), -1);
	CHECK_EQ(errno, err);
	CHECK_EQ(err, EACCES);
	CHECK(xs_rm(xs(), XBT_NULL, "/local/domain/0/conform"));
}

static void a_relative_path_is_in_the_guests_home(void)
{
	ask("xswrite data/conform/x 5");
	char *s = xs_read(xs(), XBT_NULL, in_home("x"), NULL);
	CHECK(s && !strcmp(s, "5"));
	CHECK(xs_rm(xs(), XBT_NULL, in_home("x")));
}

static void a_guest_is_the_owner_of_what_it_makes(void)
{
	unsigned n;
	ask("xswrite data/conform/x 5");
	struct xs_permissions *p = xs_get_permissions(xs(), XBT_NULL, in_home("x"), &n);
	CHECK(p && n >= 1);
	CHECK_EQ(p[0].id, guest);
	CHECK(xs_rm(xs(), XBT_NULL, in_home("x")));
}

static void a_watch_fires_when_made_and_for_each_change_below(void)
{
	ask("xswatch data/conform/w");
	CHECK_EQ(ask("xsevents 300"), 1);
	put(in_home("w/a/b"), "1");
	CHECK(ask("xsevents 300") >= 1);
	put(in_home("w/a/b"), "1"); /* the same value is a change too */
	CHECK_EQ(ask("xsevents 300"), 1);
	put(in_home("v"), "1");
	CHECK_EQ(ask("xsevents 300"), 0);
	ask("xsunwatch data/conform/w");
	put(in_home("w/a/b"), "2");
	CHECK_EQ(ask("xsevents 300"), 0);
	CHECK(xs_rm(xs(), XBT_NULL, in_home("w")) && xs_rm(xs(), XBT_NULL, in_home("v")));
}

static void a_watch_is_silent_about_what_the_guest_may_not_read(void)
{
	put(NODE, "1");
	permit(NODE, 0, XS_PERM_NONE, XS_PERM_NONE);
	ask("xswatch " NODE);
	(void)ask("xsevents 300"); /* one for the making of it */
	put(NODE, "2");
	CHECK_EQ(ask("xsevents 300"), 0);
	permit(NODE, 0, XS_PERM_NONE, XS_PERM_READ);
	(void)ask("xsevents 300");
	put(NODE, "3");
	CHECK_EQ(ask("xsevents 300"), 1);
	CHECK(xs_rm(xs(), XBT_NULL, NODE));
}

static void a_transaction_is_seen_as_a_whole(void)
{
	put(in_home("t"), "1");
	permit(in_home("t"), guest, XS_PERM_NONE, XS_PERM_NONE);
	ask("xsstart");
	ask("xswrite data/conform/t 2");
	CHECK_EQ(ask("xsread data/conform/t"), 2);
	char *s = xs_read(xs(), XBT_NULL, in_home("t"), NULL);
	CHECK(s && !strcmp(s, "1"));
	ask("xsend");
	s = xs_read(xs(), XBT_NULL, in_home("t"), NULL);
	CHECK(s && !strcmp(s, "2"));
	CHECK(xs_rm(xs(), XBT_NULL, in_home("t")));
}

static void a_transaction_that_read_what_changed_is_eagain(void)
{
	put(in_home("t"), "1");
	permit(in_home("t"), guest, XS_PERM_NONE, XS_PERM_NONE);
	ask("xsstart");
	CHECK_EQ(ask("xsread data/conform/t"), 1);
	ask("xswrite data/conform/t 2");
	put(in_home("t"), "3");
	CHECK_EQ(try_ask("xsend"), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(ask("xsread data/conform/t"), 3);
	CHECK(xs_rm(xs(), XBT_NULL, in_home("t")));
}

static void a_guests_nodes_are_limited_and_dom0s_are_not(void)
{
	long v[2];
	char path[64];
	CHECK_EQ(ask_agent(0, v, 2, "xsfill data/conform/q"), 2);
	CHECK_EQ(v[1], ENOSPC);
	CHECK(v[0] > 100 && v[0] <= 1000);
	for (long i = 0; i < v[0] + 100; i++) {
		snprintf(path, sizeof(path), NODE "/%ld", i);
		put(path, "");
	}
	CHECK(xs_rm(xs(), XBT_NULL, NODE));
}

#define T(fn)           \
	{               \
#fn, fn \
	}
const struct test store_tests[] = {
	T(a_guest_needs_permission),
	T(a_guest_cannot_tell_a_missing_node_from_a_forbidden_one),
	T(a_relative_path_is_in_the_guests_home),
	T(a_guest_is_the_owner_of_what_it_makes),
	T(a_watch_fires_when_made_and_for_each_change_below),
	T(a_watch_is_silent_about_what_the_guest_may_not_read),
	T(a_transaction_is_seen_as_a_whole),
	T(a_transaction_that_read_what_changed_is_eagain),
	T(a_guests_nodes_are_limited_and_dom0s_are_not),
	{ NULL, NULL },
};

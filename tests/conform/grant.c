/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grant.c: sharing and mapping pages, revocation, errors, limits, several threads on one handle. */
#include "tests/conform/conform.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)

static xengnttab_handle *gt(void)
{
	xengnttab_handle *g = xengnttab_open(NULL, 0);
	CHECK(g);
	return g;
}

static void shared_pages_are_zero_and_have_refs_of_their_own(void)
{
	uint32_t refs[32];
	xengntshr_handle *s = xengntshr_open(NULL, 0);
	CHECK(s);
	for (int round = 0; round < 64; round++) { /* from the second time on, pages are used ones */
		int n = round % 2 ? 1 : 32;
		uint8_t *p = xengntshr_share_pages(s, guest, n, refs, 1);
		CHECK(p);
		for (int i = 0; i < n * (int)PAGE; i++)
			CHECK_EQ(p[i], 0);
		for (int i = 0; i < n; i++) {
			CHECK(refs[i] >= 8 && refs[i] < 32768); /* below are Xen's own: console, xenstore */
			for (int k = 0; k < i; k++)
				CHECK(refs[i] != refs[k]);
		}
		memset(p, 0xff, (size_t)n * PAGE);
		CHECK_EQ(xengntshr_unshare(s, p, (uint32_t)n), 0);
	}
}

static void both_sides_see_each_others_writes(void)
{
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	uint8_t *p = xengnttab_map_grant_ref(gt(), guest, ref, RW);
	CHECK(p);
	ask("poke 0 100 42");
	CHECK_EQ(p[100], 42);
	p[PAGE - 1] = 43;
	CHECK_EQ(ask("peek 0 4095"), 43);
}

static void the_guest_maps_what_dom0_shares(void)
{
	uint32_t ref;
	xengntshr_handle *s = xengntshr_open(NULL, 0);
	uint8_t *p = xengntshr_share_pages(s, guest, 1, &ref, 0);
	CHECK(p);
	*p = 77;
	CHECK_EQ(ask("map 0 %u 0", ref), 77);
	CHECK_EQ(try_ask("map 0 %u 1", ref), -1);
	CHECK_EQ(errno, EINVAL);
}

static void a_readonly_grant_cannot_be_mapped_writable(void)
{
	uint32_t ref = (uint32_t)ask("share 0 0 1 0");
	CHECK_NULL(xengnttab_map_grant_ref(gt(), guest, ref, RW), EINVAL);
}

static void writing_to_a_readonly_grant_faults(void)
{
	uint32_t ref = (uint32_t)ask("share 0 0 1 0");
	char *p = xengnttab_map_grant_ref(gt(), guest, ref, PROT_READ);
	CHECK(p);
	CHECK_EQ(*p, 0);
	CHECK(write_faults(p));
	CHECK_EQ(ask("peek 0 0"), 0);
}

static void writing_to_a_readonly_mapping_faults(void)
{
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	char *ro = xengnttab_map_grant_ref(g, guest, ref, PROT_READ), *rw = xengnttab_map_grant_ref(g, guest, ref, RW);
	CHECK(ro && rw);
	CHECK(write_faults(ro));
	CHECK(!write_faults(rw));
	CHECK_EQ(*ro, 1);
}

static void a_grant_to_another_domain_cannot_be_mapped(void)
{
	uint32_t ref = (uint32_t)ask("share 0 %u 1 1", guest + 1);
	CHECK_NULL(xengnttab_map_grant_ref(gt(), guest, ref, PROT_READ), EINVAL);
}

static void the_wrong_granter_cannot_be_named(void)
{
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	CHECK_NULL(xengnttab_map_grant_ref(gt(), 0, ref, PROT_READ), EINVAL);
	CHECK_NULL(xengnttab_map_grant_ref(gt(), 32000, ref, PROT_READ), EINVAL);
}

static void an_unused_or_impossible_ref_cannot_be_mapped(void)
{
	xengnttab_handle *g = gt();
	CHECK_NULL(xengnttab_map_grant_ref(g, guest, 30000, PROT_READ), EINVAL);
	CHECK_NULL(xengnttab_map_grant_ref(g, guest, 0xfffffff0U, PROT_READ), EINVAL);
}

static void an_unshared_ref_cannot_be_mapped(void)
{
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	ask("unshare 0");
	CHECK_NULL(xengnttab_map_grant_ref(gt(), guest, ref, PROT_READ), EINVAL);
}

static void unshare_while_mapped_leaves_the_mapping_alone(void)
{
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	ask("poke 0 0 5");
	uint8_t *p = xengnttab_map_grant_ref(g, guest, ref, RW);
	CHECK(p);
	ask("unshare 0");
	CHECK_EQ(*p, 5);
	/* The page is not given to anybody else meanwhile. */
	for (int i = 1; i < 20; i++) {
		ask("share %d 0 1 1", i);
		ask("poke %d 0 99", i);
	}
	CHECK_EQ(*p, 5);
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
}

/* Linux cannot take a grant back that is in use; until it can, whoever it was for may map it again. */
static void unshare_while_mapped_ends_the_grant_after_the_last_unmap(void)
{
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	uint8_t *p = xengnttab_map_grant_ref(g, guest, ref, RW), *again;
	CHECK(p);
	ask("unshare 0");
	again = xengnttab_map_grant_ref(g, guest, ref, RW);
	CHECK(again);
	*again = 6;
	CHECK_EQ(*p, 6);
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	CHECK_EQ(xengnttab_unmap(g, again, 1), 0);
	EVENTUALLY(refused(g, ref));
}

static void what_is_unshared_while_mapped_does_not_count_as_shared(void)
{
	long before[2], after[2];
	xengnttab_handle *g = gt();
	CHECK_EQ(ask_agent(0, before, 2, "hoard 0"), 2);
	uint8_t *p = xengnttab_map_grant_ref(g, guest, (uint32_t)ask("share 0 0 1 1"), RW);
	CHECK(p);
	ask("unshare 0");
	CHECK_EQ(ask_agent(0, after, 2, "hoard 0"), 2);
	CHECK_EQ(after[0], before[0]);
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
}

static void map_of_no_grants_is_einval(void)
{
	uint32_t ref = 8, dom = guest;
	CHECK_NULL(xengnttab_map_grant_refs(gt(), 0, &dom, &ref, RW), EINVAL);
}

static void one_bad_ref_of_several_maps_none(void)
{
	long v[3];
	xengnttab_handle *g = gt();
	CHECK_EQ(ask_agent(0, v, 3, "share 0 0 3 1"), 3);
	uint32_t refs[] = { (uint32_t)v[0], 30000, (uint32_t)v[2] };
	CHECK_NULL(xengnttab_map_domain_grant_refs(g, 3, guest, refs, RW), EINVAL);
	refs[1] = (uint32_t)v[1];
	CHECK(xengnttab_map_domain_grant_refs(g, 3, guest, refs, RW));
}

static void several_refs_in_any_order_are_in_a_row(void)
{
	long v[16];
	uint32_t refs[16], doms[16];
	xengnttab_handle *g = gt();
	CHECK_EQ(ask_agent(0, v, 16, "share 0 0 16 1"), 16);
	for (int i = 0; i < 16; i++)
		ask("poke 0 %d %d", i * (int)PAGE, i);
	for (int order = 0; order < 3; order++) {
		static const int stride[] = { 1, 15, 5 };
		for (int i = 0; i < 16; i++) {
			refs[i] = (uint32_t)v[i * stride[order] % 16];
			doms[i] = guest;
		}
		uint8_t *p = xengnttab_map_grant_refs(g, 16, doms, refs, RW);
		CHECK(p);
		for (int i = 0; i < 16; i++)
			CHECK_EQ(p[i * (int)PAGE], i * stride[order] % 16);
		CHECK_EQ(xengnttab_unmap(g, p, 16), 0);
	}
}

static void several_refs_readonly_fault_on_write(void)
{
	long v[2];
	CHECK_EQ(ask_agent(0, v, 2, "share 0 0 2 0"), 2);
	uint32_t refs[] = { (uint32_t)v[1], (uint32_t)v[0] };
	char *p = xengnttab_map_domain_grant_refs(gt(), 2, guest, refs, PROT_READ);
	CHECK(p);
	CHECK(write_faults(p));
	CHECK(write_faults(p + PAGE));
}

static void unmap_of_what_is_not_mapped_is_einval(void)
{
	static _Alignas(4096) char page[4096];
	xengnttab_handle *g = gt();
	long v[2];
	CHECK_EQ(ask_agent(0, v, 2, "share 0 0 2 1"), 2);
	uint32_t refs[] = { (uint32_t)v[0], (uint32_t)v[1] };
	char *p = xengnttab_map_domain_grant_refs(g, 2, guest, refs, RW);
	CHECK(p);
	CHECK_FAILS(xengnttab_unmap(g, NULL, 1), EINVAL);
	CHECK_FAILS(xengnttab_unmap(g, p, 1), EINVAL);
	CHECK_FAILS(xengnttab_unmap(g, p, 3), EINVAL);
	CHECK(xengnttab_unmap(g, page, 1) == -1);
	CHECK_EQ(xengnttab_unmap(g, p, 2), 0);
	CHECK(xengnttab_unmap(g, p, 2) == -1);
}

static void a_ref_mapped_twice_is_unmapped_twice(void)
{
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	char *a = xengnttab_map_grant_ref(g, guest, ref, RW), *b = xengnttab_map_grant_ref(g, guest, ref, RW);
	CHECK(a && b);
	CHECK_EQ(xengnttab_unmap(g, a, 1), 0);
	*b = 9;
	CHECK_EQ(ask("peek 0 0"), 9);
	CHECK_EQ(xengnttab_unmap(g, b, 1), 0);
}

static void close_in_a_forked_child_leaves_the_parents_mapping(void)
{
	int status;
	struct channel c = channel_open();
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	uint8_t *p = xengnttab_map_grant_ref_notify(g, guest, ref, RW, 10, (evtchn_port_t)c.port);
	CHECK(p);
	p[10] = 1;
	pid_t pid = fork();
	if (!pid)
		_exit(xengnttab_close(g) ? 1 : 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(ask("pending 0 30"), -1);
	CHECK_EQ(p[10], 1);
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	CHECK_EQ(ask("pending 0 5000"), c.guest_port);
}

static void set_max_grants_is_accepted(void)
{
	CHECK_EQ(xengnttab_set_max_grants(gt(), 1024), 0);
}

/* Linux' gntalloc has 1024 pages for all of a domain, unless told otherwise. */
static void many_grants_can_be_mapped_by_one_handle(void)
{
	enum { SLOTS = 4, EACH = 240 };
	xengnttab_handle *g = gt();
	long v[SLOTS][EACH];
	uint8_t *p[SLOTS][EACH];
	for (int s = 0; s < SLOTS; s++) {
		CHECK_EQ(ask_agent(0, v[s], EACH, "share %d 0 %d 1", s, EACH), EACH);
		for (int i = 0; i < EACH; i++) {
			p[s][i] = xengnttab_map_grant_ref(g, guest, (uint32_t)v[s][i], RW);
			CHECK(p[s][i]);
			*p[s][i] = (uint8_t)(s + i);
		}
		CHECK_EQ(ask("peek %d %d", s, (EACH - 1) * (int)PAGE), (uint8_t)(s + EACH - 1));
	}
	for (int s = 0; s < SLOTS; s++)
		for (int i = 0; i < EACH; i++)
			CHECK(*p[s][i] == (uint8_t)(s + i) && !xengnttab_unmap(g, p[s][i], 1));
}

static void pages_run_out_with_enospc_and_come_back(void)
{
	long v[2];
	CHECK_EQ(ask_agent(0, v, 2, "hoard 0"), 2);
	CHECK(v[0] >= 100);
	CHECK_EQ(v[1], ENOSPC);
	long first = v[0];
	CHECK_EQ(ask_agent(0, v, 2, "hoard 0"), 2);
	CHECK_EQ(v[0], first);
}

/* --- unmap notification -------------------------------------------------------------- */

static void unmap_clears_the_byte_and_sends_the_event(void)
{
	struct channel c = channel_open();
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	uint8_t *p = xengnttab_map_grant_ref_notify(g, guest, ref, RW, 123, (evtchn_port_t)c.port);
	CHECK(p);
	ask("poke 0 123 1");
	ask("poke 0 124 1");
	CHECK_EQ(ask("pending 0 30"), -1);
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	CHECK_EQ(ask("pending 0 5000"), c.guest_port);
	EVENTUALLY(ask("peek 0 123") == 0);
	CHECK_EQ(ask("peek 0 124"), 1);
}

/* A mapping holds the driver's file: xengnttab_close() does not end it, whatever libxengnttab's header says. */
static void a_mapping_outlives_its_handle_and_ends_with_the_process(void)
{
	struct channel c = channel_open();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	int up[2], down[2], status;
	char x;
	CHECK(!pipe(up) && !pipe(down));
	pid_t pid = fork();
	if (!pid) {
		xengnttab_handle *g = gt();
		uint8_t *p = xengnttab_map_grant_ref_notify(g, guest, ref, RW, 0, (evtchn_port_t)c.port);
		CHECK(p);
		p[0] = 1;
		CHECK_EQ(xengnttab_close(g), 0);
		p[1] = 2;
		CHECK_EQ(write(up[1], "", 1), 1);
		_exit(read(down[0], &x, 1) == 1 && p[0] == 1 && p[1] == 3 ? 0 : 1);
	}
	close(up[1]);
	CHECK_EQ(read(up[0], &x, 1), 1);
	CHECK_EQ(ask("pending 0 30"), -1);
	CHECK_EQ(ask("peek 0 0"), 1);
	CHECK_EQ(ask("peek 0 1"), 2);
	ask("poke 0 1 3");
	CHECK_EQ(write(down[1], "", 1), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(ask("pending 0 5000"), c.guest_port);
	EVENTUALLY(ask("peek 0 0") == 0);
}

/* What is shared belongs to the mapping at the sharer's side. */
static void pages_outlive_the_handle_that_shared_them(void)
{
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	ask("closeshr");
	uint8_t *p = xengnttab_map_grant_ref(g, guest, ref, RW);
	CHECK(p);
	*p = 3;
	CHECK_EQ(ask("peek 0 0"), 3);
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	ask("unshare 0"); /* with another handle */
	EVENTUALLY(refused(g, ref));
}

static void the_notification_outlives_the_event_channel_handle(void)
{
	struct channel c = channel_open();
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	uint8_t *p = xengnttab_map_grant_ref_notify(g, guest, ref, RW, UINT32_MAX, (evtchn_port_t)c.port);
	CHECK(p);
	CHECK_EQ(xenevtchn_close(c.e), 0);
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	CHECK_EQ(ask("pending 0 5000"), c.guest_port);
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	EVENTUALLY(xenevtchn_bind_interdomain(e, guest, (evtchn_port_t)c.guest_port) > 0);
}

static void a_byte_alone_may_be_the_notification(void)
{
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	uint8_t *p = xengnttab_map_grant_ref_notify(g, guest, ref, RW, 4095, UINT32_MAX);
	CHECK(p);
	p[4095] = 1;
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	EVENTUALLY(ask("peek 0 4095") == 0);
}

static void bad_notifications_are_einval_and_map_nothing(void)
{
	struct channel c = channel_open();
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	CHECK_NULL(xengnttab_map_grant_ref_notify(g, guest, ref, RW, 0, 3333), EINVAL);
	CHECK_NULL(xengnttab_map_grant_ref_notify(g, guest, ref, PROT_READ, 0, (evtchn_port_t)c.port), EINVAL);
	ask("unshare 0");
	EVENTUALLY(refused(g, ref));
}

static void an_offset_beyond_the_page_is_no_byte(void)
{
	struct channel c = channel_open();
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("share 0 0 1 1");
	uint8_t *p = xengnttab_map_grant_ref_notify(g, guest, ref, PROT_READ, PAGE, (evtchn_port_t)c.port);
	CHECK(p);
	ask("poke 0 0 1");
	CHECK_EQ(xengnttab_unmap(g, p, 1), 0);
	CHECK_EQ(ask("pending 0 5000"), c.guest_port);
	CHECK_EQ(ask("peek 0 0"), 1);
}

static void unshare_of_a_notifying_page_clears_and_sends(void)
{
	struct channel c = channel_open();
	xengnttab_handle *g = gt();
	uint32_t ref = (uint32_t)ask("sharen 0 0 1 7 %d", c.guest_port);
	uint8_t *p = xengnttab_map_grant_ref(g, guest, ref, RW);
	CHECK(p);
	p[7] = 1;
	ask("unshare 0");
	CHECK_EQ(event_within(c.e, 5000), c.port);
	EVENTUALLY(__atomic_load_n(&p[7], __ATOMIC_SEQ_CST) == 0);
}

/* --- threads --------------------------------------------------------------------------- */

static struct {
	xengnttab_handle *g;
	uint32_t refs[64];
} shared;

static void *mapper(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;
	long end = now_ms() + 2000;
	for (unsigned i = 0; i < 20000 && now_ms() < end; i++) {
		unsigned k = (i * 7 + id) % 64;
		uint8_t *p = xengnttab_map_grant_ref(shared.g, guest, shared.refs[k], RW);
		if (!p || *p != k || xengnttab_unmap(shared.g, p, 1))
			return shared.refs;
	}
	return NULL;
}

static void *copier(void *arg)
{
	uint8_t byte;
	long end = now_ms() + 2000;
	for (unsigned i = 0; i < 50000 && now_ms() < end; i++) {
		xengnttab_grant_copy_segment_t s = { .dest.virt = &byte, .len = 1, .flags = GNTCOPY_source_gref };
		s.source.foreign.ref = shared.refs[i % 64];
		s.source.foreign.domid = (uint16_t)guest;
		if (xengnttab_grant_copy(shared.g, 1, &s) || s.status || byte != i % 64)
			return shared.refs;
	}
	return NULL;
}

static void threads_may_share_one_handle(void)
{
	long v[64];
	pthread_t th[4];
	void *bad;
	shared.g = gt();
	CHECK_EQ(ask_agent(0, v, 64, "share 0 0 64 1"), 64);
	for (int i = 0; i < 64; i++) {
		shared.refs[i] = (uint32_t)v[i];
		ask("poke 0 %d %d", i * (int)PAGE, i);
	}
	for (uintptr_t i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&th[i], NULL, i & 1 ? copier : mapper, (void *)i), 0);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(pthread_join(th[i], &bad), 0);
		CHECK(!bad);
	}
}

#define T(fn)           \
	{               \
#fn, fn \
	}
const struct test grant_tests[] = {
	T(shared_pages_are_zero_and_have_refs_of_their_own),
	T(both_sides_see_each_others_writes),
	T(the_guest_maps_what_dom0_shares),
	T(a_readonly_grant_cannot_be_mapped_writable),
	T(writing_to_a_readonly_grant_faults),
	T(writing_to_a_readonly_mapping_faults),
	T(a_grant_to_another_domain_cannot_be_mapped),
	T(the_wrong_granter_cannot_be_named),
	T(an_unused_or_impossible_ref_cannot_be_mapped),
	T(an_unshared_ref_cannot_be_mapped),
	T(unshare_while_mapped_leaves_the_mapping_alone),
	T(unshare_while_mapped_ends_the_grant_after_the_last_unmap),
	T(what_is_unshared_while_mapped_does_not_count_as_shared),
	T(map_of_no_grants_is_einval),
	T(one_bad_ref_of_several_maps_none),
	T(several_refs_in_any_order_are_in_a_row),
	T(several_refs_readonly_fault_on_write),
	T(unmap_of_what_is_not_mapped_is_einval),
	T(a_ref_mapped_twice_is_unmapped_twice),
	T(close_in_a_forked_child_leaves_the_parents_mapping),
	T(set_max_grants_is_accepted),
	T(many_grants_can_be_mapped_by_one_handle),
	T(pages_run_out_with_enospc_and_come_back),
	T(unmap_clears_the_byte_and_sends_the_event),
	T(a_mapping_outlives_its_handle_and_ends_with_the_process),
	T(pages_outlive_the_handle_that_shared_them),
	T(the_notification_outlives_the_event_channel_handle),
	T(a_byte_alone_may_be_the_notification),
	T(bad_notifications_are_einval_and_map_nothing),
	T(an_offset_beyond_the_page_is_no_byte),
	T(unshare_of_a_notifying_page_clears_and_sends),
	T(threads_may_share_one_handle),
	{ NULL, NULL },
};

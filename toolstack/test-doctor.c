/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The doctor's pure parts: the kernel's text, reports, and verdicts about devices, hostile ones too. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "toolstack/cmd-doctor.h"

/* ------------------------------------------------------------------ parse */

static void bus_names(void **state)
{
	static const struct {
		const char *name;
		int err;
		uint32_t domid, id;
	} cases[] = {
		{ "vbd-1-51712", 0, 1, 51712 },
		{ "vbd-0-4294967295", 0, 0, UINT32_MAX },
		{ "vif-65535-0", 0, 65535, 0 },
		{ "", -EINVAL, 0, 0 },
		{ ".", -EINVAL, 0, 0 },
		{ "console-0", -EINVAL, 0, 0 },
		{ "-1-2", -EINVAL, 0, 0 },
		{ "vbd--2", -EINVAL, 0, 0 },
		{ "vbd-1-", -EINVAL, 0, 0 },
		{ "vbd-1-2-3", -EINVAL, 0, 0 },
		{ "vbd-65536-1", -EINVAL, 0, 0 },
		{ "vbd-1-4294967296", -EINVAL, 0, 0 },
		{ "vbd-1-+2", -EINVAL, 0, 0 },
		{ "vbd-1x-2", -EINVAL, 0, 0 },
		{ "abcdefghijklmnop-1-2", -EINVAL, 0, 0 }, /* 16 letters and no room for the NUL */
		{ "vbd-99999999999999999999-1", -EINVAL, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t domid = 7, id = 7;
		char type[16] = "untouched";

		assert_int_equal(parse_bus_name(cases[i].name, type, &domid, &id), cases[i].err);
		assert_int_equal(domid, cases[i].err ? 7 : cases[i].domid);
		assert_int_equal(id, cases[i].err ? 7 : cases[i].id);
		if (cases[i].err)
			assert_string_equal(type, "untouched");
	}
}

static void limits(void **state)
{
	static const char real[] = "Limit                     Soft Limit           Hard Limit           Units     \n"
				   "Max locked memory         8388608              unlimited            bytes     \n"
				   "Max open files            1024                 524288               files     \n"
				   "Max file locks            unlimited            unlimited            locks     ";
	static const char *const odd[] = { "",
					   "\n\n",
					   "Max open files",
					   "Max open files\n",
					   "Max open files \n 1024",
					   "Max open filesystems 5 5\n",
					   "Max open files -1 5\n",
					   "Max open files 99999999999999999999999 5\n",
					   "Max open files unlimitedx 5\n",
					   " Max open files 5 5\n" };
	uint64_t v = 7;

	assert_int_equal(parse_limit(real, "Max open files", &v), 0);
	assert_int_equal(v, 1024);
	assert_int_equal(parse_limit(real, "Max locked memory", &v), 0);
	assert_int_equal(v, 8388608);
	assert_int_equal(parse_limit(real, "Max file locks", &v), 0);
	assert_true(v == UINT64_MAX);
	v = 7;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		assert_int_equal(parse_limit(odd[i], "Max open files", &v), -ENOENT);
	assert_int_equal(v, 7);
}

static void locks(void **state)
{
	static const char real[] = "1: POSIX  ADVISORY  WRITE 12 00:1a:99 0 EOF\n"
				   "2: FLOCK  ADVISORY  WRITE 4711 00:1a:99 0 EOF\n"
				   "2: -> FLOCK  ADVISORY  WRITE 4712 00:1a:99 0 EOF\n"
				   "3: FLOCK  ADVISORY  READ -1 fe:01:7 0 EOF\n";

	assert_int_equal(parse_lock_holder(real, 0, 0x1a, 99), 4711);
	assert_int_equal(parse_lock_holder(real, 0xfe, 1, 7), 0); /* a process of another pid namespace */
	assert_int_equal(parse_lock_holder(real, 0, 0x1a, 9), -ENOENT);
	assert_int_equal(parse_lock_holder(real, 0, 0x1a, 999), -ENOENT);
	assert_int_equal(parse_lock_holder("", 0, 0x1a, 99), -ENOENT);
	assert_int_equal(parse_lock_holder("2: FLOCK ADVISORY WRITE 4711", 0, 0x1a, 99), -ENOENT);
	assert_int_equal(parse_lock_holder("\n\n2: FLOCK", 0, 0x1a, 99), -ENOENT);
	assert_int_equal(parse_lock_holder("2: FLOCK ADVISORY WRITE x 00:1a:99", 0, 0x1a, 99), 0);
	assert_int_equal(parse_lock_holder("2: -> FLOCK ADVISORY WRITE 3 00:1a:99 0 EOF", 0, 0x1a, 99), -ENOENT);
}

static void words(void **state)
{
	assert_true(has_word("control_d", "control_d"));
	assert_true(has_word("a, control_d\n", "control_d"));
	assert_false(has_word("", "control_d"));
	assert_false(has_word("no_control_d control_disc", "control_d"));
	assert_true(has_word("xcontrol_d control_d", "control_d"));
	assert_int_equal(parse_instance("b-1:55", "b-1"), 55);
	assert_int_equal(parse_instance("b-1:55", "b-2"), 0);
	assert_int_equal(parse_instance("b-1:", "b-1"), 0);
	assert_int_equal(parse_instance("b-1", "b-1"), 0);
	assert_int_equal(parse_instance("b-1:-5", "b-1"), 0);
	assert_int_equal(parse_instance("b-1:99999999999", "b-1"), 0);
	assert_int_equal(parse_instance(":5", ""), 0);
}

static void quoting(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "web1/xvda", "web1/xvda" }, { "", "''" },
		{ "a b", "'a b'" },           { "$(rm -rf /)", "'$(rm -rf /)'" },
		{ "it's", "'it'\\''s'" },     { "''", "''\\'''\\'''" },
		{ "a\nb", "'a\nb'" },         { "~", "'~'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *s = shell_word(cases[i].in);

		assert_string_equal(s, cases[i].out);
		free(s);
	}
}

/* ------------------------------------------------------------------ report */

static bool only_stale_moves(const char *check)
{
	return !strcmp(check, "stale");
}

static void confirmation(void **state)
{
	struct report a = { 0 }, b = { 0 };

	report_add(&a, "stale", LEVEL_WARNING, "1/1", "x");
	report_add(&b, "stale", LEVEL_WARNING, "1/1", "x"); /* both times: stays */
	report_add(&b, "stale", LEVEL_ERROR, "1/2", "x");   /* now only: goes */
	report_add(&b, "stale", LEVEL_OK, NULL, "x");       /* no problem: stays */
	report_add(&b, "xen", LEVEL_ERROR, NULL, "x");      /* does not move: stays */
	assert_int_equal(report_confirm(&b, &a, only_stale_moves), 1);
	assert_int_equal(b.nr, 3);
	assert_true(report_problem(&b, "stale", "1/1"));
	assert_false(report_problem(&b, "stale", "1/2"));
	assert_true(report_problem(&b, "xen", NULL));
	report_clear(&a);
	report_clear(&b);
}

/* ------------------------------------------------------------------ verdicts */

static const struct doctor_class disk = { .word = "disk",
					  .type = "vbd",
					  .user_type = "svbd",
					  .program = "synth-blkd",
					  .script = "block-synth",
					  .xl = "block",
					  .mirror = { "params", "mode" } };
static const struct doctor_view view = { .back_domid = 0, .daemon_up = true, .run_prefix = "" };

#define BACK   "/local/domain/0/backend/vbd/5/51712"
#define FRONT  "/local/domain/5/device/vbd/51712"
#define USER   "/local/domain/5/device/svbd/51712"
#define MIRROR "/libxl/5/device/vbd/51712"

/* A connected disk, all well. */
static struct doctor_device well(void)
{
	return (struct doctor_device){ .class = &disk,
				       .domid = 5,
				       .id = 51712,
				       .domain = DOMAIN_ALIVE,
				       .back = true,
				       .ours = true,
				       .frontend = FRONT,
				       .front = { .there = true, .backend = BACK },
				       .mirror = true,
				       .mirror_ours = true,
				       .mirror_backend = BACK,
				       .known = true,
				       .name = "web1/xvda",
				       .phase = "connected",
				       .state = "Connected",
				       .front_state = "Connected",
				       .phase_s = 100000 };
}

/* "LEVEL CHECK" of all, in order. */
static void verdict_in(const struct doctor_device *d, const struct doctor_view *v, const char *want)
{
	struct report r = { 0 };
	char got[512] = "";

	judge_device(d, v, &r);
	for (size_t i = 0; i < r.nr; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s %s", i ? ", " : "",
			 level_name(r.v[i].level), r.v[i].check);
	assert_string_equal(got, want);
	report_clear(&r);
}

static void verdict(const struct doctor_device *d, const char *want)
{
	verdict_in(d, &view, want);
}

static void command(const struct doctor_device *d, const struct doctor_view *v, unsigned n, const char *want)
{
	struct report r = { 0 };

	judge_device(d, v, &r);
	assert_true(r.nr > 0);
	assert_true(r.v[0].nr_commands > n);
	assert_string_equal(r.v[0].commands[n], want);
	report_clear(&r);
}

static void healthy(void **state)
{
	static const char *const calm[] = { "initwait", "closed", "lingering", "connected", "removed", "half a", "" };
	struct doctor_device d = well();

	verdict(&d, "");
	for (size_t i = 0; i < ARRAY_SIZE(calm); i++) {
		snprintf(d.phase, sizeof(d.phase), "%s", calm[i]);
		snprintf(d.front_state, sizeof(d.front_state), "%s", i == 3 ? "Connected" : "Initialising");
		verdict(&d, "");
	}
	d = well();
	strcpy(d.frontend, USER); /* a front end in user space */
	d.user = d.front;
	d.front.there = false;
	verdict(&d, "");
	d = well();
	d.ours = false; /* another's */
	d.known = false;
	d.front.there = false;
	d.mirror = false;
	d.bus = true;
	verdict(&d, "");
	d = well();
	d.domain = DOMAIN_UNKNOWN;
	verdict(&d, "");
}

static void directories(void **state)
{
	struct doctor_view down = { .run_prefix = "run -- " },
			   unit = { .daemon_up = true, .unit = true, .run_prefix = "" };
	struct doctor_device d = well();

	d.domain = DOMAIN_DEAD;
	verdict(&d, "warning stale");
	command(&d, &view, 0, "synthctl detach --force web1/xvda");
	d.known = false;
	command(&d, &down, 0, "run -- xenstore-rm -t " BACK " " FRONT " " MIRROR);
	strcpy(d.mirror_backend, "/local/domain/0/backend/qdisk/5/51712"); /* somebody's: stays */
	d.front.there = false;
	command(&d, &down, 0, "run -- xenstore-rm -t " BACK);

	d = well();
	d.front.there = false;
	verdict(&d, "error front-missing");
	d = well();
	d.known = false;
	verdict(&d, "error unknown");
	command(&d, &view, 0, "synthctl daemon stop disk");
	command(&d, &view, 1, "setsid synth-blkd &");
	command(&d, &unit, 0, "synthctl daemon stop disk");
	command(&d, &unit, 1, "systemctl restart synth-blkd");
	verdict_in(&d, &down, "");
	d.other_daemon = true;
	verdict(&d, "note unknown");
	d = well();
	d.back = d.ours = false;
	verdict(&d, "warning lost-nodes");
	d.known = false;
	verdict(&d, "warning remains");
	command(&d, &view, 0, "xenstore-rm " FRONT " " MIRROR);
	d.front.there = false;
	verdict(&d, "warning remains");
	d.mirror_ours = false;
	verdict(&d, "");
	d.user.there = true;
	strcpy(d.user.backend, BACK);
	verdict(&d, "warning remains");
	strcpy(d.user.backend, "/local/domain/7/backend/vbd/5/51712"); /* a driver domain's: not to be seen from here */
	verdict(&d, "");
}

static void hijacks(void **state)
{
	static const char *const lies[] = { "",
					    "?",
					    "/",
					    "/local/domain/0/backend/vbd/5/51712/",
					    "/local/domain/0/backend/vbd/5/5171",
					    "; rm -rf /",
					    "$(reboot)",
					    "\033[31m",
					    "%s%s%n" };
	struct doctor_device d;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		d = well();
		snprintf(d.front.backend, sizeof(d.front.backend), "%s", lies[i]);
		verdict(&d, "error front-elsewhere");
		command(&d, &view, 0, "synthctl detach --force web1/xvda");
		d.known = false;
		verdict(&d, "error front-elsewhere, error unknown");
		command(&d, &view, 0, "xenstore-rm " BACK " " MIRROR);
	}
	d = well();
	strcpy(d.frontend, "/local/domain/6/device/vbd/51712");
	verdict(&d, "error front-elsewhere");
	d = well();
	strcpy(d.rival, "/local/domain/0/backend/qdisk/5/51712");
	verdict(&d, "error front-contested");
	command(&d, &view, 0, "xenstore-rm -t /local/domain/0/backend/qdisk/5/51712");
	strcpy(d.rival, "/local/domain/0/backend/q;x/5/1");
	command(&d, &view, 0, "xenstore-rm -t '/local/domain/0/backend/q;x/5/1'");
	d = well();
	strcpy(d.mirror_backend, "/local/domain/0/backend/qdisk/5/51712");
	verdict(&d, "warning mirror");
	d = well();
	d.mirror = d.mirror_ours = false;
	d.mirror_values[0] = text("file:/srv/it's.img");
	verdict(&d, "warning mirror");
	command(&d, &view, 0,
		"xenstore-write " MIRROR "/frontend " FRONT " " MIRROR "/backend " BACK " " MIRROR
		"/frontend-id 5 " MIRROR "/online 1 " MIRROR "/state 1 " MIRROR "/params 'file:/srv/it'\\''s.img'");
	free(d.mirror_values[0]);
	d = well();
	d.bus = true;
	verdict(&d, "warning kernel-claim");
	strcpy(d.claimed, "vbd");
	verdict(&d, "error kernel-claim");
	command(&d, &view, 0, "echo vbd-5-51712 >/sys/bus/xen-backend/drivers/vbd/unbind");
	strcpy(d.name, "a b'c/xvda");
	command(&d, &view, 1, "synthctl detach --force 'a b'\\''c/xvda'");
}

static void states(void **state)
{
	static const char *const slow[] = { "attaching", "connecting", "closing", "finishing", "resetting",
					    "failing",   "removing",   "leaving", "detaching", "half" };
	struct doctor_device d;

	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		d = well();
		strcpy(d.phase, slow[i]);
		verdict(&d, "warning stuck");
		d.phase_s = 1; /* not for long */
		verdict(&d, "");
		d.phase_s = UINT64_MAX; /* an older daemon does not say */
		verdict(&d, "");
	}
	d = well();
	strcpy(d.phase, "initwait");
	strcpy(d.front_state, "Initialised");
	verdict(&d, "warning stuck");
	d = well();
	strcpy(d.front_state, "Initialised");
	verdict(&d, "warning stuck");
	d = well();
	strcpy(d.phase, "failed");
	strcpy(d.broken, "ring-ref is missing");
	verdict(&d, "error broken");
	strcpy(d.front_state, "Closed");
	verdict(&d, "warning broken");
	d.worker_loops = true;
	verdict(&d, "");
	d = well();
	d.oldest_request_ns = 60ull * 1000000000u;
	verdict(&d, "warning storage");
	d.oldest_request_ns = 1000000;
	verdict(&d, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bus_names), cmocka_unit_test(limits),      cmocka_unit_test(locks),
		cmocka_unit_test(words),     cmocka_unit_test(quoting),     cmocka_unit_test(confirmation),
		cmocka_unit_test(healthy),   cmocka_unit_test(directories), cmocka_unit_test(hijacks),
		cmocka_unit_test(states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

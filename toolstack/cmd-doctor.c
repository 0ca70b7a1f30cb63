/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-doctor.c - `synthctl doctor`: looks, looks again when something is wrong that may be on its way, and tells.
 *
 * Devices come and go while they are looked at, and their nodes, their daemon and the kernel are asked one after the
 * other.  What is wrong with a device only at one moment is no finding: it must be so twice, LOOK_AGAIN_MS apart.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include "toolstack/cmd-doctor.h"
#include "toolstack/synthctl.h"

#define LOOK_AGAIN_MS 1000
#define SLOW_STORE_NS 1000000000u
#define GUEST_NODES   800u /* of one guest's quota; xenstored gives 1000 unless told otherwise */

const struct doctor_class doctor_classes[] = {
	{ .word = "disk",
	  .type = "vbd",
	  .user_type = "svbd",
	  .program = "synth-blkd",
	  .stem = "blkd",
	  .script = "block-synth",
	  .xl = "block",
	  .module = "xen_blkback",
	  .mirror = { "params", "script", "type", "dev", "mode", "device-type", "removable", "bootable",
		      "discard-enable", "specification" } },
	{ .word = "nic",
	  .type = "vif",
	  .user_type = "svif",
	  .program = "synth-netd",
	  .stem = "netd",
	  .script = "vif-synth",
	  .xl = "network",
	  .module = "xen_netback",
	  .mirror = { "handle", "mac", "script", "type", "bridge", "vifname", "mtu", "rate" } },
};
const unsigned doctor_nr_classes = ARRAY_SIZE(doctor_classes);

/* In the order in which they are told.  Ids are stable; each is explained in synthctl(1). */
static const struct check {
	const char *id, *group;
	bool moving; /* about things that come and go: believed when seen twice */
} checks[] = {
	{ "xen", "host", false },
	{ "xenfs", "host", false },
	{ "kernel-device", "host", false },
	{ "kernel-back-end", "host", false },
	{ "script", "host", false },
	{ "xenstore", "xenstore", true },
	{ "domain", "xenstore", true },
	{ "quota", "xenstore", true },
	{ "daemon", "daemon", true },
	{ "version", "daemon", true },
	{ "daemon-xenstore", "daemon", true },
	{ "worker", "daemon", true },
	{ "devices", "devices", true },
	{ "stale", "devices", true },
	{ "remains", "devices", true },
	{ "lost-nodes", "devices", true },
	{ "front-missing", "devices", true },
	{ "front-elsewhere", "devices", true },
	{ "front-contested", "devices", true },
	{ "mirror", "devices", true },
	{ "kernel-claim", "devices", true },
	{ "unknown", "devices", true },
	{ "broken", "devices", true },
	{ "stuck", "devices", true },
	{ "storage", "devices", true },
	{ "image", "devices", true },
	{ "space", "limits", false },
	{ "files", "limits", true },
	{ "grants", "limits", false },
	{ "maptrack", "limits", false },
};

static const struct check *find_check(const char *id)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		if (!strcmp(checks[i].id, id))
			return &checks[i];
	return NULL;
}

static bool moving(const char *id)
{
	const struct check *c = find_check(id);

	return c && c->moving;
}

/* ------------------------------------------------------------------ xenstore */

static void store_failed(struct doctor *d)
{
	static const char *const others[] = { "domain", "quota", "devices" };
	int err = d->store->err;
	struct finding *f;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		report_add(&d->report, others[i], LEVEL_NA, NULL, "xenstore cannot be asked");
	if (!d->hostxen && !d->xen) {
		report_add(&d->report, "xenstore", LEVEL_NA, NULL, "no Xen");
		return;
	}
	if (err == -EACCES || err == -EPERM) {
		report_add(&d->report, "xenstore", LEVEL_NA, NULL, "only root may ask it");
		return;
	}
	if (err == -ETIMEDOUT) {
		f = report_add(&d->report, "xenstore", LEVEL_ERROR, NULL, "xenstored does not answer within %g s",
			       d->timeout_s);
		finding_next(f, "is it stopped, or very busy (top, its log)? wait longer with --timeout");
	} else {
		f = report_add(&d->report, "xenstore", LEVEL_ERROR, NULL, "xenstore cannot be reached: %s",
			       strerror(-err));
		finding_next(f, d->hostxen ? "start the world anew:"
					   : "start xenstored, then xen-init-dom0 (Debian: `service xen start`)");
		if (d->hostxen)
			finding_command(f, "hostxen stop; hostxen start");
	}
	finding_why(f, "no device can be attached, detached, connected or closed; connected ones are served on");
	if (!d->hostxen && err != -ETIMEDOUT)
		finding_next(f, "start xenstored (Debian: service xen start). One that died cannot be replaced under "
				"running domains: "
				"they keep what is connected, until they are restarted");
}

static void check_quota(struct doctor *d)
{
	const struct doctor_store *s = d->store;
	uint32_t wrong = 0, total = 0;

	for (uint32_t i = 0; i < s->nr; i++) {
		uint32_t nodes = 0;
		bool first = true;

		for (uint32_t k = 0; k < s->nr; k++) {
			const struct doctor_device *dev = &s->devices[k];

			if (dev->domid != s->devices[i].domid)
				continue;
			first &= k >= i;
			nodes += dev->front.nodes + dev->user.nodes;
		}
		if (!first)
			continue;
		total += nodes;
		if (nodes < GUEST_NODES)
			continue;
		char *subject = text("domain %u", s->devices[i].domid);
		struct finding *f = report_add(&d->report, "quota", LEVEL_WARNING, subject,
					       "its devices' front ends have %u nodes in xenstore", nodes);

		free(subject);
		finding_why(f, "they count as the guest's; xenstored allows a guest 1000 unless started with another "
			       "quota, and then "
			       "it can publish no more rings");
		finding_next(
			f, "fewer devices, or fewer queues each (--queues), or a higher quota (xenstored --entry-nb)");
		wrong++;
	}
	if (!wrong)
		report_add(&d->report, "quota", LEVEL_OK, NULL,
			   "%u nodes in the front ends' directories; xenstored's own limits are not visible", total);
}

static void check_store(struct doctor *d)
{
	const struct doctor_store *s = d->store;
	struct finding *f;

	if (s->err < 0) {
		store_failed(d);
		return;
	}
	if (s->answer_ns > SLOW_STORE_NS || s->transaction_ns > SLOW_STORE_NS) {
		f = report_add(&d->report, "xenstore", LEVEL_WARNING, NULL,
			       "it answers slowly: %llu ms, a transaction %llu ms",
			       (unsigned long long)s->answer_ns / 1000000,
			       (unsigned long long)s->transaction_ns / 1000000);
		finding_why(f, "attaching and connecting a disk takes some sixty questions; xl gives up after 10 s");
		finding_next(f, "is dom0, or xenstored, busy (top)?");
	} else {
		report_add(&d->report, "xenstore", LEVEL_OK, NULL, "answers in %.1f ms, a transaction in %.1f ms",
			   (double)s->answer_ns / 1e6, (double)s->transaction_ns / 1e6);
	}
	for (uint32_t i = 0; i < s->nr_homes; i++) {
		char *subject = text("domain %u", s->homes[i]);

		f = report_add(&d->report, "domain", LEVEL_NOTE, subject,
			       "it has a home in xenstore and is not introduced there");
		finding_why(f, "it is being built or is dying, or its home was left behind");
		free(subject);
	}
	if (!s->nr_homes)
		report_add(&d->report, "domain", LEVEL_OK, NULL, "each domain in xenstore is introduced");
	check_quota(d);
}

/* ------------------------------------------------------------------ devices */

static bool daemon_of(const struct doctor *d, const struct doctor_class *k)
{
	for (unsigned i = 0; i < doctor_nr_classes; i++)
		if (d->daemons[i].class == k)
			return daemon_sees(&d->daemons[i]);
	return false;
}

static void check_devices(struct doctor *d)
{
	struct doctor_view v = { .back_domid = d->store->back_domid,
				 .run_prefix = d->hostxen ? "hostxen run -d 0 -- " : "" };
	uint32_t nr = 0, connected = 0, known = 0;
	size_t before = d->report.nr;

	if (d->store->err < 0)
		return;
	daemon_devices(d);
	host_claims(d);
	for (uint32_t i = 0; i < d->store->nr; i++) {
		const struct doctor_device *dev = &d->store->devices[i];

		v.daemon_up = daemon_of(d, dev->class);
		v.unit = host_unit(d, dev->class->program);
		judge_device(dev, &v, &d->report);
		nr += dev->ours || dev->known;
		known += dev->known;
		connected += !strcmp(dev->phase, "connected");
	}
	if (d->store->full)
		report_add(&d->report, "devices", LEVEL_NOTE, NULL,
			   "more than %u devices: the others were not looked at", DOCTOR_MAX_DEVICES);
	else if (d->report.nr > before)
		report_add(&d->report, "devices", LEVEL_OK, NULL, "%u of ours, %u connected", nr, connected);
	else if (nr && known == nr)
		report_add(&d->report, "devices", LEVEL_OK, NULL,
			   "%u of ours, %u connected: daemon, back ends, front ends and libxl's records agree", nr,
			   connected);
	else
		report_add(&d->report, "devices", LEVEL_OK, NULL,
			   "%u of ours: back ends, front ends and libxl's records agree", nr);
}

/* ------------------------------------------------------------------ one look */

static void look(struct doctor *d)
{
	host_look(d);
	d->store = store_look(d->timeout_s);
	daemon_look(d);
	if (d->interrupted)
		return;
	host_check(d);
	check_store(d);
	/* Without Xen there is nothing for a daemon to do: that it does not run is no news. */
	for (unsigned i = 0; i < doctor_nr_classes; i++)
		if (!d->hostxen && !d->xen && d->daemons[i].how == DAEMON_ABSENT)
			report_add(&d->report, "daemon", LEVEL_NA, d->daemons[i].class->program, "no Xen");
	if (d->hostxen || d->xen)
		daemon_check(d);
	check_devices(d);
	host_scripts(d);
	daemon_limits(d);
	host_space(d);
	host_grants(d);
}

static void forget(struct doctor *d)
{
	daemon_forget(d);
	store_seen_free(d->store);
	d->store = NULL;
}

static bool look_again(const struct report *r)
{
	for (size_t i = 0; i < r->nr; i++)
		if ((r->v[i].level == LEVEL_WARNING || r->v[i].level == LEVEL_ERROR) && moving(r->v[i].check))
			return true;
	return false;
}

/* ------------------------------------------------------------------ output */

static struct json_object *string_or_null(const char *s)
{
	return s ? json_object_new_string(s) : NULL;
}

static struct json_object *finding_json(const struct finding *f)
{
	struct json_object *o = json_object_new_object(), *commands = json_object_new_array();
	const struct check *c = find_check(f->check);

	for (unsigned i = 0; i < f->nr_commands; i++)
		json_object_array_add(commands, json_object_new_string(f->commands[i]));
	json_object_object_add(o, "check", json_object_new_string(f->check));
	json_object_object_add(o, "group", string_or_null(c ? c->group : NULL));
	json_object_object_add(o, "level", json_object_new_string(level_name(f->level)));
	json_object_object_add(o, "subject", string_or_null(f->subject));
	json_object_object_add(o, "what", string_or_null(f->what));
	json_object_object_add(o, "why", string_or_null(f->why));
	json_object_object_add(o, "next", string_or_null(f->next));
	json_object_object_add(o, "commands", commands);
	return o;
}

static bool shown(const struct opts *o, const struct finding *f)
{
	return !opt_has(o, OPT_QUIET) || f->level == LEVEL_WARNING || f->level == LEVEL_ERROR;
}

/* Findings in the order of the table; those of one check as they were found. */
static const struct finding *next_finding(const struct report *r, size_t *check, size_t *i)
{
	for (; *check < ARRAY_SIZE(checks); (*check)++, *i = 0)
		while (*i < r->nr) {
			const struct finding *f = &r->v[(*i)++];

			if (!strcmp(f->check, checks[*check].id))
				return f;
		}
	return NULL;
}

static int print_report_json(const struct opts *o, const struct report *r)
{
	struct json_object *top = json_object_new_object(), *list = json_object_new_array();
	struct json_object *counts = json_object_new_object();
	const struct finding *f;
	size_t check = 0, i = 0;
	int rc;

	while ((f = next_finding(r, &check, &i)))
		if (shown(o, f))
			json_object_array_add(list, finding_json(f));
	for (int l = 0; l < LEVEL_NR; l++)
		json_object_object_add(counts, level_name((enum level)l),
				       json_object_new_int64((int64_t)report_count(r, (enum level)l)));
	json_object_object_add(top, "v", json_object_new_int(1));
	json_object_object_add(top, "counts", counts);
	json_object_object_add(top, "findings", list);
	rc = print_json(top);
	json_object_put(top);
	return rc;
}

static void print_part(const char *head, const char *s)
{
	char *clean;

	if (!s)
		return;
	clean = clean_text(s);
	printf("            %s%s\n", head, clean);
	free(clean);
}

static void print_finding(const struct finding *f)
{
	char *subject = clean_text(f->subject), *what = clean_text(f->what);

	printf("  %-8s  %s: %s%s%s\n", level_name(f->level), f->check, subject, *subject ? ": " : "", what);
	free(subject);
	free(what);
	print_part("why:  ", f->why);
	if (f->next || f->nr_commands)
		print_part("next: ", f->next ? f->next : "run");
	for (unsigned i = 0; i < f->nr_commands; i++)
		print_part("    ", f->commands[i]);
}

static int print_report(const struct opts *o, const struct report *r)
{
	const char *group = "";
	const struct finding *f;
	size_t check = 0, i = 0;

	while ((f = next_finding(r, &check, &i))) {
		if (!shown(o, f))
			continue;
		if (strcmp(group, checks[check].group) != 0) {
			group = checks[check].group;
			printf("%s\n", group);
		}
		print_finding(f);
	}
	if (!opt_has(o, OPT_QUIET))
		printf("%zu errors, %zu warnings, %zu notes; %zu ok, %zu not applicable\n",
		       report_count(r, LEVEL_ERROR), report_count(r, LEVEL_WARNING), report_count(r, LEVEL_NOTE),
		       report_count(r, LEVEL_OK), report_count(r, LEVEL_NA));
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

int cmd_doctor(const struct opts *o, char **args, int nr)
{
	struct doctor d = { .o = o, .timeout_s = opt_has(o, OPT_TIMEOUT) ? o->seconds[OPT_TIMEOUT] : 10 };
	struct report first = { 0 };
	int rc = EXIT_INTERRUPTED;

	look(&d);
	if (!d.interrupted && look_again(&d.report)) {
		first = d.report;
		d.report = (struct report){ 0 };
		forget(&d);
		nanosleep(&(struct timespec){ LOOK_AGAIN_MS / 1000, LOOK_AGAIN_MS % 1000 * 1000000 }, NULL);
		look(&d);
		report_confirm(&d.report, &first, moving);
	}
	if (!d.interrupted) {
		rc = opt_has(o, OPT_JSON) ? print_report_json(o, &d.report) : print_report(o, &d.report);
		if (!rc && report_count(&d.report, LEVEL_ERROR))
			rc = EXIT_FAILED;
	}
	report_clear(&first);
	report_clear(&d.report);
	forget(&d);
	return rc;
}

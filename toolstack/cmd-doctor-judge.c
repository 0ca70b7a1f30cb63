/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-doctor-judge.c - one device as it was seen from everywhere, to findings.  Pure.
 *
 * A device is four places that name one another: the back end directory (which says whose it is), the front end's, libxl's
 * mirror, and the daemon's list.  The front end's directory is the guest's to write: what stands there is compared and
 * shown, and never becomes part of a command; commands hold numbers, our own paths, and quoted words of dom0's.
 */
#include <stdio.h>
#include "toolstack/cmd-doctor.h"

#define STUCK_S        20u /* a handshake takes milliseconds; storage that is started may take some seconds */
#define SLOW_STORAGE_S 10u

struct case_of {
	const struct doctor_device *d;
	const struct doctor_view *v;
	struct report *r;
	char subject[96];
	struct path back, front, user, mirror; /* where they are to be */
	const struct doctor_front *end;        /* the front end's directory this back end belongs to */
	const struct path *end_path;
};

static const char *device_subject(const struct doctor_device *d, char *buf, size_t bytes)
{
	if (d->known && d->name[0])
		snprintf(buf, bytes, "%s", d->name);
	else
		snprintf(buf, bytes, "%u/%u", d->domid, d->id);
	return buf;
}

static struct finding *add(struct case_of *c, const char *check, enum level level, const char *what)
{
	return report_add(c->r, check, level, c->subject, "%s", what);
}

/* synthctl detach, when the daemon has it */
static void command_detach(struct case_of *c, struct finding *f)
{
	char *word = shell_word(c->subject);

	finding_command(f, "synthctl detach --force %s", word);
	free(word);
}

static bool front_is_ours(const struct case_of *c, const struct doctor_front *front)
{
	return front->there && !strcmp(front->backend, c->back.s);
}

static bool mirror_is_ours(const struct case_of *c)
{
	return c->d->mirror && !strcmp(c->d->mirror_backend, c->back.s);
}

/* The line that removes what is this device's and nothing else; @tidy: the empty parents too.  The caller's. */
static char *removal(struct case_of *c, bool tidy)
{
	char *all = text("%sxenstore-rm%s", c->v->run_prefix, tidy ? " -t" : "");
	const struct {
		bool there;
		const char *path;
	} dirs[] = {
		{ c->d->back && c->d->ours, c->back.s },
		{ front_is_ours(c, &c->d->front), c->front.s },
		{ front_is_ours(c, &c->d->user), c->user.s },
		{ mirror_is_ours(c), c->mirror.s },
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (dirs[i].there) {
			char *more = text("%s %s", all, dirs[i].path);

			free(all);
			all = more;
		}
	return all;
}

static void command_remove(struct case_of *c, struct finding *f, bool tidy)
{
	char *all = removal(c, tidy);

	finding_command(f, "%s", all);
	free(all);
}

static void command_take_away(struct case_of *c, struct finding *f, bool tidy)
{
	if (c->d->known)
		command_detach(c, f);
	else
		command_remove(c, f, tidy);
}

/* ------------------------------------------------------------ directories */

static void judge_dead_domain(struct case_of *c)
{
	struct finding *f = report_add(c->r, "stale", LEVEL_WARNING, c->subject,
				       "nodes of a device of domain %u, which does not exist", c->d->domid);

	finding_why(f, "nobody uses them; a new domain with this number would find the device's name taken");
	if (!c->v->daemon_up)
		finding_next(f, "%s removes them when it starts; or by hand:", c->d->class->program);
	command_take_away(c, f, true);
}

/* No back end directory: what is left of one? */
static void judge_remains(struct case_of *c)
{
	const struct doctor_device *d = c->d;
	bool front = front_is_ours(c, &d->front), user = front_is_ours(c, &d->user);
	bool mirror = mirror_is_ours(c) && d->mirror_ours;
	struct finding *f;

	if (d->known) {
		f = add(c, "lost-nodes", LEVEL_WARNING, "the daemon has this device, xenstore does not");
		finding_why(
			f, "its back end directory %s was removed by somebody; the guest cannot close it in good order",
			c->back.s);
		command_detach(c, f);
		return;
	}
	if (!front && !user && !mirror)
		return;
	f = report_add(c->r, "remains", LEVEL_WARNING, c->subject, "%s%s%s without the back end directory %s",
		       front || user ? (user ? c->user.s : c->front.s) : "", (front || user) && mirror ? " and " : "",
		       mirror ? c->mirror.s : "", c->back.s);
	if (front || user)
		finding_why(f,
			    d->mirror_ours || user
				    ? "the guest waits for a device that nobody serves; at its boot, for minutes"
				    : "the guest waits for a device that nobody serves (whose it was cannot be seen)");
	else
		finding_why(f, "xl lists a device that is not there, and refuses its name for another");
	command_remove(c, f, d->domain == DOMAIN_DEAD);
}

static void judge_front(struct case_of *c)
{
	const struct doctor_device *d = c->d;
	struct finding *f;

	if (d->frontend[0] && strcmp(d->frontend, c->front.s) != 0 && strcmp(d->frontend, c->user.s) != 0) {
		f = report_add(
			c->r, "front-elsewhere", LEVEL_ERROR, c->subject,
			"its back end directory names the front end \"%s\", which is not where its number belongs",
			d->frontend);
		finding_why(f, "somebody changed %s/frontend; no daemon serves it like that", c->back.s);
		command_take_away(c, f, false);
		return;
	}
	if (!c->end->there) {
		f = report_add(c->r, "front-missing", LEVEL_ERROR, c->subject,
			       "its front end directory %s is not there", c->end_path->s);
		finding_why(f, "the guest lost the device; only nodes are left of it");
		command_take_away(c, f, false);
		return;
	}
	if (!front_is_ours(c, c->end)) {
		f = report_add(c->r, "front-elsewhere", LEVEL_ERROR, c->subject,
			       "its front end names another back end: \"%s\"", c->end->backend);
		finding_why(f,
			    "another toolstack took the name over (`xl %s-attach` does, when libxl does not know of "
			    "our device), or the guest "
			    "wrote this; two back ends must not serve one front end",
			    d->class->xl);
		finding_next(f, "take ours away, which leaves the other alone; then attach it again under "
				"another name");
		command_take_away(c, f, false);
	} else if (d->rival[0]) {
		f = report_add(c->r, "front-contested", LEVEL_ERROR, c->subject,
			       "the back end directory %s claims its front end too", d->rival);
		finding_why(f, "who serves that directory may use the same rings: data can be destroyed");
		finding_next(f, "if it is a remainder of another toolstack, remove it:");
		char *word = shell_word(d->rival);

		finding_command(f, "%sxenstore-rm -t %s", c->v->run_prefix, word);
		free(word);
	}
}

/* Write the mirror again, as the daemon wrote it. */
static void command_mirror(struct case_of *c, struct finding *f)
{
	const struct doctor_device *d = c->d;
	char *all = text("%sxenstore-write %s/frontend %s %s/backend %s %s/frontend-id %u %s/online 1 %s/state 1",
			 c->v->run_prefix, c->mirror.s, c->end_path->s, c->mirror.s, c->back.s, c->mirror.s, d->domid,
			 c->mirror.s, c->mirror.s);

	for (unsigned i = 0; d->class->mirror[i]; i++) {
		char *word, *more;

		if (!d->mirror_values[i])
			continue;
		word = shell_word(d->mirror_values[i]);
		more = text("%s %s/%s %s", all, c->mirror.s, d->class->mirror[i], word);
		free(word);
		free(all);
		all = more;
	}
	finding_command(f, "%s", all);
	free(all);
}

static void judge_mirror(struct case_of *c)
{
	struct finding *f;

	if (mirror_is_ours(c))
		return;
	if (!c->d->mirror) {
		f = report_add(c->r, "mirror", LEVEL_WARNING, c->subject, "libxl's record of it, %s, is not there",
			       c->mirror.s);
		finding_why(f,
			    "xl does not list it, does not close it at `xl destroy`, and `xl %s-attach` would take its "
			    "name over",
			    c->d->class->xl);
		finding_next(f, "write it again; the guest notices nothing:");
		command_mirror(c, f);
		return;
	}
	f = report_add(c->r, "mirror", LEVEL_WARNING, c->subject,
		       "libxl's record of it, %s, names another back end: \"%s\"", c->mirror.s, c->d->mirror_backend);
	finding_why(f, "`xl %s-detach` would close that one and leave ours without a guest's end", c->d->class->xl);
	finding_next(f, "detach it when the guest can spare it, and attach it again under another name");
	if (c->d->known)
		finding_command(f, "synthctl detach %s", c->subject);
}

static void judge_claim(struct case_of *c)
{
	const struct doctor_device *d = c->d;
	struct finding *f;

	if (!d->bus)
		return;
	if (d->claimed[0])
		f = report_add(c->r, "kernel-claim", LEVEL_ERROR, c->subject,
			       "the kernel's back end \"%s\" has taken this device", d->claimed);
	else
		f = report_add(c->r, "kernel-claim", LEVEL_WARNING, c->subject,
			       "the kernel made a device of it, which its back end takes when that is loaded");
	finding_why(f, "somebody wrote state 1 to %s/state; then two back ends serve one front end", c->back.s);
	finding_next(f, "let the kernel go of it, take it away, attach it again");
	if (d->claimed[0]) {
		char *word = shell_word(d->claimed);

		finding_command(f, "echo %s-%u-%u >/sys/bus/xen-backend/drivers/%s/unbind", d->class->type, d->domid,
				d->id, word);
		free(word);
	}
	command_take_away(c, f, false);
}

static void judge_unknown(struct case_of *c)
{
	const char *program = c->d->class->program;
	struct finding *f;

	if (!c->v->daemon_up || c->d->known)
		return;
	if (c->d->other_daemon) {
		f = report_add(c->r, "unknown", LEVEL_NOTE, c->subject, "another %s serves it (%s)", program,
			       c->d->instance);
		finding_next(f, "ask that one with --socket");
		return;
	}
	f = report_add(c->r, "unknown", LEVEL_ERROR, c->subject,
		       "it is in xenstore, and the running %s does not have it", program);
	char *remove = removal(c, false);

	finding_why(f, "nobody serves it: the guest's I/O waits for ever");
	finding_next(f,
		     "start %s anew: it serves what it finds, and guests only notice a pause. What it cannot serve its "
		     "log tells, "
		     "and this removes it: %s",
		     program, remove);
	free(remove);
	finding_command(f, "synthctl daemon stop %s", c->d->class->word);
	if (c->v->unit) /* also waits for the end of what was just stopped */
		finding_command(f, "systemctl restart %s", program);
	else
		finding_start(f, false, c->v->run_prefix, program);
}

/* ----------------------------------------------------------------- states */

static bool is(const char *a, const char *b)
{
	return !strcmp(a, b);
}

static bool front_wants(const struct doctor_device *d)
{
	return is(d->front_state, "Initialised") || is(d->front_state, "Connected");
}

static const struct {
	const char *phase, *what, *why;
} slow_phases[] = {
	{ "attaching", "what it stands on (image, link) is still being opened",
	  "storage, server or network does not answer" },
	{ "connecting", "the guest published its rings and is not connected yet",
	  "the image is held by somebody, or the worker does not answer" },
	{ "closing", "the guest closes it, and requests in flight do not end", "the storage does not answer" },
	{ "finishing", "the guest closed it, and requests in flight do not end", "the storage does not answer" },
	{ "resetting", "the guest starts anew, and requests of its old life do not end",
	  "the storage does not answer" },
	{ "failing", "it is given up, and requests in flight do not end", "the storage does not answer" },
	{ "removing", "it is being removed, and requests in flight do not end", "the storage does not answer" },
	{ "leaving", "it is closed, and its worker does not let go of it", "the worker does not answer" },
};

static struct finding *stuck(struct case_of *c, const char *what)
{
	return report_add(c->r, "stuck", LEVEL_WARNING, c->subject, "for %llu s: %s", (unsigned long long)c->d->phase_s,
			  what);
}

static void judge_stuck(struct case_of *c)
{
	const struct doctor_device *d = c->d;
	struct finding *f;

	if (d->phase_s == UINT64_MAX || d->phase_s < STUCK_S)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(slow_phases); i++)
		if (is(d->phase, slow_phases[i].phase)) {
			f = stuck(c, slow_phases[i].what);
			finding_why(f, "%s", slow_phases[i].why);
			finding_next(f, "look at the storage, and at %s's log", d->class->program);
			return;
		}
	if (is(d->phase, "detaching")) {
		f = stuck(c, "the guest was asked to let go of it and has not");
		finding_why(f, "it is in use there (mounted); it is served until the guest lets go");
		finding_next(f,
			     "unmount it in the guest; or take it away, and the guest loses what it has not flushed:");
		command_detach(c, f);
	} else if (is(d->phase, "half")) {
		f = stuck(c, "the guest began to close it and has not finished");
		finding_why(f,
			    "nothing is in flight and nothing of the guest is mapped; its driver waits for something");
		finding_next(f, "look at the guest's kernel log; or take it away:");
		command_detach(c, f);
	} else if ((is(d->phase, "initwait") || is(d->phase, "closed")) && front_wants(d)) {
		f = report_add(c->r, "stuck", LEVEL_WARNING, c->subject,
			       "the guest is at %s and the back end still at %s: %s does not follow", d->front_state,
			       d->state, d->class->program);
		finding_why(f, "the guest waits for it");
		finding_next(f, "look at the log of %s; starting it anew does not disturb the guests",
			     d->class->program);
	} else if (is(d->phase, "connected") && is(d->front_state, "Initialised")) {
		f = stuck(c, "the back end is Connected and the guest has not noticed");
		finding_why(f, "the guest is paused or its driver hangs");
		finding_next(f, "is the guest running (xl list)? look at its kernel log");
	}
}

static void judge_states(struct case_of *c)
{
	const struct doctor_device *d = c->d;
	struct finding *f;

	if (d->worker_loops)
		return; /* told of the worker: it has all the domain's devices */
	if (d->broken[0]) {
		f = report_add(c->r, "broken", front_wants(d) ? LEVEL_ERROR : LEVEL_WARNING, c->subject,
			       "it is not served: %s", d->broken);
		finding_why(f, front_wants(d) ? "the guest's I/O waits or fails until it connects anew"
					      : "the guest does not use it now; it is tried again when it connects");
		finding_next(f,
			     "look at %s's log; the guest recovers by closing and opening the device (reboot), or "
			     "attach it anew",
			     d->class->program);
	} else {
		judge_stuck(c);
	}
	if (d->oldest_request_ns / 1000000000u >= SLOW_STORAGE_S) {
		f = report_add(c->r, "storage", LEVEL_WARNING, c->subject,
			       "a request has been waiting for the storage for %llu s",
			       (unsigned long long)(d->oldest_request_ns / 1000000000u));
		finding_why(f, "the image's disk or server does not answer, and the guest hangs with it");
		finding_next(f, "look at the storage below the image (dmesg, the NBD server)");
	}
}

void judge_device(const struct doctor_device *d, const struct doctor_view *v, struct report *r)
{
	struct case_of c = { .d = d, .v = v, .r = r };

	device_subject(d, c.subject, sizeof(c.subject));
	path_back(&c.back, v->back_domid, d->class->type, d->domid, d->id);
	path_front(&c.front, d->domid, d->class->type, d->id);
	path_front(&c.user, d->domid, d->class->user_type, d->id);
	path_libxl(&c.mirror, d->domid, d->class->type, d->id);
	c.end = !strcmp(d->frontend, c.user.s) ? &d->user : &d->front;
	c.end_path = c.end == &d->user ? &c.user : &c.front;
	if (!d->back) {
		judge_remains(&c);
		return;
	}
	if (!d->ours) /* another's: not our business, but for what it does to ours (rival) */
		return;
	if (d->domain == DOMAIN_DEAD) {
		judge_dead_domain(&c);
		return;
	}
	judge_front(&c);
	if (!report_problem(r, "front-elsewhere", c.subject) && !report_problem(r, "front-missing", c.subject))
		judge_mirror(&c);
	judge_claim(&c);
	judge_unknown(&c);
	if (d->known)
		judge_states(&c);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-attach.c - attach and detach, in our words and in xl's.
 *
 * The daemon does the work and the waiting.  Here is what only the person's side can do: make paths absolute, and when
 * Ctrl-C ends the wait, look and say how things stand.
 */
#include <stdio.h>
#include <unistd.h>
#include <limits.h>
#include "toolstack/spec.h"
#include "toolstack/synthctl.h"

static void add_string(struct json_object *req, const char *name, const char *value)
{
	json_object_object_add(req, name, json_object_new_string(value));
}

static void add_true(struct json_object *req, const char *name, bool value)
{
	if (value)
		json_object_object_add(req, name, json_object_new_boolean(1));
}

/* The device of domain @dom with this target (and this name, when it is not ""); the caller's, or NULL. */
static struct json_object *find_attached(const struct opts *o, const char *dom, const struct spec *s)
{
	struct json_object *req = request_new("list"), *list, *found = NULL;

	add_string(req, "dom", dom);
	(void)ask_quietly(o, req, &list);
	for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
		struct json_object *dev = json_object_array_get_idx(list, i);

		if (!strcmp(member(dev, "target"), s->target) && (!*s->dev || !strcmp(member(dev, "dev"), s->dev)))
			found = dev;
	}
	json_object_get(found);
	json_object_put(list);
	return found;
}

#define SETTLE_S  10.0
#define SETTLE_US 100000u

/* Is being made, which may fail, or is on its way out: not attached, and not to be attached beside it. */
static bool between(struct json_object *dev)
{
	static const char *const phases[] = { "attaching", "detaching", "removing", "removed", "leaving", "lingering" };

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		if (!strcmp(member(dev, "phase"), phases[i]))
			return true;
	return false;
}

/* As find_attached(), when that is settled.  0, or an exit status: it does not come to be. */
static int find_settled(const struct opts *o, const char *dom, const struct spec *s, struct json_object **ret)
{
	double end_s = now_s() + (opt_has(o, OPT_TIMEOUT) ? o->seconds[OPT_TIMEOUT] : SETTLE_S) +
		       (opt_has(o, OPT_WAIT) ? o->seconds[OPT_WAIT] : 0);
	char why[512];

	while ((*ret = find_attached(o, dom, s)) && between(*ret)) {
		if (now_s() >= end_s) {
			snprintf(why, sizeof(why), "%s is there, but is %s", member(*ret, "device"),
				 member(*ret, "phase"));
			complain("timeout", "cannot tell whether the disk is attached", why,
				 "see: synthctl show, or: synthctl detach --force");
			json_object_put(*ret);
			return EXIT_TIMEOUT;
		}
		json_object_put(*ret);
		usleep(SETTLE_US);
	}
	return 0;
}

static int print_attached(const struct opts *o, struct json_object *dev)
{
	if (opt_has(o, OPT_JSON))
		return print_device(o, dev);
	if (!opt_has(o, OPT_QUIET))
		puts(member(dev, "device"));
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

int attach_interrupted(const struct opts *o, struct json_object *dev)
{
	char why[512], next[512];

	if (!dev) {
		snprintf(why, sizeof(why), "the %s is not attached, as far as %s says", service_of(o)->class,
			 service_of(o)->program);
		complain("interrupted", "interrupted", why, "`synthctl list` tells");
		return EXIT_INTERRUPTED;
	}
	snprintf(why, sizeof(why), "%s is attached and %s, its front end is %s", member(dev, "device"),
		 member(dev, "state"), *member(dev, "frontend_state") ? member(dev, "frontend_state") : "not seen yet");
	snprintf(next, sizeof(next), "leave it and it connects when the guest comes, or `synthctl detach %s`",
		 member(dev, "device"));
	complain("interrupted", "interrupted", why, next);
	json_object_put(dev);
	return EXIT_INTERRUPTED;
}

static struct json_object *attach_request(const struct opts *o, const char *dom, const struct spec *s)
{
	struct json_object *req = request_new("attach");

	add_string(req, "class", "disk");
	add_string(req, "dom", dom);
	add_string(req, "target", s->target);
	if (*s->dev)
		add_string(req, "dev", s->dev);
	add_true(req, "ro", s->ro || s->cdrom || opt_has(o, OPT_RO) || opt_has(o, OPT_CDROM));
	add_true(req, "cdrom", s->cdrom || opt_has(o, OPT_CDROM));
	add_true(req, "removable", s->removable || opt_has(o, OPT_REMOVABLE));
	add_true(req, "user_frontend", opt_has(o, OPT_USER_FRONTEND));
	if (s->no_discard || opt_has(o, OPT_NO_DISCARD))
		json_object_object_add(req, "discard", json_object_new_boolean(0));
	if (opt_has(o, OPT_CACHE))
		add_string(req, "cache", o->text[OPT_CACHE]);
	if (opt_has(o, OPT_QUEUES))
		json_object_object_add(req, "queues", json_object_new_int64(o->number[OPT_QUEUES]));
	if (opt_has(o, OPT_POLL_US))
		json_object_object_add(req, "poll_us", json_object_new_int64(o->number[OPT_POLL_US]));
	if (opt_has(o, OPT_WAIT))
		json_object_object_add(req, "wait", json_object_new_double(o->seconds[OPT_WAIT]));
	return req;
}

static int attach(const struct opts *o, const char *dom, const struct spec *s)
{
	struct json_object *dev = NULL;
	struct failure f = { 0 };
	struct client *c;
	int rc;

	if (opt_has(o, OPT_MAY_EXIST)) {
		rc = find_settled(o, dom, s, &dev);
		if (rc)
			return rc;
		if (dev) {
			rc = print_attached(o, dev);
			json_object_put(dev);
			return rc;
		}
	}
	rc = client_open(o, &c, &f);
	if (rc)
		return failure_report(&f);
	rc = client_call(c, attach_request(o, dom, s), PATIENCE_S + o->seconds[OPT_WAIT], &dev, &f);
	client_close(c);
	if (rc == EXIT_INTERRUPTED) {
		failure_clear(&f);
		return attach_interrupted(o, find_attached(o, dom, s));
	}
	if (rc)
		return failure_report(&f);
	rc = print_attached(o, dev);
	json_object_put(dev);
	return rc;
}

static char *current_directory(void)
{
	char *cwd = getcwd(NULL, 0);

	return cwd ? cwd : strdup("/");
}

static int bad_disk(const char *text, const char *why)
{
	char *what = NULL;

	if (asprintf(&what, "\"%s\" is not a disk", text) < 0)
		what = NULL;
	complain("usage", what, why,
		 "TARGET is file:PATH, nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH or null:SIZE, and =xvdX names "
		 "its place");
	free(what);
	return EXIT_USAGE;
}

int cmd_attach_disk(const struct opts *o, char **args, int nr)
{
	struct spec s;
	spec_why why;
	char *cwd;
	int rc;

	if (opt_has(o, OPT_CACHE) && strcmp(o->text[OPT_CACHE], "direct") && strcmp(o->text[OPT_CACHE], "buffered"))
		return usage_error("--cache is direct or buffered, not \"%.40s\"", o->text[OPT_CACHE]);
	cwd = current_directory();
	rc = spec_parse(args[1], cwd, &s, &why);
	free(cwd);
	return rc ? bad_disk(args[1], why) : attach(o, args[0], &s);
}

/* xl joins its arguments by commas. */
int cmd_block_attach(const struct opts *o, char **args, int nr)
{
	char text[2 * SPEC_TARGET_MAX] = "", *cwd;
	struct spec s;
	spec_why why;
	int rc;

	for (int i = 1; i < nr; i++) {
		size_t used = strlen(text);
		int n = snprintf(text + used, sizeof(text) - used, "%s%s", i > 1 ? "," : "", args[i]);

		if (n < 0 || (size_t)n >= sizeof(text) - used)
			return usage_error("the disk is too long");
	}
	cwd = current_directory();
	rc = spec_parse_xl(text, cwd, &s, &why);
	free(cwd);
	return rc ? bad_disk(text, why) : attach(o, args[0], &s);
}

/* ------------------------------------------------------------------ detach */

static int detach_interrupted(const struct opts *o, const char *dom, const char *name)
{
	struct json_object *req = request_new("show"), *dev;
	char why[512];

	add_string(req, "dom", dom);
	add_string(req, "dev", name);
	(void)ask_quietly(o, req, &dev);
	if (dev)
		snprintf(why, sizeof(why), "%s is still there: %s, its front end is %s", member(dev, "device"),
			 member(dev, "state"),
			 *member(dev, "frontend_state") ? member(dev, "frontend_state") : "not seen yet");
	else
		snprintf(why, sizeof(why), "%s/%s is gone, as far as %s says", dom, name, service_of(o)->program);
	complain("interrupted", "interrupted", why,
		 dev ? "the guest was asked to let go and may still do so; `synthctl list` tells" : NULL);
	json_object_put(dev);
	return EXIT_INTERRUPTED;
}

static int detach(const struct opts *any, const char *dom, const char *dev)
{
	const struct opts to = opts_for(any, dev), *o = &to;
	double wait = opt_has(o, OPT_WAIT) ? o->seconds[OPT_WAIT] : 10;
	struct json_object *req = request_new("detach"), *result = NULL;
	struct failure f = { 0 };
	struct client *c;
	int rc;

	add_string(req, "dom", dom);
	add_string(req, "dev", dev);
	add_true(req, "force", opt_has(o, OPT_FORCE));
	json_object_object_add(req, "wait", json_object_new_double(wait));
	rc = client_open(o, &c, &f);
	if (rc) {
		json_object_put(req);
		return failure_report(&f);
	}
	rc = client_call(c, req, wait, &result, &f);
	client_close(c);
	json_object_put(result);
	if (rc == EXIT_INTERRUPTED) {
		failure_clear(&f);
		return detach_interrupted(o, dom, dev);
	}
	if (rc == EXIT_NOTFOUND && opt_has(o, OPT_IF_EXISTS)) {
		failure_clear(&f);
		rc = EXIT_OK;
	}
	if (rc)
		return failure_report(&f);
	if (opt_has(o, OPT_JSON) && !opt_has(o, OPT_QUIET))
		puts("{ \"v\": 1 }");
	return EXIT_OK;
}

int cmd_detach(const struct opts *o, char **args, int nr)
{
	char dom[256], dev[SPEC_DEV_MAX];

	if (spec_parse_device(args[0], dom, sizeof(dom), dev, sizeof(dev)))
		return usage_error("\"%.60s\" is not DOM/DEV, as in web1/xvda", args[0]);
	return detach(o, dom, dev);
}

int cmd_block_detach(const struct opts *o, char **args, int nr)
{
	return detach(o, args[0], args[1]);
}

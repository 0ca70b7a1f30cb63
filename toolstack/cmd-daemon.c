/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-daemon.c - daemon status, stop, upgrade.
 *
 * An upgrade is answered before it is done, since the daemon that answers becomes another program: we then ask that one how
 * far it is.  It is not there for a moment, which is no error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "toolstack/synthctl.h"

#define UPGRADE_S 120.0 /* a worker is replaced in milliseconds; hundreds of them, on a busy host, take a while */
#define LOOK_US   50000u

static int64_t number(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_int64(v) : 0;
}

static void print_members(struct json_object *o)
{
	json_object_object_foreach(o, name, v)
	{
		if (json_object_is_type(v, json_type_array) || json_object_is_type(v, json_type_object))
			continue; /* --json has it */
		char *text = clean_text(json_object_get_string(v));

		printf("%-15s %s\n", name, text);
		free(text);
	}
}

/* Its status, quietly; NULL: it is not there at the moment. */
static struct json_object *look(const struct opts *o)
{
	struct json_object *status = NULL;
	struct failure f = { 0 };
	struct client *c;

	if (client_open(o, &c, &f) == 0) {
		if (client_call(c, request_new("status"), 0, &status, &f))
			status = NULL;
		client_close(c);
	}
	failure_clear(&f);
	return status;
}

static int report(const struct opts *o, struct json_object *status, int64_t era)
{
	struct json_object *up = json_object_object_get(status, "upgrade"), *pause;
	const char *error = member(up, "error");

	if (number(status, "era") < era)
		return complain("failed", "not upgraded", error, "all is as it was; see the daemon's log"), EXIT_FAILED;
	if (opt_has(o, OPT_JSON))
		return print_json(up);
	if (!opt_has(o, OPT_QUIET)) {
		pause = json_object_object_get(up, "pause");
		printf("upgraded to version %s, %" PRId64 " workers replaced\n", member(status, "version"),
		       number(up, "replaced"));
		if (number(pause, "devices"))
			printf("pause of %" PRId64 " devices in ms: p50 %.1f, p99 %.1f, max %.1f\n",
			       number(pause, "devices"), (double)number(pause, "p50_us") / 1000,
			       (double)number(pause, "p99_us") / 1000, (double)number(pause, "max_us") / 1000);
	}
	if (number(up, "failed"))
		return complain("failed", "not all workers were replaced", error,
				"the others serve on; mend it, and upgrade again"),
		       EXIT_FAILED;
	return 0;
}

static bool running(struct json_object *status)
{
	struct json_object *up = status ? json_object_object_get(status, "upgrade") : NULL;

	return !up || json_object_get_boolean(json_object_object_get(up, "running"));
}

static int not_over(const char *why, const char *next)
{
	complain("timeout", "the upgrade is not over", why, next);
	return EXIT_TIMEOUT;
}

static int upgrade(const struct opts *o)
{
	struct json_object *req = request_new("upgrade"), *result = NULL, *status = NULL;
	double end_s;
	int64_t era;
	int rc;

	if (opt_has(o, OPT_PROGRAM))
		json_object_object_add(req, "program", json_object_new_string(o->text[OPT_PROGRAM]));
	rc = ask(o, req, 20, &result); /* it asks the other program first */
	if (rc)
		return rc;
	era = number(result, "era");
	json_object_put(result);
	end_s = now_s() + (opt_has(o, OPT_TIMEOUT) ? o->seconds[OPT_TIMEOUT] : UPGRADE_S);
	do {
		usleep(LOOK_US);
		json_object_put(status);
		status = look(o);
	} while (running(status) && now_s() < end_s);
	if (!status)
		rc = not_over("the daemon does not answer", "its workers serve on; see its log, and start it again");
	else if (running(status))
		rc = not_over("workers are still being replaced",
			      "it goes on by itself, guests are served; see: synthctl daemon status --json");
	else
		rc = report(o, status, era);
	json_object_put(status);
	return rc;
}

int cmd_daemon(const struct opts *o, char **args, int nr)
{
	struct json_object *result = NULL;
	bool stop = !strcmp(args[0], "stop");
	struct opts to = *o;
	int rc;

	if (nr > 1) {
		for (unsigned i = 0; i < NR_SERVICES; i++)
			if (!strcmp(args[1], services[i].class))
				to.service = &services[i];
		if (!to.service)
			return usage_error("there is a daemon for each class: disk, nic; not for \"%.40s\"", args[1]);
	}
	if (!strcmp(args[0], "upgrade"))
		return upgrade(&to);
	if (opt_has(o, OPT_PROGRAM))
		return usage_error("--program is for daemon upgrade");
	if (!stop && strcmp(args[0], "status"))
		return usage_error("daemon status, daemon stop, or daemon upgrade");
	/* It answers when its workers have ended: as soon as they may, or when it has no more patience with their storage. */
	rc = ask(&to, request_new(stop ? "stop" : "status"), stop ? PATIENCE_S : 0, &result);
	if (!rc && !opt_has(o, OPT_QUIET) && opt_has(o, OPT_JSON)) {
		json_object_object_add(result, "v", json_object_new_int(1));
		rc = print_json(result);
	} else if (!rc && !opt_has(o, OPT_QUIET) && json_object_is_type(result, json_type_object)) {
		print_members(result);
	}
	json_object_put(result);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-nic.c - what only nics have: attach nic, set, trace.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "toolstack/spec.h"
#include "toolstack/synthctl.h"

static void add_text(struct json_object *req, const char *name, const char *value)
{
	json_object_object_add(req, name, json_object_new_string(value));
}

static void add_option(struct json_object *req, const char *name, const struct opts *o, enum opt which)
{
	if (!opt_has(o, which))
		return;
	if (which == OPT_MTU || which == OPT_QUEUES || which == OPT_POLL_US || which == OPT_SNAPLEN ||
	    which == OPT_MAX_SIZE)
		json_object_object_add(req, name, json_object_new_int64(o->number[which]));
	else if (which == OPT_WAIT)
		json_object_object_add(req, name, json_object_new_double(o->seconds[which]));
	else
		add_text(req, name, o->text[which]);
}

/* Where it is connected, as the daemon calls it.  False: said twice. */
static bool link_text(const struct opts *o, char *text, size_t bytes)
{
	static const struct {
		enum opt which;
		const char *scheme;
	} links[] = { { OPT_TAP, "tap:" },   { OPT_BRIDGE, "bridge:" }, { OPT_OVS, "ovs:" },
		      { OPT_PAIR, "pair:" }, { OPT_STREAM, "stream:" }, { OPT_NULL, "null:" } };
	bool said = false;

	snprintf(text, bytes, "tap:");
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (!opt_has(o, links[i].which))
			continue;
		if (said)
			return false;
		said = true;
		snprintf(text, bytes, "%s%s", links[i].scheme, o->text[links[i].which] ? o->text[links[i].which] : "");
	}
	return true;
}

/* The nic that @dom was given since @began (now_s()): it may have others like it.  The caller's, or NULL. */
static struct json_object *find_new(const struct opts *o, const char *dom, const char *link, double began)
{
	struct json_object *req = request_new("list"), *list, *age, *found = NULL;

	add_text(req, "dom", dom);
	(void)ask_quietly(o, req, &list);
	for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
		struct json_object *dev = json_object_array_get_idx(list, i);

		if (!strcmp(member(dev, "target"), link) && json_object_object_get_ex(dev, "attached_s", &age) &&
		    json_object_get_double(age) <= now_s() - began)
			found = dev;
	}
	json_object_get(found);
	json_object_put(list);
	return found;
}

int cmd_attach_nic(const struct opts *any, char **args, int nr)
{
	struct opts to = *any;
	const struct opts *o = &to;
	struct json_object *req, *dev = NULL;
	struct failure f = { 0 };
	struct client *c;
	char link[512];
	double began;
	int rc;

	to.service = SERVICE_NIC;
	if (!link_text(o, link, sizeof(link)))
		return usage_error("a nic has one link: --tap, --bridge, --ovs, --pair, --stream or --null");
	rc = client_open(o, &c, &f);
	if (rc)
		return failure_report(&f);
	req = request_new("attach");
	add_text(req, "class", "nic");
	add_text(req, "dom", args[0]);
	add_text(req, "link", link);
	add_option(req, "dev", o, OPT_DEV);
	add_option(req, "mac", o, OPT_MAC);
	add_option(req, "mtu", o, OPT_MTU);
	add_option(req, "rate", o, OPT_RATE);
	add_option(req, "queues", o, OPT_QUEUES);
	add_option(req, "poll_us", o, OPT_POLL_US);
	add_option(req, "wait", o, OPT_WAIT);
	if (opt_has(o, OPT_USER_FRONTEND))
		json_object_object_add(req, "user_frontend", json_object_new_boolean(1));
	began = now_s();
	rc = client_call(c, req, PATIENCE_S + o->seconds[OPT_WAIT], &dev, &f);
	client_close(c);
	if (rc == EXIT_INTERRUPTED) {
		failure_clear(&f);
		return attach_interrupted(o, find_new(o, args[0], link, began));
	}
	if (rc)
		return failure_report(&f);
	if (opt_has(o, OPT_JSON))
		rc = print_device(o, dev);
	else if (!opt_has(o, OPT_QUIET))
		rc = puts(member(dev, "device")) < 0 || fflush(stdout) ? EXIT_FAILED : EXIT_OK;
	json_object_put(dev);
	return rc;
}

/* A request about one nic, from "DOM/ethX"; NULL after a complaint. */
static struct json_object *nic_request(const char *cmd, const char *text, struct opts *to)
{
	char dom[256], dev[SPEC_DEV_MAX];
	struct json_object *req;

	if (spec_parse_device(text, dom, sizeof(dom), dev, sizeof(dev))) {
		usage_error("\"%.60s\" is not DOM/DEV, as in web1/eth0", text);
		return NULL;
	}
	if (!to->service)
		*to = opts_for(to, dev);
	req = request_new(cmd);
	add_text(req, "dom", dom);
	add_text(req, "dev", dev);
	return req;
}

int cmd_set(const struct opts *any, char **args, int nr)
{
	struct opts o = *any;
	struct json_object *req = nic_request("set", args[0], &o), *dev = NULL;
	int rc;

	if (!req)
		return EXIT_USAGE;
	add_option(req, "rate", &o, OPT_RATE);
	add_option(req, "link", &o, OPT_LINK);
	rc = ask(&o, req, 0, &dev);
	if (!rc && opt_has(&o, OPT_JSON))
		rc = print_device(&o, dev);
	json_object_put(dev);
	return rc;
}

static int trace_stop(struct opts *o, const char *device)
{
	struct json_object *req = nic_request("trace", device, o), *result = NULL;
	int rc = req ? ask(o, req, 0, &result) : EXIT_USAGE;

	json_object_put(result);
	return rc;
}

#define TRACE_SNAPLEN 65535u /* if not told otherwise */
#define TRACE_MAX_MIB 1024u
#define PCAP_HEAD     16u /* bytes before each packet */

enum trace_state { TRACE_UNKNOWN, TRACE_RUNS, TRACE_OVER, TRACE_GONE };

/* Does it go on, with *@packets or more?  Unknown while daemon or worker cannot be asked: either may be about to be replaced. */
static enum trace_state trace_look(const struct opts *any, const char *device, uint64_t *packets)
{
	struct opts o = *any;
	struct json_object *req = nic_request("stat", device, &o), *list = NULL, *metrics, *v;
	enum trace_state state = TRACE_UNKNOWN;
	int rc = ask_quietly(&o, req, &list);

	if (rc == EXIT_NOTFOUND)
		return TRACE_GONE;
	if (rc || !json_object_is_type(list, json_type_array)) {
		json_object_put(list);
		return TRACE_UNKNOWN;
	}
	metrics = json_object_object_get(json_object_array_get_idx(list, 0), "metrics");
	if (json_object_array_length(list) == 0)
		state = TRACE_GONE;
	else if (json_object_object_get_ex(metrics, "tracing", &v))
		state = json_object_get_int64(v) ? TRACE_RUNS : TRACE_OVER;
	if (state == TRACE_RUNS && json_object_object_get_ex(metrics, "traced_packets", &v)) {
		if (json_object_get_uint64(v) < *packets)
			state = TRACE_OVER; /* this is another one */
		*packets = json_object_get_uint64(v);
	}
	json_object_put(list);
	return state;
}

/* It ended, and nobody here wanted that: well when the file is as big as it may be. */
static int trace_over(const struct opts *o, const char *device, const char *path, enum trace_state state)
{
	uint64_t max = (uint64_t)o->number[OPT_MAX_SIZE] << 20;
	char what[320], next[PATH_MAX + 64];
	struct stat st;

	if (stat(path, &st) == 0 && (uint64_t)st.st_size + PCAP_HEAD + o->number[OPT_SNAPLEN] > max) {
		if (!opt_has(o, OPT_QUIET))
			fprintf(stderr, "%s is as big as it may be\n", path);
		return EXIT_OK;
	}
	snprintf(what, sizeof(what), "the recording of %s has ended", device);
	snprintf(next, sizeof(next), "what there was before is in %s", path);
	complain("failed", what,
		 state == TRACE_GONE ? "it was detached"
				     : "its worker was replaced (an upgrade, a death), the file cannot be written, or "
				       "another command ended it",
		 next);
	return EXIT_FAILED;
}

int cmd_trace(const struct opts *any, char **args, int nr)
{
	const struct timespec second = { .tv_sec = 1 };
	enum trace_state state;
	uint64_t packets = 0;
	struct opts o = *any;
	char path[PATH_MAX], *cwd;
	struct json_object *req, *result = NULL;
	sigset_t set;
	int rc, n;

	if (opt_has(&o, OPT_STOP) == opt_has(&o, OPT_WRITE))
		return usage_error("trace wants either -w FILE or --stop");
	if (opt_has(&o, OPT_STOP))
		return trace_stop(&o, args[0]);
	cwd = getcwd(NULL, 0);
	n = snprintf(path, sizeof(path), "%s%s%s", o.text[OPT_WRITE][0] == '/' || !cwd ? "" : cwd,
		     o.text[OPT_WRITE][0] == '/' ? "" : "/", o.text[OPT_WRITE]);
	free(cwd);
	if (n < 0 || (size_t)n >= sizeof(path))
		return usage_error("the path is too long");
	req = nic_request("trace", args[0], &o);
	if (!req)
		return EXIT_USAGE;
	if (!opt_has(&o, OPT_SNAPLEN))
		o.number[OPT_SNAPLEN] = TRACE_SNAPLEN;
	if (!opt_has(&o, OPT_MAX_SIZE))
		o.number[OPT_MAX_SIZE] = TRACE_MAX_MIB;
	o.given |= OPT_BIT(OPT_SNAPLEN) | OPT_BIT(OPT_MAX_SIZE);
	add_text(req, "file", path);
	add_option(req, "snaplen", &o, OPT_SNAPLEN);
	add_option(req, "max_mib", &o, OPT_MAX_SIZE);
	/* Not lost between the answer and the wait. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	rc = ask(&o, req, 0, &result);
	json_object_put(result);
	if (rc)
		return rc;
	if (!opt_has(&o, OPT_QUIET))
		fprintf(stderr, "%s is recorded in %s; Ctrl-C ends it\n", args[0], path);
	for (;;) {
		bool told = sigtimedwait(&set, NULL, &second) > 0;

		state = trace_look(&o, args[0], &packets);
		if (state == TRACE_OVER || state == TRACE_GONE)
			return trace_over(&o, args[0], path, state);
		if (told)
			return trace_stop(&o, args[0]);
	}
}

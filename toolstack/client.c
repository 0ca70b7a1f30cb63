/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * client.c - one conversation with a daemon over its control socket (docs/control-protocol.md).
 *
 * Every wait has a deadline, and SIGINT ends it: the caller then says what state things are in.  What can go wrong
 * before there is an answer is told apart, because the next step differs: no daemon, no permission, no answer.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "toolstack/synthctl.h"

#define REPLY_MAX (16u << 20) /* bytes of one line: a list of some thousand devices is far below */

struct client {
	int fd;
	char *path;
	double timeout_s;
	const char *program;
	int64_t id; /* of the last request */
	char *buf;  /* received and not used yet */
	size_t used, size;
};

const struct service services[NR_SERVICES] = {
	{ "disk", "synth-blkd", "blkd" },
	{ "nic", "synth-netd", "netd" },
};

static volatile sig_atomic_t interrupted;

static void on_sigint(int sig)
{
	interrupted = 1;
}

double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void failure_clear(struct failure *f)
{
	free(f->what);
	free(f->why);
	free(f->next);
	memset(f, 0, sizeof(*f));
}

int failure_report(struct failure *f)
{
	int status = f->status;

	complain(f->code, f->what, f->why, f->next);
	failure_clear(f);
	return status;
}

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

static int fail(struct failure *f, int status, const char *code, const char *what, const char *why, const char *next)
{
	f->status = status;
	snprintf(f->code, sizeof(f->code), "%s", code);
	f->what = copy(what);
	f->why = copy(why);
	f->next = copy(next);
	return status;
}

/* @what with @format's one %s filled in: the daemon's name. */
static const char *named(char what[64], const char *format, const char *program)
{
	const char *at = strstr(format, "%s");

	snprintf(what, 64, "%.*s%s%s", (int)(at - format), format, program, at + 2);
	return what;
}

static int fail_connect(const struct service *to, const char *path, int err, struct failure *f)
{
	char why[256], what[64], next[128];

	snprintf(why, sizeof(why), "%s: %s", path, strerror(err));
	if (err == EACCES || err == EPERM)
		return fail(f, EXIT_PERMISSION, "permission", named(what, "cannot talk to %s", to->program), why,
			    "run synthctl as root");
	f->absent = err == ENOENT || err == ECONNREFUSED;
	snprintf(next, sizeof(next), "start it (%s), or say where its socket is with --socket", to->program);
	return fail(f, EXIT_UNREACHABLE, "nodaemon", named(what, "%s is not running", to->program), why, next);
}

static int socket_path(const struct opts *o, char *path, size_t bytes, struct failure *f)
{
	const char *dir = getenv("SYNTH_RUNDIR");
	int n;

	if (opt_has(o, OPT_SOCKET))
		n = snprintf(path, bytes, "%s", o->text[OPT_SOCKET]);
	else
		n = snprintf(path, bytes, "%s/%s.sock", dir && *dir ? dir : SYNTH_RUNDIR, service_of(o)->stem);
	if (n < 0 || (size_t)n >= bytes)
		return fail(f, EXIT_USAGE, "usage", "the socket's path is too long for a Unix socket", path, NULL);
	return 0;
}

int client_open(const struct opts *o, struct client **ret, struct failure *f)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct sigaction act = { .sa_handler = on_sigint }, old;
	struct client *c;
	char what[64];
	int rc = socket_path(o, sa.sun_path, sizeof(sa.sun_path), f);

	if (rc)
		return rc;
	c = calloc(1, sizeof(*c));
	if (!c)
		return fail(f, EXIT_FAILED, "failed", "out of memory", NULL, NULL);
	c->path = strdup(sa.sun_path);
	c->program = service_of(o)->program;
	c->timeout_s = opt_has(o, OPT_TIMEOUT) ? o->seconds[OPT_TIMEOUT] : 10;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A Unix socket connects at once or says EAGAIN when the listener's queue is full: a daemon that hangs. */
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		if (c->fd >= 0 && errno == EAGAIN)
			rc = fail(f, EXIT_UNREACHABLE, "nodaemon", named(what, "%s does not answer", c->program),
				  "its queue of connections is full",
				  "look at its log; restarting it does not disturb the guests");
		else
			rc = fail_connect(service_of(o), sa.sun_path, errno, f);
		client_close(c);
		return rc;
	}
	interrupted = 0;
	/* A background job of a script ignores SIGINT, and goes on doing so. */
	if (!sigaction(SIGINT, NULL, &old) && old.sa_handler != SIG_IGN)
		sigaction(SIGINT, &act, NULL);
	*ret = c;
	return 0;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	free(c->buf);
	free(c);
}

struct json_object *request_new(const char *cmd)
{
	struct json_object *req = json_object_new_object();

	json_object_object_add(req, "v", json_object_new_int(1));
	json_object_object_add(req, "cmd", json_object_new_string(cmd));
	return req;
}

static int lost(struct client *c, int err, struct failure *f)
{
	char what[64];

	return fail(f, EXIT_UNREACHABLE, "nodaemon",
		    named(what, "%s went away in the middle of the request", c->program),
		    err ? strerror(err) : "it closed the connection",
		    "look at its log; `synthctl list` tells what was done");
}

/* Wait for @events until @deadline. */
static int wait_for(struct client *c, short events, double deadline, struct failure *f)
{
	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = events };
		double left = deadline - now_s();
		struct timespec t;
		sigset_t block, old;
		char what[64];
		int n;

		if (left <= 0)
			return fail(
				f, EXIT_UNREACHABLE, "nodaemon", named(what, "%s does not answer", c->program),
				"no reply in time",
				"look at its log, or wait longer with --timeout; `synthctl list` tells what was done");
		left = fmin(left, 1e6);
		t.tv_sec = (time_t)left;
		t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
		/* SIGINT is let in only while we sleep, so that none is missed between the look and the sleep. */
		sigemptyset(&block);
		sigaddset(&block, SIGINT);
		sigprocmask(SIG_BLOCK, &block, &old);
		n = interrupted ? -1 : ppoll(&p, 1, &t, &old);
		sigprocmask(SIG_SETMASK, &old, NULL);
		if (interrupted)
			return fail(f, EXIT_INTERRUPTED, "interrupted", "interrupted", NULL, NULL);
		if (n > 0)
			return 0;
	}
}

static int send_line(struct client *c, const char *line, double deadline, struct failure *f)
{
	size_t left = strlen(line);

	while (left) {
		ssize_t n = send(c->fd, line, left, MSG_NOSIGNAL);

		if (n > 0) {
			line += n;
			left -= (size_t)n;
		} else if (errno == EAGAIN || errno == EINTR) {
			int rc = wait_for(c, POLLOUT, deadline, f);

			if (rc)
				return rc;
		} else {
			return lost(c, errno, f);
		}
	}
	return 0;
}

/* The next whole line, NUL-terminated in place of its newline; it stays in the buffer, *taken bytes long. */
static int recv_line(struct client *c, double deadline, size_t *taken, struct failure *f)
{
	size_t looked = 0;

	for (;;) {
		char *nl = c->used > looked ? memchr(c->buf + looked, '\n', c->used - looked) : NULL;
		ssize_t n;

		if (nl) {
			*nl = '\0';
			*taken = (size_t)(nl - c->buf) + 1;
			return 0;
		}
		looked = c->used;
		if (c->used == c->size) {
			size_t size = c->size ? c->size * 2 : 65536;
			char *p = size <= REPLY_MAX ? realloc(c->buf, size) : NULL;

			if (!p)
				return fail(f, EXIT_FAILED, "failed", "the daemon's reply is too long", NULL, NULL);
			c->buf = p;
			c->size = size;
		}
		n = recv(c->fd, c->buf + c->used, c->size - c->used, 0);
		if (n > 0) {
			c->used += (size_t)n;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			return lost(c, n ? errno : 0, f);
		} else {
			int rc = wait_for(c, POLLIN, deadline, f);

			if (rc)
				return rc;
		}
	}
}

static const struct {
	const char *code;
	int status;
} codes[] = {
	{ "failed", EXIT_FAILED }, { "usage", EXIT_USAGE },     { "notfound", EXIT_NOTFOUND },
	{ "busy", EXIT_BUSY },     { "timeout", EXIT_TIMEOUT }, { "permission", EXIT_PERMISSION },
	{ "exists", EXIT_EXISTS },
};

static int not_understood(struct failure *f)
{
	return fail(f, EXIT_FAILED, "failed", "the daemon's reply is not understood",
		    "it breaks the protocol of version 1",
		    "are synthctl and the daemon of the same version? (`synthctl version`)");
}

/* @reply answers our request: its result, or its error in @f. */
static int take_reply(struct json_object *reply, struct json_object **ret, struct failure *f)
{
	struct json_object *ok, *err;
	const char *next;
	int status = EXIT_FAILED;

	if (!json_object_object_get_ex(reply, "ok", &ok) || !json_object_is_type(ok, json_type_boolean))
		return not_understood(f);
	if (json_object_get_boolean(ok)) {
		*ret = json_object_get(json_object_object_get(reply, "result"));
		return 0;
	}
	err = json_object_object_get(reply, "error");
	if (!json_object_is_type(err, json_type_object) || !*member(err, "what"))
		return not_understood(f);
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
		if (!strcmp(codes[i].code, member(err, "code")))
			status = codes[i].status;
	next = member(err, "next");
	return fail(f, status, member(err, "code"), member(err, "what"), member(err, "why"), *next ? next : NULL);
}

int client_call(struct client *c, struct json_object *req, double extra_s, struct json_object **ret, struct failure *f)
{
	double deadline = now_s() + c->timeout_s + extra_s;
	char *line = NULL;
	int rc;

	json_object_object_add(req, "id", json_object_new_int64(++c->id));
	if (asprintf(&line, "%s\n", json_object_to_json_string_ext(req, JSON_C_TO_STRING_PLAIN)) < 0)
		line = NULL;
	json_object_put(req);
	rc = line ? send_line(c, line, deadline, f) : fail(f, EXIT_FAILED, "failed", "out of memory", NULL, NULL);
	free(line);
	while (!rc) {
		struct json_object *reply, *id;
		size_t taken;

		rc = recv_line(c, deadline, &taken, f);
		if (rc)
			break;
		reply = json_tokener_parse(c->buf);
		c->used -= taken;
		memmove(c->buf, c->buf + taken, c->used);
		if (!json_object_is_type(reply, json_type_object)) {
			rc = not_understood(f);
		} else if (json_object_object_get_ex(reply, "id", &id) && json_object_get_int64(id) != c->id) {
			/* the late answer to a request that was given up */
			json_object_put(reply);
			continue;
		} else {
			rc = take_reply(reply, ret, f);
		}
		json_object_put(reply);
		break;
	}
	return rc;
}

int ask_quietly(const struct opts *o, struct json_object *req, struct json_object **ret)
{
	struct failure f = { 0 };
	struct opts quick = *o;
	struct client *c;
	int rc;

	*ret = NULL;
	quick.given |= OPT_BIT(OPT_TIMEOUT);
	quick.seconds[OPT_TIMEOUT] = 2;
	rc = client_open(&quick, &c, &f);
	if (rc) {
		json_object_put(req);
	} else {
		rc = client_call(c, req, 0, ret, &f);
		if (rc)
			*ret = NULL;
		client_close(c);
	}
	failure_clear(&f);
	return rc;
}

/* Does the request change anything? */
static bool changes(struct json_object *req)
{
	static const char *const look[] = { "list", "show", "stat", "status" };

	for (unsigned i = 0; i < ARRAY_SIZE(look); i++)
		if (!strcmp(member(req, "cmd"), look[i]))
			return false;
	return true;
}

int ask(const struct opts *o, struct json_object *req, double extra_s, struct json_object **ret)
{
	struct failure f = { 0 };
	bool change = changes(req);
	struct client *c;
	int rc = client_open(o, &c, &f);

	if (rc) {
		json_object_put(req);
		return failure_report(&f);
	}
	rc = client_call(c, req, extra_s, ret, &f);
	client_close(c);
	if (rc == EXIT_INTERRUPTED && change && !f.why) {
		f.why = strdup("what was asked is carried out all the same");
		f.next = strdup("`synthctl show` and `synthctl daemon status` tell");
	}
	return rc ? failure_report(&f) : 0;
}

struct opts opts_for(const struct opts *o, const char *dev)
{
	struct opts to = *o;

	if (strncmp(dev, "eth", 3) == 0)
		to.service = SERVICE_NIC;
	return to;
}

int ask_each(const struct opts *o, struct json_object *(*make)(void *arg), void *arg, struct json_object **ret)
{
	struct json_object *all = json_object_new_array();
	struct failure first = { 0 };
	unsigned answered = 0;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < (o->service || opt_has(o, OPT_SOCKET) ? 1 : NR_SERVICES); i++) {
		struct json_object *part = NULL;
		struct failure f = { 0 };
		struct opts to = *o;
		struct client *c;

		if (!to.service)
			to.service = &services[i];
		rc = client_open(&to, &c, &f);
		if (rc && f.absent) {
			rc = 0;
			if (first.what)
				failure_clear(&f);
			else
				first = f;
			continue;
		}
		if (rc == 0) {
			rc = client_call(c, make(arg), 0, &part, &f);
			client_close(c);
		}
		if (rc == 0 && !json_object_is_type(part, json_type_array))
			rc = fail(&f, EXIT_FAILED, "failed", "the daemon's reply is not understood", "it is no list",
				  NULL);
		for (size_t k = 0; rc == 0 && k < json_object_array_length(part); k++)
			json_object_array_add(all, json_object_get(json_object_array_get_idx(part, k)));
		json_object_put(part);
		answered++;
		if (rc)
			failure_report(&f);
	}
	if (rc == 0 && answered == 0)
		rc = failure_report(&first);
	failure_clear(&first);
	if (rc)
		json_object_put(all);
	else
		*ret = all;
	return rc;
}

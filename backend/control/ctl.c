/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ctl.c - see ctl.h. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "backend/control/ctl.h"
#include "common/base/list.h"
#include "common/event/loop.h"
#include "common/log/log.h"

struct client {
	struct list link;
	struct ctl *ctl;
	int fd;
	struct loop_fd *watch;
	struct list reqs;
	uint32_t pending;
	bool eof;        /* nothing more comes; close when all is answered and sent */
	bool discarding; /* it sent nonsense: answered once, dropped when that is sent */
	char *in;        /* CTL_MAX_LINE + 1 bytes */
	size_t in_used;
	char *out;
	size_t out_used, out_size;
	struct loop_timer *slow;
};

struct ctl {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	char path[108];
	ctl_run_fn *fn;
	void *arg;
	struct list clients;
	uint32_t nr_clients;
};

struct ctl_req {
	struct list link;
	struct ctl *ctl;
	struct client *client; /* NULL: gone */
	json_object *id;
};

static void client_update(struct client *cl);

static void client_free(struct client *cl)
{
	struct ctl_req *r, *n;

	list_for_each_safe (r, n, &cl->reqs, link) {
		list_del(&r->link);
		r->client = NULL;
	}
	loop_del_timer(cl->slow);
	loop_del_fd(cl->watch);
	close(cl->fd);
	list_del(&cl->link);
	cl->ctl->nr_clients--;
	free(cl->in);
	free(cl->out);
	free(cl);
}

/* ----------------------------------------------------------------- output */

static void client_slow(struct loop *l, void *arg)
{
	struct client *cl = arg;

	cl->slow = NULL;
	log_warn("a control client left %zu bytes unread for %u s and is dropped", cl->out_used,
		 CTL_IDLE_OUT_MS / 1000);
	client_free(cl);
}

/* -errno: the client is of no use any more (and not freed yet). */
static int client_flush(struct client *cl)
{
	ssize_t n;

	while (cl->out_used > 0) {
		n = send(cl->fd, cl->out, cl->out_used, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		memmove(cl->out, cl->out + n, cl->out_used - (size_t)n);
		cl->out_used -= (size_t)n;
		loop_del_timer(cl->slow); /* it reads, so it lives */
		cl->slow = NULL;
	}
	return 0;
}

static int client_put(struct client *cl, const char *line)
{
	size_t len = strlen(line), need = cl->out_used + len + 1;

	if (need > CTL_MAX_OUTPUT)
		return -ENOBUFS;
	if (need > cl->out_size) {
		size_t size = MAX(need, cl->out_size * 2);
		char *p = realloc(cl->out, size);

		if (!p)
			return -ENOMEM;
		cl->out = p;
		cl->out_size = size;
	}
	memcpy(cl->out + cl->out_used, line, len);
	cl->out[cl->out_used + len] = '\n';
	cl->out_used = need;
	return 0;
}

static void client_reply(struct client *cl, json_object *reply)
{
	int err = client_put(
		cl, json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

	if (err == 0)
		err = client_flush(cl);
	if (err < 0) {
		/* Not freed here: the caller may be in the middle of its input.  The loop comes back with a hang-up. */
		cl->out_used = 0;
		cl->eof = cl->discarding = true;
		shutdown(cl->fd, SHUT_RDWR);
	}
	client_update(cl);
}

static json_object *reply_new(json_object *id, bool ok)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "v", json_object_new_int(1));
	json_object_object_add(o, "id", json_object_get(id));
	json_object_object_add(o, "ok", json_object_new_boolean(ok));
	return o;
}

static void req_end(struct ctl_req *req, json_object *reply)
{
	struct client *cl = req->client;

	list_del(&req->link);
	json_object_put(req->id);
	free(req);
	if (cl) {
		cl->pending--;
		client_reply(cl, reply);
	}
	json_object_put(reply);
}

void ctl_ok(struct ctl_req *req, json_object *result)
{
	json_object *o = reply_new(req->id, true);

	json_object_object_add(o, "result", result ? result : json_object_new_object());
	req_end(req, o);
}

static void add_error(json_object *reply, const struct fault *f)
{
	json_object *e = json_object_new_object();

	json_object_object_add(e, "code", json_object_new_string(fault_code_name(f->code)));
	json_object_object_add(e, "what", json_object_new_string(f->what));
	json_object_object_add(e, "why", json_object_new_string(f->why));
	if (f->next[0])
		json_object_object_add(e, "next", json_object_new_string(f->next));
	json_object_object_add(reply, "error", e);
}

void ctl_fail(struct ctl_req *req, const struct fault *f)
{
	json_object *o = reply_new(req->id, false);

	add_error(o, f);
	req_end(req, o);
}

/* ------------------------------------------------------------------ input */

/* Answered once; nothing more is read. */
static void client_nonsense(struct client *cl, const char *why)
{
	struct fault f = { .code = FAULT_USAGE };
	json_object *o = reply_new(NULL, false);

	fault_what(&f, "cannot understand the request");
	fault_set(&f, FAULT_USAGE, 0, "%s", why);
	add_error(o, &f);
	cl->discarding = true;
	client_reply(cl, o);
	json_object_put(o);
}

static void client_line(struct client *cl, const char *line, size_t len)
{
	json_tokener *tok = json_tokener_new_ex(CTL_MAX_DEPTH);
	json_object *o = NULL, *id = NULL;
	struct ctl_req *req = NULL;

	if (!tok)
		return client_nonsense(cl, "out of memory");
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tok, line, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success || json_tokener_get_parse_end(tok) < len ||
	    !json_object_is_type(o, json_type_object)) {
		client_nonsense(cl, "each line must be one JSON object");
		goto out;
	}
	json_object_object_get_ex(o, "id", &id);
	if (id && !json_object_is_type(id, json_type_int) &&
	    !(json_object_is_type(id, json_type_string) && json_object_get_string_len(id) <= 64)) {
		client_nonsense(cl, "the request's id is neither a number nor a short text");
		goto out;
	}
	req = calloc(1, sizeof(*req));
	if (!req) {
		client_nonsense(cl, "out of memory");
		goto out;
	}
	req->ctl = cl->ctl;
	req->client = cl;
	req->id = json_object_get(id);
	list_add_tail(&cl->reqs, &req->link);
	cl->pending++;
	cl->ctl->fn(req, o, cl->ctl->arg);
out:
	json_object_put(o);
	json_tokener_free(tok);
}

/* Lines that are complete, while the client may ask more. */
static void client_lines(struct client *cl)
{
	char *nl;

	while (!cl->discarding && cl->pending < CTL_MAX_PENDING && (nl = memchr(cl->in, '\n', cl->in_used))) {
		size_t len = (size_t)(nl - cl->in);

		if (len > 0 && strspn(cl->in, " \t\r") < len)
			client_line(cl, cl->in, len);
		cl->in_used -= len + 1;
		memmove(cl->in, nl + 1, cl->in_used);
	}
	if (!cl->discarding && cl->in_used > CTL_MAX_LINE - 1 && !memchr(cl->in, '\n', cl->in_used))
		client_nonsense(cl, "the line is longer than 64 KiB");
}

static void client_read(struct client *cl)
{
	ssize_t n;

	n = recv(cl->fd, cl->in + cl->in_used, CTL_MAX_LINE - cl->in_used, MSG_DONTWAIT);
	if (n > 0) {
		cl->in_used += (size_t)n;
		return;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		cl->eof = true;
}

static void client_ready(struct loop *l, int fd, uint32_t events, void *arg)
{
	struct client *cl = arg;

	if ((events & EPOLLOUT) && client_flush(cl) < 0) {
		client_free(cl);
		return;
	}
	if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN)) {
		client_free(cl);
		return;
	}
	if (events & EPOLLIN)
		client_read(cl);
	client_lines(cl);
	if ((cl->eof && cl->pending == 0 && cl->out_used == 0) || (cl->discarding && cl->out_used == 0)) {
		client_free(cl);
		return;
	}
	client_update(cl);
}

static void client_again(struct loop *l, void *arg);

/* What to listen for: room for input and no flood of questions, output to send. */
static void client_update(struct client *cl)
{
	bool room = !cl->eof && !cl->discarding && cl->pending < CTL_MAX_PENDING && cl->in_used < CTL_MAX_LINE;
	uint32_t events = (room ? EPOLLIN : 0) | (cl->out_used ? EPOLLOUT : 0);

	if (loop_mod_fd(cl->watch, events) < 0)
		log_warn("cannot watch a control client: %s", strerror(errno));
	if (cl->out_used && !cl->slow && loop_add_timer(cl->ctl->loop, CTL_IDLE_OUT_MS, client_slow, cl, &cl->slow) < 0)
		cl->slow = NULL;
	/* With nothing to listen for, somebody must look after it: a finished client, or lines already read. */
	if (events == 0 || memchr(cl->in, '\n', cl->in_used))
		if (loop_defer(cl->ctl->loop, client_again, cl->ctl) < 0)
			log_warn("out of memory");
}

static void client_again(struct loop *l, void *arg)
{
	struct ctl *c = arg;
	struct client *cl, *n;

	list_for_each_safe (cl, n, &c->clients, link) {
		if (memchr(cl->in, '\n', cl->in_used) && cl->pending < CTL_MAX_PENDING)
			client_lines(cl);
		if ((cl->eof && cl->pending == 0 && cl->out_used == 0) || (cl->discarding && cl->out_used == 0))
			client_free(cl);
	}
}

/* -------------------------------------------------------------- listening */

static bool peer_allowed(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

static void ctl_accept(struct loop *l, int fd, uint32_t events, void *arg)
{
	struct ctl *c = arg;
	struct client *cl;
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (s < 0)
		return;
	cl = c->nr_clients < CTL_MAX_CLIENTS && peer_allowed(s) ? calloc(1, sizeof(*cl)) : NULL;
	if (!cl || !(cl->in = malloc(CTL_MAX_LINE + 1)) ||
	    loop_add_fd(l, s, EPOLLIN, client_ready, cl, &cl->watch) < 0) {
		log_warn("a control client was turned away: too many, or not root");
		if (cl)
			free(cl->in);
		free(cl);
		close(s);
		return;
	}
	cl->ctl = c;
	cl->fd = s;
	list_init(&cl->reqs);
	list_add_tail(&c->clients, &cl->link);
	c->nr_clients++;
}

static int listen_on(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, err = 0;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path); /* a dead daemon's: the lock file says that no other is alive */
	old = umask(0177);
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		err = -errno;
	umask(old);
	if (err == 0 && listen(fd, 64) < 0)
		err = -errno;
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

int ctl_open(struct loop *l, const char *path, ctl_run_fn *fn, void *arg, struct ctl **ret)
{
	struct ctl *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->loop = l;
	c->fn = fn;
	c->arg = arg;
	list_init(&c->clients);
	c->fd = listen_on(path);
	err = c->fd < 0 ? c->fd : loop_add_fd(l, c->fd, EPOLLIN, ctl_accept, c, &c->watch);
	if (err < 0) {
		if (c->fd >= 0)
			close(c->fd);
		free(c);
		return err;
	}
	snprintf(c->path, sizeof(c->path), "%s", path);
	*ret = c;
	return 0;
}

void ctl_close(struct ctl *c)
{
	struct client *cl, *n;

	if (!c)
		return;
	list_for_each_safe (cl, n, &c->clients, link)
		client_free(cl);
	loop_del_fd(c->watch);
	close(c->fd);
	unlink(c->path);
	free(c);
}

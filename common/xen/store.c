/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store.c - libxenstore with -errno, typed values, retried transactions and coalesced watches.
 *
 * Watches: libxenstore queues every event in memory, so store_dispatch() drains the whole queue whenever its
 * fd is readable and keeps one bit a watch.  However often a peer writes a node, a turn of the loop costs one
 * callback for it and no memory (XSA-349).
 *
 * When xenstored dies, libxenstore's reader thread closes its socket and says nothing: the pipe behind xs_fileno() stays open and
 * silent.  So a connection of our own to the same socket, on which nothing is ever said, lies beside the pipe in the descriptor
 * that users poll: its end is xenstored's.  (A guest reaches xenstored through its kernel, which does not lose it.)
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xenstore.h>
#include <xenstore_lib.h>
#include "common/base/list.h"
#include "common/span/span.h"
#include "common/xen/store.h"

#define BUCKETS 256u /* a power of two: an event's token finds its watch at once, however many there are */

struct store {
	struct xs_handle *xs;
	struct list watches[BUCKETS], pending;
	uint64_t next_token;
	int poll_fd; /* epoll of xs_fileno() and .canary; -1: nobody asked yet */
	int canary;  /* -1: none */
};

struct store_tx {
	xs_transaction_t id;
};

struct store_watch {
	struct list list, pending;
	struct store *store;
	store_watch_fn *fn;
	void *arg;
	uint64_t token, events;
	char path[STORE_PATH_MAX];
};

static xs_transaction_t tx_id(const struct store_tx *t)
{
	return t ? t->id : XBT_NULL;
}

static int last_error(void)
{
	return errno ? -errno : -EIO;
}

int store_open(struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	for (uint32_t i = 0; i < BUCKETS; i++)
		list_init(&s->watches[i]);
	list_init(&s->pending);
	s->poll_fd = s->canary = -1;
	errno = 0;
	/* Without XS_UNWATCH_FILTER, whose xs_unwatch() leaks each event it drops: mark_pending() knows no old token. */
	s->xs = xs_open(0);
	if (!s->xs) {
		int r = last_error();

		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	struct store_watch *w, *n;

	if (!s)
		return;
	if (s->canary >= 0)
		close(s->canary);
	if (s->poll_fd >= 0)
		close(s->poll_fd);
	xs_close(s->xs); /* takes the watches with it */
	for (uint32_t i = 0; i < BUCKETS; i++)
		list_for_each_safe (w, n, &s->watches[i], list)
			free(w);
	free(s);
}

int store_read(struct store *s, struct store_tx *t, const char *path, char **ret)
{
	unsigned int len = 0;
	char *v;

	errno = 0;
	v = xs_read(s->xs, tx_id(t), path, &len);
	if (!v)
		return last_error();
	if (len > STORE_VALUE_MAX || memchr(v, '\0', len)) {
		free(v);
		return len > STORE_VALUE_MAX ? -EMSGSIZE : -EINVAL;
	}
	*ret = v; /* the library puts a NUL behind it */
	return 0;
}

int store_read_into(struct store *s, struct store_tx *t, const char *path, char *value, size_t bytes)
{
	char *v;
	int r = store_read(s, t, path, &v);

	if (r)
		return r;
	if (strlen(v) < bytes)
		strcpy(value, v);
	else
		r = -EMSGSIZE;
	free(v);
	return r;
}

int store_read_u64(struct store *s, struct store_tx *t, const char *path, uint64_t max, uint64_t *ret)
{
	char *v;
	int r = store_read(s, t, path, &v);

	if (r)
		return r;
	r = parse_str_u64(v, max, ret);
	free(v);
	return r;
}

int store_read_u32(struct store *s, struct store_tx *t, const char *path, uint32_t max, uint32_t *ret)
{
	uint64_t v;
	int r = store_read_u64(s, t, path, max, &v);

	if (r == 0)
		*ret = (uint32_t)v;
	return r;
}

bool store_answered(int err)
{
	switch (err) {
	case 0:
	case -ENOENT:
	case -EACCES:
	case -EPERM:
	case -EINVAL:
	case -ERANGE:
	case -EMSGSIZE:
		return true;
	default:
		return false;
	}
}

int store_there(struct store *s, struct store_tx *t, const char *path)
{
	unsigned int len;
	void *v;

	errno = 0;
	v = xs_read(s->xs, tx_id(t), path, &len);
	free(v);
	if (v)
		return 1;
	return errno == ENOENT ? 0 : last_error();
}

bool store_exists(struct store *s, struct store_tx *t, const char *path)
{
	return store_there(s, t, path) == 1;
}

int store_write(struct store *s, struct store_tx *t, const char *path, const char *value)
{
	errno = 0;
	return xs_write(s->xs, tx_id(t), path, value, (unsigned)strlen(value)) ? 0 : last_error();
}

int store_writef(struct store *s, struct store_tx *t, const char *path, const char *fmt, ...)
{
	char v[STORE_VALUE_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(v, sizeof(v), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(v))
		return -EMSGSIZE;
	return store_write(s, t, path, v);
}

int store_mkdir(struct store *s, struct store_tx *t, const char *path)
{
	errno = 0;
	return xs_mkdir(s->xs, tx_id(t), path) ? 0 : last_error();
}

int store_rm(struct store *s, struct store_tx *t, const char *path)
{
	errno = 0;
	if (xs_rm(s->xs, tx_id(t), path) || errno == ENOENT)
		return 0;
	/* "The node is there and its parent is not": somebody outside the transaction removed the parent meanwhile. */
	if (t && errno == EINVAL)
		return -EAGAIN;
	return last_error();
}

int store_list(struct store *s, struct store_tx *t, const char *path, char ***ret, uint32_t *nr)
{
	unsigned int n = 0;
	char **v;

	errno = 0;
	v = xs_directory(s->xs, tx_id(t), path, &n);
	if (!v)
		return last_error();
	*ret = v;
	*nr = n;
	return 0;
}

int store_perms(struct store *s, struct store_tx *t, const char *path, uint32_t owner, uint32_t reader)
{
	struct xs_permissions p[2] = {
		{ .id = owner, .perms = XS_PERM_NONE },
		{ .id = reader, .perms = XS_PERM_READ },
	};

	errno = 0;
	return xs_set_permissions(s->xs, tx_id(t), path, p, reader == UINT32_MAX ? 1 : 2) ? 0 : last_error();
}

#define TX_TRIES 64u

int store_transact(struct store *s, store_tx_fn *fn, void *arg)
{
	for (unsigned try = 0; try < TX_TRIES; try++) {
		struct store_tx t;
		int r;

		errno = 0;
		t.id = xs_transaction_start(s->xs);
		if (t.id == XBT_NULL)
			return last_error();
		r = fn(s, &t, arg);
		if (r < 0 && r != -EAGAIN) {
			(void)xs_transaction_end(s->xs, t.id, true);
			return r;
		}
		errno = 0;
		if (xs_transaction_end(s->xs, t.id, r < 0) && r == 0)
			return 0;
		if (r == 0 && errno != EAGAIN)
			return last_error();
		if (try >= 8)
			usleep(1000); /* somebody is busy in the same place: let them finish */
	}
	return -EAGAIN;
}

int store_watch(struct store *s, const char *path, store_watch_fn *fn, void *arg, struct store_watch **ret)
{
	struct store_watch *w;
	char token[24];

	if (strlen(path) >= STORE_PATH_MAX)
		return -ENAMETOOLONG;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->store = s;
	w->fn = fn;
	w->arg = arg;
	w->token = s->next_token++;
	strcpy(w->path, path);
	list_init(&w->pending);
	snprintf(token, sizeof(token), "%llu", (unsigned long long)w->token);
	errno = 0;
	if (!xs_watch(s->xs, path, token)) {
		int r = last_error();

		free(w);
		return r;
	}
	list_add_tail(&s->watches[w->token % BUCKETS], &w->list);
	if (ret)
		*ret = w;
	return 0;
}

void store_unwatch(struct store_watch *w)
{
	char token[24];

	if (!w)
		return;
	snprintf(token, sizeof(token), "%llu", (unsigned long long)w->token);
	(void)xs_unwatch(w->store->xs, w->path, token);
	list_del(&w->pending);
	list_del(&w->list);
	free(w);
}

uint64_t store_watch_events(const struct store_watch *w)
{
	return w ? w->events : 0;
}

static int open_canary(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = xs_daemon_socket();
	int fd;

	if (!path || strlen(path) >= sizeof(sa.sun_path))
		return -1;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int poll_also(struct store *s, int fd)
{
	struct epoll_event e = { .events = EPOLLIN };

	return epoll_ctl(s->poll_fd, EPOLL_CTL_ADD, fd, &e);
}

int store_fd(struct store *s)
{
	if (s->poll_fd >= 0)
		return s->poll_fd;
	s->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->poll_fd < 0)
		return xs_fileno(s->xs);
	if (poll_also(s, xs_fileno(s->xs)) < 0) {
		close(s->poll_fd);
		s->poll_fd = -1;
		return xs_fileno(s->xs);
	}
	s->canary = open_canary();
	if (s->canary >= 0 && poll_also(s, s->canary) < 0) {
		close(s->canary);
		s->canary = -1;
	}
	return s->poll_fd;
}

static void mark_pending(struct store *s, const char *token)
{
	struct store_watch *w;
	uint64_t id;

	if (parse_str_u64(token, UINT64_MAX, &id))
		return;
	list_for_each (w, &s->watches[id % BUCKETS], list)
		if (w->token == id) {
			w->events++;
			if (list_empty(&w->pending))
				list_add_tail(&s->pending, &w->pending);
			return;
		}
}

/* -EPIPE when xenstored has gone.  Whatever the canary hears is its end: xenstored does not speak unasked. */
static int check_alive(struct store *s)
{
	struct pollfd p[2] = { { .fd = xs_fileno(s->xs), .events = POLLIN }, { .fd = s->canary, .events = POLLIN } };

	if (poll(p, 2, 0) > 0 && ((p[0].revents && !(p[0].revents & POLLIN)) || p[1].revents))
		return -EPIPE;
	return 0;
}

#define DRAIN_MAX 65536u /* events a turn; the rest makes the fd readable again */

int store_dispatch(struct store *s)
{
	for (unsigned i = 0; i < DRAIN_MAX; i++) {
		char **ev;

		errno = 0;
		ev = xs_check_watch(s->xs);
		if (!ev) {
			if (errno != EAGAIN)
				return last_error();
			break;
		}
		mark_pending(s, ev[XS_WATCH_TOKEN]);
		free(ev);
	}
	while (!list_empty(&s->pending)) {
		struct store_watch *w = list_entry(s->pending.next, struct store_watch, pending);

		list_del(&w->pending);
		w->fn(s, w->path, w->arg); /* may free w */
	}
	return check_alive(s);
}

int store_introduced(struct store *s, uint32_t domid)
{
	return xs_is_domain_introduced(s->xs, domid) ? 1 : 0;
}

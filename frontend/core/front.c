/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* front.c - see front.h */
#include "frontend/core/front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include <xen/io/protocols.h>

#include "common/log/log.h"
#include "common/span/span.h"
#include "common/xen/paths.h"

/* ------------------------------------------------------------------ finding */

uint32_t front_read_state(struct store *s, const char *dir)
{
	struct path p;
	uint32_t state;

	if (store_read_u32(s, NULL, path_join(&p, dir, "state"), XenbusStateReconfigured, &state) < 0)
		return XenbusStateUnknown;
	return state;
}

/* Fill @d from the directory of device @id; false when it is not one. */
static bool read_dev(struct store *s, const char *type, const char *id, struct front_dev *d)
{
	struct path p;
	char *back = NULL;
	uint32_t n;

	memset(d, 0, sizeof(*d));
	if (parse_str_u32(id, UINT32_MAX, &n) < 0)
		return false;
	d->id = n;
	snprintf(d->type, sizeof(d->type), "%s", type);
	snprintf(d->dir, sizeof(d->dir), "device/%s/%u", type, n);
	if (store_read(s, NULL, path_join(&p, d->dir, "backend"), &back) == 0 && strlen(back) < sizeof(d->back))
		memcpy(d->back, back, strlen(back) + 1);
	free(back);
	if (store_read_u32(s, NULL, path_join(&p, d->dir, "backend-id"), 0x7fefu, &n) == 0)
		d->back_domid = n;
	else
		d->back[0] = '\0';
	return true;
}

static int by_number(const void *a, const void *b)
{
	const struct front_dev *x = a, *y = b;
	int c = strcmp(x->type, y->type);

	return c ? c : x->id < y->id ? -1 : x->id > y->id;
}

int front_list(struct store *s, const char *const *types, uint32_t nr_types, struct front_dev **ret, uint32_t *nr)
{
	struct front_dev *devs = NULL, *more;
	uint32_t n = 0;

	for (uint32_t i = 0; i < nr_types; i++) {
		char dir[32], **names = NULL;
		uint32_t count = 0;
		int err;

		snprintf(dir, sizeof(dir), "device/%s", types[i]);
		err = store_list(s, NULL, dir, &names, &count);
		if (err == -ENOENT)
			continue;
		if (err < 0) {
			free(devs);
			return err;
		}
		more = realloc(devs, (n + count + 1) * sizeof(*devs));
		if (!more) {
			free(names);
			free(devs);
			return -ENOMEM;
		}
		devs = more;
		for (uint32_t k = 0; k < count; k++)
			if (read_dev(s, types[i], names[k], &devs[n]))
				n++;
		free(names);
	}
	if (n)
		qsort(devs, n, sizeof(*devs), by_number);
	*ret = devs;
	*nr = n;
	return 0;
}

enum front_there front_look(struct store *s, struct front_dev *d)
{
	struct front_dev n;
	struct path p;
	char id[16];
	uint32_t state, online;
	int err;

	snprintf(id, sizeof(id), "%u", d->id);
	if (!read_dev(s, d->type, id, &n) || !n.back[0])
		return FRONT_THERE_NOT;
	memcpy(d->back, n.back, sizeof(n.back));
	d->back_domid = n.back_domid;
	state = front_read_state(s, d->back);
	if (state != XenbusStateClosed)
		return state == XenbusStateInitWait ? FRONT_THERE_WAITS : FRONT_THERE_AWAY;
	err = store_read_u32(s, NULL, path_join(&p, d->back, "online"), 1, &online);
	return err == -ENOENT || (err == 0 && online == 1) ? FRONT_THERE_WAITS : FRONT_THERE_AWAY;
}

/* ------------------------------------------------------------------ exclusion */

/*
 * One process a device, also across name spaces: a lock on one byte of a file that all front ends of the domain find. It
 * goes away with the process, however it dies.  The file is the driver by which pages are granted; where xenstore is
 * reached through a socket that the environment names, it lies beside that.
 */
#define LOCK_DRIVER "/dev/xen/gntalloc"

static int open_lock_file(void)
{
	const char *where = getenv("XENSTORED_PATH");
	char beside[STORE_PATH_MAX];
	int n;

	if (!where)
		return open(LOCK_DRIVER, O_RDWR | O_CLOEXEC);
	n = snprintf(beside, sizeof(beside), "%s.lock", where);
	if (n < 0 || (size_t)n >= sizeof(beside)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(beside, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int take_lock(const struct front_dev *d, int *ret)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
	char driver[96];
	int fd;

	snprintf(driver, sizeof(driver), "/sys/bus/xen/devices/%s-%u/driver", d->type, d->id);
	if (access(driver, F_OK) == 0)
		return -EBUSY;
	for (const char *c = d->dir; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
	l.l_start = (off_t)(hash >> 2);
	fd = open_lock_file();
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &l) < 0) {
		int err = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;

		close(fd);
		return err;
	}
	*ret = fd;
	return 0;
}

/* ------------------------------------------------------------------ rings */

void front_queue_free(struct front_queue *q)
{
	for (uint32_t k = 0; k < FRONT_MAX_RINGS; k++) {
		if (q->ring[k].pages)
			share_revoke(q->share, q->ring[k].pages, (uint32_t)(q->ring[k].bytes / PAGE_BYTES));
		if (q->ring[k].port && (k == 0 || q->ring[k].port != q->ring[0].port))
			evtchn_unbind(q->evtchn, q->ring[k].port);
	}
	share_close(q->share);
	evtchn_close(q->evtchn);
	memset(q, 0, sizeof(*q));
}

uint32_t front_life(const struct front *f)
{
	return f->lives;
}

bool front_take_queue(struct front *f, uint32_t life, uint32_t i, struct front_queue *ret)
{
	bool there;

	pthread_mutex_lock(&f->mutex);
	there = f->ready == life && i < f->nr_queues && f->queue[i].evtchn;
	if (there) {
		*ret = f->queue[i];
		memset(&f->queue[i], 0, sizeof(f->queue[i]));
	}
	pthread_mutex_unlock(&f->mutex);
	return there;
}

/* Those that nobody has taken. */
static void free_queues(struct front *f)
{
	pthread_mutex_lock(&f->mutex);
	f->ready = 0;
	pthread_mutex_unlock(&f->mutex);
	if (f->prepared)
		f->class->release(f, f->arg);
	f->prepared = false;
	for (uint32_t i = 0; i < FRONT_MAX_QUEUES; i++)
		front_queue_free(&f->queue[i]);
}

static int alloc_ring(struct front *f, struct front_queue *q, uint32_t k)
{
	struct front_ring *r = &q->ring[k];
	uint32_t pages = 1u << f->order;
	int err;

	err = share_pages(q->share, f->dev.back_domid, pages, true, r->refs, &r->pages);
	if (err < 0)
		return err;
	r->bytes = (size_t)pages * PAGE_BYTES;
	if (k > 0 && !f->split) {
		r->port = q->ring[0].port;
		return 0;
	}
	err = evtchn_alloc(q->evtchn, f->dev.back_domid);
	if (err < 0)
		return err;
	r->port = (uint32_t)err;
	return 0;
}

static int alloc_queue(struct front *f, struct front_queue *q)
{
	int err;

	err = share_open(&q->share);
	if (err == 0)
		err = evtchn_open(&q->evtchn);
	for (uint32_t k = 0; k < f->class->nr_rings && err == 0; k++)
		err = alloc_ring(f, q, k);
	return err;
}

static int alloc_queues(struct front *f)
{
	int err = 0;

	if (f->nr_queues < 1 || f->nr_queues > FRONT_MAX_QUEUES || f->order > FRONT_MAX_ORDER)
		return -EINVAL;
	for (uint32_t i = 0; i < f->nr_queues && err == 0; i++)
		err = alloc_queue(f, &f->queue[i]);
	if (err == 0) {
		f->prepared = true;
		err = f->class->prepare(f, f->arg);
	}
	return err;
}

/* ------------------------------------------------------------------ nodes */

/* Nodes of an earlier connection, whatever layout it used. */
static int remove_stale(struct front *f, struct store *s, struct store_tx *t)
{
	static const char *const begin[] = { "ring-", "tx-ring-", "rx-ring-", "queue-", "event-channel" };
	static const char *const exact[] = { "multi-queue-num-queues", "num-ring-pages" };
	char **names;
	uint32_t nr;
	int err;

	err = store_list(s, t, f->dev.dir, &names, &nr);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < nr && err == 0; i++) {
		struct path p;
		bool stale = false;

		for (size_t k = 0; k < ARRAY_SIZE(begin); k++)
			stale = stale || !strncmp(names[i], begin[k], strlen(begin[k]));
		for (size_t k = 0; k < ARRAY_SIZE(exact); k++)
			stale = stale || !strcmp(names[i], exact[k]);
		if (stale)
			err = store_rm(s, t, path_join(&p, f->dev.dir, names[i]));
	}
	free(names);
	return err;
}

/* NAME, or NAME%u with ring-page-order beside it */
static int write_ring(struct front *f, struct store *s, struct store_tx *t, const char *dir, struct front_ring *r,
		      const char *name)
{
	struct path p;
	char leaf[24];
	int err = 0;

	if (f->order == 0)
		return store_writef(s, t, path_join(&p, dir, name), "%u", r->refs[0]);
	for (uint32_t k = 0; k < 1u << f->order && err == 0; k++) {
		snprintf(leaf, sizeof(leaf), "%s%u", name, k);
		err = store_writef(s, t, path_join(&p, dir, leaf), "%u", r->refs[k]);
	}
	return err;
}

static int write_queue(struct front *f, struct store *s, struct store_tx *t, const char *dir, uint32_t i)
{
	const struct front_class *c = f->class;
	struct front_queue *q = &f->queue[i];
	struct path p;
	int err = 0;

	for (uint32_t k = 0; k < c->nr_rings && err == 0; k++)
		err = write_ring(f, s, t, dir, &q->ring[k], c->ring[k]);
	for (uint32_t k = 0; k < (f->split ? c->nr_rings : 1) && err == 0; k++)
		err = store_writef(s, t, path_join(&p, dir, f->split ? c->channel[k] : "event-channel"), "%u",
				   q->ring[k].port);
	return err;
}

static int write_state(struct front *f, struct store_tx *t, uint32_t state)
{
	struct path p;

	return store_writef(f->store, t, path_join(&p, f->dev.dir, "state"), "%u", state);
}

static int publish_tx(struct store *s, struct store_tx *t, void *arg)
{
	struct front *f = arg;
	struct path p, queue;
	char leaf[24];
	int err;

	err = remove_stale(f, s, t);
	if (err == 0 && f->order)
		err = store_writef(s, t, path_join(&p, f->dev.dir, "ring-page-order"), "%u", f->order);
	if (err == 0 && f->nr_queues > 1)
		err = store_writef(s, t, path_join(&p, f->dev.dir, "multi-queue-num-queues"), "%u", f->nr_queues);
	if (err == 0 && f->nr_queues == 1)
		err = write_queue(f, s, t, f->dev.dir, 0);
	for (uint32_t i = 0; f->nr_queues > 1 && i < f->nr_queues && err == 0; i++) {
		snprintf(leaf, sizeof(leaf), "queue-%u", i);
		path_join(&queue, f->dev.dir, leaf);
		err = write_queue(f, s, t, queue.s, i);
	}
	if (err == 0)
		err = store_write(s, t, path_join(&p, f->dev.dir, "protocol"), XEN_IO_PROTO_ABI_NATIVE);
	if (err == 0)
		err = f->class->publish(f, t, f->arg);
	if (err == 0)
		err = write_state(f, t, f->class->published);
	return err;
}

static int reset_tx(struct store *s, struct store_tx *t, void *arg)
{
	struct front *f = arg;
	int err = remove_stale(f, s, t);

	return err < 0 ? err : write_state(f, t, XenbusStateInitialising);
}

/* ------------------------------------------------------------------ states */

static void step(struct front *f, enum front_event ev)
{
	enum front_state was = f->state;
	struct front_step st = front_step(was, ev);
	int err = 0;

	f->state = st.next;
	if (st.next != was)
		log_debug("%s: %s -> %s", f->dev.dir, front_state_name(was), front_state_name(st.next));
	if (was == FRONT_CONNECTED && st.next == FRONT_DEAD && !f->closing) {
		/* Before our Closed is there to be read: what is in the rings afterwards means nothing. */
		f->ended = true;
		f->class->ended(f, -ENODEV, f->arg);
	}
	if (st.todo & FRONT_DO_PUBLISH) {
		err = f->class->offer(f, f->arg);
		if (err == 0)
			err = alloc_queues(f);
		if (err == 0)
			err = store_transact(f->store, publish_tx, f); /* its state too */
	} else if (st.todo & FRONT_DO_CONNECT) {
		err = f->class->connected(f, false, f->arg);
		if (err == 0 && f->class->published != st.xenbus)
			err = write_state(f, NULL, st.xenbus);
	} else if (st.todo & FRONT_DO_WRITE &&
		   (ev != FRONT_EV_BACK_UNKNOWN || front_read_state(f->store, f->dev.dir) != XenbusStateUnknown)) {
		/* (When both directories have been removed there is no node to write.) */
		err = write_state(f, NULL, st.xenbus);
	}
	if (st.todo & FRONT_DO_RESIZED)
		err = f->class->connected(f, true, f->arg);
	if (err < 0 && f->err == 0)
		f->err = err;
	/* FRONT_DO_RELEASE: the rings may be in a thread's hands; front_close() does it when they are not. */
}

static void on_back_state(struct store *s, const char *path, void *arg)
{
	struct front *f = arg;

	f->changed = true;
}

/* Feed what the back end's state node says now. */
static void look(struct front *f)
{
	uint32_t state = front_read_state(f->store, f->dev.back);

	f->changed = false;
	if (state != f->back_state)
		log_debug("%s: back end is %s", f->dev.dir, xenbus_state_name(state));
	f->back_state = state;
	if (f->state == FRONT_CONNECTED && state == XenbusStateClosing && !f->closing) {
		/*
		 * It asks.  Our answer comes from front_close(), when our user has everything back that is in
		 * flight: until then its rings are served, and after it they may not be.
		 */
		if (!f->ended)
			f->class->ended(f, 0, f->arg);
		f->ended = true;
		return;
	}
	step(f, (enum front_event)(FRONT_EV_BACK_UNKNOWN + state));
}

int front_dispatch(struct front *f)
{
	int err = store_dispatch(f->store);

	if (err < 0)
		return err;
	if (f->changed)
		look(f);
	return 0;
}

/* Sleep until xenstore has news or @deadline (now_ns()) has passed: 0, -ETIMEDOUT, -ECANCELED, -errno. */
static int wait_news(struct front *f, uint64_t deadline)
{
	struct pollfd p[2] = { { .fd = store_fd(f->store), .events = POLLIN },
			       { .fd = f->cancel_fd, .events = POLLIN } };
	uint64_t now = now_ns();
	int n;

	if (now >= deadline)
		return -ETIMEDOUT;
	n = poll(p, 2, (int)MIN((deadline - now) / 1000000 + 1, (uint64_t)1000));
	if (n < 0)
		return errno == EINTR ? -EINTR : -errno;
	if (p[1].revents)
		return -ECANCELED;
	return n ? store_dispatch(f->store) : 0;
}

/* Wait, without stepping the machine, until the back end's state is in the set @states (1 << state). */
static int wait_back(struct front *f, uint32_t states, uint64_t deadline)
{
	int err;

	for (;;) {
		f->back_state = front_read_state(f->store, f->dev.back);
		if (states & 1u << f->back_state)
			return 0;
		if (f->back_state == XenbusStateUnknown && !store_exists(f->store, NULL, f->dev.back))
			return -ENODEV;
		err = wait_news(f, deadline);
		if (err < 0)
			return err;
	}
}

/* A predecessor that did not close: make the back end let go of its rings, then start as new. */
static int reset(struct front *f, uint64_t deadline)
{
	uint32_t ours = front_read_state(f->store, f->dev.dir);
	uint64_t soon = MIN(deadline, now_ns() + 2000000000u);
	int err;

	if (ours == XenbusStateInitialising)
		return 0;
	if (ours == XenbusStateUnknown)
		return store_transact(f->store, reset_tx, f);
	log_debug("%s: was left %s; closing first", f->dev.dir, xenbus_state_name(ours));
	err = write_state(f, NULL, XenbusStateClosed);
	if (err < 0)
		return err;
	/* A back end in InitWait has no ring to let go of, and some stay there. */
	err = wait_back(f, 1u << XenbusStateClosed,
			front_read_state(f->store, f->dev.back) == XenbusStateInitWait ? soon : deadline);
	if (err == -ETIMEDOUT && f->back_state == XenbusStateInitWait)
		err = 0;
	if (err < 0)
		return err;
	return store_transact(f->store, reset_tx, f);
}

/* ------------------------------------------------------------------ lives */

#define SLICE_MS 50u
#define LOOK_MS  10u /* at most so often is looked at what a back end says */

static void on_link(struct store *s, const char *path, void *arg)
{
	struct front *f = arg;

	f->changed = true;
}

/* The back end that f->dev names, and where its device is made or taken away. */
static int watch_back(struct front *f)
{
	struct path p;

	store_unwatch(f->watch);
	f->watch = NULL;
	return store_watch(f->store, path_join(&p, f->dev.back, "state"), on_back_state, f, &f->watch);
}

int front_open(struct store *s, const struct front_dev *dev, const struct front_class *class, void *arg,
	       struct front **ret)
{
	struct front *f;
	struct path p;
	int err;

	if (!dev->back[0])
		return -ENODEV;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->store = s;
	f->dev = *dev;
	f->class = class;
	f->arg = arg;
	f->lock = f->cancel_fd = -1;
	f->state = FRONT_WAITING;
	pthread_mutex_init(&f->mutex, NULL);
	err = take_lock(dev, &f->lock);
	if (err == 0)
		err = watch_back(f);
	if (err == 0)
		err = store_watch(s, path_join(&p, dev->dir, "backend"), on_link, f, &f->link_watch);
	if (err < 0) {
		front_free(f);
		return err;
	}
	*ret = f;
	return 0;
}

static int connect_until(struct front *f, uint64_t deadline)
{
	int err = reset(f, deadline);

	/* What was left of an earlier life is over when the back end waits for us; only then is its state ours to follow. */
	if (err == 0)
		err = wait_back(f, 1u << XenbusStateInitWait, deadline);
	f->changed = true;
	while (err == 0 && f->state != FRONT_CONNECTED) {
		if (f->changed)
			look(f);
		if (f->err < 0)
			err = f->err;
		else if (f->state == FRONT_DEAD)
			err = f->back_state == XenbusStateUnknown ? -ENODEV : -ECONNREFUSED;
		else if (f->state == FRONT_CLOSING || f->state == FRONT_CLOSED)
			err = -ECONNREFUSED;
		else if (f->state != FRONT_CONNECTED && !f->changed)
			err = wait_news(f, deadline);
	}
	if (err == 0)
		err = f->err;
	if (err < 0)
		return err;
	pace_connected(&f->pace, now_ns());
	pthread_mutex_lock(&f->mutex);
	f->ready = ++f->lives;
	pthread_mutex_unlock(&f->mutex);
	return 0;
}

int front_connect(struct front *f, uint32_t ms)
{
	return connect_until(f, now_ns() + (uint64_t)ms * 1000000u);
}

bool front_over(const struct front *f)
{
	return f->ended && !f->closing;
}

bool front_asked(const struct front *f)
{
	return f->state == FRONT_CONNECTED && f->ended;
}

/* The closing handshake, up to our Closed. */
static int close_until(struct front *f, uint64_t deadline)
{
	int err = 0;

	f->ended = f->closing = true; /* nobody to tell any more */
	step(f, FRONT_EV_CLOSE);
	while (err == 0 && f->state == FRONT_CLOSING) {
		look(f);
		if (f->state == FRONT_CLOSING)
			err = wait_news(f, deadline);
	}
	if (err < 0 && err != -ECANCELED && write_state(f, NULL, XenbusStateClosed) == 0)
		log_debug("%s: closed without the back end", f->dev.dir);
	return err;
}

int front_let_go(struct front *f, uint32_t ms)
{
	return close_until(f, now_ns() + (uint64_t)ms * 1000000u);
}

/* Is there somebody to connect to? */
static bool invited(struct front *f)
{
	struct front_dev d = f->dev;
	enum front_there there = front_look(f->store, &d);

	if (there == FRONT_THERE_NOT)
		return false;
	f->dev.back_domid = d.back_domid;
	if (strcmp(d.back, f->dev.back) != 0) {
		log_info("%s: the device has another back end: %s", f->dev.dir, d.back);
		memcpy(f->dev.back, d.back, sizeof(d.back));
		if (watch_back(f) < 0)
			return false;
	}
	return there == FRONT_THERE_WAITS;
}

/*
 * Until @until, whatever happens meanwhile: 0, -ETIMEDOUT when @deadline comes first, -ECANCELED, -errno when xenstore is lost.  What it
 * says in between is taken off its hands now and then, and costs no more than that.
 */
static int pause_until(struct front *f, uint64_t until, uint64_t deadline)
{
	struct pollfd p = { .fd = f->cancel_fd, .events = POLLIN };
	uint64_t now, end = MIN(until, deadline);
	int err = 0;

	while (err == 0 && (now = now_ns()) < end) {
		if (poll(&p, 1, (int)MIN((end - now) / 1000000 + 1, (uint64_t)SLICE_MS)) > 0)
			return -ECANCELED;
		err = store_dispatch(f->store);
	}
	return err ? err : end < until ? -ETIMEDOUT : 0;
}

/* Until there is somebody to connect to. */
static int wait_invitation(struct front *f, uint64_t deadline)
{
	int err = 0;

	while (err == 0 && !invited(f)) {
		err = wait_news(f, deadline);
		if (err == 0)
			err = pause_until(f, now_ns() + LOOK_MS * (uint64_t)1000000, deadline);
	}
	return err;
}

/* One try. */
static int try_again(struct front *f, uint64_t deadline)
{
	/* What the life before, or the try before, left. */
	free_queues(f);
	step(f, FRONT_EV_AGAIN);
	f->ended = f->closing = false;
	f->err = 0;
	return connect_until(f, deadline);
}

int front_again(struct front *f, uint64_t deadline, uint32_t try_ms, int *why)
{
	uint32_t ours = front_read_state(f->store, f->dev.dir);
	int err, failed = 0;

	free_queues(f);
	/* We have let go, and whoever looks shall see it; but a device that has been made anew is not to be closed. */
	if (ours != XenbusStateUnknown && ours != XenbusStateInitialising && ours != XenbusStateClosed &&
	    write_state(f, NULL, XenbusStateClosed) < 0)
		log_debug("%s: cannot say that it is closed", f->dev.dir);
	for (;;) {
		uint64_t now = now_ns();

		err = pause_until(f, now + pace_next(&f->pace, now), deadline);
		if (err == 0)
			err = wait_invitation(f, deadline);
		if (err < 0)
			break;
		err = try_again(f, MIN(deadline, now_ns() + try_ms * (uint64_t)1000000));
		if (err == 0 || err == -ECANCELED || now_ns() >= deadline)
			break;
		failed = err;
		log_debug("%s: could not connect again: %s", f->dev.dir, strerror(-err));
	}
	if (why)
		*why = failed;
	return err;
}

int front_close(struct front *f, uint32_t ms)
{
	uint64_t deadline = now_ns() + (uint64_t)ms * 1000000u;
	bool their_wish = f->ended;
	int err;

	f->cancel_fd = -1;
	if (f->state == FRONT_WAITING) {
		/* Nothing was published; the back end waits for us, or will. */
		free_queues(f);
		return 0;
	}
	err = close_until(f, deadline);
	if (err == 0)
		err = wait_back(f, 1u << XenbusStateClosed | 1u << XenbusStateInitWait, deadline);
	/* Closed at both ends; or the back end has forgotten us, or is not there to care. */
	free_queues(f);
	if (err == 0 && !their_wish)
		err = store_transact(f->store, reset_tx, f);
	return err == -ENODEV ? 0 : err;
}

void front_free(struct front *f)
{
	if (!f)
		return;
	free_queues(f);
	store_unwatch(f->watch);
	store_unwatch(f->link_watch);
	if (f->lock >= 0)
		close(f->lock);
	pthread_mutex_destroy(&f->mutex);
	free(f);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * client.c: the process's connection to the broker, and its cached views of the shared memory.
 *
 * Theory. Hot paths read the caches with no lock: hx_dom_get() and hx_region_get() are an atomic load and a compare of
 * generations with the world's. A view that is out of date is replaced under hx_slow, and the old one is buried: kept
 * mapped for a second more, because another thread may be in the middle of a notify through it. A region needs more:
 * its mapping may be dropped only when the region is dead for the broker, which it is not before its last pin and
 * hazard have gone; so a thread that holds either can go on using it.
 */
#include "hostxen/lib/lib.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct hx_self hx_self;
pthread_mutex_t hx_slow = PTHREAD_MUTEX_INITIALIZER;

static pthread_mutex_t call_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	int fd; /* -1: not connected */
	pid_t pid;
	dev_t dev;
	ino_t ino; /* to notice that the program closed our descriptor and reused its number */
} conn = { .fd = -1 };

static _Atomic(struct hx_dom *) doms[HX_DOMIDS];
static _Atomic(struct hx_region *) regions[HX_REGIONS];
static struct hx_region *region_free[64]; /* structs to use again; they are never freed (readers may look at one) */
static unsigned nregion_free;

/* --- the graveyard ------------------------------------------------------ */

static struct grave {
	struct grave *next;
	time_t when;
	int fd;
	void *addr;
	size_t len;
} * graves;

static time_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec;
}

void hx_bury(int fd, void *addr, size_t len)
{
	struct grave *g, **p = &graves;
	while ((g = *p)) {
		if (g->when + 2 > now()) {
			p = &g->next;
			continue;
		}
		*p = g->next;
		if (g->fd >= 0)
			close(g->fd);
		if (g->addr)
			munmap(g->addr, g->len);
		free(g);
	}
	g = malloc(sizeof(*g));
	if (!g)
		return; /* leaked, which is safe */
	*g = (struct grave){ .next = graves, .when = now(), .fd = fd, .addr = addr, .len = len };
	graves = g;
}

/* --- the connection ----------------------------------------------------- */

/* Out of the way of programs that count on low numbers. */
static int move_up(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 200);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

static int do_send(int fd, const struct hx_req *req, int send_fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)(uintptr_t)req, sizeof(*req) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	if (send_fd >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &send_fd, sizeof(int));
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*req) ? 0 : -errno;
}

static int do_recv(int fd, struct hx_rsp *rsp, int *fds, unsigned nfds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { rsp, sizeof(*rsp) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)
	};
	unsigned got = 0;
	ssize_t n;
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*rsp))
		return -ENODEV;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		unsigned have = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (unsigned i = 0; i < have; i++) {
			int f;
			memcpy(&f, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (got < nfds)
				fds[got++] = f;
			else
				close(f);
		}
	}
	if (rsp->err)
		return rsp->err;
	if (got == nfds)
		return 0;
	while (got)
		close(fds[--got]);
	return -EMFILE; /* the kernel could not give us the descriptors */
}

static void *map_file(int fd, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *dir = getenv("HOSTXEN_DIR");
	if (!dir || (size_t)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/" HX_SOCKET, dir) >= sizeof(sa.sun_path))
		return -ENOENT;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	fd = move_up(fd);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

/* A new connection, call_lock held. In a forked child it is the same world and domain again. */
static int hello(void)
{
	struct hx_req req = { .op = HX_HELLO };
	struct hx_rsp rsp;
	struct stat st;
	int fds[2], err, fd;
	const char *id = getenv("HOSTXEN_DOMID");
	req.arg[0] = hx_self.world ? hx_self.domid : id ? (uint32_t)strtoul(id, NULL, 10) : 0;
	fd = dial();
	if (fd < 0)
		return fd;
	err = do_send(fd, &req, -1);
	if (!err)
		err = do_recv(fd, &rsp, fds, 2);
	if (err || fstat(fd, &st)) {
		close(fd);
		return err ? err : -errno;
	}
	if (hx_self.world && hx_self.gen != rsp.value[0]) { /* our domain died and its number is in use again */
		close(fds[0]);
		close(fds[1]);
		close(fd);
		return -ENODEV;
	}
	if (hx_self.world) {
		close(fds[0]);
		close(fds[1]);
	} else {
		struct hx_world *w = map_file(fds[0], sizeof(struct hx_world));
		hx_self.dom = map_file(fds[1], sizeof(struct hx_dom));
		if (!w || !hx_self.dom || w->magic != HX_MAGIC || w->version != HX_VERSION) {
			close(fd);
			return -ENODEV;
		}
		hx_self.domid = req.arg[0];
		hx_self.gen = rsp.value[0];
		hx_self.world = w;
	}
	conn.fd = fd;
	conn.pid = getpid();
	conn.dev = st.st_dev;
	conn.ino = st.st_ino;
	return 0;
}

static bool still_ours(void)
{
	struct stat st;
	return !fstat(conn.fd, &st) && st.st_dev == conn.dev && st.st_ino == conn.ino;
}

/* call_lock held */
static int ready(void)
{
	if (conn.fd >= 0 && !still_ours())
		conn.fd = -1;
	if (conn.fd >= 0 && conn.pid != getpid()) { /* a child by vfork or clone, which pthread_atfork did not see */
		close(conn.fd);
		conn.fd = -1;
	}
	return conn.fd >= 0 ? 0 : hello();
}

int hx_connect(void)
{
	pthread_mutex_lock(&call_lock);
	int err = ready();
	pthread_mutex_unlock(&call_lock);
	return err;
}

int hx_call(const struct hx_req *req, int send_fd, struct hx_rsp *rsp, int *fds, unsigned nfds)
{
	pthread_mutex_lock(&call_lock);
	int err = ready();
	if (!err) {
		err = do_send(conn.fd, req, send_fd);
		if (err == -EPIPE || err == -ECONNRESET)
			err = -ENODEV;
		if (!err)
			err = do_recv(conn.fd, rsp, fds, nfds);
	}
	pthread_mutex_unlock(&call_lock);
	return err;
}

void hx_handle_closed(uint32_t hid)
{
	struct hx_rsp rsp;
	(void)hx_call(&(struct hx_req){ .op = HX_HANDLE_CLOSED, .arg = { hid } }, -1, &rsp, NULL, 0);
}

/* --- domains ------------------------------------------------------------ */

static struct hx_dom *dom_fetch(uint32_t domid)
{
	struct hx_rsp rsp;
	int fd;
	struct hx_dom *old, *d = NULL;
	pthread_mutex_lock(&hx_slow);
	old = atomic_load(&doms[domid]);
	if (old && old->gen == atomic_load(&hx_self.world->dom[domid].gen)) {
		pthread_mutex_unlock(&hx_slow);
		return old;
	}
	if (!hx_call(&(struct hx_req){ .op = HX_DOM_MAP, .arg = { domid } }, -1, &rsp, &fd, 1))
		d = map_file(fd, sizeof(struct hx_dom));
	atomic_store(&doms[domid], d);
	if (old)
		hx_bury(-1, old, sizeof(*old));
	pthread_mutex_unlock(&hx_slow);
	return d;
}

struct hx_dom *hx_dom_get(uint32_t domid)
{
	if (domid == DOMID_SELF_)
		domid = hx_self.domid;
	if (domid >= HX_DOMIDS)
		return NULL;
	uint32_t gen = atomic_load_explicit(&hx_self.world->dom[domid].gen, memory_order_acquire);
	if (!gen)
		return NULL;
	struct hx_dom *d = atomic_load_explicit(&doms[domid], memory_order_acquire);
	return __builtin_expect(d && d->gen == gen, 1) ? d : dom_fetch(domid);
}

/* --- regions ------------------------------------------------------------ */

static void region_drop(struct hx_region *r)
{
	uint8_t *rw = atomic_load(&r->rw), *ro = atomic_load(&r->ro);
	atomic_store(&regions[r->slot], NULL);
	if (rw)
		munmap(rw, r->size);
	if (ro)
		munmap(ro, r->size);
	close(r->fd);
	if (nregion_free < 64)
		region_free[nregion_free++] = r;
}

/* Regions that died since: nobody can hold a pin on one. hx_slow held. */
static void region_sweep(void)
{
	for (uint32_t i = 0; i < HX_REGIONS; i++) {
		struct hx_region *r = atomic_load_explicit(&regions[i], memory_order_relaxed);
		if (r && r->gen != atomic_load(&hx_self.world->region_gen[i]))
			region_drop(r);
	}
}

static struct hx_region *region_fetch(uint32_t slot, uint32_t gen)
{
	struct hx_rsp rsp;
	int fd, err;
	pthread_mutex_lock(&hx_slow);
	struct hx_region *r = atomic_load(&regions[slot]);
	if (r && r->gen == gen)
		goto out;
	region_sweep();
	err = hx_call(&(struct hx_req){ .op = HX_REGION_MAP, .arg = { slot, gen } }, -1, &rsp, &fd, 1);
	r = NULL;
	if (err) {
		errno = -err;
		goto out;
	}
	r = nregion_free ? region_free[--nregion_free] : calloc(1, sizeof(*r));
	if (!r) {
		close(fd);
		goto out;
	}
	r->slot = slot;
	r->size = rsp.value[0];
	r->fd = fd;
	atomic_store(&r->rw, NULL);
	atomic_store(&r->ro, NULL);
	r->gen = gen;
	atomic_store_explicit(&regions[slot], r, memory_order_release);
out:
	pthread_mutex_unlock(&hx_slow);
	return r;
}

struct hx_region *hx_region_get(uint32_t slot, uint32_t gen)
{
	if (slot >= HX_REGIONS)
		return NULL;
	struct hx_region *r = atomic_load_explicit(&regions[slot], memory_order_acquire);
	return __builtin_expect(r && r->gen == gen, 1) ? r : region_fetch(slot, gen);
}

static uint8_t *region_map(struct hx_region *r, bool writable)
{
	_Atomic(uint8_t *) *base = writable ? &r->rw : &r->ro;
	pthread_mutex_lock(&hx_slow);
	uint8_t *p = atomic_load(base);
	if (!p) {
		p = mmap(NULL, r->size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED | MAP_NORESERVE,
			 r->fd, 0);
		if (p == MAP_FAILED)
			p = NULL;
		else
			(void)madvise(p, r->size, MADV_DONTDUMP); /* a core file of the sparse file would be huge */
		atomic_store(base, p);
	}
	pthread_mutex_unlock(&hx_slow);
	return p;
}

uint8_t *hx_region_base(struct hx_region *r, bool writable)
{
	uint8_t *p = atomic_load_explicit(writable ? &r->rw : &r->ro, memory_order_acquire);
	return __builtin_expect(p != NULL, 1) ? p : region_map(r, writable);
}

/* --- hazard slots: one a thread, given back when it ends ------------------ */

static __thread struct hx_hazard *my_hazard;
static pthread_key_t hazard_key;
static struct hx_hazard *spare[256];
static unsigned nspare;

static void hazard_put(void *slot)
{
	pthread_mutex_lock(&hx_slow);
	if (nspare < 256)
		spare[nspare++] = slot;
	pthread_mutex_unlock(&hx_slow);
}

static struct hx_hazard *hazard_fetch(void)
{
	struct hx_rsp rsp;
	pthread_mutex_lock(&hx_slow);
	struct hx_hazard *hz = nspare ? spare[--nspare] : NULL;
	pthread_mutex_unlock(&hx_slow);
	if (!hz) {
		if (hx_call(&(struct hx_req){ .op = HX_HAZARD }, -1, &rsp, NULL, 0))
			return NULL;
		hz = &hx_self.world->hazard[rsp.value[0]];
	}
	(void)pthread_setspecific(hazard_key, hz);
	return my_hazard = hz;
}

struct hx_hazard *hx_hazard_get(void)
{
	return __builtin_expect(my_hazard != NULL, 1) ? my_hazard : hazard_fetch();
}

/* --- life of the process ------------------------------------------------- */

/* The child may use none of the parent's handles (libxen's rule), but may open its own. */
static void in_child(void)
{
	pthread_mutex_init(&call_lock, NULL);
	pthread_mutex_init(&hx_slow, NULL);
	if (conn.fd >= 0 && still_ours())
		close(conn.fd);
	conn.fd = -1;
	my_hazard = NULL;
	nspare = 0;
}

__attribute__((constructor)) static void init(void)
{
	(void)pthread_key_create(&hazard_key, hazard_put);
	(void)pthread_atfork(NULL, NULL, in_child);
	hx_strict = getenv("HOSTXEN_STRICT") != NULL;
}

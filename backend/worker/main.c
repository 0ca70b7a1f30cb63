/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * main.c - the data plane of one guest and class: synth-blkd-worker --domid N --name NAME, with the control plane on fd 3,
 * and on fd 4 a socket where the next control plane finds it when this one has died.
 *
 * It opens its grant handle, makes what else cannot be made later, is confined (sandbox.h), says HELLO, and from then on
 * opens nothing: images, sockets and event channels arrive as fds (backend/control/wire.h).  This thread reads messages
 * and starts and joins queue threads; it touches no ring.  On SIGTERM or QUIT every device is drained and the process ends.
 * When the socket closes without these, guests are served on, and the next control plane is told what there is.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/worker/device.h"

#define DRAIN_LOOK_MS 1000

struct worker worker;

static struct {
	bool quitting;  /* drain all, then leave */
	int sock;       /* to the control plane; -1: it is gone, nobody to answer */
	int listener;   /* for the next one; -1: there is no next, when it is gone we drain */
	uid_t uid;      /* whose control planes are ours */
	uint32_t parts; /* we were told to load */
	bool quit_due;  /* answer QUIT when drained */
	uint32_t quit_seq;
} life;

static struct wire_msg msg; /* too big for a stack */

void worker_wake(void)
{
	const uint64_t one = 1;
	ssize_t n = write(worker.wake_fd, &one, sizeof(one));

	(void)n;
}

/* Nobody is left to answer to: what was to be answered is not. */
static void lost_control(const char *how)
{
	struct device *d;

	if (life.sock >= 0)
		close(life.sock);
	life.sock = -1;
	list_for_each (d, &worker.devices, link)
		d->reply_due = false;
	if (life.quitting)
		return;
	/* One that has no device is of no use to the next. */
	if (life.listener < 0 || list_empty(&worker.devices)) {
		log_info("the control plane %s: draining", how);
		life.quitting = true;
	} else {
		log_info("the control plane %s: serving on until the next one comes", how);
	}
}

static void send_with(const struct wire_hdr *h, const void *body, const int *fds, uint32_t nr_fds)
{
	int rc = life.sock < 0 ? 0 : wire_send(life.sock, h, body, fds, nr_fds);

	if (rc)
		lost_control(strerror(-rc));
}

static void send_or_leave(const struct wire_hdr *h, const void *body)
{
	send_with(h, body, NULL, 0);
}

static void reply(uint16_t type, uint32_t seq, uint32_t handle, int err, const void *body, uint32_t bytes)
{
	struct wire_hdr h = { .type = (uint16_t)(type | WIRE_REPLY),
			      .seq = seq,
			      .handle = handle,
			      .err = err,
			      .bytes = err ? 0 : bytes };

	send_or_leave(&h, body);
}

static int do_open(const struct wire_hdr *h, void *body, uint32_t *bytes)
{
	struct device *d;
	int rc;

	if (device_find(h->handle) || life.quitting) {
		for (uint32_t i = 0; i < msg.nr_fds; i++)
			close(msg.fds[i]);
		return life.quitting ? -ESHUTDOWN : -EEXIST;
	}
	rc = device_open(h->handle, &msg, body, bytes, &d);
	if (rc)
		return rc;
	log_debug("%s: open", d->name);
	if (*bytes <= sizeof(d->info)) {
		memcpy(d->info, body, *bytes);
		d->info_bytes = *bytes;
	}
	return 0;
}

/* Kept for the next control plane, and given back as it is. */
static int do_tag(struct device *d)
{
	struct wire_tag t;
	bool ok = msg.hdr.bytes >= sizeof(t);

	if (ok) {
		memcpy(&t, msg.body, sizeof(t));
		ok = t.bytes <= WIRE_TAG_MAX && msg.hdr.bytes == sizeof(t) + t.bytes &&
		     memchr(t.uuid, '\0', sizeof(t.uuid));
	}
	if (!ok) {
		for (uint32_t i = 0; i < msg.nr_fds; i++)
			close(msg.fds[i]);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < d->nr_tag_fds; i++)
		close(d->tag_fds[i]);
	d->tag = t;
	memcpy(d->tag_body, msg.body + sizeof(t), t.bytes);
	memcpy(d->tag_fds, msg.fds, msg.nr_fds * sizeof(int));
	d->nr_tag_fds = msg.nr_fds;
	return 0;
}

static int do_connect(struct device *d)
{
	struct wire_connect c;

	if (msg.hdr.bytes != sizeof(c) || life.quitting) {
		for (uint32_t i = 0; i < msg.nr_fds; i++)
			close(msg.fds[i]);
		return life.quitting ? -ESHUTDOWN : -EINVAL;
	}
	memcpy(&c, msg.body, sizeof(c));
	return device_connect(d, &c, msg.fds, msg.nr_fds);
}

/* A second DISCONNECT while the first waits: the first is answered now, the later when the drain is over. */
static void do_disconnect(struct device *d, const struct wire_hdr *h)
{
	struct wire_disconnect how = { 0 };

	if (h->bytes == sizeof(how))
		memcpy(&how, msg.body, sizeof(how));
	if (d->reply_due)
		reply(WIRE_DISCONNECT, d->reply_seq, d->handle, -EALREADY, NULL, 0);
	d->reply_due = true;
	d->reply_seq = h->seq;
	device_disconnect(d, how.finish == 1);
}

static int do_trace(struct device *d)
{
	struct wire_trace t;

	if (msg.hdr.bytes != sizeof(t) || msg.nr_fds > 1 || !d->class->trace) {
		for (uint32_t i = 0; i < msg.nr_fds; i++)
			close(msg.fds[i]);
		return -EINVAL;
	}
	memcpy(&t, msg.body, sizeof(t));
	return d->class->trace(d, &t, msg.nr_fds ? msg.fds[0] : -1);
}

static int do_limits(void)
{
	struct wire_limits l;

	if (msg.hdr.bytes != sizeof(l))
		return -EINVAL;
	memcpy(&l, msg.body, sizeof(l));
	grant_limit(worker.grant, l.max_grants);
	if (worker_class->limits)
		worker_class->limits(&l);
	return 0;
}

static int do_stat(struct device *d, char *body, uint32_t *bytes)
{
	struct metrics_out o = { .buf = body, .size = WIRE_MAX_BODY };

	device_stat(d, &o);
	*bytes = (uint32_t)o.used;
	return 0;
}

static void handle_message(void)
{
	static char body[WIRE_MAX_BODY] __attribute__((aligned(16)));
	const struct wire_hdr h = msg.hdr;
	struct device *d = device_find(h.handle);
	uint32_t bytes = 0;
	int rc = -EOPNOTSUPP;

	bool takes_fds = h.type == WIRE_OPEN || h.type == WIRE_CONNECT || h.type == WIRE_TRACE || h.type == WIRE_TAG;

	if (!takes_fds || (!d && h.type != WIRE_OPEN))
		for (uint32_t i = 0; i < msg.nr_fds; i++)
			close(msg.fds[i]);
	if (h.type == WIRE_OPEN) {
		rc = do_open(&h, body, &bytes);
	} else if (h.type == WIRE_QUIT) {
		life.quitting = life.quit_due = true;
		life.quit_seq = h.seq;
		return;
	} else if (h.type == WIRE_LIMITS) {
		rc = do_limits();
	} else if (!d) {
		rc = -ENODEV;
	} else if (h.type == WIRE_CONNECT) {
		rc = do_connect(d);
	} else if (h.type == WIRE_DISCONNECT) {
		do_disconnect(d, &h);
		return;
	} else if (h.type == WIRE_CLOSE) {
		rc = d->state == DEVICE_OPEN ? 0 : -EBUSY;
		if (rc == 0)
			device_close(d);
	} else if (h.type == WIRE_STAT) {
		rc = do_stat(d, body, &bytes);
	} else if (h.type == WIRE_RESIZE && d->class->resize) {
		rc = d->class->resize(d, body, &bytes);
	} else if (h.type == WIRE_TRACE) {
		rc = do_trace(d);
	} else if (h.type == WIRE_TAG) {
		rc = do_tag(d);
	} else if (h.type == WIRE_SET && d->class->set) {
		rc = d->class->set(d, msg.body, msg.hdr.bytes);
	}
	reply(h.type, h.seq, h.handle, rc, body, bytes);
}

static void handle_socket(void)
{
	int rc = wire_recv(life.sock, &msg);

	/* One that died with messages of ours unread is told of first; what it said last may still be there. */
	if (rc == -EPIPE)
		rc = wire_recv(life.sock, &msg);

	switch (rc) {
	case 0:
		handle_message();
		break;
	case -EAGAIN:
		break;
	case -EPROTO:
		log_error("the control plane sent nonsense: ignored");
		break;
	default:
		lost_control("has gone");
	}
}

/* ------------------------------------------------------- control planes */

/* Its size now, or what was told when it was opened. */
static uint32_t device_info(struct device *d, uint8_t *to)
{
	uint32_t bytes = 0;

	if (d->class->resize && d->class->resize(d, to, &bytes) == 0)
		return bytes;
	memcpy(to, d->info, d->info_bytes);
	return d->info_bytes;
}

static void tell_device(struct device *d)
{
	static const uint32_t states[] = { [DEVICE_OPEN] = WIRE_DEVICE_OPEN,
					   [DEVICE_CONNECTED] = WIRE_DEVICE_CONNECTED,
					   [DEVICE_DRAINING] = WIRE_DEVICE_DRAINING };
	static uint8_t body[WIRE_MAX_BODY] __attribute__((aligned(16)));
	struct wire_device w = { .tag = d->tag, .state = states[d->state] };
	struct wire_hdr h = { .type = WIRE_DEVICE, .handle = d->handle };

	if (__atomic_load_n(&d->broken, __ATOMIC_ACQUIRE)) {
		w.broken = 1;
		d->broken_told = true;
		memcpy(w.broken_why, d->broken_why, sizeof(w.broken_why));
	}
	memcpy(body + sizeof(w), d->tag_body, d->tag.bytes);
	w.info_bytes = device_info(d, body + sizeof(w) + d->tag.bytes);
	memcpy(body, &w, sizeof(w));
	h.bytes = (uint32_t)sizeof(w) + d->tag.bytes + w.info_bytes;
	send_with(&h, body, d->tag_fds, d->nr_tag_fds);
}

static void greet(void)
{
	struct wire_hello hello = { .parts = life.parts };
	struct wire_hdr h = { .type = WIRE_HELLO, .bytes = sizeof(hello) };
	struct device *d;

	list_for_each (d, &worker.devices, link)
		hello.nr_devices++;
	send_or_leave(&h, &hello);
	list_for_each (d, &worker.devices, link)
		tell_device(d);
}

/* Of a connected socket: the user at the other end. */
static int peer_uid(int sock, uid_t *ret)
{
	struct ucred c;
	socklen_t len = sizeof(c);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0)
		return -errno;
	*ret = c.uid;
	return 0;
}

/* Each in its turn: the next is let in when this one is gone. */
static void accept_control(void)
{
	int sock = accept4(life.listener, NULL, NULL, SOCK_CLOEXEC);
	uid_t uid = (uid_t)-1;

	if (sock < 0)
		return;
	if (peer_uid(sock, &uid) < 0 || uid != life.uid) {
		log_warn("somebody who is not our control plane was turned away");
		close(sock);
		return;
	}
	life.sock = sock;
	log_info("a control plane has come");
	greet();
}

/*
 * The socket is bound already; it listens from here on, so that who connects is told our pid (SO_PEERCRED is that of the one
 * who called listen).  Before the sandbox.
 */
static void find_listener(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	life.listener = -1;
	if (getsockopt(WIRE_LISTEN_FD, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET &&
	    peer_uid(WIRE_FD, &life.uid) == 0 && listen(WIRE_LISTEN_FD, 1) == 0 &&
	    fcntl(WIRE_LISTEN_FD, F_SETFL, O_NONBLOCK) == 0)
		life.listener = WIRE_LISTEN_FD;
}

/* Tell what queue threads left for us, answer what is due.  True: some device is still draining. */
static bool look_after_devices(void)
{
	bool draining = false;
	struct device *d;

	list_for_each (d, &worker.devices, link) {
		if (__atomic_load_n(&d->broken, __ATOMIC_ACQUIRE) && !d->broken_told) {
			struct wire_hdr h = { .type = WIRE_EV_BROKEN,
					      .handle = d->handle,
					      .bytes = (uint32_t)strlen(d->broken_why) };

			d->broken_told = true;
			send_or_leave(&h, d->broken_why);
		}
		if (life.quitting)
			device_leave(d);
		if (!device_reap(d)) {
			draining |= d->state == DEVICE_DRAINING;
		} else if (d->reply_due) {
			d->reply_due = false;
			reply(WIRE_DISCONNECT, d->reply_seq, d->handle, 0, NULL, 0);
		}
	}
	return draining;
}

static int serve(int sigfd)
{
	const struct timespec look = { DRAIN_LOOK_MS / 1000, DRAIN_LOOK_MS % 1000 * 1000000 };

	for (;;) {
		bool draining = look_after_devices();
		struct pollfd p[3] = {
			{ .fd = sigfd, .events = POLLIN },
			{ .fd = worker.wake_fd, .events = POLLIN },
			{ .fd = life.sock >= 0  ? life.sock
				: life.quitting ? -1
						: life.listener,
			  .events = POLLIN },
		};
		bool connected = life.sock >= 0;
		uint64_t n;

		if (life.quitting && !draining)
			break;
		if (life.quitting && life.listener >= 0) { /* who wants us is to know that he waits in vain */
			close(life.listener);
			life.listener = -1;
		}
		if (ppoll(p, 3, draining ? &look : NULL, NULL) < 0 && errno != EINTR)
			return -errno;
		if (p[0].revents) {
			struct signalfd_siginfo si;

			if (read(sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si))
				life.quitting = true;
		}
		if (p[1].revents && read(worker.wake_fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
			return -errno;
		if (p[2].revents && connected)
			handle_socket();
		else if (p[2].revents && !life.quitting)
			accept_control();
	}
	while (!list_empty(&worker.devices))
		device_close(list_entry(worker.devices.next, struct device, link));
	if (life.quit_due)
		reply(WIRE_QUIT, life.quit_seq, 0, 0, NULL, 0);
	return 0;
}

static int block_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write beyond RLIMIT_FSIZE is a failed request */
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: %s --domid N --name NAME [--uid N] [--parts BITS]   (the daemon starts it)\n"
		"       %s --list-calls                                     the system calls it may make\n",
		worker_class->program, worker_class->program);
	return 2;
}

/* What a system call takes: the least of some, since others may use the CPU. SYNTH_SLOWNESS is for tests. */
static uint32_t measure_slowness(void)
{
	const char *forced = getenv("SYNTH_SLOWNESS");
	uint64_t least = UINT64_MAX;

	if (forced)
		return moderate_slowness(strtoull(forced, NULL, 10) * SLOWNESS_CALL_NS);
	for (int i = 0; i < 8; i++) {
		uint64_t start = now_ns();

		for (int k = 0; k < 16; k++)
			(void)poll(NULL, 0, 0);
		least = MIN(least, (now_ns() - start) / 16);
	}
	return moderate_slowness(least);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "domid", required_argument, NULL, 'd' },
						 { "name", required_argument, NULL, 'n' },
						 { "uid", required_argument, NULL, 'u' },
						 { "list-calls", no_argument, NULL, 'c' },
						 { "reads-journal", required_argument, NULL, 'J' },
						 { "parts", required_argument, NULL, 'p' },
						 { NULL, 0, NULL, 0 } };
	const char *name = NULL;
	unsigned long domid = ULONG_MAX, uid = SANDBOX_KEEP_UID, parts = WIRE_PARTS_ALL;
	int opt, sigfd, rc;
	char *end;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (opt) {
		case 'd':
			domid = strtoul(optarg, &end, 10);
			if (*end || domid > 0x7fefu)
				return usage();
			break;
		case 'J': /* before an upgrade: can it go on from these? */
			if (strtoul(optarg, &end, 10) == JOURNAL_VERSION && !*end)
				return 0;
			fprintf(stderr, "%s: there are journals of version %.16s, this program reads version %u\n",
				worker_class->program, optarg, JOURNAL_VERSION);
			return 1;
		case 'n':
			name = optarg;
			break;
		case 'u':
			uid = strtoul(optarg, &end, 10);
			if (*end || uid == 0 || uid > INT32_MAX)
				return usage();
			break;
		case 'p':
			parts = strtoul(optarg, &end, 10);
			if (*end || parts > WIRE_PARTS_ALL)
				return usage();
			break;
		case 'c':
			sandbox_print(worker_class->sandbox);
			return 0;
		default:
			return usage();
		}
	}
	if (optind != argc || !name || domid == ULONG_MAX)
		return usage();
	log_init(worker_class->program);
	worker.domid = (uint32_t)domid;
	worker.slowness = measure_slowness();
	log_debug("slowness %u", worker.slowness);
	list_init(&worker.devices);
	life.sock = WIRE_FD;
	life.parts = (uint32_t)parts;
	find_listener();
	sigfd = block_signals();
	worker.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sigfd < 0 || worker.wake_fd < 0) {
		log_error("cannot start: %s", strerror(errno));
		return 1;
	}
	rc = grant_open(&worker.grant);
	if (rc) {
		log_error("cannot open the grant device for %s: %s", name, strerror(-rc));
		return 1;
	}
	if (worker_class->prepare)
		worker_class->prepare(life.parts);
	if (sandbox_enter((uint32_t)uid, worker_class->sandbox) < 0)
		return 1;
	greet();
	rc = serve(sigfd);
	grant_close(worker.grant);
	if (rc) {
		log_error("worker for %s: %s", name, strerror(-rc));
		return 1;
	}
	return 0;
}

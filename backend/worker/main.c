/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * main.c - the data plane of one guest and class: synth-blkd-worker --domid N --name NAME, with the control plane on fd 3.
 *
 * It opens its grant handle, says HELLO, and from then on opens nothing: images, sockets and event channels
 * arrive as fds (backend/control/wire.h).  This thread reads messages and starts and joins queue threads; it
 * touches no ring.  When the socket closes, or on SIGTERM or QUIT, every device is drained and the process ends.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "backend/worker/device.h"

#define DRAIN_LOOK_MS 1000

struct worker worker;

static struct {
	bool quitting; /* drain all, then leave */
	bool lost;     /* the control plane is gone: nobody to answer */
	bool quit_due; /* answer QUIT when drained */
	uint32_t quit_seq;
} life;

static struct wire_msg msg; /* too big for a stack */

void worker_wake(void)
{
	const uint64_t one = 1;
	ssize_t n = write(worker.wake_fd, &one, sizeof(one));

	(void)n;
}

static void send_or_leave(const struct wire_hdr *h, const void *body)
{
	int rc = life.lost ? 0 : wire_send(WIRE_FD, h, body, NULL, 0);

	if (rc) {
		log_warn("lost the control plane: %s; draining", strerror(-rc));
		life.lost = life.quitting = true;
	}
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
	if (rc == 0)
		log_debug("%s: open", d->name);
	return rc;
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

	if (h.type != WIRE_OPEN && h.type != WIRE_CONNECT && h.type != WIRE_TRACE)
		for (uint32_t i = 0; i < msg.nr_fds; i++)
			close(msg.fds[i]);
	if (h.type == WIRE_OPEN) {
		rc = do_open(&h, body, &bytes);
	} else if (h.type == WIRE_QUIT) {
		life.quitting = life.quit_due = true;
		life.quit_seq = h.seq;
		return;
	} else if (!d) {
		if (h.type == WIRE_CONNECT || h.type == WIRE_TRACE)
			for (uint32_t i = 0; i < msg.nr_fds; i++)
				close(msg.fds[i]);
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
	} else if (h.type == WIRE_SET && d->class->set) {
		rc = d->class->set(d, msg.body, msg.hdr.bytes);
	}
	reply(h.type, h.seq, h.handle, rc, body, bytes);
}

static void handle_socket(void)
{
	int rc = wire_recv(WIRE_FD, &msg);

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
		if (!life.quitting)
			log_info("the control plane has gone: draining");
		life.lost = life.quitting = true;
	}
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
			device_disconnect(d, false);
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
	for (;;) {
		bool draining = look_after_devices();
		struct pollfd p[3] = {
			{ .fd = sigfd, .events = POLLIN },
			{ .fd = worker.wake_fd, .events = POLLIN },
			{ .fd = life.lost ? -1 : WIRE_FD, .events = POLLIN },
		};
		uint64_t n;

		if (life.quitting && !draining)
			break;
		if (poll(p, 3, draining ? DRAIN_LOOK_MS : -1) < 0 && errno != EINTR)
			return -errno;
		if (p[0].revents) {
			struct signalfd_siginfo si;

			if (read(sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si))
				life.quitting = true;
		}
		if (p[1].revents && read(worker.wake_fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
			return -errno;
		if (p[2].revents)
			handle_socket();
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
	fprintf(stderr, "usage: %s --domid N --name NAME   (the daemon starts it)\n", worker_class->program);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "domid", required_argument, NULL, 'd' },
						 { "name", required_argument, NULL, 'n' },
						 { NULL, 0, NULL, 0 } };
	const struct wire_hdr hello = { .type = WIRE_HELLO };
	const char *name = NULL;
	unsigned long domid = ULONG_MAX;
	int opt, sigfd, rc;
	char *end;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (opt) {
		case 'd':
			domid = strtoul(optarg, &end, 10);
			if (*end || domid > 0x7fefu)
				return usage();
			break;
		case 'n':
			name = optarg;
			break;
		default:
			return usage();
		}
	}
	if (optind != argc || !name || domid == ULONG_MAX)
		return usage();
	log_init(worker_class->program);
	worker.domid = (uint32_t)domid;
	list_init(&worker.devices);
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
	rc = wire_send(WIRE_FD, &hello, NULL, NULL, 0);
	if (rc == 0)
		rc = serve(sigfd);
	grant_close(worker.grant);
	if (rc) {
		log_error("worker for %s: %s", name, strerror(-rc));
		return 1;
	}
	return 0;
}

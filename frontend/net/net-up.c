/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-up.c - `synth-netfront up`: the interface as a TAP of this system.
 *
 * One thread a queue, which alone touches the queue's rings and the TAP's descriptor of the same number.  A turn of
 * its loop moves up to BATCH frames each way, then publishes; it sleeps when neither side had any.  A frame from the TAP
 * is read straight into granted pages; one for the TAP is written straight from them, but for the headers of a frame
 * with offloads, which are copied, looked into, and written from the copy, since the back end could change them.
 *
 * The TAP outlives the connection: while the back end is away it has no carrier, and keeps its addresses and routes.
 * Each connection is a new netfront: rings, ports and pages of the one before are given up, and what was in them is lost,
 * as frames may be.  When to try again is said by pace.h; what the device is by then, by front_look().
 */
#include "frontend/net/synth-netfront.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/log/log.h"
#include "common/net/cut.h"
#include "common/net/mac.h"
#include "common/span/span.h"
#include "common/xen/paths.h"
#include "frontend/net/tap.h"

#define BATCH      64u
#define MAX_PAGES  (NETFRONT_TX_MAX / PAGE_BYTES + 1)
#define MAX_QUEUES 8u /* taken without being asked for */
#define LOOK_MS    200u
#define REMOVED_S  10u /* a device that is taken away for good, and one that is made anew, look the same for a moment */
#define TAG_BYTES  4u

struct up {
	struct target t;
	struct netfront_config config;
	struct tap tap;
	const char *tap_name;
	uint32_t mtu; /* asked for; 0: what the toolstack says */
	bool no_reconnect, json;
	uint32_t reconnect_s; /* 0: for ever */
	struct pace pace;
	uint64_t away_ns;              /* since when there is no connection that does anything */
	bool heard;                    /* something came through the last one */
	uint8_t mac[6];                /* the TAP's */
	uint32_t tap_mtu;              /* as we set it */
	_Atomic bool tap_gone;         /* somebody has deleted it */
	struct netfront_counts counts; /* of connections that are over */
	uint64_t tap_drops, tx_drops, connections;
};

struct mover {
	struct up *up;
	struct netfront_queue *q;
	pthread_t thread;
	int tap;
	uint32_t pages;               /* that a frame from the TAP may need */
	struct net_cut cut;           /* of a packet in .whole, by way of .segment */
	uint8_t *whole, *segment;     /* NET_FRAME_MAX bytes each */
	uint64_t tap_drops, tx_drops; /* frames the TAP, or the back end's protocol, would not take */
};

/* ------------------------------------------------------------------ moving frames */

/* The first bytes of a frame, where nobody changes them. */
static uint32_t copy_head(const struct netfront_frame *f, uint8_t head[FRAME_HEAD_MAX])
{
	uint32_t have = 0;

	for (uint32_t i = 0; i < f->nr && have < FRAME_HEAD_MAX; i++) {
		uint32_t n = MIN((uint32_t)f->iov[i].iov_len, FRAME_HEAD_MAX - have);

		memcpy(head + have, f->iov[i].iov_base, n);
		have += n;
	}
	return have;
}

/* What is left of @f behind @skip bytes, appended to @iov; the number of pieces. */
static uint32_t append_rest(const struct netfront_frame *f, uint32_t skip, struct iovec *iov)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < f->nr; i++) {
		uint32_t n = (uint32_t)f->iov[i].iov_len;

		if (skip < n)
			iov[nr++] = (struct iovec){ (uint8_t *)f->iov[i].iov_base + skip, n - skip };
		skip -= MIN(skip, n);
	}
	return nr;
}

static void on_frame(void *arg, const struct netfront_frame *f)
{
	struct mover *m = arg;
	struct virtio_net_hdr v;
	uint8_t head[FRAME_HEAD_MAX];
	struct iovec iov[NET_MAX_SEGS + 2];
	uint32_t nr = 0, have = 0;
	int err;

	iov[nr++] = (struct iovec){ &v, sizeof(v) };
	if (f->meta.csum_blank || f->meta.gso_type) {
		have = copy_head(f, head);
		iov[nr++] = (struct iovec){ head, have };
	}
	err = offload_to_vnet(&f->meta, head, have, f->bytes, &v);
	if (unlikely(err < 0)) {
		netfront_count(m->q, err == -EPROTOTYPE ? NET_RX_GSO_TYPE : NET_RX_HEADER);
		return;
	}
	nr += append_rest(f, have, iov + nr);
	/* A TAP that is down, or a frame it does not like. */
	if (unlikely(writev(m->tap, iov, (int)nr) < 0))
		m->tap_drops++;
}

static void put_pages(const struct iovec *iov, const uint8_t *from, uint32_t bytes)
{
	for (; bytes > 0; iov++, from += PAGE_BYTES, bytes -= MIN(bytes, PAGE_BYTES))
		memcpy(iov->iov_base, from, MIN(bytes, PAGE_BYTES));
}

/* The next piece of a packet that is being cut, to @pages. */
static void send_segment(struct mover *m, const struct iovec *pages)
{
	static const struct net_meta finished;
	uint32_t bytes = net_cut_next(&m->cut, m->segment);

	put_pages(pages, m->segment, bytes);
	m->tx_drops += netfront_tx(m->q, bytes, &finished) < 0;
}

static int begin_cut(struct mover *m, const struct iovec *pages, uint32_t bytes, uint32_t size)
{
	for (uint32_t at = 0; at < bytes; at += PAGE_BYTES)
		memcpy(m->whole + at, (pages++)->iov_base, MIN(bytes - at, PAGE_BYTES));
	return net_cut_begin(&m->cut, m->whole, bytes, size);
}

/* One frame from the TAP, or a segment of one: 1, 0 when there is none, -EAGAIN: no room to put one. */
static int send_one(struct mover *m)
{
	const struct netfront_info *info = netfront_info(m->up->t.n);
	struct virtio_net_hdr v;
	struct iovec iov[MAX_PAGES + 1] = { { &v, sizeof(v) } };
	uint32_t pages = netfront_tx_pages(m->q, iov + 1, m->pages), bytes;
	struct net_meta meta;
	bool finish = false;
	ssize_t n;
	int err;

	/* All of them, and a slot for GSO: what is read must not be lost for lack of room. */
	if (pages < m->pages || netfront_tx_room(m->q) < m->pages + 1)
		return -EAGAIN;
	if (unlikely(net_cut_more(&m->cut))) {
		send_segment(m, iov + 1);
		return 1;
	}
	n = readv(m->tap, iov, (int)pages + 1);
	if (n < 0)
		return 0; /* none, or the TAP is down */
	if (unlikely((size_t)n < sizeof(v) + NET_FRAME_MIN || (size_t)n > sizeof(v) + info->tx_max)) {
		m->tx_drops++;
		return 1;
	}
	bytes = (uint32_t)n - (uint32_t)sizeof(v);
	err = offload_from_vnet(&v, iov[1].iov_base, MIN(bytes, FRAME_HEAD_MAX), bytes, &info->takes, &meta, &finish);
	if (err == 0 && finish) {
		uint32_t nr = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;

		iov[nr].iov_len = bytes - (nr - 1) * PAGE_BYTES;
		err = csum_finish(iov + 1, nr, v.csum_start, v.csum_offset);
	}
	if (unlikely(err > 0)) {
		err = begin_cut(m, iov + 1, bytes, v.gso_size);
		if (err == 0)
			send_segment(m, iov + 1);
	} else if (err == 0) {
		err = netfront_tx(m->q, bytes, &meta);
	}
	m->tx_drops += err < 0;
	return 1;
}

static void *mover_thread(void *arg)
{
	struct mover *m = arg;
	struct netfront *n = m->up->t.n;

	while (netfront_status(n) == 0) {
		uint32_t sent = 0, got;
		int r = 1;

		while (sent < BATCH && (r = send_one(m)) == 1)
			sent++;
		if (sent)
			netfront_kick(m->q);
		got = netfront_rx(m->q, BATCH, on_frame, m);
		if (r == -EAGAIN && netfront_reclaim(m->q) > 0)
			continue;
		if (sent || got || netfront_arm_rx(m->q) || (r == -EAGAIN && netfront_arm_tx(m->q)))
			continue;
		if (netfront_sleep(m->q, m->tap, r == -EAGAIN ? 0 : POLLIN, UINT32_MAX) & (POLLERR | POLLNVAL)) {
			m->up->tap_gone = true;
			netfront_stop(n);
		}
	}
	return NULL;
}

/* ------------------------------------------------------------------ the TAP */

static int tap_failed(const struct up *u, const char *what, int err)
{
	const char *name = u->tap_name ? u->tap_name : u->t.name;

	switch (err) {
	case -EBUSY:
		return complain(EXIT_BUSY, "choose another name: --tap NAME",
				"cannot make %s: there is an interface %s", name, name);
	case -EINVAL:
		return complain(EXIT_USAGE, NULL, "cannot %s: '%s' does not do", what, name);
	case -EPERM:
	case -EACCES:
		return complain(EXIT_PERMISSION, "run it as root, or with CAP_NET_ADMIN", "cannot %s %s: %s", what,
				name, strerror(-err));
	case -ENOENT:
	case -ENODEV:
		return complain(EXIT_FAILED, "modprobe tun", "cannot %s %s: there is no /dev/net/tun", what, name);
	default:
		return complain(EXIT_FAILED, NULL, "cannot %s %s: %s", what, name, strerror(-err));
	}
}

/* Made once, with as many queues as the first connection has; a later one uses at most those. */
static int make_tap(struct up *u)
{
	const struct netfront_info *i = netfront_info(u->t.n);
	int err = tap_open(&u->tap, u->tap_name ? u->tap_name : u->t.name, i->nr_queues);

	if (err < 0)
		return tap_failed(u, "make a TAP", err);
	u->config.queues = i->nr_queues;
	memcpy(u->mac, i->mac, sizeof(u->mac));
	err = tap_set_mac(&u->tap, i->mac);
	return err < 0 ? tap_failed(u, "set the address of", err) : 0;
}

/* A device that was made anew may have another address. */
static int fit_mac(struct up *u)
{
	const struct netfront_info *i = netfront_info(u->t.n);
	int err;

	if (memcmp(u->mac, i->mac, sizeof(u->mac)) == 0)
		return 0;
	log_warn("%s: the interface has another address", u->t.name);
	err = tap_set_mac(&u->tap, i->mac);
	if (err == 0)
		memcpy(u->mac, i->mac, sizeof(u->mac));
	return err;
}

/* What this connection offers. */
static int fit_tap(struct up *u)
{
	const struct netfront_info *i = netfront_info(u->t.n);
	uint32_t mtu = u->mtu ? u->mtu : i->mtu, most = i->tx_max - FRAME_ETH_LEN - TAG_BYTES;
	int err;

	if (mtu > most && u->connections) {
		log_warn("%s: an mtu of %u does not go through any more: it is %u", u->t.name, mtu, most);
		mtu = most;
	} else if (mtu > most) {
		return complain(EXIT_FAILED, "a smaller --mtu, or a back end with feature-sg",
				"%s: an mtu of %u does not go through: frames have at most %u bytes", u->t.name, mtu,
				i->tx_max);
	}
	err = tap_attach(&u->tap, i->nr_queues);
	if (err == 0)
		err = fit_mac(u);
	if (err == 0)
		err = tap_set_offloads(&u->tap, &i->takes);
	/* What somebody has made of it since stays, as long as the device says the same. */
	if (err == 0 && mtu != u->tap_mtu)
		err = tap_set_mtu(&u->tap, mtu);
	if (err == 0)
		u->tap_mtu = mtu;
	if (err < 0)
		return tap_failed(u, "set up", err);
	/* The protocol names 16 bits of length; the kernel would make frames a header longer than that. */
	err = tap_set_gso_max(&u->tap, NETFRONT_TX_MAX - FRAME_ETH_LEN - TAG_BYTES);
	if (err < 0)
		log_warn("%s: cannot limit the size of large frames (%s); those above %u bytes will be dropped",
			 u->tap.name, strerror(-err), NETFRONT_TX_MAX);
	return 0;
}

static void on_carrier(void *arg, bool up)
{
	struct up *u = arg;
	int err = tap_set_carrier(&u->tap, up);

	if (err < 0)
		log_warn("%s: cannot set the carrier: %s", u->tap.name, strerror(-err));
}

/* ------------------------------------------------------------------ one connection */

static void tell_up(const struct up *u)
{
	const struct netfront_info *i = netfront_info(u->t.n);
	struct json_object *o;
	char mac[MAC_TEXT], takes[32];

	mac_text(i->mac, mac);
	if (u->json) {
		o = json_object_new_object();
		put_s(o, "event", "up");
		put_s(o, "device", u->t.name);
		put_s(o, "tap", u->tap.name);
		put_s(o, "mac", mac);
		put_i(o, "mtu", u->mtu ? u->mtu : i->mtu);
		put_i(o, "queues", i->nr_queues);
		put_b(o, "split_event_channels", i->split);
		put_b(o, "sg", i->sg);
		put_s(o, "offloads", takes_text(&i->takes, takes));
		print_json(o, false);
		json_object_put(o);
	} else {
		printf("%s is up as %s: %s, mtu %u, %u queue(s), offloads %s\n", u->t.name, u->tap.name, mac,
		       u->mtu ? u->mtu : i->mtu, i->nr_queues, takes_text(&i->takes, takes));
	}
	fflush(stdout);
}

static void tell_down(const struct up *u)
{
	struct json_object *o;

	if (u->json) {
		o = json_object_new_object();
		put_s(o, "event", "down");
		put_s(o, "device", u->t.name);
		print_json(o, false);
		json_object_put(o);
	} else {
		printf("%s is down: waiting for the back end\n", u->t.name);
	}
	fflush(stdout);
}

/* Sleep until the device ends or a signal comes; signals come only here. */
static void wait_end(struct netfront *n, uint32_t ms)
{
	struct pollfd p = { .fd = n ? netfront_fd(n) : -1, .events = POLLIN };
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
	sigset_t none;

	sigemptyset(&none);
	ppoll(&p, 1, ms ? &ts : NULL, &none);
}

/* From connected to over: netfront_status(), and 0 or an exit status in *ret. */
static int serve(struct up *u, int *ret)
{
	const struct netfront_info *i = netfront_info(u->t.n);
	struct mover m[FRONT_MAX_QUEUES];
	uint32_t nr = 0;
	int err = 0, r = 0;

	if (u->tap.nr == 0)
		r = make_tap(u);
	if (!r)
		r = fit_tap(u);
	for (; !r && nr < i->nr_queues; nr++) {
		m[nr] = (struct mover){ .up = u, .q = netfront_queue(u->t.n, nr), .tap = u->tap.fd[nr] };
		/*
		 * Somebody may raise the TAP's MTU while we run.  One byte more than can be sent, so that what is too long is
		 * seen to be so: read() says nothing of what it leaves out.
		 */
		m[nr].pages = i->tx_max / PAGE_BYTES + 1;
		m[nr].whole = malloc(NET_FRAME_MAX); /* untouched, it is no memory */
		m[nr].segment = malloc(NET_FRAME_MAX);
		err = m[nr].whole && m[nr].segment ? pthread_create(&m[nr].thread, NULL, mover_thread, &m[nr]) : ENOMEM;
		if (err) {
			free(m[nr].whole);
			free(m[nr].segment);
			r = complain(EXIT_FAILED, NULL, "cannot start a thread: %s", strerror(err));
			break;
		}
	}
	if (!r) {
		netfront_on_carrier(u->t.n, on_carrier, u);
		err = tap_set_up(&u->tap);
		if (err < 0)
			r = tap_failed(u, "bring up", err);
	}
	if (!r) {
		u->connections++;
		tell_up(u);
	}
	while (!r && !interrupted && netfront_status(u->t.n) == 0)
		wait_end(u->t.n, 0);
	netfront_stop(u->t.n);
	for (uint32_t k = 0; k < nr; k++) {
		struct netfront_counts c;

		pthread_join(m[k].thread, NULL);
		free(m[k].whole);
		free(m[k].segment);
		c = netfront_counts(m[k].q);
		counts_add(&u->counts, &c);
		u->heard = u->heard || c.rx_frames;
		u->tap_drops += m[k].tap_drops;
		u->tx_drops += m[k].tx_drops;
	}
	*ret = r;
	return netfront_status(u->t.n);
}

/* ------------------------------------------------------------------ staying up */

/* The host has taken the interface away: its front end's directory is gone. */
static bool detached(const struct up *u)
{
	struct path p;

	return !store_exists(u->t.store, NULL, path_join(&p, u->t.dev.dir, "backend"));
}

/* Time is up: the exit status. */
static int not_again(struct up *u)
{
	if (detached(u)) {
		log_info("%s: detached by the host", u->t.name);
		return 0;
	}
	return complain(EXIT_TIMEOUT, "is the back end running? see `synth-netfront list`, and its log",
			"%s: the back end has not come back in %u seconds", u->t.name, u->reconnect_s);
}

/* When that will be, for what we see now. */
static bool too_late(const struct up *u, uint64_t removed_ns)
{
	uint64_t now = now_ns();

	if (removed_ns && now - removed_ns >= REMOVED_S * (uint64_t)1000000000)
		return true;
	return u->reconnect_s && now - u->away_ns >= u->reconnect_s * (uint64_t)1000000000;
}

/* Before a try: as long as the pace asks for, but no longer than there is time; or until a signal. */
static void wait_turn(struct up *u)
{
	uint64_t now = now_ns(), until = now + pace_next(&u->pace, now);

	if (u->reconnect_s)
		until = MIN(until, u->away_ns + u->reconnect_s * (uint64_t)1000000000);
	for (; !interrupted && now < until; now = now_ns())
		wait_end(NULL, (uint32_t)MIN((until - now) / 1000000 + 1, (uint64_t)1000));
}

/* Until the back end is connected to again: 0, or an exit status (with *over when that is the end). */
static int wait_back(struct up *u, bool *over)
{
	uint64_t now = now_ns(), removed_ns = 0;

	/* A connection that was short, and through which nothing came, is no reason to wait longer. */
	if (!u->away_ns || u->heard || pace_lasted(&u->pace, now))
		u->away_ns = now;
	u->heard = false;
	log_info("%s: waiting for the back end", u->t.name);
	tell_down(u);
	wait_turn(u);
	for (;;) {
		enum front_there there = front_look(u->t.store, &u->t.dev);

		*over = true;
		if (interrupted)
			return 0;
		removed_ns = there != FRONT_THERE_NOT ? 0 : removed_ns ? removed_ns : now_ns();
		if (too_late(u, removed_ns))
			return not_again(u);
		if (there == FRONT_THERE_WAITS) {
			int err = netfront_open(u->t.store, &u->t.dev, &u->config, &u->t.n);

			if (err == 0)
				err = netfront_watch(u->t.n);
			if (err == 0) {
				*over = false;
				pace_connected(&u->pace, now_ns());
				return 0;
			}
			target_disconnect(&u->t);
			/* What comes of the back end may be right at the next try; what is missing here will not. */
			if (err == -ENOMEM || err == -EACCES || err == -EPERM || err == -EBUSY)
				return target_failed(&u->t, err);
			log_debug("%s: could not connect again: %s", u->t.name, strerror(-err));
			wait_turn(u);
		}
		wait_end(NULL, LOOK_MS);
	}
}

static int run(struct up *u)
{
	bool over = false;
	int r, status, err;

	pace_connected(&u->pace, now_ns());
	do {
		status = serve(u, &r);
		netfront_on_carrier(u->t.n, NULL, NULL);
		if (u->tap.nr && !u->tap_gone)
			on_carrier(u, false);
		err = target_disconnect(&u->t);
		if (r)
			return r;
		if (u->tap_gone)
			return complain(EXIT_FAILED, NULL, "%s: the interface %s was deleted", u->t.name, u->tap.name);
		if (status == -EIO)
			return EXIT_FAILED; /* told in the log, with the reason */
		if (interrupted)
			return err < 0 ? complain(EXIT_TIMEOUT, NULL, "%s: the back end did not close in time: %s",
						  u->t.name, strerror(-err))
				       : 0;
		if (u->no_reconnect)
			return detached(u) ? 0
					   : complain(EXIT_FAILED, NULL, "%s: the back end has ended it", u->t.name);
		r = wait_back(u, &over);
	} while (!r && !over);
	return r;
}

static void tell_end(const struct up *u)
{
	struct json_object *o;

	if (!u->json)
		return;
	o = json_object_new_object();
	put_s(o, "event", "end");
	put_s(o, "device", u->t.name);
	put_i(o, "connections", u->connections);
	put_counts(o, &u->counts);
	put_i(o, "tap_drops", u->tap_drops);
	put_i(o, "tx_drops", u->tx_drops);
	print_json(o, false);
	json_object_put(o);
}

static const struct option options[] = { CONFIG_OPTIONS,
					 { "tap", 1, NULL, 'n' },
					 { "mtu", 1, NULL, 'm' },
					 { "no-reconnect", 0, NULL, 'r' },
					 { "reconnect", 1, NULL, 'w' },
					 { "json", 0, NULL, 'j' },
					 { NULL, 0, NULL, 0 } };

static int parse_options(int argc, char **argv, struct up *u, const char **dev)
{
	int o, r = 0;

	while (!r && (o = opt_next(argc, argv, "", options)) != -1) {
		if (o == 'n')
			u->tap_name = optarg;
		else if (o == 'm')
			r = parse_str_u32(optarg, NETFRONT_MTU_MAX, &u->mtu) < 0 || u->mtu < NETFRONT_MTU_MIN
				    ? usage("--mtu: %u to %u", NETFRONT_MTU_MIN, NETFRONT_MTU_MAX)
				    : 0;
		else if (o == 'r')
			u->no_reconnect = true;
		else if (o == 'w')
			r = opt_u32("--reconnect", optarg, 31536000, &u->reconnect_s);
		else if (o == 'j')
			u->json = true;
		else
			r = opt_config(&u->config, o, optarg);
	}
	return r ? r : opt_dev(argc, argv, optind, dev);
}

int cmd_up(int argc, char **argv)
{
	struct up u = { .tap.ctl = -1 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const char *dev = NULL;
	sigset_t stop;
	int r = parse_options(argc, argv, &u, &dev);

	if (!r && u.tap_name && strlen(u.tap_name) >= TAP_NAME_MAX)
		r = usage("--tap: a name has at most %u characters", TAP_NAME_MAX - 1);
	if (!u.config.queues)
		u.config.queues = (uint32_t)MIN(MAX(cpus, 1L), (long)MAX_QUEUES);
	if (!r)
		r = target_find(&u.t, dev);
	/* Blocked but where we wait for them, so that none is lost between looking and sleeping. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	catch_signals();
	if (!r)
		r = target_open(&u.t, &u.config);
	if (!r) {
		r = run(&u);
		tell_end(&u);
	}
	tap_close(&u.tap);
	return target_close(&u.t, r);
}

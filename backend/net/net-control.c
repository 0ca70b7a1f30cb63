/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-control.c - the network class's control plane half (contract: backend/control/class.h).
 *
 * A spec is what the user asked for, what was made of it (the TAP, the pair), and what the worker said.  All of what the user
 * asked for is written to the back end directory, so that a later daemon can serve the nic again.  The TAP's descriptors
 * are kept here too: when a worker dies, the TAP must not.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "backend/control/spec.h"
#include "backend/net/net-front.h"
#include "backend/net/net-journal.h"
#include "backend/net/net-rate.h"
#include "backend/net/pair.h"
#include "backend/net/tap.h"
#include "common/log/log.h"
#include "common/net/mac.h"
#include "common/span/span.h"

#define NET_SCRIPT      SYNTH_SCRIPTDIR "/vif-synth"
#define NET_POLL_MAX_US 10000u
#define MTU_MIN         68u
#define STREAM_SNDBUF \
	(4 << 20) /* what a TCP connection has on its way, so that a reader that is slow for a moment loses nothing */

struct net_spec {
	char link[NET_TARGET_MAX + 8]; /* as given */
	struct net_target target;
	uint8_t mac[MAC_BYTES];
	uint32_t mtu; /* 0: not said */
	uint64_t rate_bytes;
	uint32_t rate_usec;
	bool link_up, filtered;
	uint32_t max_queues, poll_us;
	char name[80]; /* of the device: "web1/eth0" */
	/* of the last open; tap.name[0] != 0 once there is a TAP */
	bool opened, tap_ours;
	char ifname[NET_IFNAME_MAX];
	struct tap_got tap; /* fds ours */
	uint32_t queues;    /* that the link serves */
	struct pair_end *pair;
	struct net_info info;
};

struct net_open_priv {
	struct net_target target;
	struct tap_want want;
	struct tap_got got; /* fds: the job's, moved to the spec by open_told() */
	bool made;          /* .got was made by this job */
	char mac[MAC_TEXT], device[80];
	struct net_open open;
};

/* ------------------------------------------------------------------ what the user says */

static void make_mac(uint8_t mac[MAC_BYTES])
{
	static const uint8_t xen[3] = { 0x00, 0x16, 0x3e };
	uint64_t t = now_ns();

	memcpy(mac, xen, sizeof(xen));
	if (getrandom(mac + 3, 3, 0) != 3)
		memcpy(mac + 3, &t, 3);
}

static int take_link(struct net_spec *s, const char *text, struct fault *f)
{
	int err = net_target_parse(text, &s->target, f);

	if (err == 0)
		snprintf(s->link, sizeof(s->link), "%s", text);
	return err;
}

static int take_rate(struct net_spec *s, const char *text, struct fault *f)
{
	char q[QUOTE_MAX];

	if (strcmp(text, "none") == 0) {
		s->rate_bytes = s->rate_usec = 0;
		return 0;
	}
	if (net_rate_parse_xl(text, &s->rate_bytes, &s->rate_usec) == 0)
		return 0;
	fault_set(f, FAULT_USAGE, -EINVAL, "\"%s\" is no rate", quote_text(q, text));
	fault_next(f, "write it as xl does: 10Mb/s, 1GB/s@20ms, or none");
	return -EINVAL;
}

static int spec_args(struct net_spec *s, json_object *args, struct fault *f)
{
	const char *link = "tap:", *mac = NULL, *rate = NULL;
	char q[QUOTE_MAX];
	int err = arg_text(args, "link", sizeof(s->link), &link, f);

	if (err == 0)
		err = take_link(s, link, f);
	if (err == 0)
		err = arg_text(args, "mac", MAC_TEXT + 8, &mac, f);
	if (err == 0 && mac && mac_parse(mac, s->mac) < 0)
		err = fault_set(f, FAULT_USAGE, -EINVAL, "\"%s\" is no MAC of one station, as 00:16:3e:01:02:03 is",
				quote_text(q, mac));
	if (err == 0)
		err = arg_text(args, "rate", NET_RATE_TEXT, &rate, f);
	if (err == 0 && rate)
		err = take_rate(s, rate, f);
	if (err == 0)
		err = arg_count(args, "mtu", MTU_MIN, TAP_MTU_MAX, &s->mtu, f);
	if (err == 0)
		err = arg_count(args, "queues", 1, WIRE_MAX_QUEUES, &s->max_queues, f);
	if (err == 0)
		err = arg_count(args, "poll_us", 0, NET_POLL_MAX_US, &s->poll_us, f);
	return err;
}

static struct net_spec *spec_alloc(const struct class_options *opt)
{
	struct net_spec *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->max_queues = opt->max_queues;
	s->poll_us = opt->poll_us;
	s->link_up = true;
	make_mac(s->mac);
	return s;
}

static int net_spec_new(json_object *args, const struct class_options *opt, void **ret, struct fault *f)
{
	struct net_spec *s = spec_alloc(opt);
	int err;

	if (!s)
		return fault_set(f, FAULT_FAILED, -ENOMEM, "out of memory");
	err = spec_args(s, args, f);
	if (err < 0) {
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

/* What may be changed while the nic lives; a node that makes no sense changes nothing. */
static void load_settings(struct net_spec *s, const struct node_getter *back)
{
	char value[FRONT_VALUE_MAX];
	int err = back->get(back->arg, "rate", value, sizeof(value));

	if (err == -ENOENT)
		s->rate_bytes = s->rate_usec = 0;
	else if (err < 0 || net_rate_parse(value, &s->rate_bytes, &s->rate_usec) < 0)
		log_warn("%s: its rate node is no \"BYTES,MICROSECONDS\": the rate stays as it was", s->name);
	if (load_bool(back, "carrier", &s->link_up) < 0)
		log_warn("%s: its carrier node is neither 0 nor 1: the link stays as it was", s->name);
}

/* Our own writing, but a person may have been at it. */
static int net_spec_load(const struct node_getter *g, const struct class_options *opt, void **ret, struct fault *f)
{
	struct net_spec *s = spec_alloc(opt);
	char value[FRONT_VALUE_MAX], link[NET_TARGET_MAX + 8];
	int err;

	if (!s)
		return fault_set(f, FAULT_FAILED, -ENOMEM, "out of memory");
	err = g->get(g->arg, "synth/link", link, sizeof(link));
	if (err < 0)
		fault_set(f, FAULT_FAILED, err, "cannot read its synth/link node: %s", strerror(-err));
	else
		err = take_link(s, link, f);
	if (err == 0) {
		err = g->get(g->arg, "mac", value, sizeof(value));
		if (err == 0)
			err = mac_parse(value, s->mac);
		if (err == 0)
			err = load_count(g, "mtu", MTU_MIN, TAP_MTU_MAX, &s->mtu);
		if (err == 0)
			err = load_count(g, "synth/queues", 1, WIRE_MAX_QUEUES, &s->max_queues);
		if (err == 0)
			err = load_count(g, "synth/poll-us", 0, NET_POLL_MAX_US, &s->poll_us);
		if (err == 0)
			err = load_bool(g, "synth/tap-ours", &s->tap_ours);
		if (err == 0 && g->get(g->arg, "vifname", value, sizeof(value)) == 0 && net_ifname_ok(value))
			memcpy(s->ifname, value, strlen(value) + 1);
		if (err < 0)
			fault_set(f, FAULT_FAILED, err, "its nodes are damaged: %s", strerror(-err));
		load_settings(s, g);
	}
	if (err < 0) {
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

static void close_fds(int *fds, uint32_t *nr)
{
	for (uint32_t i = 0; i < *nr; i++)
		close(fds[i]);
	*nr = 0;
}

static void net_spec_free(void *spec)
{
	struct net_spec *s = spec;

	close_fds(s->tap.fds, &s->tap.nr_fds);
	pair_put(s->pair);
	free(s);
}

/* Of a nic that is detached for good: nothing of it stays on the host, and who waits for that is told after.  A nic attached
 * at once under the same name would else find the old TAP, and take it for one of the user's. */
struct net_gone {
	char ifname[NET_IFNAME_MAX];
	struct net_target target;
	struct tap_got tap;
};

static void *net_gone_new(void *spec)
{
	struct net_spec *s = spec;
	struct net_gone *g = s->ifname[0] ? calloc(1, sizeof(*g)) : NULL;

	if (!g && s->ifname[0])
		log_error("out of memory: TAP %s stays", s->ifname);
	if (!g)
		return NULL;
	memcpy(g->ifname, s->ifname, sizeof(g->ifname));
	g->target = s->target;
	g->tap = s->tap;
	g->tap.created = s->tap_ours;
	s->tap.nr_fds = 0; /* not the spec's any more */
	return g;
}

static void net_gone_run(void *what)
{
	struct net_gone *g = what;

	tap_remove(g->ifname, g->target.kind, g->target.name, g->tap.created, g->tap.nr_fds ? g->tap.fds[0] : -1);
	close_fds(g->tap.fds, &g->tap.nr_fds);
}

static void net_gone_free(void *what)
{
	struct net_gone *g = what;

	close_fds(g->tap.fds, &g->tap.nr_fds);
	free(g);
}

/* ------------------------------------------------------------------ nodes */

static void add_rate(const struct net_spec *s, struct nodes *n, uint32_t where)
{
	nodes_add(n, where, "rate", "%llu,%u", (unsigned long long)s->rate_bytes, s->rate_usec);
}

static void net_nodes_birth(const void *spec, uint32_t vdev, struct nodes *n)
{
	const struct net_spec *s = spec;
	const uint32_t both = NODE_BACK | NODE_MIRROR;
	char mac[MAC_TEXT];

	mac_text(s->mac, mac);
	nodes_add(n, NODE_FRONT, "trusted", "1");
	nodes_add(n, NODE_FRONT | both, "handle", "%u", vdev);
	nodes_add(n, NODE_FRONT | both, "mac", "%s", mac);
	/* What libxl writes for a vif; `script` must be there or xl cannot detach it. */
	nodes_add(n, both, "script", NET_SCRIPT);
	nodes_add(n, both, "type", "vif");
	if (s->target.kind == NET_TARGET_BRIDGE || s->target.kind == NET_TARGET_OVS)
		nodes_add(n, both, "bridge", "%s", s->target.name);
	if (s->ifname[0])
		nodes_add(n, both, "vifname", "%s", s->ifname);
	if (s->tap.mtu && (s->mtu || s->tap.mtu != 1500))
		nodes_add(n, NODE_FRONT | both, "mtu", "%u", s->tap.mtu);
	else if (s->mtu)
		nodes_add(n, NODE_FRONT | both, "mtu", "%u", s->mtu);
	if (s->rate_bytes)
		add_rate(s, n, both);
	nodes_add(n, NODE_BACK, "hotplug-status", "connected");
	nodes_add(n, NODE_BACK, "carrier", "%d", s->link_up);
	nodes_add(n, NODE_BACK, "synth/link", "%s", s->link);
	nodes_add(n, NODE_BACK, "synth/tap-ours", "%d", s->tap_ours);
	nodes_add(n, NODE_BACK, "synth/queues", "%u", s->max_queues);
	nodes_add(n, NODE_BACK, "synth/poll-us", "%u", s->poll_us);
}

/* What is offered depends on what can become of it: a socket takes frames as they go onto a wire, and the two ends of a pair need not be
 * able to do the same. */
static void net_nodes_live(const void *spec, struct nodes *n)
{
	const struct net_spec *s = spec;
	bool offload = s->opened && s->info.offload, cut = offload && s->target.kind != NET_TARGET_PAIR;

	nodes_add(n, NODE_BACK, "feature-rx-copy", "1");
	nodes_add(n, NODE_BACK, "feature-rx-flip", "0");
	nodes_add(n, NODE_BACK, "feature-sg", "1");
	nodes_add(n, NODE_BACK, "feature-gso-tcpv4", "%d", cut);
	nodes_add(n, NODE_BACK, "feature-gso-tcpv6", "%d", cut);
	nodes_add(n, NODE_BACK, "feature-no-csum-offload", "%d", !offload);
	nodes_add(n, NODE_BACK, "feature-ipv6-csum-offload", "%d", offload);
	nodes_add(n, NODE_BACK, "feature-multicast-control", "1");
	nodes_add(n, NODE_BACK, "feature-dynamic-multicast-control", "1");
	nodes_add(n, NODE_BACK, "feature-split-event-channels", "1");
	nodes_add(n, NODE_BACK, "multi-queue-max-queues", "%u", s->opened ? s->queues : 1u);
}

/* ------------------------------------------------------------------ settings */

static const struct class_setting net_settings[] = {
	{ "rate", NODE_BACK }, { "carrier", NODE_BACK }, { "request-multicast-control", NODE_FRONT }, { NULL, 0 }
};

static uint32_t net_settings_body(void *spec, const struct node_getter *back, const struct node_getter *front,
				  void *body)
{
	struct net_spec *s = spec;
	struct net_set set;

	load_settings(s, back);
	s->filtered = false;
	if (load_bool(front, "request-multicast-control", &s->filtered) < 0)
		s->filtered = false; /* what a guest writes is no error of ours */
	set = (struct net_set){ .rate_bytes = s->rate_bytes,
				.rate_usec = s->rate_usec,
				.link_up = s->link_up,
				.mcast_filtered = s->filtered };
	memcpy(body, &set, sizeof(set));
	return sizeof(set);
}

static int net_change(void *spec, json_object *args, struct nodes *n, struct fault *f)
{
	struct net_spec *s = spec, new = *s;
	const char *rate = NULL, *link = NULL;
	char q[QUOTE_MAX];
	int err = arg_text(args, "rate", NET_RATE_TEXT, &rate, f);

	if (err == 0 && rate)
		err = take_rate(&new, rate, f);
	if (err == 0)
		err = arg_text(args, "link", 8, &link, f);
	if (err == 0 && link && strcmp(link, "up") != 0 && strcmp(link, "down") != 0)
		err = fault_set(f, FAULT_USAGE, -EINVAL, "a link is up or down, not \"%s\"", quote_text(q, link));
	if (err == 0 && !rate && !link)
		err = fault_set(f, FAULT_USAGE, -EINVAL, "nothing to change: \"rate\" and \"link\" can be");
	if (err < 0)
		return err;
	if (rate)
		add_rate(&new, n, NODE_BACK | NODE_MIRROR);
	if (link)
		nodes_add(n, NODE_BACK, "carrier", "%d", strcmp(link, "up") == 0);
	return 0;
}

/* ------------------------------------------------------------------ opening */

static int dup_fds(const int *from, uint32_t nr, int *to, uint32_t *ret_nr)
{
	for (*ret_nr = 0; *ret_nr < nr; ++*ret_nr) {
		to[*ret_nr] = fcntl(from[*ret_nr], F_DUPFD_CLOEXEC, 3);
		if (to[*ret_nr] < 0)
			return -errno;
	}
	return 0;
}

/* On the loop: the pair's table is nobody else's. */
static int open_pair(struct net_spec *s, const char *device, struct open_job *j)
{
	char number[32], dev[VDEV_NAME_MAX];
	const int *fds;
	uint32_t nr;
	int err = 0;

	net_dev_name(j->vdev, dev);
	snprintf(number, sizeof(number), "%u/%s", j->domid, dev);
	if (!s->pair)
		err = pair_get(device, number, s->target.name, s->max_queues, &s->pair);
	if (err == -EBUSY) { /* told by open_run(), which has a fault to fill */
		j->id[0] = 1;
		return 0;
	}
	if (err < 0)
		return err;
	nr = pair_fds(s->pair, &fds);
	return dup_fds(fds, nr, j->fds, &j->nr_fds);
}

static int net_open_new(void *spec, const char *device, struct open_job *j)
{
	struct net_spec *s = spec;
	struct net_open_priv *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!p)
		return -ENOMEM;
	j->priv = p;
	p->target = s->target;
	snprintf(s->name, sizeof(s->name), "%s", device);
	snprintf(p->device, sizeof(p->device), "%s", device);
	snprintf(p->open.name, sizeof(p->open.name), "%s", device);
	p->open.poll_max_us = s->poll_us;
	p->open.again = j->again;
	mac_text(s->mac, p->mac);
	switch (s->target.kind) {
	case NET_TARGET_NULL:
		p->open.kind = NET_LINK_NULL;
		break;
	case NET_TARGET_PAIR:
		p->open.kind = NET_LINK_PAIR;
		err = open_pair(s, device, j);
		break;
	case NET_TARGET_STREAM:
		p->open.kind = NET_LINK_STREAM;
		break;
	default:
		p->open.kind = NET_LINK_TAP;
		p->want = (struct tap_want){
			.join = s->target.kind, .mtu = s->mtu, .queues = s->max_queues, .ours = s->tap_ours
		};
		/* Not as it was (s->ifname): a domain that rebooted has another number, and its nic another TAP. */
		if (s->target.kind == NET_TARGET_TAP && s->target.name[0])
			snprintf(p->want.name, sizeof(p->want.name), "%.15s", s->target.name);
		else
			snprintf(p->want.name, sizeof(p->want.name), "vif%u.%u", j->domid, j->vdev);
		if (s->target.kind != NET_TARGET_TAP)
			snprintf(p->want.bridge, sizeof(p->want.bridge), "%.15s", s->target.name);
		/* One that we made in a life before. */
		p->want.ours = s->tap_ours && strcmp(p->want.name, s->ifname) == 0;
		p->want.mac = p->mac;
		p->want.device = p->device;
		if (s->tap.nr_fds) /* the worker is another, the TAP the same */
			err = dup_fds(s->tap.fds, s->tap.nr_fds, j->fds, &j->nr_fds);
	}
	if (err < 0) {
		close_fds(j->fds, &j->nr_fds);
		free(p);
		j->priv = NULL;
	}
	return err;
}

static int connect_stream(const char *path, int *ret, struct fault *f)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), bytes = STREAM_SNDBUF, err;

	/* More than the host's limit needs a right that we may lack: less loses more, and is not wrong. */
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.107s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
		*ret = fd;
		return 0;
	}
	err = -errno;
	if (fd >= 0)
		close(fd);
	fault_set(f, FAULT_FAILED, err, "cannot connect to %s: %s", path, strerror(-err));
	fault_next(f, "start what listens there first, for instance: passt --socket %s", path);
	return err;
}

static void open_tap(struct open_job *j, struct net_open_priv *p)
{
	if (j->nr_fds)
		return;
	j->err = tap_open(&p->want, &p->got, &j->fault);
	if (j->err < 0)
		return;
	p->made = true;
	j->exclusive = true;
	j->id[0] = p->got.ifindex;
	j->id[1] = 1;
	j->err = dup_fds(p->got.fds, p->got.nr_fds, j->fds, &j->nr_fds);
	if (j->err < 0)
		fault_set(&j->fault, FAULT_FAILED, j->err, "cannot keep TAP %s: %s", p->want.name, strerror(-j->err));
}

static void net_open_run(struct open_job *j)
{
	struct net_open_priv *p = j->priv;

	if (p->open.kind == NET_LINK_TAP) {
		open_tap(j, p);
	} else if (p->open.kind == NET_LINK_STREAM) {
		j->err = connect_stream(p->target.name, &j->fds[0], &j->fault);
		j->nr_fds = j->err == 0;
	} else if (p->open.kind == NET_LINK_PAIR && j->nr_fds == 0) {
		j->err = fault_set(&j->fault, FAULT_USAGE, -EINVAL, "%s is there, and its other end is not this nic",
				   p->target.name);
	}
	_Static_assert(sizeof(p->open) <= sizeof(j->body), "an open body fits its job");
	memcpy(j->body, &p->open, sizeof(p->open));
	j->bytes = sizeof(p->open);
}

static void net_open_told(void *spec, const struct open_job *j)
{
	struct net_spec *s = spec;
	struct net_open_priv *p = j->priv;

	s->queues = s->target.kind == NET_TARGET_NULL ? s->max_queues : j->nr_fds;
	if (!p->made)
		return;
	s->tap = p->got;
	p->got.nr_fds = 0; /* the spec's now */
	s->tap_ours = s->tap.created;
	memcpy(s->ifname, p->want.name, sizeof(s->ifname));
}

static void net_open_free(struct open_job *j)
{
	struct net_open_priv *p = j->priv;

	if (p && p->made && p->got.nr_fds) /* made, and nobody wants it */
		tap_remove(p->want.name, p->want.join, p->want.bridge, p->got.created && !p->want.ours, p->got.fds[0]);
	if (p)
		close_fds(p->got.fds, &p->got.nr_fds);
	close_fds(j->fds, &j->nr_fds);
	free(p);
	j->priv = NULL;
}

/* The worker may have been taken over by its guest: it cannot offer more than the link has. */
/* A TAP vanishes with its last descriptor, and a pair is nothing else: they go on in the worker. */
static uint32_t net_keep(const void *spec, void *body, int fds[WIRE_MAX_FDS], uint32_t *nr_fds)
{
	const struct net_spec *s = spec;

	memcpy(body, &s->tap.mtu, sizeof(s->tap.mtu));
	*nr_fds = s->tap.nr_fds;
	memcpy(fds, s->tap.fds, s->tap.nr_fds * sizeof(int));
	if (s->pair)
		*nr_fds = pair_keep(s->pair, fds);
	return sizeof(s->tap.mtu);
}

/* The TAP that xenstore says, by all its descriptors? */
static bool are_tap(const int *fds, uint32_t nr, const char *name)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct ifreq r = { 0 };

		if (ioctl(fds[i], TUNGETIFF, &r) < 0 || strncmp(r.ifr_name, name, IFNAMSIZ) != 0)
			return false;
	}
	return nr > 0 && *name;
}

static int net_taken(void *spec, const struct taken *t)
{
	struct net_spec *s = spec;
	char number[32], dev[VDEV_NAME_MAX];
	uint32_t mtu;

	if (t->bytes != sizeof(mtu) || t->nr_fds > 2 + 2 * WIRE_MAX_QUEUES)
		return -EPROTO;
	memcpy(&mtu, t->body, sizeof(mtu));
	snprintf(s->name, sizeof(s->name), "%s", t->device);
	switch (s->target.kind) {
	case NET_TARGET_NULL:
		s->queues = s->max_queues;
		return t->nr_fds ? -EPROTO : 0;
	case NET_TARGET_STREAM:
		s->queues = 1;
		return t->nr_fds ? -EPROTO : 0;
	case NET_TARGET_PAIR:
		net_dev_name(t->vdev, dev);
		snprintf(number, sizeof(number), "%u/%s", t->domid, dev);
		s->queues = WIRE_MAX_QUEUES; /* info() knows better */
		return pair_taken(t->device, number, s->target.name, t->fds, t->nr_fds, &s->pair);
	default:
		if (t->nr_fds > WIRE_MAX_QUEUES || !are_tap(t->fds, t->nr_fds, s->ifname) || mtu < MTU_MIN ||
		    mtu > TAP_MTU_MAX)
			return -EPROTO;
		s->tap = (struct tap_got){
			.created = s->tap_ours, .mtu = mtu, .nr_fds = t->nr_fds, .ifindex = if_nametoindex(s->ifname)
		};
		memcpy(s->tap.fds, t->fds, t->nr_fds * sizeof(int));
		s->queues = t->nr_fds;
		return 0;
	}
}

static int net_info(void *spec, const void *body, size_t bytes, uint64_t file_bytes)
{
	struct net_spec *s = spec;
	struct net_info i;

	if (bytes != sizeof(i))
		return -EPROTO;
	memcpy(&i, body, sizeof(i));
	if (i.max_queues == 0 || i.max_queues > WIRE_MAX_QUEUES || i.offload > 1)
		return -EPROTO;
	s->info = i;
	s->queues = MIN(MIN(s->queues, i.max_queues), s->max_queues);
	s->opened = true;
	return 0;
}

static int net_front(const void *spec, const struct node_getter *g, struct front_params *ret, char why[REASON_MAX])
{
	const struct net_spec *s = spec;

	return net_front_parse(g, s->queues, ret, why);
}

/* ------------------------------------------------------------------ showing */

static void net_show(const void *spec, const struct front_params *p, json_object *o)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} features[] = { { "sg", NET_F_SG },       { "tso4", NET_F_GSO4 },   { "tso6", NET_F_GSO6 },
			 { "csum4", NET_F_CSUM4 }, { "csum6", NET_F_CSUM6 }, { "rx-notify", NET_F_RX_NOTIFY } };
	const struct net_spec *s = spec;
	char mac[MAC_TEXT], text[128] = "";

	mac_text(s->mac, mac);
	show_text(o, "target", s->link);
	show_text(o, "mac", mac);
	show_number(o, "mtu", s->mtu || s->tap.mtu, s->tap.mtu ? s->tap.mtu : s->mtu);
	show_text(o, "interface", s->ifname);
	if (s->rate_bytes)
		snprintf(text, sizeof(text), "%llu,%u", (unsigned long long)s->rate_bytes, s->rate_usec);
	show_text(o, "rate", text);
	show_text(o, "link", s->link_up ? "up" : "down");
	if (s->pair)
		show_bool(o, "paired", true, pair_whole(s->pair));
	show_number(o, "queues", p != NULL, p ? p->wire.nr_queues : 0);
	show_number(o, "max_queues", true, s->opened ? s->queues : s->max_queues);
	show_bool(o, "split_events", p != NULL, p && p->wire.nr_ports == 2);
	text[0] = '\0';
	for (size_t i = 0; p && i < ARRAY_SIZE(features); i++)
		if (p->wire.features & features[i].bit) {
			strcat(text, text[0] ? "," : "");
			strcat(text, features[i].name);
		}
	show_text(o, "frontend_features", text);
	show_bool(o, "multicast_filter", p != NULL, s->filtered);
}

static const struct control_class net_control_class = {
	.name = "nic",
	.type = "vif",
	.user_type = "svif",
	.program = "synth-netd",
	.worker = "synth-netd-worker",
	.stem = "netd",
	.dev_parse = net_dev_parse,
	.dev_name = net_dev_name,
	.dev_nth = net_dev_nth,
	.spec_new = net_spec_new,
	.spec_load = net_spec_load,
	.spec_free = net_spec_free,
	.gone_new = net_gone_new,
	.gone_run = net_gone_run,
	.gone_free = net_gone_free,
	.nodes_birth = net_nodes_birth,
	.nodes_live = net_nodes_live,
	.settings = net_settings,
	.settings_body = net_settings_body,
	.change = net_change,
	.open_new = net_open_new,
	.open_run = net_open_run,
	.open_told = net_open_told,
	.open_free = net_open_free,
	.keep = net_keep,
	.taken = net_taken,
	.info = net_info,
	.front = net_front,
	.journal_bytes = net_journal_bytes,
	.traces = true,
	.show = net_show,
};

const struct control_class *const daemon_class = &net_control_class;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tap.c - see tap.h.
 *
 * A TAP that we make is persistent: it outlives a daemon that is restarted, with its place in the bridge and whatever the
 * administrator set on it.  It is unmade when the nic is detached.  One that was there before is used as it is, and
 * stays; if it was made for one queue, the nic has one.
 *
 * In a bridge a TAP is a cable, not a station: it has a MAC that no bridge takes for its own, and answers no ARP, as
 * libxl's scripts set up a vif.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "backend/net/tap.h"
#include "common/log/log.h"

#define TX_QUEUE_LEN 512 /* packets that may wait for a slow guest */
#define MTU_DEFAULT  1500u

extern char **environ;

static int if_ioctl(unsigned long what, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	rc = ioctl(fd, what, ifr) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static void name_it(struct ifreq *ifr, const char *name)
{
	memset(ifr, 0, sizeof(*ifr));
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
}

static int get_mtu(const char *name, uint32_t *mtu)
{
	struct ifreq ifr;
	int rc;

	name_it(&ifr, name);
	rc = if_ioctl(SIOCGIFMTU, &ifr);
	if (rc == 0)
		*mtu = (uint32_t)ifr.ifr_mtu;
	return rc;
}

/* ------------------------------------------------------------------ Open vSwitch */

/* 0, -ENOENT without the program, -EIO when it failed. */
static int run(char *const argv[])
{
	posix_spawnattr_t at;
	int status = 0, rc;
	sigset_t none;
	pid_t pid;

	/* Its time limit is a signal, and a job's thread has all of them blocked. */
	sigemptyset(&none);
	posix_spawnattr_init(&at);
	rc = posix_spawnattr_setsigmask(&at, &none);
	if (rc == 0)
		rc = posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK);
	if (rc == 0)
		rc = posix_spawnp(&pid, argv[0], NULL, &at, argv, environ);
	posix_spawnattr_destroy(&at);
	if (rc)
		return rc == ENOENT ? -ENOENT : -rc;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int ovs_add(const struct tap_want *w, struct fault *f)
{
	char mac[64], id[160], bridge[NET_IFNAME_MAX], name[NET_IFNAME_MAX], name2[NET_IFNAME_MAX];
	char vsctl[] = "ovs-vsctl", wait[] = "--timeout=10", exist[] = "--may-exist", add[] = "add-port", sep[] = "--",
	     set[] = "set", interface[] = "interface";
	char *argv[] = { vsctl, wait, exist, add, bridge, name, sep, set, interface, name2, mac, id, NULL };
	int rc;

	snprintf(bridge, sizeof(bridge), "%s", w->bridge);
	snprintf(name, sizeof(name), "%s", w->name);
	snprintf(name2, sizeof(name2), "%s", w->name);
	snprintf(mac, sizeof(mac), "external_ids:attached-mac=\"%s\"", w->mac);
	snprintf(id, sizeof(id), "external_ids:synth-device=\"%s\"", w->device);
	rc = run(argv);
	if (rc == -ENOENT) {
		fault_set(f, FAULT_FAILED, rc, "there is no ovs-vsctl on this host");
		fault_next(f, "install Open vSwitch, or use --bridge for a bridge of the kernel");
	} else if (rc < 0) {
		fault_set(f, FAULT_FAILED, rc, "ovs-vsctl could not add %s to \"%s\"", w->name, w->bridge);
		fault_next(f, "see: ovs-vsctl show");
	}
	return rc;
}

/* Without waiting for ovs-vswitchd, which does it when it is there again. */
static void ovs_del(const char *name, const char *bridge)
{
	char vsctl[] = "ovs-vsctl", wait[] = "--timeout=10", no_wait[] = "--no-wait", exist[] = "--if-exists",
	     del[] = "del-port", br[NET_IFNAME_MAX], port[NET_IFNAME_MAX];
	char *argv[] = { vsctl, wait, no_wait, exist, del, br, port, NULL };
	int rc;

	snprintf(br, sizeof(br), "%s", bridge);
	snprintf(port, sizeof(port), "%s", name);
	rc = run(argv);
	if (rc < 0)
		log_warn("%s stays a port of %s: ovs-vsctl: %s", name, bridge, strerror(-rc));
}

/* ------------------------------------------------------------------ a bridge of the kernel */

static bool is_member(const char *name, const char *bridge)
{
	char path[128], target[256], *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/class/net/%s/brport/bridge", name);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	slash = strrchr(target, '/');
	return slash && strcmp(slash + 1, bridge) == 0;
}

static int bridge_add(const struct tap_want *w, uint32_t ifindex, struct fault *f)
{
	struct ifreq ifr;
	int rc;

	name_it(&ifr, w->bridge);
	ifr.ifr_ifindex = (int)ifindex;
	rc = if_ioctl(SIOCBRADDIF, &ifr);
	if (rc == 0 || (rc == -EBUSY && is_member(w->name, w->bridge)))
		return 0;
	if (rc == -ENODEV) {
		fault_set(f, FAULT_NOTFOUND, rc, "there is no bridge \"%s\"", w->bridge);
		fault_next(f, "make it (ip link add %s type bridge), or choose another", w->bridge);
	} else if (rc == -EOPNOTSUPP || rc == -EINVAL) {
		fault_set(f, FAULT_USAGE, rc, "\"%s\" is no bridge of the kernel", w->bridge);
		fault_next(f, "a bridge of Open vSwitch is joined with --ovs");
	} else {
		fault_set(f, FAULT_FAILED, rc, "cannot put %s into bridge \"%s\": %s", w->name, w->bridge,
			  strerror(-rc));
	}
	return rc;
}

/* ------------------------------------------------------------------ the TAP */

static int open_queue(const char *name, short flags, int *ret)
{
	struct ifreq ifr;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), hdr = sizeof(struct virtio_net_hdr), rc;

	if (fd < 0)
		return -errno;
	name_it(&ifr, name);
	ifr.ifr_flags = flags;
	rc = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
	if (rc == 0 && ioctl(fd, TUNSETVNETHDRSZ, &hdr) < 0)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*ret = fd;
	return 0;
}

static int open_queues(const struct tap_want *w, struct tap_got *t, struct fault *f)
{
	const short one = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	int rc = open_queue(w->name, one | IFF_MULTI_QUEUE, &t->fds[0]);
	bool many = rc == 0;

	if (rc == -EINVAL) /* one that was made for one queue */
		rc = open_queue(w->name, one, &t->fds[0]);
	if (rc < 0) {
		fault_set(f, rc == -EBUSY ? FAULT_BUSY : FAULT_FAILED, rc == -EBUSY ? -EIO : rc,
			  rc == -EINVAL ? "interface %s is there and is no TAP" : "cannot open TAP %s: %s", w->name,
			  strerror(-rc));
		if (rc == -EBUSY)
			fault_next(f, "somebody else has it open: see ip -d link show %s", w->name);
		return rc == -EBUSY ? -EIO : rc; /* EBUSY is for what may be tried again */
	}
	t->nr_fds = 1;
	while (many && t->nr_fds < w->queues && rc == 0) {
		rc = open_queue(w->name, one | IFF_MULTI_QUEUE, &t->fds[t->nr_fds]);
		if (rc == 0)
			t->nr_fds++;
	}
	return rc < 0 ? fault_set(f, FAULT_FAILED, rc, "cannot open queue %u of TAP %s: %s", t->nr_fds, w->name,
				  strerror(-rc))
		      : 0;
}

static int set_up(const struct tap_want *w, struct tap_got *t, struct fault *f)
{
	static const uint8_t cable[6] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };
	bool joined = w->join == NET_TARGET_BRIDGE || w->join == NET_TARGET_OVS;
	struct ifreq ifr;
	int rc;

	if (t->created && ioctl(t->fds[0], TUNSETPERSIST, 1) < 0)
		log_warn("%s will not outlive this daemon: %s", w->name, strerror(errno));
	t->mtu = w->mtu;
	if (t->mtu == 0 && w->bridge[0] && (get_mtu(w->bridge, &t->mtu) < 0 || t->mtu > TAP_MTU_MAX))
		t->mtu = 0;
	if (t->mtu == 0 && !t->created && get_mtu(w->name, &t->mtu) < 0)
		t->mtu = 0;
	if (t->mtu == 0)
		t->mtu = MTU_DEFAULT;
	name_it(&ifr, w->name);
	ifr.ifr_mtu = (int)t->mtu;
	rc = if_ioctl(SIOCSIFMTU, &ifr);
	if (rc < 0)
		return fault_set(f, FAULT_USAGE, rc, "%s cannot have an MTU of %u: %s", w->name, t->mtu, strerror(-rc));
	if (t->created) {
		name_it(&ifr, w->name);
		ifr.ifr_qlen = TX_QUEUE_LEN;
		rc = if_ioctl(SIOCSIFTXQLEN, &ifr);
		if (rc < 0)
			log_warn("%s: its queue stays as long as it is: %s", w->name, strerror(-rc));
	}
	if (t->created && joined) {
		name_it(&ifr, w->name);
		ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
		memcpy(ifr.ifr_hwaddr.sa_data, cable, sizeof(cable));
		rc = if_ioctl(SIOCSIFHWADDR, &ifr);
		if (rc < 0)
			log_warn("%s keeps its own MAC: %s", w->name, strerror(-rc));
	}
	if (w->join == NET_TARGET_BRIDGE)
		rc = bridge_add(w, t->ifindex, f);
	else
		rc = w->join == NET_TARGET_OVS ? ovs_add(w, f) : 0;
	if (rc < 0)
		return rc;
	name_it(&ifr, w->name);
	rc = if_ioctl(SIOCGIFFLAGS, &ifr);
	if (rc == 0) {
		ifr.ifr_flags |= IFF_UP;
		if (t->created && joined)
			ifr.ifr_flags |= IFF_NOARP;
		rc = if_ioctl(SIOCSIFFLAGS, &ifr);
	}
	return rc < 0 ? fault_set(f, FAULT_FAILED, rc, "cannot bring %s up: %s", w->name, strerror(-rc)) : 0;
}

int tap_open(const struct tap_want *w, struct tap_got *ret, struct fault *f)
{
	struct tap_got t = { .created = w->ours || if_nametoindex(w->name) == 0 };
	int rc = open_queues(w, &t, f);

	if (rc == 0) {
		t.ifindex = if_nametoindex(w->name);
		rc = set_up(w, &t, f);
	}
	if (rc == 0) {
		*ret = t;
		return 0;
	}
	if (t.nr_fds && t.created)
		(void)ioctl(t.fds[0], TUNSETPERSIST, 0);
	for (uint32_t i = 0; i < t.nr_fds; i++)
		close(t.fds[i]);
	return rc;
}

void tap_remove(const char *name, enum net_target_kind join, const char *bridge, bool created, int fd)
{
	int own = -1;

	if (join == NET_TARGET_OVS)
		ovs_del(name, bridge);
	if (!created)
		return;
	if (fd < 0 && if_nametoindex(name) != 0 && /* of a daemon before this one */
	    (open_queue(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE, &own) == 0 ||
	     open_queue(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, &own) == 0))
		fd = own;
	if (fd >= 0 && ioctl(fd, TUNSETPERSIST, 0) < 0)
		log_warn("TAP %s stays: %s", name, strerror(errno));
	if (own >= 0)
		close(own);
}

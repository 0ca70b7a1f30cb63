/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tap.c - see tap.h */
#include "frontend/net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int set_name(char to[TAP_NAME_MAX], const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	if (n == 0 || name[n] || n >= TAP_NAME_MAX || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	memcpy(to, name, n + 1);
	return 0;
}

static struct ifreq request(const struct tap *t)
{
	struct ifreq r;

	memset(&r, 0, sizeof(r));
	memcpy(r.ifr_name, t->name, sizeof(t->name));
	return r;
}

static int open_queue(struct tap *t, short flags)
{
	struct ifreq r = request(t);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	r.ifr_flags = flags;
	if (ioctl(fd, TUNSETIFF, &r) < 0) {
		int err = -errno;

		close(fd);
		/* Something that is no TAP, or one with other flags. */
		return err == -EINVAL && if_nametoindex(t->name) ? -EBUSY : err;
	}
	t->fd[t->nr++] = fd;
	return 0;
}

int tap_open(struct tap *t, const char *name, uint32_t queues)
{
	short flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0));
	int err;

	*t = (struct tap){ .ctl = -1 };
	if (queues == 0 || queues > TAP_MAX_QUEUES)
		return -EINVAL;
	err = set_name(t->name, name);
	if (err < 0)
		return err;
	/* A persistent TAP of somebody else's would be taken over else. */
	if (if_nametoindex(t->name))
		return -EBUSY;
	t->ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (t->ctl < 0)
		return -errno;
	for (uint32_t i = 0; i < queues && err == 0; i++)
		err = open_queue(t, flags);
	t->attached = t->nr;
	return err;
}

void tap_close(struct tap *t)
{
	for (uint32_t i = 0; i < t->nr; i++)
		close(t->fd[i]);
	if (t->ctl >= 0)
		close(t->ctl);
	t->nr = 0;
	t->ctl = -1;
}

static int call(int fd, unsigned long what, void *arg)
{
	return ioctl(fd, what, arg) < 0 ? -errno : 0;
}

int tap_set_mac(struct tap *t, const uint8_t mac[6])
{
	struct ifreq r = request(t);

	r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(r.ifr_hwaddr.sa_data, mac, 6);
	return call(t->ctl, SIOCSIFHWADDR, &r);
}

int tap_set_mtu(struct tap *t, uint32_t mtu)
{
	struct ifreq r = request(t);

	r.ifr_mtu = (int)mtu;
	return call(t->ctl, SIOCSIFMTU, &r);
}

int tap_set_up(struct tap *t)
{
	struct ifreq r = request(t);
	int err = call(t->ctl, SIOCGIFFLAGS, &r);

	r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
	return err < 0 ? err : call(t->ctl, SIOCSIFFLAGS, &r);
}

int tap_set_carrier(struct tap *t, bool up)
{
	int v = up;

	return call(t->fd[0], TUNSETCARRIER, &v);
}

int tap_set_offloads(struct tap *t, const struct net_takes *takes)
{
	unsigned long f = 0;

	/* One bit for both families: what the other side does not take of one is finished by offload_from_vnet()'s caller. */
	if (takes->csum4 || takes->csum6)
		f = TUN_F_CSUM | (takes->gso4 ? TUN_F_TSO4 : 0) | (takes->gso6 ? TUN_F_TSO6 : 0);
	return ioctl(t->fd[0], TUNSETOFFLOAD, f) < 0 ? -errno : 0;
}

int tap_set_gso_max(struct tap *t, uint32_t bytes)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
		struct rtattr a;
		uint32_t v;
	} m = { .h = { .nlmsg_len = sizeof(m), .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.i = { .ifi_family = AF_UNSPEC, .ifi_index = (int)if_nametoindex(t->name) },
		.a = { .rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_GSO_MAX_SIZE },
		.v = bytes };
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[256];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = send(fd, &m, sizeof(m), 0);
	if (n == (ssize_t)sizeof(m))
		n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		err = -errno;
	else if ((size_t)n < sizeof(answer.h) + sizeof(answer.e) || answer.h.nlmsg_type != NLMSG_ERROR)
		err = -EPROTO;
	else
		err = answer.e.error;
	close(fd);
	return err;
}

static int attach_queue(int fd, bool on)
{
	struct ifreq r;

	memset(&r, 0, sizeof(r));
	r.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
	return call(fd, TUNSETQUEUE, &r);
}

int tap_attach(struct tap *t, uint32_t nr)
{
	int err = 0;

	if (nr == 0 || nr > t->nr)
		return -EINVAL;
	for (; t->attached < nr && err == 0; t->attached += err == 0)
		err = attach_queue(t->fd[t->attached], true);
	for (; t->attached > nr && err == 0; t->attached -= err == 0)
		err = attach_queue(t->fd[t->attached - 1], false);
	return err;
}

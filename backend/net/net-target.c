/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-target.c - see net-target.h. */
#include <errno.h>
#include <stdio.h>
#include "backend/net/net-target.h"
#include "common/span/span.h"

#define NIC_MAX 65535u

bool net_ifname_ok(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n >= 1 && n < NET_IFNAME_MAX && name[n] == '\0' && name[0] != '-' && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static bool printable(const char *s)
{
	for (; *s; s++)
		if (*s < 0x21 || *s > 0x7e)
			return false;
	return true;
}

static int check_name(const struct net_target *t, struct fault *f)
{
	char q[QUOTE_MAX];
	const char *slash = strrchr(t->name, '/');

	switch (t->kind) {
	case NET_TARGET_TAP:
		if (t->name[0] == '\0')
			return 0;
		/* fall through */
	case NET_TARGET_BRIDGE:
	case NET_TARGET_OVS:
		if (net_ifname_ok(t->name))
			return 0;
		return fault_set(f, FAULT_USAGE, -EINVAL, "\"%s\" is no name of a network interface",
				 quote_text(q, t->name));
	case NET_TARGET_PAIR:
		if (slash && slash != t->name && slash[1] && printable(t->name))
			return 0;
		return fault_set(f, FAULT_USAGE, -EINVAL, "pair: wants the other nic as DOM/ethX, not \"%s\"",
				 quote_text(q, t->name));
	case NET_TARGET_STREAM:
		if (t->name[0] == '/' && strlen(t->name) < 108)
			return 0;
		return fault_set(f, FAULT_USAGE, -EINVAL,
				 "stream: wants the absolute path of a Unix socket, of at most 107 bytes");
	default:
		if (t->name[0] == '\0')
			return 0;
		return fault_set(f, FAULT_USAGE, -EINVAL, "null: takes no name");
	}
}

int net_target_parse(const char *text, struct net_target *ret, struct fault *f)
{
	static const struct {
		const char *scheme;
		enum net_target_kind kind;
	} schemes[] = {
		{ "tap:", NET_TARGET_TAP },   { "bridge:", NET_TARGET_BRIDGE }, { "ovs:", NET_TARGET_OVS },
		{ "pair:", NET_TARGET_PAIR }, { "stream:", NET_TARGET_STREAM }, { "null:", NET_TARGET_NULL },
	};
	struct net_target t = { 0 };
	char q[QUOTE_MAX];
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		size_t n = strlen(schemes[i].scheme);

		if (strncmp(text, schemes[i].scheme, n) != 0)
			continue;
		if (strlen(text + n) >= sizeof(t.name))
			return fault_set(f, FAULT_USAGE, -EINVAL, "the link's name is too long");
		t.kind = schemes[i].kind;
		strcpy(t.name, text + n);
		rc = check_name(&t, f);
		if (rc == 0)
			*ret = t;
		return rc;
	}
	return fault_set(
		f, FAULT_USAGE, -EINVAL,
		"\"%s\" is no known link; there are tap:, bridge:, ovs:, pair:, stream:, null:", quote_text(q, text));
}

int net_dev_parse(const char *text, uint32_t *vdev)
{
	if (strncmp(text, "eth", 3) == 0)
		text += 3;
	if (text[0] == '0' && text[1] != '\0')
		return -EINVAL;
	return parse_str_u32(text, NIC_MAX, vdev) < 0 ? -EINVAL : 0;
}

void net_dev_name(uint32_t vdev, char name[VDEV_NAME_MAX])
{
	snprintf(name, VDEV_NAME_MAX, "eth%u", vdev);
}

int net_dev_nth(uint32_t n, uint32_t *vdev)
{
	if (n > NIC_MAX)
		return -ENOENT;
	*vdev = n;
	return 0;
}

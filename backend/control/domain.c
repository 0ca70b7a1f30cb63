/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domain.c - see domain.h. */
#include <xenctrl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "backend/control/domain.h"
#include "common/log/log.h"
#include "common/span/span.h"
#include "common/xen/paths.h"
#include "common/xen/store.h"

struct domains {
	struct store *store;
	xc_interface *xc; /* NULL: without */
};

int domains_open(struct store *s, struct domains **ret)
{
	struct domains *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->store = s;
	d->xc = xc_interface_open(NULL, NULL, 0);
	if (!d->xc)
		log_warn("cannot open the hypervisor's control interface (%s): a dying domain is noticed later, by "
			 "xenstore alone",
			 strerror(errno));
	*ret = d;
	return 0;
}

void domains_close(struct domains *d)
{
	if (!d)
		return;
	if (d->xc)
		xc_interface_close(d->xc);
	free(d);
}

static void read_text(struct domains *d, uint32_t domid, const char *leaf, char *out, size_t bytes)
{
	struct path dir, p;
	char *v;

	out[0] = '\0';
	path_domain(&dir, domid);
	if (store_read(d->store, NULL, path_join(&p, dir.s, leaf), &v) < 0)
		return;
	/* Names with control characters are no names. */
	for (char *c = v; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	snprintf(out, bytes, "%s", v);
	free(v);
}

/* 1 and *info, 0 when there is no such domain, -errno.  The list is the one such call that 4.17 and later libxenctrls share. */
static int domain_info(struct domains *d, uint32_t domid, xc_domaininfo_t *info)
{
	int n = xc_domain_getinfolist(d->xc, domid, 1, info);

	if (n < 0)
		return -errno;
	return n == 1 && info->domain == domid; /* the list begins with the first domain at or above @domid */
}

int domain_alive(struct domains *d, uint32_t domid, struct domain_id *id)
{
	struct path p;
	int there;

	memset(id, 0, sizeof(*id));
	if (domid > DOMID_LAST)
		return 0;
	if (d->xc) {
		xc_domaininfo_t info;
		int n = domain_info(d, domid, &info);

		if (n == 1) {
			if (info.flags & XEN_DOMINF_dying)
				return 0;
			memcpy(id->handle, info.handle, sizeof(id->handle));
			read_text(d, domid, "vm", id->vm, sizeof(id->vm));
			return 1;
		}
		if (n == 0)
			return 0;
		if (n != -EPERM && n != -EACCES && n != -ENOSYS)
			return n;
	}
	path_domain(&p, domid);
	there = domid == 0 ? 1 : store_introduced(d->store, domid);
	if (there == 1)
		there = store_there(d->store, NULL, p.s);
	if (there != 1)
		return store_answered(there) ? 0 : there;
	read_text(d, domid, "vm", id->vm, sizeof(id->vm));
	return 1;
}

int domain_end(struct domains *d, uint32_t domid, const struct domain_id *id, enum domain_end *ret)
{
	struct domain_id now = { 0 };
	uint32_t reason;
	xc_domaininfo_t info;

	if (!d->xc)
		return -ENOSYS;
	if (domain_info(d, domid, &info) != 1)
		return -ESRCH;
	memcpy(now.handle, info.handle, sizeof(now.handle));
	if (!domain_same(&now, id))
		return -ESRCH;
	reason = info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
	if (!(info.flags & XEN_DOMINF_shutdown))
		*ret = DOMAIN_RUNS;
	else if (reason == SHUTDOWN_suspend)
		*ret = DOMAIN_SUSPENDED;
	else
		*ret = reason == SHUTDOWN_reboot ? DOMAIN_REBOOTS : DOMAIN_ENDED;
	return 0;
}

int domain_pause(struct domains *d, uint32_t domid)
{
	if (!d->xc)
		return -ENOSYS;
	return xc_domain_pause(d->xc, domid) == 0 ? 0 : -errno;
}

int domain_unpause(struct domains *d, uint32_t domid)
{
	if (!d->xc)
		return -ENOSYS;
	return xc_domain_unpause(d->xc, domid) == 0 ? 0 : -errno;
}

bool domain_paused(struct domains *d, uint32_t domid)
{
	xc_domaininfo_t info;

	return d->xc && domain_info(d, domid, &info) == 1 && info.flags & XEN_DOMINF_paused;
}

bool domain_same(const struct domain_id *a, const struct domain_id *b)
{
	static const uint8_t none[16];

	if (memcmp(a->handle, none, 16) != 0 && memcmp(b->handle, none, 16) != 0 &&
	    memcmp(a->handle, b->handle, 16) != 0)
		return false;
	return a->vm[0] == '\0' || b->vm[0] == '\0' || strcmp(a->vm, b->vm) == 0;
}

void domain_name(struct domains *d, uint32_t domid, char name[64])
{
	read_text(d, domid, "name", name, 64);
}

static bool is_uuid(const char *text)
{
	return strlen(text) == 36 && strspn(text, "0123456789abcdefABCDEF-") == 36;
}

int domain_find(struct domains *d, const char *text, uint32_t *domid, char name[64])
{
	struct domain_id id;
	char **list, value[64];
	uint32_t nr, n;
	int err, found = 0;

	if (parse_str_u32(text, DOMID_LAST, &n) == 0) {
		found = domain_alive(d, n, &id);
		if (found != 1)
			return found;
		*domid = n;
		domain_name(d, n, name);
		return 1;
	}
	err = store_list(d->store, NULL, "/local/domain", &list, &nr);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < nr && found == 0; i++) {
		if (parse_str_u32(list[i], DOMID_LAST, &n) < 0)
			continue;
		if (is_uuid(text)) {
			read_text(d, n, "vm", value, sizeof(value));
			if (strncmp(value, "/vm/", 4) != 0 || strcasecmp(value + 4, text) != 0)
				continue;
		} else {
			domain_name(d, n, value);
			if (value[0] == '\0' || strcmp(value, text) != 0)
				continue;
		}
		found = domain_alive(d, n, &id);
		if (found == 1) {
			*domid = n;
			domain_name(d, n, name);
		}
	}
	free(list);
	return found;
}

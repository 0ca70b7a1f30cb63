/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* paths.c - see paths.h */
#include <stdio.h>
#include "common/xen/paths.h"

const char *path_domain(struct path *p, uint32_t domid)
{
	snprintf(p->s, sizeof(p->s), "/local/domain/%u", domid);
	return p->s;
}

const char *path_front(struct path *p, uint32_t domid, const char *type, uint32_t id)
{
	snprintf(p->s, sizeof(p->s), "/local/domain/%u/device/%s/%u", domid, type, id);
	return p->s;
}

const char *path_back(struct path *p, uint32_t back_domid, const char *type, uint32_t domid, uint32_t id)
{
	snprintf(p->s, sizeof(p->s), "/local/domain/%u/backend/%s/%u/%u", back_domid, type, domid, id);
	return p->s;
}

const char *path_libxl(struct path *p, uint32_t domid, const char *type, uint32_t id)
{
	snprintf(p->s, sizeof(p->s), "/libxl/%u/device/%s/%u", domid, type, id);
	return p->s;
}

const char *path_join(struct path *p, const char *dir, const char *leaf)
{
	snprintf(p->s, sizeof(p->s), "%s/%s", dir, leaf);
	return p->s;
}

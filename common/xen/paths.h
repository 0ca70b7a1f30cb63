/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * paths.h - the one place that spells xenstore paths (layout: docs/xenstore-layout.md).  Pure.
 * Each fills a buffer of STORE_PATH_MAX bytes and returns it.
 */
#ifndef SYNTH_PATHS_H
#define SYNTH_PATHS_H

#include "common/base/base.h"
#include "common/xen/store.h"

struct path {
	char s[STORE_PATH_MAX];
};

const char *path_domain(struct path *p, uint32_t domid); /* /local/domain/N */
/* /local/domain/N/device/TYPE/ID */
const char *path_front(struct path *p, uint32_t domid, const char *type, uint32_t id);
/* /local/domain/B/backend/TYPE/N/ID */
const char *path_back(struct path *p, uint32_t back_domid, const char *type, uint32_t domid, uint32_t id);
/* /libxl/N/device/TYPE/ID */
const char *path_libxl(struct path *p, uint32_t domid, const char *type, uint32_t id);
const char *path_join(struct path *p, const char *dir, const char *leaf);

#endif

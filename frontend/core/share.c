/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* share.c - see share.h */
#include "frontend/core/share.h"

#include <errno.h>
#include <xengnttab.h>

struct share {
	xengntshr_handle *handle;
};

int share_open(struct share **ret)
{
	struct share *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->handle = xengntshr_open(NULL, 0);
	if (!s->handle) {
		err = errno ? -errno : -EIO;
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void share_close(struct share *s)
{
	if (!s)
		return;
	xengntshr_close(s->handle);
	free(s);
}

int share_pages(struct share *s, uint32_t domid, uint32_t nr, bool writable, uint32_t *refs, void **ret)
{
	void *p;

	if (nr == 0 || nr > INT32_MAX)
		return -EINVAL;
	errno = 0;
	p = xengntshr_share_pages(s->handle, domid, (int)nr, refs, writable);
	if (!p)
		return errno ? -errno : -ENOMEM;
	/* Linux hands out zeroed pages; nothing says that every implementation does. */
	memset(p, 0, (size_t)nr * PAGE_BYTES);
	*ret = p;
	return 0;
}

void share_revoke(struct share *s, void *pages, uint32_t nr)
{
	xengntshr_unshare(s->handle, pages, nr);
}

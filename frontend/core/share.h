/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * share.h - pages of ours granted to another domain (libxengntshr), zeroed before anybody else sees them used.
 *
 * Revoking never asks first whether the peer still maps a page: the driver keeps a page that is still mapped out
 * of circulation until the peer lets go (XSA-396), we only give up our own mapping.  Until then the peer may map it
 * once more, so a reference given up is not one that is refused.
 * One thread uses a handle at a time.  Handles do not survive fork.
 */
#ifndef SYNTH_SHARE_H
#define SYNTH_SHARE_H

#include "common/base/base.h"

struct share;

int share_open(struct share **ret) __must_check;
/* NULL ok.  Revoke all first: what is shared belongs to the mapping here, and stays so until this process ends. */
void share_close(struct share *s);

/* @nr pages, contiguous here, all zero, granted to @domid; refs[] gets @nr references.
 * -ENOSPC: the driver's limit is reached (xen_gntalloc.limit) or the grant table is full. */
int share_pages(struct share *s, uint32_t domid, uint32_t nr, bool writable, uint32_t *refs, void **ret) __must_check;
void share_revoke(struct share *s, void *pages, uint32_t nr);

#endif

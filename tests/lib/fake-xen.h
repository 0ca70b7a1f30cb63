/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-xen.h - grants and event channels of a guest that is this process too: common/xen/grant.h and evtchn.h, on a piece of memory.
 * For what hostxen is too much: fuzzers, sanitizers in one process, threads that write where a worker reads.  Grant N is page N of
 * the memory; a mapping of it is at another address, as with Xen.
 */
#ifndef SYNTH_FAKE_XEN_H
#define SYNTH_FAKE_XEN_H

#include "common/xen/evtchn.h"
#include "common/xen/grant.h"

#define FAKE_PAGES 1024u

/* The guest's memory, FAKE_PAGES pages; made at the first call. */
uint8_t *fake_memory(void);
/* Pages mapped and not unmapped again. */
uint32_t fake_mapped(void);
/* Of all event channels: how often the back end notified. */
uint64_t fake_notified(void);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lib.h: what the files of libhostxen.so share.
 * client.c the connection to the broker and the cached views of domains and regions; evtchn.c gnttab.c gntshr.c the
 * three libraries; xenctrl.c the few hypercalls; stubs.c what exists but is not served; fault.c failures on demand.
 */
#ifndef HOSTXEN_LIB_H
#define HOSTXEN_LIB_H

#include <pthread.h>
#include <stddef.h>

#include "hostxen/wire.h"
#include "hostxen/world.h"

#define EXPORT      __attribute__((visibility("default")))
#define DOMID_SELF_ 0x7ff0U

/* client.c ------------------------------------------------------------- */

/* This process's place in the world; valid after hx_connect() gave 0. */
struct hx_self {
	struct hx_world *world;
	struct hx_dom *dom;
	uint32_t domid, gen;
};
extern struct hx_self hx_self;

/* Connects this process to the broker, once. 0 or -errno (-ENOENT: no broker, as with no /dev/xen). */
int hx_connect(void);

/*
 * Asks the broker. @send_fd rides along unless -1. @fds gets @nfds descriptors (close-on-exec), owned by the caller.
 * 0 or -errno: the broker's answer, or -ENODEV when it is gone. Any thread.
 */
int hx_call(const struct hx_req *req, int send_fd, struct hx_rsp *rsp, int *fds, unsigned nfds);

/* A domain's shared memory, or NULL: no such domain (or it is dying and unknown here). Never unmapped while fresh. */
struct hx_dom *hx_dom_get(uint32_t domid);

/* True once this process's own domain is dying or the broker is gone. */
static inline bool hx_lost(void)
{
	return atomic_load_explicit(&hx_self.world->dead, memory_order_relaxed) ||
	       atomic_load_explicit(&hx_self.dom->dying, memory_order_relaxed);
}

/* Somebody's region, mapped here as a whole, writable and (made when first wanted) read-only. */
struct hx_region {
	uint32_t slot, gen;
	size_t size;
	int fd;
	_Atomic(uint8_t *) rw, ro;
};

/* The caller holds a pin or a published hazard on a grant of that region, which keeps the answer valid. NULL: errno. */
struct hx_region *hx_region_get(uint32_t slot, uint32_t gen);
uint8_t *hx_region_base(struct hx_region *r, bool writable);

/* This thread's hazard slot, or NULL: none left. */
struct hx_hazard *hx_hazard_get(void);

/* A pipe whose reading end is the handle: told the broker after it was closed, which sees whether it was the last. */
void hx_handle_closed(uint32_t hid);

/* Closes a descriptor somebody else may still be writing to, a second or more from now. Call with hx_slow held. */
void hx_bury(int fd, void *addr, size_t len);
extern pthread_mutex_t hx_slow;

/* fault.c --------------------------------------------------------------- */

enum hx_fault { HX_FAULT_MAP, HX_FAULT_COPY, HX_FAULT_NOTIFY, HX_FAULT_SHARE, HX_FAULT_BIND, HX_NR_FAULTS };
extern bool hx_faults;
bool hx_fault_hit(enum hx_fault which);

/* Shall this call fail? */
static inline bool hx_fault(enum hx_fault which)
{
	return __builtin_expect(hx_faults, 0) && hx_fault_hit(which);
}

/* HOSTXEN_STRICT is set: mappings are real ones, so that use after unmap faults. */
extern bool hx_strict;

/* gnttab.c, gntshr.c, evtchn.c: what xentoolcore_restrict_all does to each library's handles. */
int hx_evtchn_restrict_all(uint32_t domid);
void hx_gnttab_restrict_all(void);

#endif

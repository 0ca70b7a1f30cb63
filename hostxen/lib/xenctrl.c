/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenctrl.c: what of libxenctrl, libxenforeignmemory, libxendevicemodel and libxentoolcore is served: opening and closing
 * handles, which domains there are, and restriction. The rest is in stubs.c.
 */
#define __XEN_TOOLS__ 1
#include "config.h"
#include "hostxen/lib/lib.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>
#include <xentoolcore.h>

/* One opaque object serves as any library's handle: nothing is kept in it. */
static void *any_open(void)
{
	int err = hx_connect();
	if (!err)
		return calloc(1, 64);
	errno = -err;
	return NULL;
}

EXPORT xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
				       unsigned open_flags)
{
	return any_open();
}

EXPORT int xc_interface_close(xc_interface *xch)
{
	free(xch);
	return 0;
}

EXPORT xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	return any_open();
}

EXPORT int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
	free(fmem);
	return 0;
}

EXPORT xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned int open_flags)
{
	return any_open();
}

EXPORT int xendevicemodel_close(xendevicemodel_handle *dmod)
{
	free(dmod);
	return 0;
}

EXPORT int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
{
	return 0;
}

EXPORT int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
{
	return 0;
}

/* --- domains ------------------------------------------------------------------ */

/* The first living (or dying) domain at or above @domid; -1: none. */
static int next_domain(uint32_t domid, uint32_t *flags)
{
	struct hx_world *w = hx_self.world;
	for (uint32_t n = atomic_load(&w->top_dom); domid < n; domid++) {
		if (!atomic_load(&w->dom[domid].gen))
			continue;
		*flags = atomic_load(&w->dom[domid].flags);
		return (int)domid;
	}
	return -1;
}

#if HAVE_DECL_XC_DOMAIN_GETINFO /* until Xen 4.17, whose xenstored calls it */
EXPORT int xc_domain_getinfo(xc_interface *xch, uint32_t first_domid, unsigned int max_doms, xc_dominfo_t *info)
{
	unsigned n = 0;
	uint32_t flags;
	int id;
	if (atomic_load(&hx_self.world->dead)) {
		errno = ENODEV;
		return -1;
	}
	for (; n < max_doms && (id = next_domain(first_domid, &flags)) >= 0; first_domid = (uint32_t)id + 1) {
		memset(&info[n], 0, sizeof(info[n]));
		info[n].domid = (uint32_t)id;
		info[n].dying = (flags & HX_DOM_DYING) != 0;
		info[n].shutdown = (flags & HX_DOM_SHUTDOWN) != 0;
		info[n].shutdown_reason = HX_DOM_REASON(flags);
		info[n].paused = atomic_load(&hx_self.world->dom[id].paused) > 0;
		info[n].running = !(flags & (HX_DOM_DYING | HX_DOM_SHUTDOWN)) && !info[n].paused;
		info[n++].nr_online_vcpus = 1;
	}
	if (n || !max_doms)
		return (int)n;
	errno = ESRCH; /* the hypercall's answer */
	return -1;
}
#endif

static void fill(xc_domaininfo_t *info, int id, uint32_t flags)
{
	bool paused = atomic_load(&hx_self.world->dom[id].paused) > 0;
	memset(info, 0, sizeof(*info));
	info->domain = (domid_t)id;
	info->flags = flags & HX_DOM_DYING ? XEN_DOMINF_dying : 0;
	if (flags & HX_DOM_SHUTDOWN)
		info->flags |= XEN_DOMINF_shutdown | HX_DOM_REASON(flags) << XEN_DOMINF_shutdownshift;
	if (paused)
		info->flags |= XEN_DOMINF_paused;
	else if (!info->flags)
		info->flags = XEN_DOMINF_running;
	info->nr_online_vcpus = 1;
}

EXPORT int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned int max_domains,
				 xc_domaininfo_t *info)
{
	unsigned n = 0;
	uint32_t flags;
	int id;
	if (atomic_load(&hx_self.world->dead)) {
		errno = ENODEV;
		return -1;
	}
	for (; n < max_domains && (id = next_domain(first_domain, &flags)) >= 0; first_domain = (uint32_t)id + 1)
		fill(&info[n++], id, flags);
	return (int)n;
}

/* Xen 4.18 and later have this in place of xc_domain_getinfo(); a program built there finds it here. */
int xc_domain_getinfo_single(xc_interface *xch, uint32_t domid, xc_domaininfo_t *info);
EXPORT int xc_domain_getinfo_single(xc_interface *xch, uint32_t domid, xc_domaininfo_t *info)
{
	uint32_t flags;
	if (atomic_load(&hx_self.world->dead) || next_domain(domid, &flags) != (int)domid) {
		errno = ESRCH;
		return -1;
	}
	if (info)
		fill(info, (int)domid, flags);
	return 0;
}

/* Counted, and told; a domain's processes run on. */
static int pause_by(uint32_t domid, bool more)
{
	uint32_t flags, was;
	if (atomic_load(&hx_self.world->dead) || next_domain(domid, &flags) != (int)domid) {
		errno = ESRCH;
		return -1;
	}
	was = atomic_load(&hx_self.world->dom[domid].paused);
	do {
		if (!more && was == 0)
			return 0;
	} while (!atomic_compare_exchange_weak(&hx_self.world->dom[domid].paused, &was, more ? was + 1 : was - 1));
	return 0;
}

EXPORT int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
	return pause_by(domid, true);
}

EXPORT int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
	return pause_by(domid, false);
}

/* --- restriction ----------------------------------------------------------------- */

/*
 * As the real libraries do: event channels are confined to one domain; grant handles, which cannot be, are taken away.
 * Then the real libxentoolcore's turn, for the libraries that are not ours (libxenstore).
 */
EXPORT int xentoolcore_restrict_all(domid_t domid)
{
	int (*real)(domid_t) = NULL;
	if (hx_evtchn_restrict_all(domid))
		return -1;
	hx_gnttab_restrict_all();
	*(void **)&real = dlsym(RTLD_NEXT, "xentoolcore_restrict_all");
	return real ? real(domid) : 0;
}

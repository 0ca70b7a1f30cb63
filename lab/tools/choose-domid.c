/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * choose-domid.c: preloaded into xl, gives the domain which it makes the number in $CHOOSE_DOMID. Xen takes any number that
 * is free, but xl has no word for it: that a number is used again would else be seen after 32751 more domains.
 */
#define __XEN_TOOLS__ 1
#include <dlfcn.h>
#include <stdlib.h>
#include <xenctrl.h>

int xc_domain_create(xc_interface *xch, uint32_t *pdomid, struct xen_domctl_createdomain *config)
{
	int (*real)(xc_interface *, uint32_t *, struct xen_domctl_createdomain *) = NULL;
	const char *want = getenv("CHOOSE_DOMID");

	*(void **)&real = dlsym(RTLD_NEXT, "xc_domain_create");
	if (want)
		*pdomid = (uint32_t)strtoul(want, NULL, 10);
	return real(xch, pdomid, config);
}

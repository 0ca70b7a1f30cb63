/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * domain.h - which domains there are.  The one user of libxenctrl, whose ABI changes with each Xen: nothing else
 * can tell that a domain is dying.  Where it does not work (no privilege), xenstore's word is taken.
 */
#ifndef SYNTH_DOMAIN_H
#define SYNTH_DOMAIN_H

#include "common/base/base.h"

#define DOMID_LAST 0x7fefu /* DOMID_FIRST_RESERVED - 1 */

struct domains;
struct store;

/* One life of a domid: domids are used again. */
struct domain_id {
	uint8_t handle[16]; /* the hypervisor's UUID; zero when unknown */
	char vm[64];        /* xenstore's /local/domain/N/vm; "" when there is none */
};

int domains_open(struct store *s, struct domains **ret) __must_check;
void domains_close(struct domains *d); /* NULL ok */

/* 1 exists (and is not dying; *id is filled), 0 does not, -errno. */
int domain_alive(struct domains *d, uint32_t domid, struct domain_id *id) __must_check;
/* False: surely another life.  What is unknown in one of them says nothing. */
bool domain_same(const struct domain_id *a, const struct domain_id *b);

enum domain_end {
	DOMAIN_RUNS, /* or is paused; also: it is not known */
	DOMAIN_SUSPENDED,
	DOMAIN_REBOOTS,
	DOMAIN_ENDED, /* powered off, crashed */
};
/* How it was shut down, which it tells until it is destroyed.  -ESRCH: it is gone, or is another life than @id. */
int domain_end(struct domains *d, uint32_t domid, const struct domain_id *id, enum domain_end *ret) __must_check;
/* Counted by the hypervisor beside everybody else's: a domain runs when all who paused it have unpaused it. */
int domain_pause(struct domains *d, uint32_t domid) __must_check;
int domain_unpause(struct domains *d, uint32_t domid) __must_check;
bool domain_paused(struct domains *d, uint32_t domid); /* by anybody */

/*
 * Name, number or UUID -> domid.  1 found, 0 not, -errno.
 * The name is written to @name ("" when the domain has none).
 */
int domain_find(struct domains *d, const char *text, uint32_t *domid, char name[64]) __must_check;
/* "" when it has none. */
void domain_name(struct domains *d, uint32_t domid, char name[64]);

#endif

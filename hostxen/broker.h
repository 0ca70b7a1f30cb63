/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * broker.h: what the files of hostxend share.
 * world.c domains, ports, handles, regions, notifications (the hypervisor's part); serve.c requests of processes;
 * xenbus.c the guests' way to xenstored; hostxend.c start, loop, stop. One thread, so no locks among them.
 */
#ifndef HOSTXEN_BROKER_H
#define HOSTXEN_BROKER_H

#include <stddef.h>
#include <sys/types.h>

#include "hostxen/wire.h"
#include "hostxen/world.h"

#define HX_VIRQS        24U
#define HX_VIRQ_DOM_EXC 3U

/* Something epoll watches. */
struct source {
	void (*fire)(struct source *s, uint32_t events);
	int fd;
	bool death; /* the end of a handle: seen to before the requests of the same turn */
};

enum handle_kind { HANDLE_EVTCHN, HANDLE_GNTTAB, HANDLE_GNTSHR };

struct proxy;

struct domain {
	struct domain *next;
	uint32_t domid, gen;
	char name[HX_NAME];
	bool dying, ready;
	struct hx_dom *shm;
	int memfd;
	uint32_t virq[HX_VIRQS]; /* port, 0 none */
	uint16_t held[HX_PORTS]; /* references by unmap notifications; a port is closed when none is left */
	uint32_t nregions;       /* a dying domain is gone when all have been freed */
	struct proxy *proxy;     /* NULL for dom0 */
};

struct handle {
	struct source src; /* the writing end; EPOLLERR: no reader is left */
	struct handle *hash_next;
	uint32_t hid;
	enum handle_kind kind;
	struct domain *dom;
	ino_t ino;
	uint32_t restrict_to;      /* HX_TOOLSTACK: not restricted */
	struct hx_maptrack *track; /* gnttab */
	uint32_t region;           /* gntshr: slot */
	int rfd;                   /* the broker's own handles: their reading end, else -1 */
};

/* hostxend.c ---------------------------------------------------------------- */
extern struct hx_world *world;
extern int world_fd;
extern const char *state_dir;
void broker_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int source_add(struct source *s, uint32_t events);
void source_events(struct source *s, uint32_t events);
void source_del(struct source *s); /* also forgets events of this turn; does not close */
void broker_stop(void);            /* leave the loop */

/* world.c -------------------------------------------------------------------- */
struct domain *domain_find(uint32_t domid);
extern struct domain *domains;
int domain_create(uint32_t domid, const char *name, struct domain **ret);
void domain_shutdown(struct domain *d, uint32_t reason); /* SHUTDOWN_* */
void domain_destroy(struct domain *d);
void world_sweep(void); /* frees what waited for its last user */
bool world_busy(void);  /* something waits */

struct handle *handle_find(uint32_t hid);
struct handle *handle_by_fd(int fd);
int handle_open(struct domain *d, enum handle_kind kind, struct handle **ret, int *ret_rfd);
void handle_close(struct handle *h);
bool handle_check(struct handle *h); /* closes it if its last reader has gone; true: it had */
unsigned handle_count(const struct domain *d);
int gnttab_setup(struct handle *h, int *ret_fd);
int region_new(struct handle *h, size_t size, int *ret_fd);
int region_fd(uint32_t slot, uint32_t gen, size_t *ret_size);
void grant_reserved(struct domain *d, struct handle *h, uint32_t gref, uint32_t page, uint32_t to);

int port_bind_unbound(struct handle *h, uint32_t rdom);
int port_bind_interdomain(struct handle *h, uint32_t rdom, uint32_t rport);
int port_bind_virq(struct handle *h, uint32_t virq);
int port_unbind(struct handle *h, uint32_t port);
void port_send(struct domain *d, uint32_t port);

int notify_add(struct handle *h, uint32_t domid, uint32_t gref, uint32_t offset, uint32_t port);
int notify_fire(struct handle *h, uint32_t id);

/* serve.c ---------------------------------------------------------------------- */
int serve_listen(const char *path);

/* xenbus.c --------------------------------------------------------------------- */
int proxy_new(struct domain *d, struct proxy **ret); /* makes region, grant 1 and port; listens */
uint32_t proxy_port(const struct proxy *p);
void proxy_free(struct proxy *p);

#endif

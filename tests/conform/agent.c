/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent.c: the guest's side. Reads commands from data/conform/K/req ("SEQ COMMAND ARGS...") and answers in
 * data/conform/K/rsp ("SEQ ok NUMBERS..." or "SEQ err ERRNO"). H, S are small numbers chosen by the test:
 * H of an event channel handle, S of a page (or row of pages) shared; there is one gntshr and one gnttab handle.
 *
 *   reset                       unshare and close everything
 *   open H | close H            an event channel handle
 *   unbound H DOMID             -> port
 *   interdomain H DOMID PORT    -> port
 *   unbind H PORT | notify H PORT | unmask H PORT
 *   pending H MS                -> port, or -1 when none comes in time
 *   echo H COUNT                answer that many events with one each, on the port they came in
 *   fill H DOMID                bind unbound ports until it fails -> how many, errno
 *   share S DOMID COUNT WRITABLE              -> grefs
 *   sharen S DOMID WRITABLE OFFSET PORT       -> gref   (with unmap notification)
 *   unshare S                   all its pages
 *   hoard DOMID                 share pages until it fails -> how many, errno; then unshare them
 *   peek S OFFSET | poke S OFFSET VALUE
 *   closeshr                    close the gntshr handle
 *   churn S DOMID               share a page to DOMID filled with 0x11 and say its gref in page S, then unshare it, share
 *                               one to another domain filled with 0xee, and so on, until byte 4 of page S is set
 *   map DOMID GREF WRITABLE     -> first byte
 *   spawn K | kill K            a child agent, reached as K; SIGKILL to it
 *   xsread PATH                 -> the number it holds
 *   xswrite PATH NUMBER
 *   xsfill PATH                 make PATH/0, PATH/1.. until it fails -> how many, errno; then remove PATH
 *   xswatch PATH | xsunwatch PATH
 *   xsevents MS                 -> how many watch events come until none does for that long
 *   xsstart | xsend             a transaction, which xsread and xswrite are in
 */
#include "tests/conform/conform.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NH       16U
#define NS       64U
#define MAX_REFS 256

static xenevtchn_handle *evtchn[NH];
static xengntshr_handle *gntshr;
static xengnttab_handle *gnttab;
static struct {
	uint8_t *at;
	uint32_t count;
} pages[NS];
static pid_t children[NH];
static struct xs_handle *client; /* the tests' own connection to xenstore, not the conversation's */
static xs_transaction_t tx;
static const char *path; /* a command's first argument, as it came */
static unsigned me;      /* which agent this is */

struct reply {
	long v[MAX_REFS];
	unsigned n;
};

static int say(struct reply *r, long v)
{
	r->v[r->n++] = v;
	return 0;
}

static int number(struct reply *r, long v)
{
	return v < 0 ? -errno : say(r, v);
}

static int done(int rc)
{
	return rc < 0 ? -errno : 0;
}

/* --- commands ------------------------------------------------------------------------ */

static xengntshr_handle *shr(void)
{
	if (!gntshr)
		gntshr = xengntshr_open(NULL, 0);
	return gntshr;
}

static int unshare(unsigned slot)
{
	uint8_t *at = pages[slot].at;
	pages[slot].at = NULL;
	return xengntshr_unshare(shr(), at, pages[slot].count);
}

static int do_reset(const long *a, struct reply *r)
{
	for (unsigned i = 0; i < NH; i++) {
		if (evtchn[i])
			xenevtchn_close(evtchn[i]);
		evtchn[i] = NULL;
		if (children[i] > 0) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
		}
		children[i] = 0;
	}
	/* Closing does not end what is shared. */
	for (unsigned i = 0; i < NS; i++)
		if (pages[i].at && unshare(i))
			return -errno;
	if (gntshr)
		xengntshr_close(gntshr);
	if (gnttab)
		xengnttab_close(gnttab);
	gntshr = NULL;
	gnttab = NULL;
	if (client)
		xs_close(client); /* its watches and transaction go with it */
	client = NULL;
	tx = XBT_NULL;
	return 0;
}

static int do_open(const long *a, struct reply *r)
{
	evtchn[a[0]] = xenevtchn_open(NULL, 0);
	return evtchn[a[0]] ? 0 : -errno;
}

static int do_close(const long *a, struct reply *r)
{
	int rc = xenevtchn_close(evtchn[a[0]]);
	evtchn[a[0]] = NULL;
	return done(rc);
}

static int do_unbound(const long *a, struct reply *r)
{
	return number(r, xenevtchn_bind_unbound_port(evtchn[a[0]], (uint32_t)a[1]));
}

static int do_interdomain(const long *a, struct reply *r)
{
	return number(r, xenevtchn_bind_interdomain(evtchn[a[0]], (uint32_t)a[1], (evtchn_port_t)a[2]));
}

static int do_unbind(const long *a, struct reply *r)
{
	return done(xenevtchn_unbind(evtchn[a[0]], (evtchn_port_t)a[1]));
}

static int do_notify(const long *a, struct reply *r)
{
	return done(xenevtchn_notify(evtchn[a[0]], (evtchn_port_t)a[1]));
}

static int do_unmask(const long *a, struct reply *r)
{
	return done(xenevtchn_unmask(evtchn[a[0]], (evtchn_port_t)a[1]));
}

static int do_pending(const long *a, struct reply *r)
{
	return say(r, event_within(evtchn[a[0]], (int)a[1]));
}

static int do_echo(const long *a, struct reply *r)
{
	xenevtchn_handle *e = evtchn[a[0]];
	for (long i = 0; i < a[1]; i++) {
		int port = event_within(e, 5000);
		if (port < 0)
			return -ETIMEDOUT;
		if (xenevtchn_unmask(e, (evtchn_port_t)port) || xenevtchn_notify(e, (evtchn_port_t)port))
			return -errno;
	}
	return 0;
}

static int do_fill(const long *a, struct reply *r)
{
	long n = 0;
	while (n < 200000 && xenevtchn_bind_unbound_port(evtchn[a[0]], (uint32_t)a[1]) >= 0)
		n++;
	int err = errno;
	say(r, n);
	return say(r, err);
}

static int do_share(const long *a, struct reply *r)
{
	uint32_t refs[MAX_REFS];
	if (a[2] > MAX_REFS || pages[a[0]].at || !shr())
		return -EINVAL;
	void *p = xengntshr_share_pages(gntshr, (uint32_t)a[1], (int)a[2], refs, (int)a[3]);
	if (!p)
		return -errno;
	pages[a[0]].at = p;
	pages[a[0]].count = (uint32_t)a[2];
	for (long i = 0; i < a[2]; i++)
		say(r, (long)refs[i]);
	return 0;
}

static int do_sharen(const long *a, struct reply *r)
{
	uint32_t ref;
	if (pages[a[0]].at || !shr())
		return -EINVAL;
	void *p = xengntshr_share_page_notify(gntshr, (uint32_t)a[1], &ref, (int)a[2], (uint32_t)a[3],
					      (evtchn_port_t)a[4]);
	if (!p)
		return -errno;
	pages[a[0]].at = p;
	pages[a[0]].count = 1;
	return say(r, (long)ref);
}

static int do_unshare(const long *a, struct reply *r)
{
	return done(unshare((unsigned)a[0]));
}

static int do_hoard(const long *a, struct reply *r)
{
	static void *all[100000];
	uint32_t ref;
	long n = 0;
	if (!shr())
		return -errno;
	while (n < 100000 && (all[n] = xengntshr_share_pages(gntshr, (uint32_t)a[0], 1, &ref, 1)))
		n++;
	int err = errno;
	for (long i = 0; i < n; i++)
		if (xengntshr_unshare(gntshr, all[i], 1))
			return -errno;
	say(r, n);
	return say(r, err);
}

static int do_peek(const long *a, struct reply *r)
{
	return say(r, __atomic_load_n(pages[a[0]].at + a[1], __ATOMIC_SEQ_CST));
}

static int do_poke(const long *a, struct reply *r)
{
	__atomic_store_n(pages[a[0]].at + a[1], (uint8_t)a[2], __ATOMIC_SEQ_CST);
	return 0;
}

static int do_closeshr(const long *a, struct reply *r)
{
	int rc = gntshr ? xengntshr_close(gntshr) : 0;
	gntshr = NULL;
	return done(rc);
}

/* Page S: an uint32_t, the gref now shared to DOMID; 0 none. Then a byte: enough. */
static int do_churn(const long *a, struct reply *r)
{
	uint8_t *control = pages[a[0]].at;
	uint32_t *say_ref = (uint32_t *)(void *)control, mine, other;
	time_t end = time(NULL) + 20; /* the test may have failed */
	while (!__atomic_load_n(control + 4, __ATOMIC_SEQ_CST) && time(NULL) < end) {
		uint8_t *p = xengntshr_share_pages(gntshr, (uint32_t)a[1], 1, &mine, 1);
		if (!p)
			return -errno;
		memset(p, 0x11, PAGE);
		__atomic_store_n(say_ref, mine, __ATOMIC_SEQ_CST);
		for (volatile int k = 0; k < 200; k++)
			;
		if (xengntshr_unshare(gntshr, p, 1))
			return -errno;
		uint8_t *q = xengntshr_share_pages(gntshr, 0x7000, 1, &other, 1);
		if (!q)
			return -errno;
		memset(q, 0xee, PAGE);
		if (xengntshr_unshare(gntshr, q, 1))
			return -errno;
	}
	return 0;
}

static int do_map(const long *a, struct reply *r)
{
	if (!gnttab)
		gnttab = xengnttab_open(NULL, 0);
	uint8_t *p = gnttab ? xengnttab_map_grant_ref(gnttab, (uint32_t)a[0], (uint32_t)a[1],
						      a[2] ? PROT_READ | PROT_WRITE : PROT_READ)
			    : NULL;
	if (!p)
		return -errno;
	say(r, *p);
	return done(xengnttab_unmap(gnttab, p, 1));
}

/* --- xenstore ------------------------------------------------------------------------- */

static struct xs_handle *xs(void)
{
	if (!client)
		client = xs_open(0);
	return client;
}

static int do_xsread(const long *a, struct reply *r)
{
	char *s = xs() ? xs_read(client, tx, path, NULL) : NULL;
	if (!s)
		return -errno;
	say(r, strtol(s, NULL, 10));
	free(s);
	return 0;
}

static int do_xswrite(const long *a, struct reply *r)
{
	char s[24];
	int n = snprintf(s, sizeof(s), "%ld", a[1]);
	return xs() && xs_write(client, tx, path, s, (unsigned)n) ? 0 : -errno;
}

static int do_xsfill(const long *a, struct reply *r)
{
	char at[128];
	long n = -1;
	do
		snprintf(at, sizeof(at), "%s/%ld", path, ++n);
	while (n < 100000 && xs() && xs_write(client, XBT_NULL, at, "", 0));
	int err = errno;
	if (!xs_rm(xs(), XBT_NULL, path))
		return -errno;
	say(r, n);
	return say(r, err);
}

static int do_xswatch(const long *a, struct reply *r)
{
	return xs() && xs_watch(client, path, "token") ? 0 : -errno;
}

static int do_xsunwatch(const long *a, struct reply *r)
{
	return xs() && xs_unwatch(client, path, "token") ? 0 : -errno;
}

static int do_xsevents(const long *a, struct reply *r)
{
	struct pollfd p = { .fd = xs() ? xs_fileno(client) : -1, .events = POLLIN };
	unsigned len;
	long n = 0;
	for (char **event; poll(&p, 1, (int)a[0]) == 1 && (event = xs_read_watch(client, &len)); n++)
		free(event);
	return say(r, n);
}

static int do_xsstart(const long *a, struct reply *r)
{
	tx = xs() ? xs_transaction_start(client) : XBT_NULL;
	return tx == XBT_NULL ? -errno : 0;
}

static int do_xsend(const long *a, struct reply *r)
{
	bool ok = xs_transaction_end(client, tx, false);
	tx = XBT_NULL;
	return ok ? 0 : -errno;
}

/* --- children ------------------------------------------------------------------------- */

static int serve(int ready);

/* Answers when the child does. */
static int do_spawn(const long *a, struct reply *r)
{
	int fds[2];
	char x;
	if (pipe(fds))
		return -errno;
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		close(fds[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		/* libxen: the parent's handles are not ours to use */
		memset(evtchn, 0, sizeof(evtchn));
		memset(children, 0, sizeof(children));
		memset(pages, 0, sizeof(pages));
		gntshr = NULL;
		gnttab = NULL;
		client = NULL;
		me = (unsigned)a[0];
		_exit(serve(fds[1]));
	}
	children[a[0]] = pid;
	close(fds[1]);
	ssize_t n = read(fds[0], &x, 1);
	close(fds[0]);
	return n == 1 ? 0 : -EIO;
}

static int do_kill(const long *a, struct reply *r)
{
	kill(children[a[0]], SIGKILL);
	waitpid(children[a[0]], NULL, 0);
	children[a[0]] = 0;
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(const long *a, struct reply *r);
} commands[] = {
	{ "reset", do_reset },       { "open", do_open },       { "close", do_close },
	{ "unbound", do_unbound },   { "unbind", do_unbind },   { "interdomain", do_interdomain },
	{ "notify", do_notify },     { "unmask", do_unmask },   { "pending", do_pending },
	{ "echo", do_echo },         { "fill", do_fill },       { "share", do_share },
	{ "sharen", do_sharen },     { "unshare", do_unshare }, { "hoard", do_hoard },
	{ "peek", do_peek },         { "poke", do_poke },       { "closeshr", do_closeshr },
	{ "churn", do_churn },       { "map", do_map },         { "spawn", do_spawn },
	{ "kill", do_kill },         { "xsread", do_xsread },   { "xswrite", do_xswrite },
	{ "xsfill", do_xsfill },     { "xswatch", do_xswatch }, { "xsunwatch", do_xsunwatch },
	{ "xsevents", do_xsevents }, { "xsstart", do_xsstart }, { "xsend", do_xsend },
};

/* --- the conversation --------------------------------------------------------------------- */

static void obey(char *line, char *out, size_t size)
{
	static struct reply r;
	long args[8] = { 0 };
	char *save = NULL, *seq = strtok_r(line, " ", &save), *name = strtok_r(NULL, " ", &save);
	int rc = -ENOSYS, n = 0;
	r.n = 0;
	for (char *s; n < 8 && (s = strtok_r(NULL, " ", &save)); n++) {
		args[n] = strtol(s, NULL, 10);
		if (!n)
			path = s;
	}
	for (unsigned i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(name, commands[i].name))
			rc = commands[i].fn(args, &r);
	if (rc) {
		snprintf(out, size, "%s err %d", seq, -rc);
		return;
	}
	int at = snprintf(out, size, "%s ok", seq);
	for (unsigned i = 0; i < r.n; i++)
		at += snprintf(out + at, size - (size_t)at, " %ld", r.v[i]);
}

static int serve(int ready)
{
	struct xs_handle *h = xs_open(0);
	char req[64], rsp[64], out[4096], last[32] = "";
	unsigned n;
	if (!h)
		return 1;
	snprintf(req, sizeof(req), "data/conform/%u/req", me);
	snprintf(rsp, sizeof(rsp), "data/conform/%u/rsp", me);
	if (!xs_write(h, XBT_NULL, req, "", 0) || !xs_write(h, XBT_NULL, rsp, "ready", 5) || !xs_watch(h, req, "req"))
		return 1;
	if (ready >= 0 && (write(ready, "r", 1) != 1 || close(ready)))
		return 1;
	for (;;) {
		char **event = xs_read_watch(h, &n);
		if (!event)
			return 0; /* the domain is gone */
		free(event);
		char *line = xs_read(h, XBT_NULL, req, NULL);
		if (!line)
			return 0;
		size_t seq_len = strcspn(line, " ");
		if (line[0] && seq_len < sizeof(last) && (strncmp(line, last, seq_len) || last[seq_len])) {
			memcpy(last, line, seq_len);
			last[seq_len] = 0;
			obey(line, out, sizeof(out));
			if (!xs_write(h, XBT_NULL, rsp, out, (unsigned)strlen(out)))
				return 1;
		}
		free(line);
	}
}

int agent_main(void)
{
	return serve(-1);
}

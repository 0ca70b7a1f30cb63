/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conform.h: the conformance suite of libxen* semantics: what the tests are written with.
 *
 * Theory. One program, two roles. "conform dom0 ..." runs the tests, each in a process of its own, and prints TAP.
 * "conform agent" runs in a guest and does what the tests ask of "the other side": share a page, bind a port, notify.
 * They talk through xenstore, below /local/domain/N/data/conform, so the same binary runs wherever a dom0 and a guest do:
 * on hostxen, and on real Xen. Only the libxen* interfaces are used, nothing of hostxen's.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#define PAGE 4096U

/* --- the suite ---------------------------------------------------------------- */

struct test {
	const char *name; /* the behaviour */
	void (*fn)(void);
};
extern const struct test evtchn_tests[], grant_tests[], copy_tests[], death_tests[], store_tests[], domain_tests[];

extern uint32_t guest;        /* the domain the agent is in */
extern const char *toolstack; /* a program that makes and ends domains, see README.md; NULL: none */
extern uint32_t *made;        /* the last domain it made, for the tests that follow; 0 none */

_Noreturn void failed(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void skip(const char *why);

#define CHECK(cond)                                                      \
	do {                                                             \
		if (!(cond))                                             \
			failed(__FILE__, __LINE__, "not so: %s", #cond); \
	} while (0)
#define CHECK_EQ(a, b)                                                                                \
	do {                                                                                          \
		long long a_ = (long long)(a), b_ = (long long)(b);                                   \
		if (a_ != b_)                                                                         \
			failed(__FILE__, __LINE__, "%s is %lld, expected %lld (%s)", #a, a_, b_, #b); \
	} while (0)
/* The call fails, with this errno. */
#define CHECK_FAILS(call, err)                                                       \
	do {                                                                         \
		errno = 0;                                                           \
		if ((call) != -1)                                                    \
			failed(__FILE__, __LINE__, "succeeds, must not: %s", #call); \
		CHECK_EQ(errno, err);                                                \
	} while (0)
#define CHECK_NULL(call, err)                                                        \
	do {                                                                         \
		errno = 0;                                                           \
		if ((call) != NULL)                                                  \
			failed(__FILE__, __LINE__, "succeeds, must not: %s", #call); \
		CHECK_EQ(errno, err);                                                \
	} while (0)
/* Becomes true within twenty seconds: for what is asynchronous on a real host. */
#define EVENTUALLY(cond)                                                                             \
	do {                                                                                         \
		long end_ = now_ms() + 20000;                                                        \
		for (long nap_ = 1; !(cond); nap_ms(nap_), nap_ += nap_ < 50)                        \
			if (now_ms() > end_)                                                         \
				failed(__FILE__, __LINE__, "does not become so in 20 s: %s", #cond); \
	} while (0)

long now_ms(void);
void nap_ms(long ms);

/* --- the other side --------------------------------------------------------------- */

/*
 * Has agent @who (0: the first; others are its children) do a command; see agent.c for the list.
 * The answer's numbers go to @v; returns how many there are. If the command fails: -1, and errno is the agent's.
 */
int ask_agent(unsigned who, long *v, unsigned nv, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same for one number (or 0) that must come. */
long ask(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same for a command that may fail: the answer or -1 and errno. */
long try_ask(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

int agent_main(void);

/* Waits until the agent of domain @domid answers; false: not within the time. */
bool agent_wait(uint32_t domid, int ms);

/* --- shorthands of both sides ------------------------------------------------------- */

/* The next event of the handle within @ms, or -1 for none. */
int event_within(xenevtchn_handle *e, int ms);

/* An event channel between us and the guest, on new handles: ours and, in the agent, evtchn handle 0. */
struct channel {
	xenevtchn_handle *e;
	int port, guest_port;
};
struct channel channel_open(void); /* bound, and its first, conservative event consumed on our side */

/* The guest's grant cannot be mapped. (If it can, it is not left mapped.) */
bool refused(xengnttab_handle *g, uint32_t ref);

/* Does this fault? Writes one byte (or reads it). */
bool write_faults(volatile char *at);

#endif

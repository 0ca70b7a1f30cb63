/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-redo.c - what the redo log promises, killed after every store.
 *
 * A child serves a batch on a ring in shared memory, one machine instruction at a time; whenever an instruction has
 * changed the memory, that is a state that a kill may leave behind.  Each is taken, a successor goes on from it, and an
 * honest front end must get each of its requests answered once.  The successor is killed everywhere as well.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/ring/redo.h"

#define ENTS       4u
#define ENT        8u
#define RING_BYTES (64 + ENTS * ENT)
#define MAX_STATES 1000u
#define ANSWER     0x80000000u /* of request id: ANSWER + id, twice */

struct world { /* what survives */
	_Alignas(64) uint8_t ring[RING_BYTES];
	_Alignas(64) uint8_t log[64 + ENTS * ENT];
};

struct states {
	uint32_t nr;
	struct world w[MAX_STATES];
};

static struct world *shared;

static uint32_t *word(struct world *w, uint32_t i)
{
	return (uint32_t *)(void *)w->ring + i;
}

static struct redo_log *log_of(struct world *w)
{
	return (struct redo_log *)(void *)w->log;
}

/* ------------------------------------------------------------------ the front end, by hand */

static void post(struct world *w, uint32_t nr)
{
	uint32_t prod = *word(w, 0);

	for (; nr > 0; nr--, prod++) {
		uint32_t req[2] = { prod, ~prod };

		memcpy(w->ring + 64 + (prod & (ENTS - 1)) * ENT, req, ENT);
	}
	*word(w, 0) = prod;
}

/* Take all responses from @cons on; false when one is not what its request must get. */
static bool consume(struct world *w, uint32_t *cons)
{
	for (; *cons != *word(w, 2); ++*cons) {
		uint32_t rsp[2];

		if (*word(w, 0) - *cons > ENTS)
			return false;
		memcpy(rsp, w->ring + 64 + (*cons & (ENTS - 1)) * ENT, ENT);
		if (rsp[0] != ANSWER + *cons || rsp[1] != rsp[0])
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------ the back end */

/* Where it does not matter whether the peer sleeps. */
static void push(struct redo *r)
{
	if (redo_push(r))
		return;
}

static bool serve(struct redo *r, uint32_t nr)
{
	uint32_t req[2];

	for (; nr > 0; nr--) {
		ring_back_take(r->ring, req);
		if (req[1] != ~req[0]) /* a request that somebody overwrote */
			return false;
		req[0] = req[1] = ANSWER + req[0];
		redo_put(r, req, sizeof(req));
	}
	push(r);
	return true;
}

static int begin(struct world *w, struct redo *r, struct ring_back *b)
{
	int rc = ring_back_attach(b, w->ring, RING_BYTES, ENT, ENT);

	if (rc == 0)
		redo_begin(r, log_of(w), b);
	return rc;
}

static int resume(struct world *w, struct redo *r, struct ring_back *b)
{
	int rc = ring_back_attach(b, w->ring, RING_BYTES, ENT, ENT);

	return rc ? rc : redo_resume(r, log_of(w), b);
}

/* ------------------------------------------------------------------ killing */

static uint32_t batch;

static void serve_a_batch(struct world *w)
{
	struct ring_back b;
	struct redo r;

	if (begin(w, &r, &b) == 0)
		serve(&r, batch);
}

static void recover(struct world *w)
{
	struct ring_back b;
	struct redo r;

	if (resume(w, &r, &b))
		_exit(1);
}

/* Every state of *@from that @fn leads through, the first and the last too. */
static void every_store(const struct world *from, void (*fn)(struct world *w), struct states *out)
{
	int status;
	pid_t pid;

	memcpy(shared, from, sizeof(*shared));
	out->nr = 1;
	out->w[0] = *from;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
		fn(shared);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	while (WIFSTOPPED(status)) {
		if (memcmp(shared, &out->w[out->nr - 1], sizeof(*shared)) != 0) {
			assert_true(out->nr < MAX_STATES);
			out->w[out->nr++] = *shared;
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A successor of @state serves all that is there, and what the front end adds. */
static void goes_on(const struct world *state, uint32_t cons)
{
	struct world w = *state;
	struct ring_back b;
	struct redo r;

	assert_int_equal(resume(&w, &r, &b), 0);
	assert_true(consume(&w, &cons));
	for (int i = 0; i < 3; i++) {
		uint32_t nr = (uint32_t)ring_back_pending(&b);

		assert_true(nr <= ENTS);
		assert_true(serve(&r, nr));
		assert_true(consume(&w, &cons));
		assert_int_equal(cons, *word(&w, 0)); /* each is answered */
		post(&w, ENTS);                       /* and there is room for a whole ring */
	}
}

/* The same with a front end that was quicker than the kill: what is published it has taken, and used the slots. */
static void goes_on_both(const struct world *state, uint32_t cons)
{
	struct world w = *state;

	goes_on(&w, cons);
	assert_true(consume(&w, &cons));
	post(&w, ENTS - (*word(&w, 0) - cons));
	goes_on(&w, cons);
}

static void killed_after_every_store(void **state)
{
	static const uint32_t starts[] = { 0, 3, UINT32_MAX - 1 };
	static struct states first, second;
	uint32_t kills = 0;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++)
		for (uint32_t posted = 1; posted <= ENTS; posted++)
			for (batch = 1; batch <= posted; batch++) {
				struct world w = { 0 };

				*word(&w, 0) = *word(&w, 2) = starts[s];
				memset(w.log, 0xee, sizeof(w.log));
				log_of(&w)->prod = starts[s];
				post(&w, posted);
				every_store(&w, serve_a_batch, &first);
				for (uint32_t i = 0; i < first.nr; i++) {
					goes_on_both(&first.w[i], starts[s]);
					every_store(&first.w[i], recover, &second);
					for (uint32_t k = 0; k < second.nr; k++)
						goes_on_both(&second.w[k], starts[s]);
					kills += second.nr;
				}
				assert_true(first.nr >= 2 * batch + 3); /* the log, the ring, both producers */
			}
	print_message("%u states\n", kills);
}

/* The same states without the log: this is what it is for. */
static void without_the_log_a_slot_is_lost(void **state)
{
	static struct states s;
	struct world w = { 0 };
	uint32_t torn = 0;

	post(&w, 2);
	batch = 2;
	every_store(&w, serve_a_batch, &s);
	for (uint32_t i = 0; i < s.nr; i++) {
		struct world dead = s.w[i];
		struct ring_back b;
		struct redo r;

		assert_int_equal(begin(&dead, &r, &b), 0);
		torn += !serve(&r, (uint32_t)ring_back_pending(&b));
	}
	assert_true(torn > 0);
}

/* ------------------------------------------------------------------ a log that lies */

static void what_a_log_may_say(void **state)
{
	static const struct {
		uint32_t req_prod, rsp_prod, log;
		int rc;
	} rows[] = {
		{ 4, 0, 0, 0 },
		{ 4, 0, 4, 0 },
		{ 2, 0, 2, 0 },
		{ 2, 0, 3, -EBADMSG }, /* a request that is not there */
		{ 4, 0, 5, -EBADMSG },
		{ 4, 2, 1, -EBADMSG }, /* behind what is published */
		{ 4, 0, UINT32_MAX, -EBADMSG },
		{ 4, 0, 0x80000000, -EBADMSG },
		{ 1, UINT32_MAX, 1, 0 }, /* around */
		{ 1, UINT32_MAX, 2, -EBADMSG },
		{ 5, 0, 0, -EPROTO }, /* the ring's own */
		{ 0, 1, 1, -EPROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world w = { 0 };
		struct ring_back b;
		struct redo r;

		*word(&w, 0) = rows[i].req_prod;
		*word(&w, 2) = rows[i].rsp_prod;
		log_of(&w)->prod = rows[i].log;
		assert_int_equal(resume(&w, &r, &b), rows[i].rc);
		assert_int_equal(*word(&w, 2), rows[i].rc ? rows[i].rsp_prod : rows[i].log);
		if (rows[i].rc == 0)
			assert_int_equal(ring_back_pending(&b), rows[i].req_prod - rows[i].log);
	}
}

static void random_logs_stay_in_their_ring(void **state)
{
	uint32_t x = 1, taken = 0;

	for (uint32_t i = 0; i < 200000; i++) {
		struct {
			uint64_t before;
			struct world w;
			uint64_t after;
		} m = { .before = 0x1111, .after = 0x2222 };
		struct ring_back b;
		struct redo r;
		uint32_t *p = (uint32_t *)(void *)&m.w;

		for (size_t k = 0; k < sizeof(m.w) / 4; k++) {
			x = x * 1664525 + 1013904223;
			p[k] = x >> 13 & (i & 1 ? 7 : UINT32_MAX);
		}
		if (resume(&m.w, &r, &b) == 0) {
			int n = ring_back_pending(&b);

			taken++;
			assert_true(n >= 0 && n <= (int)ENTS);
			serve(&r, (uint32_t)n);
		}
		assert_true(m.before == 0x1111 && m.after == 0x2222);
	}
	assert_true(taken > 1000);
}

static void a_short_response_is_padded(void **state)
{
	struct world w = { 0 };
	const uint32_t rsp = 7;
	struct ring_back b;
	struct redo r;
	uint32_t req[2];

	memset(w.log, 0xee, sizeof(w.log));
	post(&w, 1);
	assert_int_equal(begin(&w, &r, &b), 0);
	ring_back_take(&b, req);
	redo_put(&r, &rsp, sizeof(rsp));
	assert_memory_equal(w.ring + 64, ((uint32_t[]){ 0, UINT32_MAX }), ENT); /* not before it is pushed */
	push(&r);
	assert_memory_equal(w.ring + 64, ((uint32_t[]){ 7, 0 }), ENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_after_every_store),   cmocka_unit_test(without_the_log_a_slot_is_lost),
		cmocka_unit_test(what_a_log_may_say),         cmocka_unit_test(random_logs_stay_in_their_ring),
		cmocka_unit_test(a_short_response_is_padded),
	};

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

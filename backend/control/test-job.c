/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs that never end: whom they keep waiting, and whom not. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "backend/control/job.h"
#include "common/event/loop.h"

#define NEVER 300u /* more than there are threads */

static sem_t gate, begun;

struct thing {
	struct job job;
	struct loop *l;
	unsigned done, cancelled;
	bool ends_loop;
};

static void wait_at_gate(struct job *j)
{
	sem_post(&begun);
	sem_wait(&gate);
}

static void at_once(struct job *j)
{
}

static void over(struct job *j, bool cancelled)
{
	struct thing *t = container_of(j, struct thing, job);

	t->done++;
	t->cancelled += cancelled;
	if (t->ends_loop)
		loop_stop(t->l);
}

struct fixture {
	struct loop *l;
	struct jobs *js;
	struct thing things[NEVER], last;
	uint32_t nr;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	sem_init(&gate, 0, 0);
	sem_init(&begun, 0, 0);
	assert_int_equal(loop_new(&f->l), 0);
	assert_int_equal(jobs_new(f->l, &f->js), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < f->nr; i++)
		sem_post(&gate);
	if (f->js)
		assert_int_equal(jobs_free(f->js), 0);
	loop_free(f->l);
	free(f);
	return 0;
}

static void never_ends(struct fixture *f, uint32_t domid)
{
	struct thing *t = &f->things[f->nr++];

	*t = (struct thing){ .job = { .run = wait_at_gate, .done = over, .domid = domid }, .l = f->l };
	assert_int_equal(jobs_start(f->js, &t->job), 0);
}

static void too_late(struct loop *l, void *arg)
{
	loop_stop(l);
}

/* One more job, of a domain that has none: is it done in @ms? */
static bool is_done(struct fixture *f, uint32_t domid, uint32_t ms)
{
	struct loop_timer *t;

	f->last = (struct thing){ .job = { .run = at_once, .done = over, .domid = domid },
				  .l = f->l,
				  .ends_loop = true };
	assert_int_equal(jobs_start(f->js, &f->last.job), 0);
	assert_int_equal(loop_add_timer(f->l, ms, too_late, NULL, &t), 0);
	assert_int_equal(loop_run(f->l), 0);
	if (f->last.done)
		loop_del_timer(t);
	return f->last.done == 1;
}

static void one_domain_stuck(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < NEVER; i++)
		never_ends(f, 1);
	assert_true(is_done(f, 2, 30000));
}

static void many_domains_stuck(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 20; i++)
		never_ends(f, i);
	assert_true(is_done(f, 1000, 30000));
}

static void own_share_is_used_again(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 40; i++)
		never_ends(f, 1);
	assert_true(is_done(f, 2, 30000));
	for (uint32_t i = 0; i < 40; i++)
		sem_post(&gate);
	assert_true(is_done(f, 1, 30000));
	assert_int_equal(jobs_free(f->js), 0);
	f->js = NULL;
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(f->things[i].done, 1);
	f->nr = 0;
}

static void held_ones_wait(void **state)
{
	struct fixture *f = *state;

	never_ends(f, 1);
	sem_wait(&begun);
	assert_int_equal(jobs_hold(f->js, true), 1);
	assert_false(is_done(f, 2, 500));
	(void)jobs_hold(f->js, false);
	assert_int_equal(loop_run(f->l), 0);
	assert_int_equal(f->last.done, 1);
}

static void end_does_not_wait(void **state)
{
	struct fixture *f = *state;
	uint64_t began = now_ns();
	uint32_t done = 0;

	for (uint32_t i = 0; i < 12; i++)
		never_ends(f, 1);
	for (uint32_t i = 0; i < 8; i++)
		sem_wait(&begun);
	assert_int_equal(jobs_free(f->js), 8);
	assert_true(now_ns() - began < 20000000000ull);
	for (uint32_t i = 0; i < 12; i++)
		done += f->things[i].cancelled;
	assert_int_equal(done, 4); /* which had not begun */
	f->js = NULL;
}

static void end_waits_a_little(void **state)
{
	struct fixture *f = *state;

	never_ends(f, 1);
	sem_post(&gate);
	assert_int_equal(jobs_free(f->js), 0);
	assert_int_equal(f->things[0].done, 1);
	f->js = NULL;
	f->nr = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_domain_stuck, setup, teardown),
		cmocka_unit_test_setup_teardown(many_domains_stuck, setup, teardown),
		cmocka_unit_test_setup_teardown(own_share_is_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(held_ones_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(end_waits_a_little, setup, teardown),
		/* The last: what it leaves behind is in use. */
		cmocka_unit_test_setup(end_does_not_wait, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

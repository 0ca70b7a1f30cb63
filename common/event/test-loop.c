/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-loop.c - watches, timers, signals and what may be deleted from where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/event/loop.h"

static struct loop *loop;
static char told[64];
static char letter_a[] = "a", letter_b[] = "b", letter_c[] = "c", letter_x[] = "x";

static int setup(void **state)
{
	told[0] = '\0';
	return loop_new(&loop);
}

static int teardown(void **state)
{
	loop_free(loop);
	return 0;
}

static void note(struct loop *l, void *arg)
{
	strcat(told, arg);
}

static void stop(struct loop *l, void *arg)
{
	loop_stop(l);
}

static void timers_fire_in_order_of_time(void **state)
{
	assert_int_equal(loop_add_timer(loop, 30, stop, NULL, NULL), 0);
	assert_int_equal(loop_add_timer(loop, 20, note, letter_c, NULL), 0);
	assert_int_equal(loop_add_timer(loop, 5, note, letter_a, NULL), 0);
	assert_int_equal(loop_add_timer(loop, 10, note, letter_b, NULL), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(told, "abc");
}

static void deleted_timer_does_not_fire(void **state)
{
	struct loop_timer *t;

	assert_int_equal(loop_add_timer(loop, 5, note, letter_x, &t), 0);
	assert_int_equal(loop_add_timer(loop, 15, stop, NULL, NULL), 0);
	loop_del_timer(t);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(told, "");
}

static void again(struct loop *l, void *arg)
{
	strcat(told, "d");
	if (strlen(told) < 3)
		assert_int_equal(loop_defer(l, again, NULL), 0);
	else
		loop_stop(l);
}

static void deferred_work_may_defer_again(void **state)
{
	assert_int_equal(loop_defer(loop, again, NULL), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(told, "ddd");
}

static struct loop_fd *watch[2];

/* Both fds are ready in the same turn: the first callback deletes both. */
static void kill_both(struct loop *l, int fd, uint32_t events, void *arg)
{
	strcat(told, "k");
	loop_del_fd(watch[0]);
	loop_del_fd(watch[1]);
	assert_int_equal(loop_add_timer(l, 5, stop, NULL, NULL), 0);
}

static void watch_deleted_by_another_callback_is_not_called(void **state)
{
	int p[2], q[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(pipe(q), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(write(q[1], "x", 1), 1);
	assert_int_equal(loop_add_fd(loop, p[0], EPOLLIN, kill_both, NULL, &watch[0]), 0);
	assert_int_equal(loop_add_fd(loop, q[0], EPOLLIN, kill_both, NULL, &watch[1]), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(told, "k");
}

static void on_signal(struct loop *l, int sig, void *arg)
{
	strcat(told, "s");
	loop_stop(l);
}

static void signals_arrive_in_the_loop(void **state)
{
	assert_int_equal(loop_add_signal(loop, SIGUSR1, on_signal, NULL), 0);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(told, "s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_in_order_of_time, setup, teardown),
		cmocka_unit_test_setup_teardown(deleted_timer_does_not_fire, setup, teardown),
		cmocka_unit_test_setup_teardown(deferred_work_may_defer_again, setup, teardown),
		cmocka_unit_test_setup_teardown(watch_deleted_by_another_callback_is_not_called, setup, teardown),
		cmocka_unit_test_setup_teardown(signals_arrive_in_the_loop, setup, teardown),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-fence.c - when the connection of a dead worker counts as over: against servers that close, wait, hang up, vanish. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "backend/block/fence.h"

static struct fault why;

/* The worker's end is closed: it has died.  The server's is ret[1]. */
static struct fence *of_a_dead_worker(int ret[2])
{
	struct fence *f;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ret), 0);
	f = fence_new(ret[0]);
	assert_non_null(f);
	assert_true(fence_fd(f) >= 0 && fence_fd(f) != ret[0]);
	assert_int_equal(write(ret[0], "request", 7), 7);
	close(ret[0]);
	return f;
}

static void it_holds_the_connection_until_the_server_lets_go(void **state)
{
	struct fence *f;
	char buf[16];
	int s[2];

	f = of_a_dead_worker(s);
	assert_int_equal(recv(s[1], buf, sizeof(buf), 0), 7);
	assert_int_equal(recv(s[1], buf, sizeof(buf), MSG_DONTWAIT), -1); /* it is not over */
	assert_int_equal(fence_wait(f, 20, true, &why), -EINPROGRESS);
	assert_non_null(strstr(why.why, "not ended"));
	assert_int_equal(recv(s[1], buf, sizeof(buf), 0), 0); /* now it is told that nothing more comes */
	assert_int_equal(write(s[1], "answer", 6), 6);
	assert_int_equal(fence_wait(f, 20, true, &why), -EINPROGRESS);
	close(s[1]);
	assert_int_equal(fence_wait(f, 20, true, &why), 0);
	assert_int_equal(fence_wait(f, 20, true, &why), 0); /* and stays so */
	fence_put(f);
}

static void answers_nobody_reads_are_no_end(void **state)
{
	static char much[1 << 16];
	struct fence *f;
	ssize_t n;
	int s[2];

	f = of_a_dead_worker(s);
	while ((n = send(s[1], much, sizeof(much), MSG_DONTWAIT)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fence_wait(f, 20, true, &why), -EINPROGRESS);
	assert_true(send(s[1], much, 1, MSG_DONTWAIT) > 0); /* they are taken, so that it can go on */
	close(s[1]);                                        /* its request unread: it will not be done */
	assert_int_equal(fence_wait(f, 20, true, &why), 0);
	fence_put(f);
}

static void who_hangs_up_may_still_be_at_work(void **state)
{
	struct fence *f;
	int s[2], err;

	f = of_a_dead_worker(s);
	assert_int_equal(shutdown(s[1], SHUT_RDWR), 0);
	err = fence_wait(f, 20, false, &why);
	if (err == 0) { /* a kernel without unix_diag: as by TCP */
		assert_int_equal(fence_wait(f, 20, true, &why), -EINPROGRESS);
		close(s[1]);
		fence_put(f);
		skip();
	}
	assert_int_equal(err, -EINPROGRESS);
	assert_non_null(strstr(why.why, "not done"));
	close(s[1]);
	assert_int_equal(fence_wait(f, 20, true, &why), 0);
	fence_put(f);
}

static struct fence *by_tcp(int *server)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int listener = socket(AF_INET, SOCK_STREAM, 0), worker = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(a);
	struct fence *f;

	assert_int_equal(bind(listener, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(connect(worker, (const struct sockaddr *)&a, sizeof(a)), 0);
	*server = accept(listener, NULL, NULL);
	assert_true(*server >= 0);
	f = fence_new(worker);
	assert_non_null(f);
	close(worker);
	close(listener);
	return f;
}

static void an_end_by_tcp_proves_nothing(void **state)
{
	int server;
	struct fence *f = by_tcp(&server);

	assert_int_equal(fence_wait(f, 20, false, &why), -EINPROGRESS);
	close(server);
	assert_int_equal(fence_wait(f, 1000, false, &why), 0); /* there was nothing to prove */
	setenv("SYNTH_NBD_GRACE_MS", "100", 1);
	assert_int_equal(fence_wait(f, 1000, true, &why), -EINPROGRESS);
	assert_non_null(strstr(why.why, "hung up"));
	usleep(150000);
	assert_int_equal(fence_wait(f, 1000, true, &why), 0);
	unsetenv("SYNTH_NBD_GRACE_MS");
	fence_put(f);
}

/* Reset: whoever said that, what was asked for may still be under way somewhere. */
static void a_lost_connection_proves_nothing(void **state)
{
	const struct linger at_once = { 1, 0 };
	int server;
	struct fence *f = by_tcp(&server);

	assert_int_equal(setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(server);
	setenv("SYNTH_NBD_GRACE_MS", "100", 1);
	assert_int_equal(fence_wait(f, 1000, true, &why), -EINPROGRESS);
	assert_non_null(strstr(why.why, "lost"));
	assert_int_equal(fence_wait(f, 1000, true, &why), -EINPROGRESS); /* though reading it finds an end now */
	usleep(150000);
	assert_int_equal(fence_wait(f, 1000, true, &why), 0);
	unsetenv("SYNTH_NBD_GRACE_MS");
	fence_put(f);
}

static void without_a_socket_there_is_only_time(void **state)
{
	assert_int_equal(fence_blind(now_ns(), &why), -EINPROGRESS);
	assert_true(why.next[0]);
	assert_int_equal(fence_blind(now_ns() - FENCE_GRACE_MS * 1000000ull, &why), 0);
	setenv("SYNTH_NBD_GRACE_MS", "0", 1);
	assert_int_equal(fence_blind(now_ns(), &why), 0);
	unsetenv("SYNTH_NBD_GRACE_MS");
}

static void it_lives_as_long_as_somebody_has_it(void **state)
{
	struct fence *f;
	char byte;
	int s[2];

	f = of_a_dead_worker(s);
	assert_ptr_equal(fence_ref(f), f);
	fence_put(f);
	assert_int_equal(recv(s[1], &byte, 1, 0), 1);
	assert_int_equal(fence_wait(f, 0, true, &why), -EINPROGRESS);
	fence_put(f);
	while (recv(s[1], &byte, 1, 0) > 0)
		;
	close(s[1]);
	fence_put(NULL);
	assert_null(fence_ref(NULL));
}

static void only_a_stream_socket_is_one(void **state)
{
	int p[2], s[2];

	assert_int_equal(pipe(p), 0);
	assert_null(fence_new(p[0]));
	assert_null(fence_new(-1));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	assert_null(fence_new(s[0]));
	close(p[0]);
	close(p[1]);
	close(s[0]);
	close(s[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_holds_the_connection_until_the_server_lets_go),
		cmocka_unit_test(answers_nobody_reads_are_no_end),
		cmocka_unit_test(who_hangs_up_may_still_be_at_work),
		cmocka_unit_test(an_end_by_tcp_proves_nothing),
		cmocka_unit_test(a_lost_connection_proves_nothing),
		cmocka_unit_test(without_a_socket_there_is_only_time),
		cmocka_unit_test(it_lives_as_long_as_somebody_has_it),
		cmocka_unit_test(only_a_stream_socket_is_one),
	};

	return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}

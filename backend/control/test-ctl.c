/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-ctl.c - the control socket against clients that do not keep the rules.  The server is a child process with one
 * command: what it is sent comes back, `big` gives a long answer, `later` answers at the end of the turn.
 */
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "backend/control/ctl.h"
#include "common/event/loop.h"
#include "common/log/log.h"

static char dir[64], path[96];
static pid_t server;
static char answer[1u << 20];

/* ----------------------------------------------------------------- server */

static void later(struct loop *l, void *arg)
{
	ctl_ok(arg, json_object_new_string("later"));
}

static void run(struct ctl_req *req, json_object *args, void *arg)
{
	json_object *v;
	const char *cmd = json_object_object_get_ex(args, "cmd", &v) ? json_object_get_string(v) : "";
	struct fault f = { .what = "cannot do it" };

	if (strcmp(cmd, "big") == 0) {
		char *text = malloc(200001);

		memset(text, 'x', 200000);
		text[200000] = '\0';
		ctl_ok(req, json_object_new_string(text));
		free(text);
	} else if (strcmp(cmd, "later") == 0) {
		if (loop_defer(arg, later, req) < 0)
			abort();
	} else if (strcmp(cmd, "fail") == 0) {
		fault_set(&f, FAULT_BUSY, 0, "because");
		ctl_fail(req, &f);
	} else {
		ctl_ok(req, json_object_get(args));
	}
}

static void serve(void)
{
	struct loop *l;
	struct ctl *c;

	log_level = LOG_LVL_ERROR;
	alarm(60);
	signal(SIGPIPE, SIG_IGN);
	if (loop_new(&l) < 0 || ctl_open(l, path, run, l, &c) < 0)
		_exit(1);
	_exit(loop_run(l) < 0);
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/test-ctl-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	server = fork();
	if (server == 0)
		serve();
	for (int i = 0; i < 500 && access(path, F_OK) < 0; i++)
		usleep(10000);
	return 0;
}

static int teardown(void **state)
{
	int status;

	kill(server, SIGKILL);
	waitpid(server, &status, 0);
	unlink(path);
	return rmdir(dir);
}

/* ----------------------------------------------------------------- client */

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval t = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(sa.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* One line into `answer`; false at the end. */
static bool hear(int fd)
{
	size_t n = 0;

	while (n + 1 < sizeof(answer)) {
		ssize_t got = recv(fd, answer + n, 1, 0);

		if (got <= 0)
			break;
		if (answer[n] == '\n') {
			answer[n] = '\0';
			return true;
		}
		n++;
	}
	answer[n] = '\0';
	return false;
}

static void nonsense(const char *text)
{
	int fd = dial();

	say(fd, text);
	if (!hear(fd) || !strstr(answer, "\"ok\":false") || !strstr(answer, "\"code\":\"usage\""))
		fail_msg("\"%.40s\": \"%.200s\"", text, answer);
	if (hear(fd))
		fail_msg("\"%.40s\": not disconnected", text);
	close(fd);
}

static void test_one_request(void **state)
{
	int fd = dial();

	say(fd, "{\"v\":1,\"id\":7,\"cmd\":\"echo\"}\n");
	assert_true(hear(fd));
	assert_string_equal(answer, "{\"v\":1,\"id\":7,\"ok\":true,\"result\":{\"v\":1,\"id\":7,\"cmd\":\"echo\"}}");
	say(fd, "{\"id\":\"a\",\"cmd\":\"fail\"}\n");
	assert_true(hear(fd));
	assert_string_equal(answer, "{\"v\":1,\"id\":\"a\",\"ok\":false,\"error\":{\"code\":\"busy\",\"what\":\"cannot "
				    "do it\",\"why\":\"because\"}}");
	close(fd);
}

static void test_in_pieces_and_many_at_once(void **state)
{
	int fd = dial();

	say(fd, "{\"id\":1,");
	usleep(20000);
	say(fd, "\"cmd\":\"x\"}\n{\"id\":2}\n\n  \n{\"id\":3,\"cmd\":\"later\"}\n{\"id\":4}");
	for (int i = 0; i < 3; i++)
		assert_true(hear(fd));
	say(fd, "\n");
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "\"id\":4"));
	close(fd);
}

static void test_more_at_once_than_are_run_at_a_time(void **state)
{
	int fd = dial(), n = 1000;
	bool seen[1000] = { false };
	char text[64];

	for (int i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "{\"id\":%d,\"cmd\":\"later\"}\n", i);
		say(fd, text);
	}
	shutdown(fd, SHUT_WR); /* half closed: still answered */
	for (int i = 0; i < n; i++) {
		int id;

		assert_true(hear(fd));
		assert_int_equal(sscanf(answer, "{\"v\":1,\"id\":%d,", &id), 1);
		assert_true(id >= 0 && id < n && !seen[id]);
		seen[id] = true;
	}
	assert_false(hear(fd));
	close(fd);
}

static void test_nonsense(void **state)
{
	char deep[256], *big = malloc(CTL_MAX_LINE + 100);

	nonsense("hello\n");
	nonsense("[]\n");
	nonsense("1\n");
	nonsense("\"x\"\n");
	nonsense("{\"id\":1} {\"id\":2}\n");
	nonsense("{\"id\":1}x\n");
	nonsense("{\"id\":1\n");
	nonsense("{\"id\":[1]}\n");
	nonsense("{\"id\":{\"a\":1}}\n");
	memset(deep, 0, sizeof(deep));
	for (int i = 0; i < 20; i++)
		strcat(deep, "{\"a\":");
	strcat(deep, "1");
	for (int i = 0; i < 20; i++)
		strcat(deep, "}");
	strcat(deep, "\n");
	nonsense(deep);
	memset(big, 'a', CTL_MAX_LINE + 99);
	big[CTL_MAX_LINE + 99] = '\0';
	nonsense(big);
	free(big);
}

static void test_longest_line(void **state)
{
	int fd = dial();
	char *big = malloc(CTL_MAX_LINE + 1);

	memset(big, ' ', CTL_MAX_LINE);
	memcpy(big, "{\"id\":5", 7);
	big[CTL_MAX_LINE - 2] = '}';
	big[CTL_MAX_LINE - 1] = '\n';
	big[CTL_MAX_LINE] = '\0';
	say(fd, big);
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "\"id\":5"));
	free(big);
	close(fd);
}

static void test_gone_before_the_answer(void **state)
{
	for (int i = 0; i < 50; i++) {
		int fd = dial();

		say(fd, "{\"id\":1,\"cmd\":\"later\"}\n{\"id\":2,\"cmd\":\"big\"}\n");
		close(fd);
	}
	test_one_request(state);
}

/* It asks and asks, and reads nothing: it is dropped, and costs no more than its limit. */
static void test_reads_nothing(void **state)
{
	struct timeval t = { .tv_sec = 1 };
	int fd = dial(), other;
	ssize_t n = 0;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)), 0);
	for (int i = 0; i < 100000 && n >= 0; i++)
		n = send(fd, "{\"id\":1,\"cmd\":\"big\"}\n", 21, MSG_NOSIGNAL);
	assert_int_equal(n, -1); /* cut off, or at least not read any more */
	other = dial();
	say(other, "{\"id\":1}\n");
	assert_true(hear(other));
	close(other);
	close(fd);
}

static bool served(int fd)
{
	return send(fd, "{\"id\":1}\n", 9, MSG_NOSIGNAL) == 9 && hear(fd);
}

static void test_too_many_clients(void **state)
{
	int fds[CTL_MAX_CLIENTS + 20];
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial();
		n += served(fds[i]);
	}
	/* the clients of earlier tests may not be cleaned up quite yet */
	assert_true(n >= CTL_MAX_CLIENTS - 4 && n <= CTL_MAX_CLIENTS);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	for (int i = 0; i < 500; i++) { /* their places are free again */
		bool well;

		fds[0] = dial();
		well = served(fds[0]);
		close(fds[0]);
		if (well)
			return;
		usleep(20000);
	}
	fail();
}

static void test_only_for_its_owner(void **state)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_request),
		cmocka_unit_test(test_in_pieces_and_many_at_once),
		cmocka_unit_test(test_more_at_once_than_are_run_at_a_time),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_longest_line),
		cmocka_unit_test(test_gone_before_the_answer),
		cmocka_unit_test(test_reads_nothing),
		cmocka_unit_test(test_too_many_clients),
		cmocka_unit_test(test_only_for_its_owner),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

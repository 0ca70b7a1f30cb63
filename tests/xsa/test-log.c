/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-log.c - what a guest can make us write into the log: lines and bytes in a second, and no line of its own making. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/log/log.h"

static char text[1 << 20];
static size_t bytes;
static uint32_t lines;
static int old, fd;

/* Standard error is a file between these. */
static void begin(void)
{
	fd = memfd_create("log", 0);
	assert_true(fd >= 0);
	old = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
}

static void end(void)
{
	ssize_t n;

	dup2(old, STDERR_FILENO);
	close(old);
	n = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	assert_true(n >= 0);
	bytes = (size_t)n;
	text[bytes] = '\0';
	lines = 0;
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
}

/* XSA-157, XSA-180: as fast as a guest can sin. */
static void a_flood_is_cut_to_the_budget_and_counted(void **state)
{
	struct log_limit l = { 0 };
	uint64_t began, ms;

	begin();
	began = now_ns();
	for (int i = 0; i < 20000; i++)
		log_guest(&l, LOG_LVL_WARN, "web1/xvda: bad request %d", i);
	ms = (now_ns() - began) / 1000000;
	end();
	assert_true(lines >= LOG_GUEST_BURST);
	assert_true(lines <= LOG_GUEST_BURST + 2 * LOG_GUEST_PER_SEC * (ms / 1000 + 1));
	assert_true(l.suppressed >= 20000 - lines);
}

/* Few lines a second, for ever, fill a disk too: XSA-180 in a week. */
static void a_trickle_that_does_not_end_is_cut_to_its_bytes(void **state)
{
	struct log_limit l = { .per_sec = 1000000, .burst = 1000000 }; /* lines are not what ends it */
	uint64_t began, ms;

	begin();
	began = now_ns();
	for (int i = 0; i < 5000; i++)
		log_guest(&l, LOG_LVL_WARN, "web1/xvda: bad request: op 99, sector 18446744073709551615, number %d", i);
	ms = (now_ns() - began) / 1000000;
	end();
	assert_true(bytes > LOG_GUEST_BYTES_BURST);
	assert_true(bytes < LOG_GUEST_BYTES_BURST + 1024 + 2 * LOG_GUEST_BYTES_PER_SEC * (ms / 1000 + 1));
	assert_int_equal(l.bytes, bytes);
	assert_true(l.suppressed > 0);
}

/* One guest's budget is not another's. */
static void a_flood_of_one_does_not_silence_another(void **state)
{
	struct log_limit noisy = { 0 }, quiet = { 0 };

	begin();
	for (int i = 0; i < 1000; i++)
		log_guest(&noisy, LOG_LVL_WARN, "noise");
	log_guest(&quiet, LOG_LVL_WARN, "a word");
	end();
	assert_non_null(strstr(text, "a word"));
}

static void a_line_has_an_end_whatever_is_in_it(void **state)
{
	static char huge[8192];
	struct log_limit l = { 0 };

	memset(huge, 'x', sizeof(huge) - 1);
	begin();
	log_guest(&l, LOG_LVL_WARN, "%s", huge);
	end();
	assert_int_equal(lines, 1);
	assert_true(bytes <= 1024);
}

static void control_characters_do_not_make_a_second_line(void **state)
{
	struct log_limit l = { 0 };

	begin();
	log_guest(&l, LOG_LVL_WARN, "its name is %s", "a\nerror synth-blkd[1]: all is lost\r\x1b[2J");
	end();
	assert_int_equal(lines, 1);
	assert_null(strchr(text, '\x1b'));
	assert_null(strchr(text, '\r'));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_is_cut_to_the_budget_and_counted),
		cmocka_unit_test(a_trickle_that_does_not_end_is_cut_to_its_bytes),
		cmocka_unit_test(a_flood_of_one_does_not_silence_another),
		cmocka_unit_test(a_line_has_an_end_whatever_is_in_it),
		cmocka_unit_test(control_characters_do_not_make_a_second_line),
	};

	return cmocka_run_group_tests_name("xsa log", tests, NULL, NULL);
}

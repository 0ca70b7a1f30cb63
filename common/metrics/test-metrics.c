/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-metrics.c - histogram accuracy, the text form read back, hostile text; and the log's rate limit. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/log/log.h"
#include "common/metrics/metrics.h"

static void percentiles_are_within_a_bucket(void **state)
{
	static struct hist h;

	for (uint64_t i = 1; i <= 10000; i++)
		hist_add(&h, i * 1000);
	assert_int_equal(hist_total(&h), 10000);
	/* a bucket is at most a quarter wide */
	assert_in_range(hist_percentile(&h, 50), 5000000, 6250000);
	assert_in_range(hist_percentile(&h, 99), 9900000, 10000000);
	assert_int_equal(hist_percentile(&h, 100), 10000000);
	assert_int_equal(h.max, 10000000);
}

static void extremes_have_a_bucket(void **state)
{
	static struct hist h;

	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	assert_int_equal(hist_total(&h), 2);
	assert_true(hist_percentile(&h, 100) > 1ull << 40);
}

static void text_reads_back(void **state)
{
	char buf[256], name[64];
	struct metrics_out o = { buf, sizeof(buf), 0, false };
	struct span s;
	uint64_t v;

	metrics_put(&o, "reads", 12);
	metrics_put(&o, "bytes_2", UINT64_MAX);
	s = span_of(buf, o.used);
	assert_int_equal(metrics_get(&s, name, &v), 0);
	assert_string_equal(name, "reads");
	assert_int_equal(v, 12);
	assert_int_equal(metrics_get(&s, name, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(metrics_get(&s, name, &v), -ENOENT);
}

static void full_buffer_keeps_whole_lines(void **state)
{
	char buf[16];
	struct metrics_out o = { buf, sizeof(buf), 0, false };

	metrics_put(&o, "first", 1);
	metrics_put(&o, "too_long_for_it", 2);
	metrics_put(&o, "a", 3);
	assert_true(o.full);
	assert_string_equal(buf, "first 1\n");
	assert_int_equal(o.used, 8);
}

static void hostile_text_is_refused(void **state)
{
	static const char *const bad[] = {
		"x",       "x\n",
		"x 1",     " 1\n",
		"x -1\n",  "X 1\n",
		"x 1 2\n", "x  1\n",
		"\n",      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\n"
	};
	char name[64];
	uint64_t v;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct span s = span_of(bad[i], strlen(bad[i]));

		assert_int_equal(metrics_get(&s, name, &v), -EBADMSG);
	}
}

static void guest_cannot_flood_the_log(void **state)
{
	char path[] = "/tmp/synth-log-XXXXXX";
	int fd = mkstemp(path), old = dup(STDERR_FILENO);
	struct log_limit l = { 0 };
	off_t bytes;

	assert_true(fd >= 0 && old >= 0);
	dup2(fd, STDERR_FILENO);
	for (int i = 0; i < 100000; i++)
		log_guest(&l, LOG_LVL_WARN, "guest says\nno %d", i);
	bytes = lseek(fd, 0, SEEK_END);
	dup2(old, STDERR_FILENO);
	close(old);
	close(fd);
	unlink(path);
	assert_in_range(bytes, 100, 5000);
	assert_true(l.suppressed > 99000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles_are_within_a_bucket),
		cmocka_unit_test(extremes_have_a_bucket),
		cmocka_unit_test(text_reads_back),
		cmocka_unit_test(full_buffer_keeps_whole_lines),
		cmocka_unit_test(hostile_text_is_refused),
		cmocka_unit_test(guest_cannot_flood_the_log),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}

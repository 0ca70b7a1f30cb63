/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-xenstore.c - common/xen/store.c on a libxenstore of our own, behind which somebody writes without end: the same node, the
 * nodes of our transaction, a value that is too long.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include <xenstore.h>
#include "common/xen/store.h"

static struct {
	int pipe[2];
	uint64_t events; /* still to come */
	uint64_t given;
	uint32_t conflicts; /* transactions that will still fail */
	uint32_t started, ended;
	size_t value_bytes;
	bool nul; /* in the middle of the value */
} lib;

struct xs_handle *xs_open(unsigned long flags)
{
	return (struct xs_handle *)(void *)&lib;
}

void xs_close(struct xs_handle *h)
{
}

int xs_fileno(struct xs_handle *h)
{
	return lib.pipe[0];
}

const char *xs_daemon_socket(void)
{
	return NULL;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	return true;
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
	return true;
}

char **xs_check_watch(struct xs_handle *h)
{
	char **v;

	if (lib.events == 0) {
		errno = EAGAIN;
		return NULL;
	}
	if (lib.events != UINT64_MAX)
		lib.events--;
	lib.given++;
	v = calloc(1, 2 * sizeof(*v) + 32);
	v[XS_WATCH_PATH] = (char *)(v + 2);
	v[XS_WATCH_TOKEN] = (char *)(v + 2) + 16;
	strcpy(v[XS_WATCH_PATH], "device/state");
	strcpy(v[XS_WATCH_TOKEN], lib.given % 2 ? "0" : "1");
	return v;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	return ++lib.started;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	lib.ended++;
	if (abort || lib.conflicts == 0)
		return true;
	lib.conflicts--;
	errno = EAGAIN;
	return false;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	char *v = malloc(lib.value_bytes + 1);

	memset(v, '7', lib.value_bytes);
	v[lib.value_bytes] = '\0';
	if (lib.nul)
		v[lib.value_bytes / 2] = '\0';
	*len = (unsigned int)lib.value_bytes;
	return v;
}

/* ------------------------------------------------------------------ the tests */

static struct store *s;
static uint32_t called[2];

static void on_event(struct store *st, const char *path, void *arg)
{
	(*(uint32_t *)arg)++;
}

static int fresh(void **state)
{
	memset(&lib, 0, sizeof(lib));
	memset(called, 0, sizeof(called));
	if (pipe(lib.pipe) < 0 || store_open(&s) < 0)
		return -1;
	return store_watch(s, "a", on_event, &called[0], NULL) | store_watch(s, "b", on_event, &called[1], NULL);
}

static int over(void **state)
{
	store_close(s);
	close(lib.pipe[0]);
	close(lib.pipe[1]);
	return 0;
}

/* XSA-349 */
static void a_flood_of_events_is_one_call_a_watch(void **state)
{
	lib.events = 50000;
	assert_int_equal(store_dispatch(s), 0);
	assert_int_equal(lib.given, 50000); /* nothing is left to pile up */
	assert_int_equal(called[0], 1);
	assert_int_equal(called[1], 1);
	lib.events = 1;
	assert_int_equal(store_dispatch(s), 0);
	assert_int_equal(called[0] + called[1], 3);
}

/* XSA-349: the writer is as fast as we are; others have their turn all the same. */
static void a_flood_without_an_end_does_not_keep_us(void **state)
{
	lib.events = UINT64_MAX;
	alarm(8);
	assert_int_equal(store_dispatch(s), 0);
	alarm(0);
	assert_int_equal(called[0], 1);
}

static int nothing(struct store *st, struct store_tx *t, void *arg)
{
	return 0;
}

/* XSA-206: a guest that writes into what we read makes us try again, but not for ever, and each try is ended. */
static void a_transaction_that_never_gets_through_is_given_up(void **state)
{
	lib.conflicts = 10;
	assert_int_equal(store_transact(s, nothing, NULL), 0);
	assert_int_equal(lib.started, 11);
	lib.conflicts = UINT32_MAX;
	alarm(8);
	assert_int_equal(store_transact(s, nothing, NULL), -EAGAIN);
	alarm(0);
	assert_true(lib.started < 200);
	assert_int_equal(lib.started, lib.ended);
}

/* XSA-72: what is too long is an error, neither cut nor trusted. */
static void a_value_that_is_too_long_is_an_error(void **state)
{
	char small[8], *v = NULL;

	lib.value_bytes = STORE_VALUE_MAX;
	assert_int_equal(store_read(s, NULL, "x", &v), 0);
	free(v);
	v = NULL;
	lib.value_bytes = STORE_VALUE_MAX + 1;
	assert_int_equal(store_read(s, NULL, "x", &v), -EMSGSIZE);
	assert_null(v);
	lib.value_bytes = 8;
	assert_int_equal(store_read_into(s, NULL, "x", small, sizeof(small)), -EMSGSIZE);
	lib.value_bytes = 7;
	assert_int_equal(store_read_into(s, NULL, "x", small, sizeof(small)), 0);
	lib.nul = true;
	assert_int_equal(store_read(s, NULL, "x", &v), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_flood_of_events_is_one_call_a_watch, fresh, over),
		cmocka_unit_test_setup_teardown(a_flood_without_an_end_does_not_keep_us, fresh, over),
		cmocka_unit_test_setup_teardown(a_transaction_that_never_gets_through_is_given_up, fresh, over),
		cmocka_unit_test_setup_teardown(a_value_that_is_too_long_is_an_error, fresh, over),
	};

	return cmocka_run_group_tests_name("xsa xenstore", tests, NULL, NULL);
}

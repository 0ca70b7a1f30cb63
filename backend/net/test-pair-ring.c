/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-pair-ring.c - frames go through whole and in order; a neighbour that writes nonsense is found out; nobody sleeps for ever. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "backend/net/pair-ring.h"

/* As in pair-ring.c: what a bad neighbour can write to. */
#define AT_PUT    0u
#define AT_WSLEEP 4u
#define AT_TAKEN  64u
#define AT_RSLEEP 68u

static uint8_t *memory;
static struct pair_out out;
static struct pair_in in;

static uint32_t *word(uint32_t at)
{
	return (uint32_t *)(void *)(memory + at);
}

static int set_up(void **state)
{
	memory = aligned_alloc(4096, PAIR_RING_SIZE);
	assert_non_null(memory);
	memset(memory, 0, PAIR_RING_SIZE);
	pair_out_attach(&out, (struct pair_ring *)(void *)memory);
	pair_in_attach(&in, (struct pair_ring *)(void *)memory);
	return 0;
}

static int tear_down(void **state)
{
	free(memory);
	return 0;
}

static uint8_t frame[70000], got[70000];

static int put(uint32_t bytes, uint8_t seed)
{
	struct virtio_net_hdr v = { .flags = seed };

	for (uint32_t i = 0; i < bytes && i < sizeof(frame); i++)
		frame[i] = (uint8_t)(seed + i * 7);
	return pair_out_put(&out, &v, frame, bytes);
}

/* The next frame is the one that put() made of these. */
static void take(uint32_t bytes, uint8_t seed)
{
	struct virtio_net_hdr v;

	assert_int_equal(pair_in_take(&in, &v, got, sizeof(got)), bytes);
	assert_int_equal(v.flags, seed);
	for (uint32_t i = 0; i < bytes; i++)
		assert_int_equal(got[i], (uint8_t)(seed + i * 7));
}

static int take_any(void)
{
	struct virtio_net_hdr v;

	return pair_in_take(&in, &v, got, sizeof(got));
}

static void publish(void)
{
	(void)!pair_out_publish(&out);
}

static void release(void)
{
	(void)!pair_in_release(&in);
}

/* ------------------------------------------------------------------ what it does */

static void test_in_order(void **state)
{
	assert_int_equal(take_any(), 0);
	assert_int_equal(put(60, 1), 0);
	assert_int_equal(take_any(), 0); /* not published */
	assert_int_equal(put(1, 2), 0);
	assert_int_equal(put(65562, 3), 0);
	publish();
	assert_true(pair_in_peek(&in));
	take(60, 1);
	take(1, 2);
	take(65562, 3);
	assert_false(pair_in_peek(&in));
	assert_int_equal(take_any(), 0);
}

static void test_goes_round(void **state)
{
	uint32_t bytes = 1;

	for (uint32_t i = 0; i < 20000; i++) {
		assert_int_equal(put(bytes, (uint8_t)i), 0);
		publish();
		take(bytes, (uint8_t)i);
		release();
		bytes = bytes * 5 % 9001 + 1;
	}
	/* Also where the indices wrap. */
	*word(AT_PUT) = *word(AT_TAKEN) = 0u - 64u;
	pair_out_attach(&out, (struct pair_ring *)(void *)memory);
	pair_in_attach(&in, (struct pair_ring *)(void *)memory);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(put(i + 1, (uint8_t)i), 0);
		publish();
		take(i + 1, (uint8_t)i);
		release();
	}
}

/* What lay there for a reader that was away is gone at once, however many frames that is, and what comes after it is not. */
static void test_skip(void **state)
{
	uint32_t n = 0;

	while (put(14, 1) == 0)
		n++;
	assert_true(n >= PAIR_RING_DATA / 32 - 1);
	publish();
	pair_in_skip(&in);
	release();
	assert_int_equal(take_any(), 0);
	assert_true(pair_out_fits(&out, 65562));
	assert_int_equal(put(1500, 2), 0);
	publish();
	take(1500, 2);
	*word(AT_PUT) = out.put + 2 * PAIR_RING_DATA; /* nonsense is found out here too */
	pair_in_skip(&in);
	assert_int_equal(take_any(), -EPROTO);
}

static void test_full(void **state)
{
	uint32_t n = 0;

	while (pair_out_fits(&out, 1500)) {
		assert_int_equal(put(1500, (uint8_t)n), 0);
		n++;
	}
	assert_true(n * 1536 >= PAIR_RING_DATA - 2 * 1536);
	assert_int_equal(put(1500, 0), -EAGAIN);
	publish();
	for (uint32_t i = 0; i < n; i++)
		take(1500, (uint8_t)i);
	assert_false(pair_out_fits(&out, 1500)); /* not released */
	release();
	assert_true(pair_out_fits(&out, 1500));
	assert_int_equal(put(0, 0), -EMSGSIZE);
	assert_int_equal(put(PAIR_RING_FRAME_MAX + 1, 0), -EMSGSIZE);
	assert_true(pair_out_fits(&out, PAIR_RING_FRAME_MAX + 1)); /* to wait for it would be for ever */
}

static void test_any_frame_fits_an_empty_ring(void **state)
{
	static uint8_t big[PAIR_RING_FRAME_MAX];
	struct virtio_net_hdr v = { 0 };

	for (uint32_t at = 0; at < PAIR_RING_DATA; at += 4096 + 16) {
		*word(AT_PUT) = *word(AT_TAKEN) = at;
		pair_out_attach(&out, (struct pair_ring *)(void *)memory);
		assert_true(pair_out_fits(&out, PAIR_RING_FRAME_MAX));
		assert_int_equal(pair_out_put(&out, &v, big, PAIR_RING_FRAME_MAX), 0);
	}
}

static void test_too_long_for_the_reader(void **state)
{
	struct virtio_net_hdr v;

	assert_int_equal(put(200, 1), 0);
	assert_int_equal(put(100, 2), 0);
	publish();
	assert_int_equal(pair_in_take(&in, &v, got, 199), -EMSGSIZE);
	take(100, 2);
}

static void test_ends_are_replaced(void **state)
{
	assert_int_equal(put(100, 1), 0);
	assert_int_equal(put(100, 2), 0);
	publish();
	assert_int_equal(put(100, 3), 0); /* never published: lost with the writer */
	pair_out_attach(&out, (struct pair_ring *)(void *)memory);
	assert_int_equal(put(100, 4), 0);
	publish();
	take(100, 1);
	release();
	take(100, 2); /* not released: the next reader has it again */
	pair_in_attach(&in, (struct pair_ring *)(void *)memory);
	take(100, 2);
	take(100, 4);
	assert_int_equal(take_any(), 0);
}

/* ------------------------------------------------------------------ sleeping */

static void test_bells(void **state)
{
	assert_int_equal(put(60, 1), 0);
	assert_false(pair_out_publish(&out)); /* the reader does not sleep */
	assert_true(pair_in_arm(&in));        /* there is something */
	take(60, 1);
	assert_false(pair_in_arm(&in));
	assert_int_equal(put(60, 2), 0);
	assert_true(pair_out_publish(&out));
	assert_int_equal(put(60, 3), 0);
	assert_false(pair_out_publish(&out)); /* once */
	take(60, 2);
	take(60, 3);
	assert_false(pair_in_release(&in)); /* the writer does not sleep */
	while (put(1000, 0) == 0)
		;
	publish();
	assert_false(pair_out_arm(&out, 1000));
	assert_true(take_any() > 0);
	assert_true(take_any() > 0);
	assert_true(pair_in_release(&in));
	assert_false(pair_in_release(&in)); /* nothing new */
	assert_true(pair_out_arm(&out, 1000));
}

#define STRESS 200000u

static void *writer(void *arg)
{
	struct virtio_net_hdr v = { 0 };
	uint8_t f[2000] = { 0 };

	for (uint32_t i = 0; i < STRESS;) {
		memcpy(f, &i, 4);
		if (pair_out_put(&out, &v, f, 4 + i % 1900) == 0)
			i++;
		if (i % 7 == 0 || i == STRESS || !pair_out_fits(&out, 1904))
			publish();
	}
	publish();
	return NULL;
}

static void test_two_threads(void **state)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, writer, NULL), 0);
	for (uint32_t i = 0; i < STRESS;) {
		int n = take_any();
		uint32_t x;

		if (n == 0) {
			release();
			continue;
		}
		memcpy(&x, got, 4);
		assert_int_equal(x, i);
		assert_int_equal(n, 4 + i % 1900);
		i++;
		if (pair_in_due(&in))
			release();
	}
	pthread_join(t, NULL);
}

/* ------------------------------------------------------------------ sins */

static void test_sin_writer_too_far_ahead(void **state)
{
	*word(AT_PUT) = PAIR_RING_DATA + 16;
	assert_int_equal(take_any(), -EPROTO);
	assert_int_equal(take_any(), -EPROTO);
	assert_true(pair_in_arm(&in)); /* nobody sleeps on a broken ring */
}

static void test_sin_writer_goes_back(void **state)
{
	assert_int_equal(put(100, 1), 0);
	publish();
	take(100, 1);
	*word(AT_PUT) = 16;
	assert_int_equal(take_any(), -EPROTO);
}

static void test_sin_writer_between_records(void **state)
{
	*word(AT_PUT) = 24;
	assert_int_equal(take_any(), -EPROTO);
}

static void test_sin_length_beyond_what_is_there(void **state)
{
	static const uint32_t lengths[] = { 101 + 16, PAIR_RING_FRAME_MAX, PAIR_RING_DATA, UINT32_MAX,
					    UINT32_MAX - 15 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		memset(memory, 0, PAIR_RING_HEAD);
		pair_out_attach(&out, (struct pair_ring *)(void *)memory);
		pair_in_attach(&in, (struct pair_ring *)(void *)memory);
		assert_int_equal(put(100, 1), 0);
		publish();
		*word(PAIR_RING_HEAD) = lengths[i];
		assert_int_equal(take_any(), -EPROTO);
	}
}

static void test_sin_length_beyond_the_end(void **state)
{
	*word(AT_PUT) = *word(AT_TAKEN) = PAIR_RING_DATA - 32;
	pair_in_attach(&in, (struct pair_ring *)(void *)memory);
	*word(AT_PUT) = PAIR_RING_DATA + 4096;
	*word(PAIR_RING_HEAD + PAIR_RING_DATA - 32) = 17; /* a unit more than fits */
	assert_int_equal(take_any(), -EPROTO);
}

static void test_sin_gap_without_an_end(void **state)
{
	*word(AT_PUT) = 64; /* a gap to the end of the ring is announced, and the ring does not go so far */
	assert_int_equal(take_any(), -EPROTO);
}

static void test_sin_reader_ahead_of_writer(void **state)
{
	while (put(1000, 0) == 0)
		;
	publish();
	*word(AT_TAKEN) = out.put + 16;
	assert_int_equal(put(1000, 0), -EPROTO);
	assert_true(pair_out_fits(&out, 1000)); /* nothing to wait for */
	assert_true(pair_out_arm(&out, 1000));
	assert_false(pair_out_publish(&out));
}

static void test_sin_reader_goes_back(void **state)
{
	while (put(1000, 0) == 0)
		;
	publish();
	while (take_any() > 0)
		;
	release();
	while (put(1000, 0) == 0)
		;
	*word(AT_TAKEN) = 0;
	assert_int_equal(put(1000, 0), -EPROTO);
}

static void test_sin_indices_before_us(void **state)
{
	*word(AT_PUT) = PAIR_RING_DATA + 16;
	pair_out_attach(&out, (struct pair_ring *)(void *)memory);
	assert_int_equal(put(60, 0), -EPROTO);
	*word(AT_PUT) = *word(AT_TAKEN) = 8;
	pair_out_attach(&out, (struct pair_ring *)(void *)memory);
	assert_int_equal(put(60, 0), -EPROTO);
	pair_in_attach(&in, (struct pair_ring *)(void *)memory);
	assert_int_equal(take_any(), -EPROTO);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_in_order),
		T(test_goes_round),
		T(test_skip),
		T(test_full),
		T(test_any_frame_fits_an_empty_ring),
		T(test_too_long_for_the_reader),
		T(test_ends_are_replaced),
		T(test_bells),
		T(test_two_threads),
		T(test_sin_writer_too_far_ahead),
		T(test_sin_writer_goes_back),
		T(test_sin_writer_between_records),
		T(test_sin_length_beyond_what_is_there),
		T(test_sin_length_beyond_the_end),
		T(test_sin_gap_without_an_end),
		T(test_sin_reader_ahead_of_writer),
		T(test_sin_reader_goes_back),
		T(test_sin_indices_before_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-journal.c - a worker maps its device's journal: its own is taken, any other is refused and leaves nothing mapped. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "backend/worker/journal.h"

#define CLASS_BYTES 8192u

static struct journal_head head;
static struct wire_connect c;
static struct journal j;
static int fd;

static void write_head(void)
{
	assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
}

static int make(void **state)
{
	fd = memfd_create("journal", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, JOURNAL_CLASS_AT + CLASS_BYTES), 0);
	memset(&head, 0, sizeof(head));
	head.wire = (struct wire_connect){ .nr_queues = 2, .nr_rings = 1, .nr_ports = 1, .order = 1 };
	head.wire.queue[1].refs[1] = 9;
	c = head.wire;
	snprintf(head.class, sizeof(head.class), "disk");
	snprintf(head.uuid, sizeof(head.uuid), "u");
	journal_head_seal(&head, CLASS_BYTES);
	write_head();
	return 0;
}

static int unmake(void **state)
{
	journal_unmap(&j);
	return close(fd);
}

static int map(void)
{
	return journal_map(&j, fd, &c, CLASS_BYTES, "web1/xvda");
}

static void refused(void)
{
	assert_int_equal(map(), -EBADMSG);
	assert_null(j.map);
}

static void a_successor_finds_what_was_left(void **state)
{
	assert_int_equal(map(), 0);
	assert_false(j.resume);
	memset(j.class_part, 0x5a, CLASS_BYTES);
	journal_ready(&j);
	journal_unmap(&j);
	c.resume = WIRE_RESUME_BLAME;
	assert_int_equal(map(), 0);
	assert_true(j.resume);
	assert_true(j.blame);
	assert_int_equal(j.live->life, 2);
	assert_int_equal(((uint8_t *)j.class_part)[CLASS_BYTES - 1], 0x5a);
}

static void one_that_was_never_ready_is_begun_anew(void **state)
{
	c.resume = WIRE_RESUME;
	assert_int_equal(map(), 0);
	assert_false(j.resume);
	assert_false(j.blame);
}

static void the_head_must_say_the_same_as_the_message(void **state)
{
	c.queue[1].refs[1]++;
	refused();
	c.queue[1].refs[1]--;
	c.order = 0;
	refused();
	c.order = 1;
	c.features = 1;
	refused();
	c.features = 0;
	assert_int_equal(journal_map(&j, fd, &c, CLASS_BYTES + 64, "x"), -EBADMSG);
	assert_int_equal(map(), 0);
}

static void damage_is_refused(void **state)
{
	head.domid ^= 1;
	write_head();
	refused(); /* crc */
	head.version++;
	write_head();
	refused();
	head.magic = 0;
	write_head();
	refused();
	assert_int_equal(ftruncate(fd, 100), 0);
	refused();
}

static void a_name_without_an_end_is_refused(void **state)
{
	memset(head.uuid, 'x', sizeof(head.uuid));
	journal_head_seal(&head, CLASS_BYTES);
	write_head();
	refused();
}

static void one_that_was_cut_is_refused(void **state)
{
	assert_int_equal(ftruncate(fd, JOURNAL_CLASS_AT + CLASS_BYTES - 4096), 0);
	refused();
}

static void what_cannot_be_mapped_is_no_journal(void **state)
{
	int p[2];

	assert_int_equal(journal_map(&j, -1, &c, CLASS_BYTES, "x"), -EBADF);
	assert_int_equal(pipe(p), 0);
	assert_true(journal_map(&j, p[0], &c, CLASS_BYTES, "x") < 0);
	close(p[0]);
	close(p[1]);
	journal_unmap(&j);
}

int main(void)
{
#define WITH(t) cmocka_unit_test_setup_teardown(t, make, unmake)
	const struct CMUnitTest tests[] = {
		WITH(a_successor_finds_what_was_left),           WITH(one_that_was_never_ready_is_begun_anew),
		WITH(the_head_must_say_the_same_as_the_message), WITH(damage_is_refused),
		WITH(a_name_without_an_end_is_refused),          WITH(one_that_was_cut_is_refused),
		WITH(what_cannot_be_mapped_is_no_journal),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-record.c - the journal's file, from the control plane's side: what is made is found again, what is not ours is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "backend/control/record.h"
#include "backend/journal.h"

#define CLASS_BYTES 4096u

static uint64_t class_bytes(const struct wire_connect *c)
{
	return c->nr_queues * CLASS_BYTES;
}

static uint64_t far_too_much(const struct wire_connect *c)
{
	return 1ull << 60;
}

static struct control_class class = { .name = "disk", .stem = "blkd", .journal_bytes = class_bytes };
static struct control control = { .class = &class };
static struct front_params params;
static struct device dev;
static char dir[64], path[160];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/test-record.XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(record_dir(dir), 0);
	assert_int_equal(record_dir(dir), 0); /* it is there already */
	list_init(&control.devices);
	dev = (struct device){
		.c = &control, .domid = 3, .vdev = 51712, .uuid = "one", .params = &params, .name = "web1/xvda"
	};
	params = (struct front_params){ .wire = { .nr_queues = 2, .nr_rings = 1, .nr_ports = 1 },
					.remote_port = { { 5 }, { 6 } } };
	params.wire.queue[1].refs[0] = 77;
	snprintf(path, sizeof(path), "%s/journal/blkd-one", dir);
	class.journal_bytes = class_bytes;
	return 0;
}

static int remove_dir(void **state)
{
	char sub[80];

	record_remove(&dev);
	snprintf(sub, sizeof(sub), "%s/journal", dir);
	rmdir(sub);
	return rmdir(dir);
}

static int make(void)
{
	struct fault f;
	int fd = record_create(&dev, &f);

	assert_true(fd >= 0);
	return fd;
}

static void what_is_made_is_found_again(void **state)
{
	static struct front_params found;
	struct stat st;
	int fd = make(), again;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, JOURNAL_CLASS_AT + 2 * CLASS_BYTES);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(st.st_blocks * 512 >= st.st_size); /* no write to it can fail later */
	close(fd);
	again = record_open(&dev, &found);
	assert_true(again >= 0);
	close(again);
	assert_memory_equal(&found.wire, &params.wire, sizeof(found.wire));
	assert_memory_equal(found.remote_port, params.remote_port, sizeof(found.remote_port));
	/* a new connection's is a new file */
	close(make());
	record_remove(&dev);
	record_remove(&dev);
	assert_int_equal(record_open(&dev, &found), -ENOENT);
}

static void change(off_t at, uint8_t byte)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void refused(void)
{
	static struct front_params found;

	found.wire.abi = 99;
	assert_int_equal(record_open(&dev, &found), -EBADMSG);
	assert_int_equal(found.wire.abi, 99); /* as it was */
}

static void damage_is_found(void **state)
{
	close(make());
	change(offsetof(struct journal_head, magic), 0);
	refused();
	close(make());
	change(offsetof(struct journal_head, wire) + 3, 1);
	refused();
	close(make());
	assert_int_equal(truncate(path, JOURNAL_CLASS_AT), 0);
	refused();
	assert_int_equal(truncate(path, 10), 0);
	refused();
}

/* As a worker that was taken over could write it: all is sealed, and a number is beyond what the daemon's tables hold. */
static void sealed_lies(const struct wire_connect *w)
{
	struct journal_head h;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	h.wire = *w;
	journal_head_seal(&h, h.class_bytes);
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	close(fd);
}

static uint64_t any_class_bytes(const struct wire_connect *c)
{
	return 2ull * CLASS_BYTES;
}

static void no_number_is_taken_as_it_is(void **state)
{
	static struct front_params found;
	struct wire_connect w;

	close(make());
	w = params.wire;
	w.nr_queues = 1; /* fewer, but then the file would be shorter */
	sealed_lies(&w);
	refused();
	class.journal_bytes = any_class_bytes; /* so that it is not for that */
#define LIE(member, value)  \
	w = params.wire;    \
	w.member = (value); \
	sealed_lies(&w);    \
	refused()
	LIE(nr_queues, WIRE_MAX_QUEUES + 1);
	LIE(nr_queues, UINT32_MAX);
	LIE(nr_queues, 0);
	LIE(order, WIRE_MAX_ORDER + 1);
	LIE(nr_rings, 0);
	LIE(nr_rings, WIRE_MAX_RINGS + 1);
	LIE(nr_ports, 0);
	LIE(nr_ports, 2);
	sealed_lies(&params.wire);
	close(record_open(&dev, &found));
	assert_int_equal(found.wire.nr_queues, 2);
}

static bool fake_unanswered(const void *part, const struct wire_connect *c)
{
	const uint8_t *p = part;

	assert_int_equal(c->nr_queues, 2);
	return p[0] == 7 && p[2 * CLASS_BYTES - 1] == 8;
}

static void what_was_under_way_is_known(void **state)
{
	assert_false(record_unanswered(&dev)); /* a class that has no such thing */
	class.unanswered = fake_unanswered;
	assert_false(record_unanswered(&dev)); /* no journal, no rings */
	close(make());
	assert_false(record_unanswered(&dev));
	change(JOURNAL_CLASS_AT, 7);
	change(JOURNAL_CLASS_AT + 2 * CLASS_BYTES - 1, 8);
	assert_true(record_unanswered(&dev));
	change(JOURNAL_CLASS_AT, 0);
	assert_false(record_unanswered(&dev));
	change(JOURNAL_LIVE_AT + offsetof(struct journal_live, poisoned), 1);
	assert_false(record_unanswered(&dev)); /* a flush failed */
	change(JOURNAL_LIVE_AT + offsetof(struct journal_live, poisoned), JOURNAL_STORAGE_LOST);
	assert_true(record_unanswered(&dev)); /* all was answered: with errors, when the server was lost */
	change(offsetof(struct journal_head, magic), 0);
	assert_true(record_unanswered(&dev)); /* who knows */
	class.unanswered = NULL;
}

static void what_it_stood_on_is_known(void **state)
{
	uint64_t id[2] = { 1, 2 };

	assert_int_equal(record_identity(&dev, id), 0); /* no journal */
	assert_int_equal(id[0] | id[1], 0);
	dev.identity[0] = 0xfd00;
	dev.identity[1] = UINT64_MAX;
	close(make());
	dev.identity[0] = 7; /* since then */
	assert_int_equal(record_identity(&dev, id), 0);
	assert_int_equal(id[0], 0xfd00);
	assert_true(id[1] == UINT64_MAX);
	change(offsetof(struct journal_head, identity), 1);
	assert_int_equal(record_identity(&dev, id), 0); /* no guest goes on from that one */
	assert_int_equal(id[0] | id[1], 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_true(record_identity(&dev, id) < 0); /* who knows */
}

static void another_devices_is_refused(void **state)
{
	close(make());
	dev.vdev++;
	refused();
	dev.vdev--;
	dev.domid++;
	refused();
	dev.domid--;
	class.name = "nic";
	refused();
	class.name = "disk";
}

static void no_room_is_told_and_leaves_nothing(void **state)
{
	struct fault f = { 0 };

	class.journal_bytes = far_too_much;
	assert_true(record_create(&dev, &f) < 0);
	assert_int_equal(f.code, FAULT_FAILED);
	assert_non_null(strstr(f.why, "journal"));
	assert_true(f.next[0]);
	assert_int_equal(access(path, F_OK), -1);
}

static void what_nobody_has_is_swept_away(void **state)
{
	char stray[160], foreign[160];

	close(make());
	list_add_tail(&control.devices, &dev.link);
	snprintf(stray, sizeof(stray), "%s/journal/blkd-two", dir);
	snprintf(foreign, sizeof(foreign), "%s/journal/netd-three", dir); /* another daemon's */
	close(open(stray, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	close(open(foreign, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	record_sweep(&control);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(access(stray, F_OK), -1);
	assert_int_equal(access(foreign, F_OK), 0);
	unlink(foreign);
	/* and a directory of that name is none of ours: told, left alone */
	assert_int_equal(mkdir(stray, 0700), 0);
	record_sweep(&control);
	assert_int_equal(rmdir(stray), 0);
}

static void no_directory_no_record(void **state)
{
	static struct front_params found;
	struct fault f = { 0 };
	char none[] = "/nonexistent/synth";

	assert_int_equal(record_dir(none), -ENOENT);
	assert_true(record_create(&dev, &f) < 0);
	assert_int_equal(record_open(&dev, &found), -ENOENT);
	record_sweep(&control);
	assert_int_equal(record_dir(dir), 0);
}

int main(void)
{
#define IN_DIR(t) cmocka_unit_test_setup_teardown(t, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		IN_DIR(what_is_made_is_found_again),   IN_DIR(damage_is_found),
		IN_DIR(another_devices_is_refused),    IN_DIR(no_room_is_told_and_leaves_nothing),
		IN_DIR(what_nobody_has_is_swept_away), IN_DIR(no_directory_no_record),
		IN_DIR(no_number_is_taken_as_it_is),   IN_DIR(what_was_under_way_is_known),
		IN_DIR(what_it_stood_on_is_known),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}

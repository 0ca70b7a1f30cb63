/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-image.c - targets as text, device names, and opening images that are no good. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "backend/block/image.h"

static const uint64_t any[2];
static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[4][128];
	static unsigned n;
	char *p = path[n++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void make(const char *name, off_t size)
{
	int fd = open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int try(const char *target, bool ro, struct image *im, struct fault *f)
{
	struct image_uri u;
	int err = image_parse(target, &u, f);

	return err < 0 ? err : image_open(&u, ro, true, any, im, f);
}

/* ------------------------------------------------------------------- text */

static void test_files(void **state)
{
	struct image_uri u;
	struct fault f;

	assert_int_equal(image_parse("/srv/a b.img", &u, &f), 0);
	assert_int_equal(u.kind, BLK_STORE_FILE);
	assert_string_equal(u.path, "/srv/a b.img");
	assert_int_equal(image_parse("file:/srv/a%20b", &u, &f), 0);
	assert_string_equal(u.path, "/srv/a%20b"); /* a path is a path */
	assert_int_equal(image_parse("file:///dev/vg/lv", &u, &f), 0);
	assert_string_equal(u.path, "/dev/vg/lv");
}

static void test_nbd(void **state)
{
	struct image_uri u;
	struct fault f;

	assert_int_equal(image_parse("nbd://host/vol", &u, &f), 0);
	assert_string_equal(u.host, "host");
	assert_string_equal(u.port, "10809");
	assert_string_equal(u.export, "vol");
	assert_int_equal(image_parse("nbd://[fe80::1]:99/a%2fb", &u, &f), 0);
	assert_string_equal(u.host, "fe80::1");
	assert_string_equal(u.port, "99");
	assert_string_equal(u.export, "a/b");
	assert_int_equal(image_parse("nbd://host", &u, &f), 0);
	assert_string_equal(u.export, "");
	assert_int_equal(image_parse("nbd+unix:///vol0?socket=/run/n%41.sock", &u, &f), 0);
	assert_true(u.unix_socket);
	assert_string_equal(u.export, "vol0");
	assert_string_equal(u.path, "/run/nA.sock");
	assert_int_equal(image_parse("nbd+unix://?socket=/run/nbd", &u, &f), 0);
	assert_string_equal(u.export, "");
}

static void test_null(void **state)
{
	struct image_uri u;
	struct fault f;

	assert_int_equal(image_parse("null:10G", &u, &f), 0);
	assert_int_equal(u.size, 10ull << 30);
	assert_int_equal(image_parse("null:512", &u, &f), 0);
	assert_int_equal(u.size, 512);
}

static void test_bad_targets(void **state)
{
	static const char *const bad[] = {
		"",
		"a.img",
		"./a.img",
		"file:",
		"file:a.img",
		"file:/",
		"file:///",
		"/",
		"qcow2:/a",
		"http://x/y",
		"FILE:/a",
		"/a\nb",
		"/a\x7f",
		"/a\x01",
		"null:",
		"null:0",
		"null:1",
		"null:511",
		"null:-1",
		"null:1x",
		"null:99999999999999T",
		"null:16777216T",
		"nbd:",
		"nbd:host",
		"nbd://",
		"nbd:///x",
		"nbd://u@h/x",
		"nbd://h:0/x",
		"nbd://h:65536/x",
		"nbd://h:/x",
		"nbd://h:1x/x",
		"nbd://h:123456789/x",
		"nbd://[::1/x",
		"nbd://[]/x",
		"nbd://[::1]x/y",
		"nbd://h/x?tls=1",
		"nbd://h/%zz",
		"nbd://h/%0",
		"nbd://h/a%00b",
		"nbd://h/a%0ab",
		"nbd+unix:",
		"nbd+unix:///x",
		"nbd+unix:///x?socket=",
		"nbd+unix:///x?socket=rel",
		"nbd+unix://host/x?socket=/s",
		"nbd+unix:///x?socket=/s&b=1",
		"nbd+unix:///x?sock=/s",
	};
	struct image_uri u;
	struct fault f;
	char *big = malloc(IMAGE_TARGET_MAX + 10);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		f.why[0] = '\0';
		if (image_parse(bad[i], &u, &f) != -EINVAL || f.code != FAULT_USAGE || !f.why[0])
			fail_msg("\"%s\" was taken", bad[i]);
	}
	memset(big, 'a', IMAGE_TARGET_MAX + 9);
	big[0] = '/';
	big[IMAGE_TARGET_MAX + 9] = '\0';
	assert_int_equal(image_parse(big, &u, &f), -EINVAL);
	big[IMAGE_TARGET_MAX - 1] = '\0'; /* the longest that fits */
	assert_int_equal(image_parse(big, &u, &f), 0);
	memcpy(big, "nbd://h/", 8);
	big[8 + 256] = '\0';
	assert_int_equal(image_parse(big, &u, &f), -EINVAL);
	free(big);
}

/* ------------------------------------------------------------------ images */

static void test_a_good_image(void **state)
{
	struct image im;
	struct fault f;

	make("good", 8192);
	assert_int_equal(try(in_dir("good"), false, &im, &f), 0);
	assert_int_equal(im.size, 8192);
	/* either direct, or told why not */
	assert_true((im.flags & BLK_O_DIRECT) || im.cache_why[0]);
	assert_int_equal(fcntl(im.fd, F_GETFD), FD_CLOEXEC);
	close(im.fd);
}

/* What is opened so that the opening does not hang is not left so: a store's transfers may sleep. */
static void test_its_transfers_may_sleep(void **state)
{
	for (int direct = 0; direct < 2; direct++) {
		struct image_uri u;
		struct image im;
		struct fault f;
		int flags;

		make("sleepy", 8192);
		assert_int_equal(image_parse(in_dir("sleepy"), &u, &f), 0);
		assert_int_equal(image_open(&u, false, direct, any, &im, &f), 0);
		flags = fcntl(im.fd, F_GETFL);
		assert_int_equal(flags & O_NONBLOCK, 0);
		assert_int_equal(!!(flags & O_DIRECT), !!(im.flags & BLK_O_DIRECT));
		assert_int_equal(flags & O_ACCMODE, O_RDWR);
		close(im.fd);
	}
}

static void refused(const char *name, bool ro, enum fault_code code, const char *why)
{
	struct image im;
	struct fault f = { .code = FAULT_NR };
	int err = try(in_dir(name), ro, &im, &f);

	if (err >= 0 || f.code != code || !strstr(f.why, why))
		fail_msg("%s: %d, %s, \"%s\", wanted %s, \"%s\"", name, err, fault_code_name(f.code), f.why,
			 fault_code_name(code), why);
}

static void test_absent(void **state)
{
	refused("absent", false, FAULT_NOTFOUND, "does not exist");
	make("file", 512);
	refused("file/below", false, FAULT_NOTFOUND, "does not exist");
}

static void test_not_a_file(void **state)
{
	assert_int_equal(mkdir(in_dir("d"), 0700), 0);
	refused("d", false, FAULT_FAILED, "is a directory");
	refused("d", true, FAULT_FAILED, "is a directory");
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	refused("fifo", false, FAULT_FAILED, "neither a file nor a block device");
	assert_int_equal(symlink("/dev/null", in_dir("chr")), 0);
	refused("chr", false, FAULT_FAILED, "neither a file nor a block device");
	assert_int_equal(symlink("loop", in_dir("loop")), 0);
	refused("loop", false, FAULT_FAILED, "symbolic links");
}

static void test_odd_sizes(void **state)
{
	make("empty", 0);
	refused("empty", false, FAULT_FAILED, "is empty");
	make("odd", 1000);
	refused("odd", false, FAULT_FAILED, "not a multiple of 512");
}

static void test_no_permission(void **state)
{
	if (geteuid() == 0)
		skip(); /* root may */
	make("secret", 512);
	assert_int_equal(chmod(in_dir("secret"), 0400), 0);
	refused("secret", false, FAULT_PERMISSION, "for writing");
}

static void test_one_writer(void **state)
{
	struct image a, b;
	struct fault f;

	make("shared", 4096);
	assert_int_equal(try(in_dir("shared"), false, &a, &f), 0);
	refused("shared", false, FAULT_BUSY, "locked");
	refused("shared", true, FAULT_BUSY, "locked");
	/* by whatever name */
	assert_int_equal(link(in_dir("shared"), in_dir("alias")), 0);
	assert_int_equal(try(in_dir("alias"), false, &b, &f), -EBUSY);
	assert_int_equal(b.ino, a.ino);
	close(a.fd);
	assert_int_equal(try(in_dir("shared"), true, &a, &f), 0);
	assert_int_equal(try(in_dir("alias"), true, &b, &f), 0);
	refused("shared", false, FAULT_BUSY, "locked");
	close(a.fd);
	close(b.fd);
	assert_int_equal(try(in_dir("shared"), false, &a, &f), 0);
	close(a.fd);
}

static void test_nbd_server_away(void **state)
{
	struct image im;
	struct fault f;
	char target[160];

	snprintf(target, sizeof(target), "nbd+unix:///x?socket=%s", in_dir("no.sock"));
	assert_true(try(target, false, &im, &f) < 0);
	assert_int_equal(f.code, FAULT_NOTFOUND);
	assert_non_null(strstr(f.why, "cannot connect"));
}

static int nbd_server(const char *name, char target[160])
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", in_dir(name));
	assert_int_equal(bind(s, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(s, 1), 0);
	snprintf(target, 160, "nbd+unix:///x?socket=%s", in_dir(name));
	return s;
}

static void *greet(void *arg)
{
	int c = accept(*(const int *)arg, NULL, NULL);

	return write(c, "NBDMAGIC", 8) == 8 && close(c) == 0 ? arg : NULL;
}

static void test_nbd_server_there(void **state)
{
	struct image im;
	struct fault f;
	char target[160];
	int s = nbd_server("sock", target);
	pthread_t t;
	void *ret;

	assert_int_equal(pthread_create(&t, NULL, greet, &s), 0);
	assert_int_equal(try(target, true, &im, &f), 0);
	assert_int_equal(im.flags, BLK_O_READONLY);
	assert_int_equal(pthread_join(t, &ret), 0);
	assert_non_null(ret);
	close(im.fd);
	close(s);
}

static void test_nbd_server_silent(void **state)
{
	struct image im;
	struct fault f;
	char target[160];
	int s = nbd_server("mute", target);

	assert_int_equal(try(target, true, &im, &f), -ETIMEDOUT);
	assert_int_equal(f.code, FAULT_TIMEOUT);
	assert_non_null(strstr(f.why, "says nothing"));
	close(s);
}

static void test_resize(void **state)
{
	struct image_uri u;
	struct stat st;
	struct fault f;

	make("grow", 4096);
	assert_int_equal(image_parse(in_dir("grow"), &u, &f), 0);
	assert_int_equal(image_resize(&u, 8192, any, &f), 0);
	assert_int_equal(stat(in_dir("grow"), &st), 0);
	assert_int_equal(st.st_size, 8192);
	assert_int_equal(image_resize(&u, 1000, any, &f), -EINVAL);
	assert_int_equal(image_resize(&u, 0, any, &f), -EINVAL);
	assert_int_equal(image_parse("null:1M", &u, &f), 0);
	assert_int_equal(image_resize(&u, 8192, any, &f), -EINVAL);
	assert_int_equal(f.code, FAULT_USAGE);
}

/* What the kernel says of write-back, in the C library's place. */
static struct {
	int asked_of, answer; /* -1: nothing; 0 or an errno */
} writeback;

int sync_file_range(int fd, off_t at, off_t bytes, unsigned int flags)
{
	writeback.asked_of = fd;
	errno = writeback.answer;
	return writeback.answer ? -1 : 0;
}

static void what_a_worker_was_told_of_the_page_cache_its_witness_knows(void **state)
{
	int fd, witness = -1, first;

	make("cached", 4096);
	fd = open(in_dir("cached"), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	writeback.asked_of = -1;
	writeback.answer = EIO;
	assert_false(image_witness(fd, &witness)); /* of before it knows nothing */
	assert_int_equal(writeback.asked_of, -1);
	assert_true(witness >= 0);
	assert_int_equal(fcntl(witness, F_GETFL) & O_ACCMODE, O_RDONLY);
	first = witness;
	close(fd);
	fd = open(in_dir("cached"), O_RDWR | O_CLOEXEC);
	assert_true(image_witness(fd, &witness));
	assert_int_equal(writeback.asked_of, first);
	assert_int_equal(witness, first);
	writeback.answer = ENOSPC;
	assert_true(image_witness(fd, &witness));
	writeback.answer = 0;
	assert_false(image_witness(fd, &witness));
	close(fd);
	make("another", 4096);
	fd = open(in_dir("another"), O_RDWR | O_CLOEXEC);
	writeback.answer = EIO;
	writeback.asked_of = -1;
	assert_false(image_witness(fd, &witness)); /* that was of another file */
	assert_int_equal(writeback.asked_of, -1);
	assert_true(witness >= 0);
	close(witness);
	close(fd);
}

static void identity(const char *name, uint64_t id[2])
{
	struct image_uri u;
	struct image im;
	struct fault f;

	assert_int_equal(image_parse(in_dir(name), &u, &f), 0);
	assert_int_equal(image_open(&u, true, false, any, &im, &f), 0);
	id[0] = im.dev;
	id[1] = im.ino;
	close(im.fd);
}

static void another_file_is_not_opened_for_the_one_that_was(void **state)
{
	struct image im = { .fd = -7 };
	struct image_uri u;
	uint64_t was[2];
	struct fault f;

	make("mine", 4096);
	make("theirs", 4096);
	identity("mine", was);
	assert_int_equal(image_parse(in_dir("mine"), &u, &f), 0);
	assert_int_equal(image_look(&u, was, &f), 0);
	assert_int_equal(image_open(&u, false, true, was, &im, &f), 0);
	close(im.fd);
	im.fd = -7;
	assert_int_equal(rename(in_dir("theirs"), in_dir("mine")), 0);
	assert_int_equal(image_open(&u, false, true, was, &im, &f), -ESTALE);
	assert_int_equal(im.fd, -7);
	assert_non_null(strstr(f.why, "another file has taken the place of"));
	assert_int_equal(image_look(&u, was, &f), -ESTALE);
	assert_int_equal(image_look(&u, any, &f), 0);
	assert_int_equal(unlink(in_dir("mine")), 0);
	assert_int_equal(image_look(&u, was, &f), -ENOENT);
	assert_int_equal(image_parse("null:1M", &u, &f), 0);
	assert_int_equal(image_look(&u, any, &f), 0);
}

static void another_file_is_not_resized_for_the_one_that_was(void **state)
{
	struct image_uri u;
	uint64_t was[2];
	struct stat st;
	struct fault f;

	make("own", 4096);
	make("new", 16384);
	identity("own", was);
	assert_int_equal(image_parse(in_dir("own"), &u, &f), 0);
	assert_int_equal(image_resize(&u, 8192, was, &f), 0);
	assert_int_equal(rename(in_dir("new"), in_dir("own")), 0);
	assert_int_equal(image_resize(&u, 8192, was, &f), -ESTALE);
	assert_non_null(strstr(f.why, "another file has taken the place of"));
	assert_int_equal(stat(in_dir("own"), &st), 0);
	assert_int_equal(st.st_size, 16384);
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/test-image-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_nbd),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_bad_targets),
		cmocka_unit_test(test_a_good_image),
		cmocka_unit_test(test_its_transfers_may_sleep),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_odd_sizes),
		cmocka_unit_test(test_no_permission),
		cmocka_unit_test(test_one_writer),
		cmocka_unit_test(test_nbd_server_away),
		cmocka_unit_test(test_nbd_server_there),
		cmocka_unit_test(test_nbd_server_silent),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(what_a_worker_was_told_of_the_page_cache_its_witness_knows),
		cmocka_unit_test(another_file_is_not_opened_for_the_one_that_was),
		cmocka_unit_test(another_file_is_not_resized_for_the_one_that_was),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

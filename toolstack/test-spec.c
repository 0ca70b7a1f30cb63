/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What people type for a disk, the good and the hostile. */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>
#include "common/xen/vdev.h"
#include "toolstack/spec.h"

static void good(const char *text, const char *target, const char *dev)
{
	struct spec s;
	spec_why why = "";
	int rc = spec_parse(text, "/home/ann", &s, &why);

	if (rc)
		print_error("\"%s\": %s\n", text, why);
	assert_int_equal(rc, 0);
	assert_string_equal(s.target, target);
	assert_string_equal(s.dev, dev);
}

static void wrong(const char *text, const char *part_of_why)
{
	struct spec s;
	spec_why why = "";

	assert_int_equal(spec_parse(text, "/home/ann", &s, &why), -EINVAL);
	if (!strstr(why, part_of_why))
		print_error("\"%s\": %s\n", text, why);
	assert_non_null(strstr(why, part_of_why));
}

static void paths_become_absolute(void **state)
{
	good("file:/srv/a.img=xvda", "file:/srv/a.img", "xvda");
	good("/srv/a.img", "file:/srv/a.img", "");
	good("a.img=xvdb", "file:/home/ann/a.img", "xvdb");
	good("./a.img", "file:/home/ann/a.img", "");
	good(".//./a.img", "file:/home/ann/a.img", "");
	good("../b/a.img", "file:/home/ann/../b/a.img", "");
	good("file:a.img", "file:/home/ann/a.img", "");
	good("file:///srv/a.img", "file:/srv/a.img", "");
	good("file://localhost/srv/a.img", "file:/srv/a.img", "");
	good("./web:1.img", "file:/home/ann/web:1.img", "");
	good("/dev/vg/a%20b", "file:/dev/vg/a%20b", "");
	good("/srv/\xc3\xa4.img", "file:/srv/\xc3\xa4.img", "");
}

static void only_a_device_name_after_the_last_equals_sign_is_one(void **state)
{
	good("/srv/a=b.img", "file:/srv/a=b.img", "");
	good("/srv/a=xvda=xvdb", "file:/srv/a=xvda", "xvdb");
	good("/srv/a=xvd", "file:/srv/a=xvd", "");
	good("/srv/a=51712", "file:/srv/a=51712", "");
	good("/srv/a=xvdaa", "file:/srv/a", "xvdaa");
	good("/srv/a=sda1", "file:/srv/a", "sda1");
	good("nbd+unix:///v?socket=/run/s=xvda", "nbd+unix:///v?socket=/run/s", "xvda");
}

static void other_schemes(void **state)
{
	good("nbd://store/vol0=xvda", "nbd://store/vol0", "xvda");
	good("nbd://store:10809", "nbd://store:10809", "");
	good("nbd://[::1]:10809/v", "nbd://[::1]:10809/v", "");
	good("nbd+unix:///vol0?socket=/run/nbd.sock", "nbd+unix:///vol0?socket=/run/nbd.sock", "");
	good("nbd+unix:///?socket=nbd.sock", "nbd+unix:///?socket=/home/ann/nbd.sock", "");
	good("null:1G=xvdc", "null:1G", "xvdc");
	wrong("nbd:/store/vol0", "nbd://HOST");
	wrong("nbd:///vol0", "needs a host");
	wrong("nbd://:10809/v", "needs a host");
	wrong("nbd://store:0/v", "port");
	wrong("nbd://store:65536/v", "port");
	wrong("nbd://store:-1/v", "port");
	wrong("nbd://store:1x/v", "port");
	wrong("nbd://store:/v", "port");
	wrong("nbd://[::1/v", "bracket");
	wrong("nbd+unix:///vol0", "nbd+unix:///EXPORT");
	wrong("nbd+unix:///vol0?socket=", "nbd+unix:///EXPORT");
	wrong("nbd+unix:///vol0?sock=/x", "nbd+unix:///EXPORT");
	wrong("nbd+unix:///vol0?socket=/x&tls=1", "nbd+unix:///EXPORT");
	wrong("null:", "size");
	wrong("null:0", "size");
	wrong("null:-1G", "size");
	wrong("null:99999999999999T", "size");
	wrong("qcow2:/srv/a.qcow2", "qemu-nbd");
	wrong("http://x/y", "no known scheme");
	wrong("web:1.img", "./web:1.img");
}

static void hostile_bytes_are_refused(void **state)
{
	char longest[3 * SPEC_TARGET_MAX], text[2 * SPEC_TARGET_MAX];

	wrong("", "empty");
	wrong("=xvda", "empty");
	wrong("file:", "path");
	wrong("file:=xvda", "path");
	wrong("file://other/srv/a.img", "this machine");
	wrong("file://", "this machine");
	wrong("/srv/", "directory");
	wrong(".", "directory");
	wrong("./", "directory");
	wrong("/srv/a\nb", "control");
	wrong("/srv/\x1b[31m", "control");
	wrong("/srv/\x7f", "control");
	wrong("/srv/\xff", "UTF-8");
	wrong("/srv/\xc3", "UTF-8");
	wrong("/srv/\xc0\xaf", "UTF-8");
	wrong("/srv/\xed\xa0\x80", "UTF-8");
	wrong("/srv/\xf4\x90\x80\x80", "UTF-8");
	wrong("/srv/\xf0\x9f\x98", "UTF-8");

	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[SPEC_TARGET_MAX - 6] = '\0'; /* with "file:" just fits */
	snprintf(longest, sizeof(longest), "file:%s", text);
	good(text, longest, "");
	text[SPEC_TARGET_MAX - 6] = 'a';
	text[SPEC_TARGET_MAX - 5] = '\0';
	wrong(text, "longer than");
	text[SPEC_TARGET_MAX - 5] = 'a';
	text[sizeof(text) - 1] = '\0';
	wrong(text, "longer than");
}

static void device_names(void **state)
{
	assert_true(spec_is_dev("xvda"));
	assert_true(spec_is_dev("xvdaa"));
	assert_true(spec_is_dev("xvda15"));
	assert_true(spec_is_dev("hdc"));
	assert_true(spec_is_dev("sdb1"));
	assert_false(spec_is_dev(""));
	assert_false(spec_is_dev("xvd"));
	assert_false(spec_is_dev("xvdA"));
	assert_false(spec_is_dev("xvda0"));
	assert_false(spec_is_dev("xvda1x"));
	assert_false(spec_is_dev("xvdaaaa"));
	assert_false(spec_is_dev("xvda "));
	assert_false(spec_is_dev("vda"));
}

static void every_name_of_a_disk_looks_like_one(void **state)
{
	char name[VDEV_NAME_MAX];
	uint32_t vdev;

	for (uint32_t n = 0; vdev_nth(n, &vdev) == 0; n++) {
		vdev_name(vdev | 1, name);
		if (!spec_is_dev(name))
			fail_msg("%s is taken for a file's", name);
	}
}

static void device_names_of_objects(void **state)
{
	char dom[8], dev[SPEC_DEV_MAX];

	assert_int_equal(spec_parse_device("web1/xvda", dom, sizeof(dom), dev, sizeof(dev)), 0);
	assert_string_equal(dom, "web1");
	assert_string_equal(dev, "xvda");
	assert_int_equal(spec_parse_device("a/b/51712", dom, sizeof(dom), dev, sizeof(dev)), 0);
	assert_string_equal(dom, "a/b");
	assert_int_equal(spec_parse_device("web1", dom, sizeof(dom), dev, sizeof(dev)), -EINVAL);
	assert_int_equal(spec_parse_device("web1/", dom, sizeof(dom), dev, sizeof(dev)), -EINVAL);
	assert_int_equal(spec_parse_device("/xvda", dom, sizeof(dom), dev, sizeof(dev)), -EINVAL);
	assert_int_equal(spec_parse_device("web\n/xvda", dom, sizeof(dom), dev, sizeof(dev)), -EINVAL);
	assert_int_equal(spec_parse_device("toolonganame/xvda", dom, sizeof(dom), dev, sizeof(dev)), -EINVAL);
	assert_int_equal(spec_parse_device("web1/xvdaaaaaaaaaaaaaaaaaaaaa", dom, sizeof(dom), dev, sizeof(dev)),
			 -EINVAL);
}

static void xl_good(const char *text, const char *target, const char *dev, bool ro, bool cdrom)
{
	struct spec s;
	spec_why why = "";
	int rc = spec_parse_xl(text, "/home/ann", &s, &why);

	if (rc)
		print_error("\"%s\": %s\n", text, why);
	assert_int_equal(rc, 0);
	assert_string_equal(s.target, target);
	assert_string_equal(s.dev, dev);
	assert_int_equal(s.ro, ro);
	assert_int_equal(s.cdrom, cdrom);
}

static void xl_wrong(const char *text, const char *part_of_why)
{
	struct spec s;
	spec_why why = "";

	assert_int_equal(spec_parse_xl(text, "/home/ann", &s, &why), -EINVAL);
	if (!strstr(why, part_of_why))
		print_error("\"%s\": %s\n", text, why);
	assert_non_null(strstr(why, part_of_why));
}

static void xl_syntax(void **state)
{
	struct spec s;
	spec_why why;

	xl_good("/srv/a.img,raw,xvda,rw", "file:/srv/a.img", "xvda", false, false);
	xl_good("/srv/a.img,,xvda,ro", "file:/srv/a.img", "xvda", true, false);
	xl_good("vdev=xvda,access=r,target=/srv/a,b.img", "file:/srv/a,b.img", "xvda", true, false);
	xl_good("format=raw, vdev=xvdb, access=rw, target=/srv/a.img", "file:/srv/a.img", "xvdb", false, false);
	xl_good("phy:/dev/vg/a,xvda,w", "file:/dev/vg/a", "xvda", false, false);
	xl_good("file:/srv/a.iso,hdc:cdrom,r", "file:/srv/a.iso", "hdc", true, true);
	xl_good("/srv/a.iso,raw,hdc,ro,devtype=cdrom", "file:/srv/a.iso", "hdc", true, true);
	xl_good("script=block-synth,vdev=xvdb,target=nbd+unix:///v?socket=/run/s", "nbd+unix:///v?socket=/run/s",
		"xvdb", false, false);
	assert_int_equal(spec_parse_xl("/srv/a.img,raw,xvda,rw,no-discard,removable", "/", &s, &why), 0);
	assert_true(s.no_discard);
	assert_true(s.removable);

	xl_wrong("", "target");
	xl_wrong("vdev=xvda", "target");
	xl_wrong("target=", "target");
	xl_wrong("/srv/a.img,qcow2,xvda,rw", "qemu-nbd");
	xl_wrong("/srv/a.img,raw,vda,rw", "vdev");
	xl_wrong("/srv/a.img,raw,xvda,wo", "access");
	xl_wrong("/srv/a.img,raw,xvda,rw,extra", "no meaning");
	xl_wrong("/srv/a.img,vdev=xvda,vdev=xvdb", "twice");
	xl_wrong("/srv/a.img,backendtype=qdisk", "no meaning");
	xl_wrong("/srv/a\n.img,raw,xvda,rw", "control");
	xl_wrong("target=/srv/a.img,vdev=xvda,access=rw", "\"vdev=xvda,access=rw\" has to stand before");
	xl_wrong("vdev=xvda,target=/srv/a.img,access=ro", "before it");
	xl_wrong("target=/srv/a.img,format=raw", "before it");
}

/* No text whatever makes the parsers read or write out of bounds: the sanitizers watch. */
static void random_texts_are_survived(void **state)
{
	static const char *const pieces[] = { "file:", "nbd://", "nbd+unix:///", "?socket=", "null:", "=", ",", "/",
					      ".",     "xvda",   "1G",           "target=",  "vdev=", "[", "]", ":",
					      "\xc3",  "\xa4",   "aaaaaaaa",     "65536",    "&",     " " };
	uint32_t seed = 12345;

	for (unsigned round = 0; round < 20000; round++) {
		char text[4096] = "", dom[16], dev[SPEC_DEV_MAX];
		struct spec s;
		spec_why why;
		unsigned n = round % 40;

		for (unsigned i = 0; i < n; i++) {
			seed = seed * 1664525u + 1013904223u;
			strcat(text, pieces[(seed >> 16) % ARRAY_SIZE(pieces)]);
		}
		if (!spec_parse(text, "/home/ann", &s, &why))
			assert_true(strlen(s.target) > 0);
		if (!spec_parse_xl(text, "/home/ann", &s, &why))
			assert_true(strlen(s.target) > 0);
		if (!spec_parse_device(text, dom, sizeof(dom), dev, sizeof(dev)))
			assert_true(*dom && *dev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_become_absolute),
		cmocka_unit_test(only_a_device_name_after_the_last_equals_sign_is_one),
		cmocka_unit_test(other_schemes),
		cmocka_unit_test(hostile_bytes_are_refused),
		cmocka_unit_test(device_names),
		cmocka_unit_test(every_name_of_a_disk_looks_like_one),
		cmocka_unit_test(device_names_of_objects),
		cmocka_unit_test(xl_syntax),
		cmocka_unit_test(random_texts_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

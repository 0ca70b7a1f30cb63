# SPDX-License-Identifier: LGPL-2.1-or-later
# One row an advisory, one test a row, and a script that removes each check and wants to see its test fail: docs/advisories.md.
if HAVE_CMOCKA
xsa_units = tests/xsa/test-fetch tests/xsa/test-grant tests/xsa/test-log tests/xsa/test-share tests/xsa/test-xenstore
check_PROGRAMS += $(xsa_units)
TESTS += $(xsa_units)
tests_xsa_test_fetch_SOURCES = tests/xsa/test-fetch.c backend/block/blk-slot-test.h backend/block/blk-data.c
tests_xsa_test_fetch_CPPFLAGS = $(AM_CPPFLAGS)
tests_xsa_test_fetch_LDADD = backend/libblk-pure.la common/libsynth-pure.la $(CMOCKA_LIBS)
# What these test is compiled once more here, and what it calls of Xen's libraries is the test's own.
tests_xsa_test_grant_SOURCES = tests/xsa/test-grant.c common/xen/grant.c
tests_xsa_test_grant_CPPFLAGS = $(AM_CPPFLAGS) -D__XEN_TOOLS__ $(XENGNTTAB_CFLAGS)
tests_xsa_test_grant_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
tests_xsa_test_log_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
tests_xsa_test_share_SOURCES = tests/xsa/test-share.c frontend/core/share.c
tests_xsa_test_share_CPPFLAGS = $(frontend_cppflags)
tests_xsa_test_share_LDADD = $(CMOCKA_LIBS)
tests_xsa_test_xenstore_SOURCES = tests/xsa/test-xenstore.c common/xen/store.c
tests_xsa_test_xenstore_CPPFLAGS = $(AM_CPPFLAGS) -D__XEN_TOOLS__ $(XENSTORE_CFLAGS)
tests_xsa_test_xenstore_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS) $(XENSTORE_LIBS)
endif

xsa_tests = tests/xsa/block.t tests/xsa/front.t tests/xsa/must-check.t tests/xsa/net.t tests/xsa/rows.t
TESTS += $(xsa_tests)
EXTRA_DIST += $(xsa_tests) tests/xsa/mutate tests/xsa/rows.tsv tests/xsa/removals

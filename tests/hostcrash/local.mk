# SPDX-License-Identifier: LGPL-2.1-or-later
# What a crash of the host leaves of a guest's disk: each flushed write.  README.md.
check_PROGRAMS += tests/hostcrash/crash-io tests/hostcrash/crash-check
tests_hostcrash_crash_io_SOURCES = tests/hostcrash/crash-io.c tests/hostcrash/crash-log.h tests/lib/guest-disk.h
tests_hostcrash_crash_io_CPPFLAGS = $(frontend_cppflags)
tests_hostcrash_crash_io_LDADD = frontend/libsynth-blkfront.la $(XEN_LIBS) -lpthread
tests_hostcrash_crash_check_SOURCES = tests/hostcrash/crash-check.c tests/hostcrash/crash-log.h

# -rpath: else libtool makes no shared object of what is not installed.
check_LTLIBRARIES += tests/hostcrash/crash-preload.la
tests_hostcrash_crash_preload_la_SOURCES = tests/hostcrash/crash-preload.c
tests_hostcrash_crash_preload_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
tests_hostcrash_crash_preload_la_LIBADD = -ldl
if HAVE_NBDKIT
check_LTLIBRARIES += tests/hostcrash/nbdkit-crashlog-plugin.la
tests_hostcrash_nbdkit_crashlog_plugin_la_SOURCES = tests/hostcrash/nbdkit-crashlog-plugin.c
tests_hostcrash_nbdkit_crashlog_plugin_la_CPPFLAGS = $(AM_CPPFLAGS) $(NBDKIT_CFLAGS)
tests_hostcrash_nbdkit_crashlog_plugin_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
endif

TESTS += tests/hostcrash/hostcrash.t
EXTRA_DIST += tests/hostcrash/hostcrash.t tests/hostcrash/README.md

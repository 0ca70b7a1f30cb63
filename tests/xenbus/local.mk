# SPDX-License-Identifier: LGPL-2.1-or-later
# The handshake, and the control plane's life: real processes, states played by hand.
check_PROGRAMS += tests/xenbus/rings tests/xenbus/liar
tests_xenbus_rings_CPPFLAGS = $(AM_CPPFLAGS) -D__XEN_TOOLS__ $(XENEVTCHN_CFLAGS) $(XENGNTTAB_CFLAGS) $(XENSTORE_CFLAGS)
tests_xenbus_rings_LDADD = $(XEN_LIBS)
tests_xenbus_liar_LDADD = backend/libwire.la
xenbus_tests = tests/xenbus/fronts.t tests/xenbus/removal.t tests/xenbus/restart.t tests/xenbus/blind.t tests/xenbus/workers.t tests/xenbus/lost.t tests/xenbus/cut.t tests/xenbus/storm.t tests/xenbus/kept.t tests/xenbus/found.t
# -rpath: else libtool makes no shared object of what is not installed.
check_LTLIBRARIES += tests/xenbus/fail-preload.la
tests_xenbus_fail_preload_la_SOURCES = tests/xenbus/fail-preload.c
tests_xenbus_fail_preload_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
tests_xenbus_fail_preload_la_LIBADD = -ldl
TESTS += $(xenbus_tests)
EXTRA_DIST += $(xenbus_tests) tests/xenbus/lib.sh tests/xenbus/cut.pl

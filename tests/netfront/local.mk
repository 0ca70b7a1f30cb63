# SPDX-License-Identifier: LGPL-2.1-or-later
# The network front end against QEMU's back end, and one that sends all back or lies.
check_PROGRAMS += tests/netfront/badback
tests_netfront_badback_SOURCES = tests/netfront/badback.c tests/lib/badback.h tests/lib/badback.c
tests_netfront_badback_CPPFLAGS = $(frontend_cppflags)
tests_netfront_badback_LDADD = common/libsynth-common.la $(XEN_LIBS)

netfront_system_tests = tests/netfront/cli.t tests/netfront/badback.t tests/netfront/echo.t tests/netfront/qemu.t tests/netfront/up.t tests/netfront/netd.t
TESTS += $(netfront_system_tests)
EXTRA_DIST += $(netfront_system_tests) tests/netfront/net.sh

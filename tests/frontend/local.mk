# SPDX-License-Identifier: LGPL-2.1-or-later
# The front end against QEMU's back end, ours, and one that lies.
check_PROGRAMS += tests/frontend/badback tests/frontend/sleeper
tests_frontend_badback_SOURCES = tests/frontend/badback.c tests/lib/badback.h tests/lib/badback.c
tests_frontend_badback_CPPFLAGS = $(frontend_cppflags)
tests_frontend_badback_LDADD = common/libsynth-common.la $(XEN_LIBS)
tests_frontend_sleeper_SOURCES = tests/frontend/sleeper.c
tests_frontend_sleeper_CPPFLAGS = $(frontend_cppflags)
tests_frontend_sleeper_LDADD = frontend/libsynth-blkfront.la $(XEN_LIBS) -lpthread

front_system_tests = tests/frontend/cli.t tests/frontend/badback.t tests/frontend/reconnect.t tests/frontend/recreate.t tests/frontend/qemu.t tests/frontend/blkd.t tests/frontend/serve.t
TESTS += $(front_system_tests)
EXTRA_DIST += $(front_system_tests) tests/frontend/front.sh tests/frontend/badback.sh

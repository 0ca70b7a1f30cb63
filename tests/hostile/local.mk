# SPDX-License-Identifier: LGPL-2.1-or-later
# Bad input of every kind, committed beside an honest guest that must not notice.
check_PROGRAMS += tests/hostile/badfront
tests_hostile_badfront_SOURCES = tests/hostile/badfront.c tests/hostile/guest.c tests/hostile/guest.h \
	tests/hostile/honest.c tests/hostile/sins.h tests/hostile/sins-request.c tests/hostile/sins-ring.c \
	tests/hostile/sins-teardown.c
tests_hostile_badfront_CPPFLAGS = $(AM_CPPFLAGS) -D__XEN_TOOLS__ $(XENEVTCHN_CFLAGS) $(XENGNTTAB_CFLAGS) $(XENSTORE_CFLAGS)
tests_hostile_badfront_LDADD = $(XEN_LIBS) -lpthread

hostile_tests = tests/hostile/requests.t tests/hostile/rings.t tests/hostile/teardown.t tests/hostile/xenstore.t \
	tests/hostile/images.t tests/hostile/users.t
TESTS += $(hostile_tests)
EXTRA_DIST += $(hostile_tests)

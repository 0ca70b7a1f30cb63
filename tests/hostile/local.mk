# SPDX-License-Identifier: LGPL-2.1-or-later
# Bad input of every kind, committed beside an honest guest that must not notice.
check_PROGRAMS += tests/hostile/badfront
tests_hostile_badfront_SOURCES = tests/hostile/badfront.c tests/hostile/guest.c tests/hostile/guest.h \
	tests/hostile/honest.c tests/hostile/sins.h tests/hostile/sins-request.c tests/hostile/sins-ring.c \
	tests/hostile/sins-teardown.c
tests_hostile_badfront_CPPFLAGS = $(AM_CPPFLAGS) -D__XEN_TOOLS__ $(XENEVTCHN_CFLAGS) $(XENGNTTAB_CFLAGS) $(XENSTORE_CFLAGS)
tests_hostile_badfront_LDADD = $(XEN_LIBS) -lpthread

# A worker's core and its block class on a guest in the same process.
check_PROGRAMS += tests/hostile/rewrite
tests_hostile_rewrite_SOURCES = tests/hostile/rewrite.c tests/lib/fake-xen.h tests/lib/fake-xen.c \
	backend/worker/device.c backend/worker/queue.c backend/worker/poll.c backend/worker/moderate.c backend/worker/journal.c
tests_hostile_rewrite_LDADD = backend/libblk.la backend/libwire.la common/libsynth-pure.la -lpthread
tests_hostile_rewrite_LDFLAGS = $(AM_LDFLAGS) -export-dynamic

hostile_tests = tests/hostile/requests.t tests/hostile/rings.t tests/hostile/teardown.t tests/hostile/xenstore.t \
	tests/hostile/images.t tests/hostile/users.t tests/hostile/rewrite.t
TESTS += $(hostile_tests)
EXTRA_DIST += $(hostile_tests)

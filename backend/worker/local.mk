# SPDX-License-Identifier: LGPL-2.1-or-later
# The data plane: one process a guest and class.  libwire.la is what it shares with the control plane.
noinst_LTLIBRARIES += backend/libwire.la
backend_libwire_la_SOURCES = backend/control/wire.c backend/control/wire.h backend/journal.c backend/journal.h

worker_sources = \
	backend/class.h \
	backend/worker/main.c \
	backend/worker/device.h backend/worker/device.c backend/worker/queue.c \
	backend/worker/journal.h backend/worker/journal.c \
	backend/worker/poll.h backend/worker/poll.c \
	backend/worker/moderate.h backend/worker/moderate.c \
	backend/worker/sandbox.h backend/worker/sandbox.c
worker_cppflags = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS) $(CAPNG_CFLAGS)
worker_libs = $(SECCOMP_LIBS) $(CAPNG_LIBS)

pkglibexec_PROGRAMS += backend/synth-blkd-worker
backend_synth_blkd_worker_SOURCES = $(worker_sources)
backend_synth_blkd_worker_CPPFLAGS = $(worker_cppflags)
backend_synth_blkd_worker_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
backend_synth_blkd_worker_LDADD = backend/libblk.la backend/libwire.la common/libsynth-common.la $(XEN_LIBS) $(worker_libs) -lpthread

if HAVE_CMOCKA
check_PROGRAMS += backend/worker/test-poll
TESTS += backend/worker/test-poll
backend_worker_test_poll_SOURCES = backend/worker/test-poll.c backend/worker/poll.c
backend_worker_test_poll_LDADD = $(CMOCKA_LIBS)
check_PROGRAMS += backend/worker/test-moderate
TESTS += backend/worker/test-moderate
backend_worker_test_moderate_SOURCES = backend/worker/test-moderate.c backend/worker/moderate.c
backend_worker_test_moderate_LDADD = $(CMOCKA_LIBS)
check_PROGRAMS += backend/worker/test-journal
TESTS += backend/worker/test-journal
backend_worker_test_journal_SOURCES = backend/worker/test-journal.c backend/worker/journal.c
backend_worker_test_journal_LDADD = backend/libwire.la common/libsynth-pure.la $(CMOCKA_LIBS)
check_PROGRAMS += backend/worker/test-worker
backend_worker_test_worker_SOURCES = backend/worker/test-worker.c
backend_worker_test_worker_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
backend_worker_test_worker_LDADD = backend/libblk-pure.la backend/libwire.la common/libsynth-common.la $(XEN_LIBS) $(CMOCKA_LIBS)
endif

dist_check_SCRIPTS += backend/worker/worker.t
TESTS += backend/worker/worker.t

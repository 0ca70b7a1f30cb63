# SPDX-License-Identifier: LGPL-2.1-or-later
# The workers' sandbox: forbidden acts from inside, the table of system calls against what is called, and what /proc says of a worker.
check_PROGRAMS += tests/sandbox/acts tests/sandbox/checker-worker tests/sandbox/checker-worker-open
tests_sandbox_acts_SOURCES = tests/sandbox/acts.c backend/control/spawn.c backend/control/spawn.h
tests_sandbox_acts_LDADD = backend/libwire.la common/libsynth-common.la $(XEN_LIBS) -lpthread
tests_sandbox_checker_worker_SOURCES = $(worker_sources) tests/sandbox/checker.c
tests_sandbox_checker_worker_CPPFLAGS = $(worker_cppflags)
tests_sandbox_checker_worker_LDADD = backend/libwire.la common/libsynth-common.la $(XEN_LIBS) $(worker_libs) -lpthread
tests_sandbox_checker_worker_open_SOURCES = $(worker_sources) tests/sandbox/checker.c
tests_sandbox_checker_worker_open_CPPFLAGS = $(worker_cppflags) -DSYNTH_SANDBOX_OFF
tests_sandbox_checker_worker_open_LDADD = $(tests_sandbox_checker_worker_LDADD)

check_LTLIBRARIES += tests/sandbox/greedy-preload.la
tests_sandbox_greedy_preload_la_SOURCES = tests/sandbox/greedy-preload.c
tests_sandbox_greedy_preload_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere

sandbox_tests = tests/sandbox/acts.t tests/sandbox/calls-block.t tests/sandbox/calls-net.t tests/sandbox/refuse.t tests/sandbox/status.t tests/sandbox/space.t
TESTS += $(sandbox_tests)
EXTRA_DIST += $(sandbox_tests) tests/sandbox/calls.sh

# What it adds to a system call (SECURITY.md).
noinst_PROGRAMS += tests/sandbox/percall
tests_sandbox_percall_SOURCES = tests/sandbox/percall.c backend/worker/sandbox.c backend/worker/sandbox.h
tests_sandbox_percall_CPPFLAGS = $(worker_cppflags)
tests_sandbox_percall_LDADD = common/libsynth-common.la $(XEN_LIBS) $(worker_libs)

# For ./bench sandbox: what the product's worker costs without it.
noinst_PROGRAMS += tests/sandbox/blkd-worker-open
tests_sandbox_blkd_worker_open_SOURCES = $(backend_synth_blkd_worker_SOURCES)
tests_sandbox_blkd_worker_open_CPPFLAGS = $(worker_cppflags) -DSYNTH_SANDBOX_OFF
tests_sandbox_blkd_worker_open_LDFLAGS = $(backend_synth_blkd_worker_LDFLAGS)
tests_sandbox_blkd_worker_open_LDADD = $(backend_synth_blkd_worker_LDADD)

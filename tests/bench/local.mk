# SPDX-License-Identifier: LGPL-2.1-or-later
# Suites of ./bench, and what they need built.
EXTRA_DIST += tests/bench/block.sh tests/bench/net.sh tests/bench/lab-block.sh tests/bench/lab-net.sh tests/bench/sandbox.sh tests/bench/neighbours.sh tests/bench/journal.sh tests/bench/lib
noinst_PROGRAMS += tests/bench/tapwrite
tests_bench_tapwrite_SOURCES = tests/bench/tapwrite.c
# For ./bench journal: a worker which forgets what it had taken.
noinst_PROGRAMS += tests/bench/blkd-worker-unjournaled
tests_bench_blkd_worker_unjournaled_SOURCES = $(backend_synth_blkd_worker_SOURCES)
tests_bench_blkd_worker_unjournaled_CPPFLAGS = $(worker_cppflags) -DSYNTH_JOURNAL_OFF
tests_bench_blkd_worker_unjournaled_LDFLAGS = $(backend_synth_blkd_worker_LDFLAGS)
tests_bench_blkd_worker_unjournaled_LDADD = $(backend_synth_blkd_worker_LDADD)

# SPDX-License-Identifier: LGPL-2.1-or-later
# Nothing acknowledged is lost: workers and daemons die.  points.t wants workers that die at named steps (configure
# --enable-crash-points, ./check crash).
TESTS += tests/crash/kill.t tests/crash/fence.t tests/crash/flush.t tests/crash/toolstack.t
if CRASH_POINTS
TESTS += tests/crash/points.t
endif
EXTRA_DIST += tests/crash/lib.sh tests/crash/kill.t tests/crash/points.t tests/crash/fence.t tests/crash/flush.t tests/crash/toolstack.t

check_PROGRAMS += tests/crash/fence-io tests/crash/pulse
tests_crash_fence_io_SOURCES = tests/crash/fence-io.c tests/lib/guest-disk.h
tests_crash_pulse_SOURCES = tests/crash/pulse.c tests/lib/guest-disk.h
tests_crash_fence_io_CPPFLAGS = $(frontend_cppflags)
tests_crash_fence_io_LDADD = frontend/libsynth-blkfront.la $(XEN_LIBS) -lpthread
tests_crash_pulse_CPPFLAGS = $(frontend_cppflags)
tests_crash_pulse_LDADD = frontend/libsynth-blkfront.la $(XEN_LIBS) -lpthread

# The daemon with the fence compiled out, so that its test is seen to fail without.  It is installed nowhere.
check_PROGRAMS += tests/crash/unfenced/synth-blkd
tests_crash_unfenced_synth_blkd_SOURCES = $(backend_synth_blkd_SOURCES)
tests_crash_unfenced_synth_blkd_CPPFLAGS = $(backend_synth_blkd_CPPFLAGS) -DSYNTH_NO_FENCE
tests_crash_unfenced_synth_blkd_LDADD = $(backend_synth_blkd_LDADD)

# -rpath: else libtool makes no shared object of what is not installed.
check_LTLIBRARIES += tests/crash/kill-preload.la
tests_crash_kill_preload_la_SOURCES = tests/crash/kill-preload.c
tests_crash_kill_preload_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
tests_crash_kill_preload_la_LIBADD = -ldl

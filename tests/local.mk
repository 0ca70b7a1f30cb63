# SPDX-License-Identifier: LGPL-2.1-or-later
# System tests: shell files *.t which print TAP (one line a case), real processes on hostxen.  tests/README.md.
TEST_EXTENSIONS = .t
T_LOG_COMPILER = bash
T_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
EXTRA_DIST += tests/README.md tests/lib/world.sh tests/lib/problems.sh tests/tsan.supp tests/coverage.sh

include tests/bench/local.mk
include tests/conform/local.mk
include tests/crash/local.mk
include tests/demo/local.mk
include tests/fuzz/local.mk
include tests/hostile/local.mk
include tests/hostcrash/local.mk
include tests/model/local.mk
include tests/block/local.mk
include tests/neighbours/local.mk
include tests/net/local.mk
include tests/sandbox/local.mk
include tests/toolstack/local.mk
include tests/upgrade/local.mk
include tests/xenbus/local.mk
include tests/xsa/local.mk

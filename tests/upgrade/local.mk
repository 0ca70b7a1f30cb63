# SPDX-License-Identifier: LGPL-2.1-or-later
upgrade_tests = tests/upgrade/disk.t tests/upgrade/nic.t tests/upgrade/parts.t tests/upgrade/handover.t
TESTS += $(upgrade_tests)
EXTRA_DIST += $(upgrade_tests) tests/upgrade/lib.sh tests/upgrade/late.pl

# SPDX-License-Identifier: LGPL-2.1-or-later
# synthctl against the real daemon.  Its manners against one that misbehaves: toolstack/test-synthctl.sh.
toolstack_tests = tests/toolstack/synthctl.t tests/toolstack/man.t tests/toolstack/units.t tests/toolstack/readme.t tests/toolstack/doctor.t tests/toolstack/doctor-store.t tests/toolstack/doctor-host.t
TESTS += $(toolstack_tests)
EXTRA_DIST += $(toolstack_tests) tests/toolstack/doctor.sh

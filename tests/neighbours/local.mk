# SPDX-License-Identifier: LGPL-2.1-or-later
# What one guest can take from the others: docs/neighbours.md.
neighbours_tests = tests/neighbours/bounds.t tests/neighbours/nbd.t tests/neighbours/storage.t tests/neighbours/worker.t
TESTS += $(neighbours_tests)
EXTRA_DIST += $(neighbours_tests)

# SPDX-License-Identifier: LGPL-2.1-or-later
# What the block devices do for guests that behave.
block_tests = tests/block/lifecycle.t tests/block/shapes.t tests/block/restart.t tests/block/device.t tests/block/replaced.t
TESTS += $(block_tests)
EXTRA_DIST += $(block_tests)

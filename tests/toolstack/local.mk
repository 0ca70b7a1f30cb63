# SPDX-License-Identifier: LGPL-2.1-or-later
# synthctl against the real daemon.  Its manners against one that misbehaves: toolstack/test-synthctl.sh.
TESTS += tests/toolstack/synthctl.t
EXTRA_DIST += tests/toolstack/synthctl.t

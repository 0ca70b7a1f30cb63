# SPDX-License-Identifier: LGPL-2.1-or-later
# Real Xen under QEMU; see docs/lab.md.
EXTRA_DIST += lab docs/lab.md

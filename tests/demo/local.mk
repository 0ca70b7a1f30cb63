# SPDX-License-Identifier: LGPL-2.1-or-later
# The parts of ./demo.
EXTRA_DIST += tests/demo/lib.sh tests/demo/disk.sh tests/demo/net.sh

# SPDX-License-Identifier: LGPL-2.1-or-later
# sandbox.sh - the suite `./bench sandbox`, sourced by bench.
#: what the sandbox costs: the same worker with it and built without it, on hostxen
#: cases: one-cpu qd1 qd32-read qd32-write disk null itself itself-qd1 itself-one-cpu start
without=tests/sandbox/blkd-worker-open
. "$src/tests/bench/lib/without.sh"

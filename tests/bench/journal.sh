# SPDX-License-Identifier: LGPL-2.1-or-later
# journal.sh - the suite `./bench journal`, sourced by bench.
#: what the journal costs, with the rule about overlaps: the same worker with them and built without them, on hostxen
#: cases: one-cpu qd1 qd32-read qd32-write disk null itself itself-qd1 itself-one-cpu start
without=tests/bench/blkd-worker-unjournaled
. "$src/tests/bench/lib/without.sh"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Workers that die while something is asked of them, and whose successors take their time.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
export SYNTH_BACKOFF_MAX_MS=2000 SYNTH_OPEN_MS=2000
odd_workers
world_start
V=51712 wait=$((10 * slow))
img=$(image a.img 8M)
phase() { show sinner/xvda .phase; }
is_phase() { [ "$(phase)" = "$1" ]; }
known() { ctl show 1/xvda; }
begin() { kattach sinner "$img" xvda >/dev/null || fail 'attach'; hold 1 $V; front 1 $V 3; within $wait is_back 1 $V 4 || fail 'connect'; }
journals() { ls "$SYNTH_RUNDIR/journal" | wc -l; }

# At the top of its back-off it starts just as the time for an answer would be over, had it been asked.
begin
touch "$W/broken"
kill -KILL "$(show sinner/xvda .worker)"
top() { local ms; ms=$(show sinner/xvda .next_start_ms); [ "$ms" -gt 1600 ]; }
check 'back-off: at its longest' within $((2 * wait)) top
touch "$W/slow"
rm "$W/broken"
check 'back-off: it starts' within $wait is_worker 1 starting
check 'back-off: it is not killed for what it was not asked' not within 1 grep -q 'did not answer in time' "$W/blkd.log"
rm "$W/slow"
check 'back-off: it serves the guest' within $wait is_phase connected
is 'back-off: the guest was told nothing' "$(back 1 $V state)" 4
ctl detach --force sinner/xvda >/dev/null
drop

# A device goes before the worker that is to open it is up: it does not open it later.
begin
attach sinner null:8M xvdb >/dev/null # so that it is wanted
touch "$W/slow"
kill -KILL "$(show sinner/xvda .worker)"
check 'detached while a worker starts: it starts' within $wait is_worker 1 starting
check 'detached while a worker starts: the device goes' ctl detach --force sinner/xvda
rm "$W/slow"
attach sinner null:8M xvdc >/dev/null # it is asked in order
check 'detached while a worker starts: the image is free' unlocked "$img"
drop
for dev in xvdb xvdc; do ctl detach --force sinner/$dev >/dev/null; done
world_end

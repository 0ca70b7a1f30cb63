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
begin() { kattach sinner "$img" xvda >"$W/attach.out" 2>&1 || fail 'attach' "$(cat "$W/attach.out")"; hold 1 $V; front 1 $V 3; within $wait is_back 1 $V 4 || fail 'connect'; }
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

# Nobody had it open when its front end asked, and who was to open it dies.
kattach sinner "$img" xvda >/dev/null
kill -KILL "$(show sinner/xvda .worker)"
within $wait not eval 'is_worker 1 starting || is_worker 1 ready'
touch "$W/slow"
hold 1 $V
front 1 $V 3
check 'lost before it was connected: a worker starts' within $wait is_worker 1 starting
pid=$(worker_pid 1 starting)
kill -KILL "$pid"
check 'lost before it was connected: another starts' within $wait eval 'n=$(worker_pid 1 starting); [ -n "$n" ] && [ "$n" != "$pid" ]'
is 'lost before it was connected: the guest waits' "$(back 1 $V state)" 2
rm "$W/slow"
check 'lost before it was connected: it is' within $wait is_back 1 $V 4
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

# It dies before it has let go of the rings of a front end that closes, and its successor, which is to do so, does not start.
closing() # STATE PHASE: the front end closes
{
	begin
	kill -STOP "$(show sinner/xvda .worker)"
	front 1 $V "$1"
	within $wait is_phase "$2" || fail "$2"
	touch "$W/slow"
	kill -KILL "$(show sinner/xvda .worker)"
	within $wait is_worker 1 starting || fail 'another worker starts'
}
over() # NAME
{
	check "$1: the device goes" within $wait not known
	is "$1: no journal is left" "$(journals)" 0
	rm -f "$W/slow"
	check "$1: no worker is left" within $wait not eval 'is_worker 1 starting || is_worker 1 ready'
	check "$1: the image is free" within $wait unlocked "$img"
	drop
}
closing 5 closing
is 'closing, lost: not Closing before the rings are let go of' "$(back 1 $V state)" 4
check 'closing, lost: detach by force' ctl detach --force sinner/xvda
over 'closing, lost, detached by force'
closing 6 finishing
check 'closed, lost: detach by force' ctl detach --force sinner/xvda
over 'closed, lost, detached by force'
closing 5 closing
hostxen destroy 1
over 'closing, lost, its domain gone'
hostxen create 1 --name sinner

closing 5 closing
front 1 $V 1
check 'closing, lost, the front end starts again: at once' within $wait is_back 1 $V 2
drop
rm "$W/slow"
hold 1 $V
step 'closing, lost, the front end starts again' 1 $V 3 4
step 'closing, lost, the front end starts again' 1 $V 6 6
ctl detach --force sinner/xvda >/dev/null
drop

closing 5 closing
rm "$SYNTH_RUNDIR"/journal/blkd-* "$W/slow"
check 'closing, lost, no journal: it closes all the same' within $wait is_back 1 $V 5
is 'closing, lost, no journal: no complaint is left' "$(show sinner/xvda .broken)" null
step 'closing, lost, no journal' 1 $V 6 6
drop
front 1 $V 1
hold 1 $V
step 'closing, lost, no journal: the next life' 1 $V 3 4
ctl detach --force sinner/xvda >/dev/null
drop

closing 5 closing
drop
rm "$W/slow"
check 'closing, lost, the rings are taken back: it closes all the same' within $((2 * wait)) is_back 1 $V 5
ctl detach --force sinner/xvda >/dev/null

# Its image is somebody else's for a while; and it is closed meanwhile.
begin
touch "$W/locks"
background flock "$img" sh -c "touch '$W/locked'; while [ -e '$W/locks' ]; do sleep 0.05; done"
pid=$(show sinner/xvda .worker)
kill -STOP "$blkd_pid" # so that it is too late
kill -KILL "$pid"
check 'lost, and its image is locked' within $wait [ -e "$W/locked" ]
kill -CONT "$blkd_pid"
step 'lost, and its image is locked' 1 $V 6 6
rm "$W/locks"
drop
front 1 $V 1
hold 1 $V
step 'lost, and its image was locked: the next life' 1 $V 3 4
ctl detach --force sinner/xvda >/dev/null
drop

closing 5 closing
rm "$W/slow"
check 'closing, lost, all is there: it closes' within $wait is_back 1 $V 5
ctl detach --force sinner/xvda >/dev/null
drop
world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What front ends and toolstacks do with a disk while its worker, which hangs, is to hand it over to another: it can be asked nothing
# then, and is killed in the end.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
. "$SYNTH_SRCDIR/tests/upgrade/lib.sh" || exit 99
export SYNTH_HANDOVER_MS=5000 SYNTH_BACKOFF_MAX_MS=20
odd_workers
world_start
V=51712 wait=$((20 * slow)) # more than a client has by itself, of which half is gone when the worker is killed
img=$(image a.img 8M)
is_phase() { [ "$(show sinner/xvda .phase)" = "$1" ]; }
known() { ctl show 1/xvda; }
connect() { hold 1 $V; front 1 $V 3; within $wait is_back 1 $V 4 || fail 'connect'; }
# Its worker is stopped, and told to hand over, since an NBD disk comes; $a1 is who attaches that.
hand_over()
{
	kill -STOP "$(show sinner/xvda .worker)"
	attach sinner "$(nbd 1)" xvdb --timeout $wait >"$W/a1" 2>&1 &
	a1=$!
	within $wait leaving 1 || fail 'the worker is told to hand over'
}
handed_over() # NAME
{
	wait $a1
	is "$1: the disk that was waited for is attached" "$? $(cat "$W/a1")" "0 $(cat "$W/a1")"
	check "$1: one worker is left" within $wait equal '$(workers_of 1)' 1
}
between() { ! leaving 1 && is_worker 1 starting; }
begin() { kattach sinner "$img" xvda >"$W/attach.out" 2>&1 || fail 'attach' "$(cat "$W/attach.out")"; }
end() # without a device there is no worker, and the next one has no NBD store
{
	for dev in xvda xvdb; do ctl detach sinner/$dev --force >/dev/null 2>&1; done
	within $wait equal '$(workers_of 1)' 0 || fail 'no worker is left'
}

begin
connect
hand_over
front 1 $V 5
check 'closing: it closes' within $wait is_phase closing
check 'closing: while the worker has the rings' leaving 1
is 'closing: not Closing before it has let go' "$(back 1 $V state)" 4
handed_over 'closing'
check 'closing: Closing then' within $wait is_back 1 $V 5
check 'closing: nobody was asked who cannot be' not grep -q 'cannot tell the worker to let go' "$W/blkd.log"
step 'closing' 1 $V 6 6
drop
step 'closing: the next life' 1 $V 1 2
hold 1 $V
step 'closing: the next life' 1 $V 3 4
end
drop

begin
connect
hand_over
front 1 $V 1
check 'starting again: the old life is over' within $wait is_phase resetting
handed_over 'starting again'
check 'starting again: the back end waits' within $wait is_back 1 $V 2
check 'starting again: its image is held' within $wait not unlocked "$img"
drop
hold 1 $V
step 'starting again' 1 $V 3 4
end
drop

begin
connect
hand_over
check 'detached by force' ctl detach sinner/xvda --force --wait $wait
check 'detached by force: its nodes are gone' gone "$(back_dir 1 $V)"
check 'detached by force: its image is free' unlocked "$img"
handed_over 'detached by force'
end
drop

begin
hand_over
check 'detached, never connected' ctl detach sinner/xvda --wait $wait
check 'detached, never connected: its image is free' unlocked "$img"
handed_over 'detached, never connected'
end

# One that answers a question when the device is another's.
printf '#!/bin/sh\nexec perl "%s" "%s"\n' "$SYNTH_SRCDIR/tests/upgrade/late.pl" "$W" >"$W/instead"
chmod +x "$W/instead"
attach sinner null:8M xvda >"$W/attach.out" 2>&1 || fail 'attach' "$(cat "$W/attach.out")"
rm "$W/instead"
ctl resize sinner/xvda >"$W/resize.out" 2>&1 &
resize=$!
check 'a late answer: it is asked' within $wait [ -e "$W/asked" ]
attach sinner "$(nbd 1)" xvdb >"$W/a1" 2>&1
is 'a late answer: handed over' "$? $(cat "$W/a1")" "0 $(cat "$W/a1")"
wait $resize
is 'a late answer: the next one was asked, and answered' "$? $(cat "$W/resize.out")" "0 $(cat "$W/resize.out")"
touch "$W/answer"
check 'a late answer: it comes' within $wait [ -e "$W/answered" ]
is 'a late answer: nobody believes it' "$(show sinner/xvda .size)" 8388608
kill -KILL "$(worker_pid 1 quitting)"
end

begin
connect
hand_over
front 1 $V 5
check 'closing, then its domain goes: it closes' within $wait is_phase closing
touch "$W/slow"
kill -KILL "$(worker_pid 1 ready)"
check 'closing, then its domain goes: the old worker is gone, the new one is not up' eval 'within $wait between || { ctl daemon status --json; false; }'
hostxen destroy 1
check 'closing, then its domain goes: the device goes' within 15 not known
is 'closing, then its domain goes: no journal is left' "$(ls "$SYNTH_RUNDIR/journal" | wc -l)" 0
rm "$W/slow"
check 'closing, then its domain goes: no worker is left' within $wait equal '$(workers_of 1)' 0
check 'closing, then its domain goes: its image is free' unlocked "$img"
wait $a1
check 'closing, then its domain goes: the other one is not attached' [ $? -ne 0 ]
drop
world_end

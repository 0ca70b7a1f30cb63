#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon ends, in every way, and comes again: guests go on, with the same workers when it died, and what went away
# meanwhile is cleaned up.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
world_start
V=51712
img=$(image a.img 16M)
attach sinner "$img" xvda >/dev/null
attach sinner null:8M xvdb >/dev/null
kattach honest "$(image b.img 8M)" xvda >/dev/null
uuid=$(show sinner/xvda .uuid)

# states of the connected one, from here on
background dom0 xenstore-watch "$(back_dir 1 $V)/state" >"$W/watched" 2>&1
hostxen run -d 1 -- synth-blkfront io xvda --rw randread=1,randwrite=1 --bs 4k --depth 4 --rate 300 --verify --runtime 600 --json >"$W/io.out" 2>"$W/io.log" &
io=$!
children+=($io)
check 'I/O runs' goes_on 10 sinner/xvda 50
old=$(show sinner/xvda .worker)
events=$(wc -l <"$W/watched")

socket() { ls "$SYNTH_RUNDIR"/workers/blkd-1.* 2>/dev/null | wc -l; }
kill -KILL "$blkd_pid"
check 'killed: the worker notices' within 10 grep -q "worker\[$old\].*serving on" "$W/blkd.log"
check 'killed: it lives' kill -0 "$old"
is 'killed: still Connected in xenstore' "$(back 1 $V state)" 4
blkd_start
check 'a new daemon: serves it again' within 15 equal '$(show sinner/xvda .phase)' connected
check 'a new daemon: I/O goes on' goes_on 10 sinner/xvda 50
is 'a new daemon: the same worker' "$(show sinner/xvda .worker)" "$old"
is 'a new daemon: the same attachment' "$(show sinner/xvda .uuid)" "$uuid"
is 'a new daemon: the same image' "$(show sinner/xvda .target)" "file:$img"
is 'a new daemon: the state node was not touched' "$(wc -l <"$W/watched")" "$events"
is 'a new daemon: the others wait as before' "$(show sinner/xvdb .state) $(show honest/xvda .phase)" 'InitWait initwait'
check 'a new daemon: the image is locked' not attach honest "$img" xvdc

ctl daemon stop >/dev/null
check 'stopped: exits' blkd_wait_gone 15
check 'stopped: the worker, which was not its child, is gone' within 5 not kill -0 "$old"
is 'stopped: no socket is left' "$(socket)" 0
blkd_start
check 'stopped and started: I/O goes on' goes_on 15 sinner/xvda 50
kill -TERM "$blkd_pid"
check 'SIGTERM: exits' blkd_wait_gone 15
blkd_start
check 'SIGTERM and started: I/O goes on' goes_on 15 sinner/xvda 50

# a worker that was found dies, and one dies while nobody is there
old=$(show sinner/xvda .worker)
kill -KILL "$blkd_pid"
blkd_start
check 'found: I/O goes on' goes_on 15 sinner/xvda 50
kill -KILL "$old"
check 'a found one dies: another serves' within 15 eval 'n=$(show sinner/xvda .worker); [ "$n" != null ] && [ "$n" != '"$old"' ]'
check 'a found one dies: I/O goes on' goes_on 15 sinner/xvda 50
old=$(show sinner/xvda .worker)
kill -KILL "$blkd_pid"
kill -KILL "$old"
blkd_start
check 'one dies with the daemon: I/O goes on' goes_on 15 sinner/xvda 50
is 'one dies with the daemon: its socket is removed' "$(socket)" 1
kill -KILL "$blkd_pid"
old=$(pgrep -f -- "synth-blkd-worker --domid 1 " | while read -r p; do world_pids | grep -x "$p"; done)
kill -TERM "$old"
check 'SIGTERM to a worker nobody has: it drains and exits' within 15 not kill -0 "$old"
blkd_start
check 'SIGTERM to a worker nobody has: the next daemon goes on' goes_on 15 sinner/xvda 50

out=$(dom0 synth-blkd 2>&1)
is 'a second daemon does not start' $? 1
like 'a second daemon says why' "$out" 'runs already \(pid [0-9]+'

# things that happen while nobody serves
kill -KILL "$blkd_pid"
hostxen destroy 2
dom0 xenstore-write "$(back_dir 1 51728)/online" 0 "$(back_dir 1 51728)/state" 5
blkd_start --linger 1
check 'domain gone meanwhile: its nodes are removed' within 5 gone "$(back_dir 2 $V)"
check 'domain gone meanwhile: it is not listed' not ctl show 2/xvda
check 'detached meanwhile: goes to Closed, and away' within 10 gone "$(back_dir 1 51728)"
check 'the connected one is served again' goes_on 15 sinner/xvda 50
kill -TERM $io
within 20 not kill -0 $io
is 'every byte was right' "$(jq -r .errors "$W/io.out" 2>/dev/null)" 0
check 'the guest could close' within 10 equal '$(show sinner/xvda .phase)' initwait

# the other states a daemon may leave behind
kattach sinner null:8M xvdc >/dev/null
hold 1 51744
step 'before' 1 51744 3 4
step 'before' 1 51744 5 5
kill -KILL "$blkd_pid"
blkd_start
is 'Closing is found as Closing' "$(show sinner/xvdc '"\(.state) \(.phase)"')" 'Closing half'
step 'Closing goes on' 1 51744 6 6
kill -KILL "$blkd_pid"
blkd_start
is 'Closed is found as Closed' "$(show sinner/xvdc '"\(.state) \(.phase)"')" 'Closed closed'
step 'Closed goes on' 1 51744 1 2
step 'and connects' 1 51744 4 4
ctl detach sinner/xvdc --wait 1 >/dev/null 2>&1
kill -KILL "$blkd_pid"
blkd_start
is 'one that was asked to let go is asked still' "$(show sinner/xvdc '"\(.state) \(.phase)"')" 'Closing detaching'
front 1 51744 6
check 'and goes when it does' within 10 gone "$(back_dir 1 51744)"
drop
kattach sinner null:8M xvdc >/dev/null
step 'no rings' 1 51744 3 5
kill -KILL "$blkd_pid"
blkd_start
is 'one that could not be connected is found as that' "$(show sinner/xvdc '"\(.state) \(.phase)"')" 'Closing failed'
hold 1 51744
step 'its next life' 1 51744 1 2
step 'its next life' 1 51744 3 4
ctl detach sinner/xvdc --force >/dev/null
drop
kattach sinner null:8M xvdc >/dev/null
kill -KILL "$blkd_pid"
dom0 xenstore-write "$(back_dir 1 51744)/params" 'garbage:'
blkd_start
check 'nodes that were damaged: not served, and logged' grep -q 'xvdc: found, but cannot be served' "$W/blkd.log"
check 'nodes that were damaged: left for a person to look at' there "$(back_dir 1 51744)"
dom0 xenstore-rm "$(back_dir 1 51744)" /local/domain/1/device/vbd/51744 /libxl/1/device/vbd/51744
world_end

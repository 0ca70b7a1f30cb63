#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon ends, in every way, and comes again: guests go on, and what went away meanwhile is cleaned up.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh"
world_start
V=51712
img=$(image a.img 16M)
attach sinner "$img" xvda >/dev/null
attach sinner null:8M xvdb >/dev/null
kattach honest "$(image b.img 8M)" xvda >/dev/null
uuid=$(show sinner/xvda .uuid)
workers() { pgrep -f "synth-blkd-worker --domid [12] --name (sinner|honest)" -P "$1" | wc -l; }

# states of the connected one, from here on
dom0 xenstore-watch "$(back_dir 1 $V)/state" >"$W/watched" 2>&1 &
children+=($!)
hostxen run -d 1 -- synth-blkfront io xvda --rw randread=1,randwrite=1 --bs 4k --depth 4 --rate 300 --verify --runtime 600 --json >"$W/io.out" 2>"$W/io.log" &
io=$!
children+=($io)
check 'I/O runs' within 10 more_requests sinner/xvda 50
old=$(show sinner/xvda .worker)
events=$(wc -l <"$W/watched")

kill -KILL "$blkd_pid"
check 'killed: the workers drain and exit by themselves' within 15 not kill -0 "$old"
is 'killed: still Connected in xenstore' "$(back 1 $V state)" 4
blkd_start
check 'a new daemon: serves it again' within 15 equal '$(show sinner/xvda .phase)' connected
check 'a new daemon: I/O goes on' within 10 more_requests sinner/xvda 50
is 'a new daemon: the same attachment' "$(show sinner/xvda .uuid)" "$uuid"
is 'a new daemon: the same image' "$(show sinner/xvda .target)" "$img"
is 'a new daemon: the state node was not touched' "$(wc -l <"$W/watched")" "$events"
is 'a new daemon: the others wait as before' "$(show sinner/xvdb .state) $(show honest/xvda .phase)" 'InitWait initwait'
check 'a new daemon: the image is locked' not attach honest "$img" xvdc

ctl daemon stop >/dev/null
check 'stopped: exits' blkd_wait_gone 15
blkd_start
check 'stopped and started: I/O goes on' within 15 more_requests sinner/xvda 50
kill -TERM "$blkd_pid"
check 'SIGTERM: exits' blkd_wait_gone 15
blkd_start
check 'SIGTERM and started: I/O goes on' within 15 more_requests sinner/xvda 50

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
check 'the connected one is served again' within 15 more_requests sinner/xvda 50
kill -INT $io
within 20 not kill -0 $io
is 'every byte was right' "$(jq -r .errors "$W/io.out" 2>/dev/null)" 0
check 'the guest could close' within 10 equal '$(show sinner/xvda .phase)' closed
kill -KILL "$blkd_pid"
blkd_start
is 'Closed is found as Closed' "$(show sinner/xvda '"\(.state) \(.phase)"')" 'Closed closed'
check 'and goes' ctl detach sinner/xvda
world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon's connections to xenstore are cut: it comes back by itself, and guests notice nothing.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
world_start
ctl daemon stop >/dev/null
blkd_wait_gone 15
real=$(dom0 sh -c 'echo "$XENSTORED_PATH"')
perl "$SYNTH_SRCDIR/tests/xenbus/cut.pl" "$W/xs.sock" "$real" 2>"$W/cut.log" &
proxy=$!
children+=($proxy)
disown $proxy
within 5 test -S "$W/xs.sock" || bail 'the proxy does not start' "$W/cut.log"
hostxen run -d 0 -- env XENSTORED_PATH="$W/xs.sock" synth-blkd >>"$W/blkd.log" 2>&1 &
blkd_pid=$!
disown $blkd_pid
within 30 ctl daemon status || bail 'synth-blkd does not start'
honest_start
worker=$(show honest/xvda .worker)
ready() { [ "$(grep -c 'ready, listening' "$W/blkd.log")" -ge "$1" ]; }
for round in 1 2 3; do
	kill -USR1 $proxy
	check "cut $round: the daemon starts afresh by itself" within 15 ready $((round + 2))
	is "cut $round: it is the same process" "$(kill -0 "$blkd_pid" && echo yes)" yes
	check "cut $round: it knows the disk" within 10 equal '$(show honest/xvda .phase)' connected
	is "cut $round: served by the same worker" "$(show honest/xvda .worker)" "$worker"
	undisturbed "cut $round"
done
check 'disks are attached as ever' attach sinner null:8M xvda
check 'and detached' ctl detach sinner/xvda
kill -USR1 $proxy
check 'at the end: afresh once more' within 15 ready 6
# without what is killed first
ctl daemon stop >/dev/null
blkd_wait_gone 15
blkd_start
world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The table of system calls of a nic's worker is what it needs: a TAP, a stream socket, a pair, a trace, a daemon that is killed.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
. "$SYNTH_SRCDIR/tests/sandbox/calls.sh"
trace_workers synth-netd-worker
world_start
check 'a nic on a TAP is attached' nic sinner --tap t0 --mac 00:16:3e:01:02:03
is 'and served' "$(bad 1 0 connect send 60 5 close)" "$(printf 'back end 4\nsent 5\nback end 6')"
perl "$SYNTH_SRCDIR/tests/net/stream-peer.pl" "$W/peer.sock" echo >"$W/peer.out" 2>&1 &
children+=($!)
disown $!
within 10 grep -qs ready "$W/peer.out" || bail 'the socket does not listen' "$W/peer.out"
check 'a nic on a stream socket is attached' nic honest --stream "$W/peer.sock"
like 'and served' "$(bad 2 0 connect send 60 1 close)" 'sent 1'
kill -KILL "$blkd_pid"
blkd_wait_gone
blkd_start
check 'the next daemon has the nics' within 20 eval '[ "$(ctl list --json | jq ".devices | length")" = 2 ]'
ctl detach sinner/eth0 --force >/dev/null
check 'a worker without a nic ends' within 20 eval '[ "$(grep -l "exit_group" "$W"/trace/log.* | wc -l)" -ge 1 ]'
calls_hold synth-netd-worker \
	'clock_gettime the vDSO tells the time' \
	'restart_syscall only a sleep with a time limit that was stopped in the middle makes it' \
	'writev only a trace makes it' \
	'brk only a heap that grows makes it' \
	'rt_sigaction the C library, at the first thread' \
	'fcntl event channels, on real Xen too'
world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker is killed at each named step of taking, completing and recovering a request (docs/reliability.md), again and
# again, under verified I/O with trims and flushes: the guest's front end sees pauses, no error and no wrong byte.
# SYNTH_SOAK=N: N times as long.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/crash/lib.sh" || exit 99
soak=${SYNTH_SOAK:-1}
total=0
# kill_at NAME SPEC MIN [IO ARGS...]: die as SPEC says, at least MIN times
kill_at()
{
	local name=$1 spec=$2 min=$3 before n
	shift 3
	: >"$W/blkd.log"
	SYNTH_CRASH=$spec blkd_start
	attach sinner "$img" xvda >/dev/null || bail "$name: attach failed"
	crash_io 1 xvda $((2 * soak)) --rw randread=4,randwrite=4,trim=1,flush=1 --bs 512-64k --depth 16 "$@"
	io_ended $((30 + 10 * soak)) || fail "$name: I/O goes on" "$(ctl show sinner/xvda)" "$(tail -n 5 "$W/blkd.log")"
	kill -KILL $io 2>/dev/null
	n=$(grep -c 'goes on: ' "$W/blkd.log")
	total=$((total + n))
	check "$name: no byte wrong, no error" io_was_right
	if [ "$n" -ge "$min" ]; then pass "$name: it died"; else fail "$name: it died" "only $n times"; fi
	diag <<<"$name: $n deaths, $(jq -r .ios "$W/io.out") requests"
	is "$name: still Connected or closed in order" "$(grep -c 'cannot go on' "$W/blkd.log")" 0
	ctl detach sinner/xvda --force >/dev/null
	ctl daemon stop >/dev/null
	blkd_wait_gone 15 || kill -KILL "$blkd_pid"
}
world_start
ctl daemon stop >/dev/null
blkd_wait_gone 15
img=$(image a.img 16M)
for point in take.copy take.inflight take.cons complete.base complete.done complete.write complete.publish complete.free; do
	kill_at "$point" "$point:37" 3
	kill_at "$point, one at a time" "$point:11" 3 --depth 1
done
for point in recover.validate recover.free recover.rewrite recover.publish recover.attempt recover.resubmit recover.notify; do
	# Every second life ends in the recovery; what it recovers from is another's death with answers not yet published.
	kill_at "$point" "$point:1/2,complete.write:23" 3
	kill_at "$point, the third" "$point:3/2,complete.done:29" 1
done
diag <<<"$total deaths in all"
blkd_start
world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# bounds.t - what one guest can make us spend ends somewhere, however many devices it has, and shows in synthctl stat.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
# freed memory that a sanitizer keeps aside would look like growth
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1
world_start --max-queues 2 --max-grants 400 --max-grants-all 1000 --max-bounce 2
honest_start

ms() { echo $(($(date +%s%N) / 1000000)); }
stat() { stat_of "sinner/$1" "$2"; } # DEV METRIC
io() # DEV ARGS...: load of the sinner, in the background
{
	local dev=$1
	shift
	background hostxen run -d 1 -- synth-blkfront io "$dev" --no-reconnect --runtime 600 --verify --json "$@" >"$W/io-$dev" 2>&1
	pid_of[$dev]=$!
}
declare -A pid_of
io_ended() # DEV: told to end; every byte was right
{
	kill -TERM "${pid_of[$1]}"
	within 20 not kill -0 "${pid_of[$1]}"
	grep -q '"mismatch": *false' "$W/io-$1" && grep -q '"errors": *0' "$W/io-$1" || { cat "$W/io-$1"; return 1; }
}
for dev in xvda xvdb xvdc xvdd; do attach sinner "$(image $dev.img 16M)" $dev >/dev/null; done

# ------------------------------------------------------------------ pages that are mapped
is 'two workers share what all may have mapped' "$(stat xvda grants_limit)" 400
io xvda --rw randrw --bs 64k --depth 16 --queues 2
io xvdb --rw randrw --bs 64k --depth 16 --queues 2
check 'a guest that grants more than it may have mapped is served' within 20 more_requests sinner/xvdb 500
check '... which shows' within 10 more '$(stat xvda grants_refused)' 0
most=0
for _ in $(seq 20); do
	n=$(stat xvda grants_mapped)
	[ "$n" -le "$most" ] || most=$n
	sleep 0.05
done
check "... and has no more than that: $most" test "$most" -le 400 -a "$most" -ge 200
check 'its next disk is connected all the same: rings find room' bad 1 -q 2 -n 10 51744 verify
undisturbed 'a guest at its limit of mapped pages'
check 'and each byte was right' io_ended xvda
check '... on both' io_ended xvdb
check 'when its disks are closed, nothing of it is mapped' within 10 equal '$(stat xvda grants_mapped)' 0
grep -q 'limit' <<<"$(ctl stat honest/xvda)" || fail 'the limit is shown to people'

# ------------------------------------------------------------------ memory
# of requests that are under way for a while: on a disk
disks=$(mktemp -d "${SYNTH_TEST_DISK:-/var/tmp}/synth-test-XXXXXX")
world_dirs+=("$disks")
for dev in xvda xvdb xvdc xvdd; do
	ctl detach sinner/$dev --force >/dev/null
	truncate -s 16M "$disks/$dev.img"
	attach sinner "$disks/$dev.img" $dev --cache buffered >/dev/null
done
for dev in xvda xvdb xvdc xvdd; do io $dev --rw randwrite=2,randread=1 --bs 512k-1m --depth 8 --queues 2 --no-persistent; done
sum() { ctl stat --json | jq "[.devices[] | select(.domid == 1).metrics.$1 // 0] | add"; } # METRIC: of all its disks
check 'a guest whose data needs more memory than it may have is served' within 30 more_requests sinner/xvdd 200
check '... by waiting, which shows' within 10 more '$(sum bounce_waits)' 100
most=0 # the disks are asked one after the other, and what one gave back another may have: 2 MiB count twice at worst
for _ in $(seq 10); do
	n=$(sum bounce_held_bytes)
	[ "$n" -le "$most" ] || most=$n
	sleep 0.1
done
check "... and has no more than that, and 1 MiB a ring: $((most / 1024)) KiB" test "$most" -le $((12 * 1048576)) -a "$most" -gt $((2 * 1048576))
undisturbed 'a guest at its limit of memory'
for dev in xvda xvdb xvdc xvdd; do check "each byte was right: $dev" io_ended $dev; done

# ------------------------------------------------------------------ events with nothing behind them
background hostxen run -d 1 -- "$badfront" -t 20000 51712 storm >"$W/storm"
check 'a storm of events shows in the delay of the next' within 20 more '$(stat xvda events_delay_ms)' 500
undisturbed 'a storm of events'
children_kill

# ------------------------------------------------------------------ answers that nobody takes
background hostxen run -d 1 -- "$badfront" -t 20000 51712 never-consume >"$W/never"
check 'a guest that takes no answers: they show as unread' within 10 equal '$(stat xvda responses_unread)' 32
is '... and nothing of it is held' "$(stat xvda in_flight) $(stat xvda bounce_bytes)" '0 0'
children_kill
io xvdb --rw randrw --bs 4k --depth 4
check 'one that does take them: none shows when it is quiet' goes_on 10 sinner/xvdb 100
check '... after its load' io_ended xvdb

# ------------------------------------------------------------------ time of the daemon
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print int(($14 + $15) * 1000 / hz) }' "/proc/$blkd_pid/stat"; }
looks() { stat xvda control_looks_throttled; }
used=$(stat xvda control_time_ns) cpu=$(cpu_ms) began=$(ms) log=$(wc -c <"$W/blkd.log")
for k in 0 1 2 3; do
	background hostxen run -d 1 -- "$badfront" -s $k -t 60000 $((51712 + 16 * k)) toggle >"$W/toggle$k"
done
check 'four devices of a guest that write their states without end: looks wait' within 20 more '$(looks)' 10
before=$(ms)
check '... while another guest attaches' attach honest "$(image c.img 1M)" xvdc
attached=$(($(ms) - before)) before=$(ms)
check '... connects, and verifies what it writes' bad 2 -n 5 "$(vdev xvdc)" verify
connected=$(($(ms) - before))
check "... soon: $attached and $connected ms" test $((attached + connected)) -lt $((2000 * slow))
ctl detach honest/xvdc --force >/dev/null
while [ $(($(ms) - began)) -lt 6000 ]; do sleep 0.2; done
used=$((($(stat xvda control_time_ns) - used) / 1000000)) took=$(($(ms) - began)) cpu=$(($(cpu_ms) - cpu))
check "the guest had a fifth of the daemon's time, and a burst: $used ms of $took" test "$used" -le $((took / 5 + 600))
diag <<<"the daemon used $cpu ms of a processor meanwhile"
undisturbed 'states written without end'
check 'events of its nodes are counted' more '$(stat xvda control_watch_events)' 100

# ------------------------------------------------------------------ the log
check 'it cannot fill the log with them: 64 KiB, 512 bytes a second' \
	test $(($(wc -c <"$W/blkd.log") - log)) -le $((65536 + 2048 + 2 * 512 * took / 1000))
children_kill
log=$(wc -c <"$W/blkd.log") began=$(ms)
for k in 0 1 2 3; do
	background hostxen run -d 1 -- "$badfront" -t 60000 $((51712 + 16 * k)) bad-flood >"$W/flood$k"
done
check 'bad requests without end, on four disks: messages are left out, and counted' within 20 more '$(stat xvda log_suppressed)' 5000
took=$(($(ms) - began)) log=$(($(wc -c <"$W/blkd.log") - log))
check "... and few are written: $log bytes in $took ms" test "$log" -le $((20 * 300 + 10 * 300 * (took / 1000 + 1)))
more_bytes() { [ "$(stat xvda log_bytes)" -gt 0 ]; }
check '... which shows' more_bytes
undisturbed 'bad requests without end'
children_kill
world_end

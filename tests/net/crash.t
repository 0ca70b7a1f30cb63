#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A nic's worker dies under traffic, at each step of a turn and at any time: no slot of its rings is lost or answered twice, its
# states in xenstore never move, and what the guest asked for is remembered.  Packets may be lost, or come twice.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start

# At a crash point a worker ends with status 0.
deaths() { grep -E '(was killed by signal 9|exited with status 0)' "$W/blkd.log" | grep -oE 'worker [0-9]+ of domain 1 ' | sort -u | wc -l; }
died() { [ "$(deaths)" -ge "$1" ]; }
state_dirs='/local/domain/0/backend/vif/1/0 /local/domain/1/device/svif/0'
# What is written to the states of both ends from here on: one line for each that is watched, to begin with
watch_states()
{
	local dir args=
	for dir in $state_dirs; do args+=" $dir/state"; done
	# shellcheck disable=SC2086
	hostxen run -d 0 -- stdbuf -oL xenstore-watch -n 1000 $args >"$W/states" 2>&1 &
	watcher=$!
	disown $watcher
	within 10 eval '[ "$(wc -l <"$W/states")" -ge 2 ]'
}
states_untouched() # NAME
{
	kill $watcher 2>/dev/null
	if [ "$(wc -l <"$W/states")" = 2 ]; then pass "$1"; else fail "$1" "$(cat "$W/states")" "$(tail -n 30 "$W/blkd.log")"; fi
}
traffic() # NAME: both ways
{
	local tx rx
	tx=$(metric sinner/eth0 tx_packets) rx=$(metric sinner/eth0 rx_packets)
	check "$1: packets go both ways" within 20 eval "grown sinner/eth0 tx_packets $((tx + 50)) && grown sinner/eth0 rx_packets $((rx + 50))"
}
kill_worker() { kill -KILL "$(show sinner/eth0 .worker)"; }

nic sinner --pair honest/eth0 >/dev/null
nic honest --pair sinner/eth0 >/dev/null
hostxen run -d 2 -- synth-netfront io eth0 --mode send --size 60-9000 --rate 20000 --runtime 100000 >/dev/null 2>"$W/peer.log" &
peer=$!
children+=($peer)
disown $!
bad_start d 1 --buffers 256 0 connect join 9 say up duplex line full close

# Killed from outside, while the rings are full.
check 'a guest whose rings are full' within 10 said d up
traffic 'before anything dies'
is 'it asked for a multicast address' "$(metric sinner/eth0 mcast_addresses)" 1
watch_states
for round in 1 2 3 4; do
	before=$(deaths)
	kill_worker
	check "kill $round: the worker dies" within 10 died $((before + 1))
	traffic "kill $round"
done
is 'the multicast address is remembered' "$(metric sinner/eth0 mcast_addresses)" 1
states_untouched 'four deaths: nothing was written to a state'
is 'both ends are connected' "$(show sinner/eth0 .state)" Connected

# At each step of a turn, and of recovering.  One worker is killed from outside, the next dies at that step
# when it gets there first, the third at the second time, the fourth at the third; the fifth lives.
points='net.tx.copy net.tx.send net.rx.plan net.rx.copy net.redo.write net.redo.commit net.ring.write net.publish
	net.recover.write net.recover.publish'
# Which worker of this connection it is (struct journal_live of backend/journal.h).
life() { od -A n -t u4 -j 8128 -N 4 "$SYNTH_RUNDIR/journal/netd-$(show sinner/eth0 .uuid)"; }
again() # [SYNTH_CRASH]: another daemon; the guests wait
{
	ctl daemon stop >/dev/null 2>&1
	blkd_wait_gone
	SYNTH_CRASH=${1:-} blkd_start
	within 20 eval '[ "$(show sinner/eth0 .state)" = Connected ] && grown sinner/eth0 rx_packets 1'
}
if ! grep -qa SYNTH_CRASH "$SYNTH_BUILDDIR"/backend/{.libs/,}synth-netd-worker 2>/dev/null; then
	skip 'killed at each step of a turn' 'this build has no crash points (--enable-crash-points)'
else
	for point in $points; do
		times=3
		[[ $point != net.recover.* ]] || times=2 # once a ring
		at=$(($(life) + 2)) # the next worker is the one that is killed from outside
		again "$point:1=$at,$point:2=$((at + 1))$([ $times = 2 ] || echo ",$point:3=$((at + 2))")"
		watch_states
		before=$(deaths)
		kill_worker
		check "$point: $times workers die there" within 30 died $((before + 1 + times))
		traffic "$point"
		states_untouched "$point: nothing was written to a state"
	done
	again
fi
total=$(deaths)
line d
check "after $total deaths each slot of both rings was answered once" within 40 said d '^answered'
check 'and a whole ring is' within 20 said d 'full ring answered'
diag <"$W/d.out"
check 'it closes in peace' within 20 said d 'back end 6'


# A front end that verifies each byte, and both workers of a pair are killed at any time.
kill -TERM $peer
within 20 not kill -0 $peer
hostxen run -d 2 -- synth-netfront io eth0 --mode reflect --json >"$W/reflect.out" 2>"$W/reflect.log" &
reflector=$!
children+=($reflector)
check 'a reflector at the other end' within 20 grep -q ': ready' "$W/reflect.log"
before=$(metric sinner/eth0 rx_packets) # of all its connections
hostxen run -d 1 -- synth-netfront io eth0 --mode echo --verify --json --size 115-9000 --window 32 --runtime 600 >"$W/echo.out" 2>"$W/echo.log" &
echo=$!
children+=($echo)
check 'frames go round' within 20 grown sinner/eth0 rx_packets $((before + 50))
watch_states
for round in 1 2 3 4; do
	sleep 0.$((RANDOM % 5 + 1))
	kill_worker
	kill -KILL "$(show honest/eth0 .worker)" 2>/dev/null
	within 20 eval '[ "$(show sinner/eth0 .state) $(show honest/eth0 .state)" = "Connected Connected" ]'
done
check 'frames still go round' kill -0 $echo
states_untouched 'nothing was written to a state'
kill -TERM $echo
wait $echo
# (a packet that has nowhere to go is dropped, and its sender told)
is 'every byte that came back was right, and the front end saw no error' \
	"$? $(jq -r '"\(.corrupt) \(.bad_checksum) \(.faults_total) \(.unique > 100)"' "$W/echo.out")" '0 0 0 0 true'
diag <<<"$(jq -r '"\(.sent) sent, \(.unique) back, \(.lost) lost, \(.twice) twice, in \(.seconds) s"' "$W/echo.out") $(cat "$W/echo.log")"
kill -TERM $reflector
wait $reflector
is 'nor did the other end' "$(jq -r .faults_total "$W/reflect.out")" 0

# A TAP keeps its carrier: the host's bridge does not see that there was nobody.
ctl detach sinner/eth0 --force >/dev/null
nic sinner >/dev/null
bad_start t 1 0 connect send 60 10 say up line send 60 100 line close
check 'a nic with a TAP' within 10 said t up
check 'it has a carrier' within 10 eval 'ip -o link show vif1.0 | grep -q LOWER_UP'
links_begin
kill_worker
line t
check 'its worker dies, and the guest goes on' within 20 said t 'sent 100'
links_end
line t
is 'the carrier was there all the time' "$(grep -c 'vif1.0.*NO-CARRIER' "$W/links")" 0
within 10 said t 'back end 6'

# A journal that lies: the worker that wrote it may have been taken over.
bad_start j 1 --buffers 256 0 connect send 60 10 say up line
check 'a guest connects' within 10 said j up
journal=$SYNTH_RUNDIR/journal/netd-$(show sinner/eth0 .uuid)
kill -STOP $blkd_pid
kill -KILL "$(pgrep -f "synth-netd-worker.*sinner" -P $blkd_pid)"
printf '\xff\xff\xff\x7f' | dd of="$journal" bs=1 seek=$((8192 + 448)) conv=notrunc 2>/dev/null # the producer of its transmit log
kill -CONT $blkd_pid
check 'a log that cannot be is refused, and it is told' within 20 eval '[[ "$(show sinner/eth0 .broken)" == *"cannot be served again"* ]]'
check 'with the reason in the log' grep -q 'its transmit ring is not where its journal says' "$W/blkd.log"
line j
is 'a front end that starts afresh is served' "$(bad 1 0 connect send 60 1 close)" "$(printf 'back end 4\nsent 1\nback end 6')"

world_end

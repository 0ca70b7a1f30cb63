#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The interface as a TAP of a network namespace of its own: ping goes through the rings and comes back; what the back
# end does to it leaves the TAP in place.  The back end answers pings for any address (badback).
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
. "$SYNTH_SRCDIR/tests/netfront/net.sh"
[ "$(id -u)" = 0 ] || skip_all 'a TAP needs root'
[ -c /dev/net/tun ] || skip_all 'there is no /dev/net/tun'
for tool in ip ping; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done
unshare --net true 2>/dev/null || skip_all 'no network namespaces here'
bare_start

# A namespace held by a process, without a name that another test could have too
unshare --net sleep 1000 &
holder=$!
disown $holder
children=($holder)
apart() { [ "$(readlink /proc/$holder/ns/net)" != "$(readlink /proc/self/ns/net)" ]; }
within 10 apart || bail 'no network namespace'
ns() { nsenter --net=/proc/$holder/ns/net -- "$@"; }
stop_all() { back_stop; children=($holder); }

up_start() # ARGS...: until it says that it is up
{
	: >"$W/up.out"
	hostxen run -d 1 -- nsenter --net=/proc/$holder/ns/net -- synth-netfront up eth0 "$@" >"$W/up.out" 2>>"$W/up.log" &
	up=$!
	disown $up
	within 15 grep -qs ' is up as\|"event":"up"' "$W/up.out" || bail '`up` does not come up' "$W/up.log"
	ns ip addr add 192.0.2.1/24 dev "${TAP:-eth0}" 2>/dev/null
}
up_alive() { kill -0 $up 2>/dev/null; }
up_stop() # the exit status is not the shell's to know: it is a job of hostxen's
{
	kill -TERM $up 2>/dev/null
	within 15 not up_alive || kill -KILL $up
}
pings() # NAME ARGS...: 20 come back, and no more than two that were on their way then do not
{
	local name=$1 sent back
	shift
	# -A: the next when the last has come back, or after a while: on a busy machine there are several under way
	ns ping -q -A -c 20 -w 20 "$@" 192.0.2.2 >"$W/ping.out" 2>&1
	read -r sent back < <(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$W/ping.out")
	if [ "${back:-0}" -ge 20 ] && [ $((sent - back)) -le 2 ]; then
		pass "$name"
	else
		fail "$name" "$(cat "$W/ping.out")" "$(tail -n 5 "$W/up.log")"
	fi
}
link() { ns ip -o link show dev "${TAP:-eth0}" 2>/dev/null; }
ifindex() { link | sed 's/:.*//'; }
front_state() { dom0 xenstore-read /local/domain/1/device/svif/0/state 2>/dev/null; }

back_start none
up_start
like 'it says what it is' "$(cat "$W/up.out")" 'eth0 is up as eth0: 02:00:00:00:00:01, mtu 1500, [0-9]+ queue\(s\), offloads csum4 csum6 gso4 gso6'
like 'the address and the mtu are the device'\''s' "$(link)" 'mtu 1500 .*link/ether 02:00:00:00:00:01 '
pings 'ping'
pings 'ping of 1400 bytes' -s 1400
pings 'ping in fragments' -s 1472
ns ip link set dev eth0 mtu 9000
pings 'ping of 8900 bytes, several slots a frame' -s 8900 -M do
is 'IPv4 checksums and TCP segments are left to the other side' \
	"$(ns ethtool -k eth0 2>/dev/null | grep -cE '^(tx-checksumming|tcp-segmentation-offload): on')" "$(command -v ethtool >/dev/null && echo 2 || echo 0)"
net io eth0 --frames 1
is 'meanwhile nobody else gets the device' "$rc" 4
up_stop
check 'SIGTERM: the device is closed' within 10 equal '$(front_state)' 1
is 'SIGTERM: the TAP is gone' "$(link)" ''

up_start --no-gso
ns ip link set dev eth0 mtu 9000
pings 'a larger mtu, without segmentation: ping of 8900 bytes' -s 8900 -M do
up_stop

up_start --tap wire0 --mtu 3000 --queues 1 --no-split --json
is 'another name, another mtu, one queue' "$(jq -r '"\(.tap) \(.mtu) \(.queues) \(.split_event_channels)"' "$W/up.out")" 'wire0 3000 1 false'
TAP=wire0
ns ip addr add 192.0.2.1/24 dev wire0
pings 'one queue, one event channel' -s 2900
up_stop
check 'what was moved is told in the end' within 5 equal '$(jq -r "select(.event == \"end\") | .tx_frames >= 20 and .rx_frames >= 20 and .faults_total == 0" '"$W/up.out)" true
TAP=

ns ip tuntap add dev eth0 mode tap
timeout 20 hostxen run -d 1 -- nsenter --net=/proc/$holder/ns/net -- synth-netfront up eth0 >"$W/out" 2>"$W/err"
is 'a name that is taken is told' "$? $(grep -c 'there is an interface eth0' "$W/err")" '4 1'
ns ip link del eth0
is 'and the device is free again' "$(front_state)" 1

# One slot a frame, and an mtu that is more: what does not fit is dropped, not cut off
stop_all
back_start plain
up_start --json
ns ip link set dev eth0 mtu 9000
pings 'one slot a frame: ping' -s 1400
ns ping -q -c 3 -i 0.1 -W 1 -s 8900 -M do 192.0.2.2 >/dev/null 2>&1
up_stop
check 'frames that do not fit are dropped' within 5 equal '$(jq -r "select(.event == \"end\") | .tx_drops" '"$W/up.out)" 3

# The TAP outlives the back end's connection
stop_all
back_start vanish 30
up_start
pings 'before the back end goes'
ns ping -q -c 15 -i 0.01 192.0.2.2 >/dev/null 2>&1
check 'the back end has gone: no carrier' within 10 eval '[[ $(link) == *NO-CARRIER* ]]'
stop_all
check 'the front end'\''s directory is removed, and not made anew: that is the end of it' within 25 not up_alive
like 'and it says so' "$(tail -n 1 "$W/up.log")" 'detached by the host'

back_start closing 30
up_start
pings 'until the back end closes'
index=$(ifindex)
ns ping -q -c 30 -i 0.01 192.0.2.2 >/dev/null 2>&1
check 'a back end that asks gets it back' within 10 grep -q 'wants the interface back' "$W/up.log"
check 'and when it waits again, it is connected to again' within 20 equal '$(grep -c " is up as " '"$W/up.out)" 2
pings 'after that'
is 'through the same TAP' "$(ifindex)" "$index"
check 'which has a carrier again' eval '[[ $(link) == *LOWER_UP* ]]'
up_stop
stop_all

# Whatever it goes through: the TAP stays, and is connected again.
for sin in closed forget vanish-back redo; do
	back_start $sin 30
	up_start
	pings "$sin: before"
	index=$(ifindex)
	ns ping -q -c 30 -i 0.01 192.0.2.2 >/dev/null 2>&1
	check "$sin: it says that it is down, and up again" within 20 equal '$(grep -cE " is (down: waiting|up as )" '"$W/up.out)" 3
	pings "$sin: after"
	is "$sin: the TAP is the same" "$(ifindex)" "$index"
	check "$sin: and has a carrier" eval '[[ $(link) == *LOWER_UP* ]]'
	[ $sin != redo ] || like "$sin: a new address is the TAP's" "$(link)" 'link/ether 02:00:00:00:00:77 '
	up_stop
	stop_all
done

back_start flap 10
up_start
ns ping -q -c 15 -i 0.01 192.0.2.2 >/dev/null 2>&1
within 20 grep -q flapped "$W/back.out" || fail 'states flap' "$(cat "$W/up.log")"
check 'states that flap at full speed: connected again when they have settled' within 30 equal '$(tail -n 1 '"$W/up.out"' | grep -c " is up as ")' 1
pings 'states that flap: after'
check 'states that flap: it was looked at now and then only' [ "$(grep -c 'has gone\|wants the interface' "$W/up.log")" -lt 60 ]
up_stop
stop_all

: >"$W/up.log"
back_start vain-lives 0
up_start --reconnect 2
ns ping -q -c 3 -i 0.01 192.0.2.2 >/dev/null 2>&1
ns ping -q -i 0.2 192.0.2.2 >/dev/null 2>&1 &
pinger=$!
disown $pinger
check 'connections through which nothing comes do not make it wait for longer' within 25 not up_alive
like 'and it says so' "$(tail -n 2 "$W/up.log" | head -n 1)" 'has not come back in 2 seconds'
kill -KILL $pinger
stop_all

back_start vanish 10
up_start --reconnect 2
ns ping -q -c 15 -i 0.01 192.0.2.2 >/dev/null 2>&1
check 'a back end that stays away: it ends after the time it was given' within 20 not up_alive
like 'and says so' "$(tail -n 2 "$W/up.log" | head -n 1)" 'has not come back in 2 seconds'
stop_all

back_start carrier 10
up_start --mtu 1400
ns ping -q -c 15 -i 0.01 192.0.2.2 >/dev/null 2>&1
check 'the back end'\''s carrier is the TAP'\''s' within 10 grep -q 'the link is down' "$W/up.log"
up_stop
stop_all

back_start carrier-flood 10
: >"$W/up.log"
up_start
changes() { ns ip -s -s -j link show dev eth0 | jq '.[0].stats64.tx.carrier_changes'; }
before=$(changes)
SECONDS=0
ns ping -q -c 15 -i 0.01 192.0.2.2 >/dev/null 2>&1
check 'a carrier that is written without end' within 60 grep -q flooded "$W/back.out"
check 'it is what was written last' within 20 eval '[[ $(link) == *LOWER_UP* ]]'
took=$((SECONDS + 1)) lines=$(grep -c 'the link is' "$W/up.log") n=$(($(changes) - before))
check "it is followed at a pace: $n times in $took s" [ $n -gt 1 -a $n -le $((100 * took)) ]
check "and told at another: $lines lines" [ $lines -gt 1 -a $lines -le $((20 + 10 * took)) ]
pings 'a carrier that was written without end: frames go on'
up_stop
stop_all

# Offloads of frames that have no headers are found out before the TAP sees them.
back_start rx-header 5
up_start --json
pings 'offloads without headers do not disturb'
up_stop
check 'they are counted' within 5 equal '$(jq -r "select(.event == \"end\") | .faults.rx_header" '"$W/up.out)" 2
stop_all

for sin in rx-page rx-endless rx-extra-endless rx-gso-size rx-chain; do
	back_start $sin 5
	up_start
	pings "$sin does not disturb"
	up_stop
	stop_all
done
back_start rx-order 5
up_start
ns ping -q -c 20 -i 0.01 192.0.2.2 >/dev/null 2>&1
check 'a broken ring ends it' within 10 not up_alive
like 'and is told' "$(tail -n 3 "$W/up.log")" 'broke the protocol'
stop_all

back_start none
up_start
ns ip link del eth0
check 'a deleted TAP ends it' within 10 not up_alive
like 'and is told' "$(tail -n 1 "$W/up.log")" 'was deleted'
check 'and the device is closed' within 10 equal '$(front_state)' 1
up_start --no-reconnect
stop_all
check 'told not to, it does not wait for the back end' within 15 not up_alive

back_start none
FRONT_LIMIT=20
net up eth0 --tap 'a b'
is 'a name that no interface can have is refused' "$rc" 2
net up eth0 --mtu 67
is 'an mtu that no interface can have is refused' "$rc" 2
back_stop
kill -KILL $holder
bare_end

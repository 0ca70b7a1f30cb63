#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The network front end against our back end: two guests joined by a pair, frames verified; and a guest whose interface
# is a TAP at both ends, through which the two kernels talk TCP.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start
pair_up() # OPTIONS OF attach...
{
	nic sinner --pair honest/eth0 "$@" >/dev/null && nic honest --pair sinner/eth0 "$@" >/dev/null || bail 'no pair'
}
pair_down() { ctl detach sinner/eth0 --force >/dev/null; ctl detach honest/eth0 --force >/dev/null; }

# peer_start MODE ARGS...: domain 2's end
peer_start()
{
	local mode=$1
	shift
	hostxen run -d 2 -- synth-netfront io eth0 --mode $mode --json "$@" >"$W/peer.out" 2>"$W/peer.log" &
	peer=$!
	children+=($peer)
	within 15 grep -q ': ready' "$W/peer.log" || bail 'the other end does not come up' "$W/peer.log"
}
front() # ARGS...: domain 1's end
{
	timeout -k 5 60 hostxen run -d 1 -- synth-netfront "$@" >"$W/out" 2>"$W/err"
	rc=$?
	cat "$W/err" >>"$W/front.log"
}
got() { jq -r "$1" "$W/out" 2>/dev/null; }

pair_up --queues 4
peer_start reflect --queues 4
# comes_back NAME ARGS...
comes_back()
{
	local name=$1
	shift
	front io eth0 --mode echo --verify --json "$@"
	if [ $rc -eq 0 ] && [ "$(got '.lost == 0 and .twice == 0 and .corrupt == 0 and .bad_checksum == 0 and .faults_total == 0 and
		.tx_errors == 0 and .sent > 0 and .unique > 0 and .flows == .queues')" = true ]; then
		pass "$name"
	else
		fail "$name" "io --mode echo --verify $*" "exit status $rc" "$(cat "$W/out" "$W/err" "$W/peer.log")"
	fi
}
for kind in eth udp4 udp6 tcp4 tcp6; do
	comes_back "$kind there and back" --kind $kind --size 115-1514 --frames 2000 --window 16
	comes_back "$kind there and back, all sizes" --kind $kind --size 115-60000 --frames 300 --window 2
done
for kind in udp4 udp6 tcp4 tcp6; do
	comes_back "$kind, checksums left to the other side" --kind $kind --size 115-1514 --frames 2000 --csum --window 16
done
front io eth0 --kind tcp4 --size 9000 --gso 1400
is 'a pair offers no segmentation, so none is sent' "$rc $(grep -c 'does not offer GSO' "$W/err")" '1 1'
for queues in 2 4; do
	comes_back "$queues queues" --queues $queues --size 60-9000 --frames 2000 --window 8
	is "$queues queues: agreed" "$(got .queues)" $queues
done
comes_back 'looking, not listening' --nap 50 --size 60-9000 --frames 2000 --window 8
comes_back 'one event channel a queue' --no-split --queues 2 --size 60-9000 --frames 2000 --window 8
kill -TERM $peer
wait $peer 2>/dev/null
is 'the reflector ends in peace, and nothing was wrong' "$(jq -r .faults_total "$W/peer.out")" 0

# Not as many queues at both ends: all of them are read
# A sink that does not run for a while loses frames, and with the last of a flow the knowledge of its end: on a busy machine it is tried
# again, at half the rate.  In no try is one wrong.
sink() # QUEUES FILTER WANTED
{
	local rate told
	for rate in 20000 10000 5000 2500; do
		peer_start sink --verify --queues "$1"
		front io eth0 --mode send --verify --json --queues 4 --size 60-9000 --frames 20000 --rate $rate
		within 20 not kill -0 $peer || kill -TERM $peer
		wait $peer
		told="$rc $? $(jq -r "\"\\(.corrupt) \\(.twice) \\(.flows) \\(.flows_ended) \\($2)\"" "$W/peer.out")"
		[[ $told == '0 0 0 0 '* && $told != "$3" ]] || break
	done
	echo "$told"
}
for queues in 1 3; do
	is "four queues to $queues: all flows arrive" "$(sink $queues '.unique > 15000' '0 0 0 0 4 4 true')" '0 0 0 0 4 4 true'
done
is 'a sink knows what was sent, and takes what came' "$(sink 4 '.unique + .lost' '0 0 0 0 4 4 20000')" '0 0 0 0 4 4 20000'
note() { echo "# $*"; }
note "of 20000 frames at 20000 a second $(jq -r .lost "$W/peer.out") were lost"
children=()
pair_down

# Two kernels
if ! command -v ping >/dev/null || ! command -v iperf3 >/dev/null; then
	skip 'TCP through two TAPs' 'ping or iperf3 is not installed'
else
	unshare --net sleep 1000 &
	holder=$!
	disown $holder
	children+=($holder)
	apart() { [ "$(readlink /proc/$holder/ns/net)" != "$(readlink /proc/self/ns/net)" ]; }
	within 10 apart || bail 'no network namespace'
	ns() { nsenter --net=/proc/$holder/ns/net -- "$@"; }
	ns ip link set lo up
	nic sinner --queues 2 >/dev/null
	up_start()
	{
		: >"$W/up.out"
		hostxen run -d 1 -- nsenter --net=/proc/$holder/ns/net -- synth-netfront up eth0 "$@" >"$W/up.out" 2>>"$W/front.log" &
		up=$!
		disown $up
		within 15 grep -q ' is up as ' "$W/up.out" || bail '`up` does not come up' "$W/front.log"
		ns ip addr replace 10.9.0.2/24 dev eth0
		ns ip addr replace fd00:9::2/64 dev eth0 nodad
	}
	up_stop() { kill -TERM $up; within 15 not kill -0 $up; }
	up_start
	ip addr add 10.9.0.1/24 dev vif1.0
	ip addr add fd00:9::1/64 dev vif1.0 nodad
	like 'all offloads were agreed' "$(cat "$W/up.out")" 'csum4 csum6 gso4 gso6'
	check 'ping' ns ping -q -A -c 10 -w 10 10.9.0.1
	check 'ping of IPv6' ns ping -q -A -c 10 -w 10 fd00:9::1
	iperf3 -s -p 5201 >"$W/iperf-server.out" 2>&1 &
	children+=($!)
	disown $!
	within 10 eval 'ss -ltn | grep -q :5201'
	# tcp NAME ARGS OF THE CLIENT...: TCP is the verifier; the two ends count the same bytes, and the front end has no fault
	tcp()
	{
		local name=$1
		shift
		if ns timeout 30 iperf3 -p 5201 --json "$@" >"$W/iperf.out" 2>&1 &&
			[ "$(jq -r '.end.sum_received.bytes > 0 and .end.sum_sent.bytes > 0' "$W/iperf.out")" = true ]; then
			pass "$name"
			note "$name: $(jq -r '.end.sum_received.bits_per_second / 1e9 * 100 | floor / 100' "$W/iperf.out") Gb/s"
		else
			fail "$name" "$(tail -n 5 "$W/iperf.out" "$W/front.log")"
		fi
	}
	tcp 'TCP to the host' -c 10.9.0.1 -n 100M
	tcp 'TCP from the host' -c 10.9.0.1 -n 100M -R
	tcp 'TCP of IPv6 to the host' -c fd00:9::1 -n 100M
	tcp 'TCP of IPv6 from the host' -c fd00:9::1 -n 100M -R
	tcp 'TCP of four connections' -c 10.9.0.1 -n 100M -P 4
	is 'large frames went through: a slot for segments means fewer frames than packets' \
		"$(eval '[ "$(metric sinner/eth0 tx_bytes)" -gt $((10000 * $(metric sinner/eth0 tx_packets))) ] && echo yes')" yes
	# Behind a VLAN tag a kernel looks for no header: it drops what has an open checksum there, or is to be cut.
	tagged() # FRAMES INTERFACE-OF-THE-SENDER INTERFACE-OF-THE-TAKER ARGS... ; a namespace's interface is ns:NAME
	{
		local frames=$1 from=$2 to=$3 run=$SYNTH_SRCDIR/tests/net/tagged.pl taker
		shift 3
		: >"$W/tagged.out"
		${to%%:*} timeout 20 perl "$run" take "${to#*:}" "$frames" >"$W/tagged.out" 2>&1 &
		taker=$!
		within 10 grep -q ready "$W/tagged.out"
		${from%%:*} perl "$run" send "${from#*:}" "$@"
		wait $taker
		tail -n +2 "$W/tagged.out" | paste -sd ' '
	}
	here() { "$@"; }
	cut_before=$(metric sinner/eth0 rx_cut)
	is 'behind a VLAN tag, an open checksum to the guest is finished' "$(tagged 1 here:vif1.0 ns:eth0 1000)" '1000 ok'
	is 'behind a VLAN tag, a packet to be cut comes to the guest in segments' \
		"$(tagged 5 here:vif1.0 ns:eth0 5500 1300)" '1300 ok 1300 ok 1300 ok 1300 ok 300 ok'
	is 'that is counted' "$(($(metric sinner/eth0 rx_cut) - cut_before))" 1
	is 'a packet of more segments than a turn takes' \
		"$(tagged 600 here:vif1.0 ns:eth0 60000 100 | tr ' ' '\n' | sort | uniq -c | paste -sd ' ' | tr -s ' ')" ' 600 100 600 ok'
	is 'behind a VLAN tag, an open checksum from the guest is finished' "$(tagged 1 ns:eth0 here:vif1.0 1000)" '1000 ok'
	is 'behind a VLAN tag, a packet to be cut goes out of the guest in segments' \
		"$(tagged 5 ns:eth0 here:vif1.0 5500 1300)" '1300 ok 1300 ok 1300 ok 1300 ok 300 ok'
	up_stop
	check 'closed: the back end waits again' within 10 equal '$(show sinner/eth0 .state)' InitWait
	up_start --no-gso
	tcp 'TCP without segmentation' -c 10.9.0.1 -n 20M
	tcp 'TCP without segmentation, from the host' -c 10.9.0.1 -n 20M -R
	up_stop
	within 10 equal '$(show sinner/eth0 .state)' InitWait
	up_start --no-csum
	tcp 'TCP without any offload' -c 10.9.0.1 -n 20M
	tcp 'TCP without any offload, from the host' -c 10.9.0.1 -n 20M -R
	ctl detach sinner/eth0 >"$W/detach.out" 2>&1
	is 'detach: the front end lets go' "$?" 0
	check 'detach: that is its end' within 30 not kill -0 $up # after 10 s, in which it might be made anew
	like 'and it says so' "$(tail -n 1 "$W/front.log")" 'detached by the host'
fi
world_end

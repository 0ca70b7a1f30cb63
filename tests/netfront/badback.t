#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A network back end that lies is found out: a ring that cannot be understood ends the interface, a frame that cannot be
# is dropped and counted, and everything else goes on.  Never a crash.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
. "$SYNTH_SRCDIR/tests/netfront/net.sh"
bare_start

after_sin() # NAME
{
	local leaks
	back_stop
	leaks=$(grep leak "$W/back.out")
	[ -z "$leaks" ] || fail "$1: nothing was shown to the back end" "$leaks"
	within 10 guest_empty 1 || fail "$1: nothing stays granted" "$(hostxen list)"
}

# ends NAME SIN STATUS MESSAGE [ARGS OF io...]
ends()
{
	local name=$1 sin=$2 want=$3 message=$4
	shift 4
	back_start "$sin"
	net io eth0 --mode echo --frames 3000 --verify --timeout 2 "$@"
	if [ $rc -eq "$want" ] && grep -qE "$message" "$W/err" "$W/out"; then
		pass "$name"
	else
		fail "$name" "exit status $rc, wanted $want and '$message'" "$(cat "$W/err" "$W/out")"
	fi
	after_sin "$name"
}

# drops NAME SIN FAULT MIN LOST [ARGS OF io...]: at least MIN faults of that kind, LOST frames lost, all others right
drops()
{
	local name=$1 sin=$2 fault=$3 min=$4 lost=$5
	shift 5
	back_start "$sin"
	net io eth0 --mode echo --frames 3000 --verify --timeout 2 --json "$@"
	if [ $rc -eq 0 ] && [ "$(got ".faults.$fault >= $min and .lost == $lost and .twice == 0 and .corrupt == 0 and .unique == 3000 - $lost")" = true ]; then
		pass "$name"
	else
		fail "$name" "exit status $rc, wanted $min of $fault and $lost lost" "$(cat "$W/err" "$W/out")"
	fi
	after_sin "$name"
}

ends 'an honest back end is served' none 0 ' 0 lost, 0 twice'
ends 'an id that is never used' tx-bad-id 1 'broke the protocol: a transmit response with an id we never use' --tx-bufs 64
ends 'an id that is not in flight' tx-idle-id 1 'broke the protocol: a transmit response to a request that is not in flight' --window 1
ends 'the id of an older request with the same page' tx-old-id 1 'broke the protocol: a transmit response to a request that is not in flight'
ends 'a request answered twice' tx-double 1 'broke the protocol'
ends 'an empty answer where there was no extra' tx-null 1 'broke the protocol: more empty transmit responses'
ends 'transmit: a producer index a ring and one ahead' tx-jump 1 'broke the protocol: a producer index beyond'
ends 'transmit: a producer index half the numbers ahead' tx-jump-far 1 'broke the protocol: a producer index beyond'
ends 'transmit: a producer index that goes back' tx-backwards 1 'broke the protocol: a producer index beyond'
ends 'transmit: a producer index one too many (XSA-391)' tx-too-many 1 'broke the protocol'
ends 'receive: an id that is another slot'\''s' rx-id 1 'broke the protocol: a receive response that is not in its'
ends 'receive: two answers in each other'\''s slots' rx-order 1 'broke the protocol: a receive response that is not in its'
ends 'receive: a producer index a ring and one ahead' rx-jump 1 'broke the protocol: a producer index beyond'
ends 'receive: a producer index half the numbers ahead' rx-jump-far 1 'broke the protocol: a producer index beyond'
ends 'receive: a producer index that goes back' rx-backwards 1 'broke the protocol: a producer index beyond'
ends 'receive: a producer index one too many' rx-too-many 1 'broke the protocol'
ends 'random bytes all over both rings' scribble 1 'broke the protocol'

drops 'a transmit status that does not exist' tx-status tx_status 1 1
drops 'offsets and lengths beyond the page' rx-page rx_page 6 0
drops 'receive responses that are errors' rx-status rx_status 2 0
drops 'frames without a header' rx-short rx_short 3 0
drops 'a frame longer than any packet' rx-long rx_long 1 0
drops 'a frame of 30 slots' rx-chain rx_chain 1 0
drops 'a frame that goes on for ten rings' rx-endless rx_chain 1 0
drops 'extras of unknown types' rx-extra-type rx_extra_type 4 0
drops 'extras that go on for ten rings' rx-extra-endless rx_extra_chain 1 0
drops 'an extra behind the second slot' rx-extra-place rx_extra_place 1 0
drops 'GSO sizes of 0 and beyond the frame' rx-gso-size rx_gso_size 2 0
drops 'a GSO type that does not exist' rx-gso-type rx_gso_type 1 0
drops 'a GSO prefix' rx-prefix rx_prefix 1 0
drops 'several slots where they were not asked for' rx-chain rx_unasked 1 0 --no-sg

back_start tx-error
net io eth0 --mode echo --frames 3000 --verify --json
is 'a frame that was not sent is counted' "$rc $(got '"\(.tx_errors) \(.lost) \(.unique)"')" '0 1 1 2999'
after_sin 'a frame that was not sent is counted'

back_start rx-hash
net io eth0 --mode echo --frames 3000 --verify --json
is 'an extra that does no harm, and an empty slot, are taken' "$rc $(got '"\(.lost) \(.faults_total) \(.foreign)"')" '0 0 0 1'
after_sin 'an extra that does no harm, and an empty slot, are taken'

# What cannot be judged by slots is judged by headers, before a TAP sees it: see up.t for that.
back_start rx-header
net io eth0 --mode echo --frames 3000 --verify --json
is 'blank checksums and GSO of what has no headers do not disturb' "$rc $(got '"\(.lost) \(.foreign)"')" '0 0 2'
after_sin 'offloads without headers'

back_start rx-half
net io eth0 --mode echo --frames 20 --verify --json --timeout 2
is 'a frame that never ends keeps nobody waiting' "$rc $(got '.unique')" '0 8'
after_sin 'a frame that never ends keeps nobody waiting'

back_start silent
net io eth0 --mode echo --frames 20 --json --timeout 2
is 'silence is loss' "$rc $(got '.unique')" '0 8'
after_sin 'silence is loss'

ends 'a back end that takes nothing any more is given up on' silent 5 'has stopped taking frames' --window 0

back_start storm
net io eth0 --mode echo --frames 100 --verify --json
is 'an event storm: all frames come' "$rc $(got '.lost')" '0 0'
is 'an event storm is not listened to: fewer than a half of 3000 events are taken' "$(got '.events_received < 1500 and .events_idle > 30')" true
after_sin 'an event storm'

ends 'Closed while connected' closed 1 'the back end has gone' --rate 3000
ends 'Closing while connected' closing 1 'wants the interface back' --rate 3000
ends 'the directory is deleted while connected' vanish 1 'the back end has gone' --rate 3000
ends 'states in no order' states 1 'the back end has gone|wants the interface back' --rate 1000
ends 'a carrier that goes, comes, and is nonsense' carrier 0 'the link is down' --rate 6000
ends 'no feature-rx-copy' no-copy 1 'does not offer feature-rx-copy'
ends 'a mac that is none' bad-mac 1 'its mac is missing or makes no sense'
ends 'a mac of a group' group-mac 1 'its mac is missing or makes no sense'
ends 'no mac' no-mac 1 'its mac is missing or makes no sense'
ends 'a mac and more' long-mac 1 'its mac is missing or makes no sense'
ends 'an mtu that is too small' bad-mtu 0 'the mtu makes no sense'
ends 'an mtu that is too large' huge-mtu 0 'the mtu makes no sense'
ends 'Closing instead of Connected' refuse 1 'the back end refused'
ends 'Closed instead of Connected' refuse-closed 1 'the back end refused'
ends 'never Connected: told after the time-out' never 5 'no answer from the back end in time'
back_start never
hostxen run -d 1 -- synth-netfront io eth0 >"$W/out" 2>"$W/err" &
pid=$!
disown $pid
within 10 equal '$(dom0 xenstore-read /local/domain/1/device/svif/0/state)' 4
kill -TERM $pid
within 10 not kill -0 $pid
is 'never Connected: who is told to end before that says so' "$(grep -c 'interrupted: eth0 was not opened yet' "$W/err")" 1
after_sin 'never Connected and told to end'

back_start offers
net io eth0 --mode echo --frames 3000 --verify --queues 4 --json
is 'switches that are none count as not offered' "$rc $(got '"\(.lost) \(.queues) \(.sg) \(.split_event_channels) \(.offloads)"')" '0 0 1 false false none'
after_sin 'switches that are none count as not offered'
back_start many-queues
net io eth0 --mode echo --frames 3000 --verify --queues 4 --json
is 'any number of queues is offered: what was asked for is taken' "$rc $(got '"\(.lost) \(.queues)"')" '0 0 4'
after_sin 'any number of queues is offered'

# One thread finds the lie, the others must end too.
ends 'all queues end when one is lied to' tx-null 1 'broke the protocol' --queues 4
is 'a lie is told once' "$(grep -c 'broke the protocol' "$W/err")" 1

# A back end that does not follow when we close
back_start no-close
net io eth0 --mode echo --frames 100
is 'a back end that does not close: told' "$rc $(grep -c 'did not close in time' "$W/err")" '5 1'
back_stop

bare_end

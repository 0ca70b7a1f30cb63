#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a guest can put into its transmit and receive rings, its nodes and its states: dropped, or its rings halted; the nic of
# the guest beside goes on.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start

nic sinner --null --queues 4 >/dev/null
nic honest --null >/dev/null
# The honest guest sends for as long as the file runs.
bad_start honest 2 --split 0 connect say ready send 60 100000000
check 'an honest guest sends beside' within 10 said honest ready
honest_goes_on() # NAME
{
	local before
	before=$(metric honest/eth0 tx_packets)
	check "$1: the honest guest is undisturbed" within 10 grown honest/eth0 tx_packets $((before + 100))
}

# sin NAME ANSWERS: dropped, and the next frame is served
dropped()
{
	is "$1 is answered, and the next frame is served" "$(bad 1 0 connect sin "$1" send 60 1 close)" \
		"$(printf 'back end 4\ntx %s\nsent 1\nback end 6' "$2")"
}
dropped short '-1'
dropped smaller-than-fragments '-1 -1'
dropped wrapped-total "$(printf -- '-1 %.0s' {1..17})-1"
dropped too-many-slots "$(printf -- '-1 %.0s' {1..30})-1"
dropped tiny-fragments "$(printf -- '0 %.0s' {1..17})0"
dropped empty-fragments '0 0 0 0'
dropped bad-grant '-1'
dropped bad-grant-in-the-middle '-1 -1 -1'
dropped blank-checksum-of-nothing '-1'
dropped gso-of-nothing '-1 1'
is 'the guest'"'"'s mistakes are counted' "$(metric sinner/eth0 tx_errors)" 8
honest_goes_on 'packets that make no sense'

# halted NAME REASON: deaf from there on, the reason told; a front end that starts afresh is served
halted()
{
	bad_start h 1 0 connect crime "$1" say over line
	check "$1 halts the rings" within 10 eval '[ "$(metric sinner/eth0 broken)" = 1 ]'
	check "$1: the reason is told" within 10 eval '[[ "$(show sinner/eth0 .broken)" =~ '"'$2'"' ]]'
	line h
	is "$1: a front end that starts afresh is served" "$(bad 1 0 connect send 60 1 close)" "$(printf 'back end 4\nsent 1\nback end 6')"
}
halted page-crossing 'crosses the end of its page'
halted unknown-extra 'extra slot of unknown type'
halted missing-extra 'announced and missing'
halted missing-fragment 'announced and missing'
halted endless-chain 'announced and missing'
halted gso-size-0 'size 0'
halted gso-type-9 'unknown type'
halted producer-jump 'producer index'
halted producer-back 'producer index'
halted rx-producer-jump 'producer index'
honest_goes_on 'rings that make no sense'

# Nodes: refused with a reason, and what is right afterwards is served.
refused() # NODE REASON
{
	is "$1 is refused" "$(bad 1 --node "$1" 0 connect)" 'back end 5'
	like "$1: the reason is told" "$(show sinner/eth0 .broken)" "$2"
}
refused request-rx-copy=0 'request-rx-copy'
refused request-rx-copy 'request-rx-copy'
refused feature-sg=yes 'feature-sg is "yes"'
refused multi-queue-num-queues=0 'is 0'
refused multi-queue-num-queues=1000000 'at most 4'
refused tx-ring-ref=4294967295 'could not use'
refused rx-ring-ref 'rx-ring-ref is missing'
refused event-channel=0 'no port'
refused event-channel=77777 'cannot bind'
is 'and a front end that does it right is served' "$(bad 1 --queues 3 --split 0 connect send 60 1 close)" "$(printf 'back end 4\nsent 1\nback end 6')"

# Multicast: 64 addresses, and one more.
is 'the 65th multicast address is refused' "$(bad 1 0 connect join-many 65 close)" "$(printf 'back end 4\nrefused 1\nback end 6')"

# A guest that dies in the middle.
bad_start d 1 0 connect send 60 100000000
check 'a guest sends' within 10 grown sinner/eth0 tx_packets 1000
hostxen destroy 1 >/dev/null
check 'it dies: its nic goes, and nothing of it is mapped' within 15 eval '[ -z "$(show sinner/eth0 .state)" ]'
honest_goes_on 'a domain that dies'
line honest

world_end

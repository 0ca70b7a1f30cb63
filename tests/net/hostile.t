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
dropped first-of-one-byte '0 0'
dropped empty-fragments '0 0 0 0'
dropped empty-first '0 0'
dropped all-empty '-1 -1 -1 -1'
dropped bad-grant '-1'
dropped bad-grant-first '-1 -1 -1'
dropped bad-grant-in-the-middle '-1 -1 -1'
dropped bad-grant-last '-1 -1 -1'
dropped blank-checksum-of-nothing '-1'
dropped gso-of-nothing '-1 1'
is 'the guest'"'"'s mistakes are counted' "$(metric sinner/eth0 tx_errors)" 11
before=$(wc -c <"$W/blkd.log")
is '5000 of them are answered' "$(bad 1 0 connect sins short 5000 close)" "$(printf 'back end 4\nanswered 5000\nback end 6')"
check 'and counted' [ "$(metric sinner/eth0 tx_errors)" = 5011 ]
grown_by=$(($(wc -c <"$W/blkd.log") - before)) # all of them would be 450 KB
check "the log is not what they fill: $grown_by bytes (XSA-180)" [ $grown_by -lt 65536 ]
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
halted longer-than-its-page 'crosses the end of its page'
halted wrapping-offset 'crosses the end of its page'
halted later-page-crossing 'crosses the end of its page'
halted unknown-extra 'extra slot of unknown type'
halted extra-of-type-0 'extra slot of unknown type'
halted missing-extra 'announced and missing'
halted missing-second-extra 'announced and missing'
halted endless-extras 'announced and missing'
halted missing-fragment 'announced and missing'
halted endless-chain 'announced and missing'
halted gso-size-0 'size 0'
halted gso-type-9 'unknown type'
for jump in jump far back one-back; do halted producer-$jump 'producer index'; done # XSA-39
for jump in jump far back; do halted rx-producer-$jump 'producer index'; done
is 'a ring exactly full is served (XSA-38)' "$(bad 1 0 connect full close)" "$(printf 'back end 4\nfull ring answered\nback end 6')"
is 'a receive ring exactly full, too' "$(bad 1 --buffers 256 0 connect send 60 1 close)" "$(printf 'back end 4\nsent 1\nback end 6')"
honest_goes_on 'rings that make no sense'

# XSA-374: a queue that was halted is taken down with the others, whichever it was; and one that was halted twice.
for queue in 0 1 2; do
	bad_start h 1 --queues 3 --split 0 connect queue $queue crime endless-chain crime producer-jump say over line close
	check "queue $queue of three is halted" within 10 eval '[ "$(metric sinner/eth0 broken)" = 1 ]'
	line h
	check "queue $queue of three: closed in peace (XSA-374)" within 10 said h 'back end 6'
done
is 'all three are served afterwards' "$(bad 1 --queues 3 --split 0 connect send 60 1 queue 1 send 60 1 queue 2 send 60 1 close)" \
	"$(printf 'back end 4\nsent 1\nsent 1\nsent 1\nback end 6')"

# What changes while it is read (XSA-155), kicks without work (XSA-332), states in no order (XSA-350).
seed=${SEED:-$RANDOM}
echo "# seed $seed (SEED=$seed repeats it)"
worker=$(show sinner/eth0 .worker)
is 'slots and headers that change while they are read (XSA-155)' "$(bad 1 0 connect flip 2000 "$seed" close)" \
	"$(printf 'back end 4\nmany rings answered\nback end 6')"
honest_goes_on 'slots that change'
before=$(metric sinner/eth0 events_in)
is 'a storm of events: the nic still serves (XSA-332)' "$(bad 1 --split 0 connect storm 3000 send 60 1 close)" \
	"$(printf 'back end 4\nkicked many times\nsent 1\nback end 6')"
taken=$(($(metric sinner/eth0 events_in) - before))
check "the worker woke up $taken times in 3 s (XSA-332)" [ $taken -lt 600 ]
check 'events without work are counted' grown sinner/eth0 events_spurious 1
honest_goes_on 'a storm of events'
is 'states and settings in any order (XSA-350)' "$(bad 1 0 connect states 2000 "$seed")" "$(printf 'back end 4\nmany states')"
is 'afterwards a front end is served' "$(bad 1 0 connect send 60 1 close)" "$(printf 'back end 4\nsent 1\nback end 6')"
honest_goes_on 'states in any order'
is 'it was the same worker throughout: nothing made it fall' "$(show sinner/eth0 .worker)" "$worker"

# Nodes: refused with a reason, and what is right afterwards is served.
refused() # NODE REASON
{
	is "$1 is refused" "$(bad 1 --node "$1" 0 connect)" 'back end 5'
	like "$1: the reason is told" "$(show sinner/eth0 .broken)" "$2"
}
for feature in request-rx-copy feature-sg feature-gso-tcpv4 feature-gso-tcpv6 feature-no-csum-offload feature-ipv6-csum-offload feature-rx-notify; do
	refused $feature=2 "$feature is"
	refused $feature= "$feature is"
	refused $feature=-1 "$feature is"
done
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

# A setting of the guest that never stops changing (XSA-349).  From dom0, where xenstored limits nobody: faster than any guest.
rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$blkd_pid/status"; }
before=$(rss_kb)
flood() # DOMID PATH NAME: its output in $W/NAME
{
	hostxen run -d "$1" -- "$badfront" -n 200000 -t 5000 -N request-multicast-control "$2" flood >"$W/$3" 2>&1 &
	children+=($!)
	disown $!
}
bad_start n 1 0 connect say ready line close
within 10 said n ready
flood 0 /local/domain/1/device/svif/0 flood0
flood 0 /local/domain/1/device/svif/0 flood1
start=$(date +%s%N)
check 'while a setting is written without end, another nic is attached' nic honest --null
check '... set' ctl set honest/eth1 --link down
check '... and detached' ctl detach honest/eth1 --force
took=$((($(date +%s%N) - start) / 1000000))
check "... in time: $took ms" [ $took -lt $((3000 * slow)) ]
check 'the flood has been' within 15 eval 'grep -q written "$W/flood0" && grep -q written "$W/flood1"'
cat "$W/flood0" "$W/flood1" | diag
check "memory is bounded: $before KiB, then $(rss_kb) KiB (XSA-349)" [ "$(rss_kb)" -lt $((before + 8192 * slow)) ]
honest_goes_on 'a flood of settings'
line n
check 'the guest closes in peace' within 15 said n 'back end 6'

# Multicast: 64 addresses, and one more.
is 'the 65th multicast address is refused' "$(bad 1 0 connect join-many 65 close)" "$(printf 'back end 4\nrefused 1\nback end 6')"

# A guest that dies in the middle.
bad_start d 1 0 connect send 60 100000000
check 'a guest sends' within 10 grown sinner/eth0 tx_packets 1000
hostxen destroy 1 >/dev/null
check 'it dies: its nic goes' within 15 eval '[ -z "$(show sinner/eth0 .state)" ]'
check 'and nothing of it is mapped: its domain is gone for good (XSA-371)' within 15 eval '! hostxen list | grep -q "^ *1 "'
honest_goes_on 'a domain that dies'
line honest

world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Frames go and come as they are: over a TAP, over a pair, to nowhere, through a stream socket.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start

is 'a nic is attached and named' "$(nic sinner --null)" 'sinner/eth0'
is 'it waits for its front end' "$(show sinner/eth0 .state)" InitWait
is 'a guest connects and its frames are taken' "$(bad 1 0 connect send 60 1000 send 4096 10 send 9000 3 close)" \
	"$(printf 'back end 4\nsent 1000\nsent 10\nsent 3\nback end 6')"
is 'each is counted' "$(metric sinner/eth0 tx_packets) $(metric sinner/eth0 tx_bytes)" "1013 $((60 * 1000 + 40960 + 27000))"
is 'again, with split event channels' "$(bad 1 --split 0 connect send 60 1000 close)" "$(printf 'back end 4\nsent 1000\nback end 6')"
is 'again, with state 3 first, and a kill at the end' "$(bad 1 --state3 0 connect send 60 10)" "$(printf 'back end 4\nsent 10')"
is 'a successor that finds 4 goes by Closed' "$(bad 1 0 connect send 60 10 close)" "$(printf 'back end 4\nsent 10\nback end 6')"
ctl detach sinner/eth0 --force >/dev/null
check 'nothing is left of it' equal '$(ctl list -H)' ''

# A pair: what one sends the other gets, byte for byte.
nic sinner --pair honest/eth0 >/dev/null
nic honest --pair sinner/eth0 >/dev/null
is 'both ends of a pair know each other' "$(show sinner/eth0 .paired) $(show honest/eth0 .paired)" 'true true'
bad_start b 2 --split 0 connect say ready expect 4 say got send 1514 2 line close
check 'one end is up' within 10 said b ready
like 'the other sends' "$(bad 1 0 connect send 60 1 send 4096 1 send 4097 1 send 9000 1 expect 2 close)" 'rx 1514 flags 0 slots 1.rx 1514 flags 0 slots 1'
check 'and they arrive whole, in order' within 10 said b '^got$'
is 'in as many slots as they take' "$(grep ^rx "$W/b.out")" \
	"$(printf 'rx 60 flags 0 slots 1\nrx 4096 flags 0 slots 1\nrx 4097 flags 0 slots 2\nrx 9000 flags 0 slots 3')"
line b
within 10 said b 'back end 6'
is 'one sends while the other is away' "$(bad 1 0 connect send 60 6000 close | sed -n 2p)" 'sent 6000'
is 'which gets nothing of it when it comes' "$(bad 2 0 connect count 1 500 close | sed -n 2p)" 'got 0 of 1'
ctl detach sinner/eth0 --force >/dev/null
ctl detach honest/eth0 --force >/dev/null

# A TAP: the kernel sees the frames, and ours come back.
nic sinner >/dev/null
check 'the TAP has the name that xentop looks for' iface vif1.0
like 'without a guest it has no carrier' "$(iface vif1.0)" 'NO-CARRIER'
ip addr add 10.9.0.1/24 dev vif1.0
bad_start t 1 0 connect say ready send 60 5 line close
check 'a guest connects over it' within 10 said t ready
check 'with a guest it has' within 10 eval 'iface vif1.0 | grep -q LOWER_UP'
check 'the kernel has what the guest sent' within 10 eval '[ "$(cat /sys/class/net/vif1.0/statistics/rx_packets)" -ge 5 ]'
ping -c 1 -W 1 10.9.0.2 >/dev/null 2>&1
check 'and the guest what the kernel sent (who has 10.9.0.2?)' within 10 grown sinner/eth0 rx_packets 1
line t
ctl detach sinner/eth0 --force >/dev/null
check 'the TAP goes with the nic' not iface vif1.0

world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a person sets: name, MAC, MTU, rate, link, bridge; what a restart, a worker's death and a slow guest leave of it.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start
node() { dom0 xenstore-read "/local/domain/$1" 2>/dev/null; } # PATH

# What was asked for is what is there.
ip link add br0 type bridge && ip link set br0 mtu 1400 up
nic sinner --bridge br0 --mac 00:16:3E:aa:bb:cc --rate 10Mb/s --queues 2 >/dev/null
back=0/backend/vif/1/0
is 'the MAC is told to the guest' "$(node 1/device/svif/0/mac)" 00:16:3e:aa:bb:cc
is 'and to the back end, with bridge, rate and script' "$(node $back/mac) $(node $back/bridge) $(node $back/rate) $(node $back/script | sed 's,.*/,,')" \
	'00:16:3e:aa:bb:cc br0 62500,50000 vif-synth'
is 'the MTU is the bridge'"'"'s' "$(node 1/device/svif/0/mtu)" 1400
like 'the TAP is in the bridge, up, with the MAC of a cable' "$(iface vif1.0)" 'UP.*mtu 1400.*master br0.*fe:ff:ff:ff:ff:ff'
is 'features are offered' "$(for f in rx-copy sg gso-tcpv4 gso-tcpv6 ipv6-csum-offload split-event-channels multicast-control dynamic-multicast-control; do node $back/feature-$f; done | tr -d '\n')" 11111111
is 'so many queues as were asked for' "$(node $back/multi-queue-max-queues)" 2
is 'the kernel'"'"'s back end does not see state 1' "$(node $back/state)" 2
is 'synthctl shows it' "$(show sinner/eth0 '"\(.target) \(.mac) \(.mtu) \(.interface) \(.link)"')" 'bridge:br0 00:16:3e:aa:bb:cc 1400 vif1.0 up'

# Wrong wishes
refuse() # NAME STATUS REGEX ARGS...
{
	local name=$1 want=$2 re=$3 out status
	shift 3
	out=$(nic "$@" 2>&1)
	status=$?
	if [ $status -eq "$want" ] && [[ $out =~ $re ]]; then pass "$name is refused"; else fail "$name is refused" "status $status: $out"; fi
}
refuse 'a bridge that is not there' 3 'no bridge "br9"' honest --bridge br9
refuse 'a bridge that is none' 2 'no bridge of the kernel|no bridge' honest --bridge lo
refuse 'a group as MAC' 2 'no MAC' honest --null --mac 01:00:5e:00:00:01
refuse 'a rate without a unit' 2 'no rate' honest --null --rate 10
for rate in '' , 10Mb '10 Mb/s' -1Mb/s 1e9b/s 10Mb/s@ 10Mb/s@0ms 10Mb/s@1h 99999999999999999999Gb/s 5,x 1,2,3; do
	refuse "a rate of \"$rate\"" 2 'no rate|"rate" must be' honest --null --rate "$rate"
done
refuse 'an MTU of 10' 2 'mtu' honest --null --mtu 10
refuse 'two links' 2 'one link' honest --null --tap x
refuse 'an interface that is no TAP' 1 'no TAP|cannot open' honest --tap br0
refuse 'a TAP that another nic has' 4 'attached already' honest --tap vif1.0
refuse 'a name with a slash' 2 'no name of a network' honest --tap ../x
refuse 'a socket where nobody listens' 1 'cannot connect' honest --stream "$W/nobody"
refuse 'a domain that is not there' 3 'no domain' nobody --null
is 'nothing of it is left' "$(ip -o link | grep -c 'vif2')" 0

# The rate, live: 10 Mb/s is 1.25 MB/s; 2 MB beyond the burst take more than a second.
start=$(date +%s%N)
is 'a limited guest sends' "$(bad 1 0 connect send 1500 1400 close)" "$(printf 'back end 4\nsent 1400\nback end 6')"
took=$((($(date +%s%N) - start) / 1000000))
check "its rate holds it back (2.1 MB in $took ms)" [ $took -ge 1500 ]
check 'waiting for it is counted' grown sinner/eth0 tx_rate_waits 1
bad_start r 1 0 connect send 1500 50000 say over line
check 'a limited guest is connected' within 10 said r 'back end 4'
check 'set changes the rate' ctl set sinner/eth0 --rate none
check 'and the guest, which runs, is free (75 MB)' within 20 said r over
is 'the node says so' "$(node $back/rate)" 0,0
line r
dom0 xenstore-write /local/domain/$back/rate 62500,50000
check 'a rate written into the node by hand counts' within 10 eval '[ "$(show sinner/eth0 .rate)" = 62500,50000 ]'
dom0 xenstore-write /local/domain/$back/rate nonsense
start=$(metric sinner/eth0 tx_packets)
check 'nonsense there changes nothing' eval '[ "$(show sinner/eth0 .rate)" = 62500,50000 ]'
ctl set sinner/eth0 --rate none >/dev/null

# A change counts at once, also for a guest that waits for the end of a period of the rate before.
for rate in none 1GB/s; do
	ctl set sinner/eth0 --rate 4KB/s@60s >/dev/null
	before=$(metric sinner/eth0 tx_rate_waits)
	bad_start r 1 0 connect send 1500 400 say over line
	check 'a guest waits for its rate, 60 s' within 10 grown sinner/eth0 tx_rate_waits $((before + 1))
	start=$SECONDS
	ctl set sinner/eth0 --rate $rate >/dev/null
	check "set --rate $rate ends that" within 20 said r over
	check "at once ($((SECONDS - start)) s)" [ $((SECONDS - start)) -lt 20 ]
	line r
done
ctl set sinner/eth0 --rate none >/dev/null

# The cable
check 'set pulls the cable' ctl set sinner/eth0 --link down
is 'the guest is told' "$(node $back/carrier)" 0
is 'and what it sends is dropped' "$(bad 1 0 connect send 60 1 close)" "$(printf 'back end 4\na frame got -2\nback end 6')"
check 'set plugs it in' ctl set sinner/eth0 --link up
is 'and it goes' "$(bad 1 0 connect send 60 1 close)" "$(printf 'back end 4\nsent 1\nback end 6')"

# A worker that dies, a daemon that is started anew: the TAP stays, and the guest is served again.
bad_start w 1 --split 0 connect say up line send 60 10 say again line send 60 10 say third line
check 'a guest is connected' within 10 said w up
ip link set vif1.0 alias kept
kill -KILL "$(show sinner/eth0 .worker)"
check 'its worker dies and is replaced' within 10 eval '[ "$(show sinner/eth0 .state)" = Connected ] && [ "$(show sinner/eth0 .worker)" != null ]'
line w
check 'it sends on' within 10 said w again
like 'its TAP is the same, in its bridge' "$(ip -d link show vif1.0)" 'master br0(.|
)*alias kept'
ctl set sinner/eth0 --rate 100Mb/s
ctl daemon stop >/dev/null
check 'the daemon stops' blkd_wait_gone 15
like 'the TAP outlives it' "$(iface vif1.0)" 'master br0'
blkd_start
is 'what was set is set' "$(show sinner/eth0 .rate)" 625000,50000
check 'the next daemon connects the guest again' within 15 eval '[ "$(show sinner/eth0 .state)" = Connected ]'
line w
check 'and it sends on' within 15 said w third
like 'still the same TAP' "$(ip -d link show vif1.0)" 'alias kept'
line w
ctl detach sinner/eth0 --force >/dev/null
check 'detached, the TAP goes' within 10 not iface vif1.0

# A TAP that was there before stays.
ip tuntap add mine mode tap
nic sinner --tap mine >/dev/null
is 'a TAP of one queue serves one' "$(node $back/multi-queue-max-queues)" 1
ctl detach sinner/eth0 --force >/dev/null
check 'a TAP of the user stays' iface mine

# A guest that gives no buffers: one frame is held, then all are dropped, until it does.
nic sinner --pair honest/eth0 >/dev/null
nic honest --pair sinner/eth0 >/dev/null
bad_start s 2 --buffers 1 0 connect say up line post 200 count 1 10000 say more line close
check 'a guest with one buffer is up' within 10 said s up
stalled=$(show honest/eth0 .worker)
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$stalled/status"; }
before=$(rss)
is 'the other sends frames of two slots' "$(bad 1 0 connect send 5000 100 close | head -n 2)" "$(printf 'back end 4\nsent 100')"
check 'XSA-392: one slot for a frame of two is a stall, and what comes is dropped' within 10 grown honest/eth0 rx_stalled 2
bad 1 0 connect send 60000 1 send 60000 1 send 60000 1 sleep 1500 send 60000 1 sleep 300 send 60000 1 close >/dev/null
check "nor does it pile up in the stalled guest's worker: $before KiB, then $(rss) (XSA-392)" [ "$(rss)" -lt $((before + 2048 * slow)) ]
check 'the stalled guest holds nothing of the other' eval '[ "$(bad 1 0 connect send 60 10 close | tail -n 1)" = "back end 6" ]'
line s
bad 1 0 connect send 60 1 send 60 1 send 60 1 close >/dev/null
check 'with buffers it is served again' within 15 said s more
line s

# Multicast control
bad_start m 2 --split 0 connect say up expect 1 say one line node request-multicast-control=1 say set line join 9 say joined expect 1 say two line close
check 'a guest listens' within 10 said m up
bad 1 0 connect send-group 100 1 close >/dev/null
check 'without a filter it hears every group' within 10 said m '^one$'
line m
check 'it asks for a filter while it runs' within 10 eval '[ "$(show honest/eth0 .multicast_filter)" = true ]'
bad 1 0 connect send-group 100 3 send 60 1 close >/dev/null
check 'a group it did not name is filtered' within 10 grown honest/eth0 rx_filtered 3
line m
check 'it names one' within 10 said m joined
bad 1 0 connect send-group 100 1 close >/dev/null
check 'and hears it' within 10 grown honest/eth0 rx_packets 5
line m
within 10 said m 'back end 6'

# The filter from the start, as a front end has it that asks before it connects
rx() { metric honest/eth0 rx_packets; }
bad_start m 2 --split --node request-multicast-control=1 0 connect say up line join 9 say joined line leave 9 say left line close
check 'a guest asks for a filter before it connects' within 10 said m up
check 'it has it' within 10 equal '$(show honest/eth0 .multicast_filter)' true
filtered=$(metric honest/eth0 rx_filtered) heard=$(rx)
bad 1 0 connect send-group 100 2 send 60 1 close >/dev/null
check 'no group is heard from the first frame on: also not that of its last connection' within 10 grown honest/eth0 rx_filtered $((filtered + 2))
check 'what is for everybody is' within 10 grown honest/eth0 rx_packets $((heard + 1))
line m
check 'it names a group' within 10 said m joined
bad 1 0 connect send-group 100 3 close >/dev/null
check 'and hears it' within 10 grown honest/eth0 rx_packets $((heard + 4))
line m
check 'it names it no longer' within 10 said m left
bad 1 0 connect send-group 100 4 close >/dev/null
check 'and does not hear it' within 10 grown honest/eth0 rx_filtered $((filtered + 6))
is 'not one too many, and not one too few' "$(rx)" $((heard + 4))
line m
within 10 said m 'back end 6'
bad_start m 2 --node request-multicast-control=yes 0 connect say up line close
within 10 said m up
is 'a wish that is neither 0 nor 1 is none' "$(show honest/eth0 '"\(.state) \(.multicast_filter)"')" 'Connected false'
line m

# pcap: read back by a parser of its own
pcap() { perl "$SYNTH_SRCDIR/tests/net/pcap.pl" "$1" 2>&1; }
trace_start() # FILE ARGS...
{
	local file=$1
	shift
	timeout 40 synthctl trace sinner/eth0 -w "$file" "$@" >/dev/null 2>"$W/trace.err" &
	trace=$!
	children+=($trace)
	within 10 eval '[ "$(metric sinner/eth0 tracing)" = 1 ]'
}
check 'a trace is started' trace_start "$W/p.pcap"
out=$(ctl trace sinner/eth0 -w "$W/second.pcap" 2>&1)
is 'a second one beside it is refused' $? 4
like '... with what to do' "$out" 'cannot trace sinner/eth0: it is recorded already.*synthctl trace sinner/eth0 --stop'
check '... and leaves no file' not [ -e "$W/second.pcap" ]
bad_start m 2 0 connect say up line send 200 1 say sent line close
within 10 said m up
bad_start p 1 0 connect send 60 2 send-group 1514 1 say sent expect 1 close
within 10 said p sent
line m
check 'frames go both ways' within 10 said p 'back end 6'
line m
kill -TERM $trace # Ctrl-C is ignored in a background job of a script
wait $trace
is 'a signal ends it' "$? $(metric sinner/eth0 tracing)" '0 0'
is 'the file has the frames of both ways, whole' "$(pcap "$W/p.pcap")" "$(printf '%s\n' '60 of 60, ffffffffffff, 88b5' '60 of 60, ffffffffffff, 88b5' \
	'1514 of 1514, 01005e090909, 88b5' '200 of 200, ffffffffffff, 88b5')"
if command -v tcpdump >/dev/null; then
	is 'tcpdump reads it' "$(tcpdump -nr "$W/p.pcap" 2>/dev/null | grep -c '^[0-9]')" 4
else
	skip 'tcpdump reads it' 'tcpdump is not installed; the parser above has read it'
fi
refuse_trace=$(ctl trace sinner/eth0 -w "$W/p.pcap" 2>&1)
like 'a file that is there is not written over' "$refuse_trace" 'File exists'
check 'a trace of the first bytes' trace_start "$W/short.pcap" --snaplen 64
bad 1 0 connect send 1514 2 close >/dev/null
check 'it is stopped by another command' ctl trace sinner/eth0 --stop
is 'the file has the first bytes' "$(pcap "$W/short.pcap")" "$(printf '%s\n' '64 of 1514, ffffffffffff, 88b5' '64 of 1514, ffffffffffff, 88b5')"
wait $trace
is 'who waits for it hears that it has ended' "$? $(cat "$W/trace.err")" "1 sinner/eth0 is recorded in $W/short.pcap; Ctrl-C ends it
synthctl: the recording of sinner/eth0 has ended: its worker was replaced (an upgrade, a death), the file cannot be written, or another command ended it
next: what there was before is in $W/short.pcap"
check 'a trace is started, and the daemon upgraded' trace_start "$W/upgrade.pcap"
ctl daemon upgrade >/dev/null
wait $trace
is 'a trace that ends with its worker is told of' "$? $(grep -c 'has ended: its worker was replaced' "$W/trace.err")" '1 1'
check 'a trace of a MiB at most' trace_start "$W/full.pcap" --max-size 1
bad 1 0 connect send 4096 200 send 4096 200 close >/dev/null # dropped or not, they are seen
check 'it ends by itself' within 10 eval '[ "$(metric sinner/eth0 tracing)" = 0 ]'
wait $trace
is '... and so does the command, well' $? 0
is 'and is whole' "$(pcap "$W/full.pcap" | sort | uniq -c | sed 's/^ *//') $(($(stat -c %s "$W/full.pcap") <= 1 << 20))" '254 4096 of 4096, ffffffffffff, 88b5 1'

world_end

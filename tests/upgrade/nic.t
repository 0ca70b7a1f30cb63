#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Nics while the control plane dies, and while it becomes another program: the same worker goes on, or another takes over.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start
nic sinner --pair honest/eth0 >/dev/null
nic honest --pair sinner/eth0 >/dev/null
nic sinner --tap tap9 >/dev/null
bad_start h 2 --split --buffers 256 0 connect say up duplex line close
check 'one end is up' within 10 said h up
bad_start d 1 --buffers 256 0 connect say up duplex line close
check 'and the other' within 10 said d up
check 'frames go both ways' within 10 eval 'grown sinner/eth0 tx_packets 50 && grown sinner/eth0 rx_packets 50'
worker() { show sinner/eth0 .worker; }
status() { ctl daemon status --json | jq -r "$1"; }
more() # NAME: frames go on
{
	local n
	n=$(metric sinner/eth0 tx_packets)
	check "$1: frames go on" within 15 grown sinner/eth0 tx_packets $((${n:-0} + 50))
	n=$(metric honest/eth0 rx_packets)
	is "$1: both are connected, and joined" "$(show sinner/eth0 '"\(.state) \(.paired)"') $(show honest/eth0 '"\(.state) \(.paired)"')" \
		'Connected true Connected true'
}
old=$(worker) tap=$(iface tap9 | cut -d: -f1)
for n in 1 2 3; do
	kill -KILL "$blkd_pid"
	blkd_start
	more "kill -9 number $n of the control plane"
	is "kill -9 number $n of the control plane: the same worker" "$(worker)" "$old"
done
is 'the TAP is the same' "$(iface tap9 | cut -d: -f1)" "$tap"
is 'and shown as before' "$(show sinner/eth1 .interface)" tap9
# A TAP keeps its carrier, as when a worker dies: the host's bridge does not see that another serves the guest.
bad_start t 1 1 connect send 60 10 say up line send 60 100 line close
check 'a nic with a TAP' within 10 said t up
check 'it has a carrier' within 10 eval 'iface tap9 | grep -q LOWER_UP'
links_begin
out=$(ctl daemon upgrade 2>&1)
is 'upgraded' $? 0
line t
check 'upgraded: the guest of the TAP goes on' within 20 said t 'sent 100'
links_end
is 'upgraded: the carrier was there all the time' "$(grep -c 'tap9.*NO-CARRIER' "$W/links")" 0
line t
check 'upgraded: it closes in peace' within 20 said t 'back end 6'
echo "$out" | diag
new=$(worker)
check 'upgraded: another worker' test "${new:-null}" != null -a "$new" != "$old"
more 'upgraded'
is 'upgraded: the TAP is the same' "$(iface tap9 | cut -d: -f1)" "$tap"
is 'upgraded: all workers' "$(status '"\(.upgrade.replaced) \(.upgrade.failed)"')" '2 0'
ctl detach sinner/eth1 >/dev/null
check 'detached: the TAP is gone' within 5 eval '! iface tap9'
for e in h d; do diag <"$W/$e.out"; done
world_end

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: iperf3 each way and both at once, with and without offloads, TCP and UDP: it flows, and without an error
# time: 300
attach_nic eth0
net_up eth0 1
flows() { awk -v n="$1" 'BEGIN { exit !(n > 1) }' || fail "$2: $1 Mb/s"; }
for how in on off; do
	g "ethtool -K \$(nic eth0) tx $how sg $how tso $how gso $how gro $how"
	ethtool -K "$(vif eth0)" tx $how sg $how tso $how gso $how gro $how
	was=$(counter eth0 tx_gso_packets)
	up=$(iperf 10.9.1.1 -t 3)
	down=$(iperf 10.9.1.1 -t 3 -R)
	six=$(iperf fd09:1::1 -t 3)
	flows "$up" "guest to dom0, offloads $how"
	flows "$down" "dom0 to guest, offloads $how"
	flows "$six" "guest to dom0, IPv6, offloads $how"
	both=$(iperf 10.9.1.1 -t 3 --bidir)
	flows "$both" "both, offloads $how"
	is=$(counter eth0 tx_gso_packets)
	note "offloads $how: guest to dom0 $up, IPv6 $six, dom0 to guest $down, both at once $both Mb/s; $((is - was)) packets of the guest to be cut"
	[ $how = off ] || [ "$is" -gt "$was" ]
	[ $how = on ] || [ "$is" = "$was" ]
done
udp=$(iperf 10.9.1.1 -t 2 -u -b 5M -l 64)
udp2=$(iperf 10.9.1.1 -t 2 -u -b 5M -l 1400 -R)
note "UDP, 5 Mb/s offered: 64 bytes from the guest $udp, 1400 bytes to the guest $udp2 Mb/s"
[ "$(counter eth0 tx_errors) $(counter eth0 rx_errors)" = '0 0' ]
detach eth0

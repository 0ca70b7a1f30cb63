# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a nic taken away in the middle of traffic, asked for or by force: it is gone, the guest lives on and takes the next one
# time: 150
for how in '' --force; do
	attach_nic eth0 --queues 2
	net_up eth0 1
	iperf_server
	g '(iperf3 -c 10.9.1.1 -t 100 --bidir >/dev/null 2>&1 & echo $! >/tmp/pid)'
	moved() { [ "$(counter eth0 tx_packets)" -ge 300 ] && [ "$(counter eth0 rx_packets)" -ge 300 ]; }
	eventually 30 moved
	detach eth0 $how
	nothing_left
	g 'no_nic eth0; kill $(cat /tmp/pid) || true'
done
attach_nic eth0
net_up eth0 1
detach eth0

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a guest crashes, and another is destroyed, in the middle of traffic: nothing is left of either, and a third on the same daemon does not notice
# time: 300
bystander=$G
attach_nic eth0
net_up eth0 1
random /srv/down 2
for how in crash destroy; do
	G=$how-$TYPE
	guest_boot "$G"
	attach_nic eth0 --queues 2
	net_up eth0 2
	d=$(domid)
	iperf_server
	g '(iperf3 -c 10.9.2.1 -t 100 --bidir -P 2 >/dev/null 2>&1 &)'
	moved() { [ "$(counter eth0 tx_packets)" -ge 500 ] && [ "$(counter eth0 rx_packets)" -ge 500 ]; }
	eventually 30 moved
	if [ $how = crash ]; then
		g 'echo c >/proc/sysrq-trigger' || : # no answer comes
		eventually 30 refuses running "$G"
	else
		xl destroy "$G"
	fi
	nothing_of_it() { [ -z "$(leftovers "$d")" ]; }
	eventually 20 nothing_of_it
	eventually 10 no_zombie
	G=$bystander
	[ "$(to_guest 10.9.1.1 down)" = "$(sum /srv/down)" ]
done
detach eth0
refuses xenstore-exists /synth

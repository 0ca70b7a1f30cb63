# SPDX-License-Identifier: LGPL-2.1-or-later
# what: kill -9 of the nic's worker, time and again, under iperf3 both ways, ping and a checksummed transfer: packets may be lost, the nic is not; no state moves, nothing leaks
# set: short pvh
# time: 300
kills=${KILLS:-$(amount 12 4)}
id=$(domid)
mappings=$(mapped "$id")
attach_nic eth0 --queues 2
net_up eth0 1
random /srv/down 4
before=$(holds netd eth0)
watch_states
iperf_server
g 'dmesg -c >/dev/null; rm -f /tmp/iperf.*; (iperf3 -c 10.9.1.1 -t 600 --bidir >/tmp/iperf.out 2>&1; echo $? >/tmp/iperf.status) >/dev/null 2>&1 &
	(ping -i 0.2 10.9.1.1 >/tmp/ping.out 2>&1 &)'
moved() { [ "$(counter eth0 tx_packets)" -gt "$1" ] && [ "$(counter eth0 rx_packets)" -gt "$2" ]; }
traffic() {
	_tx=$(counter eth0 tx_packets) _rx=$(counter eth0 rx_packets)
	eventually 30 moved "$_tx" "$_rx"
}
i=0
while [ $i -lt "$kills" ]; do
	worker=$(field eth0 worker)
	traffic
	usleep $((RANDOM % 1000 * 1000))
	kill -9 "$worker"
	eventually 20 another_worker eth0 "$worker"
	[ $((i % 3)) = 1 ] || traffic
	i=$((i + 1))
done
traffic
# The connections of before are still there.
g '[ ! -e /tmp/iperf.status ] || { cat /tmp/iperf.out; exit 1; }; killall iperf3; killall -INT ping
	! dmesg | grep -iE "vif|eth|xen_netfront|netfront|enX"'
noted g 'usleep 300000; grep "packets transmitted" /tmp/ping.out'
[ "$(to_guest 10.9.1.1 down)" = "$(sum /srv/down)" ]
g 'head -c 2097152 /dev/urandom >/tmp/up'
[ "$(from_guest 10.9.1.2 up)" = "$(g 'md5sum </tmp/up' | cut -d' ' -f1)" ]
states_stood
gone() { no_more_than "$before" "$(holds netd eth0)"; }
eventually 10 gone || fail "before: $before, after: $(holds netd eth0)"
g 'rm -f /tmp/up /tmp/iperf.* /tmp/ping.out'
detach eth0
[ "$(mapped "$id")" = "$mappings" ]

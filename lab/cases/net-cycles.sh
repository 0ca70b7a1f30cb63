# SPDX-License-Identifier: LGPL-2.1-or-later
# what: 100 attach and detach cycles of a nic leave no mapped grant, event channel, fd, mapping, process, interface or xenstore node behind
# time: 500
cycle() {
	attach_nic eth0 -q
	ip addr add 10.9.1.1/24 dev "vif$id.0"
	g 'i=$(wait_nic eth0) && ip addr add 10.9.1.2/24 dev $i && ping -c 1 -W 5 10.9.1.1 >/dev/null'
	detach eth0 -q
	g no_nic eth0
}
id=$(domid)
attach_nic eth1 -q
g wait_nic eth1
cycles eth1 netd
detach eth1

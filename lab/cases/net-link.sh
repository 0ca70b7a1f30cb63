# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a nic's cable pulled and plugged again while the guest runs: nothing passes in between, and what counts it says so
# time: 60
attach_nic eth0
net_up eth0 1
was=$(counter eth0 tx_dropped)
synthctl set "$G/eth0" --link down
[ "$(field eth0 link)" = down ]
refuses g 'ping -c 2 -W 2 10.9.1.1'
[ "$(counter eth0 tx_dropped)" -gt "$was" ]
synthctl set "$G/eth0" --link up
g 'reaches 10.9.1.1'
ping -c 2 -W 5 10.9.1.2
detach eth0

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a nic attached to a running guest: ping both ways and in fragments, IPv4 and IPv6, with a static address; it goes again; the kernel's own back ends keep away
# set: short pvh
# time: 100
attach_nic eth0 --mac 00:16:3e:0a:0b:0c
claimed=$(ls /sys/bus/xen-backend/devices | grep -v '^console' || :)
[ -z "$claimed" ] || fail "the kernel's back ends claimed $claimed"
d=$(domid)
[ "$(vif eth0)" = "vif$d.0" ]
net_up eth0 1
g 'cd /sys/class/net/$(nic eth0) && [ "$(cat address)" = 00:16:3e:0a:0b:0c ] && ethtool -i ${PWD##*/} | grep "driver: vif"'
g 'ping -c 3 -i 0.2 -W 5 10.9.1.1 && ping -c 2 -i 0.2 -W 5 -s 8000 10.9.1.1 && ping -c 3 -i 0.2 -W 5 fd09:1::1'
ping -c 3 -i 0.2 -W 5 10.9.1.2
ping -c 2 -i 0.2 -W 5 -s 8000 fd09:1::2
[ "$(counter eth0 tx_packets)" -ge 20 ]
[ "$(counter eth0 tx_errors)" = 0 ]
[ "$(counter eth0 rx_errors)" = 0 ]
xenstore-ls -fp /local/domain/0/backend/vif
synthctl show "$G/eth0"
detach eth0
g no_nic eth0
nothing_left

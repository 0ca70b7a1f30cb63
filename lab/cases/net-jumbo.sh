# SPDX-License-Identifier: LGPL-2.1-or-later
# what: an MTU of 9000 from the bridge: frames of 9014 bytes pass whole both ways
# time: 100
bridge lan 2
ip link set lan mtu 9000
attach_nic eth0 --bridge lan
[ "$(field eth0 mtu)" = 9000 ]
[ "$(cat /sys/class/net/"$(vif eth0)"/mtu)" = 9000 ]
[ "$(xenstore-read "/local/domain/$(domid)/device/vif/0/mtu")" = 9000 ]
# The stock front end does not look at the node; DHCP or the administrator says it.
g 'net_up eth0 2 && ip link set $(nic eth0) mtu 9000 && reaches 10.9.2.1'
random /srv/down 2
g 'head -c 2097152 /dev/urandom >/tmp/up; ethtool -K $(nic eth0) tso off gso off gro off'
ethtool -K "$(vif eth0)" tso off gso off gro off
ethtool -K lan tso off gso off gro off
stat4() { for k in tx_packets tx_bytes rx_packets rx_bytes; do counter eth0 $k; done | xargs; }
was=$(stat4)
g 'ping -c 2 -W 5 -s 8972 10.9.2.1'
is=$(stat4)
set -- $was $is
# Two packets each way (and perhaps ARP), not the fourteen it would take in pieces of 1500.
[ $(($5 - $1)) -le 5 ] && [ $(($6 - $2)) -ge 18000 ] && [ $(($7 - $3)) -le 5 ] && [ $(($8 - $4)) -ge 18000 ]
was=$is
[ "$(to_guest 10.9.2.1 down)" = "$(sum /srv/down)" ]
[ "$(from_guest 10.9.2.2 up)" = "$(g 'md5sum </tmp/up' | cut -d' ' -f1)" ]
is=$(stat4)
note "bulk without segmentation offload, before and after (packets and bytes from the guest, to it): $was, $is"
[ "$(counter eth0 tx_gso_packets) $(counter eth0 rx_gso_packets)" = '0 0' ]
g 'rm /tmp/up'
detach eth0
no_bridge lan

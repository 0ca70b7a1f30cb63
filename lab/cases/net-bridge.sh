# SPDX-License-Identifier: LGPL-2.1-or-later
# what: two guests and dom0 on one bridge, named when attached: each reaches each, IPv4 and IPv6, and bulk arrives whole from guest to guest
# time: 250
other=other-$TYPE
bridge lan 2
guest_boot "$other"
attach_nic eth0 --bridge lan
(G=$other; attach_nic eth0 --bridge lan)
ls /sys/class/net/lan/brif
g 'net_up eth0 2 2'
in_guest "$other" 'net_up eth0 2 3 && reaches 10.9.2.1 && reaches 10.9.2.2 && reaches fd09:2::2 && reaches fd09:2::1'
g 'reaches 10.9.2.3 && reaches fd09:2::3 && head -c 3145728 /dev/urandom >/tmp/up && (httpd -p "[::]:80" -h /tmp || true)'
want=$(g 'md5sum </tmp/up' | cut -d' ' -f1)
[ "$(in_guest "$other" -t 100 'wget -q -O - http://10.9.2.2/up | md5sum' | cut -d' ' -f1)" = "$want" ]
[ "$(in_guest "$other" -t 100 'wget -q -O - "http://[fd09:2::2]/up" | md5sum' | cut -d' ' -f1)" = "$want" ]
note "packets to be cut, sent by one guest and received by the other: $(counter eth0 tx_gso_packets), $(G=$other; counter eth0 rx_gso_packets)"
g 'rm /tmp/up'
detach eth0
guest_destroy "$other"
eventually 20 nothing_left
no_bridge lan

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: two guests with nics that are each other's pair: they reach each other without any interface in dom0, and bulk arrives whole both ways
# time: 250
other=other-$TYPE
guest_boot "$other"
synthctl attach nic "$G" --dev eth0 --pair "$other/eth0"
synthctl attach nic "$other" --dev eth0 --pair "$G/eth0" --wait $((20 * SLOW))
[ "$(field eth0 paired)" = true ]
refuses ls -d /sys/class/net/vif*
g 'net_up eth0 3 2 && (httpd -p "[::]:80" -h /tmp || true) && head -c 2097152 /dev/urandom >/tmp/up'
in_guest "$other" 'net_up eth0 3 3 && reaches 10.9.3.2 && reaches fd09:3::2 && (httpd -p "[::]:80" -h /tmp || true) && head -c 2097152 /dev/urandom >/tmp/up'
one=$(g 'md5sum </tmp/up' | cut -d' ' -f1)
two=$(in_guest "$other" 'md5sum </tmp/up' | cut -d' ' -f1)
[ "$(in_guest "$other" -t 100 'wget -q -O - http://10.9.3.2/up | md5sum' | cut -d' ' -f1)" = "$one" ]
[ "$(g -t 100 'wget -q -O - "http://[fd09:3::3]/up" | md5sum' | cut -d' ' -f1)" = "$two" ]
[ "$(counter eth0 tx_errors) $(counter eth0 rx_errors)" = '0 0' ]
# One goes; the other lives on, and is whole again with the next.
synthctl detach "$other/eth0"
[ "$(field eth0 paired)" = false ]
refuses g 'ping -c 1 -W 2 10.9.3.3'
synthctl attach nic "$other" --dev eth0 --pair "$G/eth0" --wait $((20 * SLOW))
in_guest "$other" 'net_up eth0 3 3 && reaches 10.9.3.2'
g 'rm /tmp/up'
detach eth0
guest_destroy "$other"
eventually 20 nothing_left

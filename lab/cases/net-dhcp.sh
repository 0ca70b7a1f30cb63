# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a guest gets its address, router and name server by DHCP over a bridge of dom0
# time: 100
bridge lan 2
attach_nic eth0 --bridge lan
[ -e /sys/class/net/lan/brif/"$(vif eth0)" ]
[ "$(xenstore-read "/local/domain/0/backend/vif/$(domid)/0/bridge")" = lan ]
# A bridge takes no address of ours for its own.
[ "$(cat /sys/class/net/"$(vif eth0)"/address)" = fe:ff:ff:ff:ff:ff ]
cat >/tmp/udhcpd.conf <<END
start 10.9.2.100
end 10.9.2.100
interface lan
lease_file /tmp/udhcpd.leases
pidfile /tmp/udhcpd.pid
option subnet 255.255.255.0
option router 10.9.2.1
option dns 10.9.2.53
END
: >/tmp/udhcpd.leases
udhcpd -f /tmp/udhcpd.conf 9>&- &
server=$!
g -t 40 - <<'END'
set -e
i=$(wait_nic eth0)
cat >/tmp/dhcp.sh <<'SCRIPT'
#!/bin/busybox sh
[ "$1" != bound ] || {
	ifconfig $interface $ip netmask $subnet
	route add default gw $router
	echo "$ip $subnet $router $dns" >/tmp/lease
}
SCRIPT
chmod +x /tmp/dhcp.sh
udhcpc -i $i -n -q -t 10 -T 2 -s /tmp/dhcp.sh
[ "$(cat /tmp/lease)" = '10.9.2.100 255.255.255.0 10.9.2.1 10.9.2.53' ]
reaches 10.9.2.1
END
ping -c 2 -W 5 10.9.2.100
kill $server
detach eth0
no_bridge lan

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: the story of ./demo --xen, its second part: two stock guests get nics on a bridge, reach each other and dom0, and bulk arrives whole
# set: demo
# guest: own
# time: 300
G=demo-$TYPE
other=demo2-$TYPE
kind=$(echo "$TYPE" | tr a-z A-Z)
shown() { # a command people can type, and what it says
	say "    dom0 \$ $*"
	_out=$("$@" 2>&1) || { say "$_out"; return 1; }
	[ -z "$_out" ] || say "$(echo "$_out" | sed 's/^/    /')"
}
in_it() { # GUEST CMD: the same in a guest
	say "    $1 \$ $2"
	_out=$(in_guest "$1" -t 60 "$2") || { say "$_out"; return 1; }
	[ -z "$_out" ] || say "$(echo "$_out" | sed 's/^/    /')"
}
say ''
say "== two $kind guests, with the kernel and the xen-netfront of Debian, and a bridge"
guest_boot "$G"
guest_boot "$other"
[ -d /sys/module/xen_netback ]
bridge lan 5
say ''
say "-- Attach a nic to each while they run"
shown synthctl attach nic "$G" --bridge lan --wait $((20 * SLOW))
shown synthctl attach nic "$other" --bridge lan --wait $((20 * SLOW))
shown synthctl list nic
shown xl network-list "$G"
g 'net_up eth0 5 2' >/dev/null
in_guest "$other" 'net_up eth0 5 3' >/dev/null
say ''
say "-- Each reaches the other and dom0, IPv4 and IPv6"
g 'reaches 10.9.5.3 && reaches fd09:5::3 && reaches 10.9.5.1 && reaches fd09:5::1' >/dev/null
in_it "$G" 'ping -q -c 3 10.9.5.3 | tail -n 2'
in_it "$G" 'ping -q -c 3 fd09:5::3 | tail -n 2'
in_it "$other" 'ping -q -c 3 10.9.5.1 | tail -n 2'
say ''
say "-- Bulk: iperf3 between guest and dom0, each way (an emulated machine: ./bench lab-net compares with the kernel's netback)"
for way in '10.9.5.1' '10.9.5.1 -R' 'fd09:5::1' 'fd09:5::1 -R'; do
	mbits=$(iperf $way -t 3)
	say "    $G \$ iperf3 -c $way: $mbits Mb/s"
done
say ''
say "-- A file from guest to guest: every byte arrives"
in_it "$G" 'head -c 4194304 /dev/urandom >/tmp/file; md5sum </tmp/file'
g 'httpd -p "[::]:80" -h /tmp || true'
in_it "$other" 'wget -q -O - http://10.9.5.2/file | md5sum'
[ "$(g 'md5sum </tmp/file')" = "$(in_guest "$other" -t 60 'wget -q -O - "http://[fd09:5::2]/file" | md5sum')" ]
say "    dom0 \$ synthctl stat $G/eth0"
synthctl stat "$G/eth0" -H | grep -E ' (tx_packets|rx_packets|tx_gso_packets|rx_gso_packets|tx_errors|rx_errors|events_in|events_out) ' >/tmp/demo.stat
say "$(sed 's/^/    /' /tmp/demo.stat)"
say ''
say "-- Detach"
shown synthctl detach "$G/eth0"
shown synthctl detach "$other/eth0"
guest_destroy "$G"
guest_destroy "$other"
no_bridge lan
eventually 20 nothing_left
say "    nothing is left in xenstore, no interface in dom0"

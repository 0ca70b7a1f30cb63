# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a rate holds what the guest sends to it, and can be changed while it sends; what the guest receives is not held
# time: 120
attach_nic eth0 --rate 4Mb/s
net_up eth0 1
# A limit in Mb/s is held, and used: two thirds of it, or half of what this machine can do without one.
holds() { awk -v n="$1" -v limit="$2" -v free="$free" 'BEGIN { low = limit * 2 / 3; if (low > free / 2) low = free / 2; exit !(n >= low && n <= limit * 1.16) }' ||
	fail "$1 Mb/s at a limit of $2 ($free without)"; }
one=$(iperf 10.9.1.1 -t 6)
[ "$(counter eth0 tx_rate_waits)" -gt 10 ]
synthctl set "$G/eth0" --rate none
free=$(iperf 10.9.1.1 -t 4)
synthctl set "$G/eth0" --rate 16Mb/s
two=$(iperf 10.9.1.1 -t 6)
holds "$one" 4
holds "$two" 16
down=$(iperf 10.9.1.1 -t 3 -R)
note "4 Mb/s: $one, 16 Mb/s: $two, none: $free; to the guest, at 16 Mb/s: $down"
detach eth0

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a rate holds what the guest sends to it, and can be changed while it sends; what the guest receives is not held
# time: 120
attach_nic eth0 --rate 4Mb/s
net_up eth0 1
# Mb/s within LOW and HIGH?
within() { awk -v n="$1" -v a="$2" -v b="$3" 'BEGIN { exit !(n >= a && n <= b) }' || fail "$1 Mb/s, not within $2 and $3"; }
one=$(iperf 10.9.1.1 -t 6)
within "$one" 2.5 4.6
synthctl set "$G/eth0" --rate 16Mb/s
two=$(iperf 10.9.1.1 -t 6)
within "$two" 8 18.5
down=$(iperf 10.9.1.1 -t 3 -R)
synthctl set "$G/eth0" --rate none
three=$(iperf 10.9.1.1 -t 3)
within "$three" "$two" 100000
[ "$(counter eth0 tx_rate_waits)" -gt 10 ]
note "4 Mb/s: $one, 16 Mb/s: $two, none: $three; to the guest, at 16 Mb/s: $down"
detach eth0

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a rate holds what the guest sends to it, and can be changed and lifted; what the guest receives is not held
# time: 150
attach_nic eth0
net_up eth0 1
free=$(iperf 10.9.1.1 -t 5)
# Limits that this machine would exceed, in Kb/s: 4 and 16 Mb/s if it can.
limit() { awk -v free="$free" -v part="$1" -v most="$2" 'BEGIN { n = free * 1000 * part; print int(n < most ? n : most) }'; }
# The first packets are free: 64 KiB, which is much of what a slow machine sends in all.
holds() { awk -v n="$1" -v limit="$2" 'BEGIN { limit /= 1000; exit !(n >= limit / 2 && n <= limit * 1.16 + 0.09) }' || fail "$1 Mb/s at a limit of $2 Kb/s ($free Mb/s without)"; }
for part in 0.25 0.5; do
	at=$(limit $part "$(awk -v p=$part 'BEGIN { print p < 0.5 ? 4000 : 16000 }')")
	waited=$(counter eth0 tx_rate_waits)
	synthctl set "$G/eth0" --rate "${at}Kb/s"
	got=$(iperf 10.9.1.1 -t 8)
	note "at $at Kb/s: $got Mb/s"
	holds "$got" "$at"
	[ "$(counter eth0 tx_rate_waits)" -gt "$waited" ]
done
down=$(iperf 10.9.1.1 -t 3 -R)
synthctl set "$G/eth0" --rate none
note "none: $free, to the guest meanwhile: $down, lifted: $(iperf 10.9.1.1 -t 3)"
detach eth0

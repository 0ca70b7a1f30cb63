# SPDX-License-Identifier: LGPL-2.1-or-later
# what: synthctl trace records a nic's frames, whole and both ways, in pcap's format
# time: 60
attach_nic eth0
net_up eth0 1
rm -f /tmp/trace.pcap
synthctl trace "$G/eth0" -w /tmp/trace.pcap 9>&- &
traced() { [ -s /tmp/trace.pcap ] && [ "$(counter eth0 tracing)" = 1 ]; }
eventually 10 traced
g 'ping -c 5 -W 5 -s 1000 -p a7 10.9.1.1'
synthctl trace "$G/eth0" --stop
wait || : # it hears of the end
# Of each of the ten frames all 976 bytes after ping's own (it counts time in the first ones).
pattern=$(od -An -v -tx1 /tmp/trace.pcap | tr -d ' \n' | grep -o "$(printf 'a7%.0s' $(seq 900))" | wc -l)
note "frames with the pattern, whole: $pattern; packets traced: $(counter eth0 traced_packets)"
[ "$pattern" = 10 ]
[ "$(od -An -tx4 -N 4 /tmp/trace.pcap | tr -d ' ')" = a1b23c4d ]
rm /tmp/trace.pcap
detach eth0

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: synth-netfront on /dev/xen/*, against synth-netd: a nic the guest's kernel does not see becomes a TAP in the guest; bulk arrives whole both ways
# time: 200
attach_user() { synthctl attach nic "$G" --dev eth5 --user-frontend --queues 2; }
attach_user
g 'synth-netfront list; synth-netfront info eth5; [ -z "$(nic eth5)" ]'
noted g -t 60 'synth-netfront io eth5 --frames 2000 --queues 2 --kind udp4 --csum --size 82-1514'
[ "$(counter eth5 tx_packets)" -ge 2000 ]
[ "$(counter eth5 tx_errors)" = 0 ]
g 'modprobe tun; (synth-netfront up eth5 --queues 2 >/tmp/up.log 2>&1 & echo $! >/tmp/pid)
	eventually 20 grep -q " is up as" /tmp/up.log || { cat /tmp/up.log; exit 1; }
	cat /tmp/up.log; echo 0 >/proc/sys/net/ipv6/conf/eth5/accept_dad; ip addr add 10.9.5.2/24 dev eth5; ip addr add fd09:5::2/64 dev eth5; ip link set eth5 up'
host_net "$(vif eth5)" 5
g 'reaches 10.9.5.1 && reaches fd09:5::1 && head -c 3145728 /dev/urandom >/tmp/up'
random /srv/down 3
[ "$(to_guest 10.9.5.1 down)" = "$(sum /srv/down)" ]
[ "$(from_guest '[fd09:5::2]' up)" = "$(g 'md5sum </tmp/up' | cut -d' ' -f1)" ]
g 'rm /tmp/up; kill $(cat /tmp/pid); exits $(cat /tmp/pid) 10 && cat /tmp/up.log'
detach eth5

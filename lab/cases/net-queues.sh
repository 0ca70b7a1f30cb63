# SPDX-License-Identifier: LGPL-2.1-or-later
# what: two queues: the guest's kernel takes both, and both carry traffic each way
# time: 200
attach_nic eth0 --queues 2
net_up eth0 1
[ "$(field eth0 queues)" = 2 ]
[ "$(field eth0 split_events)" = true ]
g 'ls /sys/class/net/$(nic eth0)/queues; [ "$(ls -d /sys/class/net/$(nic eth0)/queues/tx-* | wc -l)" = 2 ]'
# Interrupts of each ring of each queue, as the guest counts them: "q0-tx N" and so on.
irqs() { g 'awk -v n=vif0- "{ if (i = index(\$0, n)) print substr(\$0, i + length(n)), \$2 + \$3 }" /proc/interrupts | sort'; }
before=$(irqs)
up=$(iperf 10.9.1.1 -t 4 -P 8)
down=$(iperf 10.9.1.1 -t 4 -P 8 -R)
after=$(irqs)
note "$(echo "8 flows: guest to dom0 $up, dom0 to guest $down Mb/s; interrupts before:" $before "and after:" $after)"
for ring in q0-tx q0-rx q1-tx q1-rx; do
	a=$(echo "$before" | awk -v r=$ring '$1 == r { print $2 }')
	b=$(echo "$after" | awk -v r=$ring '$1 == r { print $2 }')
	[ "$b" -gt $((a + 10)) ] || fail "ring $ring is not used: $a interrupts before, $b after"
done
random /srv/down 2
[ "$(to_guest 10.9.1.1 down)" = "$(sum /srv/down)" ]
detach eth0
# Offered two, and a guest that takes one.
g 'rmmod xen_netfront && modprobe xen-netfront max_queues=1'
attach_nic eth0 --queues 2
net_up eth0 1
[ "$(field eth0 queues)" = 1 ]
[ "$(to_guest 10.9.1.1 down)" = "$(sum /srv/down)" ]
detach eth0
g 'rmmod xen_netfront && modprobe xen-netfront'

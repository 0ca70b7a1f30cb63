# SPDX-License-Identifier: LGPL-2.1-or-later
# what: 100 attach and detach cycles of a nic leave no mapped grant, event channel, fd, mapping, process, interface or xenstore node behind
# time: 500
cycle() {
	attach_nic eth0 -q
	ip addr add 10.9.1.1/24 dev "vif$id.0"
	g 'i=$(wait_nic eth0) && ip addr add 10.9.1.2/24 dev $i && ping -c 1 -W 5 10.9.1.1 >/dev/null'
	detach eth0 -q
	g no_nic eth0
}
id=$(domid)
# A second nic stays, so that the guest's worker does, and what it may lose piles up.
attach_nic eth1 -q
g wait_nic eth1
worker=$(field eth1 worker)
count() { held "$id" netd "$worker"; }
# The first cycles may leave caches behind.
for _ in 1 2 3; do cycle; done
before=$(count)
[ "$(mapped "$id")" -gt 0 ] || fail "the hypervisor tells of no mapped grant at all"
i=0
while [ $i -lt "${CYCLES:-100}" ]; do
	cycle
	i=$((i + 1))
done
no_more() {
	after=$(count)
	no_more_than "$before" "$after"
}
eventually 10 no_more || fail "before: $before; after: $after"
[ "$(field eth1 worker)" = "$worker" ]
detach eth1
note "$i cycles; before: $before; after: $after"

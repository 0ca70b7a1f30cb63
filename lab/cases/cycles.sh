# SPDX-License-Identifier: LGPL-2.1-or-later
# what: 100 attach and detach cycles leave no mapped grant, event channel, fd, mapping, process or xenstore node behind
# time: 400
img=$(image cycle.img 4M)
other=$(image other.img 4M)
cycle() {
	attach "file:$img" xvdb -q
	g 'wait_dev xvdb && dd if=/dev/xvdb of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null && dd if=/dev/zero of=/dev/xvdb bs=64k count=4 oflag=direct 2>/dev/null'
	detach xvdb -q
	g no_dev xvdb
}
# A second disk stays, so that the guest's worker does, and what it may lose piles up.
attach "file:$other" xvdc -q
g wait_dev xvdc
worker=$(field xvdc worker)
id=$(domid)
count() { held "$id" blkd "$worker"; }
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
[ "$(field xvdc worker)" = "$worker" ]
detach xvdc
note "$i cycles; before: $before; after: $after"

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
ports() { /usr/lib/xen-4.17/bin/lsevtchn "$1" | wc -l; }
fds() { ls /proc/"$1"/fd | wc -l; }
# Grants of the guest which somebody has mapped, as the hypervisor knows them.
mapped() {
	xl dmesg -c >>$LAB/xen.log # what was there belongs to the runner
	xl debug-keys g
	xl dmesg | awk -v id="$1" '/grant-table for remote/ { here = index($0, "d" id " ") } here && /\[0x[0-9a-f]+\]/ { n++ } END { print n + 0 }'
}
# A second disk stays, so that the guest's worker does, and what it may lose piles up.
attach "file:$other" xvdc -q
g wait_dev xvdc
blkd=$(cat $LAB/blkd.pid)
worker=$(field xvdc worker)
id=$(domid)
# NAME=NUMBER...
count() {
	echo "grants=$(mapped "$id") ports=$(ports 0) guest-ports=$(ports "$id") fds=$(fds "$blkd") worker-fds=$(fds "$worker")" \
		"maps=$(wc -l </proc/"$blkd"/maps) worker-maps=$(wc -l </proc/"$worker"/maps)" \
		"processes=$(ps -o comm | grep -c '^synth-blkd') nodes=$(xenstore-ls / | wc -l)"
}
# The first cycles may leave caches behind.
for _ in 1 2 3; do cycle; done
before=$(count)
[ "$(mapped "$id")" -gt 0 ] || fail "the hypervisor tells of no mapped grant at all"
i=0
while [ $i -lt "${CYCLES:-100}" ]; do
	cycle
	i=$((i + 1))
done
# Less is no leak: of what an idle disk has mapped for good, the worker lets go after a while.
no_more() {
	after=$(count)
	for n in $after; do
		was=$(echo " $before" | sed "s/.* ${n%=*}=\([0-9]*\).*/\1/")
		[ "${n#*=}" -le "$was" ] || return 1
	done
}
eventually 10 no_more || fail "before: $before; after: $after"
[ "$(field xvdc worker)" = "$worker" ]
detach xvdc
note "$i cycles; before: $before; after: $after"

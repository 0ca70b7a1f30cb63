# SPDX-License-Identifier: LGPL-2.1-or-later
# what: after many attach and detach cycles dom0 has no port, fd, grant, process or node more than before
# time: 400
img=$(image cycle.img 4M)
cycle() {
	attach "file:$img" xvdb -q
	g 'wait_dev xvdb && dd if=/dev/xvdb of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null'
	detach xvdb -q
}
ports() { /usr/lib/xen-4.17/bin/lsevtchn 0 | wc -l; }
# The first one may leave caches and a lingering worker behind.
cycle
sleep 2
blkd=$(cat $LAB/blkd.pid)
before="ports $(ports) fds $(ls /proc/$blkd/fd | wc -l) nodes $(xenstore-ls / | wc -l) processes $(pgrep -c synth-blkd)"
i=0
while [ $i -lt "${CYCLES:-100}" ]; do
	cycle
	i=$((i + 1))
done
same() {
	after="ports $(ports) fds $(ls /proc/$blkd/fd | wc -l) nodes $(xenstore-ls / | wc -l) processes $(pgrep -c synth-blkd)"
	[ "$after" = "$before" ]
}
eventually 10 same || fail "before: $before; after: $after"
note "$i cycles; $before"

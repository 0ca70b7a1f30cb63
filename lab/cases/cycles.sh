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
attach "file:$other" xvdc -q
g wait_dev xvdc
cycles xvdc blkd
detach xvdc

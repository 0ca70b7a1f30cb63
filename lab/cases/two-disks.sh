# SPDX-License-Identifier: LGPL-2.1-or-later
# what: two disks under load at once, two queues each, do not disturb each other
# time: 150
a=$(image a.img 8M)
b=$(image b.img 8M)
attach "file:$a" xvdb --queues 2
attach "file:$b" xvdc --queues 2
g 'wait_dev xvdb && wait_dev xvdc'
[ "$(field xvdb queues) $(field xvdc queues)" = '2 2' ]
noted g -t 100 'blkverify --seed 11 --ios 300 --depth 32 --max 64k --trim --flush /dev/xvdb &
	blkverify --seed 12 --ios 300 --depth 32 --max 64k --flush /dev/xvdc && wait $!'
detach xvdb
g no_dev xvdb
noted g 'blkverify --seed 13 --ios 50 --depth 8 /dev/xvdc'
detach xvdc
blkverify --scan "$a"
blkverify --scan "$b"

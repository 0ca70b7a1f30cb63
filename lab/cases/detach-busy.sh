# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a disk taken away in the middle of I/O, asked for or by force: the guest's I/O ends, nothing hangs, no sector is torn, guest and name live on
# set: short pvh
# time: 120
img=$(image busy.img 8M)
for how in '' --force; do
	attach "file:$img" xvdb
	g 'wait_dev xvdb; (blkverify --seconds 60 --depth 32 --max 64k /dev/xvdb >/tmp/load 2>&1; echo $? >/tmp/load.status) &'
	eventually 20 busy xvdb 100
	detach xvdb $how
	nothing_left
	g no_dev xvdb
	# It got an error, as it should; it did not wait for ever.
	g 'ends /tmp/load.status || { stuck; exit 1; }
		cat /tmp/load; [ "$(cat /tmp/load.status)" = 1 ]; rm /tmp/load.status'
	blkverify --scan "$img"
done
attach "file:$img" xvdb
g 'wait_dev xvdb && blkverify --ios 50 --depth 8 /dev/xvdb'
detach xvdb

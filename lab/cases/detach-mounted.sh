# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a disk detached, cleanly or by force, while it is mounted: Linux since 5.16 does not refuse; what was synced is in the image, the guest and the name live on
# time: 90
img=$(image mounted.img 16M)
attach "file:$img" xvdb
g 'wait_dev xvdb && mkfs.ext4 -q /dev/xvdb'
for how in '' --force; do
	g "mount /dev/xvdb /mnt && echo 'synced $how' >/mnt/file && sync"
	detach xvdb $how
	nothing_left
	g no_dev xvdb
	g 'umount /mnt'
	attach "file:$img" xvdb
	g wait_dev xvdb
	g 'fsck.ext4 -p /dev/xvdb; [ $? -le 1 ]'
	[ "$(g 'mount /dev/xvdb /mnt && cat /mnt/file && umount /mnt')" = "synced $how" ]
done
detach xvdb

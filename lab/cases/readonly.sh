# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a read-only disk reads, refuses every write, and its image does not change
# set: short pvh
# time: 60
img=$(image ro.img 4M)
random "$img" 4
before=$(sum "$img")
attach "file:$img" xvdb --ro
g wait_dev xvdb
[ "$(g 'cat /sys/block/xvdb/ro')" = 1 ]
[ "$(g 'md5sum </dev/xvdb' | cut -d' ' -f1)" = "$before" ]
refuses g 'dd if=/dev/zero of=/dev/xvdb bs=4k count=1 conv=fsync'
refuses g 'blkdiscard /dev/xvdb'
refuses g 'blockdev --setrw /dev/xvdb && dd if=/dev/zero of=/dev/xvdb bs=4k count=1 oflag=direct conv=fsync'
detach xvdb
[ "$(sum "$img")" = "$before" ]

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a mounted disk is not taken away unless forced; the guest goes on using it meanwhile, and survives the force
# set: short
# time: 90
img=$(image busy.img 16M)
attach "file:$img" xvdb
g 'wait_dev xvdb && mkfs.ext4 -q /dev/xvdb && mount /dev/xvdb /mnt'
st=0
detach xvdb --wait 3 || st=$?
[ $st = 4 ] || fail "detaching a disk in use ended with $st, not 4"
g 'echo more >/mnt/file && sync && umount /mnt && mount /dev/xvdb /mnt && cat /mnt/file'
detach xvdb --force
nothing_left
g 'umount /mnt; true'
g no_dev xvdb
# The name can be used again.
attach "file:$img" xvdb
g 'wait_dev xvdb && mount /dev/xvdb /mnt && cat /mnt/file && umount /mnt'
detach xvdb

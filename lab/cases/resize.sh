# SPDX-License-Identifier: LGPL-2.1-or-later
# what: the guest sees a disk grow while it uses it, and can write the new end
# set: short pvh
# time: 60
img=$(image grow.img 8M)
attach "file:$img" xvdb
g 'wait_dev xvdb && [ "$(blockdev --getsize64 /dev/xvdb)" = 8388608 ]'
g 'mkfs.ext4 -q /dev/xvdb && mount /dev/xvdb /mnt && echo here >/mnt/file'
synthctl resize "$G/xvdb" 12M
grown() { [ "$(g 'blockdev --getsize64 /dev/xvdb')" = 12582912 ]; }
eventually 10 grown
g 'cat /mnt/file && umount /mnt'
g 'echo the end | dd of=/dev/xvdb bs=512 seek=24575 count=1 conv=sync,fsync'
detach xvdb
[ "$(dd if="$img" bs=512 skip=24575 count=1 2>/dev/null | head -c 7)" = 'the end' ]

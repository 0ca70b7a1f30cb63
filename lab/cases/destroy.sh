# SPDX-License-Identifier: LGPL-2.1-or-later
# what: `xl destroy` in the middle of I/O: nothing is left of guest or disk, no sector is torn
# set: short pv
# guest: own
# time: 120
G=doomed-$TYPE
img=$(image doomed.img 8M)
guest_boot "$G"
attach "file:$img" xvda
g 'wait_dev xvda; (blkverify --seconds 60 --depth 32 --max 64k /dev/xvda >/dev/null 2>&1 &)'
eventually 20 busy xvda 100
xl destroy "$G"
eventually 20 nothing_left
eventually 10 no_zombie
blkverify --scan "$img"

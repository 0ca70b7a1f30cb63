# SPDX-License-Identifier: LGPL-2.1-or-later
# what: random reads, writes, discards and flushes, depth 1 to 64, 512 bytes to 1 MiB: every byte as written, in the guest and in the image
# set: short pv
# time: 150
img=$(image verify.img 16M)
attach "file:$img" xvdb
g wait_dev xvdb
noted g -t 60 'blkverify --seed 1 --ios 100 --depth 1 --max 4096 --flush /dev/xvdb'
noted g -t 60 'blkverify --seed 2 --ios 400 --depth 64 --max 64k --flush /dev/xvdb'
noted g -t 60 'blkverify --seed 3 --ios 120 --depth 16 --max 1024k --trim --flush /dev/xvdb'
detach xvdb
blkverify --scan "$img"

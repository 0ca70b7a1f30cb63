# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a guest crashes in the middle of I/O: nothing is left, no sector is torn or misplaced, other guests do not notice
# guest: own
# time: 150
G=crash-$TYPE
img=$(image crash.img 8M)
guest_boot "$G"
attach "file:$img" xvda
g 'wait_dev xvda; (blkverify --seconds 60 --depth 32 --max 64k /dev/xvda >/dev/null 2>&1 &); sleep 2'
in_flight=$(synthctl --json stat "$G/xvda")
g '(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &'
eventually 30 refuses running "$G"
eventually 20 nothing_left
eventually 10 no_zombie
blkverify --scan "$img"

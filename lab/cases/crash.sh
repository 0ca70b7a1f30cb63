# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a guest crashes in the middle of I/O: nothing is left, no sector is torn or misplaced, another guest on the same daemon does not notice
# time: 200
victim=crash-$TYPE
bystander=$G
img=$(image crash.img 8M)
other=$(image other.img 8M)
attach "file:$other" xvdb
G=$victim
guest_boot "$G"
in_guest "$bystander" 'wait_dev xvdb; (blkverify --seconds 10 --depth 4 --max 16k --flush /dev/xvdb >/tmp/load 2>&1; echo $? >/tmp/load.status) &'
attach "file:$img" xvda
g 'wait_dev xvda; (blkverify --seconds 60 --depth 32 --max 64k /dev/xvda >/dev/null 2>&1 &)'
eventually 20 busy xvda 100
g 'echo c >/proc/sysrq-trigger' || : # no answer comes
eventually 30 refuses running "$G"
nothing_of_it() { [ -z "$(leftovers | grep -v "/$(domid "$bystander")/")" ]; }
eventually 20 nothing_of_it
eventually 10 no_zombie
blkverify --scan "$img"
G=$bystander
g -t 60 'ends /tmp/load.status 50; cat /tmp/load; [ "$(cat /tmp/load.status)" = 0 ]; rm /tmp/load.status'
detach xvdb
# A crash is no reboot: nothing is kept for another life.
refuses xenstore-exists /synth

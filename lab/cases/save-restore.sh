# SPDX-License-Identifier: LGPL-2.1-or-later
# what: xl save and xl restore, plain, with disks attached, mounted and under load: the guest goes on with them, nobody has to do anything; also xl save -c
# guest: own
# time: 300
G=saved-$TYPE
a=$(image a.img 8M)
b=$(image b.img 8M)
connected() { [ "$(field "$1" state)" = Connected ]; }
guest_boot "$G"
attach "file:$a" xvda
attach "file:$b" xvdb --queues 2
g 'wait_dev xvda && wait_dev xvdb && mkfs.ext4 -q /dev/xvda && mount /dev/xvda /mnt && echo synced >/mnt/synced && sync && echo in memory >/mnt/not-synced'
g '(blkverify --seconds 15 --depth 16 --max 64k --flush /dev/xvdb >/tmp/load 2>&1; echo $? >/tmp/load.status) &'
eventually 20 busy xvdb
# The guest goes on after it, and so do its disks.
xl save -c "$G" /srv/state
rm /srv/state
connected xvda
connected xvdb
g 'cat /mnt/synced && [ ! -e /tmp/load.status ]'
first=$(domid)
xl save "$G" /srv/state
eventually 10 refuses running
nothing_left
xl restore /srv/state
rm /srv/state
[ "$(domid)" != "$first" ]
eventually 30 connected xvda
eventually 30 connected xvdb
[ "$(field xvdb max_queues)" = 2 ]
[ "$(g -t 60 'cat /mnt/synced /mnt/not-synced' | tr '\n' ' ')" = 'synced in memory ' ]
g -t 90 'ends /tmp/load.status 80; cat /tmp/load; [ "$(cat /tmp/load.status)" = 0 ]'
g 'umount /mnt && fsck.ext4 -f -n /dev/xvda'
detach xvdb
blkverify --scan "$b"
guest_destroy "$G"
eventually 20 nothing_left
# Destroyed, not suspended: nothing is kept for another life.
refuses xenstore-exists /synth

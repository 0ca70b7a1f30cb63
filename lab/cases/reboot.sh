# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a guest reboots in the middle of I/O: the old domain is let go whole, and the new one boots with its disks and finds what was flushed
# guest: own
# time: 200
G=again-$TYPE
a=$(image a.img 8M)
b=$(image b.img 8M)
guest_create "$G" "on_reboot='restart'"
synthctl attach disk "$G" "file:$a=xvda"
synthctl attach disk "$G" "file:$b=xvdb"
xl unpause "$G"
guest_wait "$G"
first=$(domid)
g 'wait_dev xvda && echo flushed | dd of=/dev/xvda bs=512 seek=100 count=1 conv=sync,fsync'
g 'wait_dev xvdb; (blkverify --seconds 60 --depth 32 /dev/xvdb >/dev/null 2>&1 &)'
eventually 20 busy xvdb 100
g '(usleep 300000; reboot -f) >/dev/null 2>&1 &'
new_domain() { id=$(domid) && [ -n "$id" ] && [ "$id" != "$first" ]; }
eventually 60 new_domain
guest_wait "$G"
old_gone() { [ -z "$(leftovers "$first")" ]; }
eventually 10 old_gone
# Nobody attached them again: they were there when the new kernel looked.
[ "$(g 'wait_dev xvda && dd if=/dev/xvda bs=512 skip=100 count=1 2>/dev/null | head -c 7')" = flushed ]
g 'wait_dev xvdb && blkverify --ios 100 --depth 8 /dev/xvdb'
blkverify --scan "$b"
guest_destroy "$G"
eventually 20 nothing_left
refuses xenstore-exists /synth

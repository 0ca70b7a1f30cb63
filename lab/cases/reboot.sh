# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a guest reboots in the middle of I/O: the old domain is let go whole, and the new one finds what was written and flushed
# guest: own
# time: 200
G=again-$TYPE
img=$(image reboot.img 8M)
guest_create "$G" "on_reboot='restart'"
synthctl attach disk "$G" "file:$img=xvda"
xl unpause "$G"
guest_wait "$G"
first=$(domid)
g 'wait_dev xvda && echo flushed | dd of=/dev/xvda bs=512 seek=100 count=1 conv=sync,fsync'
g '(blkverify --seconds 60 --depth 32 /dev/xvda &) ; sleep 1; (sleep 1; reboot -f) >/dev/null 2>&1 &'
new_domain() { id=$(domid) && [ -n "$id" ] && [ "$id" != "$first" ]; }
eventually 30 new_domain
guest_wait "$G"
eventually 10 test -z "$(leftovers "$first")"
# xl does not make other toolstacks' devices again; `synthctl attach` does.
attach "file:$img" xvda
g 'wait_dev xvda && blkverify --ios 100 --depth 8 /dev/xvda'
guest_destroy "$G"
eventually 20 nothing_left

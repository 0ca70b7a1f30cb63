#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each front end's own order of states, as the drivers and firmwares do it.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
world_start
V=51712
begin() { kattach sinner null:8M xvda >/dev/null || fail "$1: attach"; hold 1 $V "${@:2}"; }
end() { check "$1: detach" ctl detach --force sinner/xvda; drop; }

begin linux
is 'born in InitWait' "$(back 1 $V state)" 2
step linux 1 $V 3 4
step linux 1 $V 4 4
step linux 1 $V 5 5
step linux 1 $V 6 6
step 'linux again' 1 $V 1 2
step 'linux again' 1 $V 3 4
end linux

begin windows
step 'windows, closing first' 1 $V 5 5
step 'windows, closing first' 1 $V 6 6
step windows 1 $V 1 2
guest 1 xenstore-write device/vbd/$V/multi-queue-num-queues 1
step windows 1 $V 3 4
step windows 1 $V 4 4
step windows 1 $V 5 5
step windows 1 $V 6 6
end windows

begin mini-os
step mini-os 1 $V 4 4
step mini-os 1 $V 5 5
step mini-os 1 $V 6 6
step mini-os 1 $V 1 2
end mini-os

begin OVMF
step OVMF 1 $V 4 4
step 'OVMF: exactly Closing' 1 $V 5 5
step 'OVMF: exactly Closed' 1 $V 6 6
step OVMF 1 $V 1 2
end OVMF

begin GRUB
step GRUB 1 $V 3 4
step 'GRUB: no Closing' 1 $V 6 6
guest 1 xenstore-write device/vbd/$V/ring-ref '' device/vbd/$V/event-channel ''
step 'GRUB: blank nodes' 1 $V 1 2
is 'GRUB: blank nodes are no error' "$(show sinner/xvda .broken)" null
drop
hold 1 $V
step 'the kernel after GRUB' 1 $V 3 4
end GRUB

begin kexec
step kexec 1 $V 3 4
step kexec 1 $V 5 5
step kexec 1 $V 6 6
step kexec 1 $V 1 2
step kexec 1 $V 3 4
end kexec

begin 'a guest that crashed'
step 'a guest that crashed' 1 $V 3 4
step 'a guest that starts again without closing' 1 $V 1 2
step 'a guest that starts again without closing' 1 $V 3 4
end 'a guest that crashed'

begin 'several queues' 2 2
step 'two queues of four pages' 1 $V 3 4
is 'two queues of four pages are shown' "$(show sinner/xvda '"\(.queues) \(.ring_pages) \(.protocol)"')" '2 4 x86_64-abi'
for s in '' x 9 -1 99999999999 7; do
	front 1 $V "$s"
	sleep 0.1
done
is 'state nodes that are none change nothing' "$(back 1 $V state)" 4
step 'and it closes as ever' 1 $V 5 5
end 'several queues'

begin refused
guest 1 xenstore-write device/vbd/$V/ring-page-order 32
step 'unusable nodes: Closing' 1 $V 3 5
like 'unusable nodes: the reason is in xenstore' "$(back 1 $V error)" 'ring-page-order is "32", but at most 4'
like 'unusable nodes: and shown' "$(show sinner/xvda .broken)" 'ring-page-order'
step 'unusable nodes: closed' 1 $V 6 6
step 'unusable nodes: started again' 1 $V 1 2
guest 1 xenstore-rm device/vbd/$V/ring-page-order
step 'usable nodes then' 1 $V 3 4
is 'the reason is gone' "$(show sinner/xvda .broken)" null
check 'the error node is gone' gone "$(back_dir 1 $V)/error"
end refused

begin 'a port that is none'
guest 1 xenstore-write device/vbd/$V/event-channel 4000
step 'a port that is none' 1 $V 3 5
like 'a port that is none: told' "$(back 1 $V error)" 'cannot bind event channel 4000'
end 'a port that is none'

begin 'a grant that is none'
guest 1 xenstore-write device/vbd/$V/ring-ref 60000
step 'a grant that is none' 1 $V 3 5
like 'a grant that is none: told' "$(back 1 $V error)" 'could not use'
end 'a grant that is none'
world_end

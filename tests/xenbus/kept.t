#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks of domains that come back with another number: saved and restored, rebooting. And of those that do not.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
world_start
img=$(image a.img 8M)
uuid=01234567-89ab-4cde-8f01-23456789abcd
kept=/synth/kept/$uuid/vbd
state_of() { hostxen list --json | jq -r ".[] | select(.domid == $1) | .state"; }
is_state() { [ "$(state_of "$1")" = "$2" ]; }
# life DOMID: a domain of that UUID; end DOMID REASON: it shuts down, then its toolstack removes it as xl does
life() { hostxen create "$1" --name phoenix --uuid $uuid; }
end()
{
	hostxen shutdown "$1" "$2" && dom0 xenstore-rm "/local/domain/$1/device" || return 1
	dom0 xenstore-rm "/local/domain/0/backend/vbd/$1" "/libxl/$1/device"
	within 8 not known "$1/xvda" && hostxen destroy "$1"
}
known() { ctl show "$1" >/dev/null 2>&1; }
running() { is_state "$1" running; }
quiet() { gone /synth; }

life 5
kattach phoenix "$img" xvda --queues 3 --ro >/dev/null
attach phoenix "$(image b.img 4M)" xvdb >/dev/null
check 'suspended: the device goes with its domain' end 5 suspend
check 'suspended: its disks are kept' there $kept/51712
is 'suspended: nobody else may read that' "$(dom0 xenstore-ls -p /synth | grep -c '(n0)$')" "$(dom0 xenstore-ls -p /synth | wc -l)"
check 'another domain gets nothing of it' hostxen create 6 --name other
is 'another domain gets nothing of it' "$(ctl list other --json | jq '.devices | length')" 0
life 7
check 'restored: attached again, under the new number' within 8 known 7/xvda
check 'restored: the second disk too' within 8 known 7/xvdb
is 'restored: as it was asked for' "$(show 7/xvda '"\(.ro) \(.max_queues) \(.user_frontend) \(.target)"')" "true 3 false file:$img"
is 'restored: as it was asked for, the second' "$(show 7/xvdb '"\(.ro) \(.user_frontend)"')" 'false true'
check 'restored: the domain runs' within 8 running 7
check 'restored: nothing is kept any more' within 8 quiet

check 'rebooting: the device goes with its domain' end 7 reboot
life 8
check 'rebooting: attached again' within 8 known 8/xvda
check 'rebooting: nothing is kept any more' within 8 quiet

check 'a reboot that led to nothing' end 8 reboot
dom0 xenstore-write $kept/51712/synth/since 1000 $kept/51728/synth/since 1000
life 9
check 'a reboot that led to nothing long ago is forgotten' within 8 quiet
is 'a reboot that led to nothing long ago is forgotten: no disk' "$(ctl list 9 --json | jq '.devices | length')" 0

kattach phoenix "$img" xvda >/dev/null
check 'powered off: gone' end 9 poweroff
check 'powered off: nothing is kept' quiet
life 10
kattach phoenix "$img" xvda >/dev/null
check 'crashed: gone' end 10 crash
check 'crashed: nothing is kept' quiet
life 11
kattach phoenix "$img" xvda >/dev/null
hostxen destroy 11
check 'destroyed: gone' within 8 not known 11/xvda
check 'destroyed: nothing is kept' quiet
life 12
kattach phoenix "$img" xvda >/dev/null
hostxen shutdown 12 suspend
ctl detach 12/xvda --force >/dev/null
check 'detached by hand from a suspended domain: nothing is kept' quiet
hostxen destroy 12

# What cannot be attached again.
life 13
kattach phoenix "$img" xvda >/dev/null
end 13 suspend
mv "$img" "$img.away"
life 14
check 'restored without its image: the domain is held' within 8 is_state 14 paused
check 'restored without its image: it is told' within 8 grep -q 'phoenix/xvda: cannot be attached again' "$W/blkd.log"
check 'restored without its image: still kept' there $kept/51712
mv "$img.away" "$img"
check 'attached by hand it is there' kattach phoenix "$img" xvda
check 'attached by hand: nothing is kept any more' quiet
end 14 reboot
mv "$img" "$img.away"
life 15
is_told() { [ "$(grep -c 'phoenix/xvda: cannot be attached again' "$W/blkd.log")" = 2 ]; }
check 'booting without its image: it is told' within 20 is_told
check 'booting without its image: the domain runs' within 8 running 15
mv "$img.away" "$img"
hostxen destroy 15
dom0 xenstore-rm /synth

# The daemon is not there when it happens.
life 16
kattach phoenix "$img" xvda >/dev/null
end 16 suspend
ctl daemon stop >/dev/null
blkd_wait_gone
life 17
blkd_start
check 'a daemon that starts later looks for domains that came' within 8 known 17/xvda
check 'a daemon that starts later: nothing is kept any more' within 8 quiet
hostxen destroy 17

# The daemon goes while it holds a domain, whose image is still busy: one pause, and it is the next daemon's to take back.
held() # OLD NEW CMD...: NEW is held, CMD happens, the image gets free
{
	life "$1"
	kattach phoenix "$img" xvda >/dev/null
	end "$1" suspend || return 1
	flock -x "$img" sleep 600 &
	locker=$!
	disown $locker
	within 5 not flock -n -x "$img" true || return 1
	life "$2"
	within 8 is_state "$2" paused || return 1
	shift 2
	"$@"
}
free() { kill $(pgrep -P $locker) $locker; }
killed() { kill -KILL "$blkd_pid"; blkd_wait_gone; blkd_start; }
stopped() { ctl daemon stop >/dev/null; blkd_wait_gone; blkd_start; }
n=20
for how in killed stopped 'ctl daemon upgrade'; do
	check "$how while it holds a domain" held $n $((n + 1)) $how
	check "$how: it is still held" is_state $((n + 1)) paused
	check "$how: once" eval '[ "$(dom0 xenstore-read $kept/held)" = '$((n + 1))' ]'
	free
	check "$how: the next one attaches its disk" within 20 known $((n + 1))/xvda
	check "$how: and lets it run" within 8 running $((n + 1))
	check "$how: nothing is kept any more" within 8 quiet
	hostxen destroy $((n + 1))
	n=$((n + 2))
done
# A domain that stays paused is not paused again with each other domain that comes.
life 30
kattach phoenix "$img" xvda >/dev/null
end 30 suspend
mv "$img" "$img.away"
life 31
check 'a disk that cannot be attached: held' within 8 is_state 31 paused
told=$(grep -c 'phoenix/xvda: cannot be attached again' "$W/blkd.log")
is_told_again() { [ "$(grep -c 'phoenix/xvda: cannot be attached again' "$W/blkd.log")" -gt "$told" ]; }
hostxen create 32 --name another
check 'another domain comes: it is tried again' within 8 is_told_again
mv "$img.away" "$img"
hostxen create 33 --name yetanother
check 'attached at last, when a third one comes' within 8 known 31/xvda
check 'and lets it run' within 8 running 31
check 'nothing is kept any more then' within 8 quiet
world_end

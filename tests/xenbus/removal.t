#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# How devices go: asked by us or by another toolstack, by force, with their directories, with their domain.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
world_start --linger 2
V=51712
F=/local/domain/1/device/vbd/$V B=$(back_dir 1 $V) L=/libxl/1/device/vbd/$V
all_gone() { gone $F && gone "$B" && gone $L; }
known() { ctl show sinner/xvda; }
begin() { kattach sinner "$1" xvda >/dev/null || fail "attach"; hold 1 $V; front 1 $V 3; within 8 is_back 1 $V 4 || fail "connect"; }
img=$(image a.img 8M)

kattach sinner "$img" xvda >/dev/null
check 'never connected: detached at once' ctl detach sinner/xvda
check 'never connected: nothing is left' all_gone
check 'empty parents are pruned' gone /local/domain/0/backend/vbd/1

begin "$img"
ctl detach sinner/xvda --wait 20 >"$W/detach.out" 2>&1 &
dp=$!
check 'detach: we ask the guest' within 8 is_back 1 $V 5
is 'detach: served until the guest lets go' "$(show sinner/xvda .phase)" detaching
front 1 $V 6
wait $dp
is 'detach: ends well' $? 0
check 'detach: nothing is left' all_gone
drop

begin "$img"
ctl detach sinner/xvda --wait 1 >"$W/detach.out" 2>&1
is 'a guest that refuses: busy' $? 4
like 'a guest that refuses: what next' "$(cat "$W/detach.out")" 'force'
is 'a guest that refuses: still served' "$(show sinner/xvda .phase)" detaching
check 'force' ctl detach --force sinner/xvda
check 'force: nothing is left' all_gone
check 'force: no page is mapped' within 5 equal '$(dom_info 1 grants)' "$(dom_info 1 grants)"
drop

begin "$img"
dom0 xenstore-write "$B/online" 0 "$B/state" 5
front 1 $V 5
check 'xl block-detach: closed' within 8 equal "\$(show sinner/xvda .phase)" detaching
front 1 $V 6
check 'xl block-detach: Closed within its ten seconds' within 8 is_back 1 $V 6
check 'xl block-detach: xl can read the script node' there "$B/script"
dom0 xenstore-rm $F "$B" $L
check 'xl block-detach: forgotten when xl has removed it' within 5 not known
drop

begin "$img"
dom0 xenstore-write "$B/online" 0 "$B/state" 5
front 1 $V 6
check 'a toolstack that forgets: Closed' within 8 is_back 1 $V 6
check 'a toolstack that forgets: we clean up' within 8 all_gone
check 'a toolstack that forgets: forgotten' within 5 not known
drop

begin "$img"
dom0 xenstore-rm $F
check 'front end directory removed: let go' within 8 is_back 1 $V 6
check 'front end directory removed: cleaned up' within 8 all_gone
drop

begin "$img"
dom0 xenstore-rm "$B"
check 'back end directory removed: forgotten' within 8 not known
check 'back end directory removed: not made again' gone "$B"
check 'back end directory removed: the rest is cleaned up' within 5 all_gone
drop

begin "$img"
dom0 xenstore-rm $F "$B" $L
check 'all directories removed: forgotten' within 8 not known
kattach sinner "$img" xvda >/dev/null
is 'all directories removed: the image is free, the name too' $? 0
drop
ctl detach --force sinner/xvda >/dev/null

begin "$img"
dom0 xenstore-write "$B/synth/uuid" 'somebody-else'
ctl detach --force sinner/xvda >/dev/null 2>&1
check "another's directory in our place is left alone" there "$B/params"
dom0 xenstore-rm $F "$B" $L
drop

# a domain dies, and its number is used again
begin "$img"
attach honest null:8M xvdb >/dev/null
drop
hostxen destroy 1
check 'domain destroyed: its device goes' within 8 not known
check 'domain destroyed: our directories go' within 5 all_gone
check 'domain destroyed: nothing of libxl is left' gone /libxl/1
is 'domain destroyed: others stay' "$(show honest/xvdb .state)" InitWait
hostxen create 1 --name sinner
begin "$img"
is 'the same number again: connected' "$(show sinner/xvda .phase)" connected
drop
hostxen destroy 1 && hostxen create 1 --name second
check 'destroyed and made again at once: the old device goes' within 8 not ctl show 1/xvda
kattach second "$img" xvda >/dev/null
is 'and the new domain can have it' $? 0
is 'by its new name' "$(show second/xvda .device)" second/xvda
ctl detach second/xvda >/dev/null
world_end

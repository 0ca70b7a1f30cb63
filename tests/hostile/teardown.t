# SPDX-License-Identifier: LGPL-2.1-or-later
# teardown.t - front ends that die, close, vanish or change their mind in the middle of everything.  After each nothing stays
# mapped, and the device serves the next front end.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
honest_start

img=$(image a.img 8M)
seed=${SEED:-$RANDOM}
echo "# seed $seed (SEED=$seed repeats it)"
attach sinner "$img" xvda --queues 4 >/dev/null
line() { tr '\n' ' '; }
no_domain() { [ -z "$(dom_info "$1" state)" ]; }

is 'states toggled at random at full speed (XSA-350)' "$(bad 1 -s "$seed" -t 2000 51712 toggle | line)" 'toggled many reusable yes '
is 'states toggled at random, persistent, 4 queues' "$(bad 1 -s "$seed" -p -q 4 -o 1 -t 1500 51712 toggle | line)" \
	'toggled many reusable yes '
undisturbed 'states toggled'

# The guest's process dies with a full ring: its grants are kept as long as somebody maps them.
for shape in '' '-p' '-q 4 -o 2 -p'; do
	# shellcheck disable=SC2086
	bad 1 $shape 51712 die >"$W/out" 2>&1
	check "front end killed with a full ring, ${shape:-plain}: the next one is served" bad 1 -n 5 51712 verify
done
bad 1 -p -q 4 -o 2 51712 die >"$W/out" 2>&1
ctl detach sinner/xvda --force >/dev/null
check 'front end killed with a full ring, then detached: nothing stays mapped (XSA-371)' within 10 guest_empty 1
attach sinner "$img" xvda --queues 4 >/dev/null
undisturbed 'front ends killed'

for shape in '' '-p' '-a x86_32'; do
	# shellcheck disable=SC2086
	is "grants revoked while requests are in flight, ${shape:-plain}" "$(bad 1 $shape 51712 revoke | line)" 'answered all alive yes '
done
is 'closed at once with a full ring: all is answered before Closed' "$(bad 1 51712 close-busy | line)" \
	'back 6 answered 32 of 32 reusable yes '
undisturbed 'grants revoked'

rounds=200
is "connected and disconnected $rounds times" "$(bad 1 -n $rounds 51712 reconnect)" "reconnected $rounds"
is 'connected and disconnected 30 times, 4 queues, persistent' "$(bad 1 -n 30 -q 4 -o 1 -p 51712 reconnect)" 'reconnected 30'
check 'after 230 connections nothing stays mapped' within 10 guest_empty 1

gone() { ! ctl show sinner/xvda >/dev/null 2>&1; }
back=/local/domain/0/backend/vbd/1/51712
is 'own directory removed with a full ring: the back end goes' "$(bad 1 51712 rmdir)" 'back 0'
check 'own directory removed: the device is gone from the list' within 10 gone
check 'own directory removed: nothing stays mapped' within 10 guest_empty 1
check 'own directory removed: the name can be used again' attach sinner "$img" xvda
undisturbed 'own directory removed'

# dom0 (another toolstack) removes directories under a connected front end
background hostxen run -d 1 -- "$badfront" -t 60000 51712 hold >"$W/hold" 2>&1
within 10 test -s "$W/hold"
dom0 xenstore-rm $back
check 'back directory removed by dom0: the device goes' within 10 gone
children_kill
check 'back directory removed by dom0: nothing stays mapped' within 10 guest_empty 1
dom0 xenstore-rm /local/domain/1/device/svbd/51712 2>/dev/null
dom0 xenstore-rm /libxl/1/device/vbd/51712 2>/dev/null
check 'back directory removed by dom0: the name can be used again' attach sinner "$img" xvda
dom0 xenstore-rm /local/domain/1/device
check 'all devices of a guest removed by dom0: the device goes' within 10 gone
undisturbed 'directories removed by dom0'

# xl destroy in the middle of I/O
attach sinner "$img" xvda >/dev/null
background hostxen run -d 1 -- "$badfront" -p -t 60000 51712 full
within 10 more_requests sinner/xvda 100
hostxen destroy 1 --kill
check 'domain destroyed with a full ring: the device goes' within 10 gone
check 'domain destroyed with a full ring: the domain is gone, so nothing of it is mapped' within 10 no_domain 1
check 'domain destroyed: no node is left' not dom0 xenstore-read $back/state
undisturbed 'a domain destroyed'

world_end

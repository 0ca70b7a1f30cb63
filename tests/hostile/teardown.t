# SPDX-License-Identifier: LGPL-2.1-or-later
# teardown.t - front ends that die, close, vanish or change their mind in the middle of everything.  After each nothing stays
# mapped, and the device serves the next front end.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start --linger 1
honest_start

img=$(image a.img 8M)
seed=${SEED:-$RANDOM}
echo "# seed $seed (SEED=$seed repeats it)"
attach sinner "$img" xvda --queues 4 >/dev/null
# 200 connections take a while, since a guest that changes its state all the time is slowed down: beside everything else
rounds=200
hostxen create 4 --name restless
attach restless "$(image r.img 8M)" xvda --queues 4 >/dev/null
background hostxen run -d 4 -- "$badfront" -n $rounds 51712 reconnect >"$W/reconnect" 2>&1
restless=${children[-1]}
children=()

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
for i in 1 2 3; do
	is "closed at once with a full ring: nothing is written after Closed, try $i" "$(bad 1 51712 close-busy | line)" \
		'back 6 later 0 reusable yes '
done
undisturbed 'grants revoked'

# --------------------------------------------------------------- directories vanish
gone() { ! ctl show sinner/xvda >/dev/null 2>&1; }
unmapped() { guest_empty 1; }
back=/local/domain/0/backend/vbd/1/51712
is 'own directory removed with a full ring: closed' "$(bad 1 51712 rmdir)" 'back 6'
check 'own directory removed: nothing stays mapped' within 10 unmapped
# Another toolstack may be about to remove the rest, so the daemon waits a while (--linger) before it does.
check 'own directory removed: the rest is removed after a while' within 10 gone
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
state() { dom0 xenstore-read $back/state; }
check 'all devices of a guest removed by dom0: closed' within 10 equal '$(state)' 6
check 'all devices of a guest removed by dom0: the rest is removed after a while' within 10 gone
hostxen destroy 1 --kill
within 10 no_domain 1
hostxen create 1 --name sinner
undisturbed 'directories removed by dom0'

# xl destroy in the middle of I/O
attach sinner "$img" xvda >/dev/null
background hostxen run -d 1 -- "$badfront" -p -t 60000 51712 load >"$W/load"
within 10 grep -q serving "$W/load"
hostxen destroy 1 --kill
check 'domain destroyed with a full ring: the device goes' within 10 gone
check 'domain destroyed with a full ring: the domain is gone, so nothing of it is mapped' within 10 no_domain 1
check 'domain destroyed: no node is left' not dom0 xenstore-read $back/state
undisturbed 'a domain destroyed'

# ------------------------------------------------------------------ and the one in the background
within 120 not kill -0 "$restless"
is "connected and disconnected $rounds times" "$(cat "$W/reconnect")" "reconnected $rounds"
is 'connected and disconnected 10 times, 4 queues, persistent' "$(bad 4 -n 10 -q 4 -o 1 -p 51712 reconnect)" 'reconnected 10'
check "after $((rounds + 10)) connections nothing stays mapped" within 10 guest_empty 4
lines=$(grep -c 'restless/xvda' "$W/blkd.log")
check "$((rounds + 10)) connections do not flood the log: $lines lines in $SECONDS s (XSA-180)" test "$lines" -lt $((SECONDS * 11 + 40))

world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A front end comes back in every order that Linux, FreeBSD, Windows and boot loaders use, and in some that nobody should;
# each time its frames are taken.  And what comes in the middle: surprise removal, a domain that dies, links that go.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start

nic sinner --null --queues 2 >/dev/null
# order NAME STEPS...: from connected on; in the end frames go
order()
{
	local name=$1 want
	shift
	want=$(printf 'back end 4\nsent 5\n'; [ ${#saw[@]} = 0 ] || printf '%s\n' "${saw[@]}"; printf 'back end 4\nsent 5\nback end 6')
	is "$name" "$(bad 1 $shape 0 connect send 60 5 "$@" connect send 60 5 close)" "$want"
}
for shape in '' '--split' '--queues 2 --split'; do
	saw=('back end 5' 'back end 6' 'back end 2')
	order "Linux, Windows (5, 6, then 1)${shape:+, $shape}" state 5 wait-state 5 state 6 wait-state 6 state 1 wait-state 2
	saw=('back end 6' 'back end 2')
	order "iPXE, mini-os (straight to 6, then 1)${shape:+, $shape}" state 6 wait-state 6 state 1 wait-state 2
	order "FreeBSD (6 twice, then 1)${shape:+, $shape}" state 6 wait-state 6 state 6 state 1 wait-state 2
	saw=('back end 2')
	order "a kernel that does not close (straight to 1)${shape:+, $shape}" state 1 wait-state 2
	saw=('back end 5' 'back end 2')
	order "no 6 in between (5, then 1)${shape:+, $shape}" state 5 wait-state 5 state 1 wait-state 2
	saw=()
	order "no 1 in between (6, and a new one begins)${shape:+, $shape}" state 6
done
shape=
is 'a boot loader that finds 2 and resets all the same (6, 1)' \
	"$(bad 1 0 state 6 wait-state 6 state 1 wait-state 2 connect send 60 5 close)" "$(printf 'back end 6\nback end 2\nback end 4\nsent 5\nback end 6')"
is 'it closes before it ever connected (5, 6, 1)' \
	"$(bad 1 0 state 1 wait-state 2 state 5 wait-state 5 state 6 wait-state 6 state 1 wait-state 2 connect send 60 5 close)" \
	"$(printf 'back end 2\nback end 5\nback end 6\nback end 2\nback end 4\nsent 5\nback end 6')"
is 'by way of 3' "$(bad 1 --state3 0 connect send 60 5 close)" "$(printf 'back end 4\nsent 5\nback end 6')"
is 'one queue, then two, then one' \
	"$(bad 1 0 connect send 60 5 close; bad 1 --queues 2 0 connect send 60 5 queue 1 send 60 5 close; bad 1 0 connect send 60 5 close)" \
	"$(printf 'back end 4\nsent 5\nback end 6\nback end 4\nsent 5\nsent 5\nback end 6\nback end 4\nsent 5\nback end 6')"
is 'features are those of the front end that is there, not of the one before' \
	"$(bad 1 --node feature-sg=0 --node feature-gso-tcpv4=0 0 connect close >/dev/null; bad_start f 1 0 connect say up line close
	   within 10 said f up; show sinner/eth0 .frontend_features; line f)" 'sg,tso4,tso6,csum4,csum6,rx-notify'
within 10 said f 'back end 6'

# Surprise removal, in the middle of traffic; and at once another.
for round in 1 2 3; do
	bad_start s$round 1 --split 0 connect say up send 60 100000000
	check "round $round: a guest sends" within 10 grown sinner/eth0 tx_packets 100
	check "round $round: the nic is torn away" ctl detach sinner/eth0 --force
	is "round $round: nothing is left of it" "$(ctl list -H) $(dom0 xenstore-ls /local/domain/0/backend/vif 2>/dev/null | grep -c state)" ' 0'
	check "round $round: another can be attached" nic sinner --null --queues 2
done
is 'and serves' "$(bad 1 0 connect send 60 5 close)" "$(printf 'back end 4\nsent 5\nback end 6')"

# A domain that dies while frames go both ways, and one of the same number that comes after it.
ctl detach sinner/eth0 --force >/dev/null
nic sinner --pair honest/eth0 >/dev/null
nic honest --pair sinner/eth0 >/dev/null
bad_start h 2 --split 0 connect say up expect 1 say heard line close
check 'the other end listens' within 10 said h up
bad_start d 1 0 connect send 60 1000000
check 'a guest sends to it' within 10 said h heard
hostxen destroy 1 >/dev/null
check 'it dies: its nic goes' within 15 eval '[ -z "$(show sinner/eth0 .state)" ]'
is 'the other end has lost its peer, not its nic' "$(show honest/eth0 '"\(.state) \(.paired)"')" 'Connected false'
line h
check 'nothing of the dead one is mapped' within 15 eval '! hostxen list | grep -q "^ *1 "'
hostxen create 1 --name sinner
check 'a domain with the same number is another (XSA-322)' nic sinner --pair honest/eth0
is 'and is paired anew' "$(show sinner/eth0 .paired) $(show honest/eth0 .paired)" 'true true'
within 10 said h 'back end 6'
bad_start h 2 --split 0 connect say up expect 1 line close
check 'the other end listens again' within 10 said h up
is 'and its frames arrive' "$(bad 1 0 connect send 60 1 close)" "$(printf 'back end 4\nsent 1\nback end 6')"
check 'they are heard' within 10 said h '^rx 60 '
line h
within 10 said h 'back end 6'

# The daemon dies: the next one has both ends from their workers, however many queues they have.
ctl detach sinner/eth0 --force >/dev/null
ctl detach honest/eth0 --force >/dev/null
nic sinner --pair honest/eth0 --queues 32 >/dev/null
nic honest --pair sinner/eth0 --queues 32 >/dev/null
kill -KILL "$blkd_pid"
blkd_wait_gone
blkd_start
is 'a pair of 32 queues: both are found again, with their workers' "$(grep -c 'eth0: found again.*with its worker' "$W/blkd.log")" 2
check 'a pair of 32 queues: and believed' not grep -q 'makes no sense' "$W/blkd.log"
is 'a pair of 32 queues: is one still' "$(show sinner/eth0 .paired) $(show honest/eth0 .paired)" 'true true'
bad_start h 2 --split 0 connect say up expect 1 line close
check 'a pair of 32 queues: one end listens' within 10 said h up
is 'a pair of 32 queues: the other sends' "$(bad 1 0 connect send 60 1 close)" "$(printf 'back end 4\nsent 1\nback end 6')"
check 'a pair of 32 queues: it is heard' within 10 said h '^rx 60 '
line h
world_end

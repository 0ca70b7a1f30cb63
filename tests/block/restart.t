# SPDX-License-Identifier: LGPL-2.1-or-later
# restart.t - the control plane ends, dies and comes back while guests do verified I/O: they see a pause at most, and their back
# end's state never moves.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
honest_start
back=/local/domain/0/backend/vbd/2/51712

# Every state the guest could see, from here to the end of the file
background hostxen run -d 2 -- xenstore-watch $back/state >"$W/watch"
state() { dom0 xenstore-read $back/state; }
served() # NAME: I/O completes again; the state has been Connected throughout
{
	if goes_on 20 honest/xvda >/dev/null; then pass "$1: I/O goes on"; else fail "$1: I/O goes on" "$(tail -n 3 "$W/honest.log")"; fi
	is "$1: the guest's back end is Connected" "$(state)" 4
	is "$1: the new daemon knows the device" "$(show honest/xvda .state)" Connected
}
again() { blkd_start; }

kill -TERM "$blkd_pid"
check 'SIGTERM ends the daemon in good order' blkd_wait_gone 15
is 'the device stays in xenstore, Connected' "$(state)" 4
check 'a new daemon starts' again
served 'after SIGTERM'

ctl daemon stop >/dev/null
blkd_wait_gone 15
check 'a new daemon starts after synthctl daemon stop' again
served 'after synthctl daemon stop'

for n in 1 2 3; do
	kill -KILL "$blkd_pid"
	blkd_wait_gone 10
	check "kill -9 number $n of the control plane: a new one starts" again
	served "after kill -9 number $n"
done
is 'after all this, the guest still has one disk' "$(ctl list --json | jq '.devices | length')" 1
check 'new disks are attached' attach sinner "$(image a.img 8M)" xvda
check '... and serve' bad 1 -n 20 51712 verify
check '... and go' ctl detach sinner/xvda

# A front end that comes and goes while there is no daemon
attach sinner "$W/a.img" xvda >/dev/null
kill -KILL "$blkd_pid"
blkd_wait_gone 10
bad 1 -n 50 51712 verify >"$W/late" 2>&1 &
late=$!
sleep 0.5
again
wait $late
is 'a guest that connects while there is no daemon is served by the next' "$(cat "$W/late")" 'verified 50'
ctl detach sinner/xvda --force >/dev/null

# A disk whose domain dies while there is no daemon
hostxen create 3 --name short
attach short "$W/a.img" xvda >/dev/null
kill -KILL "$blkd_pid"
blkd_wait_gone 10
hostxen destroy 3 --kill
again
gone() { ! dom0 xenstore-exists /local/domain/0/backend/vbd/3/51712; }
check 'a domain that died while there was no daemon: its nodes are cleared' within 10 gone
check '... and its image is free' within 10 flock -n "$W/a.img" true

states=$(grep -c . "$W/watch")
check 'the state node was never touched while the daemon came and went' test "$states" -le 2
world_end

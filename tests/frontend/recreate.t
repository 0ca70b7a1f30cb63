#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Verified I/O goes on over forced detachments with the device made anew, and over deaths of the daemon and all its workers with their
# journals: every write that was answered is there, and no request fails.  RECREATES=N: how many of each (4); N NBD clients' too.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
world_start
img=$(image a.img 32M)
times=${RECREATES:-4}
attach_a() { attach sinner "file:$img" xvda --queues 2 >"$W/attach.out" 2>&1; }
attach_a || bail 'cannot attach' "$W/attach.out"

works_on() { within $((20 * slow)) equal '$(show sinner/xvda .state)' Connected && goes_on $((20 * slow)) sinner/xvda; }
by_force()
{
	ctl detach sinner/xvda --force >"$W/detach.out" 2>&1 || bail 'cannot detach' "$W/detach.out"
	[ "$1" = at-once ] || sleep 0.5
	attach_a || bail 'cannot attach again' "$W/attach.out"
}
blkd_processes()
{
	local pid
	for pid in $(world_pids); do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in synth-blkd*) echo "$pid" ;; esac
	done
}
all_die() # the daemon, then its workers; nothing that would tell a successor what was in flight
{
	local pids
	pids=$(blkd_processes)
	kill -KILL $blkd_pid $pids 2>/dev/null
	within 20 eval '[ -z "$(blkd_processes)" ]' || bail 'the daemon does not die'
	rm -rf "$SYNTH_RUNDIR"/journal/*
	blkd_start
}

# round NAME CMD...: a loss, and I/O before and after it
lost=0
round()
{
	local name=$1
	shift
	works_on || { fail "$name: there is I/O before it" "$(tail -n 5 "$W/io.log")"; return; }
	"$@"
	lost=$((lost + 1))
	if works_on && kill -0 $io; then pass "$name: I/O goes on"; else fail "$name: I/O goes on" "$(tail -n 5 "$W/io.log")"; fi
}
io_start() # ARGS...
{
	hostxen run -d 1 -- synth-blkfront io xvda --verify --json --runtime 1000 --rate 3000 "$@" >"$W/io.out" 2>"$W/io.log" &
	io=$!
	children+=($io)
}
# The end of the run is the reading back of all that was written: by its own time, so it is started again with a short one.
io_end() # NAME
{
	kill -TERM $io
	wait $io
	is "$1: no request failed, every byte that was read was right" "$(got_io '"\(.errors) \(.mismatch) \(.ios > 0) \(.verified_units > 0)"')" '0 false true true'
	is "$1: it knows how often" "$(got_io .reconnects)" $lost
	children=()
	lost=0
}
got_io() { jq -r "$1" "$W/io.out" 2>/dev/null; }

io_start --rw randrw=6,trim=1,flush=1 --bs 4k-64k --depth 16 --queues 2
for i in $(seq "$times"); do
	round "detached by force, attached again ($i)" by_force "$([ $((i % 2)) = 0 ] && echo at-once || echo later)"
	round "daemon, workers and journals gone ($i)" all_die
done
io_end 'two queues, persistent grants'

io_start --rw randrw=6,flush=1 --bs 512-64k --depth 8 --grants per-io
round 'grants per I/O: detached by force' by_force later
round 'grants per I/O: all died' all_die
io_end 'grants per I/O'

io_start --rw randrw=6,flush=1 --bs 1M --depth 4 --no-indirect --rate 200
round 'I/O of many requests: detached by force' by_force later
round 'I/O of many requests: all died' all_die
io_end 'I/O of many requests'

# What is read back in the end is read by the run that wrote it.
runtime=$((10 * slow))
hostxen run -d 1 -- synth-blkfront io xvda --verify --json --runtime $runtime --rw randwrite --bs 4k-16k --depth 16 --rate 2000 >"$W/io.out" 2>"$W/io.log" &
io=$!
children+=($io)
works_on
by_force later
works_on
all_die
wait $io
is 'writes alone: all that was written is there in the end' "$? $(got_io '"\(.errors) \(.mismatch) \(.verified_units > 0)"') $(grep -c 'connected again' "$W/io.log")" '0 0 false true 2'
children=() lost=0

# A whole disk is copied while it goes and comes
head -c 32M /dev/urandom >"$W/data"
(hostxen run -d 1 -- synth-blkfront write xvda < <(head -c 16M "$W/data"; sleep 2; tail -c +$((16 * 1024 * 1024 + 1)) "$W/data") 2>"$W/copy.log"; echo $? >"$W/copy.status") &
sleep 1
by_force later
within $((60 * slow)) [ -s "$W/copy.status" ]
is 'a copy to the disk goes on' "$(cat "$W/copy.status") $(grep -c 'connected again' "$W/copy.log")" '0 1'
check 'and every byte of it is there' cmp "$img" "$W/data"

# An NBD client does not notice
plugin=$SYNTH_BUILDDIR/frontend/.libs/nbdkit-synth-plugin.so
if ! command -v nbdkit >/dev/null || ! command -v nbdcopy >/dev/null || [ ! -e "$plugin" ]; then
	skip 'NBD clients do not notice' 'no nbdkit here'
elif ldd "$plugin" | grep -qE 'lib[at]san'; then
	skip 'NBD clients do not notice' 'nbdkit cannot load a sanitized plugin'
else
	hostxen run -d 1 -- synth-blkfront serve xvda --unix "$W/sock" --queues 2 >"$W/serve.log" 2>&1 &
	serve=$!
	children+=($serve)
	disown $serve
	within 10 [ -S "$W/sock" ] || bail 'serve does not start' "$W/serve.log"
	uri="nbd+unix:///?socket=$W/sock"
	head -c 32M /dev/urandom >"$W/data"
	(while [ ! -e "$W/enough" ]; do nbdcopy --flush "$W/data" "$uri" && nbdcopy "$uri" "$W/copy" && cmp "$W/data" "$W/copy" || { echo bad; break; }; done >"$W/nbd.out" 2>&1; echo over >>"$W/nbd.out") &
	works_on
	by_force later
	works_on
	all_die
	works_on
	by_force at-once
	within $((20 * slow)) equal '$(grep -c "connected again" "$W/serve.log")' 3
	touch "$W/enough"
	within $((60 * slow)) grep -q over "$W/nbd.out"
	is 'NBD clients do not notice' "$(cat "$W/nbd.out")" over
	is 'and it was three times' "$(grep -c 'connected again' "$W/serve.log")" 3
	# When it does not come back in time they are told.
	kill -TERM $serve
	within 15 not kill -0 $serve
	rm -f "$W/sock"
	hostxen run -d 1 -- synth-blkfront serve xvda --unix "$W/sock" --reconnect 1 >"$W/serve.log" 2>&1 &
	serve=$!
	children+=($serve)
	disown $serve
	within 10 [ -S "$W/sock" ] || bail 'serve does not start' "$W/serve.log"
	within 10 equal '$(show sinner/xvda .state)' Connected
	ctl detach sinner/xvda --force >/dev/null 2>&1
	timeout 60 nbdcopy "$uri" "$W/copy" >"$W/nbd.out" 2>&1
	is 'a disk that does not come back is an error to them' "$?" 1
	like 'which says why' "$(cat "$W/serve.log")" 'I/O of .* \(the back end wanted the disk back, and did not come back in 1 seconds\)'
	kill -TERM $serve
	within 15 not kill -0 $serve
fi
world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Workers and the daemon are killed at random under verified I/O: the guest sees pauses, no error and no wrong byte; nothing
# of what died is left.  On files in memory and on a disk (io_uring, which may outlive its process), and on an NBD server.
# SYNTH_SOAK=N: N rounds of what is one round by default; SYNTH_KILLS=K: kills a round.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/crash/lib.sh" || exit 99
soak=${SYNTH_SOAK:-1} kills=${SYNTH_KILLS:-12} workers=0 daemons=0
nap() { sleep "0.$((RANDOM % 250 + 50))"; } # the kills are to fall anywhere
answered() { [ "$(stat_of sinner/xvda responses)" != '' ] && more_requests sinner/xvda 0; }
descriptors() { ls "/proc/$blkd_pid/fd" | wc -l; }
no_more() { answered && [ "$(descriptors)" -le "$1" ]; } # THAN
kill_worker()
{
	local pid
	pid=$(show sinner/xvda .worker)
	case $pid in
	'' | null) ;;
	*) kill -KILL "$pid" 2>/dev/null && workers=$((workers + 1)) ;;
	esac
}
kill_daemon()
{
	kill -KILL "$blkd_pid"
	daemons=$((daemons + 1))
	within 10 not blkd_alive
	blkd_start 8>&- 9<&-
}
# round NAME IMAGE IO-ARGS...
round()
{
	local name=$1 img=$2 i state fds beat
	shift 2
	attach sinner "$img" xvda >/dev/null || bail "$name: attach failed"
	beat=${img%/*}/pulse.img
	case $img in nbd*) beat=$W/pulse.img ;; esac
	truncate -s 1M "$beat"
	attach sinner "$beat" xvdb >/dev/null || bail "$name: attach failed"
	crash_io 1 xvda 36000 --rw randread=4,randwrite=4,trim=1,flush=1 --bs 512-64k "$@"
	check "$name: I/O runs" within 10 answered
	check "$name: the pulse beats" pulse_start 1 xvdb
	: >"$W/states"
	: >"$W/worker.us"
	: >"$W/both.us"
	for ((i = 0; i < kills * soak; i++)); do
		nap
		kill_worker
		state=$(dom0 xenstore-read /local/domain/0/backend/vbd/1/51712/state)
		echo "$state" >>"$W/states"
		if [[ $img = nbd* ]] && ((i % 4 == 3)); then
			# Not both, nor the daemon while it waits for the server: the connection is nobody's then, and a grace is waited for.
			pulse_us && echo "$us" >>"$W/worker.us"
			within 30 answered
			kill_daemon
			pulse_us
		elif ((i % 4 == 3)); then
			kill_daemon
			pulse_us && echo "$us" >>"$W/both.us"
		else
			pulse_us && echo "$us" >>"$W/worker.us"
		fi || { fail "$name: the pulse beats on after kill $i" "$(ctl show sinner/xvdb)" "$(cat "$W/pulse.log")"; break; }
	done
	check "$name: I/O goes on after all that" within 20 answered
	fds=$(descriptors)
	for i in 1 2 3 4 5; do
		kill_worker
		pulse_us && echo "$us" >>"$W/worker.us"
	done
	check "$name: the daemon has no descriptor more than before five deaths" within 5 no_more "$fds"
	check "$name: the pulse had no error" pulse_end
	kill -TERM $io
	check "$name: the front end ends" io_ended 30
	check "$name: no byte wrong, no error" io_was_right
	is "$name: the state never moved" "$(sort -u "$W/states" | tr '\n' ' ')" '4 '
	diag <<<"$name: $(jq -r '"\(.ios) requests, \((.verified_units // 0) * 512 / 1048576 | floor) MiB read and verified, longest request \((.lat_ns.max // 0) / 1000000 | floor) ms"' "$W/io.out" 2>/dev/null)"
	diag <<<"$name: a guest's small read after a worker's death, $(percentiles "$W/worker.us"); after both deaths, $(percentiles "$W/both.us")"
	check "$name: detach" within 10 ctl detach sinner/xvda --force
	ctl detach sinner/xvdb --force >/dev/null
	is "$name: no journal is left" "$(ls "$SYNTH_RUNDIR/journal")" ''
}
world_start
round 'in memory' "$(image a.img 16M)" --depth 32
disk=$(mktemp -d "${SYNTH_TEST_DISK:-/var/tmp}/synth-crash-XXXXXX")
world_dirs+=("$disk")
truncate -s 64M "$disk/b.img"
round 'on a disk' "$disk/b.img" --depth 32
round 'on a disk, four rings' "$disk/b.img" --depth 64 --queues 4
# qemu-nbd: it hangs up on who dies, and goes on with what it has; nbdkit 1.32 does not outlive a client that dies while it sends.
if command -v qemu-nbd >/dev/null; then
	background qemu-nbd -t -e 8 -f raw --discard=unmap -k "$W/nbd.sock" "$(image c.img 64M)" 2>"$W/nbd.log"
	within 10 test -S "$W/nbd.sock"
	round 'on NBD' "nbd+unix:///?socket=$W/nbd.sock" --depth 32
else
	skip 'on NBD' 'qemu-nbd is not installed'
fi
diag <<<"$workers workers and $daemons daemons were killed"
world_end

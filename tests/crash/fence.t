#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A write that a dead worker had under way lands late: its successor waits for that, so that what the guest writes after is
# not overwritten.  Storage that takes as long as the test wants: an NBD server whose writes are a script; as a file by FUSE.
# Each kind is also done by a daemon with the fence compiled out, which has to lose the newer write.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/crash/lib.sh" || exit 99
for tool in nbdkit nbdinfo; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done
io=$SYNTH_BUILDDIR/tests/crash/fence-io
img=$(image late.img 1M)
late=$W/late
mkdir "$late" "$W/fuse"
chmod 711 "$W"

# While `hold` is there a write waits for `release`; all others are done at once.
pwrite='
if [ -e '$late'/hold ]; then
	dd of='$late'/data 2>/dev/null
	echo >'$late'/held
	until [ -e '$late'/release ]; do sleep 0.05; done
	exec <'$late'/data
	late=1
fi
dd of='$img' bs=512 seek=$(($4 / 512)) conv=notrunc 2>/dev/null
[ -z "$late" ] || echo >'$late'/landed'
serve() # NBDKIT-ARGS...
{
	background nbdkit -f -t 8 "$@" eval thread_model='echo parallel' get_size="stat -c %s $img" can_write='exit 0' can_multi_conn='exit 0' \
		pread="dd if=$img bs=512 skip=\$((\$4 / 512)) count=\$((\$3 / 512)) 2>/dev/null" pwrite="$pwrite" >>"$W/nbd.log" 2>&1 7>&-
}

guest_write() { echo "$*" >&7; }                   # SECTOR WORD
said() { grep -qx "$*" "$W/said"; }                # SECTOR WORD STATUS
on_disk() { head -c "${#1}" "$img" | grep -qx "$1"; } # WORD, in the first sector
unserved() { local n; n=$(stat_of sinner/xvda control_unserved_ms); [ "${n:-0}" -gt "$1" ]; }
answered_or_held_up() { said 0 two 0 || unserved 2200; }

# begin NAME TARGET: the guest's second write is on its way to the storage, and held there
begin()
{
	local name=$1 target=$2
	rm -f "$late"/* "$W/in"
	mkfifo "$W/in"
	truncate -s 0 "$img"; truncate -s 1M "$img"
	attach sinner "$target" xvda >/dev/null || bail "$name: no disk" "$W/blkd.log"
	: >"$W/said"
	hostxen run -d 1 -- "$io" <"$W/in" >"$W/said" 2>"$W/io.log" &
	guest=$!
	children+=($guest)
	exec 7>"$W/in"
	guest_write 0 one
	within 10 said 0 one 0 || bail "$name: the guest cannot write" "$W/io.log"
	touch "$late/hold"
	guest_write 0 two
	within 10 test -e "$late/held" || bail "$name: no write is held"
	rm "$late/hold"
}
kill_worker() { kill -KILL "$(show sinner/xvda .worker)"; }
end() # NAME: nothing is left of it
{
	exec 7>&-
	check "$1: the guest closes" within 10 not kill -0 "$guest"
	ctl detach sinner/xvda --force >/dev/null
}
# fenced NAME [WHAT-IS-TOLD]: it is held up, and told; when the late write has landed the guest goes on, and what it writes stands
fenced()
{
	within 15 answered_or_held_up
	if said 0 two 0; then fail "$1: no successor while the write is under way"; else pass "$1: no successor while the write is under way"; fi
	[ $# -lt 2 ] || check "$1: it is told" within 5 eval "show sinner/xvda .broken | grep -q '$2'"
	touch "$late/release"
	check "$1: the guest goes on when it has landed" within 20 said 0 two 0
	guest_write 0 three
	check "$1: and writes" within 10 said 0 three 0
	within 10 test -e "$late/landed"
	check "$1: what it wrote stands" on_disk three
	check "$1: nothing is told any more" eval "[ \"\$(show sinner/xvda .broken)\" = null ] && ! unserved 0"
	end "$1"
}
# unfenced NAME TARGET: the newer write is lost, or this test shows nothing.  A successor's write may be behind the one that is held, in one
# of the connections of nbdfuse: then it is tried again.
unfenced()
{
	local try
	for try in 1 2 3 4; do
		begin "$1" "$2"
		kill_worker
		! within 8 said 0 two 0 || break
		diag <<<"try $try: its successor's write waits behind it in the server"
		touch "$late/release"
		end "$1"
	done
	check "$1: a successor comes at once" said 0 two 0
	guest_write 0 three
	check "$1: the guest writes" within 10 said 0 three 0
	on_disk three || fail "$1: the write was there"
	touch "$late/release"
	check "$1: the late write lands" within 10 test -e "$late/landed"
	check "$1: and what was written after it is lost" on_disk two
	end "$1"
}
daemon_again() # [VAR=VALUE...] -- another one
{
	ctl daemon stop >/dev/null
	blkd_wait_gone 15
	env_then_start "$@"
}
env_then_start() { local e; for e; do export "${e?}"; done; blkd_start; }
without_fence() { daemon_again "PATH=$SYNTH_BUILDDIR/tests/crash/unfenced:$PATH"; }
fenced_path=$PATH
with_fence() { daemon_again "PATH=$fenced_path"; }

world_start
serve -U "$W/nbd.sock"
within 10 test -S "$W/nbd.sock" || bail 'nbdkit does not start' "$W/nbd.log"
nbd="nbd+unix:///?socket=$W/nbd.sock"

# ------------------------------------------------------------------ a file
file= # several connections: nbdfuse has one command at a time on each
world_dirs+=("$W/fuse")
if command -v nbdfuse >/dev/null && [ -w /dev/fuse ]; then
	background nbdfuse -C 16 -o allow_other "$W/fuse" --unix "$W/nbd.sock" >>"$W/nbd.log" 2>&1
	within 20 test -s "$W/fuse/nbd" && file=$W/fuse/nbd
fi
if [ -n "$file" ]; then
	begin 'a file' "$file"
	engine=$(show sinner/xvda '"\(.engine) \(.cache)"')
	kill_worker
	fenced 'a file'
	SYNTH_NO_URING=1 with_fence
	begin 'a file, threads' "$file"
	is 'a file, threads: the engine' "$(show sinner/xvda '"\(.engine) \(.cache)"')" 'threads direct'
	kill_worker
	fenced 'a file, threads'
	unset SYNTH_NO_URING
	without_fence
	check 'a daemon without the fence says so' grep -q 'WITHOUT the fence' "$W/blkd.log"
	if [ "$engine" = 'io_uring direct' ]; then
		unfenced 'a file without the fence' "$file"
	else
		skip 'a file without the fence' "nothing outlives a process here: $engine"
	fi
	with_fence
else
	skip 'a file' 'there is no FUSE, or no right to mount'
fi

# --------------------------------------------------------------------- NBD
begin NBD "$nbd"
kill_worker
fenced NBD 'has not ended the connection'

begin 'NBD, detached meanwhile' "$nbd"
kill_worker
within 10 unserved 0
check 'NBD: it can be taken away while its server is silent' ctl detach sinner/xvda --force
touch "$late/release"
end 'NBD, detached meanwhile'

begin 'NBD, after a daemon' "$nbd"
kill -KILL "$blkd_pid"
within 10 not blkd_alive
blkd_start 7>&-
kill_worker
fenced 'NBD, after a daemon' 'has not ended the connection'

port=$((20000 + RANDOM % 20000))
serve -p $port
if within 10 nbdinfo --size "nbd://127.0.0.1:$port"; then
	ctl daemon stop >/dev/null
	blkd_wait_gone 15
	SYNTH_NBD_GRACE_MS=2000 blkd_start
	begin 'NBD by TCP' "nbd://127.0.0.1:$port/"
	kill_worker
	fenced 'NBD by TCP' 'has not ended the connection'
	is 'NBD by TCP: nothing proves it, and that is told' "$(grep -c 'nothing proves' "$W/blkd.log")" 1
else
	skip 'NBD by TCP' "port $port cannot be had"
fi

# The way to a server is lost, with a write under way: the guest is told EIO, so nothing is unanswered, and it may still land.
port=$((20000 + RANDOM % 20000))
way() { background nbdkit -f -p $port nbd socket="$W/nbd.sock" >>"$W/nbd.log" 2>&1 7>&-; }
way
if within 10 nbdinfo --size "nbd://127.0.0.1:$port"; then
	ctl daemon stop >/dev/null
	blkd_wait_gone 15
	SYNTH_NBD_GRACE_MS=10000 blkd_start
	begin 'a lost way' "nbd://127.0.0.1:$port/"
	kill -KILL "${children[-2]}" # before the guest
	check 'a lost way: the guest is told' within 10 said 0 two -5
	way
	within 10 nbdinfo --size "nbd://127.0.0.1:$port" || bail 'nbdkit does not come back' "$W/nbd.log"
	kill_worker
	guest_write 0 three
	check 'a lost way: the server is given time' within 15 eval 'show sinner/xvda .broken | grep -q "is given time"'
	check 'a lost way: the guest waits' not said 0 three 0
	touch "$late/release"
	check 'a lost way: the guest goes on' within 20 said 0 three 0
	within 10 test -e "$late/landed"
	check 'a lost way: what it wrote stands' on_disk three
	end 'a lost way'
else
	skip 'a lost way' "port $port cannot be had, or nbdkit has no nbd plugin"
fi

# Worker and daemon: nobody has the connection any more.
begin 'both' "$nbd"
worker=$(show sinner/xvda .worker)
kill -KILL "$blkd_pid" "$worker"
within 10 not blkd_alive
SYNTH_NBD_GRACE_MS=8000 blkd_start 7>&-
fenced 'both' 'nobody can tell'
is 'both: nothing proves it, and that is told' "$(grep -c 'nothing proves.* 8 s' "$W/blkd.log")" 1

# Stopped and started: there was nothing under way.
begin 'stopped' "$nbd"
touch "$late/release"
within 10 said 0 two 0
ctl daemon stop >/dev/null
blkd_wait_gone 15
SYNTH_NBD_GRACE_MS=3600000 blkd_start 7>&-
guest_write 0 three
check 'stopped and started: no grace is needed' within 10 said 0 three 0
end 'stopped'

# It hangs up on who leaves, and goes on with what it had.
if command -v qemu-nbd >/dev/null; then
	background qemu-nbd -t -e 8 -k "$W/qemu.sock" --image-opts "driver=raw,cache.direct=off,file.driver=nbd,file.server.type=unix,file.server.path=$W/nbd.sock" \
		>>"$W/nbd.log" 2>&1 7>&-
	within 10 test -S "$W/qemu.sock"
	begin 'a server that hangs up first' "nbd+unix:///?socket=$W/qemu.sock"
	kill_worker
	within 10 unserved 2200
	if grep -q 'unix_diag' "$W/blkd.log"; then
		skip 'a server that hangs up first' 'this kernel has no unix_diag'
		touch "$late/release"
		end 'a server that hangs up first'
	else
		fenced 'a server that hangs up first' 'has hung up'
	fi
else
	skip 'a server that hangs up first' 'qemu-nbd is not installed'
fi

without_fence
unfenced 'NBD without the fence' "$nbd"
with_fence
world_end

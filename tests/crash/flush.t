#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What was acknowledged may be lost when an NBD server failed to flush, or was lost, or when the page cache could not write it back: no flush
# claims success after that, not even when the server or the kernel does, and not by another worker either.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/crash/lib.sh" || exit 99
command -v nbdkit >/dev/null || skip_all 'nbdkit is not installed'
[ -e "$SYNTH_BUILDDIR/backend/.libs/synth-store-nbd.so" ] || skip_all 'built without libnbd'
io=$SYNTH_BUILDDIR/tests/crash/fence-io
late=$W/late
mkdir "$late"

# While `fail` is there one flush fails, with as many beside it as come at once; all others are well.
flush='
if [ -e '$late'/fail ] && mkdir '$late'/failed 2>/dev/null; then
	n=0
	until [ -e '$late'/other ] || [ $n -ge 20 ]; do n=$((n + 1)); sleep 0.05; done
	echo EIO the write-back failed >&2
	exit 1
fi
touch '$late'/other'
background nbdkit -f -t 8 -U "$W/once.sock" eval thread_model='echo parallel' get_size='echo 1048576' can_write='exit 0' can_flush='exit 0' \
	pread='dd if=/dev/zero bs=$3 count=1 2>/dev/null' pwrite='cat >/dev/null' flush="$flush" >>"$W/nbd.log" 2>&1
serve() # on $W/mem.sock, by $server
{
	rm -f "$W/mem.sock"
	background nbdkit -f -U "$W/mem.sock" memory 1M >>"$W/nbd.log" 2>&1 7>&-
	server=${children[-1]}
	within 10 test -S "$W/mem.sock" || bail 'nbdkit does not start' "$W/nbd.log"
}
ask() { printf '%s\n' "$@" >&7; }                 # LINES
said() { grep -qx "$*" "$W/said"; }                # LINE
kill_worker() { kill -KILL "$(show sinner/xvda .worker)"; }
begin() # NAME SOCKET | NAME PATH ARGS
{
	local target="nbd+unix:///?socket=$W/$2"
	rm -rf "$late"/* "$W/in"
	mkfifo "$W/in"
	[ "${2#/}" = "$2" ] || target=$2
	attach sinner "$target" xvda "${@:3}" >/dev/null || bail "$1: no disk" "$W/blkd.log"
	: >"$W/said"
	hostxen run -d 1 -- "$io" <"$W/in" >"$W/said" 2>"$W/io.log" &
	guest=$!
	children+=($guest)
	exec 7>"$W/in"
	ask '0 one' 'flush first'
	within 10 eval "said 0 one 0 && said flush first 0" || bail "$1: the guest cannot write and flush" "$W/io.log"
	rm -f "$late/other"
}
end() # NAME
{
	exec 7>&-
	check "$1: the guest closes" within 10 not kill -0 "$guest"
	ctl detach sinner/xvda --force >/dev/null
}
# The server was lost, and is there again.
another_worker_knows() # NAME
{
	serve
	kill_worker
	ask '0 three' 'flush c'
	check "$1: another worker serves the disk" within 20 said 0 three 0
	check "$1: what it had acknowledged is not said to be there" within 10 said flush c -5
	end "$1"
}
world_start
within 10 test -S "$W/once.sock" || bail 'nbdkit does not start' "$W/nbd.log"
serve

begin 'a flush that failed' once.sock
touch "$late/fail" "$late/other"
ask 'flush a'
check 'a flush that failed: the guest is told' within 10 said flush a -5
ask 'flush b'
check 'a flush that failed: and with the next one' within 10 said flush b -5
kill_worker
ask '0 two' 'flush c'
check 'a flush that failed: another worker serves the disk' within 20 said 0 two 0
check 'a flush that failed: and knows it' within 10 said flush c -5
end 'a flush that failed'

begin 'attached again' once.sock # which flushes
end 'attached again'

begin 'two flushes at once' once.sock
touch "$late/fail"
ask 'flush a' 'flush b'
check 'two flushes at once: one is told of the failure' within 10 said flush a -5
check 'two flushes at once: and so is the other' within 10 said flush b -5
end 'two flushes at once'

begin 'a lost server' mem.sock
kill -KILL "$server"
ask '0 two'
check 'a lost server: the guest is told' within 10 said 0 two -5
another_worker_knows 'a lost server'

begin 'a server lost by an idle guest' mem.sock
lost=$(grep -c 'connection is lost' "$W/blkd.log")
kill -KILL "$server"
within 10 more '$(grep -c "connection is lost" "$W/blkd.log")' "$lost" || bail 'nobody notices that the server is lost' "$W/blkd.log"
another_worker_knows 'a server lost by an idle guest'

# ------------------------------------------------------------------ the page cache
# A disk of 8 MiB with room for one: the guest's write is acknowledged, and the write-back fails.
room=$W/room
mkdir "$room"
loop=
if mount -t tmpfs -o size=1m synth-test "$room" 2>/dev/null; then
	world_dirs+=("$room")
	truncate -s 8M "$room/disk"
	loop=$(losetup -f --show "$room/disk" 2>/dev/null) && exec 6<"$loop" && losetup -d "$loop" # when nobody has it any more
fi
# told_to_another NAME: the write-back has failed, and who is told is not the worker
told_to_another()
{
	head -c 1M /dev/zero >"$room/full" 2>/dev/null
	ask '8192 two'
	within 10 said 8192 two 0 || bail "$1: the guest cannot write" "$W/io.log"
	check "$1: the write-back fails, as somebody is told" not sync -d "$loop"
	check "$1: and nobody else" sync -d "$loop"
}
knows() # NAME
{
	kill_worker
	ask '0 three' 'flush a' # there is room for this one
	check "$1: another worker serves the disk" within 20 said 0 three 0
	check "$1: what the page cache has lost is not said to be there" within 10 said flush a -5
	end "$1"
	rm -f "$room/full"
}
if [ -n "$loop" ]; then
	begin 'the page cache' "$loop" --cache buffered
	told_to_another 'the page cache'
	knows 'the page cache'

	begin 'the page cache, after an upgrade' "$loop" --cache buffered
	worker=$(show sinner/xvda .worker)
	check 'the page cache, after an upgrade: upgraded' ctl daemon upgrade disk
	within 20 eval '[ "$(show sinner/xvda .worker)" != "$worker" ] && [ "$(show sinner/xvda .phase)" = connected ]'
	told_to_another 'the page cache, after an upgrade'
	knows 'the page cache, after an upgrade'

	begin 'the page cache, after a daemon' "$loop" --cache buffered
	told_to_another 'the page cache, after a daemon'
	kill -KILL "$blkd_pid"
	within 10 not blkd_alive
	blkd_start 7>&-
	knows 'the page cache, after a daemon'
	exec 6<&-
else
	skip 'the page cache' 'there is no loop device, or no right to mount'
fi
world_end

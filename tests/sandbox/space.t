#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker cannot take more of a file system than its guest's images have.  Its user is the daemon's: to limit
# another's takes a capability that root may lack in a container.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
[ $slow = 1 ] || skip_all 'a build with sanitizers has no filter, and a sanitizer wants to be preloaded first'
export GREEDY=$W/greedy
hostxen start >"$W/start.log" 2>&1 || bail 'hostxen does not start' "$W/start.log"
hostxen create 1 --name sinner && hostxen create 2 --name honest || bail 'no domains'
LD_PRELOAD=$SYNTH_BUILDDIR/tests/sandbox/.libs/greedy-preload.so blkd_start --worker-uid-base 0
img=$(image a.img 16M)
size() { stat -c %s "$img"; }
# greedy HOW: a new worker, which tries it once; the next one of the guest is as it should be
greedy()
{
	echo "$1" >"$GREEDY"
	attach sinner "$img" xvda >/dev/null || fail 'attach'
	rm "$GREEDY"
	check "$1: the guest's discard is served in the end" guest 1 timeout 60 synth-blkfront discard xvda --offset 4M --length 1M
}

greedy fallocate
check 'fallocate: killed it' grep -q 'was killed by signal 31' "$W/blkd.log"
is 'fallocate: the image is as long as it was' "$(size)" $((16 << 20))
ctl detach sinner/xvda --force >/dev/null

greedy write
check 'a write beyond the end of the image: refused' grep -q 'greedy: write: File too large' "$W/blkd.log"
is 'a write beyond the end of the image: it is as long as it was' "$(size)" $((16 << 20))
ctl detach sinner/xvda --force >/dev/null

# What it may write is what its images have, whatever happens to these.  A log that is a file would have room in it, too.
ctl daemon stop >/dev/null
blkd_wait_gone 15
start()
{
	hostxen run -d 0 -- synth-blkd --worker-uid-base 0 > >(exec cat >>"$W/blkd.log") 2>&1 &
	blkd_pid=$!
	disown $blkd_pid
	within 30 ctl daemon status || bail 'synth-blkd does not start'
}
limit() { awk '/^Max file size/ { print $4 }' "/proc/$(show "$1" .worker)/limits"; } # DEVICE
# writes NAME OFFSET: the guest can, there
writes()
{
	head -c 64k /dev/urandom >"$W/bytes"
	check "$1: the guest writes there" eval "guest 1 timeout 60 synth-blkfront write xvda --offset $2 <'$W/bytes'"
	check "$1: and finds it again" eval "guest 1 timeout 60 synth-blkfront read xvda --offset $2 --length 64k | cmp - '$W/bytes'"
}
start
honest_start
attach sinner null:8M xvdb >/dev/null
is 'no image that is a file: nothing' "$(limit sinner/xvdb)" 0
attach sinner "$img" xvda >/dev/null
is 'an image: as much' "$(limit sinner/xvda)" $((16 << 20))
writes 'its end' $(((16 << 20) - 65536))
check 'made longer' ctl resize sinner/xvda 64M
is 'made longer: as much' "$(limit sinner/xvda)" $((64 << 20))
writes 'made longer' 63M
truncate -s 128M "$img"
check 'made longer by somebody else' ctl resize sinner/xvda
is 'made longer by somebody else: as much' "$(limit sinner/xvda)" $((128 << 20))
writes 'made longer by somebody else' 127M
kill -KILL "$(show sinner/xvda .worker)"
writes 'another worker' 126M
is 'another worker: as much' "$(limit sinner/xvda)" $((128 << 20))
kill -KILL "$blkd_pid"
blkd_wait_gone
start
is 'the next daemon: as much' "$(limit sinner/xvda)" $((128 << 20))
check 'the next daemon, made longer' ctl resize sinner/xvda 160M
writes 'the next daemon, made longer' 159M
kill -KILL "$blkd_pid"
blkd_wait_gone
truncate -s 192M "$img"
truncate -s 32M "$W/honest.img"
start
longer() { [ "$(limit "$1")" = "$2" ]; }
check 'made longer while there was no daemon: as much' within 15 longer sinner/xvda $((192 << 20))
writes 'made longer while there was no daemon' 191M
check 'made longer while there was no daemon, connected: as much' within 15 longer honest/xvda $((32 << 20))
check 'made longer while there was no daemon, connected: I/O goes on' goes_on 15 honest/xvda 50
world_end

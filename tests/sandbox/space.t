#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker cannot take more of a file system than its guest's images have.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
[ $slow = 1 ] || skip_all 'a build with sanitizers has no filter, and a sanitizer wants to be preloaded first'
export GREEDY=$W/greedy
hostxen start >"$W/start.log" 2>&1 || bail 'hostxen does not start' "$W/start.log"
hostxen create 1 --name sinner && hostxen create 2 --name honest || bail 'no domains'
LD_PRELOAD=$SYNTH_BUILDDIR/tests/sandbox/.libs/greedy-preload.so blkd_start
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
world_end

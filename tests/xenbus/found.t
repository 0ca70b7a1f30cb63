#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a worker that was taken over can tell the next daemon of itself is that guest's loss, and nobody else's.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
[ "$(ulimit -n)" -ge 8192 ] || ulimit -n 8192 2>/dev/null || skip_all 'fewer than 8192 files may be open here'
world_start
honest_start
attach honest null:8M xvdb >/dev/null
attach sinner "$(image a.img 8M)" xvda >/dev/null
uuid=$(show sinner/xvda .uuid)
real=$(show sinner/xvda .worker)
n=5
# liar ARGS...: one more worker of the sinner, for the next daemon to find; its pid is in $!
liar()
{
	n=$((n + 1))
	background "$SYNTH_BUILDDIR/tests/xenbus/liar" "$SYNTH_RUNDIR/workers/blkd-1.$n.1" "$@"
	within 10 test -S "$SYNTH_RUNDIR/workers/blkd-1.$n.1" || fail "a worker that lies: $1"
}
killed() { grep -q "worker $1 of domain 1 cannot be understood and is killed" "$W/blkd.log"; }

kill -KILL "$blkd_pid" "$real"
blkd_wait_gone
liar many
many=$!
liar big
big=$!
liar files
files=$!
liar device "$uuid" 4294967295
handle=$!
blkd_start
check 'more devices than can be: killed, and not waited for' killed $many
check 'more told of them than can be: killed' killed $big
check 'more descriptors with them than can be: killed' killed $files
undisturbed 'workers that tell without end'
is 'one that has the greatest handle is believed, of its own device' "$(show sinner/xvda .worker)" $handle
check 'the next disk of another guest' attach honest null:1M xvdc
check 'and the one after it' attach honest null:1M xvdd
undisturbed 'the greatest handle'

# It says, too, that it is of a later upgrade than any.
is 'before an upgrade: it is the worker still' "$(show sinner/xvda .worker)" $handle
check 'an upgrade' ctl daemon upgrade
check 'an upgrade replaces a worker whatever that says' not equal '$(show sinner/xvda .worker)' $handle
check 'and ends it' within 10 not kill -0 $handle
check 'its disk is served' bad 1 -n 5 51712 verify
undisturbed 'an upgrade'
world_end

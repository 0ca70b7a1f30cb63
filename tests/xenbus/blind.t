#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is in xenstore and cannot be read is not taken for gone; nor is a guest of which xenstore has nothing any more, and which runs.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
preload=$SYNTH_BUILDDIR/tests/xenbus/.libs/fail-preload.so
[ -e "$preload" ] || skip_all "$preload is not built"
export FAIL_AT=$W/fail-at
world_start
V=51712 wait=$((20 * slow))
img=$(image a.img 16M)
home=$(back_dir 1 $V)
attach sinner "$img" xvda >/dev/null
uuid=$(show sinner/xvda .uuid)
# Verified, and with xenstore only at first
background hostxen run -d 1 -- "$badfront" -n 100000000 $V verify >"$W/io.out" 2>"$W/io.log"
io=${children[-1]}
check 'a guest does I/O' within $wait more_requests sinner/xvda 50
worker=$(show sinner/xvda .worker)

image_changes() { local sum; sum=$(md5sum <"$img"); within $wait not equal '$(md5sum <"$img")' "$sum"; }
served() # NAME: the guest is, by the same worker, and what another would go on from is there
{
	check "$1: the guest's I/O goes on" eval "kill -0 $io && kill -0 $worker && image_changes && kill -0 $io"
	check "$1: its journal is there" test -e "$SYNTH_RUNDIR/journal/blkd-$uuid"
}
blind() { LD_PRELOAD=$preload timeout 60 hostxen run -d 0 -- synth-blkd >>"$W/blkd.log" 2>&1; }

if [ "$slow" -gt 1 ]; then
	skip 'no answers' 'a sanitizer wants to be preloaded first'
else
	# Each question on the way to a device
	kill -KILL "$blkd_pid"
	for path in /local/domain/0/backend/vbd /local/domain/0/backend/vbd/1 "$home/synth/class" "$home/synth/uuid" "$home/params" "$home/mode" \
		"$home/state" "$home/online" /local/domain/1/device/svbd/$V/backend /local/domain/1/device/svbd/$V/state; do
		echo "$path" >"$FAIL_AT"
		blind
		is "no answer about $path: the daemon ends" "$? $(cat "$FAIL_AT" 2>/dev/null)" '1 '
		is "no answer about $path: nothing is closed" "$(back 1 $V state) $(kill -0 "$worker" && ls "$SYNTH_RUNDIR/journal")" "4 blkd-$uuid"
	done
	served 'no answers'
	blkd_start
	is 'answers again: the same worker, the same disk' "$(show sinner/xvda '"\(.worker) \(.uuid) \(.phase) \(.ro)"')" "$worker $uuid connected false"
	check 'answers again: the guest goes on' goes_on $wait sinner/xvda 50

	# While a daemon is there
	kill -KILL "$blkd_pid"
	LD_PRELOAD=$preload blkd_start
	echo "$home/synth/uuid" >"$FAIL_AT"
	dom0 xenstore-write "$home/online" 1
	check 'no answer whether it is there still: it was asked' within $wait not test -e "$FAIL_AT"
	check '... which is logged' within $wait grep -q 'sinner/xvda: cannot read whether its nodes are there' "$W/blkd.log"
	is '... the disk is connected' "$(show sinner/xvda '"\(.worker) \(.phase)"')" "$worker connected"
	served '...'
fi

# Nodes that make no sense, of a disk that is in use
target=$(back 1 $V params)
kill -KILL "$blkd_pid"
dom0 xenstore-write "$home/params" garbage:
blkd_start
served 'damaged nodes'
kill -KILL "$blkd_pid"
dom0 xenstore-write "$home/params" "$target"
blkd_start
is 'damaged nodes, mended: the same worker' "$(show sinner/xvda '"\(.worker) \(.phase)"')" "$worker connected"

# xenstored was started again: it has nothing, and the guest is there
kill -KILL "$blkd_pid"
dom0 xenstore-rm /local/domain/0/backend /local/domain/1 /libxl/1
blkd_start
served 'xenstore lost all of the guest'
is 'xenstore lost all of the guest: it is counted' "$(ctl daemon status --json | jq -c '[.worker_list[] | [.domid, .pid, .strays]]')" "[[1,$worker,1]]"
like 'xenstore lost all of the guest: the doctor tells' "$(ctl doctor --json | jq -r '.findings[] | select(.check == "worker") | "\(.level) \(.subject): \(.what)"')" \
	'error domain 1: its worker serves 1 connected devices'
out=$(ctl daemon upgrade 2>&1)
is 'xenstore lost all of the guest: an upgrade leaves its worker alone' "$?" 1
like 'xenstore lost all of the guest: ... and says so' "$out" 'domain 1 keeps the worker it has: it serves devices'
served 'xenstore lost all of the guest, upgraded'
kill -KILL "$blkd_pid"
blkd_start
served 'xenstore lost all of the guest, and the next daemon'
children_kill
is '... and every byte was right' "$(cat "$W/io.log")" ''
hostxen destroy 1
check '... when the domain goes so does the worker' within $wait not kill -0 "$worker"
check '... and the image is free' unlocked "$img"
kill -KILL "$blkd_pid"
blkd_start
is '... and the next daemon removes the journal' "$(ls "$SYNTH_RUNDIR/journal")" ''
world_end

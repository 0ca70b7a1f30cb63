#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What synth-blkfront says to people: exit statuses, messages, JSON.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"

says() # NAME STATUS REGEX ARGS...
{
	local name=$1 want=$2 regex=$3
	shift 3
	front "$@"
	if [ $rc -eq "$want" ] && grep -qE -- "$regex" "$W/err" "$W/out"; then
		pass "$name"
	else
		fail "$name" "synth-blkfront $*: exit status $rc, wanted $want and '$regex'" "$(cat "$W/err" "$W/out")"
	fi
}

synth-blkfront list >"$W/out" 2>"$W/err"
is 'no xenstore: exit status 7' "$?" 7
like 'no xenstore: says so' "$(cat "$W/err")" 'cannot reach xenstore'
bare_start
says 'no command' 2 'say what to do'
says 'no such command' 2 "'frobnicate' is no command" frobnicate
says 'help' 0 'usage: synth-blkfront' --help
says 'help behind a command and its arguments' 0 'usage: synth-blkfront' io xvda --depth 4 --help
says 'version' 0 'synth-blkfront [0-9]' --version
says 'no disk' 3 'this domain has no disk' info
front list --json
is 'list --json without disks is an empty array' "$(got length)" 0
vbd=/local/domain/1/device/vbd
dom0 xenstore-write $vbd/768/state 1 $vbd/xyz/state 1 $vbd/832/backend /local/domain/0/backend/vbd/1/832 \
	$vbd/832/backend-id 70000 $vbd/99999999999/state 1 $vbd/896/backend /nowhere $vbd/896/backend-id 0 $vbd/896/state 7x
dom0 xenstore-chmod -r $vbd n1 r0
front list --json
is 'directories that are no devices are passed over, half-made ones are shown' "$(got 'map([.vdev, .state, .backend]) | tostring')" \
	'[[768,"Initialising",null],[832,"Unknown",null],[896,"Unknown","/nowhere"]]'
says 'a disk without a back end' 3 'cannot open hda: it has no back end' read hda
says 'a disk whose back end is in a domain that cannot be' 3 'cannot open hdb: it has no back end' read hdb
says 'a disk whose back end is nowhere' 3 'cannot open 896: it has no back end' read 896
says 'several disks and none is said' 2 'this domain has 3 disks: say which' read
dom0 xenstore-rm $vbd
"$SYNTH_BUILDDIR/run" hostxen run -d 0 -- "$SYNTH_BUILDDIR/tests/frontend/badback" 1 51712 no-discard >"$W/back.out" 2>>"$W/back.log" &
children+=($!)
disown $!
within 10 grep -q ready "$W/back.out" || { echo "Bail out! no back end"; exit 1; }
says 'no such disk' 3 'this domain has no disk xvdb' info xvdb
says 'a name that is none' 2 "'eth0' is no device name" info eth0
says 'two devices' 2 'one device is enough' info xvda xvdb
says 'an option that does not exist' 2 "^synth-blkfront: unrecognized option '--frob'" io xvda --frob
says '... is told with what to do' 2 '^next: synth-blkfront --help' io xvda --frob
says 'one that does not exist, of one letter' 2 "^synth-blkfront: unrecognized option '-z'" read xvda -z
says 'an option without its argument' 2 "^synth-blkfront: option '--depth' requires an argument" io xvda --depth
says 'an option with an argument too many' 2 "^synth-blkfront: option '--json' takes no argument" list --json=1
says 'list' 0 'xvda +51712 +svbd +Initialising +InitWait +67108864' list
front info 51712 --json
is 'info --json' "$(got '[.dev, .vdev, .size, .backend_state, .secure_discard] | tostring')" '["xvda",51712,67108864,"InitWait",null]'
says 'a block size that is no multiple of a sector' 2 'is not a size' io xvda --bs 1000
says 'a block size of zero' 2 'is not a size' io xvda --bs 0
says 'a block size upside down' 2 'is not a size' io xvda --bs 8k-4k
says 'depth 0' 2 'at least 1' io xvda --depth 0
says 'depth -1' 2 'not a number' io xvda --depth -1
says 'ring order 5' 2 'not a number up to 4' io xvda --ring-order 5
says 'an unknown kind of I/O' 2 "'dance' is none of" io xvda --rw read,dance
says 'an offset past the end' 2 'past the end' io xvda --offset 1T
says 'a region smaller than a block' 2 'too small' io xvda --size 4k --bs 8k
says 'trim that is not offered' 1 'offers no discard' io xvda --rw trim
says 'discard that is not offered' 1 'offers no discard' discard xvda --all
says 'discard of nothing in particular' 2 'say --offset and --length, or --all' discard xvda
says 'a read behind the end' 2 'behind the end' read xvda --offset 64M --length 1M
says 'a read that is not in sectors' 2 'multiples of 512' read xvda --length 100
printf x >"$W/byte"
front write xvda --offset 64M <"$W/byte"
is 'a write at the very end has no room' "$rc" 1
like 'a write at the very end says so' "$(cat "$W/err")" 'is full'
front write xvda <"$W/byte"
is 'a write of one byte' "$rc" 0
hostxen run -d 1 -- synth-blkfront read xvda 2>"$W/err" | head -c 1000 >/dev/null
is 'a reader that goes away is an error, not a crash' "${PIPESTATUS[0]}" 1
front io xvda --ios 1000 --rw randrw --json
is 'JSON has the members that are promised' "$(got '[.v, .ios, .errors, (.iops|type), (.lat_ns|[.p50,.p90,.p99,.p99_9,.max]|map(type)|unique|first), (.events_sent_per_io|type), (.cpu_us_per_io|type)] | tostring')" \
	'[1,1000,0,"number","number","number","number"]'
hostxen run -d 1 -- synth-blkfront io xvda --runtime 60 --rate 1000 --json >"$W/out" 2>"$W/err" &
pid=$!
within 10 equal '$(dom0 xenstore-read /local/domain/1/device/svbd/51712/state)' 4
sleep 1
kill -INT $pid
wait $pid
is 'Ctrl-C ends a load with its figures and status 0' "$? $(got '.ios > 0')" '0 true'
is '--rate is kept' "$(got '(.iops > 500) and (.iops < 1300)')" true
is 'and the disk is closed' "$(dom0 xenstore-read /local/domain/1/device/svbd/51712/state)" 1
bare_end

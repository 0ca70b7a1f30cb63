#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A back end that lies is found out: the front end says what happened and exits, crashes never, and shows nothing.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
bare_start
. "$SYNTH_SRCDIR/tests/frontend/badback.sh"

# sin NAME SIN STATUS MESSAGE [ARGS OF io...]
sin()
{
	local name=$1 sin=$2 want=$3 message=$4
	shift 4
	back_start "$sin"
	front io xvda --depth 4 --ios 5000 --timeout 2 --no-reconnect "$@"
	back_verdict "$name" "$want" "$message" "$W/err" "$W/out"
}

sin 'an honest back end is served' none 0 'IOPS'
sin 'pages granted for one read are clean, whatever they held before' none 0 'IOPS' --rw randrw --no-persistent --bs 512-8k
sin 'an id that is never used' bad-id 1 'broke the protocol: a response with an id we never use'
sin 'an id that is not in flight' idle-id 1 'broke the protocol: a response to a request that is not in flight'
sin 'the id of an older request in the same slot' old-id 1 'broke the protocol: a response to a request that is not in flight'
sin 'another operation than the request'\''s' wrong-op 1 'broke the protocol: a response that names another operation'
sin 'a request answered twice' double 1 'broke the protocol'
sin 'a producer index one too many (XSA-391)' too-many 1 'broke the protocol'
sin 'a producer index a ring and one ahead' jump 1 'broke the protocol: a producer index beyond'
sin 'a producer index half the numbers ahead' jump-far 1 'broke the protocol: a producer index beyond'
sin 'a producer index that goes back' backwards 1 'broke the protocol: a producer index beyond'
sin 'random bytes all over the ring' scribble 1 'broke the protocol'
sin 'a status that does not exist is an I/O error, no more' status 1 'failed: Input/output error'
sin 'Closed while connected' closed 1 'the back end has gone' --ios 3000 --rate 3000
sin 'Closing while connected: what is in flight completes' closing 1 'wants the disk back' --ios 3000 --rate 3000
sin 'the directory is deleted while connected' vanish 1 'the back end has gone' --ios 3000 --rate 3000
sin 'states in no order' states 1 'the back end has gone|stopped early' --ios 3000 --rate 3000
sin 'resize while connected' resize 0 'resized from 131072 to 262144' --ios 3000 --rate 3000
sin 'shrinking below where I/O goes' shrink 1 'resized from 131072 to 8' --ios 3000 --rate 3000
sin 'a size that is no number' bad-sectors 1 'sectors is missing or makes no sense'
sin 'no size' no-sectors 1 'sectors is missing or makes no sense'
sin 'a size beyond 2^64 bytes' huge-sectors 1 'sectors is missing or makes no sense'
sin 'a sector size that is no power of two' sector-size 1 'sector-size is missing or makes no sense'
sin 'offers that are too large or nonsense are cut to what we do' offers 0 'IOPS'
sin 'Closing instead of Connected' refuse 1 'the back end refused'
sin 'Closed instead of Connected' refuse-closed 1 'the back end refused'
sin 'never Connected: told after the time-out' never 5 'no answer from the back end in time'

back_start never
hostxen run -d 1 -- synth-blkfront io xvda >"$W/out" 2>"$W/err" &
pid=$!
within 10 equal '$(dom0 xenstore-read /local/domain/1/device/svbd/51712/state)' 3
kill -TERM $pid
wait $pid
rc=$?
back_verdict 'never Connected: who is told to end before that says so' 1 'interrupted: xvda was not opened yet' "$W/err"

# One thread finds the lie, the others must end too.
sin 'all queues end when one is lied to' bad-id 1 'broke the protocol' --queues 4
is 'a lie is told once' "$(grep -c 'the disk is not used any more' "$W/err")" 1

back_start none
front read xvda --length 1M
is 'read gives zeros from a back end that fills nothing: buffers are clean' "$(tr -d '\0' <"$W/out" | wc -c) $(wc -c <"$W/out")" '0 1048576'
back_stop

# A silent back end, and a person who has enough
back_start silent
hostxen run -d 1 -- synth-blkfront io xvda --runtime 100 >"$W/out" 2>"$W/err" &
pid=$!
within 20 grep -q silent "$W/back.out" || fail 'the back end falls silent' "$(cat "$W/err")" # there are requests that wait
kill -INT $pid
wait $pid
is 'Ctrl-C ends even what waits for a silent back end' "$?" 1
like 'and says why' "$(cat "$W/err")" 'timed out'
back_stop

back_start none
hostxen run -d 1 -- synth-blkfront io xvda --runtime 100 --depth 8 >/dev/null 2>&1 &
pid=$!
disown $pid
within 10 equal '$(dom0 xenstore-read /local/domain/1/device/svbd/51712/state)' 4
front io xvda --ios 10 --timeout 2
is 'a second process is told that the disk is in use' "$rc $(grep -c 'another process' "$W/err")" '4 1'
kill -KILL $pid
within 5 not kill -0 $pid
front io xvda --ios 100 --timeout 5
is 'after SIGKILL the next one connects' "$rc $(cat "$W/err")" '0 '
back_stop

bare_end

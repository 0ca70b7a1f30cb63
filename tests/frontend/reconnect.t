#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A back end that goes away and comes back, in every way there is: what it did not answer is sent again, in order and before anything
# else; what it offers less is dealt with or told; nothing of the connection before is used again; and waiting has an end.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
bare_start
. "$SYNTH_SRCDIR/tests/frontend/badback.sh"

# again NAME SIN STATUS MESSAGE [ARGS OF io...]: as sin() of badback.t, but the front end reconnects, and the last JSON is kept for got()
again()
{
	local name=$1 sin=$2 want=$3 message=$4
	shift 4
	back_start $sin
	front io xvda --depth 4 --ios 2000 --timeout 2 --reconnect $((20 * slow)) --json "$@"
	back_verdict "$name" "$want" "$message" "$W/err"
}
went_on() { is "$1: all I/O was done" "$(got '"\(.ios) \(.errors) \(.reconnects)"')" "2000 0 ${2:-1}"; } # NAME [RECONNECTS]
# The requests the back end took and did not answer, and the first ones after it was back
same_again() { is "$1: what was not answered is sent again first, and in order" "$(sed -n 's/^again //p' "$W/back.out")" "$(sed -n 's/^lost //p' "$W/back.out")"; }

for sin in closed closing vanish-back detach forget reborn; do
	again "$sin: connected again" $sin 0 'connected again' --rate 10000
	went_on "$sin"
	again "$sin, grants per I/O" $sin 0 'connected again' --no-persistent --rw randrw --rate 10000
	went_on "$sin, grants per I/O"
done
again 'a device that is being removed is not begun anew before it is there again' leave 0 'connected again' --rate 10000
went_on 'a device that is being removed'
is 'a device that is being removed: meanwhile it stays Closed' "$(grep ^left "$W/back.out")" 'left 6'
again 'a back end that asks gets what is in flight done first' closing 0 'wants the disk back' --rate 10000
is 'so nothing is sent again' "$(got .replayed)" 0
again 'requests without an answer' lose 0 'connected again' --rw randread=3,trim=1
same_again 'reads and discards'
is 'they are counted' "$(got .replayed)" 4
is 'there were four' "$(grep -c ^lost "$W/back.out")" 4
again 'requests without an answer, grants per I/O' lose 0 'connected again' --rw randrw=3,trim=1,flush=2 --no-persistent --bs 512-64k
same_again 'all kinds of requests, grants per I/O'
again 'I/O larger than a request' lose 0 'connected again' --bs 1M --ios 200
same_again 'parts of large I/O'
is 'parts of large I/O: all of it was done' "$(got '"\(.ios) \(.errors)"')" '200 0'

again 'more I/O than the ring holds' lose 0 'connected again' --bs 1M --ios 200 --depth 64 --ring-order 0
same_again 'more I/O than the ring holds'

# What was written and not flushed
again 'a back end that asks is sent a flush last' closing 0 'wants the disk back' --rw randwrite --rate 10000
is 'a back end that asks: the flush was the last thing it got' "$(sed -n 's/^last //p' "$W/back.out" | head -n 1)" 3
again 'nothing written, nothing to flush' closing 0 'wants the disk back' --rate 10000
is 'nothing written: no flush' "$(sed -n 's/^last //p' "$W/back.out" | head -n 1)" 0
again 'the same domain again: what was not flushed is there for the next flush' closed 0 'connected again' --rw randwrite=8,flush=1 --rate 10000
is 'the same domain again: no flush failed' "$(got .errors)" 0
hostxen create 2 --name driver || bail 'no driver domain'
dom0 xenstore-write /local/domain/2/backend ''
dom0 xenstore-chmod /local/domain/2/backend n2
back_start vanish 30
: >"$W/err" # the shell that makes it anew does so when it likes
hostxen run -d 1 -- synth-blkfront io xvda --rw randwrite=8,flush=1 --depth 4 --ios 2000 --rate 4000 --json --reconnect 30 >"$W/out" 2>"$W/err" &
pid=$!
within 10 grep -q 'waiting for the back end' "$W/err" || fail 'the first one goes' "$(cat "$W/err")"
back_stop
dir=/local/domain/1/device/svbd/51712
dom0 xenstore-write $dir ''
dom0 xenstore-chmod $dir n1 r2
dom0 xenstore-write $dir/state 1 $dir/backend-id 2 $dir/backend /local/domain/2/backend/badback/1/51712
hostxen run -d 2 -- "$badback" 1 51712 none 8 2 >>"$W/back2.log" 2>&1 &
driver=$!
disown $driver
wait $pid
is 'another domain: connected to' "$? $(grep -c 'has another back end: /local/domain/2/' "$W/err") $(got .ios)" '1 1 1999'
is 'another domain: one flush fails, since what was written before may be lost' "$(got .errors) $(grep -c 'flush at offset 0 failed: Input/output error' "$W/err")" '1 1'
kill -TERM $driver
within 5 not kill -0 $driver
dom0 xenstore-rm $dir

# A queue that nobody looks at while the back end is lost, comes back in another domain, and is lost there once more
driver_start()
{
	rm -f "$W/back2.out"
	hostxen run -d 2 -- "$badback" 1 51712 none 8 2 {in}>&- >"$W/back2.out" 2>>"$W/back2.log" &
	driver=$!
	disown $driver
	within 10 grep -qs ready "$W/back2.out" || bail 'no back end in domain 2' "$W/back2.log"
}
back_start none
mkfifo "$W/in"
: >"$W/out"
hostxen run -d 1 -- "$SYNTH_BUILDDIR/tests/frontend/sleeper" <"$W/in" >"$W/out" 2>"$W/err" &
pid=$!
exec {in}>"$W/in"
check 'a queue that sleeps: it has written' within 10 grep -qx written "$W/out"
back_stop
dom0 xenstore-write $dir ''
dom0 xenstore-chmod $dir n1 r2
dom0 xenstore-write $dir/state 1 $dir/backend-id 2 $dir/backend /local/domain/2/backend/badback/1/51712
for n in 1 2; do
	driver_start
	check "a queue that sleeps: life $n in another domain" within 20 equal '$(grep -c "connected again" '"$W/err)" $n
	[ $n = 2 ] || { kill -TERM $driver; within 5 not kill -0 $driver; }
done
echo >&$in
exec {in}>&-
wait $pid
is 'a queue that sleeps: its next flush fails all the same, once' "$? $(grep ^flush "$W/out")" $'0 flush: Input/output error\nflush: done'
kill -TERM $driver
within 5 not kill -0 $driver
dom0 xenstore-rm $dir

# `write` that waits for its input when the back end asks, or for more of it
for copy in 'a copy without input' 'a copy whose input trickles'; do
	back_start none
	hostxen run -d 1 -- synth-blkfront write xvda <"$W/in" >"$W/out" 2>"$W/err" &
	pid=$!
	exec {in}>"$W/in"
	head -c 3M /dev/zero >&$in # it reads the last of these when the first are answered
	[ "$copy" = 'a copy without input' ] || while sleep 0.05; do head -c 4k /dev/zero; done >&$in &
	trickle=$!
	dom0 xenstore-write /local/domain/0/backend/badback/1/51712/state 5
	check "$copy: the back end that asks gets it back" within 10 grep -q '^last' "$W/back.out"
	is "$copy: a flush was the last thing it got" "$(grep ^last "$W/back.out") $(grep -c 'is given back with' "$W/err")" 'last 3 0'
	check "$copy: connected again" within 20 grep -q 'connected again' "$W/err"
	kill $trickle 2>/dev/null
	exec {in}>&-
	wait $pid
	is "$copy: it goes on" $? 0
	back_stop
done

# An NBD export on which no request is under way when the back end asks
plugin=$SYNTH_BUILDDIR/frontend/.libs/nbdkit-synth-plugin.so
if ! command -v nbdkit >/dev/null || ! command -v qemu-io >/dev/null || [ ! -e "$plugin" ]; then
	skip 'an idle NBD export' 'no nbdkit or qemu-io here'
elif ldd "$plugin" | grep -qE 'lib[at]san'; then
	skip 'an idle NBD export' 'nbdkit cannot load a sanitized plugin'
else
	back_start none
	hostxen run -d 1 -- synth-blkfront serve xvda --unix "$W/sock" >"$W/serve.log" 2>&1 &
	children+=($!)
	serve=$!
	disown $serve
	within 10 test -S "$W/sock" || bail 'serve does not start' "$W/serve.log"
	mkfifo "$W/io.in"
	stdbuf -oL qemu-io -t writeback -f raw "nbd+unix:///?socket=$W/sock" <"$W/io.in" >"$W/io.out" 2>&1 &
	client=$!
	exec {in}>"$W/io.in"
	echo 'write 0 4k' >&$in
	check 'an idle NBD export: its client has written' within 10 grep -q 'wrote 4096' "$W/io.out"
	dom0 xenstore-write /local/domain/0/backend/badback/1/51712/state 5
	check 'an idle NBD export: the back end that asks gets it back' within 10 grep -q '^last' "$W/back.out"
	is 'an idle NBD export: a flush was the last thing it got' "$(grep ^last "$W/back.out")" 'last 3'
	is 'an idle NBD export: nothing was left undone' "$(grep -c 'is given back with' "$W/serve.log")" 0
	check 'an idle NBD export: connected again' within 20 grep -q 'connected again' "$W/serve.log"
	printf 'read 0 4k\nflush\nquit\n' >&$in
	exec {in}>&-
	wait $client
	is 'an idle NBD export: it goes on' "$? $(grep -ciE 'fail|error' "$W/io.out")" '0 0'
	kill -TERM $serve
	check 'an idle NBD export: it ends' within 15 not kill -0 $serve
	back_stop
fi

# It offers less
again 'a smaller disk: told' lose-small 1 'resized from 131072 to 65536 sectors; requests past the end fail' --seed 3
like 'a smaller disk: what lies past the end fails' "$(cat "$W/err")" 'failed: Numerical result out of range|cannot submit: Numerical result out of range'
is 'a smaller disk: and is not even asked for' "$(sed -n 's/^again [0-9]* //p' "$W/back.out" | awk '$1 >= 65536' | wc -l)" 0
again 'a smaller disk is no trouble below its end' lose-small 0 'resized from 131072 to 65536' --size 32M
went_on 'a smaller disk, below its end'
again 'read-only now: reads go on' lose-readonly 0 'read-only now' --rw randread
went_on 'read-only now'
again 'read-only now: writes fail' lose-readonly 1 'Read-only file system' --rw randwrite
again 'neither flush nor discard, no indirect requests, a ring of one page, no persistent grants' lose-plain 0 'offers no flush' \
	--bs 256k --rw randread --ring-order 2
went_on 'a plain back end'
again 'a plain back end: a flush fails' lose-plain 1 'Operation not supported' --rw randread=4,flush=1
again 'a plain back end: a discard fails' lose-plain 1 'Operation not supported' --rw randread=4,trim=1
again 'offers that are nonsense count as none' lose-nonsense 0 'offers no flush'
went_on 'offers that are nonsense'

# It cannot be connected to: told, and waited for until the time is over
for pair in 'lose-other|it has another disk: /another/disk, where there was /a/disk' 'lose-sectors|it has sectors of 4096 bytes, and there were 512' \
	'lose-no-size|its sectors is missing or makes no sense'; do
	again "${pair%%|*}: not connected to" "${pair%%|*}" 1 "not connected to: ${pair#*|}" --reconnect 1
	like "${pair%%|*}: what waits fails in the end, and why" "$(cat "$W/err")" 'stopped early: No such device \(the back end has gone, and did not come back in 1 seconds; the one that is there is not connected to'
	is "${pair%%|*}: each request that waited has failed" "$(got '.errors >= 4')" true
	is "${pair%%|*}: told once, however often it is tried" "$(grep -c '^warn.*not connected to' "$W/err")" 1
done
again 'a back end that stays away' vanish 1 'stopped early: No such device \(the back end has gone, and did not come back in 1 seconds\)' --reconnect 1
again 'told not to, it does not wait' closed 1 'stopped early: No such device \(the back end has gone\)' --no-reconnect

# Hostile ones
again 'a ring and pages that it keeps and writes to are not used again (XSA-396)' hold 0 'connected again'
went_on 'a ring and pages that it keeps'
again 'the same, grants per I/O' hold 0 'connected again' --no-persistent
went_on 'kept, grants per I/O'
again 'the id of a request of the life before is none' late 1 'broke the protocol: a response to a request that is not in flight'
again 'five short lives' short-lives 0 'connected again'
went_on 'five short lives' 6
again 'states that flap at full speed, then settle' flap 0 'connected again'
went_on 'states that flap' "$(got .reconnects)"
check 'states that flap: looked at now and then only' [ "$(got '.reconnects')" -lt 10 -a "$(wc -l <"$W/err")" -lt 40 ]
like 'states that flap: they did' "$(cat "$W/back.out")" flapped
back_start vain-lives 0
SECONDS=0
front io xvda --depth 4 --ios 2000 --reconnect 2 --json
is 'lives in which nothing is answered do not make it wait for longer' "$rc $(grep -c 'did not come back in 2 seconds' "$W/err") $((SECONDS < 10 * slow))" '1 2 1'
back_stop
again 'a lie after it came back ends it for good' 'late' 1 'is not used any more' --reconnect 0

# A copy of the whole disk goes on, too
for sin in closed detach; do
	back_start $sin 8
	front read xvda --length 16M --reconnect 20
	is "read goes on ($sin)" "$rc $(wc -c <"$W/out") $(grep -c 'connected again' "$W/err")" '0 16777216 1'
	back_stop
done
back_start closed 8
head -c 8M /dev/zero | front write xvda --reconnect 20
is 'write goes on' "$rc $(grep -c 'connected again' "$W/err")" '0 1'
back_stop
back_start vanish 8
front read xvda --length 16M --reconnect 1
is 'read says why it fails' "$rc $(grep -c 'cannot read at offset .*did not come back in 1 seconds' "$W/err")" '1 1'
back_stop

# Who is told to stop does not wait for a back end that is away.
back_start vanish 8
: >"$W/err"
hostxen run -d 1 -- synth-blkfront io xvda --runtime 100 --reconnect 0 >"$W/out" 2>"$W/err" &
pid=$!
within 20 grep -q 'waiting for the back end' "$W/err" || fail 'it waits' "$(cat "$W/err")"
kill -INT $pid
wait $pid
is 'Ctrl-C ends the waiting' "$? $(grep -c 'waiting for the back end; requests wait' "$W/err")" '1 1'
back_stop
front io xvda --reconnect 1y
is 'a time that is none is told' "$rc $(grep -c -- "--reconnect: '1y' is not a number" "$W/err")" '2 1'
bare_end

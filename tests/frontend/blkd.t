#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The front end against our back end: every byte verified, for each way of doing I/O.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
world_start
img=$(image a.img 64M)
attach sinner "file:$img" xvda --queues 4 >"$W/attach.out" 2>&1 || { echo "Bail out! cannot attach"; diag <"$W/attach.out"; exit 1; }

for order in 0 1 2 3 4; do
	verified "random reads and writes, ring order $order" --rw randrw --depth 64 --ios 4000 --ring-order $order
	is "ring order $order was agreed" "$(got .ring_pages)" $((1 << order))
done
for queues in 1 2 3 4; do
	verified "$queues queue(s), a thread each" --rw randrw --bs 4k-16k --depth 16 --ios 6000 --queues $queues
	is "$queues queue(s) were agreed" "$(got .queues)" $queues
done
for depth in 1 2 32 256; do
	verified "depth $depth" --rw randrw --depth $depth --ios $((depth * 10 + 500))
done
for bs in 512 1k 1536 4k 44k 45056 45568 64k 1M; do
	verified "blocks of $bs" --rw randrw --bs $bs --depth 8 --ios 200
done
is 'indirect requests were used' "$(got '.max_segments == 256 and .requests_per_io < 1.5')" true
for grants in persistent reuse per-io; do
	verified "grants $grants" --rw randrw --bs 4k-128k --depth 16 --ios 1500 --grants $grants
	is "grants $grants was agreed" "$(got .grants)" $grants
done
verified 'grants per I/O, four queues' --rw randrw --bs 512-64k --depth 8 --ios 2000 --queues 4 --no-persistent
verified 'sizes from 512 bytes to 1 MiB' --rw randrw --bs 512-1M --depth 8 --ios 300
verified 'without indirect requests' --rw randrw --bs 512-1M --depth 8 --ios 200 --no-indirect
verified 'blocks of 4 MiB, split' --rw randrw --bs 4M --depth 4 --ios 40
verified 'flush and trim among reads and writes' --rw randrw=10,trim=1,flush=1 --bs 4k-64k --depth 16 --ios 3000
verified 'sequential writes' --rw write --bs 128k --depth 4 --ios 400
verified 'polling' --rw randrw --depth 16 --ios 3000 --poll
verified 'woken after each answer' --rw randrw --depth 16 --ios 1000 --wake 1
verified 'woken late' --rw randrw --depth 16 --ios 1000 --wake 16
verified 'woken after a quarter' --rw randrw --depth 16 --ios 1000 --wake 25%
front io xvda --json --rw randread --depth 32 --ios 50000
is 'at depth 32 a sleeping front end gets at most an event for ten I/Os' "$(got '.events_received_per_io <= 0.1')" true

head -c 5000001 /dev/urandom >"$W/data"
front write xvda --offset 3M <"$W/data"
is 'write succeeds' "$rc" 0
check 'write: every byte is in the image' cmp -n 5000001 -i 3145728:0 "$img" "$W/data"
front read xvda
check 'read: the whole disk as it is' cmp "$W/out" "$img"
front flush xvda
is 'flush succeeds' "$rc" 0
front discard xvda --offset 3M --length 1M
is 'discard succeeds' "$rc" 0

hostxen run -d 1 -- synth-blkfront io xvda --runtime 100 --depth 8 --queues 2 >"$W/killed.log" 2>&1 &
pid=$!
disown $pid
within 10 equal '$(show sinner/xvda .state)' Connected
kill -KILL $pid
within 10 not kill -0 $pid
verified 'after SIGKILL of a front end the next one connects and works' --rw randrw --depth 16 --ios 2000
check 'closed so that the next can open it' within 10 equal '$(show sinner/xvda .state) $(dom0 xenstore-read /local/domain/1/device/svbd/51712/state)' 'InitWait 1'

# Resize is seen by a front end that is connected.
hostxen run -d 1 -- synth-blkfront io xvda --runtime 100 --rate 100 --no-reconnect >"$W/out" 2>"$W/resize.log" &
pid=$!
within 10 equal '$(show sinner/xvda .state)' Connected
ctl resize sinner/xvda 128M >/dev/null 2>&1
check 'a resize is noticed' within 10 grep -q 'resized from 131072 to 262144 sectors' "$W/resize.log"
# Detach asks the front end, which lets go.
ctl detach sinner/xvda >"$W/detach.out" 2>&1
is 'detach: the front end lets go' "$?" 0
wait $pid
is 'detach: it says why it ends' "$? $(grep -c 'wants the disk back; closing it' "$W/resize.log")" '1 1'

img=$(image ro.img 8M)
head -c 8M /dev/urandom >"$img"
attach sinner "file:$img" xvdb --ro >/dev/null 2>&1
front read xvdb
check 'a read-only disk is read' cmp "$W/out" "$img"
front write xvdb <"$W/data"
is 'a read-only disk is not written' "$rc $(grep -c 'read-only' "$W/err")" '1 1'
world_end

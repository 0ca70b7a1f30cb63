#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every byte of every frame comes back, for each way of sending them.  The back end sends all back (badback, honest).
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
. "$SYNTH_SRCDIR/tests/netfront/net.sh"
bare_start

# comes_back NAME ARGS...
comes_back()
{
	local name=$1
	shift
	net io eth0 --mode echo --verify --json "$@"
	if [ $rc -eq 0 ] && [ "$(got '.lost == 0 and .twice == 0 and .corrupt == 0 and .bad_checksum == 0 and .foreign == 0 and
		.faults_total == 0 and .tx_errors == 0 and .sent > 0 and .unique > 0 and .flows == .queues')" = true ]; then
		pass "$name"
	else
		fail "$name" "io --mode echo --verify $*" "exit status $rc" "$(cat "$W/out" "$W/err")"
	fi
}

back_start none
for kind in eth udp4 udp6 tcp4 tcp6; do
	comes_back "$kind, all sizes of one slot" --kind $kind --size 115-1514 --frames 3000
	comes_back "$kind, all sizes" --kind $kind --size 115-65535 --frames 1000
done
for kind in udp4 udp6 tcp4 tcp6; do
	comes_back "$kind, checksums left to the other side" --kind $kind --size 115-1514 --frames 3000 --csum
done
for kind in tcp4 tcp6; do
	comes_back "$kind, GSO" --kind $kind --size 5000-65535 --gso 1400 --frames 1000
done
for size in 54 60 4095 4096 4097 8192 8193 65535; do
	comes_back "frames of $size bytes" --size $size --frames 500
done
for queues in 1 2 3 4; do
	comes_back "$queues queue(s), split event channels" --queues $queues --size 60-9000 --frames 4000
	is "$queues queue(s): agreed" "$(got '"\(.queues) \(.split_event_channels) \(.flows)"')" "$queues true $queues"
	comes_back "$queues queue(s), one event channel each" --queues $queues --size 60-9000 --frames 4000 --no-split
	is "$queues queue(s), one event channel each: agreed" "$(got '"\(.queues) \(.split_event_channels)"')" "$queues false"
done
for bufs in 32 64 128 256; do
	comes_back "$bufs buffers each way" --rx-bufs $bufs --tx-bufs $bufs --size 60-20000 --frames 2000
done
comes_back 'one frame at a time' --window 1 --frames 2000
comes_back 'no window: as fast as there is room' --window 0 --frames 30000 --size 60-4000
comes_back 'at a rate' --rate 2000 --frames 1000
comes_back 'random frames are the same with the same seed' --seed 7 --size 60-1500 --frames 1000
bytes=$(got .sent_bytes)
comes_back 'once more' --seed 7 --size 60-1500 --frames 1000
is 'the same number of bytes' "$(got .sent_bytes)" "$bytes"
net io eth0 --mode echo --frames 100000 --window 200 --json
is 'events are few when there is much to do: less than one for four frames' "$(got '.events_received_per_frame < 0.25 and .events_sent_per_frame < 0.25')" true
is 'the tool says that checksums were not asked for' "$(got .offloads)" 'csum4 csum6 gso4 gso6'
comes_back 'without offloads' --no-csum --size 60-60000 --frames 500
is 'without offloads: none' "$(got .offloads)" none
net io eth0 --kind tcp4 --gso 1400 --size 9000 --no-gso
is 'GSO that was not agreed is refused' "$rc $(grep -c 'does not offer GSO' "$W/err")" '1 1'
net io eth0 --kind udp4 --csum --no-csum
is 'a checksum that was not agreed is refused' "$rc $(grep -c 'does not offer checksums' "$W/err")" '1 1'

# A second process; a killed one
hostxen run -d 1 -- synth-netfront io eth0 --runtime 100 --rate 100 >/dev/null 2>&1 &
pid=$!
disown $pid
within 10 equal '$(dom0 xenstore-read /local/domain/1/device/svif/0/state)' 4
net io eth0 --frames 10
is 'a second process is told that the interface is in use' "$rc $(grep -c 'another process' "$W/err")" '4 1'
kill -KILL $pid
within 5 not kill -0 $pid
comes_back 'after SIGKILL the next one connects' --size 60-9000 --frames 1000
back_stop

back_start swallow
for kind in eth tcp4; do
	net io eth0 --mode echo --kind $kind --size 154 --frames 200 --queues 2 --json
	lost=100
	[ $kind = eth ] || lost=$((100 * 100)) # bytes
	is "$kind, a queue of which nothing comes back: all of it is lost" "$rc $(got '"\(.sent) \(.flows) \(.lost)"')" "0 200 1 $lost"
done
back_stop

# Bytes that are not what was sent are seen: the sink of another run would not know them
back_start plain
comes_back 'an old back end: one queue, one slot a frame, no offloads' --queues 4 --size 60-4096 --frames 3000
is 'an old back end: agreed' "$(got '"\(.queues) \(.split_event_channels) \(.sg) \(.offloads)"')" '1 false false none'
net io eth0 --size 4097
is 'a frame that does not fit a slot is refused' "$rc $(grep -c 'at most 4096 bytes' "$W/err")" '1 1'
back_stop
is 'nothing was shown to the back end' "$(cat "$W"/back.out | grep -c leak)" 0
bare_end

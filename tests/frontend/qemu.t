#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The front end against a back end that is not ours: QEMU's (no indirect requests, no persistent grants, one queue).
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
[ -x "$qemu" ] || skip_all "QEMU's Xen build is not installed (Debian: qemu-system-xen)"
bare_start
img=$(image a.img 64M)
qemu_start "$img"

for order in 0 1 2 3 4; do
	verified "random reads and writes, ring order $order" --rw randrw --bs 4k --depth 64 --ios 4000 --ring-order $order
	is "ring order $order was agreed" "$(got .ring_pages)" $((1 << order))
done
verified 'sizes from 512 bytes to 1 MiB, split at 44 KiB' --rw randrw --bs 512-1M --depth 8 --ios 300
is 'QEMU offers no indirect requests' "$(got .max_segments)" 11
verified 'sizes from 4 KiB to 64 KiB with flush and trim among them' --rw randrw=10,trim=1,flush=1 --bs 4k-64k --depth 16 --ios 3000
verified 'sequential writes' --rw write --bs 128k --depth 4 --ios 400
verified 'depth 1' --rw randrw --depth 1 --ios 500
verified 'depth 256' --rw randrw --depth 256 --ios 5000
verified 'a grant for each I/O' --rw randrw --bs 4k-128k --depth 8 --ios 1000 --no-persistent
verified 'polling' --rw randrw --depth 16 --ios 3000 --poll
verified 'woken after each answer' --rw randrw --depth 16 --ios 1000 --wake 1
verified 'more queues are asked for than offered' --rw randrw --depth 8 --queues 4 --ios 1000
is 'QEMU has one queue' "$(got .queues)" 1

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

hostxen run -d 1 -- synth-blkfront io xvda --runtime 100 --depth 8 >/dev/null 2>&1 &
pid=$!
disown $pid
within 10 equal '$(dom0 xenstore-read /local/domain/1/device/vbd/51712/state)' 4
kill -KILL $pid
within 10 not kill -0 $pid # what it had open is closed
verified 'after SIGKILL of a front end the next one connects and works' --rw randrw --depth 16 --ios 2000
is 'closed so that the next can open it' \
	"$(dom0 xenstore-read /local/domain/1/device/vbd/51712/state /local/domain/0/backend/qdisk/1/51712/state | xargs)" '1 2'
bare_end

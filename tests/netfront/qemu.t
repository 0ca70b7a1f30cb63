#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The network front end against a back end that is not ours: QEMU's, which takes frames of one slot and, in QEMU 7.2, has
# no network behind it.  So this shows the handshake, transmit, and closing.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
. "$SYNTH_SRCDIR/tests/netfront/net.sh"
[ -x "$qemu" ] || skip_all "QEMU's Xen build is not installed (Debian: qemu-system-xen)"
bare_start
qnic_start
both() { dom0 xenstore-read /local/domain/1/device/vif/0/state /local/domain/0/backend/qnic/1/0/state | xargs; }

# taken NAME ARGS...: every frame is answered, and without an error
taken()
{
	local name=$1
	shift
	net io eth0 --json --queues 4 "$@"
	if [ $rc -eq 0 ] && [ "$(got '.sent > 0 and .tx_errors == 0 and .faults_total == 0 and .queues == 1')" = true ]; then
		pass "$name"
	else
		fail "$name" "io $*" "exit status $rc" "$(cat "$W/out" "$W/err")"
	fi
}

net info eth0 --json
is 'what it offers' "$(got '"\(.type) \(.mac) \(.max_queues) \(.sg) \(.offloads)"')" 'vif 00:16:3e:00:00:01 1 false ["csum4"]'
taken 'frames of 64 bytes' --frames 50000
taken 'frames of 4096 bytes' --size 4096 --frames 20000
taken 'frames of all sizes' --size 60-4096 --frames 20000
taken 'UDP with blank checksums' --kind udp4 --csum --size 82-1514 --frames 20000
taken 'slowly' --rate 500 --frames 200
net io eth0 --size 5000
is 'a frame of two slots is refused' "$rc $(grep -c 'at most 4096 bytes' "$W/err")" '1 1'
is 'closed so that the next can open it' "$(both)" '1 2'

hostxen run -d 1 -- synth-netfront io eth0 --runtime 100 >/dev/null 2>&1 &
pid=$!
disown $pid
within 10 equal '$(both)' '4 4'
kill -KILL $pid
within 10 not kill -0 $pid # what it had open is closed
taken 'after SIGKILL of a front end the next one connects and works' --frames 2000
bare_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A third party on hostxen: QEMU's Xen block back end, unmodified, with synth-blkfront as the guest. It is the peer of the
# benchmark, so what it does here has to be right: data, close and reconnect, kill, unplug.
. "${SYNTH_SRCDIR:-.}/hostxen/test-lib.sh"
export SYNTH_LIBDIR=$SYNTH_BUILDDIR
front=$SYNTH_BUILDDIR/frontend/synth-blkfront
qemu=
for q in /usr/libexec/xen-qemu-system-i386 /usr/lib/xen/bin/qemu-system-i386 "$(command -v xen-qemu-system-i386)"; do
	[ -n "$qemu" ] || { [ -x "$q" ] && qemu=$q; }
done
[ "$qemu" ] || { echo '1..0 # SKIP no QEMU with Xen (Debian: qemu-system-xen)'; exit 0; }
[ -x "$front" ] || { echo '1..0 # SKIP synth-blkfront is not built'; exit 0; }
command -v xenstore-read >/dev/null || { echo '1..0 # SKIP no xenstore-write (Debian: xenstore-utils)'; exit 0; }
"$hostxen" start || { echo 'Bail out! no world'; exit 1; }
"$hostxen" create 1
dom0() { "$hostxen" run -- timeout 20 "$@"; }
u1() { "$hostxen" run -d 1 -- timeout 60 "$@"; }
be=/local/domain/0/backend/qdisk/1/51712
fe=/local/domain/1/device/vbd/51712

# The nodes libxl writes for a qdisk; the state comes last, because QEMU looks when it changes.
plug()
{
	dom0 xenstore-write $be/frontend $fe $be/frontend-id 1 $be/params "aio:$tmp/disk.img" $be/type qdisk \
		$be/device-type disk $be/dev xvda $be/mode w $be/removable 0 $be/discard-enable 1 $be/direct-io-safe 0 \
		$be/online 1 $be/bootable 1
	dom0 xenstore-chmod -r $be n0 r1
	dom0 xenstore-write $fe/backend $be $fe/backend-id 0 $fe/virtual-device 51712 $fe/device-type disk $fe/state 1
	dom0 xenstore-chmod -r $fe n1 r0
	dom0 xenstore-write $be/state 1
}
qemu_start()
{
	"$hostxen" run -- "$qemu" -M xenpv -xen-domid 1 -xen-attach -nodefaults -no-user-config -display none -m 1 \
		>"$tmp/qemu.log" 2>&1 &
	qpid=$!
	pids+=("$qpid")
}
state() { dom0 xenstore-read $1/state 2>/dev/null; }
is_state() { [ "$(state "$1")" = "$2" ]; }

truncate -s 8M "$tmp/disk.img"
head -c 8M /dev/urandom >"$tmp/data"
dom0 xenstore-chmod /local/domain/0 n0 r1 2>/dev/null
qemu_start
plug
if within 15 is_state $be 2; then pass 'QEMU offers the disk'; else fail 'QEMU offers the disk' "$(cat "$tmp/qemu.log")"; fi
check 'a guest writes all of it' sh -c '"$0" run -d 1 -- timeout 60 "$1" write xvda -q <"$2"' "$hostxen" "$front" "$tmp/data"
check 'the file has the bytes' cmp "$tmp/disk.img" "$tmp/data"
u1 "$front" read xvda -q >"$tmp/back"
check 'and the guest, connecting again, reads them' cmp "$tmp/back" "$tmp/data"
out=$(u1 "$front" io xvda --rw randrw --bs 4K-64K --depth 16 --verify --ios 20000 --json 2>&1)
is 'verified random I/O' "$?" 0
echo "# $(head -c 200 <<<"$out" | tr '\n' ' ')"
out=$(u1 "$front" io xvda --rw randrw --depth 32 --grants per-io --verify --ios 5000 --json 2>&1)
is 'verified, with pages granted for one I/O' "$?" 0

# --- killed in the middle: the front end stalls, as on Xen; the next QEMU finds the guest's port free
"$hostxen" run -d 1 -- timeout 5 "$front" io xvda --depth 8 --runtime 4 >/dev/null 2>&1 & io=$!
pids+=($io)
within 5 is_state $fe 4
sleep 0.3
kill -KILL "$qpid"
wait "$qpid" 2>/dev/null
wait $io
dom0 xenstore-rm $be
dom0 xenstore-rm $fe
grants=$("$hostxen" list --json | sed -n 's/.*"domid":1,.*"grants":\([0-9]*\).*/\1/p')
is 'QEMU killed: the pages of the guest are free again' "$grants" 1
plug
qemu_start
check 'a new QEMU offers the disk' within 15 is_state $be 2
u1 "$front" read xvda --length 1M -q | cmp -n 1048576 - "$tmp/disk.img"
is 'and it can be read' "${PIPESTATUS[*]}" '0 0'

# --- unplug
dom0 xenstore-write $be/online 0 $be/state 5 # one transaction, as libxl
unplugged() { [ -z "$(state $be)" ] || is_state $be 6; }
check 'told to, QEMU lets the disk go' within 15 unplugged
kill "$qpid"
wait "$qpid"
is 'QEMU called nothing that is not served' "$(grep -c 'is not served' "$tmp/qemu.log")" 0
is 'nothing of it is left in dom0' "$("$hostxen" list --json | sed -n 's/.*"domid":0,.*"grants":\([0-9]*\).*/\1/p')" 0
is 'the broker had nothing to complain about' "$(cat "$HOSTXEN_DIR/hostxend.log")" ''
[ $tap_failed = 0 ] || sed 's/^/# qemu: /' "$tmp/qemu.log" | tail -20
done_testing

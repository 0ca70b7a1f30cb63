#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The systemd units: guests are started after the daemons and so, when dom0 goes down, are shut down before them.
: "${SYNTH_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}" "${SYNTH_BUILDDIR:=$SYNTH_SRCDIR}"
. "$SYNTH_SRCDIR/tests/lib/problems.sh"
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
missing() # UNIT KEY WORD...: those that KEY= of the unit does not name
{
	local unit=$1 key=$2 word
	shift 2
	for word in "$@"; do
		sed -n "s/^$key=//p" "$unit" | tr ' ' '\n' | grep -qxF "$word" || echo "$key=$word"
	done
}
# As Debian's init scripts say it, and Xen's own units.
oneshot() { printf '[Unit]\n%s\n[Service]\nType=oneshot\nExecStart=/bin/true\n' "$2" >"$dir/$1"; } # UNIT LINES
oneshot xen.service 'After=remote-fs.target'
oneshot xendomains.service $'After=xen.service network-online.target remote-fs.target\nBefore=libvirtd.service'
oneshot libvirt-guests.service $'After=network.target libvirtd.service'

for daemon in synth-blkd synth-netd; do
	unit=$SYNTH_BUILDDIR/backend/$daemon.service
	[ -s "$unit" ] || { echo "Bail out! no $unit"; exit 99; }
	sed -E 's|^(Exec[A-Za-z]*)=.*|\1=/bin/true|' "$unit" >"$dir/$daemon.service"
	ok "$daemon: guests end before it does, and start after it" "$(missing "$unit" Before xendomains.service libvirt-guests.service)"
	ok "$daemon: the network is there as long as it is" "$(missing "$unit" After network.target network-online.target)"
	if command -v systemd-analyze >/dev/null; then
		ok "$daemon: systemd finds no fault, and an order to start it in" \
			"$(cd "$dir" && systemd-analyze verify --man=no "$daemon.service" xen.service xendomains.service libvirt-guests.service 2>&1 || echo "systemd-analyze: status $?")"
	else
		n=$((n + 1)); echo "ok $n - $daemon: systemd finds no fault, and an order to start it in # SKIP no systemd-analyze"
	fi
done
ok 'synth-blkd: remote file systems are there as long as it is' "$(missing "$SYNTH_BUILDDIR/backend/synth-blkd.service" After remote-fs.target)"
echo "1..$n"
exit $failed

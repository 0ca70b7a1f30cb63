# SPDX-License-Identifier: LGPL-2.1-or-later
# lib.sh - sourced by the tests of nics after world.sh: the daemon of the world is synth-netd, and the host's network is
# one of its own (a network namespace), so that TAPs and bridges of tests that run side by side do not meet.
#
#	. "$SYNTH_SRCDIR/tests/lib/world.sh"; . "$SYNTH_SRCDIR/tests/net/lib.sh"
#	world_start

if [ -z "${WORLD_NETNS:-}" ]; then
	rm -rf "$W"
	trap - EXIT
	unshare -nm true 2>/dev/null || skip_all 'no network namespace can be made here'
	[ -w /dev/net/tun ] || skip_all 'no /dev/net/tun'
	command -v ip >/dev/null || skip_all 'ip (iproute2) is not installed'
	WORLD_NETNS=1 exec unshare -nm bash "$0" "$@"
fi
mount -t sysfs sysfs /sys # of this namespace's interfaces
ip link set lo up
badnic=$SYNTH_BUILDDIR/tests/net/badnic

blkd_start() # ARGS...
{
	hostxen run -d 0 -- synth-netd "$@" >>"$W/blkd.log" 2>&1 &
	blkd_pid=$!
	disown $blkd_pid
	within 30 ctl daemon status || bail 'synth-netd does not start' "$W/blkd.log"
}
ctl()
{
	if [ "$1" = daemon ]; then set -- "$@" nic; fi
	timeout 40 synthctl "$@"
}
nic() { local dom=$1; shift; ctl attach nic "$dom" --user-frontend "$@"; } # DOM ARGS...
# badnic as domain D, with its steps
bad() { local d=$1; shift; timeout 60 hostxen run -d "$d" -- "$badnic" "$@" 2>&1; }
# the same in the background: its output in $W/NAME.out; line NAME sends it a line
bad_start() # NAME D ARGS...
{
	local name=$1 d=$2
	shift 2
	rm -f "$W/$name.in"
	mkfifo "$W/$name.in"
	hostxen run -d "$d" -- "$badnic" "$@" <"$W/$name.in" >"$W/$name.out" 2>&1 &
	children+=($!)
	disown $!
	eval "exec {${name}_fd}>\"$W/$name.in\""
}
line() { eval "echo >&\${$1_fd}"; }
said() { grep -qE "$2" "$W/$1.out"; } # NAME REGEX
metric() { stat_of "$1" "$2"; }       # DOM/ethX METRIC
grown() { local n; n=$(metric "$1" "$2"); [ "${n:-0}" -ge "$3" ]; } # DOM/ethX METRIC TO
iface() { ip -o link show "$1" 2>/dev/null; }
# What the host is told of its links from here on; links_end: all of it is in $W/links
probe_is_told() { ip link set probe mtu $((1000 + RANDOM % 400)); grep -q probe "$W/links"; } # who listens may have come later than the last time
links_begin()
{
	stdbuf -oL ip -o monitor link >"$W/links" &
	links_pid=$!
	disown $links_pid
	ip tuntap add probe mode tap
	within 10 probe_is_told || bail 'nothing is told of links' "$W/links"
}
links_end()
{
	ip link del probe
	within 10 grep -q 'Deleted.*probe' "$W/links" || bail 'the end of a link is not told' "$W/links"
	kill $links_pid
}

# SPDX-License-Identifier: LGPL-2.1-or-later
# lib.sh - sourced by the tests here, after tests/lib/world.sh: a guest's verified I/O, and how workers die under it.
export SYNTH_BACKOFF_MAX_MS=20
trap : PIPE # a pulse that has ended is told of; nothing is left behind
# crash_io DOMID DEV RUNTIME ARGS...: verified I/O in the background; what it says goes to $W/io.out, its pid is $io
crash_io()
{
	local dom=$1 dev=$2 runtime=$3
	shift 3
	hostxen run -d "$dom" -- synth-blkfront io "$dev" --no-reconnect --verify --runtime "$runtime" --json "$@" >"$W/io.out" 2>"$W/io.log" &
	io=$!
	children+=($io)
}
# pulse_start DOMID DEV: a disk of its own, of which a sector is read again and again
pulse_start()
{
	mkfifo "$W/pulse.in" "$W/pulse.out"
	hostxen run -d "$1" -- "$SYNTH_BUILDDIR/tests/crash/pulse" "$(vdev "$2")" <"$W/pulse.in" >"$W/pulse.out" 2>"$W/pulse.log" &
	pulse=$!
	children+=($pulse)
	exec 8>"$W/pulse.in" 9<"$W/pulse.out"
	rm "$W/pulse.in" "$W/pulse.out"
	pulse_us || { cat "$W/pulse.log"; return 1; }
}
# Microseconds of the slowest answer since it was asked last, once there is one; into $us
pulse_us() { echo >&8 && read -r -t 60 us <&9; }
pulse_end()
{
	exec 8>&- 9<&-
	wait $pulse
}
percentiles() # FILE of microseconds
{
	sort -n "$1" | awk '{ v[NR] = $1 } function p(q) { return v[int((NR * q + 99) / 100)] / 1000 }
		END { if (NR) printf "%d: p50 %.1f ms, p99 %.1f ms, max %.1f ms\n", NR, p(50), p(99), p(100); else print "none" }'
}
io_ended() { within "$1" not kill -0 $io; } # SECONDS
# Every byte was right, and no request failed.
io_was_right()
{
	wait $io
	local status=$?
	if [ $status -ne 0 ] || [ "$(jq -r '.errors' "$W/io.out")" != 0 ]; then
		echo "status $status"
		cat "$W/io.out" "$W/io.log"
		return 1
	fi
}

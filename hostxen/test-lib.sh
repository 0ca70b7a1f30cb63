# SPDX-License-Identifier: LGPL-2.1-or-later
# test-lib.sh - sourced by hostxen's own tests: a world in a temporary directory, TAP, nothing left behind.
set -u
: "${SYNTH_BUILDDIR:?run by make check, or by ./run}"
hostxen=$SYNTH_BUILDDIR/hostxen/hostxen
probe=$SYNTH_BUILDDIR/hostxen/probe
if [ -z "${HOSTXEN_TEST_GUARDED:-}" ]; then
	export HOSTXEN_TEST_GUARDED=1
	exec timeout -k 10 "${HOSTXEN_TEST_LIMIT:-120}" bash "$0" "$@"
fi
tap_n=0 tap_failed=0
tmp=$(mktemp -d)
export HOSTXEN_DIR=$tmp/world
unset HOSTXEN_FAULT HOSTXEN_STRICT HOSTXEN_GNTALLOC_LIMIT LD_PRELOAD
pids=()
cleanup()
{
	local p d
	# Not only our children: a killed timeout(1) leaves its own, and xenstore-watch spins when its world is gone.
	for p in "${pids[@]}" $(grep -lzF "HOSTXEN_DIR=$tmp/" /proc/[0-9]*/environ 2>/dev/null | grep -oE '[0-9]+'); do
		[ "$p" = $$ ] || case $(cat "/proc/$p/comm" 2>/dev/null) in
		hostxend | xenstored | '') ;;
		*) kill -KILL "$p" 2>/dev/null ;;
		esac
	done
	for d in "$tmp"/*/; do [ -e "$d/lock" ] && HOSTXEN_DIR=$d "$hostxen" stop 2>/dev/null; done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
pass() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $1"; }
fail()
{
	tap_n=$((tap_n + 1)) tap_failed=$((tap_failed + 1))
	echo "not ok $tap_n - $1"
	shift
	printf '%s\n' "$@" | sed 's/^/# /'
}
skip() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $1 # SKIP $2"; }
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got: $2" "wanted: $3"; fi; }
like() { if [[ $2 =~ $3 ]]; then pass "$1"; else fail "$1" "got: $2" "wanted something like: $3"; fi; }
check()
{
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then pass "$name"; else fail "$name" "failed: $*" "$out"; fi
}
within() # SECONDS CMD...: until it succeeds
{
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.02
	done
}
not() { ! "$@"; }
# The world's processes: the guard, the broker, xenstored
world_pids() { pgrep -f "^hostxend $(readlink -f "$HOSTXEN_DIR") " ; pgrep -P "$(pgrep -f "^hostxend $(readlink -f "$HOSTXEN_DIR") " | tail -1)" 2>/dev/null; }
done_testing() { echo "1..$tap_n"; [ $tap_failed = 0 ]; exit; }

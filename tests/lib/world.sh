# SPDX-License-Identifier: LGPL-2.1-or-later
# world.sh - sourced by the system tests (*.t): a world of its own (hostxen, the real xenstored, synth-blkd, guests as
# processes) in a temporary directory, TAP on stdout, and nothing left behind however the test ends.
#
#	. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
#	world_start                      hostxen and synth-blkd are running afterwards
#	check 'name' CMD...              one case: ok when CMD succeeds (its output is shown when not)
#	is 'name' GOT WANT               one case: the two texts are the same
#	world_end                        last cases: the daemon is well and stops; prints the plan
#
# tests/README.md tells how to add a test.
set -u

: "${SYNTH_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}" "${SYNTH_BUILDDIR:=$SYNTH_SRCDIR}"
export SYNTH_SRCDIR SYNTH_BUILDDIR
export SYNTH_LIBEXECDIR=$SYNTH_BUILDDIR/backend SYNTH_LIBDIR=$SYNTH_BUILDDIR
PATH=$SYNTH_BUILDDIR/hostxen:$SYNTH_BUILDDIR/backend:$SYNTH_BUILDDIR/frontend:$SYNTH_BUILDDIR/toolstack:$PATH:/usr/sbin:/sbin
badfront=$SYNTH_BUILDDIR/tests/hostile/badfront

# Sanitizers take memory and time: limits on either are multiplied by this.
slow=1
! grep -qa -m1 -E '__asan_init|__tsan_init' "$SYNTH_BUILDDIR"/backend/{.libs/,}synth-blkd 2>/dev/null || slow=6

# The whole file has a limit; timeout(1) signals the group, and the trap below cleans up.
if [ -z "${WORLD_GUARDED:-}" ]; then
	export WORLD_GUARDED=1
	exec timeout -k 20 "${WORLD_LIMIT:-$((300 + 100 * slow))}" bash "$0" "$@"
fi

# ------------------------------------------------------------------------------ TAP
tap_n=0 tap_failed=0
diag() { sed 's/^/# /'; }
pass() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $1"; }
fail() # NAME [TEXT...]
{
	local name=$1
	shift
	tap_n=$((tap_n + 1)) tap_failed=$((tap_failed + 1))
	echo "not ok $tap_n - $name"
	[ $# -eq 0 ] || printf '%s\n' "$@" | diag
}
bail() # TEXT [FILE]: nothing more can be tested
{
	echo "Bail out! $1"
	[ ! -s "${2:-}" ] || diag <"$2"
	tap_failed=1
	exit 1
}
skip() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $1 # SKIP $2"; } # NAME REASON
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
is() # NAME GOT WANT
{
	if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got: $2" "wanted: $3"; fi
}
like() # NAME GOT EXTENDED-REGEX
{
	if [[ $2 =~ $3 ]]; then pass "$1"; else fail "$1" "got: $2" "wanted something like: $3"; fi
}
check() # NAME CMD...: in this shell, so that CMD may set variables
{
	local name=$1
	shift
	if "$@" >"$W/check.out" 2>&1; then pass "$name"; else fail "$name" "failed: $*" "$(cat "$W/check.out")"; fi
}
# within SECONDS CMD...: until it succeeds
within()
{
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.06
	done
}
# equal A B; more A B: for check and within, evaluated each time through eval when they hold a $(...)
equal() { [ "$(eval "echo \"$1\"")" = "$2" ] || { eval "echo \"$1\""; return 1; }; }
more() { [ "$(eval "echo \"$1\"")" -gt "$2" ] || { eval "echo \"$1\""; return 1; }; }

# ---------------------------------------------------------------------------- world
for tool in jq xenstore-ls xenstore-write; do
	command -v $tool >/dev/null || skip_all "$tool is not installed"
done
ls /usr/lib/xen-*/bin/xenstored /usr/sbin/xenstored >/dev/null 2>&1 || [ -n "${HOSTXEN_XENSTORED:-}" ] || skip_all 'xenstored is not installed'

world_base=${TMPDIR:-/tmp}
[ -n "${TMPDIR:-}" ] || [ ! -w /dev/shm ] || world_base=/dev/shm
W=$(mktemp -d "$world_base/synth-test-XXXXXX") || exit 99
export HOSTXEN_DIR=$W/x SYNTH_RUNDIR=$W/run
mkdir -p "$SYNTH_RUNDIR"
children=()  # processes of ours to end
blkd_pid=

world_dirs=() # more directories (or mounts) to remove in the end

# Every process of this world, whoever started it, by the directory's name in its environment; but for hostxen's own.
world_pids()
{
	local pid
	for pid in $(grep -lzFx "HOSTXEN_DIR=$HOSTXEN_DIR" /proc/[0-9]*/environ 2>/dev/null | grep -oE '[0-9]+'); do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in
		hostxend | xenstored | '') ;;
		*) echo "$pid" ;;
		esac
	done
}

world_stop()
{
	local pid dir
	trap - EXIT
	if [ "$tap_failed" -gt 0 ] && [ -s "$W/blkd.log" ]; then
		echo "# last words of synth-blkd:"
		tail -n 40 "$W/blkd.log" | cut -c1-300 | diag
	fi
	for pid in ${children[@]+"${children[@]}"} $blkd_pid $(world_pids); do kill -KILL "$pid" 2>/dev/null; done
	timeout 20 hostxen stop >/dev/null 2>&1
	wait 2>/dev/null
	for dir in ${world_dirs[@]+"${world_dirs[@]}"}; do
		umount "$dir" 2>/dev/null
		rm -rf "$dir"
	done
	[ -n "${WORLD_KEEP:-}" ] && echo "# kept: $W" || rm -rf "$W"
}
trap 'world_stop' EXIT
trap 'bail "interrupted or out of time"' TERM INT HUP

dom0() { hostxen run -d 0 -- "$@"; }
guest() { local d=$1; shift; hostxen run -d "$d" -- "$@"; } # guest DOMID CMD...
ctl() { timeout 40 synthctl "$@"; }

blkd_start() # ARGS...
{
	hostxen run -d 0 -- synth-blkd "$@" >>"$W/blkd.log" 2>&1 &
	blkd_pid=$!
	# a job that is killed must not be reported by the shell in the middle of the TAP
	disown $blkd_pid
	within 30 ctl daemon status || bail 'synth-blkd does not start'
}
blkd_alive() { kill -0 "$blkd_pid" 2>/dev/null; }
blkd_wait_gone() { within "${1:-10}" not blkd_alive; }
not() { ! "$@"; }

# world_start [ARGS OF synth-blkd]: domains 1 "sinner" and 2 "honest" exist
world_start()
{
	hostxen start >"$W/start.log" 2>&1 || bail 'hostxen does not start' "$W/start.log"
	hostxen create 1 --name sinner && hostxen create 2 --name honest || bail 'no domains'
	blkd_start "$@"
}

# Each test file ends with these.
world_end()
{
	local status device
	honest_stop_if_any
	check 'at the end: the daemon is alive' blkd_alive
	children_kill
	for device in $(ctl list --json | jq -r '.devices[].device'); do ctl detach "$device" --force >/dev/null; done
	is 'at the end: no device is left when all are detached' "$(ctl list --json | jq -r '.devices[].device')" ''
	check 'at the end: no grant of a guest is mapped, no port of the daemon is left' within 10 nothing_left
	ctl daemon stop >/dev/null 2>&1
	check 'at the end: the daemon stops when told' blkd_wait_gone 15
	if grep -nE 'AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion|SIGSEGV|SIGABRT|signal (6|11)' "$W"/*.log >"$W/reports"; then
		fail 'at the end: no sanitizer or assertion has spoken' "$(head -n 30 "$W/reports")"
	else
		pass 'at the end: no sanitizer or assertion has spoken'
	fi
	echo "1..$tap_n"
	[ "$tap_failed" -eq 0 ]
	status=$?
	world_stop
	exit $status
}

background() # CMD...: its pid is in $!
{
	"$@" &
	children+=($!)
	disown $!
}
children_kill()
{
	local pid
	for pid in ${children[@]+"${children[@]}"}; do kill -KILL "$pid" 2>/dev/null; done
	children=()
}

# What hostxen knows of a domain: grants (its own, also those kept because somebody maps them), ports, handles
dom_info() { hostxen list --json | jq -r ".[] | select(.domid == $1) | .$2"; } # DOMID FIELD
# A guest whose processes have gone has nothing but xenstore's ring left; then nobody maps a page of it.
guest_empty() { local g; g=$(dom_info "$1" grants); [ "${g:-0}" -le 1 ]; }
guests() { hostxen list --json | jq -r '.[] | select(.domid > 0) | .domid'; }
nothing_left()
{
	local d
	for d in $(guests); do guest_empty "$d" || return 1; done
}

# ---------------------------------------------------------------------------- disks
image() # NAME SIZE
{
	truncate -s "$2" "$W/$1"
	echo "$W/$1"
}
# attach DOM TARGET DEV [ARGS...]
attach()
{
	local dom=$1 target=$2 dev=$3
	shift 3
	ctl attach disk "$dom" "$target=$dev" --user-frontend "$@"
}
show() { ctl show "$1" --json 2>/dev/null | jq -r "$2"; }                                    # DOM/DEV FILTER
stat_of() { ctl stat "$1" --json 2>/dev/null | jq -r ".. | .metrics? // empty | .$2 // 0" | head -n 1; } # DOM/DEV METRIC
fresh() { # DOM/DEV: back to a device nobody has touched yet, for the next case
	[ "$(show "$1" .state)" = InitWait ]
}
bad() { local d=$1; shift; timeout 60 hostxen run -d "$d" -- "$badfront" "$@"; } # DOMID ARGS...
vdev() { echo $((51712 + 16 * ($(printf %d "'${1#xvd}") - 97))); }          # xvda -> 51712

# ----------------------------------------------------------- the honest guest beside
# Verified I/O of domain 2 on its own disk, through the same daemon, for as long as the file runs.
honest_pid=
honest_start() # [DEV]
{
	local img
	img=$(image honest.img 16M)
	attach honest "$img" xvda >/dev/null || bail 'the honest guest gets no disk'
	# shellcheck disable=SC2086
	hostxen run -d 2 -- synth-blkfront io xvda --no-reconnect $HONEST_IO >"$W/honest.out" 2>"$W/honest.log" &
	honest_pid=$!
	within 10 more_requests honest/xvda 0 || bail 'the honest guest does no I/O' "$W/honest.log"
}
HONEST_IO='--rw randread=1,randwrite=1 --bs 4k-16k --depth 4 --rate 400 --verify --runtime 600 --json'
requests_of() { stat_of "$1" responses; }
more_requests() { local n; n=$(requests_of "$1"); [ "${n:-0}" -gt "$2" ]; } # DOM/DEV THAN
# goes_on SECONDS DOM/DEV [N]: it answers N more requests than it has by now.  (A new worker counts from nought.)
goes_on()
{
	local end=$((SECONDS + $1 + 1)) first now
	first=$(requests_of "$2")
	until now=$(requests_of "$2"); [ "${now:-0}" -ge $((${first:-0} + ${3:-20})) ]; do
		[ "${now:-0}" -ge "${first:-0}" ] || first=0
		[ $SECONDS -lt $end ] || { echo "$2: $now requests, $first at first"; return 1; }
		sleep 0.06
	done
}
# undisturbed NAME: the honest guest goes on verifying
undisturbed()
{
	local told
	if kill -0 $honest_pid 2>/dev/null && told=$(goes_on 5 honest/xvda 1); then
		pass "$1: the honest guest is undisturbed"
	else
		fail "$1: the honest guest is undisturbed" "$told" "$(tail -n 5 "$W/honest.log")"
	fi
}
honest_stop_if_any()
{
	local status
	[ -n "$honest_pid" ] || return 0
	kill -TERM $honest_pid 2>/dev/null
	within 20 not kill -0 $honest_pid || kill -KILL $honest_pid
	wait $honest_pid
	status=$?
	honest_pid=
	if [ $status -eq 0 ] || [ $status -eq 130 ]; then
		if [ "$(jq -r '.errors // 0' "$W/honest.out" 2>/dev/null)" = 0 ]; then
			pass 'at the end: every byte of the honest guest was right'
			return
		fi
	fi
	fail 'at the end: every byte of the honest guest was right' "status $status" "$(cat "$W/honest.out" "$W/honest.log")"
}

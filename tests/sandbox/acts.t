#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# From inside a worker each forbidden act is tried (checker.c), and is refused or kills it.  Each is tried in a worker without the
# sandbox too, where it gets through: a case that cannot fail would show nothing.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
[ $slow = 1 ] || skip_all 'a build with sanitizers has no filter'
dir=$SYNTH_BUILDDIR/tests/sandbox
hostxen start >"$W/start.log" 2>&1 || bail 'hostxen does not start' "$W/start.log"
hostxen create 1 --name sinner && hostxen create 2 --name honest || bail 'no domains'
uid=0
[ "$(id -u)" != 0 ] || uid=1890000001

mapfile -t acts < <(sed -nE 's/^\t\{ "([^"]+)", act_\w+ \},$/\1/p' "$SYNTH_SRCDIR/tests/sandbox/checker.c")
dom0 "$dir/acts" "$dir/checker-worker" $uid restrict "${acts[@]}" >"$W/confined" 2>"$W/confined.log" || bail 'the acts do not run' "$W/confined.log"
dom0 "$dir/acts" "$dir/checker-worker-open" $uid free "${acts[@]}" >"$W/open" 2>"$W/open.log" || bail 'the acts do not run' "$W/open.log"
out() { sed -n "s/^$2: //p" "$W/$1"; }
check 'all acts were tried' [ "$(wc -l <"$W/confined")" -ge 30 ]
for act in "${acts[@]}"; do
	got=$(out confined "$act")
	case $got in
	'killed SIGSYS' | 'error EACCES' | 'error EPERM' | 'error ENOSYS') pass "$act: $got" ;;
	*) fail "$act is refused" "got: $got" ;;
	esac
	got=$(out open "$act")
	case $got in
	'error EPERM' | 'error EACCES')
		if [ "$(id -u)" = 0 ]; then fail "without the sandbox: $act gets through" "got: $got"; else skip "without the sandbox: $act" 'not root'; fi ;;
	'error ENOSYS') skip "without the sandbox: $act" 'this kernel has no such call' ;;
	done | error*) pass "without the sandbox: $act gets through ($got)" ;;
	*) fail "without the sandbox: $act gets through" "got: $got" ;;
	esac
done
hostxen stop >/dev/null 2>&1
echo "1..$tap_n"
[ $tap_failed = 0 ]

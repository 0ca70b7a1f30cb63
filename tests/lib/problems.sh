# SPDX-License-Identifier: LGPL-2.1-or-later
# problems.sh - sourced by tests that look at files alone: TAP of "no problem was found".  At the end: echo "1..$n"; exit $failed
n=0 failed=0
ok() # NAME PROBLEMS
{
	n=$((n + 1))
	if [ -z "$2" ]; then echo "ok $n - $1"; return; fi
	failed=1
	echo "not ok $n - $1"
	printf '%s\n' "$2" | sed 's/^/# /'
}

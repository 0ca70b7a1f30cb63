#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The README's "By hand, on hostxen" works as it is written, from the build to `hostxen stop`.
: "${SYNTH_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}" "${SYNTH_BUILDDIR:=$SYNTH_SRCDIR}"
. "$SYNTH_SRCDIR/tests/lib/problems.sh"
dir=$(mktemp -d) || exit 99
export HOSTXEN_DIR=$dir/x TMPDIR=$dir
trap '"$SYNTH_BUILDDIR/run" hostxen stop >/dev/null 2>&1; rm -rf "$dir"' EXIT

sed -n '/^## By hand, on hostxen/,/^## On a real/s/^    //p' "$SYNTH_SRCDIR/README.md" >"$dir/block"
read -r shell _ built <"$dir/block"
# Each script that is said to build does, itself or by tools/setup.sh.
ok 'what it says to build with makes build/run' "$([ "$shell" = build/run ] && [[ $built == *after*built* ]] || echo "not so: $shell ... $built"
	for script in $(grep -oE '[./a-z]*/[a-z.]+' <<<"${built#*after}"); do
		[ "$script" = tools/setup.sh ] || grep -E '^[[:space:]]*tools/setup.sh' "$SYNTH_SRCDIR/$script" | grep -qv -- --no-build || echo "$script does not"
	done)"
sed -e 1d -e "s|/tmp/|$dir/|g" "$dir/block" >"$dir/script"
timeout -k 10 300 "$SYNTH_BUILDDIR/run" bash -ex "$dir/script" >"$dir/out" 2>&1 </dev/null
status=$?
ok 'its commands succeed, one after the other' "$([ $status = 0 ] || { echo "status $status"; tail -n 30 "$dir/out"; })"
ok 'a disk was written and verified' "$(grep -qE '^ +verify: [1-9][0-9]* units right' "$dir/out" || tail -n 30 "$dir/out")"
echo "1..$n"
exit $failed

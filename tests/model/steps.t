# SPDX-License-Identifier: LGPL-2.1-or-later
# steps.t - the model's steps and the code's crash points (common/base/crash.h) have the same names.  A store that is in
# one of them only is one that nothing is known about, or one that no test is killed at.
set -u
: "${SYNTH_SRCDIR:=.}" "${SYNTH_BUILDDIR:=.}"

model() { "$SYNTH_BUILDDIR/tests/model/model" --steps | grep -E "$1" | sort; }
code() { grep -rhoE --include='*.c' 'CRASH_POINT\("[^"]*"\)' "$SYNTH_SRCDIR"/backend "$SYNTH_SRCDIR"/common | cut -d'"' -f2 | grep -E "$1" | sort -u; }

n=0 failed=0
compare() # NAME EXTENDED-REGEX
{
	local only_model only_code
	n=$((n + 1))
	only_model=$(comm -23 <(model "$2") <(code "$2"))
	only_code=$(comm -13 <(model "$2") <(code "$2"))
	if [ -z "$only_model$only_code" ] && [ -n "$(model "$2")" ]; then
		echo "ok $n - $1"
		return
	fi
	echo "not ok $n - $1"
	echo "# in the model only:" $only_model
	echo "# in the code only:" $only_code
	failed=1
}
compare "the disk's steps" '^(take|complete|recover)\.'
compare "the nic's steps" '^net\.(redo|ring|recover|publish)'
echo "1..$n"
exit $failed

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# rows.t - the table of advisories is whole: each row has a test that is there, a check that is there (its removal applies), or a
# reason; no removal is nobody's; docs/advisories.md says the same.  That each test fails without its check is for mutate.
: "${SYNTH_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$SYNTH_SRCDIR" || exit 99
dir=tests/xsa
. "$SYNTH_SRCDIR/tests/lib/problems.sh"
table() { grep -v '^#' $dir/rows.tsv; }

ok 'each line has five fields' "$(table | awk -F'\t' 'NF != 5 || $1 == "" || $5 == "" { print }')"
missing=
while IFS=$'\t' read -r row removal test case what; do
	[ "$removal" != - ] || { [ "$test" = - ] || missing+="$row: a test and no removal"$'\n'; continue; }
	[ -e "$dir/removals/$removal.patch" ] || missing+="$row: no removals/$removal.patch"$'\n'
	case $test in
	*.t) [ -e "$test" ] || missing+="$row: no $test"$'\n' ;;
	*) grep -qw "$case" "$test.c" 2>/dev/null || missing+="$row: no $case in $test.c"$'\n' ;;
	esac
done < <(table)
ok 'each test and removal it names is there' "$missing"
orphans=
for patch in $dir/removals/*.patch; do
	name=${patch##*/} name=${name%.patch}
	table | cut -f2 | grep -qx -- "$name" || orphans+="$patch is in no row"$'\n'
done
ok 'each removal is some row'\''s' "$orphans"
# dry: the source tree may be read-only
stale=
for patch in $dir/removals/*.patch; do
	patch -p1 --dry-run -s -f -r - <"$patch" >/dev/null 2>&1 || stale+="$patch does not apply: its check has changed, or has gone"$'\n'
done
if command -v patch >/dev/null; then ok 'each check is there: its removal applies' "$stale"; else n=$((n + 1)); echo "ok $n - each check is there # SKIP patch is not installed"; fi
said=$(sed -n 's/^| \([^ |]*\) |.*/\1/p' docs/advisories.md | sort -u)
ok 'docs/advisories.md has the same rows' "$(table | cut -f1 | sort -u | diff - <(printf '%s\n' "$said" | grep -v '^row$') | grep '^[<>]')"
echo "1..$n"
exit $failed

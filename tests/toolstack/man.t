#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual pages and --help say the same: each option of one is in the other.  The same of counters, in metrics.md and in the sources.
: "${SYNTH_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}" "${SYNTH_BUILDDIR:=$SYNTH_SRCDIR}"
PATH=$SYNTH_BUILDDIR/hostxen:$SYNTH_BUILDDIR/backend:$SYNTH_BUILDDIR/frontend:$SYNTH_BUILDDIR/toolstack:$PATH
. "$SYNTH_SRCDIR/tests/lib/problems.sh"
long() { grep -oE -- '(^|[^-a-z0-9])--[a-z][-a-z0-9]*' | sed 's/.*--/--/' | sort -u; }

# What a program says of itself: for synthctl also of each command, as bash completion lists them
said()
{
	"$1" --help 2>&1
	[ "$1" = synthctl ] || return
	sed -nE 's/^  ([a-z]+( (disk|nic))?(-[a-z]+)?) .*/\1/p' <(synthctl --help) | while read -r command; do
		# shellcheck disable=SC2086
		synthctl help ${command%% *} 2>&1
		synthctl $command --help 2>&1
	done
}

# Options that stand in a page and are another program's are not in an =item of it.
holds() # PROGRAM POD
{
	local pod=$SYNTH_SRCDIR/$2 help
	help=$(said "$1" | long)
	ok "$1: it has a page, and says something" "$([ -s "$pod" ] || echo "no $pod"; [ -n "$help" ] || echo 'no --help')"
	ok "$1: each option of --help is in $2" "$(comm -23 <(printf '%s\n' "$help") <(grep -oE -- 'B<--[a-z][-a-z0-9]*' "$pod" | sed 's/B<//' | sort -u))"
	ok "$1: each option that $2 describes is in --help" "$(comm -23 <(grep '^=item' "$pod" | long) <(printf '%s\n' "$help"))"
}
# Who asks a command for help gets it; the programs of many commands have one help for all.
helps() # PROGRAM
{
	local command nr=0 bad=''
	while read -r command; do
		nr=$((nr + 1))
		[ "$("$1" "$command" --help 2>&1)" = "$("$1" --help 2>&1)" ] && "$1" "$command" --help >/dev/null 2>&1 || bad="$bad $command"
	done < <("$1" --help | sed -nE 's/^  (hostxen )?([a-z]+) .*/\2/p')
	ok "$1: each of its commands has --help" "$bad$([ $nr -ge 4 ] || echo "$nr commands seen")"
}
holds synth-blkd backend/control/synth-blkd.8.pod
holds synth-netd backend/net/synth-netd.8.pod
holds synthctl toolstack/synthctl.1.pod
holds synth-blkfront frontend/block/synth-blkfront.1.pod
holds synth-netfront frontend/net/synth-netfront.1.pod
holds hostxen hostxen/hostxen.1.pod
helps synth-blkfront
helps synth-netfront
helps hostxen

cd "$SYNTH_SRCDIR" || exit 99
sources=(backend/worker/device.c backend/block/block.c backend/net/net.c)
counters=$(
	sed -nE 's/.*metrics_put\(o, "([a-z_]+)".*/\1/p' "${sources[@]}"
	sed -nE 's/.*object_add\(metrics, "([a-z_]+)".*/\1/p' backend/control/cmd.c
	sed -nE '/^#define NET_STATS\(/,/[^\\]$/s/^[[:space:]]*X\(([a-z_]+)\).*/\1/p' backend/net/net-queue.h
	# of each kind of request: of the first, which is in the table with "and so on" behind it
	sed -nE 's/.*"%s(_[a-z]+)", kinds\[.*/read\1/p' backend/block/block.c | sed 's/latency$/latency_count/'
)
counters=$(printf '%s\n' "$counters" | sort -u)
told=$(sed -nE 's/^\| (`[^|]*) \|.*/\1/p' docs/metrics.md | grep -oE '`[a-z][a-z0-9_]*`' | tr -d '`' | sort -u)
ok 'counters are found in the sources' "$([ "$(wc -l <<<"$counters")" -ge 60 ] || printf '%s\n' "$counters")"
ok 'each counter of the sources has a meaning in metrics.md' "$(comm -23 <(printf '%s\n' "$counters") <(printf '%s\n' "$told"))"
ok 'each counter of metrics.md is in the sources' \
	"$(comm -13 <(printf '%s\n' "$counters") <(printf '%s\n' "$told") | grep -vxE '(write|flush|barrier|discard)_requests')"
echo "1..$n"
exit $failed

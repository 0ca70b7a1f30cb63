#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# must-check.t - XSA-367: nobody can overlook what these return; ignoring it does not compile.
: "${SYNTH_SRCDIR:=.}"
cd "$SYNTH_SRCDIR" || exit 99 # what is read from stdin finds its headers here first
cc=${CC:-cc}
cc=${cc#ccache }
command -v "${cc%% *}" >/dev/null || { echo '1..0 # SKIP no compiler'; exit 0; }
n=0 failed=0
# unused FUNCTION HEADER ARGUMENTS
unused()
{
	n=$((n + 1))
	if ! printf '#include "%s"\nvoid f(void);\nvoid f(void) { (void)0; }\n' "$2" | compile; then
		echo "not ok $n - $1: $2 does not compile"
	elif printf '#include "%s"\nvoid f(void);\nvoid f(void) { %s(%s); }\n' "$2" "$1" "$3" | compile; then
		echo "not ok $n - what $1 returns cannot be ignored"
	else
		echo "ok $n - what $1 returns cannot be ignored"
		return
	fi
	failed=1
}
compile() { $cc -x c -std=gnu11 -D_GNU_SOURCE -I"$SYNTH_SRCDIR" -Wno-nonnull -Werror=unused-result -S -o /dev/null - 2>/dev/null; }
unused grant_map common/xen/grant.h '0, 0, 0, 0, 0, 0'
unused grant_copy common/xen/grant.h '0, 0, 0, 0'
unused grant_cache_get common/xen/grant.h '0, 0, 0'
unused ring_back_pending common/ring/ring.h 0
unused ring_front_pending common/ring/ring.h 0
unused blk_parse backend/block/blk-parse.h '0, 0, 0, 0'
unused net_tx_parse backend/net/net-tx.h '0, 0, 0, 0'
echo "1..$n"
exit $failed

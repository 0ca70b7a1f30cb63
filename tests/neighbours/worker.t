#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# worker.t - a guest that has taken its worker over, and has it say without end what nobody asked: it costs the daemon, and
# xenstored, no more than hearing it.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
odd_workers
printf '#!/bin/sh\nexec "%s" flood "%s"\n' "$SYNTH_BUILDDIR/tests/xenbus/liar" "$W/flooded" >"$W/flood"
chmod +x "$W/flood"
world_start
honest_start
V=51712
mv "$W/flood" "$W/instead"
kattach sinner null:8M xvda >/dev/null || fail 'attach'
rm "$W/instead"
error=$(back_dir 1 $V)/error
background dom0 xenstore-watch "$error" "$(back_dir 1 $V)/sectors" >"$W/watched"
within 10 test -s "$W/watched"
hold 1 $V
step 'connected' 1 $V 3 4
check 'what its worker says without end is heard to the end' within $((40 * slow)) test -e "$W/flooded"
is 'that its rings are broken is told once' "$(grep -c "^$error" "$W/watched")" 2 # the watch itself is one event
is 'it is for the first of its reasons' "$(dom0 xenstore-read "$error" | grep -o 'reason [0-9]*')" 'reason 0'
is 'the size is what it was' "$(back 1 $V sectors)" 16384
is '... and was not written again' "$(grep -c "^$(back_dir 1 $V)/sectors" "$W/watched")" 2
is 'the log has one line of it' "$(grep -c 'broke the protocol' "$W/blkd.log")" 1
check 'others attach meanwhile' attach honest null:1M xvdc
undisturbed 'a worker that floods'
drop
world_end

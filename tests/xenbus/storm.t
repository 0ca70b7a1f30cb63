#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A guest that writes its watched nodes without end (XSA-349): bounded memory, bounded work, nobody else disturbed.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
# freed memory that a sanitizer keeps aside would look like growth
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1
world_start
V=51712
rss() { awk '/^VmRSS/ {print $2}' "/proc/$(pidof_blkd)/status"; }
pidof_blkd() { ctl daemon status --json | jq -r '.. | .pid? // empty' | head -n 1; }
kattach sinner null:8M xvda >/dev/null
honest_start
before=$(rss)
logged=$(wc -c <"$W/blkd.log")
guest 1 "$rings" flood device/vbd/$V/state "${STORM_WRITES:-100000}" &
flood=$!
children+=($flood)
sleep 1
check 'during the storm: another device is attached' timeout 10 synthctl attach disk honest null:1M=xvdc --user-frontend
check 'during the storm: and detached' timeout 10 synthctl detach honest/xvdc
undisturbed 'the storm'
wait $flood
is 'the storm ended by itself' $? 0
after=$(rss)
check "memory did not grow ($before KiB, then $after KiB)" test "$after" -lt $((before + 4096))
check 'the log did not grow much' test $(($(wc -c <"$W/blkd.log") - logged)) -lt 65536
check 'looks were rationed' test "$(stat_of sinner/xvda control_looks_throttled)" -gt 0
front 1 $V 6
check 'the device still follows' within 10 is_back 1 $V 6
front 1 $V 1
check 'and starts again' within 10 is_back 1 $V 2
hold 1 $V
front 1 $V 3
check 'and connects' within 10 is_back 1 $V 4
ctl detach --force sinner/xvda >/dev/null
drop
world_end

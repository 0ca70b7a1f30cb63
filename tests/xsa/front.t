#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# front.t - front ends in a storm of events from their back end (XSA-391): all is served, and few of the events are listened to.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
. "$SYNTH_SRCDIR/tests/netfront/net.sh"
bare_start

back_start storm
net io eth0 --mode echo --frames 100 --verify --json
is 'netfront in a storm of events: all frames come' "$rc $(got '.lost')" '0 0'
is 'netfront does not listen to a storm of events (XSA-391)' "$(got '.events_received < 1500 and .events_idle > 30')" true
back_stop

blkback=$SYNTH_BUILDDIR/tests/frontend/badback
disk_start() # SIN
{
	rm -f "$W/back.out"
	hostxen run -d 0 -- "$blkback" 1 51712 "$@" >"$W/back.out" 2>>"$W/back.log" &
	back=$!
	children+=($back)
	disown $back
	within 10 grep -qs ready "$W/back.out" || bail 'badback does not start' "$W/back.log"
}
disk_start storm
front io xvda --depth 4 --ios 100 --json
is 'blkfront in a storm of events: all I/O is done' "$rc $(got '"\(.ios) \(.errors)"')" '0 100 0'
is 'blkfront does not listen to a storm of events (XSA-391)' "$(got '.events_received_per_io * .ios < 1500 and .events_idle > 30')" true
back_stop

bare_end

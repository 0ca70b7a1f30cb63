#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# net.t - what advisories ask of a nic, each in a second or two: docs/advisories.md.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start

# XSA-374: a queue that was halted is still its owner's to end.
nic sinner --null --queues 2 >/dev/null
bad_start h 1 --queues 2 --split 0 connect queue 1 crime endless-chain say over line close
check 'a queue is halted' within 10 eval '[ "$(metric sinner/eth0 broken)" = 1 ]'
line h
check 'a queue that was halted ends when it is told to (XSA-374)' within 8 said h 'back end 6'
ctl detach sinner/eth0 --force >/dev/null

# XSA-392: exactly one slot is free, for ever, and the frame at the head takes two.
nic sinner --pair honest/eth0 >/dev/null
nic honest --pair sinner/eth0 >/dev/null
bad_start s 2 --buffers 1 0 connect say up line close
check 'a guest with one buffer is up' within 10 said s up
is 'frames of two slots are sent to it' "$(bad 1 0 connect send 5000 50 close | head -n 2)" "$(printf 'back end 4\nsent 50')"
check 'too few slots for the frame at the head is a stall (XSA-392)' within 5 grown honest/eth0 rx_stalled 2
line s
check 'the stalled guest closes in peace (XSA-424)' within 8 said s 'back end 6'

world_end

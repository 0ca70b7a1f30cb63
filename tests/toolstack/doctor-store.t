# SPDX-License-Identifier: LGPL-2.1-or-later
# synthctl doctor when xenstored hangs, and when it is dead.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/toolstack/doctor.sh"
world_start
attach sinner "$(image a.img 8M)" xvda >/dev/null
xenstored=
for pid in $(grep -lzFx "HOSTXEN_DIR=$HOSTXEN_DIR" /proc/[0-9]*/environ 2>/dev/null | grep -oE '[0-9]+'); do
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != xenstored ] || xenstored=$pid
done
[ -n "$xenstored" ] || bail 'which process is xenstored?'

kill -STOP "$xenstored"
is 'xenstored hangs: exactly this is found' "$(problems --timeout 1)" 'error xenstore null'
like 'xenstored hangs: in words' "$(ctl doctor --timeout 1)" 'xenstored does not answer within 1 s'
is 'xenstored hangs: what needs it says so' "$(ctl doctor --timeout 1 --json | jq -r '[.findings[] | select(.what == "xenstore cannot be asked") | .check] | join(" ")')" \
	'domain quota devices'
kill -CONT "$xenstored"
is 'xenstored goes on: nothing is wrong' "$(problems)" ''

kill -KILL "$xenstored"
both=$'error xenstore null\nerror daemon-xenstore synth-blkd'
check 'xenstored dead: it and the lost connection are found' within 10 eval '[ "$(problems)" = "$both" ]'
is 'xenstored dead: exit status' "$(ctl doctor >/dev/null; echo $?)" 1
like 'xenstored dead: in words' "$(ctl doctor)" 'xenstore cannot be reached'
like 'connection lost: in words' "$(ctl doctor)" 'connects again by itself'
(eval "$(advice xenstore)") >"$W/cure.out" 2>&1
check 'xenstored dead: as is advised, a new world is started; the daemon finds it by itself' within 10 healthy
hostxen create 1 --name sinner >/dev/null
check '... and serves it' attach sinner null:8M xvda
world_end

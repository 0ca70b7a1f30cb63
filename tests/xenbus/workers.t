#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Workers that die, and workers that cannot start.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh" || exit 99
exec 9>"$W/not-for-workers" # something the daemon is started with
world_start
exec 9>&-
V=51712
honest_start
kattach sinner "$(image a.img 8M)" xvda >/dev/null
attach sinner null:8M xvdb >/dev/null
hold 1 $V
step 'connected' 1 $V 3 4
w=$(show sinner/xvda .worker)
is 'one worker for both disks of a guest' "$(show sinner/xvdb .worker)" "$w"
is 'and another for another guest' "$([ "$(show honest/xvda .worker)" != "$w" ] && echo yes)" yes

check 'a worker inherits nothing but its socket' not eval "ls -l /proc/$w/fd | grep -E 'not-for-workers|blkd.lock|blkd.sock|honest.img'"

kill -KILL "$w"
another() { local n; n=$(show sinner/xvda .worker); [ "$n" != null ] && [ "$n" != "$w" ]; }
check 'worker killed: there is another' within 8 another
check 'worker killed: serves the guest' within 8 equal '$(show sinner/xvda .phase)' connected
is 'worker killed: the guest is told nothing' "$(back 1 $V state)" 4
is 'worker killed: a disk that was not connected waits on' "$(show sinner/xvdb .state)" InitWait
is 'worker killed: no complaint is left' "$(show sinner/xvda .broken)" null
undisturbed 'worker killed'
check 'detach' ctl detach --force sinner/xvda
drop

kill -STOP "$(show honest/xvda .worker)"
check 'a worker that hangs does not stop the daemon' timeout 5 synthctl attach disk sinner null:1M=xvdc
kill -CONT "$(show honest/xvda .worker)"

# a worker that cannot live
honest_stop_if_any
ctl detach --force honest/xvda >/dev/null
ctl detach --force sinner/xvdb >/dev/null
ctl detach --force sinner/xvdc >/dev/null
ctl daemon stop >/dev/null
blkd_wait_gone 15
mkdir "$W/bad"
printf '#!/bin/sh\necho start >>%s\nexit 1\n' "$W/starts" >"$W/bad/synth-blkd-worker"
chmod +x "$W/bad/synth-blkd-worker"
SYNTH_LIBEXECDIR=$W/bad blkd_start
out=$(attach sinner null:1M xvda 2>&1)
is 'a worker that dies: attach fails' $? 1
like 'a worker that dies: and says so' "$out" 'worker'
for i in 1 2 3 4 5 6; do attach sinner null:1M xvda >/dev/null 2>&1; done
check 'a worker that dies: not started without end' test "$(wc -l <"$W/starts")" -le 8
check 'a worker that dies: nothing in xenstore' gone "$(back_dir 1 $V)"
ctl daemon stop >/dev/null
blkd_wait_gone 15
SYNTH_LIBEXECDIR=$W/nowhere blkd_start
out=$(attach sinner null:1M xvda 2>&1)
is 'no worker program: attach fails' $? 1
like 'no worker program: and says so' "$out" 'could not be started'
check 'no worker program: logged' grep -q 'cannot start .*synth-blkd-worker' "$W/blkd.log"
ctl daemon stop >/dev/null
blkd_wait_gone 15
printf '#!/bin/sh\nexec sleep 60\n' >"$W/bad/synth-blkd-worker"
SYNTH_LIBEXECDIR=$W/bad blkd_start
out=$(attach sinner null:1M xvda --timeout 35 2>&1) # it has 20 s
is 'a worker that says nothing: attach fails' $? 1
world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker loads the NBD store only when its guest has an NBD disk.  When one is attached later, the worker is replaced, once, under
# the verified I/O of the guest's other disks, none of which fails; whatever dies or comes in the middle.  ROUNDS=N: of deaths (6).
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/upgrade/lib.sh" || exit 99
rounds=${ROUNDS:-6} wait=$((10 * slow))
export SYNTH_BACKOFF_MAX_MS=20

# Workers that do not start with NBD while $W/broken is there; of which one takes its time when $W/slow is.
mkdir "$W/workers"
cat >"$W/workers/synth-blkd-worker" <<WRAP
#!/bin/sh
case " \$*" in
*' --parts 0'*) ;;
*) [ ! -e "$W/broken" ] || exit 1
   if [ -e "$W/slow" ]; then mv "$W/slow" "$W/slept"; sleep 2; fi ;;
esac
exec "$SYNTH_BUILDDIR/backend/synth-blkd-worker" "\$@"
WRAP
chmod +x "$W/workers/synth-blkd-worker"
export SYNTH_LIBEXECDIR=$W/workers
worker() { show honest/xvda .worker; }
has_nbd() { grep -q 'synth-store-nbd' "/proc/$1/maps"; } # PID
one_worker() { [ "$(workers_of 2)" = 1 ]; }
# Back to a worker without it: what the next one is, when the guest has no such disk any more.
plain()
{
	local dev pid
	for dev in xvdb xvdc; do ctl detach honest/$dev --force >/dev/null 2>&1; done
	within $wait eval '! ctl show honest/xvdb && ! ctl show honest/xvdc'
	pid=$(worker)
	kill -KILL "$pid"
	within $wait eval 'pid2=$(worker); [ "$pid2" != null ] && [ "$pid2" != '"$pid"' ]' && goes_on $wait honest/xvda && one_worker && ! has_nbd "$(worker)"
}

world_start
honest_start
back=/local/domain/0/backend/vbd/2/51712
background hostxen run -d 2 -- xenstore-watch $back/state >"$W/watch"
within 10 test -s "$W/watch"
attach honest "$(image idle.img 8M)" xvde >/dev/null # nobody uses it

# ------------------------------------------------- what has it, and when
first=$(worker)
check 'a worker whose guest has files alone has no NBD store' not has_nbd "$first"
check 'nor any library of it' not grep -qE 'libnbd|gnutls|libxml2' "/proc/$first/maps"
check 'a guest whose first disk is an NBD disk' attach sinner "$(nbd 2)" xvda
pid=$(show sinner/xvda .worker)
check 'has a worker that has it' has_nbd "$pid"
check 'and it is served' bad 1 -n 20 51712 verify
check 'a file beside it' attach sinner "$(image s.img 8M)" xvdb
is 'does not change the worker' "$(show sinner/xvda .worker)" "$pid"
ctl detach sinner/xvda --force >/dev/null
ctl detach sinner/xvdb --force >/dev/null

out=$(attach honest "nbd+unix:///?socket=$W/nowhere" xvdb 2>&1)
check 'a server that is not there: refused' [ $? -ne 0 ]
is 'a server that is not there: the worker stays' "$(worker)" "$first"

# ------------------------------------------------------------ attached later
check 'an NBD disk is attached later' attach honest "$(nbd 1)" xvdb
second=$(worker)
check 'the guest has another worker' [ "$second" != "$first" ]
check 'which has the NBD store' has_nbd "$second"
is 'all its disks are there' "$(show honest/xvdb .worker) $(show honest/xvde .worker)" "$second $second"
check 'the first worker is gone' within $wait not kill -0 "$first"
check 'the NBD disk is served' bad 2 -n 20 51728 verify
check 'the disk that nobody used is served' bad 2 -n 20 51776 verify
check "the file's I/O goes on" goes_on $wait honest/xvda
undisturbed 'an NBD disk attached later'
check 'a second NBD disk' attach honest "$(nbd 2)" xvdc
is 'does not change the worker' "$(worker)" "$second"
check 'and is served' bad 2 -n 20 51744 verify
is 'one worker was replaced' "$(moved)" 1
kill -KILL "$blkd_pid"
blkd_wait_gone
blkd_start
ctl detach honest/xvdc --force >/dev/null
within $wait not ctl show honest/xvdc
check 'after a death of the daemon: an NBD disk again' attach honest "$(nbd 2)" xvdc
is 'after a death of the daemon: the worker has what it had' "$(worker)" "$second"
echo "# $(grep -o 'has another worker after.*' "$W/blkd.log" | head -n 1)"
check 'when the NBD disks are gone the next worker has none' plain
undisturbed 'after that'

# ----------------------------------------------------- what cannot be, is not
pid=$(worker)
touch "$W/broken"
out=$(attach honest "$(nbd 1)" xvdb 2>&1)
is 'a worker with NBD does not start: refused' $? 1
like 'a worker with NBD does not start: and says why' "$out" 'another could not be started'
is 'a worker with NBD does not start: the worker stays' "$(worker)" "$pid"
undisturbed 'a worker with NBD does not start'
rm "$W/broken"
check 'now it can be' attach honest "$(nbd 1)" xvdb
check 'by another worker' [ "$(worker)" != "$pid" ]
check 'plain again' plain

# ------------------------------------------------------------ in the middle
# A worker that is stopped does not let go: for a second the guest has none that can be asked, then it is killed.
pid=$(worker) before=$(moved)
attach honest "$(image late.img 8M)" xvdd >/dev/null
kill -STOP "$pid"
attach honest "$(nbd 1)" xvdb >"$W/a1" 2>&1 &
a1=$!
check 'the old worker was told' within $wait leaving 2
timeout 40 synthctl resize honest/xvda 20M >"$W/resize.out" 2>&1 &
resize=$!
attach honest "$(nbd 2)" xvdc >"$W/a2" 2>&1 &
a2=$!
check 'a disk that is connected meanwhile is served' bad 2 -n 20 51760 verify
wait $resize
is 'a disk is resized meanwhile' "$? $(cat "$W/resize.out")" "0 $(cat "$W/resize.out")"
is '... and its guest is told' "$(dom0 xenstore-read $back/sectors)" $((20 << 11))
wait $a1
is 'the disk that was waited for is attached' "$? $(cat "$W/a1")" "0 $(cat "$W/a1")"
wait $a2
is 'one that was attached meanwhile is, too' "$? $(cat "$W/a2")" "0 $(cat "$W/a2")"
check 'both are served' eval 'bad 2 -n 20 51728 verify && bad 2 -n 20 51744 verify'
is 'the worker was replaced once' "$(moved)" $((before + 1))
undisturbed 'in the middle'
check 'plain again' plain

# The daemon is told to stop then: the guest waits for the next one, and nobody is started in between.
pid=$(worker)
kill -STOP "$pid"
attach honest "$(nbd 1)" xvdb >"$W/a1" 2>&1 &
a1=$!
check 'the old worker was told once more' within $wait leaving 2
grep -c 'still draining' "$W/blkd.log" >"$W/draining"
ctl daemon stop >/dev/null 2>&1
check 'the daemon that is told to stop meanwhile stops' blkd_wait_gone 10
wait $a1
is 'and leaves no worker behind' "$(for pid in $(world_pids); do tr '\0' ' ' <"/proc/$pid/cmdline"; echo; done | grep -- '--domid[ ]2 --name')" ''
is 'and does not say that one still drains' "$(grep -c 'still draining' "$W/blkd.log")" "$(cat "$W/draining")"
blkd_start
check 'the next daemon serves the guest' goes_on $wait honest/xvda
check 'plain again' plain

# The old worker was asked to open one, and has not read it: the next one opens it.
late=$W/late2.img
locked() { ! flock -n "$late" true; }
in_socket() { locked && ! ls -l "/proc/$blkd_pid/fd" | grep -q late2.img; }
unread() # DOM DOMID PID: of the worker; who attach are $a1, to an NBD disk, and $a2
{
	kill -STOP "$3"
	attach "$1" "$late" xvdf >"$W/a2" 2>&1 &
	a2=$!
	within $wait in_socket || return 1
	attach "$1" "$(nbd 1)" xvdb >"$W/a1" 2>&1 &
	a1=$!
	within $wait leaving "$2"
}
image late2.img 8M >/dev/null
before=$(moved)
check 'the old worker was told to open one, and has not read it' unread honest 2 "$(worker)"
wait $a1
is 'unread: the disk that was waited for is attached' "$? $(cat "$W/a1")" "0 $(cat "$W/a1")"
wait $a2
is 'unread: that one is, too' "$? $(cat "$W/a2")" "0 $(cat "$W/a2")"
is 'unread: by the same worker' "$(show honest/xvdb .worker) $(show honest/xvdf .worker)" "$(worker) $(worker)"
is 'unread: which has it once' "$(ls -l "/proc/$(worker)/fd" | grep -c late2.img)" 1
check 'unread: and serves it' bad 2 -n 20 51792 verify
is 'unread: the worker was replaced once' "$(moved)" $((before + 1))
ctl detach honest/xvdf --force >/dev/null
check 'unread: detached, it is free' within $wait not locked
undisturbed 'unread'
check 'plain again' plain
hostxen create 4 --name passing
attach passing null:8M xvda >/dev/null
check 'unread, and the domain goes: not read' unread passing 4 "$(show passing/xvda .worker)"
hostxen destroy 4
wait $a1
check 'unread, and the domain goes: not attached' [ $? -ne 0 ]
wait $a2
check 'unread, and the domain goes: nor that one' [ $? -ne 0 ]
check 'unread, and the domain goes: no worker of it is left' within $wait eval '[ "$(workers_of 4)" = 0 ]'
check 'unread, and the domain goes: it is free' within $wait not locked
within $wait eval '[ "$(ctl daemon status --json | jq .upgrade.running)" = false ]'

# While the new worker starts
slow_start() # DOM: an NBD disk is attached to it, in the background, whose worker takes two seconds to start
{
	rm -f "$W/slept"
	touch "$W/slow"
	attach "$1" "$(nbd 1)" xvdb >"$W/a1" 2>&1 &
	a1=$!
	within $wait [ -e "$W/slept" ]
}
pid=$(worker)
check 'the new worker starts' slow_start honest
check 'another disk is detached meanwhile' ctl detach honest/xvdd --force
is 'the old worker serves on' "$(worker)" "$pid"
undisturbed 'while the new worker starts'
wait $a1
is 'it is attached then' $? 0
check 'and served' bad 2 -n 20 51728 verify
check 'plain again' plain
before=$(moved)
slow_start honest
kill -KILL "$(worker)"
wait $a1
is 'the old worker dies while the new one starts: attached' $? 0
check 'the old worker dies while the new one starts: both are served' eval 'goes_on $wait honest/xvda && bad 2 -n 20 51728 verify'
is 'the old worker dies while the new one starts: nobody else is needed' "$(moved)" "$before"
check 'one worker is left' within $wait one_worker
check 'plain again' plain
hostxen create 3 --name brief
attach brief "$(image brief.img 8M)" xvda >/dev/null
slow_start brief
hostxen destroy 3
wait $a1
check 'the domain goes while the new worker starts: not attached' [ $? -ne 0 ]
check 'the domain goes while the new worker starts: no worker of it is left' within $wait eval '[ "$(workers_of 3)" = 0 ]'
within $wait eval '[ "$(ctl daemon status --json | jq .upgrade.running)" = false ]'
is 'the domain goes while the new worker starts: nobody is replaced' "$(moved)" "$before"
undisturbed 'the domain goes while the new worker starts'

# ------------------------------------------------------------------- deaths
odd=
for n in $(seq "$rounds"); do
	pid=$(worker)
	attach honest "$(nbd 1)" xvdb >"$W/a1" 2>&1 &
	a1=$!
	sleep "0.0$((n % 6 + 1))"
	case $((n % 2)) in
	0) kill -KILL "$pid" 2>/dev/null ;;
	*) kill -KILL $(pgrep -f -- "--domid 2 .*--parts 1") 2>/dev/null ;;
	esac
	wait $a1 || { ctl show honest/xvdb >/dev/null 2>&1 || attach honest "$(nbd 1)" xvdb >>"$W/a1" 2>&1; }
	within $wait goes_on 2 honest/xvda && bad 2 -n 10 51728 verify >/dev/null && one_worker || odd="$odd $n"
	plain || odd="$odd $n(plain)"
done
is 'workers that die in the middle: both disks are served' "$odd" ''
undisturbed 'workers that die in the middle'
odd=
for n in $(seq "$rounds"); do
	attach honest "$(nbd 1)" xvdb >"$W/a1" 2>&1 &
	a1=$!
	sleep "0.0$((n % 6 + 1))"
	kill -KILL "$blkd_pid"
	blkd_start
	wait $a1
	within $wait goes_on 2 honest/xvda || odd="$odd $n(io)"
	ctl show honest/xvdb >/dev/null 2>&1 || attach honest "$(nbd 1)" xvdb >"$W/a2" 2>&1 || odd="$odd $n($(cat "$W/a2"))"
	bad 2 -n 10 51728 verify >/dev/null || odd="$odd $n"
	within $wait one_worker || odd="$odd $n(workers)"
	plain || odd="$odd $n(plain)"
done
is 'a daemon that dies in the middle: the next one serves both' "$odd" ''
undisturbed 'a daemon that dies in the middle'
is 'the guest was told of its new size, and nothing else ever' "$(grep -c . "$W/watch")" 2

# ------------------------------------------------- where it lies
mkdir "$W/lib"
cp -L "$SYNTH_BUILDDIR/backend/.libs/synth-store-nbd.so" "$W/lib/"
ctl daemon stop >/dev/null
blkd_wait_gone 15 || bail 'the daemon does not stop'
SYNTH_LIBDIR=$W/lib blkd_start # as of a tree that was installed elsewhere
check 'the store is found in SYNTH_LIBDIR itself' attach honest "$(nbd 1)" xvdb
check '... and that one is taken' grep -qF "$W/lib/synth-store-nbd.so" "/proc/$(worker)/maps"
check '... and serves' bad 2 -n 10 51728 verify
world_end

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon becomes another program while guests do verified I/O: each worker is replaced, no request fails, and a program that
# cannot take over changes nothing.  UPGRADES=N: how many (10).
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
honest_start
upgrades=${UPGRADES:-10}
back=/local/domain/0/backend/vbd/2/51712
background hostxen run -d 2 -- xenstore-watch $back/state >"$W/watch"
within 10 test -s "$W/watch"
attach sinner "$(image a.img 8M)" xvda >/dev/null # a disk that nobody uses
worker() { show honest/xvda .worker; }
status() { ctl daemon status --json | jq -r "$1"; }

# ------------------------------------------------------------- refused
refuses() # NAME PROGRAM REASON
{
	local old pid out
	old=$(worker) pid=$blkd_pid
	out=$(ctl daemon upgrade --program "$2" 2>&1)
	is "$1: refused" $? 1
	like "$1: and says why" "$out" "$3"
	is "$1: the same daemon, the same worker" "$(status .pid) $(worker) $(status .era)" "$pid $old 1"
	undisturbed "$1"
}
program() { printf '#!/bin/sh\n%s\n' "$2" >"$W/$1"; chmod +x "$W/$1"; echo "$W/$1"; } # NAME TEXT
refuses 'a program from the future' "$(program future 'echo "journals of version 1: this program reads 7 to 9"; exit 1')" 'reads 7 to 9'
refuses 'a program that is not there' "$W/nowhere" 'cannot be started'
refuses 'a program that crashes' "$(program crash 'kill -KILL $$')" 'signal 9'
mkdir "$W/old"
program old/synth-blkd-worker 'echo "reads journals of version 0"; exit 1' >/dev/null
refuses 'a worker that cannot read the journals' "$(program half "SYNTH_LIBEXECDIR=$W/old exec synth-blkd \"\$@\"")" 'reads journals of version 0'
out=$(ctl daemon upgrade --program synth-blkd 2>&1)
is 'a relative path is a mistake' $? 2

# ------------------------------------------------------------ upgraded
first=$(worker) last=$first
same=
for n in $(seq "$upgrades"); do
	ctl daemon upgrade --json >"$W/up.json" 2>"$W/up.err" || fail "upgrade $n" "$(cat "$W/up.err")"
	jq -r '.pause.max_us // empty' "$W/up.json" >>"$W/pauses"
	[ "$(worker)" != "$last" ] || same=$n
	last=$(worker)
done
is "each of $upgrades upgrades gives the guest another worker" "$same" ''
is 'the daemon is the same process' "$(status .pid)" "$blkd_pid"
is 'all upgrades are counted' "$(status .era)" $((1 + upgrades))
check 'the first worker is gone' within 10 not kill -0 "$first"
is 'no socket is left but one a worker' "$(ls "$SYNTH_RUNDIR/workers" | wc -l)" "$(status '.workers')"
is 'the guest was told nothing' "$(grep -c . "$W/watch")" 1
undisturbed "after $upgrades upgrades"
pauses() { sort -n "$W/pauses" | awk '{ v[NR] = $1 } END { printf "p50 %.1f ms, p99 %.1f ms, max %.1f ms", v[int((NR + 1) / 2)] / 1000, v[int((NR * 99 + 99) / 100)] / 1000, v[NR] / 1000 }'; }
echo "# pause of $upgrades upgrades: $(pauses)"
is 'a pause was measured each time' "$(wc -l <"$W/pauses")" "$upgrades"
check 'the disk that nobody used serves' bad 1 -n 20 51712 verify

# ---------------------------------------------- the daemon dies meanwhile
for n in $(seq 8); do
	ctl daemon upgrade >/dev/null 2>&1 &
	asked=$!
	sleep "0.0$((n * 2))" # somewhere between the question and the last worker
	kill -KILL "$blkd_pid"
	blkd_start
	wait $asked
	within 20 equal '$(status .upgrade.running)' false
done
check 'killed in the middle of upgrades: the next one completes it' within 10 equal '$(status .upgrade.running)' false
undisturbed 'killed in the middle of upgrades'
is 'killed in the middle of upgrades: one worker a guest' "$(status '.workers')" "$(status '[.worker_list[].domid] | unique | length')"

# A program that says it can, and cannot
ctl daemon upgrade --program "$(program liar 'case "$*" in *--reads-journal*) exit 0 ;; esac; exit 1')" --timeout 3 >/dev/null 2>&1 &
check 'a program that lies: the daemon is gone' blkd_wait_gone 15
blkd_start
undisturbed 'a program that lies: the next daemon serves'
is 'the guest was told nothing, ever' "$(grep -c . "$W/watch")" 1
world_end

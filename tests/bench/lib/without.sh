# SPDX-License-Identifier: LGPL-2.1-or-later
# without.sh - what a part of the worker costs: sourced by suites that set
#	without	a program: the product's worker, built without that part
# Guest 1's worker is the product, guest 2's is that one.  Each has a file of its own, of the same size.
# A ratio of CPU per I/O is much steadier than one of rates, and says the same of what is added to each.
io() # CASE ROUND WHO DOMID DEV ARGS...
{
	local case=$1 round=$2 who=$3 dom=$4 dev=$5 pid before after
	shift 5
	pid=$(synthctl show "web$dom/$dev" --json | jq .worker)
	before=$(cpu_ticks "$pid")
	timeout $((seconds * 3 + 20)) hostxen run -d "$dom" -- synth-blkfront io "$dev" "$@" --runtime "$seconds" --json >"$W/io.json" 2>>"$W/front.log" ||
		die "$case on $who failed: synth-blkfront io $dev $*"
	after=$(cpu_ticks "$pid")
	jq -c --arg case "$case" --argjson round "$round" --arg who "$who" --argjson cpu $(((after - before) * tick_us)) '
		if .errors > 0 then error("I/O errors") else {case: $case, round: $round, who: $who, iops, back_cpu: ($cpu / .ios)} end' "$W/io.json" >>"$samples" ||
		die "$case on $who: what synth-blkfront says is not understood"
}
both() # CASE ROUND DEV ARGS...
{
	local case=$1 round=$2 dev=$3
	shift 3
	wanted "$case" || return 0
	progress "round $((round + 1)) of $rounds: $case"
	if [ $((round % 2)) = 0 ]; then io "$case" "$round" synth 1 "$dev" "$@"; io "$case" "$round" without 2 "$dev" "$@"
	else io "$case" "$round" without 2 "$dev" "$@"; io "$case" "$round" synth 1 "$dev" "$@"; fi
}
# From the command to a disk that is there, with a worker that was not: namespaces and kernel rings take time.
start_cost() # ROUND WHO DOMID
{
	local t0 t1
	hostxen create "$3" --name "start$3"
	t0=$EPOCHREALTIME
	synthctl attach disk "start$3" null:1G=xvda --user-frontend -q || die 'attach'
	t1=$EPOCHREALTIME
	echo "{\"case\": \"start\", \"round\": $1, \"who\": \"$2\", \"attach_cost\": $(((${t1/./} - ${t0/./})))}" >>"$samples"
	synthctl detach "start$3/xvda" -q >/dev/null 2>&1
}

suite_end() { rm -f "$W"/x-*.img "${disk_dir:-$W}"/synth-bench-without-$$-*.img; }

suite_run()
{
	local d r
	disk_dir=${SYNTH_TEST_DISK:-/var/tmp}
	mkdir "$W/workers"
	cat >"$W/workers/synth-blkd-worker" <<WRAP
#!/bin/sh
case \$2 in *[24680]) exec "$build/$without" "\$@" ;; esac
exec "$build/backend/synth-blkd-worker" "\$@"
WRAP
	chmod +x "$W/workers/synth-blkd-worker"
	hostxen start >"$W/hostxen.log" 2>&1 || die 'hostxen does not start'
	SYNTH_LIBEXECDIR=$W/workers hostxen run -d 0 -- synth-blkd >"$W/synth-blkd.log" 2>&1 &
	pids+=($!)
	within 10 synthctl daemon status || die 'synth-blkd does not start'
	for d in 1 2; do
		hostxen create $d --name web$d
		head -c 256M /dev/urandom >"$W/x-$d.img"
		cp "$W/x-$d.img" "$disk_dir/synth-bench-without-$$-$d.img"
		synthctl attach disk web$d "$W/x-$d.img=xvda" --user-frontend -q || die 'attach'
		synthctl attach disk web$d "$disk_dir/synth-bench-without-$$-$d.img=xvdb" --cache buffered --user-frontend -q || die 'attach'
		synthctl attach disk web$d null:1G=xvdc --user-frontend -q || die 'attach'
	done
	for ((r = 0; r < rounds; r++)); do
		both qd1 $r xvda --rw randread --bs 4k --depth 1 --sleep
		both qd32-read $r xvda --rw randread --bs 4k --depth 32
		both qd32-write $r xvda --rw randwrite --bs 4k --depth 32
		both disk $r xvdb --rw randread --bs 4k --depth 32
		both null $r xvdc --rw randread --bs 4k --depth 32
		wanted start || continue
		start_cost $r synth $((1001 + 4 * r))
		start_cost $r without $((1002 + 4 * r))
	done
}
suite_rows='
	(("qd1", "qd32-read", "qd32-write", "disk", "null") as $c |
		row($c; "worker CPU per I/O, us"; "back_cpu"; "without"; ">= 0.97"),
		row($c; "IOPS"; "iops"; "without"; "")),
	row("start"; "attach, us"; "attach_cost"; "without"; "")'

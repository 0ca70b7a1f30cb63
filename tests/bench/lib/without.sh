# SPDX-License-Identifier: LGPL-2.1-or-later
# without.sh - what a part of the worker costs: sourced by suites that set
#	without	a program: the product's worker, built without that part
# Every measurement has a guest and a worker of its own, on the same bytes: where the kernel put the memory of one worker makes more of a
# difference than what is looked for here, and stays with it while it lives.  The cases "itself" are the product against the product, to
# show how fine the rest can tell.  A ratio of CPU per I/O is much steadier than one of rates, and says the same of what is added to each.
# At depth 1 on two CPUs worker and guest meet or miss each other's looking, by luck, and the luck makes more of a difference than anything
# else (single rounds 0.4 to 2.3).  The cases "one-cpu" have both on one CPU, where they have to take turns: nothing is left to luck, each
# request takes all the system calls it can, and what is added to it shows in its time.
guests=0
one_cpu=
guest() # WHO DISK ARGS...: sets dom to a new guest with that disk as xvda, attach_us to how long that took; even guests have the worker without the part
{
	local who=$1 t0 t1
	shift
	[ "$who" = without ] && dom=$(((guests += 1) * 2)) || dom=$(((guests += 1) * 2 + 1))
	hostxen create $dom --name web$dom || die "guest $dom: create"
	t0=$EPOCHREALTIME
	synthctl attach disk web$dom "$@" --user-frontend -q || die "guest $dom: attach"
	t1=$EPOCHREALTIME
	attach_us=$((${t1/./} - ${t0/./}))
}
guest_ends() { synthctl detach web$dom/xvda -q && hostxen destroy $dom || die "guest $dom: detach"; }
io() # CASE ROUND WHO DISK ARGS...
{
	local case=$1 round=$2 who=$3 disk=$4 dom attach_us pid before after
	shift 4
	# shellcheck disable=SC2086 # a disk is a specification and its options
	guest "$who" $disk
	pid=$(synthctl show "web$dom/xvda" --json | jq .worker)
	[ -z "$one_cpu" ] || taskset -acp "$one_cpu" "$pid" >/dev/null || die "worker $pid: taskset"
	before=$(cpu_us "$pid")
	timeout $((seconds * 3 + 20)) ${one_cpu:+taskset -c "$one_cpu"} hostxen run -d $dom -- synth-blkfront io xvda "$@" --runtime "$seconds" --json >"$W/io.json" 2>>"$W/front.log" ||
		die "$case on $who failed: synth-blkfront io $*"
	after=$(cpu_us "$pid")
	jq -c --arg case "$case" --argjson round "$round" --arg who "$who" --argjson cpu $((after - before)) '
		if .errors > 0 then error("I/O errors") else {case: $case, round: $round, who: $who, iops, back_cpu: ($cpu / .ios)} end' "$W/io.json" >>"$samples" ||
		die "$case on $who: what synth-blkfront says is not understood"
	guest_ends
}
both() # CASE ROUND PEER DISK ARGS...
{
	local case=$1 round=$2 peer=$3
	shift 3
	wanted "$case" || return 0
	progress "round $((round + 1)) of $rounds: $case"
	if [ $((round % 2)) = 0 ]; then io "$case" "$round" synth "$@"; io "$case" "$round" "$peer" "$@"
	else io "$case" "$round" "$peer" "$@"; io "$case" "$round" synth "$@"; fi
}
# From the command to a disk that is there, with a worker that was not: namespaces and kernel rings take time.
start_cost() # ROUND WHO
{
	local dom attach_us
	guest "$2" null:1G=xvda
	echo "{\"case\": \"start\", \"round\": $1, \"who\": \"$2\", \"attach_cost\": $attach_us}" >>"$samples"
	guest_ends
}

suite_end() { rm -f "${disk_dir:-$W}/synth-bench-without-$$.img"; }

suite_run()
{
	local r memory=$W/x.img
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
	head -c 256M /dev/urandom >"$memory"
	cp "$memory" "$disk_dir/synth-bench-without-$$.img"
	for ((r = 0; r < rounds; r++)); do
		both qd1 $r without "$memory=xvda" --rw randread --bs 4k --depth 1 --sleep
		one_cpu=$(taskset -cp $$ | sed 's/.*[ ,-]//') # the last that we may use
		both one-cpu $r without "$memory=xvda" --rw randread --bs 4k --depth 1 --sleep
		both itself-one-cpu $r itself "$memory=xvda" --rw randread --bs 4k --depth 1 --sleep
		one_cpu=
		both qd32-read $r without "$memory=xvda" --rw randread --bs 4k --depth 32
		both qd32-write $r without "$memory=xvda" --rw randwrite --bs 4k --depth 32
		both disk $r without "$disk_dir/synth-bench-without-$$.img=xvda --cache buffered" --rw randread --bs 4k --depth 32
		both null $r without null:1G=xvda --rw randread --bs 4k --depth 32
		both itself $r itself "$memory=xvda" --rw randread --bs 4k --depth 32
		both itself-qd1 $r itself "$memory=xvda" --rw randread --bs 4k --depth 1 --sleep
		wanted start || continue
		start_cost $r synth
		start_cost $r without
	done
}
suite_rows='
	(("one-cpu", "qd32-read", "qd32-write", "disk", "null") as $c |
		row($c; "worker CPU per I/O, us"; "back_cpu"; "without"; ">= 0.97"),
		row($c; "IOPS"; "iops"; "without"; "")),
	row("qd1"; "worker CPU per I/O, us"; "back_cpu"; "without"; ""),
	row("qd1"; "IOPS"; "iops"; "without"; ""),
	(("itself", "itself-qd1", "itself-one-cpu") as $c |
		row($c; "worker CPU per I/O, us"; "back_cpu"; "itself"; ""),
		row($c; "IOPS"; "iops"; "itself"; "")),
	row("start"; "attach, us"; "attach_cost"; "without"; "")'

# SPDX-License-Identifier: LGPL-2.1-or-later
# neighbours.sh - the suite `./bench neighbours`, sourced by bench.
#: seven guests' disks while the eighth is hostile, against the same seven while it is honest
#: cases: storm jumps bad-flood watch-flood store-flood grants never-consume stuck all full

# Seven guests do verified-size I/O at a fixed rate each, so that a processor is mostly idle: what they get less of, or later, was taken
# from them by the eighth and not by each other.  In the same round the eighth does what they do (the peer).  `full` is the other
# extreme, for what it is worth: all go as fast as they can, on as many processors as there are.
rate=${NEIGHBOURS_RATE:-300}
load=(--rw randread=1,randwrite=1 --bs 4k --depth 4)
modes=(storm jumps bad-flood watch-flood grants never-consume stuck all)

start_world()
{
	local g
	hostxen start >"$W/hostxen.log" 2>&1 || die 'hostxen does not start'
	hostxen run -d 0 -- synth-blkd --max-grants 2048 >"$W/synth-blkd.log" 2>&1 &
	daemon=$!
	pids+=($daemon)
	within 10 synthctl daemon status || die 'synth-blkd does not start'
	for g in 1 2 3 4 5 6 7 8; do
		hostxen create $g --name g$g
		head -c 32M /dev/urandom >"$W/g$g.img"
		synthctl attach disk g$g "$W/g$g.img=xvda" --user-frontend -q || die "attach g$g"
	done
	for dev in xvdb xvdc xvdd; do # more of the eighth's, for all at once
		truncate -s 32M "$W/$dev.img"
		synthctl attach disk g8 "$W/$dev.img=$dev" --user-frontend -q || die "attach g8/$dev"
	done
}

sinners=()
sinner() { hostxen run -d 8 -- "$@" >>"$W/sinner.log" 2>&1 & sinners+=($!); disown $!; } # hostxen becomes the command
badfront() { sinner "$build/tests/hostile/badfront" -t 600000 "$@"; }
stuck() # a disk whose server never answers
{
	rm -f "$W/stuck.sock"
	nbdkit -f -U "$W/stuck.sock" --filter=delay memory 32M delay-read=3600 delay-write=3600 2>>"$W/nbdkit.log" &
	sinners+=($!)
	disown $!
	within 10 test -S "$W/stuck.sock" || die 'nbdkit does not start'
	synthctl attach disk g8 "nbd+unix:///?socket=$W/stuck.sock=xvde" --user-frontend -q || die 'attach what is stuck'
	sinner synth-blkfront io xvde --rw randrw --bs 64k --depth 32 --runtime 600
}
be() # MODE [DEV]: the eighth guest
{
	local dev=${2:-51712}
	case $1 in
	honest) sinner synth-blkfront io xvda "${load[@]}" --runtime 600 "${fast[@]}" ;;
	watch-flood) badfront -n 4000000000 "$dev" flood ;;
	store-flood) badfront -N unwatched -n 4000000000 "$dev" flood ;; # of its own too, but nobody looks at this node
	# more than it may have mapped, again and again, in few requests
	grants) sinner synth-blkfront io "$dev" --rw randrw --bs 256k --depth 32 --queues 2 --rate 50 --runtime 600 ;;
	stuck) stuck ;;
	all) be storm 51712; be jumps 51728; be bad-flood 51744; be watch-flood 51760; stuck ;;
	*) badfront "$dev" "$1" ;;
	esac
}
sinners_us()
{
	local pid n=0
	for pid in ${sinners[@]+"${sinners[@]}"}; do n=$((n + $(cpu_us "$pid"))); done
	echo $n
}
gone() { [ ! -e "/proc/$1" ]; }
sinners_end()
{
	local pid
	for pid in ${sinners[@]+"${sinners[@]}"}; do kill "$pid" 2>/dev/null; done
	for pid in ${sinners[@]+"${sinners[@]}"}; do within 2 gone "$pid" || kill -KILL "$pid" 2>/dev/null; done
	synthctl detach g8/xvde --force -q --if-exists >/dev/null 2>&1
	sinners=()
}

# seven CASE ROUND WHO MODE: a line of what the seven had; a latency that counts is the mean of their 99th percentiles
seven()
{
	local case=$1 round=$2 who=$3 mode=$4 g jobs=() d0 d1 w0 w1 s0 s1 eighth
	be "$mode"
	sleep 1 # it is at it
	for g in ${sinners[@]+"${sinners[@]}"}; do ! gone "$g" || die "$case: the eighth, who is $mode, has ended"; done
	eighth=$(synthctl show g8/xvda --json | jq '.worker // empty')
	d0=$(cpu_us $daemon) w0=$(cpu_us "$eighth") s0=$(sinners_us)
	for g in 1 2 3 4 5 6 7; do
		hostxen run -d $g -- synth-blkfront io xvda "${load[@]}" --runtime "$seconds" --json "${fast[@]}" >"$W/g$g.json" 2>>"$W/front.log" &
		jobs+=($!)
	done
	for g in 1 2 3 4 5 6 7; do wait "${jobs[g - 1]}" || die "$case: guest $g failed while the eighth was $mode"; done
	d1=$(cpu_us $daemon) s1=$(sinners_us)
	w1=$(cpu_us "$eighth")
	[ "$w1" -ge "$w0" ] || die "$case: the worker of the eighth has ended"
	sinners_end
	jq -sc --arg case "$case" --argjson round "$round" --arg who "$who" --argjson daemon $((d1 - d0)) --argjson eighth $((w1 - w0)) \
		--argjson sinner $((s1 - s0)) --argjson s "$seconds" '
		if any(.errors > 0) then error("I/O errors") else {case: $case, round: $round, who: $who, iops: (map(.iops) | add),
		p99_cost: (map(.lat_ns.p99) | add / length / 1000), worst_p99_cost: (map(.lat_ns.p99) | max / 1000), p50_cost: (map(.lat_ns.p50) | add / length / 1000),
		daemon: ($daemon / $s / 10000), eighth: ($eighth / $s / 10000), sinner: ($sinner / $s / 10000)} end' "$W"/g[1-7].json >>"$samples" || die "$case: what synth-blkfront says is not understood"
}
both() # CASE ROUND MODE [PEER-MODE]
{
	local peer=${4:-honest}
	wanted "$1" || return 0
	progress "round $(($2 + 1)) of $rounds: $1"
	if [ $(($2 % 2)) = 0 ]; then seven "$1" "$2" synth "$3"; seven "$1" "$2" "$peer" "$peer"
	else seven "$1" "$2" "$peer" "$peer"; seven "$1" "$2" synth "$3"; fi
}

suite_end() { sinners_end; }
suite_run()
{
	local r mode
	[ -n "$built" ] || make -s -C "$build" tests/hostile/badfront || die 'badfront is not built'
	command -v nbdkit >/dev/null || leave 'nbdkit is not installed'
	start_world
	for ((r = 0; r < rounds; r++)); do
		fast=(--rate "$rate")
		for mode in "${modes[@]}"; do both "$mode" $r "$mode"; done
		both store-flood $r watch-flood store-flood # what of a flood is ours, and what xenstored's
		fast=()
		both full $r all
	done
}
suite_rows='
	(("storm", "jumps", "bad-flood", "watch-flood", "grants", "never-consume", "stuck", "all") as $c |
		row($c; "I/Os of the seven a second"; "iops"; "honest"; ">= 0.9"),
		row($c; "p99 of the seven, mean, us"; "p99_cost"; "honest"; ">= 0.5"),
		row($c; "p99 of the one of them that has it worst, us"; "worst_p99_cost"; "honest"; ""),
		row($c; "p50 of the seven, mean, us"; "p50_cost"; "honest"; ""),
		alone($c; "the daemon, % of a CPU"; "daemon"; ""),
		alone($c; "the worker of the eighth, % of a CPU"; "eighth"; ""),
		alone($c; "the eighth itself, % of a CPU"; "sinner"; "")),
	row("store-flood"; "beside a flood of watched nodes, to one of nodes that nobody watches: p99 of the seven, mean, us"; "p99_cost"; "store-flood"; ""),
	row("store-flood"; "p50 of the seven, mean, us"; "p50_cost"; "store-flood"; ""),
	row("full"; "no rate: I/Os of the seven a second"; "iops"; "honest"; ""),
	row("full"; "no rate: p99 of the seven, mean, us"; "p99_cost"; "honest"; "")'

# SPDX-License-Identifier: LGPL-2.1-or-later
# block.sh - the suite `./bench block`, sourced by bench.
#: disks: synth-blkd against QEMU's Xen block back end and fio, on hostxen, one file in memory
#: cases: qd1 qd32-read qd32-write seq128k null fio idle many

# ------------------------------------------------------------------------------ one measurement
back_pid() { case $1 in synth) echo "$worker" ;; qemu) echo "$qemu" ;; qemu-null) echo "$qemu_null" ;; esac; }

# io CASE ROUND WHO DEV ARGS...: synth-blkfront's load through one back end
io()
{
	local case=$1 round=$2 who=$3 dev=$4 pid before after
	shift 4
	pid=$(back_pid "$who")
	[ "$dev" = xvdb ] && [ "$who" = synth ] && pid=$null_worker
	before=$(cpu_us "$pid")
	timeout $((seconds * 3 + 20)) hostxen run -d 1 -- synth-blkfront io "$dev" "$@" --runtime "$seconds" --json >"$W/io.json" 2>>"$W/front.log" ||
		die "$case on $who failed: synth-blkfront io $dev $*"
	after=$(cpu_us "$pid")
	jq -c --arg case "$case" --argjson round "$round" --arg who "${who%-null}" --argjson cpu $((after - before)) '
		if .errors > 0 then error("I/O errors") else {case: $case, round: $round, who: $who, iops, bytes_s: (.bytes / .seconds), p50_us: (.lat_ns.p50 / 1000),
		to_back: .events_sent_per_io, to_front: .events_received_per_io, front_cpu: .cpu_us_per_io, back_cpu: ($cpu / .ios)} end' \
		"$W/io.json" >>"$samples" || die "$case on $who: what synth-blkfront says is not understood"
}
fio_direct() # CASE ROUND
{
	fio --name=bench --filename="$W/disk.img" --ioengine=io_uring --rw=randread --bs=4k --iodepth=32 --norandommap --randrepeat=0 --invalidate=0 \
		--time_based --runtime="$seconds" --output-format=json >"$W/fio.json" 2>>"$W/fio.log" || die 'fio failed'
	jq -c --arg case "$1" --argjson round "$2" '.jobs[0] | {case: $case, round: $round, who: "fio", iops: .read.iops, bytes_s: (.read.bw_bytes),
		p50_us: (.read.clat_ns.percentile["50.000000"] / 1000), front_cpu: ((.usr_cpu + .sys_cpu) / 100 * 1e6 / .read.iops)}' "$W/fio.json" >>"$samples"
}

# ------------------------------------------------------------------------------ the world
start_synth()
{
	hostxen run -d 0 -- synth-blkd >"$W/synth-blkd.log" 2>&1 &
	pids+=($!)
	within 10 synthctl daemon status || die 'synth-blkd does not start'
	synthctl attach disk web1 "$W/disk.img=xvda" --user-frontend -q || die 'attach'
	synthctl attach disk web1 null:1G=xvdb --user-frontend -q || die 'attach null:'
	worker=$(synthctl show web1/xvda --json | jq .worker)
	null_worker=$(synthctl show web1/xvdb --json | jq .worker)
	[ "$worker" -gt 0 ] 2>/dev/null || die 'synth-blkd does not tell its worker'
}
start_qemu() # NAME VDEV BLOCKDEV: QEMU's Xen block back end, with a thread of its own for the disk, as xl's disks have
{
	hostxen run -d 0 -- /usr/libexec/xen-qemu-system-i386 -M xenpv -xen-domid 1 -xen-attach -nodefaults -no-user-config -display none \
		-m 1 -name "$1" -object iothread,id=io0 -blockdev "$3,node-name=d" -device "xen-disk,vdev=$2,drive=d,iothread=io0" >"$W/$1.log" 2>&1 &
	pids+=($!)
	started=$!
	within 15 hostxen run -d 0 -- xenstore-read "/local/domain/0/backend/qdisk/1/$((51712 + 16 * ($(printf %d "'${2#xvd}") - 97)))/state" ||
		die 'QEMU does not serve its disk'
	[ -e "/proc/$started" ] || die 'QEMU has ended'
}
build_world()
{
	hostxen start >"$W/hostxen.log" 2>&1 || die 'hostxen does not start'
	hostxen create 1 --name web1
	head -c 512M /dev/urandom >"$W/disk.img"
	start_synth
	# the same file: QEMU must not lock it
	start_qemu qemu xvdc "driver=file,filename=$W/disk.img,locking=off,discard=unmap"
	qemu=$started
	start_qemu qemu-null xvdd driver=null-co,size=1073741824
	qemu_null=$started
}

# pair CASE ROUND OUR-DEV PEER PEER-DEV ARGS...: us and QEMU, who is first depends on the round
pair()
{
	local case=$1 round=$2 ours=$3 peer=$4 theirs=$5
	shift 5
	wanted "$case" || return 0
	progress "round $((round + 1)) of $rounds: $case"
	if [ $((round % 2)) = 0 ]; then io "$case" "$round" synth "$ours" "$@"; io "$case" "$round" "$peer" "$theirs" "$@"
	else io "$case" "$round" "$peer" "$theirs" "$@"; io "$case" "$round" synth "$ours" "$@"; fi
}
measure_peers()
{
	local r
	for ((r = 0; r < rounds; r++)); do
		pair qd1 $r xvda qemu xvdc --rw randread --bs 4k --depth 1 --sleep
		pair qd32-read $r xvda qemu xvdc --rw randread --bs 4k --depth 32
		pair qd32-write $r xvda qemu xvdc --rw randwrite --bs 4k --depth 32
		pair seq128k $r xvda qemu xvdc --rw read --bs 128k --depth 8
		pair null $r xvdb qemu-null xvdd --rw randread --bs 4k --depth 32
		if wanted fio; then
			progress "round $((r + 1)) of $rounds: fio"
			if [ $((r % 2)) = 0 ]; then io fio $r synth xvda --rw randread --bs 4k --depth 32; fio_direct fio $r
			else fio_direct fio $r; io fio $r synth xvda --rw randread --bs 4k --depth 32; fi
		fi
	done
}

# ------------------------------------------------------------------------------ things without a peer
rss_kib() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }

# The worker of a guest that has one disk, connected, used before, idle now.
measure_idle()
{
	local img=$W/idle.img w kib
	progress 'idle worker'
	truncate -s 64M "$img"
	hostxen create 2 --name idle
	synthctl attach disk idle "$img=xvda" --user-frontend -q || die 'attach'
	hostxen run -d 2 -- synth-blkfront serve xvda --unix "$W/idle.sock" >"$W/idle.log" 2>&1 &
	pids+=($!)
	within 15 nbdcopy "nbd+unix:///?socket=$W/idle.sock" null: || die 'the idle guest does not connect'
	sleep 2
	w=$(synthctl show idle/xvda --json | jq .worker)
	[ "$(synthctl show idle/xvda --json | jq -r .state)" = Connected ] || die 'the idle guest is not connected'
	kib=$(rss_kib "$w")
	row idle 'worker RSS, MiB' "$(jq -n "$kib / 1024 * 100 | round / 100")" '<= 8'
	row idle 'of it not shared with other processes, MiB' "$(awk '/^RssAnon/ {printf "%.2f", $2 / 1024}' "/proc/$w/status")" ''
	local before
	before=$(cpu_us "$w"); sleep 2
	row idle 'worker CPU while idle, %' "$(jq -n "($(cpu_us "$w") - $before) / 2e6 * 100")" ''
}

measure_many() # 200 disks, 10 in each of 20 guests
{
	local g d dom img t0 t1 bad=0 n=0 times=$W/times
	: >"$times"
	for ((g = 0; g < 20; g++)); do
		dom=$((100 + g))
		hostxen create $dom --name "guest$g"
		for d in a b c d e f g h i j; do
			progress "many disks: attach $((n += 1))"
			img=$W/many-$g-$d.img
			truncate -s 16M "$img"
			t0=$EPOCHREALTIME
			synthctl attach disk "guest$g" "$img=xvd$d" --user-frontend -q || die "attach guest$g/xvd$d"
			t1=$EPOCHREALTIME
			echo $(((${t1/./} - ${t0/./}))) >>"$times"
		done
	done
	n=0
	for ((g = 0; g < 20; g++)); do
		dom=$((100 + g))
		for d in a b c d e f g h i j; do
			progress "many disks: verified I/O on $((n += 1))"
			timeout 60 hostxen run -d $dom -- synth-blkfront io "xvd$d" --rw randrw --bs 4k-64k --depth 8 --ios 64 --verify --json 2>>"$W/front.log" |
				jq -e '.errors == 0 and .mismatch == false' >/dev/null || bad=$((bad + 1))
		done
	done
	row many 'disks of 200 that work' $((200 - bad)) '>= 200'
	row many 'attach, ms' "$(sort -n "$times" | awk '{a[NR] = $1} END {printf "%.1f", (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2000}')" '<= 50' \
		"$(sort -n "$times" | awk 'NR == 1 {lo = $1} {hi = $1} END {printf "[%.1f, %.1f]", lo / 1000, hi / 1000}')"
	row many 'worker RSS with 10 disks, MiB' "$(synthctl list guest7 --json | jq '.devices[0].worker' | { read -r w; rss_kib "$w"; } | awk '{printf "%.1f", $1 / 1024}')" ''
}

# ------------------------------------------------------------------------------ called by bench
suite_run()
{
	build_world
	wanted idle && measure_idle
	measure_peers
	wanted many && measure_many
	return 0
}
suite_rows='
	row("qd1"; "4 KiB random read, depth 1, IOPS"; "iops"; "qemu"; ">= 2.0"),
	row("qd32-read"; "4 KiB random read, depth 32, IOPS"; "iops"; "qemu"; ">= 1.8"),
	row("qd32-write"; "4 KiB random write, depth 32, IOPS"; "iops"; "qemu"; ">= 1.8"),
	row("seq128k"; "128 KiB sequential read, depth 8, bytes/s"; "bytes_s"; "qemu"; ">= 1.3"),
	row("null"; "4 KiB random read of null:, depth 32, IOPS"; "iops"; "qemu"; ">= 2.0"),
	row("fio"; "4 KiB random read, depth 32, to fio on the file, IOPS"; "iops"; "fio"; ">= 0.85"),
	single("qd32-read"; "read, events to the back end per I/O"; "to_back"; "<= 0.1"),
	single("qd32-read"; "read, events to the front end per I/O"; "to_front"; "<= 0.1"),
	single("qd32-write"; "write, events to the back end per I/O"; "to_back"; "<= 0.1"),
	single("qd32-write"; "write, events to the front end per I/O"; "to_front"; "<= 0.1"),
	(("qd1", "qd32-read", "qd32-write", "seq128k", "null") as $c |
		row($c; "back end CPU per I/O, us"; "back_cpu"; "qemu"; ""),
		row($c; "front end CPU per I/O, us"; "front_cpu"; "qemu"; ""))'

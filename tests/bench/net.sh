# SPDX-License-Identifier: LGPL-2.1-or-later
# net.sh - the suite `./bench net`, sourced by bench.  All interfaces are in network namespaces of its own.
#: nics: synth-netd against QEMU's Xen nic back end (qnic) and plain writes to a TAP, on hostxen
#: cases: bulk-tx bulk-rx tx64 rx64 pair64
#
# The host's namespace has bridge br0.  Guests are processes; `synth-netfront up` gives guest 1 (synth) and guest 3 (qemu) an interface
# in a namespace each, so that TCP is the kernel's own at both ends.  Two CPUs do all the work here: what is compared shares them alike.
[ "$(id -u)" = 0 ] || leave 'TAPs and network namespaces need root'
[ -c /dev/net/tun ] || leave 'there is no /dev/net/tun'
unshare -nm true 2>/dev/null || leave 'no network namespace can be made here'
# ------------------------------------------------------------------------------ QEMU
# Its nic back end has a network behind it since QEMU 8.2; Debian 12 has 7.2, where nothing can be connected to it and so nothing is
# ever received.  Debian 12's backports have a newer one, which is unpacked (not installed) into build/bench/qemu.
has_nic() { [[ $("$1" -M xenpv -device help 2>/dev/null) == *'"xen-net-device"'* ]]; }
get_qemu()
{
	local q d=$build/bench/qemu apt archive
	for q in "${SYNTH_BENCH_QEMU:-}" "$d/root/usr/libexec/xen-qemu-system-i386" /usr/libexec/xen-qemu-system-i386 \
		"$(command -v qemu-system-i386)"; do
		[ ! -x "$q" ] || ! has_nic "$q" || { echo "$q"; return 0; }
	done
	command -v apt-get >/dev/null && grep -qs 'VERSION_CODENAME=bookworm' /etc/os-release || return 1
	# from where this system has its packages
	archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' | head -n 1)
	[ -n "$archive" ] || return 1
	mkdir -p "$d/lists/partial" "$d/cache/archives/partial"
	echo "deb $archive bookworm-backports main" >"$d/sources.list"
	apt=(-o "Dir::Etc::SourceList=$d/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$d/lists" -o "Dir::Cache=$d/cache")
	(cd "$d" && apt-get -qq "${apt[@]}" update && apt-get -qq "${apt[@]}" download qemu-system-xen && dpkg-deb -x qemu-system-xen_*.deb root) \
		>"$d/apt.log" 2>&1 || return 1
	q=$d/root/usr/libexec/xen-qemu-system-i386
	has_nic "$q" && echo "$q"
}

if [ -z "${BENCH_NETNS:-}" ]; then
	BENCH_QEMU=$(get_qemu)
	export BENCH_QEMU
	BENCH_NETNS=1 exec unshare -nm bash "$src/bench" ${argv[@]+"${argv[@]}"}
fi
mount -t sysfs sysfs /sys && ip link set lo up || leave 'the network namespace is of no use'

# ------------------------------------------------------------------------------ the world
netns() # NAME: a namespace that a process holds; its pid in ns_NAME
{
	local pid
	unshare --net sleep 100000 &
	pid=$!
	pids+=($pid)
	within 10 eval '[ "$(readlink /proc/'$pid'/ns/net)" != "$(readlink /proc/self/ns/net)" ]' || die "no network namespace $1"
	eval "ns_$1=$pid"
	nsenter --net=/proc/$pid/ns/net -- ip link set lo up
}
in_ns() { local pid; eval "pid=\$ns_$1"; shift; nsenter --net=/proc/$pid/ns/net -- "$@"; } # NAME CMD...
front() { local dom=$1; shift; hostxen run -d "$dom" -- synth-netfront "$@"; }           # DOM ARGS...
show_nic() { synthctl show "$1" --json | jq -r "$2"; }
metric() { synthctl stat "$1" --json | jq ".devices[0].metrics.$2"; }

# up NAME DOM DEV ADDRESS: the nic as an interface of namespace NAME
up()
{
	local name=$1 dom=$2 dev=$3
	eval 'hostxen run -d $dom -- nsenter --net=/proc/$ns_'"$name"'/ns/net -- synth-netfront up $dev --queues 1 >"$W/up-$name.log" 2>&1 &'
	pids+=($!)
	eval "up_$name=$!"
	within 15 grep -q ' is up as ' "$W/up-$name.log" || die "synth-netfront up in guest $dom does not come up"
	in_ns "$name" ip addr add "$4" dev "$dev"
	within 10 in_ns "$name" ping -q -c 1 -W 1 10.9.0.1 || die "guest $dom does not reach the host"
}
start_qemu()
{
	hostxen run -d 0 -- "$BENCH_QEMU" -M xenpv -xen-domid 3 -xen-attach -nodefaults -no-user-config -display none -m 1 -name qemu \
		-netdev tap,id=n0,ifname=qtap0,script=no,downscript=no -device xen-net-device,netdev=n0,idx=0,mac=00:16:3e:00:00:03 >"$W/qemu.log" 2>&1 &
	qemu=$!
	pids+=($qemu)
	disown $qemu # how it ends is not told
	within 15 hostxen run -d 0 -- xenstore-read /local/domain/0/backend/qnic/3/0/state || die 'QEMU does not serve its nic'
	ip link set qtap0 mtu 1500 txqueuelen 512 master br0 up
}
build_world()
{
	hostxen start >"$W/hostxen.log" 2>&1 || die 'hostxen does not start'
	ip link add br0 type bridge mcast_snooping 0
	ip addr add 10.9.0.1/24 dev br0
	ip link set br0 up
	ip link add br1 type bridge mcast_snooping 0
	ip link set br1 up
	sysctl -qw net.ipv6.conf.all.disable_ipv6=1
	hostxen run -d 0 -- synth-netd >"$W/synth-netd.log" 2>&1 &
	pids+=($!)
	within 10 synthctl daemon status nic || die 'synth-netd does not start'
	local g
	for g in 1 2 3; do hostxen create $g --name web$g; done
	attach() { synthctl attach nic "$@" --user-frontend --queues 1 -q || die "attach nic $*"; }
	attach web1 --bridge br0 --dev eth0
	attach web1 --tap lone0 --dev eth1
	attach web1 --bridge br1 --dev eth2
	attach web1 --pair web2/eth3 --dev eth3
	attach web2 --bridge br1 --dev eth2
	attach web2 --pair web1/eth3 --dev eth3
	ip tuntap add dev plain0 mode tap multi_queue
	ip link set plain0 up
	ip tuntap add dev gen0 mode tap multi_queue
	ip link set gen0 master br1 up
	worker1=$(show_nic web1/eth0 .worker) worker2=$(show_nic web2/eth2 .worker)
	qemu=
	if [ -n "$BENCH_QEMU" ]; then start_qemu
	else note="no QEMU with a network behind its nic (8.2 or later) was found or could be fetched: no figures of qnic"; fi
}

# ------------------------------------------------------------------------------ measurements
sample() { jq -nc "$@" >>"$samples" || die "a figure is not understood: $*"; } # JQ ARGS..., PROGRAM last

# The back end's counters of a nic, its CPU (us) and its system calls: read() and write() as the kernel counts them, and one for each sleep.
# `grown BEFORE AFTER` is what came between.
snap() # DEV PID
{
	local calls
	calls=$(awk '/^sysc/ {n += $2} END {print n + 0}' "/proc/$2/io" 2>/dev/null)
	synthctl stat "$1" --json | jq -c --argjson cpu "$(cpu_us "$2")" --argjson calls "${calls:-0}" '.devices[0].metrics
		| {events_in, events_out, sleeps, turns, tx_packets, rx_packets, tx_copy_calls, rx_copy_calls, tx_copy_segments, rx_copy_segments, tx_dropped}
		+ {cpu: $cpu, calls: ($calls + .sleeps)}'
}
grown() { jq -nc --argjson a "$1" --argjson b "$2" '$b | with_entries(.value -= $a[.key])'; }

bulk_up() # SUITE'S OWN: the interfaces for TCP, once
{
	[ -z "${ns_synth:-}" ] || return 0
	netns synth
	up synth 1 eth0 10.9.0.11/24
	if [ -n "$qemu" ]; then
		netns qemu
		up qemu 3 eth0 10.9.0.13/24
	fi
	iperf3 -s -p 5201 >"$W/iperf-server.log" 2>&1 &
	pids+=($!)
	within 10 eval 'ss -ltn | grep -q :5201'
}
bulk() # CASE ROUND WHO: TCP of one connection between the guest's kernel and the host's
{
	local case=$1 round=$2 who=$3 reverse='' pid up a b
	[ "$case" = bulk-tx ] || reverse=-R
	pid=$worker1
	[ "$who" = synth ] || pid=$qemu
	eval "up=\$up_$who"
	[ "$who" = synth ] && a=$(snap web1/eth0 "$pid")
	local back_before front_before
	back_before=$(cpu_us "$pid") front_before=$(cpu_us "$up")
	in_ns "$who" timeout $((seconds * 2 + 20)) iperf3 -c 10.9.0.1 -p 5201 -t "$seconds" -O 0.5 $reverse --json >"$W/iperf.json" 2>"$W/iperf.log" ||
		die "$case on $who: iperf3 failed" "$(jq -r .error "$W/iperf.json")"
	b=$(($(cpu_us "$pid") - back_before))
	local f=$(($(cpu_us "$up") - front_before))
	[ "$who" != synth ] || a=$(grown "$a" "$(snap web1/eth0 "$pid")")
	sample --arg case "$case" --argjson round "$round" --arg who "$who" --argjson back "$b" --argjson front "$f" \
		--argjson c "${a:-null}" --slurpfile i "$W/iperf.json" '
		$i[0].end.sum_received as $r | ($r.bytes * 8 / 1e9) as $gb
		| {case: $case, round: $round, who: $who, bits_s: $r.bits_per_second, back_cpu: ($back / 1000 / $gb), front_cpu: ($front / 1000 / $gb)}
		+ if $c then ($r.bytes / 1448) as $n | {to_back: ($c.events_in / $n), to_front: ($c.events_out / $n), frame: ($r.bytes / ([$c.tx_packets, $c.rx_packets] | max))} else {} end'
}

# 64-byte frames: synth-netfront's generator or sink in guest 1
gen() # DEV ARGS...: the generator of guest 1; JSON in $W/gen.json
{
	timeout $((seconds + 30)) ${guest_cpu[@]+"${guest_cpu[@]}"} hostxen run -d 1 -- synth-netfront io "$@" --size 64 --runtime "$seconds" --json >"$W/gen.json" 2>>"$W/front.log" ||
		die "synth-netfront io $* failed"
}
# What is compared is one CPU's work, so it gets one: the worker's threads, and in its turn the loop of writes.  The guest has the other, as
# on Xen; else it is moved to the worker's CPU, by its wake-ups through a pipe (hostxen's events) or because the other is busy.  Something
# else that keeps a CPU busy spoils the ratio of frames/s; that of CPU per packet stays.
one_cpu=() guest_cpu=()
pin() # on PID|off PID
{
	one_cpu=() guest_cpu=()
	[ "$(nproc)" -ge 2 ] || return 0
	if [ "$1" = on ]; then
		one_cpu=(taskset -c 1) guest_cpu=(taskset -c 0)
		taskset -acp 1 "$2" >/dev/null
	else
		taskset -acp "0-$(($(nproc) - 1))" "$2" >/dev/null
	fi
}
# synth: a guest that looks for room every 50 us; sleeper: one that is told of it by events, as a kernel is
tx64() # ROUND WHO
{
	local case=tx64
	[ "$2" != sleeper ] || case=tx64-sleep
	pin on "$worker1"
	tx64_pinned "$@" $case
	pin off "$worker1"
}
tx64_pinned()
{
	local a
	if [ "$2" = tap ]; then
		${one_cpu[@]+"${one_cpu[@]}"} "$build/tests/bench/tapwrite" plain0 "$seconds" 02:00:00:00:00:99 64 >"$W/tap.json" 2>>"$W/front.log" || die 'tapwrite failed'
		sample --argjson round "$1" --slurpfile t "$W/tap.json" '{case: "tx64", round: $round, who: "tap", pps: $t[0].pps, back_cpu: $t[0].cpu_us}'
		return
	fi
	a=$(snap web1/eth1 "$worker1")
	if [ "$2" = synth ]; then gen eth1 --dst 02:00:00:00:00:99 --nap 50; else gen eth1 --dst 02:00:00:00:00:99; fi
	sample --argjson round "$1" --argjson c "$(grown "$a" "$(snap web1/eth1 "$worker1")")" --arg case "$3" --slurpfile g "$W/gen.json" '$g[0] as $g
		| {case: $case, round: $round, who: "synth", pps: $g.tx_pps, to_back: $g.events_sent_per_frame, to_front: ($c.events_out / $c.tx_packets),
		   front_cpu: $g.cpu_us_per_frame, back_cpu: ($c.cpu / $c.tx_packets), hypercalls: ($c.tx_copy_calls / $c.tx_packets), copies: ($c.tx_copy_segments / $c.tx_packets), calls: ($c.calls / $c.tx_packets),
		   dropped: ($c.tx_dropped / $c.tx_packets)}'
}
sink() # DOM DEV ARGS...: JSON in $W/sink.json
{
	local dom=$1
	shift
	: >"$W/sink.err"
	hostxen run -d "$dom" -- synth-netfront io "$@" --mode sink --json >"$W/sink.json" 2>"$W/sink.err" &
	sink=$!
	within 15 grep -q ': ready' "$W/sink.err" || die "the sink in guest $dom does not come up" "$(cat "$W/sink.err")"
}
mac_of() { front "$1" info "$2" --json 2>>"$W/front.log" | jq -r .mac; }
rx64() # ROUND: a generator's TAP in the bridge of guest 2
{
	local a writer
	a=$(snap web2/eth2 "$worker2")
	sink 2 eth2 --runtime "$seconds"
	"$build/tests/bench/tapwrite" gen0 "$seconds" "$(mac_of 2 eth2)" 64 >"$W/tap.json" 2>>"$W/front.log" &
	writer=$!
	wait $sink || die 'the sink failed' "$(cat "$W/sink.err")"
	wait $writer
	sample --argjson round "$1" --argjson s "$seconds" --argjson c "$(grown "$a" "$(snap web2/eth2 "$worker2")")" --slurpfile g "$W/sink.json" '$g[0] as $g
		| {case: "rx64", round: $round, who: "synth", pps: ($g.rx_frames / $s), to_back: $g.events_sent_per_frame, to_front: ($c.events_out / $c.rx_packets),
		   front_cpu: $g.cpu_us_per_frame, back_cpu: ($c.cpu / $c.rx_packets), hypercalls: ($c.rx_copy_calls / $c.rx_packets),
		   copies: ($c.rx_copy_segments / $c.rx_packets), calls: ($c.calls / $c.rx_packets)}'
}
pair64() # ROUND WHO(synth: through the pair; bridge)
{
	local dev=eth3 a1 a2
	[ "$2" = synth ] || dev=eth2
	a1=$(snap web1/$dev "$worker1") a2=$(snap web2/$dev "$worker2")
	sink 2 $dev
	gen $dev --dst "$(mac_of 2 $dev)"
	within 10 eval '! kill -0 '$sink || kill $sink
	wait $sink
	sample --argjson round "$1" --arg who "$2" --argjson s "$seconds" --argjson t "$(grown "$a1" "$(snap web1/$dev "$worker1")")" \
		--argjson r "$(grown "$a2" "$(snap web2/$dev "$worker2")")" --slurpfile k "$W/sink.json" --slurpfile g "$W/gen.json" '$k[0] as $k | $g[0] as $g
		| {case: "pair64", round: $round, who: $who, pps: ($k.received / $s), mpps: ($k.received / $s / 1e6), sent_pps: $g.tx_pps, lost: (1 - $k.received / $g.sent),
		   send_to_back: $g.events_sent_per_frame, send_to_front: ($t.events_out / $t.tx_packets),
		   recv_to_back: ($k.events_sent / $k.received), recv_to_front: ($r.events_out / $k.received),
		   back_cpu: (($t.cpu + $r.cpu) / $k.received), hypercalls: (($t.tx_copy_calls + $r.rx_copy_calls) / $k.received),
		   copies: (($t.tx_copy_segments + $r.rx_copy_segments) / $k.received), calls: (($t.calls + $r.calls) / $k.received)}'
}

# both CASE ROUND A B FUNCTION: A and B, the first is another one each round
both()
{
	local case=$1 round=$2 a=$3 b=$4
	shift 4
	wanted "$case" || return 0
	progress "round $((round + 1)) of $rounds: $case"
	if [ $((round % 2)) = 0 ]; then "$@" "$a"; [ -z "$b" ] || "$@" "$b"
	else [ -z "$b" ] || "$@" "$b"; "$@" "$a"; fi
}

# ------------------------------------------------------------------------------ called by bench
suite_run()
{
	local r peer=qemu
	note=
	build_world
	[ -n "$qemu" ] || peer=
	for ((r = 0; r < rounds; r++)); do
		both tx64 $r synth tap tx64 $r
		both tx64 $r sleeper '' tx64 $r
		wanted rx64 && { progress "round $((r + 1)) of $rounds: rx64"; rx64 $r; }
		both pair64 $r synth bridge pair64 $r
		! wanted bulk-tx && ! wanted bulk-rx || bulk_up
		both bulk-tx $r synth "$peer" bulk bulk-tx $r
		both bulk-rx $r synth "$peer" bulk bulk-rx $r
	done
	[ -z "$note" ] || echo "note: $note"
}
suite_rows='
	row("bulk-tx"; "TCP, guest to host through a bridge, bits/s"; "bits_s"; "qemu"; ">= 5"),
	row("bulk-rx"; "TCP, host to guest through a bridge, bits/s"; "bits_s"; "qemu"; ">= 5"),
	row("tx64"; "64-byte frames, guest to TAP, frames/s, to plain writes"; "pps"; "tap"; ">= 0.85"),
	row("pair64"; "64-byte frames, guest to guest, frames/s, pair to TAP + bridge"; "pps"; "bridge"; ">= 2"),
	alone("pair64"; "the same, Mpps"; "mpps"; ""),
	alone("tx64-sleep"; "the same from a guest that waits for events, frames/s"; "pps"; ""),
	alone("rx64"; "64-byte frames, TAP in a bridge to guest, frames/s"; "pps"; ""),
	(("tx64-sleep", "rx64", "bulk-tx", "bulk-rx") as $c |
		alone($c; "events to the back end per packet"; "to_back"; "<= 0.05"),
		alone($c; "events to the front end per packet"; "to_front"; "<= 0.05")),
	(("bulk-tx", "bulk-rx") as $c | alone($c; "bytes of a frame (a packet is 1448 of them)"; "frame"; "")),
	alone("pair64"; "sender: events to the back end per packet"; "send_to_back"; "<= 0.05"),
	alone("pair64"; "sender: events to the front end per packet"; "send_to_front"; "<= 0.05"),
	alone("pair64"; "receiver: events to the back end per packet"; "recv_to_back"; "<= 0.05"),
	alone("pair64"; "receiver: events to the front end per packet"; "recv_to_front"; "<= 0.05"),
	row("tx64"; "back end CPU per packet, us"; "back_cpu"; "tap"; ""),
	alone("rx64"; "back end CPU per packet, us"; "back_cpu"; ""),
	row("pair64"; "back ends CPU per packet, us"; "back_cpu"; "bridge"; ""),
	(("tx64", "rx64", "pair64") as $c |
		alone($c; "copies to or from the guests per packet"; "copies"; ""),
		alone($c; "calls for these (on Xen: hypercalls) per packet"; "hypercalls"; ""),
		alone($c; "system calls of the back end per packet"; "calls"; "")),
	(("bulk-tx", "bulk-rx") as $c |
		row($c; "back end CPU per Gb, ms"; "back_cpu"; "qemu"; ""),
		row($c; "front end CPU per Gb, ms"; "front_cpu"; "qemu"; ""))'

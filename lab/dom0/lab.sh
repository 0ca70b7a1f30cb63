#!/bin/busybox sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab.sh - what a case may call, and the runner of cases; runs in dom0 (busybox sh).
#
#   guest commands   g CMD..., g_push FILE
#   guests           guest_create NAME [XL-LINE...], guest_wait NAME, guest_destroy NAME, in_guest NAME
#   disks            image NAME SIZE, sum FILE, attach TARGET DEV [OPTION...], detach DEV [OPTION...],
#                    busy DEV [N], field DEV KEY
#   nics             attach_nic ethX [OPTION...], vif ethX, net_up ethX NET, counter ethX NAME,
#                    to_guest HOST FILE, from_guest HOST FILE, iperf HOST [OPTION...]
#   deaths           watch_states, states_stood, load_disks, load_start GAPS, goes_on, load_stop, load_pauses, holds DAEMON DEV,
#                    another_worker DEV PID
#   outcome          say TEXT, note TEXT, noted CMD..., skip WHY, fail WHY, eventually SEC CMD...
#
# A case runs with `sh -eux -o pipefail`: a command that fails ends it, and its trace is shown.

LAB=/run/lab
CR=$(printf '\r')
mkdir -p $LAB
: "${SLOW:=1}"
: "${G:=lab-pv}" "${TYPE:=pv}"

# --- outcome ----------------------------------------------------------------
note() { echo "$*" | sed 's/^/# /' >>$LAB/notes; }
# noted CMD...: CMD, which must succeed; what it says is a note.  (The shell does not look at the status of a $(...) that
# is an argument.)
noted() {
	_st=0
	_said=$("$@") || _st=$?
	[ $_st = 0 ] || { echo "$_said"; return $_st; }
	note "$_said"
}
skip() { echo "$*" >$LAB/why; exit 77; }
fail() { echo "$*" >$LAB/why; exit 1; }

# eventually SEC CMD...: CMD succeeds within SEC.  Who asks takes the CPU from whom he asks about, so he asks ever less often.
eventually() {
	read -r _up _ </proc/uptime
	_end=$((${_up%.*} + $1 * SLOW))
	shift
	_nap=50000
	until "$@"; do
		read -r _up _ </proc/uptime
		[ "${_up%.*}" -lt $_end ] || return 1
		[ $_nap -ge 400000 ] || _nap=$((_nap * 2))
		usleep $_nap
	done
}
refuses() { ! "$@"; }
# amount FULL SHORT: how many: the first, or in the short set the second.
amount() { if [ "${SHORT:-0}" = 1 ]; then echo "$2"; else echo "$1"; fi; }
# say TEXT: to whoever watches, at once.
say() { { [ -e /proc/self/fd/9 ] && printf '%s\n' "$*" | sed 's/^/#@ say /' >&9; } 2>/dev/null || :; }

# --- guests -----------------------------------------------------------------
domid() { xl domid "${1:-$G}" 2>/dev/null; }
running() { [ -n "$(domid "${1:-$G}")" ]; }

# guest_create NAME [XL-LINE...]: a guest of $TYPE, left paused; xl unpause NAME starts it.
guest_create() {
	_name=$1
	shift
	{
		echo "name='$_name'"
		echo "type='$TYPE'"
		echo "kernel='/lab/vmlinux'"
		echo "ramdisk='/tmp/guest.img'"
		echo "extra='console=hvc0 quiet panic=-1 mitigations=off init_on_alloc=0'"
		echo "memory=384"
		echo "vcpus=2"
		echo "on_poweroff='destroy'"
		echo "on_crash='destroy'"
		# A guest that reboots without being meant to is dead too.
		case "$*" in *on_reboot*) ;; *) echo "on_reboot='destroy'" ;; esac
		for _line; do echo "$_line"; done
	} >$LAB/"$_name".cfg
	xl create -q -p $LAB/"$_name".cfg
}

# guest_tty NAME: dom0's end of its console, in $_tty.  It is asked for with each command, and xl is slow: it is asked only when the
# domain is another than last time.
guest_tty() {
	_tty='' _was=''
	[ ! -e $LAB/"$1".id ] || read -r _was <$LAB/"$1".id
	[ -z "$_was" ] || _tty=$(guest_tty_of "$1" "$_was") || _tty=
	if [ -z "$_tty" ]; then
		_was=$(domid "$1") && [ -n "$_was" ] && _tty=$(guest_tty_of "$1" "$_was") || return 1
		echo "$_was" >$LAB/"$1".id
	fi
	[ -c "$_tty" ]
}
guest_tty_of() {
	xenstore-read "/local/domain/$2/name" "/local/domain/$2/console/tty" 2>/dev/null |
		{ read -r _its && read -r _tty && [ "$_its" = "$1" ] && echo "$_tty"; }
}

# guest_wait NAME: until its init takes commands.
guest_wait() {
	# A guest that xl made again is listed before its console is there.
	eventually 20 guest_tty "$1" || fail "guest $1 has no console"
	exec 3<>"$_tty"
	while IFS= read -r -t $((60 * SLOW)) _line <&3; do
		case $_line in '@0 0'*) exec 3<&-; return 0 ;; esac
	done
	exec 3<&-
	fail "guest $1 did not reach its init"
}

# guest_boot NAME [XL-LINE...]
guest_boot() {
	guest_create "$@"
	xl unpause "$1"
	guest_wait "$1"
}

guest_destroy() {
	_id=$(domid "$1") || return 0
	[ -z "$_id" ] || xl destroy "$_id"
}

# g [-t SEC] CMD...: run a shell line in guest $G; its output and status.  One word "-" takes the script from stdin.
g() {
	{ _opts=$-; set +x; } 2>/dev/null # the trace of a case should show its own lines
	_st=0
	_g "$@" || _st=$?
	case $_opts in *x*) set -x ;; esac
	return $_st
}

_g() {
	_t=30
	[ "$1" != -t ] || { _t=$2; shift 2; }
	_seq=0
	[ ! -e $LAB/seq ] || read -r _seq <$LAB/seq
	_seq=$((_seq + 1))
	echo $_seq >$LAB/seq
	if [ "$*" = - ]; then _script=$(cat); else _script=$*; fi
	_script=$(printf 'SLOW=%s\n%s\n' "$SLOW" "$_script" | base64 -w 0)
	guest_tty "$G" || { echo "guest $G has no console" >&2; return 125; }
	exec 3<>"$_tty"
	printf '%s %s\n' $_seq "$_script" >&3
	while IFS= read -r -t $((_t * SLOW)) _line <&3; do
		_line=${_line%"$CR"}
		case $_line in
		'|'*) printf '%s\n' "${_line#|}" ;;
		"@$_seq "*)
			exec 3<&-
			return "${_line#@"$_seq" }"
			;;
		esac
	done
	exec 3<&-
	if running; then echo "no answer from guest $G within $_t s" >&2; else echo "guest $G died" >&2; fi
	return 124
}

# in_guest NAME CMD...: g in another guest.
in_guest() {
	_save=$G G=$1
	shift
	_status=0
	g "$@" || _status=$?
	G=$_save
	return $_status
}

# --- disks ------------------------------------------------------------------
# image NAME SIZE: /srv/NAME, SIZE as truncate takes it, zeros; prints the path.
image() {
	rm -f "/srv/$1"
	truncate -s "$2" "/srv/$1"
	echo "/srv/$1"
}

# random FILE SIZE-IN-MIB: incompressible, different at every place.
random() { dd if=/dev/urandom of="$1" bs=1M count="$2" conv=notrunc 2>/dev/null; }
sum() { md5sum "$1" | cut -d' ' -f1; }

# attach TARGET DEV [OPTION...]: to guest $G, and wait until it is connected.
attach() {
	_target=$1 _dev=$2
	shift 2
	synthctl attach disk "$G" "$_target=$_dev" --wait $((20 * SLOW)) "$@"
}

detach() {
	_dev=$1
	shift
	synthctl detach "$G/$_dev" "$@"
}

# field DEV KEY: a member of `synthctl show`.
field() { synthctl --json show "$G/$1" | jq -r "if type == \"array\" then .[0] else . end | .$2"; }

# busy DEV [N]: at least N (20) requests were made; for `eventually`.
busy() { [ "$(synthctl --json stat "$G/$1" | jq '.devices[0].metrics.requests // 0')" -ge "${2:-20}" ]; }

# --- nics -------------------------------------------------------------------
# attach_nic ethX [OPTION...]: to guest $G, and wait until it is connected.  (detach and field are the same for nics.)
attach_nic() {
	_dev=$1
	shift
	synthctl attach nic "$G" --dev "$_dev" --wait $((20 * SLOW)) "$@"
}

# vif ethX: its interface in dom0.
vif() { field "$1" interface; }

# counter ethX NAME: of `synthctl stat`.
counter() { synthctl --json stat "$G/$1" | jq ".devices[0].metrics.$2 // 0"; }

# host_net IF NET: dom0 is 10.9.NET.1 and fd09:NET::1 there.
host_net() {
	echo 0 >"/proc/sys/net/ipv6/conf/$1/accept_dad"
	ip addr add "10.9.$2.1/24" dev "$1"
	ip addr add "fd09:$2::1/64" dev "$1"
	ip link set "$1" up
}

# net_up ethX NET: addresses for both ends: dom0 is 10.9.NET.1 and fd09:NET::1, the guest .2 and ::2.
net_up() {
	host_net "$(vif "$1")" "$2"
	g "net_up $1 $2 && reaches 10.9.$2.1"
}

# bridge NAME NET: a new bridge, with dom0's addresses.  no_bridge NAME removes it.
bridge() {
	brctl addbr "$1"
	host_net "$1" "$2"
}
no_bridge() {
	ip link set "$1" down
	brctl delbr "$1"
}

# to_guest HOST FILE: guest $G fetches dom0's /srv/FILE from HOST; the checksum of what it got.
to_guest() {
	netstat -ltn | grep -q ':80 ' || httpd -p '[::]:80' -h /srv
	g -t 100 "wget -q -O - 'http://$1/$2' | md5sum" | cut -d' ' -f1
}

# from_guest HOST FILE: dom0 fetches the guest's /tmp/FILE from HOST.
from_guest() {
	g 'netstat -ltn | grep -q ":80 " || httpd -p "[::]:80" -h /tmp' >&2
	timeout $((100 * SLOW)) wget -q -O - "http://$1/$2" | md5sum | cut -d' ' -f1
}

# iperf_server: one that serves one client.
iperf_server() {
	[ ! -e $LAB/iperf.pid ] || kill -9 "$(tr -d '\0' <$LAB/iperf.pid)" 2>/dev/null || :
	rm -f $LAB/iperf.pid
	eventually 5 refuses iperf_listens
	iperf3 -s -1 -D -I $LAB/iperf.pid 9>&-
	eventually 5 iperf_listens
}
iperf_listens() { netstat -ltn | grep -q ':5201 '; }

# iperf HOST [OPTION...]: guest $G is iperf3's client; the Mb/s that were received.
iperf() {
	iperf_server
	g -t 60 "iperf3 -J -c $* >/tmp/iperf.json 2>&1 || { cat /tmp/iperf.json; exit 1; }; cat /tmp/iperf.json" >$LAB/iperf.json ||
		{ cat $LAB/iperf.json >&2; return 1; }
	# UDP has a sum of what was sent, and says what of it was lost.
	jq '.end | if .sum then .sum.bits_per_second * (1 - (.sum.lost_percent // 0) / 100)
		else .sum_received.bits_per_second + (.sum_received_bidir_reverse.bits_per_second // 0) end | . / 10000 | floor / 100' $LAB/iperf.json
}

# --- what is left -----------------------------------------------------------
# Everything of our devices that is left for guest domid $1 (default: any), one path a line.
leftovers() {
	for _i in /sys/class/net/vif${1:-*}.*; do [ ! -e "$_i" ] || echo "$_i"; done
	for _top in /local/domain/0/backend/vbd /local/domain/0/backend/vif; do
		for _d in ${1:-$(xenstore-list $_top 2>/dev/null)}; do
			for _v in $(xenstore-list "$_top/$_d" 2>/dev/null); do echo "$_top/$_d/$_v"; done
		done
	done
	for _d in ${1:-$(xenstore-list /local/domain 2>/dev/null)}; do
		for _kind in vbd svbd vif svif; do
			for _v in $(xenstore-list "/local/domain/$_d/device/$_kind" 2>/dev/null); do
				echo "/local/domain/$_d/device/$_kind/$_v"
			done
			for _v in $(xenstore-list "/libxl/$_d/device/$_kind" 2>/dev/null); do
				echo "/libxl/$_d/device/$_kind/$_v"
			done
		done
	done
}

# Grants of guest domid $1 which somebody has mapped, as the hypervisor knows them.
mapped() {
	xl dmesg -c >>$LAB/xen.log # what was there belongs to the runner
	xl debug-keys g
	xl dmesg | awk -v id="$1" '/grant-table for remote/ { here = index($0, "d" id " ") } here && /\[0x[0-9a-f]+\]/ { n++ } END { print n + 0 }'
}

# held DOMID DAEMON WORKER: what is held for a guest, by daemon (blkd, netd) and the worker with this pid: NAME=NUMBER...
held() {
	_ports=/usr/lib/xen-4.17/bin/lsevtchn
	_pid=$(cat $LAB/"$2".pid)
	echo "grants=$(mapped "$1") ports=$($_ports 0 | wc -l) guest-ports=$($_ports "$1" | wc -l)" \
		"fds=$(ls /proc/"$_pid"/fd | wc -l) worker-fds=$(ls /proc/"$3"/fd | wc -l)" \
		"maps=$(wc -l </proc/"$_pid"/maps) worker-maps=$(wc -l </proc/"$3"/maps)" \
		"processes=$(ps -o comm | grep -c '^synth-') interfaces=$(ls /sys/class/net | wc -l) nodes=$(xenstore-ls / | wc -l)"
}
# no_more_than BEFORE AFTER, both of held: less is no leak (of what an idle device has mapped for good, the worker lets go
# after a while).  The C library keeps the stack and the arena of a thread that ended, and a busy machine has more threads of the daemon's
# at once: sixteen mappings are these; a hundred cycles lose more, if they lose any.
no_more_than() {
	for _n in $2; do
		_was=$(echo " $1" | sed "s/.* ${_n%=*}=\([0-9]*\).*/\1/")
		[ "${_n%=*}" != maps ] || _was=$((_was + 16))
		[ "${_n#*=}" -le "$_was" ] || return 1
	done
}

# cycles DEVICE DAEMON: the case's `cycle` a hundred times, and nothing is left of them.  DEVICE of the guest stays meanwhile, so that its
# worker of DAEMON does, and what it may lose piles up.
cycles() {
	_of=$(domid) _worker=$(field "$1" worker) _turn=0
	for _ in 1 2 3; do cycle; done # the first may leave caches behind
	_before=$(held "$_of" "$2" "$_worker")
	[ "$(mapped "$_of")" -gt 0 ] || fail "the hypervisor tells of no mapped grant at all"
	while [ $_turn -lt "${CYCLES:-100}" ]; do
		cycle
		_turn=$((_turn + 1))
	done
	eventually 10 _no_more_held "$_of" "$2" || fail "before: $_before; after: $_after"
	[ "$(field "$1" worker)" = "$_worker" ] || fail "the worker is another one"
	note "$_turn cycles; before: $_before; after: $_after"
}
_no_more_held() {
	_after=$(held "$1" "$2" "$_worker")
	no_more_than "$_before" "$_after"
}

# A domain which is dead and still there has pages someone maps.
no_zombie() { case $(xl list) in *'(null)'*) return 1 ;; esac; }
nothing_left() { [ -z "$(leftovers)" ]; }

# --- deaths -----------------------------------------------------------------
# A guest of a back end that dies and comes back sees a pause and nothing else.

# watch_states: from here on each write to a state of guest $G's devices, at either end, is seen by states_stood.
watch_states() {
	_id=$(domid) _paths=
	for _kind in vbd vif; do
		for _v in $(xenstore-list "/local/domain/0/backend/$_kind/$_id" 2>/dev/null); do
			_paths="$_paths /local/domain/0/backend/$_kind/$_id/$_v/state /local/domain/$_id/device/$_kind/$_v/state"
		done
	done
	echo "$_paths" | wc -w >$LAB/states.count
	xenstore-watch $_paths >$LAB/states 9>&- &
	echo $! >$LAB/states.pid
	# A watch fires once when it is set.
	eventually 10 states_written 0
}
states_written() { [ "$(wc -l <$LAB/states)" = $(($(cat $LAB/states.count) + $1)) ]; }
# states_stood: nobody wrote one since watch_states, and all are 4.
states_stood() {
	for _p in $(sort -u $LAB/states); do [ "$(xenstore-read "$_p")" = 4 ] || { echo "$_p is not 4"; return 1; }; done
	kill "$(cat $LAB/states.pid)"
	states_written 0 || { echo "states were written:"; cat $LAB/states; return 1; }
}

# load_disks: xvdb and xvdc of guest $G, for what follows; $img, $other: their files; $id, $mappings: the guest's domid, and of its pages
# those that were mapped before.
load_disks() {
	id=$(domid)
	mappings=$(mapped "$id")
	img=$(image fio.img 8M)
	other=$(image mixed.img 8M)
	attach "file:$img" xvdb
	attach "file:$other" xvdc
	g 'wait_dev xvdb; wait_dev xvdc'
}
# holds DAEMON DEV: what is held for guest $id, but for what comes and goes with the load.
holds() { held "$id" "$1" "$(field "$2" worker)" | tr ' ' '\n' | grep -vE '^grants|maps' | xargs; }
# load_start GAPS: in guest $G, until load_stop: on xvdb fio --verify over and over, on xvdc blkverify; both with random reads and
# writes, 512 bytes to 64 KiB, trims and flushes.
load_start() {
	g "dmesg -c >/dev/null; rm -f /tmp/load.*; echo $1 >/tmp/load.gaps"
	g - <<'END'
(
	n=0
	while [ ! -e /tmp/load.stop ]; do
		n=$((n + 1))
		case $((n % 3)) in
		0) how='--rw=randtrimwrite --bs=16k' ;;
		1) how='--rw=randrw --bsrange=512-64k --blockalign=512' ;;
		2) how='--rw=randwrite --bs=4k --verify_backlog=32' ;;
		esac
		fio --name=v --filename=/dev/xvdb --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
			--size=1M --offset=$((n % 8))M --iodepth=16 --fsync=16 --randseed=$n $how >/tmp/load.out 2>&1 || { mv /tmp/load.out /tmp/load.bad; break; }
	done
	echo $n >/tmp/load.runs
) >/dev/null 2>&1 &
(
	blkverify --depth 16 --max 64k --trim --flush --gaps $(cat /tmp/load.gaps) /dev/xvdc >/tmp/load.mixed 2>&1 &
	echo $! >/tmp/load.pid
	wait $!
	echo $? >/tmp/load.status
) >/dev/null 2>&1 &
END
}
# load_stop: what it did; fails when a byte was wrong, a request failed or the guest's kernel had something to say about its disks.
load_stop() {
	g -t 100 - <<'END'
touch /tmp/load.stop
kill -TERM $(cat /tmp/load.pid)
ends /tmp/load.runs 60 && ends /tmp/load.status 30 || { tail -n 5 /tmp/load.*; exit 1; }
[ ! -e /tmp/load.bad ] || { cat /tmp/load.bad; exit 1; }
[ "$(cat /tmp/load.status)" = 0 ] || { cat /tmp/load.mixed; exit 1; }
! dmesg | grep -iE 'xvd|blkfront|i/o error|blocked for more' || exit 1
echo "fio --verify: $(cat /tmp/load.runs) runs, all as written; blkverify: $(head -n 1 /tmp/load.mixed)"
END
}
# load_pauses: of the load which was stopped, the GAPS longest times when nothing was done: "p50 N ms, max N ms".
load_pauses() { g 'tail -n 1 /tmp/load.mixed' | sed 's/.*: //' | awk '{ print "p50 " $int((NF + 1) / 2) " ms, max " $1 " ms" }'; }
# goes_on: the guest's load is served, now.  (Between two of its runs fio does nothing for up to half a minute: emulated, and beside blkverify.)
guest_ios() { g 'cat /sys/block/xvdb/stat /sys/block/xvdc/stat | awk "{ print \$1 + \$5 }"' | tr '\n' ' '; }
both_moved() {
	set -- $_were $(guest_ios)
	[ "$3" -gt "$1" ] && [ "$4" -gt "$2" ]
}
goes_on() {
	_were=$(guest_ios)
	eventually "${1:-60}" both_moved
}
# another_worker DEV PID: DEV is served by another one than PID.
another_worker() { _w=$(field "$1" worker) && [ "$_w" != null ] && [ "$_w" != 0 ] && [ "$_w" != "$2" ] && [ "$(field "$1" state)" = Connected ]; }

# --- the daemons ------------------------------------------------------------
daemons='blkd netd'
daemon_start() {
	for _d in ${1:-$daemons}; do
		command -v synth-$_d >/dev/null || continue
		synth-$_d --log-level debug >>/var/log/synth-$_d.log 2>&1 9>&- &
		echo $! >$LAB/$_d.pid
		# It looks for workers of the one before for up to 10 s.
		eventually 30 test -S /run/synth/$_d.sock
	done
}
daemon_runs() { [ -e $LAB/$1.pid ] && kill -0 "$(cat $LAB/$1.pid)" 2>/dev/null; }
# The one that was started and runs no more.
daemon_died() {
	for _d in $daemons; do
		[ ! -e $LAB/$_d.pid ] || daemon_runs $_d || echo synth-$_d
	done
}

# --- the runner -------------------------------------------------------------
# After a failure: nothing of this case may reach the next one.
sweep() {
	for _d in $(xl list 2>/dev/null | awk 'NR > 1 && $2 != 0 { print $2 }'); do xl destroy "$_d"; done
	for _d in $daemons; do
		daemon_runs $_d && kill "$(cat $LAB/$_d.pid)" && eventually 5 refuses daemon_runs $_d
		daemon_runs $_d && kill -9 "$(cat $LAB/$_d.pid)"
	done
	for _p in $(leftovers) /synth; do
		case $_p in /sys/*) ;; *) xenstore-rm "$_p" ;; esac
	done
	for _p in /sys/class/net/*; do
		# Bridges, and TAPs that nobody serves any more.
		[ ! -e "$_p/bridge" ] || no_bridge "${_p##*/}"
		[ ! -e "$_p/tun_flags" ] || ip link del "${_p##*/}"
	done
	umount /mnt
	for _l in $(losetup -a | cut -d: -f1); do losetup -d "$_l"; done
	no_images
	killall -q -9 iperf3 udhcpd wget xenstore-watch nbdkit
	[ ! -e /sys/block/nbd0/pid ] || nbd-client -d /dev/nbd0
	daemon_start
}

no_images() { find /srv -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +; }

# The shared guest of $TYPE, alive and answering.
shared_guest() {
	running && g -t 10 true && return
	guest_destroy "$G"
	guest_boot "$G"
}

diagnose() {
	echo "# failed: $(cat $LAB/why 2>/dev/null || echo 'a command ended with an error') (status $1); its trace:"
	tail -n 40 $LAB/log | sed 's/^/#   /'
	# What a daemon said since the case began.
	for _d in $daemons; do
		_said=$(tail -n +"$(($(cat $LAB/$_d.lines 2>/dev/null || echo 0) + 1))" /var/log/synth-$_d.log 2>/dev/null | tail -n 40)
		[ -z "$_said" ] || { echo "# synth-$_d said:"; echo "$_said" | sed 's/^/#   /'; }
	done
	# What waits in the guest, at which end of the ring: a daemon that was killed is started again, to be asked.
	[ ! -e $LAB/blkd.pid ] || daemon_runs blkd || daemon_start blkd
	if running; then
		echo "# the guest's disks, and who waits for them:"
		g -t 10 'grep . /sys/block/xvd*/inflight /sys/block/xvd*/stat; grep -E "blkif|xvd" /proc/interrupts; for p in $(pidof fio blkverify); do echo "$p $(cat /proc/$p/comm) $(cut -d" " -f3,14,15 /proc/$p/stat) $(cat /proc/$p/wchan)"; done' 2>&1 | sed 's/^/#   /'
	fi
	echo "# devices, and their counters which are not 0:"
	timeout -s KILL 10 synthctl list 2>&1 | sed 's/^/#   /'
	timeout -s KILL 10 synthctl --json stat 2>/dev/null | jq -r '.devices[] | .device, (.metrics | to_entries[] | select(.value != 0) | "  \(.key) \(.value)")' | sed 's/^/#   /'
	if ls -d /sys/class/net/vif* >/dev/null 2>&1; then
		echo "# dom0's interfaces:"
		ifconfig -a | sed 's/^/#   /'
		running && echo "# the guest's:" && g -t 5 'ifconfig -a; ip neigh; grep vif /proc/interrupts' 2>&1 | sed 's/^/#   /'
	fi
	echo "# dom0's kernel said last (and has $(free -m | awk '/^Mem/ { print $7 }') MB of memory to spare):"
	dmesg | tail -n 60 | sed 's/^/#   /'
	echo "# xl list:"
	{ timeout -s KILL 10 xl list; timeout -s KILL 10 xl vcpu-list; } 2>&1 | sed 's/^/#   /'
	_con=/var/log/xen/guest-$G.log
	[ ! -s "$_con" ] || { echo "# the guest's console:"; tail -c 1500 "$_con" | tr -d '\r' | tail -n 15 | sed 's/^/#   /'; }
	echo "# xenstore:"
	leftovers | sed 's/^/#   /'
}

# Did a PVH guest die of a triple fault since the log was emptied?  Then it was most likely QEMU's emulation of SVM.
triple_fault() {
	xl dmesg >>$LAB/xen.log
	grep -A4 'Triple fault' $LAB/xen.log | grep -m 1 RIP
}

# The machine: does dom0 still run?  Told to lab/run while somebody listens for it.
heart_start() {
	{ while :; do echo "#@ alive 1"; sleep 5; done; } &
	_heart=$!
}
heart_stop() {
	kill $_heart
	wait $_heart 2>/dev/null
	echo "#@ alive 0"
}

# Is there a virtual CPU which wants to run, and does not for 4 s?  Then a CPU of the machine is lost, and this one's with it.
waiting_vcpus() {
	# A paused domain's look the same.
	{ xl list; echo; xl vcpu-list; } | awk '!NF { vcpus = 1 } !vcpus && $5 ~ /p/ { paused[$2] = 1 }
		vcpus && $5 == "---" && $2 != 0 && !($2 in paused) { print $1, "vcpu", $3, "at", $6, "s" }'
}
lost_cpu() {
	# With one, dom0 would not be here to ask: who wants to run waits for dom0 itself.
	[ "$(xl info nr_cpus)" != 1 ] || return 1
	waiting_vcpus >$LAB/waiting
	[ -s $LAB/waiting ] || return 1
	sleep 4
	waiting_vcpus | grep -m 1 -xF -f $LAB/waiting
}

# One case, once: its outcome is in $_st.
run_case() {
	echo "#@ start $_case $TYPE $_time"
	rm -f $LAB/why $LAB/notes
	: >$LAB/log
	for _d in $daemons; do wc -l </var/log/synth-$_d.log >$LAB/$_d.lines; done 2>/dev/null
	xl dmesg -c >/dev/null
	: >$LAB/xen.log
	_from=$(cut -d. -f1 /proc/uptime)
	_st=0
	if [ "$_shared" = shared ]; then (shared_guest) >>$LAB/log 2>&1 </dev/null || _st=1; fi
	if [ $_st = 0 ]; then
		timeout -s KILL $((_time * SLOW)) sh -eux -o pipefail /lab/lab.sh --case "$_case" 9>&1 >>$LAB/log 2>&1 </dev/null || _st=$?
	fi
	_lost=
	if [ $_st != 0 ] && [ $_st != 77 ] && [ "$TYPE" = pvh ]; then _lost=$(lost_cpu) || _lost=; fi
	if [ $_st = 0 ] && ! nothing_left; then
		echo "devices left behind" >$LAB/why
		_st=1
	fi
	_died=$(daemon_died | xargs)
	if [ $_st = 0 ] && [ -n "$_died" ]; then
		echo "$_died died" >$LAB/why
		_st=1
	fi
	[ $_st != 137 ] || [ -e $LAB/why ] || echo "not done within $((_time * SLOW)) s, or killed" >$LAB/why
	_s=$(($(cut -d. -f1 /proc/uptime) - _from))
}

# One case after another, as lab/run tells them: "CASE TYPE DEADLINE SHARED" on stdin, which is the second serial port, for each "next".
run_cases() {
	_last=
	read -r _mode SLOW SHORT </lab/settings
	export SLOW SHORT
	if [ "$_mode" = probe ]; then
		TYPE=pvh G=lab-pvh
		guest_boot $G && [ "$(g echo alive)" = alive ] && echo "ok 1 - probe"
		return
	fi
	# Where all take turns on one CPU, dom0, which serves them, has the larger part.
	[ "$(xl info nr_cpus)" != 1 ] || xl sched-credit2 -d 0 -w 2048
	for _d in $daemons; do
		daemon_runs $_d || daemon_start $_d || echo "# synth-$_d does not start: $(tail -n 3 /var/log/synth-$_d.log)"
	done
	while echo "#@ next" && read -r _case TYPE _time _shared && [ "$_case" != end ]; do
		G=lab-$TYPE
		export TYPE G
		[ "$_last" = "$TYPE" ] || [ -z "$_last" ] || guest_destroy "lab-$_last"
		_last=$TYPE
		heart_start
		run_case
		if [ -n "$_lost" ]; then
			echo "# $_case ($TYPE) failed; the end of its trace:"
			tail -n 8 $LAB/log | sed 's/^/#   /'
			echo "#@ broken a CPU of the machine does not run ($_lost)"
			sleep 1000
		fi
		# It strikes at random, and sometimes twice within minutes.
		_again=0
		while [ $_st != 0 ] && [ $_st != 77 ] && [ "$TYPE" = pvh ] && [ $_again -lt 3 ] && _rip=$(triple_fault); do
			_again=$((_again + 1))
			echo "# $_case ($TYPE) once more: a guest died of a triple fault (docs/lab.md), ${_rip#*) }"
			sweep >/dev/null 2>&1 </dev/null
			run_case
		done
		heart_stop
		case $_st in
		0) echo "ok - $_case ($TYPE), $_s s" ;;
		77) echo "ok - $_case ($TYPE) # SKIP $(cat $LAB/why 2>/dev/null)" ;;
		*)
			echo "not ok - $_case ($TYPE)"
			diagnose $_st </dev/null
			;;
		esac
		[ ! -e $LAB/notes ] || cat $LAB/notes
		case $_st in 0 | 77) ;; *)
			heart_start
			sweep >/dev/null 2>&1 </dev/null
			heart_stop
			;;
		esac
		no_images
	done
}

[ ! -e /lab/env ] || . /lab/env
case ${1:-} in
--run) run_cases ;;
--sweep) sweep >/dev/null 2>&1 </dev/null ;;
--case) . "/lab/cases/$2.sh" ;;
esac

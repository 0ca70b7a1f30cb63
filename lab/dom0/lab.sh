#!/bin/busybox sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab.sh - what a case may call, and the runner of the plan; runs in dom0 (busybox sh).
#
#   guest commands   g CMD..., g_push FILE
#   guests           guest_create NAME [XL-LINE...], guest_wait NAME, guest_destroy NAME, in_guest NAME
#   disks            image NAME SIZE, sum FILE, attach TARGET DEV [OPTION...], detach DEV [OPTION...],
#                    busy DEV [N], field DEV KEY
#   outcome          note TEXT, noted CMD..., skip WHY, fail WHY, eventually SEC CMD...
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

# eventually SEC CMD...: CMD succeeds within SEC.
eventually() {
	_end=$(($(cut -d. -f1 /proc/uptime) + $1 * SLOW))
	shift
	until "$@"; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt $_end ] || return 1
		usleep 100000
	done
}
refuses() { ! "$@"; }

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

# guest_tty NAME: dom0's end of its console, in $_tty.
guest_tty() { _tty=$(xenstore-read "/local/domain/$(domid "$1")/console/tty" 2>/dev/null) && [ -c "$_tty" ]; }

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
	_seq=$(($(cat $LAB/seq 2>/dev/null || echo 0) + 1))
	echo $_seq >$LAB/seq
	if [ "$*" = - ]; then _script=$(base64 -w 0); else _script=$(printf '%s\n' "$*" | base64 -w 0); fi
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

# Everything of our devices that is left for guest domid $1 (default: any), one path a line.
leftovers() {
	for _top in /local/domain/0/backend/vbd /local/domain/0/backend/svbd; do
		for _d in ${1:-$(xenstore-list $_top 2>/dev/null)}; do
			for _v in $(xenstore-list "$_top/$_d" 2>/dev/null); do echo "$_top/$_d/$_v"; done
		done
	done
	for _d in ${1:-$(xenstore-list /local/domain 2>/dev/null)}; do
		for _kind in vbd svbd; do
			for _v in $(xenstore-list "/local/domain/$_d/device/$_kind" 2>/dev/null); do
				echo "/local/domain/$_d/device/$_kind/$_v"
			done
			for _v in $(xenstore-list "/libxl/$_d/device/$_kind" 2>/dev/null); do
				echo "/libxl/$_d/device/$_kind/$_v"
			done
		done
	done
}

# A domain which is dead and still there has pages someone maps.
no_zombie() { case $(xl list) in *'(null)'*) return 1 ;; esac; }
nothing_left() { [ -z "$(leftovers)" ]; }

# --- the daemon -------------------------------------------------------------
daemon_start() {
	command -v synth-blkd >/dev/null || return 0
	synth-blkd --log-level debug >>/var/log/synth-blkd.log 2>&1 &
	echo $! >$LAB/blkd.pid
	eventually 10 test -S /run/synth/blkd.sock
}
daemon_runs() { [ -e $LAB/blkd.pid ] && kill -0 "$(cat $LAB/blkd.pid)" 2>/dev/null; }

# --- the runner -------------------------------------------------------------
# After a failure: nothing of this case may reach the next one.
sweep() {
	for _d in $(xl list 2>/dev/null | awk 'NR > 1 && $2 != 0 { print $2 }'); do xl destroy "$_d"; done
	daemon_runs && kill "$(cat $LAB/blkd.pid)" && eventually 5 refuses daemon_runs
	daemon_runs && kill -9 "$(cat $LAB/blkd.pid)"
	for _p in $(leftovers) /synth; do xenstore-rm "$_p"; done
	umount /mnt
	for _l in $(losetup -a | cut -d: -f1); do losetup -d "$_l"; done
	no_images
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
	[ ! -s /var/log/synth-blkd.log ] || { echo "# synth-blkd said:"; tail -n 40 /var/log/synth-blkd.log | sed 's/^/#   /'; }
	echo "# devices, and their counters which are not 0:"
	timeout -s KILL 10 synthctl list 2>&1 | sed 's/^/#   /'
	timeout -s KILL 10 synthctl --json stat 2>/dev/null | jq -r '.devices[] | .device, (.metrics | to_entries[] | select(.value != 0) | "  \(.key) \(.value)")' | sed 's/^/#   /'
	echo "# xl list:"
	timeout -s KILL 10 xl list 2>&1 | sed 's/^/#   /'
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

# One case, once: its outcome is in $_st.
run_case() {
	echo "#@ start $_case $TYPE $_time"
	rm -f $LAB/why $LAB/notes
	: >$LAB/log
	xl dmesg -c >/dev/null
	: >$LAB/xen.log
	_from=$(cut -d. -f1 /proc/uptime)
	_st=0
	if [ "$_shared" = shared ]; then (shared_guest) >>$LAB/log 2>&1 </dev/null || _st=1; fi
	if [ $_st = 0 ]; then
		timeout -s KILL $((_time * SLOW)) sh -eux -o pipefail /lab/lab.sh --case "$_case" >>$LAB/log 2>&1 </dev/null || _st=$?
	fi
	if [ $_st = 0 ] && ! nothing_left; then
		echo "devices left behind" >$LAB/why
		_st=1
	fi
	if [ $_st = 0 ] && [ -e $LAB/blkd.pid ] && ! daemon_runs; then
		echo "synth-blkd died" >$LAB/why
		_st=1
	fi
	[ $_st != 137 ] || [ -e $LAB/why ] || echo "not done within $((_time * SLOW)) s, or killed" >$LAB/why
	_s=$(($(cut -d. -f1 /proc/uptime) - _from))
}

run_plan() {
	_n=0
	_last=
	read -r _mode SLOW
	export SLOW
	if [ "$_mode" = probe ]; then
		TYPE=pvh G=lab-pvh
		guest_boot $G && [ "$(g echo alive)" = alive ] && echo "ok 1 - probe"
		return
	fi
	daemon_runs || daemon_start || echo "# synth-blkd does not start: $(tail -n 3 /var/log/synth-blkd.log)"
	while read -r _case TYPE _time _shared; do
		_n=$((_n + 1))
		G=lab-$TYPE
		export TYPE G
		[ "$_last" = "$TYPE" ] || [ -z "$_last" ] || guest_destroy "lab-$_last"
		_last=$TYPE
		run_case
		if [ $_st != 0 ] && [ $_st != 77 ] && [ "$TYPE" = pvh ] && _rip=$(triple_fault); then
			echo "# $_case ($TYPE) once more: a guest died of a triple fault (docs/lab.md), ${_rip#*) }"
			sweep >/dev/null 2>&1 </dev/null
			run_case
		fi
		case $_st in
		0) echo "ok $_n - $_case ($TYPE), $_s s" ;;
		77) echo "ok $_n - $_case ($TYPE) # SKIP $(cat $LAB/why 2>/dev/null)" ;;
		*)
			echo "not ok $_n - $_case ($TYPE)"
			diagnose $_st
			sweep >/dev/null 2>&1 </dev/null
			;;
		esac
		no_images
		[ ! -e $LAB/notes ] || cat $LAB/notes
	done
	echo "#@ end"
}

case ${1:-} in
--plan) run_plan <"$2" ;;
--sweep) sweep >/dev/null 2>&1 </dev/null ;;
--case) . "/lab/cases/$2.sh" ;;
esac

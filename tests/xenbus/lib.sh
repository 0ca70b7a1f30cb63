# SPDX-License-Identifier: LGPL-2.1-or-later
# lib.sh - sourced by the tests here, after tests/lib/world.sh: the states of both ends, played and watched.
rings=$SYNTH_BUILDDIR/tests/xenbus/rings
back_dir() { echo "/local/domain/0/backend/vbd/$1/$2"; }     # DOMID VDEV
back() { dom0 xenstore-read "$(back_dir "$1" "$2")/$3" 2>/dev/null; } # DOMID VDEV NODE
there() { dom0 xenstore-exists "$1"; }
gone() { ! dom0 xenstore-exists "$1" 2>/dev/null; }
# front DOMID VDEV STATE: the guest writes its state (the kernel's front ends' directory)
front() { guest "$1" xenstore-write -- "device/vbd/$2/state" "$3"; }
is_back() { [ "$(back "$1" "$2" state)" = "$3" ]; }            # DOMID VDEV STATE
# step NAME DOMID VDEV FRONT BACK: the front end goes to FRONT, then we are to be at BACK
step()
{
	front "$2" "$3" "$4"
	if within 8 is_back "$2" "$3" "$5"; then pass "$1: front $4, back $5"; else
		fail "$1: front $4, back $5" "back end state: $(back "$2" "$3" state)" "$(ctl show "$2/$3" 2>&1)"; fi
}
# hold DOMID VDEV [QUEUES [ORDER]]: rings granted and published, until drop
hold()
{
	local dir=device/vbd/$2
	rm -f "$W/hold" "$W/hold.out" # the one before said "ready" too
	mkfifo "$W/hold"
	hostxen run -d "$1" -- "$rings" "$dir" "${@:3}" <"$W/hold" >"$W/hold.out" 2>&1 &
	hold_pid=$!
	children+=($hold_pid)
	disown $hold_pid
	exec 7>"$W/hold"
	within 8 grep -q ready "$W/hold.out" || fail "rings are granted" "$(cat "$W/hold.out")"
}
drop() { exec 7>&-; within 8 not kill -0 "$hold_pid"; }
kattach() { local dom=$1 target=$2 dev=$3; shift 3; ctl attach disk "$dom" "$target=$dev" "$@"; } # for the guest's kernel: device/vbd
# odd_workers: those of the daemons started from here on do not start while $W/broken is there, and wait while $W/slow is; while
# $W/instead is, that is run in their place
odd_workers()
{
	mkdir "$W/workers"
	cat >"$W/workers/synth-blkd-worker" <<-WRAP
		#!/bin/sh
		[ ! -e "$W/broken" ] || exit 1
		while [ -e "$W/slow" ]; do sleep 0.05; done
		[ ! -e "$W/instead" ] || exec "$W/instead" "\$@"
		exec "$SYNTH_BUILDDIR/backend/synth-blkd-worker" "\$@"
	WRAP
	chmod +x "$W/workers/synth-blkd-worker"
	export SYNTH_LIBEXECDIR=$W/workers
}
# is_worker DOMID STATE: the domain has a worker in this state; worker_pid DOMID STATE: and its process
is_worker() { [ -n "$(worker_pid "$1" "$2")" ]; }
worker_pid() { ctl daemon status --json | jq -r "[.worker_list[] | select(.domid == $1 and .state == \"$2\") | .pid // 0][0] // empty"; }
# Nobody has it open for itself
unlocked() { flock -n "$1" true; } # IMAGE

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

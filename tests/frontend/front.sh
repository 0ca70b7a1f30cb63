# SPDX-License-Identifier: LGPL-2.1-or-later
# front.sh - sourced by the front end's tests after tests/lib/world.sh: a world without a daemon of ours, QEMU's back
# end, and what the tests ask of `synth-blkfront io`.

# hostxen and domain 1; no synth-blkd
bare_start()
{
	hostxen start >"$W/start.log" 2>&1 || { echo "Bail out! hostxen does not start"; diag <"$W/start.log"; exit 1; }
	hostxen create 1 --name guest || { echo "Bail out! no domain"; exit 1; }
}
bare_end()
{
	local status
	children_kill
	check 'at the end: nothing is granted or mapped any more' within 10 nothing_left
	sanitizers_silent
	echo "1..$tap_n"
	[ "$tap_failed" -eq 0 ]
	status=$?
	world_stop
	exit $status
}
sanitizers_silent()
{
	if grep -nE 'Sanitizer|runtime error:|Assertion|SIGSEGV|SIGABRT' "$W"/*.log >"$W/reports"; then
		fail 'at the end: no sanitizer or assertion has spoken' "$(head -n 30 "$W/reports")"
	else
		pass 'at the end: no sanitizer or assertion has spoken'
	fi
}

# front ARGS...: the tool in domain 1; stdout to $W/out, stderr to $W/front.log (kept) and $W/err; status in $rc
front()
{
	timeout -k 5 "${FRONT_LIMIT:-60}" hostxen run -d 1 -- synth-blkfront "$@" >"$W/out" 2>"$W/err"
	rc=$?
	cat "$W/err" >>"$W/front.log"
	return $rc
}
got() { jq -r "$1" "$W/out" 2>/dev/null; } # FILTER: of the last JSON

# verified NAME ARGS...: io with --verify does something, finds everything right, and says so
verified()
{
	local name=$1
	shift
	front io xvda --verify --json "$@"
	if [ $rc -eq 0 ] && [ "$(got '.errors == 0 and .mismatch == false and .verified_units > 0 and .ios > 0')" = true ]; then
		pass "$name"
	else
		fail "$name" "io --verify $*" "exit status $rc" "$(cat "$W/out" "$W/err")"
	fi
}

# QEMU's back end on an image: disk xvda of domain 1, in device/vbd, since QEMU knows no other name
qemu=$(command -v xen-qemu-system-i386 || echo /usr/libexec/xen-qemu-system-i386)
qemu_start() # IMAGE
{
	local back=/local/domain/0/backend/qdisk/1/51712 dir=/local/domain/1/device/vbd/51712
	dom0 xenstore-write $dir/backend $back $dir/backend-id 0 $dir/virtual-device 51712 $dir/device-type disk $dir/state 1
	dom0 xenstore-chmod -r $dir n1 r0
	dom0 xenstore-write $back/frontend $dir $back/frontend-id 1 $back/params "aio:$1" $back/type qdisk $back/device-type disk \
		$back/dev xvda $back/mode w $back/removable 0 $back/discard-enable 1 $back/direct-io-safe 0 $back/online 1 $back/state 1
	dom0 xenstore-chmod -r $back n0 r1
	hostxen run -d 0 -- "$qemu" -M xenpv -xen-domid 1 -xen-attach -nodefaults -no-user-config -display none -m 1 \
		>"$W/qemu.out" 2>&1 &
	children+=($!)
	disown $!
	within 15 equal '$(dom0 xenstore-read '$back'/state 2>/dev/null)' 2 ||
		{ echo "Bail out! QEMU's back end does not come up"; diag <"$W/qemu.out"; exit 1; }
}

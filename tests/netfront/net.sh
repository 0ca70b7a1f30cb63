# SPDX-License-Identifier: LGPL-2.1-or-later
# net.sh - sourced by the network front end's tests after tests/lib/world.sh and tests/frontend/front.sh: a back end that
# sends everything back, QEMU's, and what the tests ask of `synth-netfront io`.
netback=$SYNTH_BUILDDIR/tests/netfront/badback

# net ARGS...: the tool in domain 1; stdout to $W/out, stderr to $W/net.log (kept) and $W/err; status in $rc
net()
{
	timeout -k 5 "${FRONT_LIMIT:-60}" hostxen run -d 1 -- synth-netfront "$@" >"$W/out" 2>"$W/err"
	rc=$?
	cat "$W/err" >>"$W/net.log"
	return $rc
}

back_start() # SIN [AFTER]: interface eth0 of domain 1
{
	rm -f "$W/back.out"
	hostxen run -d 0 -- "$netback" 1 0 "$@" >"$W/back.out" 2>>"$W/back.log" &
	back=$!
	children+=($back)
	disown $back
	within 10 grep -qs ready "$W/back.out" || bail 'badback does not start' "$W/back.log"
}
back_stop()
{
	kill -TERM $back 2>/dev/null
	within 5 not kill -0 $back || kill -KILL $back
	children=()
}

# QEMU's back end: eth0 of domain 1 in device/vif, since QEMU knows no other name.  In QEMU 7.2 it has no network behind
# it: what is sent is taken and answered, and nothing ever comes.
qemu=$(command -v xen-qemu-system-i386 || echo /usr/libexec/xen-qemu-system-i386)
qnic_start()
{
	local back=/local/domain/0/backend/qnic/1/0 dir=/local/domain/1/device/vif/0
	dom0 xenstore-write $dir/backend $back $dir/backend-id 0 $dir/handle 0 $dir/mac 00:16:3e:00:00:01 $dir/state 1
	dom0 xenstore-chmod -r $dir n1 r0
	dom0 xenstore-write $back/frontend $dir $back/frontend-id 1 $back/handle 0 $back/mac 00:16:3e:00:00:01 \
		$back/online 1 $back/state 1
	dom0 xenstore-chmod -r $back n0 r1
	hostxen run -d 0 -- "$qemu" -M xenpv -xen-domid 1 -xen-attach -nodefaults -no-user-config -display none -m 1 \
		>"$W/qemu.out" 2>&1 &
	children+=($!)
	disown $!
	within 15 equal '$(dom0 xenstore-read '$back'/state 2>/dev/null)' 2 || bail 'QEMU'\''s back end does not come up' "$W/qemu.out"
}

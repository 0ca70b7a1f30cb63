# SPDX-License-Identifier: LGPL-2.1-or-later
# synthctl doctor on what looks like a real dom0: the kernel's files are a tree of ours ($SYNTH_SYSROOT), xenstore and daemon are real.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/toolstack/doctor.sh"
world_start
V=51712
B=/local/domain/0/backend/vbd
export SYNTH_SYSROOT=$W/root
# from here on the doctor is not told of hostxen
ctl() { timeout 40 env -u HOSTXEN_DIR XENSTORED_PATH="$HOSTXEN_DIR/xenstored/socket" synthctl "$@"; }
# advice is for dom0's root; here its files are elsewhere
advice_here() { advice "$1" | sed -e "s# /sys/# $SYNTH_SYSROOT/sys/#g" -e "s#>/sys/#>$SYNTH_SYSROOT/sys/#g"; }
finding() { ctl doctor --json | jq -r --arg c "$1" '[.findings[] | select(.check == $c) | .level] | unique | join(" ")'; }
put() { mkdir -p "$SYNTH_SYSROOT/$(dirname "$1")" && printf '%s\n' "$2" >"$SYNTH_SYSROOT/$1"; } # FILE TEXT

is 'no Xen: that is found, and no more' "$(problems)" 'error xen null'
is 'no Xen: exit status' "$(ctl doctor -q >/dev/null; echo $?)" 1
put sys/hypervisor/type xen
put sys/hypervisor/version/major 4
put sys/hypervisor/version/minor 17
put sys/hypervisor/version/extra .7
put proc/xen/capabilities control_d
for f in dev/xen/evtchn dev/xen/gntdev dev/xen/privcmd dev/xen/xenbus; do put $f ''; done
put sys/module/xen_gntdev/parameters/limit 65536
put sys/module/xen_blkback/uevent ''
script=$(ctl doctor --json | jq -r '.findings[] | select(.check == "script") | .subject')
sick 'hotplug script not installed' "warning script $script"
put "$script" '#!/bin/sh'
sick 'hotplug script not executable' "warning script $script"
cure 'hotplug script not executable' script
check 'a dom0 as it should be: exit status 0' ctl doctor
is 'a dom0 as it should be: nothing is wrong' "$(problems)" ''
like 'which Xen' "$(ctl doctor)" 'Xen 4\.17\.7, and this is dom0'
like "the kernel's back end may be loaded" "$(ctl doctor)" 'ok +kernel-back-end: xen_blkback: loaded'
like 'gntdev' "$(ctl doctor)" 'gntdev maps up to 65536 pages a call; 0 pages of guests are mapped'

env -u SYNTH_SYSROOT HOSTXEN_DIR="$HOSTXEN_DIR" synthctl attach disk sinner "$(image a.img 8M)=xvda" >/dev/null
is 'a device: nothing is wrong' "$(problems)" ''
named=$(dom0 xenstore-read $B/1/$V/script)
rm "$SYNTH_SYSROOT$script"
sick 'the script that a device names is not there' "error script $named"
put "$script" '#!/bin/sh'
chmod 755 "$SYNTH_SYSROOT$script"
dom0 xenstore-write $B/1/$V/script /elsewhere/block-synth
sick 'a device names another script' 'error script /elsewhere/block-synth'
dom0 xenstore-write $B/1/$V/script "$named"

# the kernel takes a device
bus=$SYNTH_SYSROOT/sys/bus/xen-backend
mkdir -p "$bus/devices/vbd-2-$V" "$bus/devices/vbd-1-51728" "$bus/devices/vif-1-$V" "$bus/drivers/vbd" "$bus/devices/console-0"
for name in vbd-2-$V vbd-1-51728 vif-1-$V; do ln -s ../../drivers/vbd "$bus/devices/$name/driver"; done
is "the kernel has devices of others: nothing is wrong" "$(problems)" ''
mkdir "$bus/devices/vbd-1-$V"
sick 'the kernel knows our device' 'warning kernel-claim sinner/xvda'
ln -s ../../drivers/vbd "$bus/devices/vbd-1-$V/driver"
sick 'the kernel took our device' 'error kernel-claim sinner/xvda'
commands=$(advice_here kernel-claim)
like 'the kernel took our device: how to unbind it' "$commands" "^echo vbd-1-$V >.*/sys/bus/xen-backend/drivers/vbd/unbind"
eval "$commands"
is 'the kernel took our device: as is advised' "$(cat "$bus/drivers/vbd/unbind")" vbd-1-$V
is 'the kernel took our device: and it is gone' "$(problems)" ''

# systemd: what it started stays in its care, and what it did not start comes to it
mkdir "$W/bin"
cat >"$W/bin/systemctl" <<SYSTEMCTL
#!/bin/sh
echo "\$*" >>"$W/systemctl.told"
hostxen run -d 0 -- "\$2" >>"$W/blkd.log" 2>&1 &
SYSTEMCTL
chmod +x "$W/bin/systemctl"
PATH=$W/bin:$PATH
kill -KILL "$blkd_pid"
blkd_wait_gone
put usr/lib/systemd/system/synth-blkd.service ''
is 'dead, and systemd does not run: started by hand' "$(advice daemon synth-blkd)" 'setsid synth-blkd &'
put run/systemd/system/synth-netd.service ''
sick 'dead, with systemd' 'error daemon synth-blkd'
cure 'dead, with systemd' daemon
is 'dead, with systemd: started by it' "$(cat "$W/systemctl.told")" 'start synth-blkd'
adopt_daemon
kill -STOP "$blkd_pid"
is 'silent, with systemd: killed and started by it' "$(ctl doctor --timeout 0.5 --json | jq -r '.findings[] | select(.check == "daemon" and .level == "error") | .commands[]')" \
	"$(printf '%s\n' "kill -9 $blkd_pid" 'systemctl start synth-blkd')"
kill -CONT "$blkd_pid"
check 'no longer silent' within 10 healthy
dom0 xenstore-write $B/2/51744/synth/class disk $B/2/51744/synth/uuid 0 $B/2/51744/frontend /local/domain/2/device/vbd/51744 $B/2/51744/frontend-id 2 \
	$B/2/51744/state 2 $B/2/51744/script "$named" $B/2/51744/params null:1M \
	/local/domain/2/device/vbd/51744/backend $B/2/51744 /local/domain/2/device/vbd/51744/state 1 /libxl/2/device/vbd/51744/backend $B/2/51744 \
	/libxl/2/device/vbd/51744/script "$named"
sick 'a device it does not have, with systemd' 'error unknown 2/51744'
cure 'a device it does not have, with systemd' unknown
is 'a device it does not have, with systemd: started anew by it' "$(tail -n 1 "$W/systemctl.told")" 'restart synth-blkd'
adopt_daemon
check 'a device it does not have: it has it now' ctl detach --force 2/51744

# modules
for pair in evtchn:error gntdev:error privcmd:warning; do
	name=${pair%:*}
	rm "$SYNTH_SYSROOT/dev/xen/$name"
	sick "no /dev/xen/$name" "${pair#*:} kernel-device /dev/xen/$name"
	is "no /dev/xen/$name: how to get it" "$(advice kernel-device /dev/xen/$name)" "modprobe xen-$name"
	put dev/xen/$name ''
done
rm "$SYNTH_SYSROOT/dev/xen/xenbus"
is 'no /dev/xen/xenbus: xenstored has a socket' "$(problems)" ''
put proc/xen/xenbus ''
is 'an old /proc/xen/xenbus will do' "$(finding kernel-device)" ok
put sys/module/xen_gntdev/parameters/limit 16
sick 'gntdev maps too little' 'error grants null'
eval "$(advice_here grants)"
is 'gntdev maps too little: as is advised' "$(problems)" ''
put sys/module/xen_gntdev/parameters/limit 'a lot'
is 'a limit that is no number: not seen' "$(problems) $(finding grants)" ' n/a'
rm -r "$SYNTH_SYSROOT/proc/xen"
put sys/hypervisor/uuid 00000000-0000-0000-0000-000000000000
sick 'xenfs is not mounted' 'warning xenfs null'
like 'xenfs is not mounted: how' "$(advice xenfs)" 'mount -t xenfs'
put sys/hypervisor/uuid 01234567-0000-0000-0000-000000000000
like 'not dom0' "$(ctl doctor)" 'note +xen: .*not dom0'
unset SYNTH_SYSROOT
ctl() { timeout 40 synthctl "$@"; }
world_end

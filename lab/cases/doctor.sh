# SPDX-License-Identifier: LGPL-2.1-or-later
# what: synthctl doctor: nothing is wrong with our disks; a kernel's claim, libxl's lost record, a dead daemon and stale nodes are each found, and what it advises heals them
# set: short pv
# time: 120
img=$(image doctor.img 4M)
other=$(image other.img 4M)
patient=doctor-$TYPE
shared=$G
# No error, no warning.
well() { synthctl doctor -q >$LAB/doctor && [ ! -s $LAB/doctor ]; }
# found CHECK LEVEL SUBJECT: it says so, and exits with 1 when there is an error.
found() {
	_is=0
	synthctl --json doctor >$LAB/doctor || _is=$?
	jq -e --arg c "$1" --arg l "$2" --arg s "$3" --argjson is $_is '(.counts.error > 0) == ($is == 1) and
		([.findings[] | select(.check == $c and .level == $l and .subject == $s)] | length == 1)' $LAB/doctor
}
# heal CHECK: the lines it gives for a shell.
heal() {
	jq -r --arg c "$1" '.findings[] | select(.check == $c and .level != "ok") | .commands[]' $LAB/doctor >$LAB/advice
	[ -s $LAB/advice ]
	sh -ex $LAB/advice
}

attach "file:$img" xvdb
g wait_dev xvdb
well || { cat $LAB/doctor; fail "it finds fault with a disk that is served"; }
# What it looked at, rather than could not look at.
synthctl --json doctor | jq -e '[.findings[] | select(.level == "ok") | .check] | contains(["xen", "xenfs", "kernel-device",
	"kernel-back-end", "script", "xenstore", "quota", "daemon", "version", "daemon-xenstore", "worker", "devices", "files", "grants"])'

# Faults for a guest that has not started, so that nobody else reacts to them.
guest_create "$patient"
id=$(domid "$patient")
back=/local/domain/0/backend/vbd/$id/51712
synthctl attach disk "$patient" "file:$other=xvda"
eventually 10 well || { cat $LAB/doctor; fail "it finds fault with a disk that waits for its guest"; }

# The kernel takes what is at state 1.
xenstore-write "$back/state" 1
eventually 10 found kernel-claim error "$patient/xvda"
[ -e "/sys/bus/xen-backend/devices/vbd-$id-51712/driver" ]
heal kernel-claim
[ ! -e "/sys/bus/xen-backend/devices/vbd-$id-51712/driver" ]
eventually 10 well

synthctl attach disk "$patient" "file:$other=xvda"
xenstore-rm "/libxl/$id/device/vbd/51712"
refuses [ -n "$(xl block-list "$patient" | grep 51712)" ]
eventually 10 found mirror warning "$patient/xvda"
heal mirror
xl block-list "$patient" | grep 51712
eventually 10 well

# Nobody there, and nodes which libxl did not know of when it destroyed their domain.
kill -9 "$(cat $LAB/blkd.pid)"
eventually 5 refuses daemon_runs blkd
found daemon error synth-blkd
xenstore-rm "/libxl/$id/device/vbd/51712"
xl destroy "$patient"
eventually 10 found stale warning "$id/51712"
heal stale
refuses xenstore-exists "$back"
found daemon error synth-blkd
refuses found stale warning "$id/51712"
[ "$(jq -r '.findings[] | select(.check == "daemon" and .subject == "synth-blkd") | .commands[]' $LAB/doctor)" = "setsid synth-blkd &" ]
daemon_start blkd
eventually 10 well || { cat $LAB/doctor; fail "the new daemon does not serve what it found"; }
G=$shared
g 'echo again | dd of=/dev/xvdb bs=512 count=1 conv=sync,fsync && [ "$(dd if=/dev/xvdb bs=512 count=1 iflag=direct 2>/dev/null | head -c 5)" = again ]'
[ "$(head -c 5 "$img")" = again ]
detach xvdb

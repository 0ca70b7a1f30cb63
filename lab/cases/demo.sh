# SPDX-License-Identifier: LGPL-2.1-or-later
# what: the story of ./demo --xen: a stock guest gets a disk, uses it, and every byte is proved
# set: demo
# guest: own
# time: 240
G=demo-$TYPE
kind=$(echo "$TYPE" | tr a-z A-Z)
shown() { # a command people can type, and what it says
	say "    dom0 \$ $(echo "$*" | sed "s|/srv/||g")"
	_out=$("$@" 2>&1) || { say "$_out"; return 1; }
	say "$(echo "$_out" | sed 's/^/    /')"
}
in_it() { # the same in the guest
	say "    $G \$ $*"
	_out=$(g -t 60 "$*") || { say "$_out"; return 1; }
	[ -z "$_out" ] || say "$(echo "$_out" | sed 's/^/    /')"
}
say ''
say "== a $kind guest, with the kernel and the xen-blkfront of Debian"
guest_boot "$G"
in_it 'uname -sr; cat /sys/hypervisor/type /sys/hypervisor/guest_type | xargs'
[ -d /sys/module/xen_blkback ]
say "    (dom0's kernel has xen-blkback loaded: it keeps away from what is ours)"
img=$(image disk.img 64M)
say ''
say "-- Attach an empty image while the guest runs"
shown synthctl attach disk "$G" "file:$img=xvda" --wait $((20 * SLOW))
g 'wait_dev xvda'
shown synthctl list
shown xl block-list "$G"
say ''
say "-- The guest makes a file system on it, and files"
in_it 'mkfs.ext4 -q /dev/xvda && mount /dev/xvda /mnt'
in_it 'cp -r /usr/bin /lab /mnt && head -c 4194304 /dev/urandom >/mnt/letter && sync'
in_it 'df -h /mnt | tail -n 1'
in_it 'md5sum /mnt/letter'
letter=$(g 'md5sum </mnt/letter')
g 'cd /mnt && find . -type f | sort | xargs md5sum' >/tmp/demo.sums
g 'umount /mnt'
say ''
say "-- Random reads, writes and flushes on a second disk, each byte read compared with what was written"
other=$(image random.img 32M)
shown synthctl attach disk "$G" "file:$other=xvdb" --wait $((20 * SLOW))
g 'wait_dev xvdb'
in_it 'blkverify --seed 7 --ios 400 --depth 32 --max 64k --trim --flush /dev/xvdb'
say ''
say "-- A few figures (an emulated machine: only ratios mean something, see ./bench lab-block)"
in_it "fio --name=read --filename=/dev/xvdb --ioengine=libaio --direct=1 --rw=randread --bs=4k --iodepth=32 --time_based --runtime=3 | grep -E 'IOPS|clat.*avg'"
say "    dom0 \$ synthctl stat $G/xvdb"
synthctl stat "$G/xvdb" -H | grep -E ' (read_requests|write_requests|flush_requests|discard_requests|events_in|events_out|bad_requests) ' >/tmp/demo.stat
say "$(sed 's/^/    /' /tmp/demo.stat)"
say ''
say "-- Detach, and look into the image from dom0"
shown synthctl detach "$G/xvdb"
shown synthctl detach "$G/xvda"
g no_dev xvda
shown e2fsck -fn "$img"
mount -o loop,ro "$img" /mnt
(cd /mnt && find . -type f | sort | xargs md5sum) >/tmp/demo.seen
umount /mnt
cmp /tmp/demo.sums /tmp/demo.seen
say "    $(wc -l </tmp/demo.seen) files, each with the checksum it had in the guest"
blkverify --scan "$other"
say ''
say "-- Attach again: the guest finds its data"
shown synthctl attach disk "$G" "file:$img=xvda" --wait $((20 * SLOW))
in_it 'wait_dev xvda && mount -o ro /dev/xvda /mnt && md5sum /mnt/letter'
[ "$(g 'md5sum </mnt/letter')" = "$letter" ]
g 'umount /mnt'
shown synthctl detach "$G/xvda"
guest_destroy "$G"
eventually 20 nothing_left
say "    the same; and nothing is left in xenstore"

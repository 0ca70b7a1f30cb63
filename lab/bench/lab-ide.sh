# SPDX-License-Identifier: LGPL-2.1-or-later
# what: the reason for all this: the emulated IDE disk of an HVM guest, its qdisk, and ours, on one file
# guests: pv
# guest: own
# needs: qemu
# time: 3000
: "${ROUNDS:=3}" "${SECONDS_EACH:=3}"
G=bench-hvm
set +x
mkdir -p /tmp/mem /tmp/tiny/lab/bin
mountpoint -q /tmp/mem || mount -t tmpfs -o size=100m mem /tmp/mem
file=/tmp/mem/disk
dd if=/dev/urandom of=$file bs=1M count=32 2>/dev/null
cp /lab/bin/blkrate /tmp/tiny/lab/bin/
cat >/tmp/tiny/lab/guest.sh </dev/null
cat >/tmp/tiny/init <<'END'
#!/bin/busybox sh
export PATH=/lab/bin:/usr/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for m in ata_piix sd_mod xen-blkfront; do modprobe $m; done
exec </dev/hvc0 >/dev/hvc0 2>&1
stty raw -echo
printf '\n@0 0\n'
while :; do
	read -r id script || { sleep 1; continue; }
	echo "$script" | base64 -d >/tmp/script 2>/dev/null || continue
	sh /tmp/script >/tmp/out 2>&1 </dev/null
	st=$?
	sed 's/^/|/' /tmp/out
	printf '\n@%s %s\n' "$id" "$st"
done
END
chmod 755 /tmp/tiny/init
(cd /tmp/tiny && find . | cpio -o -H newc 2>/dev/null) >/tmp/tiny.cpio
cat /lab/hvm.img /tmp/tiny.cpio >/tmp/hvm.img
cat >$LAB/$G.cfg <<END
name='$G'
type='hvm'
kernel='/lab/vmlinuz'
ramdisk='/tmp/hvm.img'
# Unplugging all but the first IDE disk leaves the guest both: sda (emulated) and its paravirtual self.
extra='console=hvc0 quiet panic=-1 mitigations=off init_on_alloc=0 xen_emul_unplug=aux-ide-disks'
memory=256
vcpus=1
cpus='1'
vga='none'
vnc=0
sdl=0
serial='none'
disk=['format=raw,vdev=hda,access=rw,backendtype=qdisk,target=$file']
on_poweroff='destroy'
on_crash='destroy'
on_reboot='destroy'
END
xl vcpu-pin 0 0 0
xl create -q -p $LAB/$G.cfg || { cat /var/log/xen/qemu-dm-$G.log; fail 'no HVM guest'; }
synthctl attach disk $G "file:$file=xvdb"
xl unpause $G
SLOW=$((SLOW * 3)) guest_wait $G
g -t 60 'for d in sda xvda xvdb; do i=0; until [ -b /dev/$d ]; do i=$((i + 1)); [ $i -lt 300 ] || { echo no $d; cat /proc/partitions; dmesg | tail -n 20; exit 1; }; usleep 100000; done; done'
round=0
while [ $round -lt "$ROUNDS" ]; do
	order='ide qdisk synth'
	[ $((round % 2)) = 0 ] || order='synth qdisk ide'
	for who in $order; do
		case $who in ide) dev=sda ;; qdisk) dev=xvda ;; synth) dev=xvdb ;; esac
		iops=$(g -t $((SECONDS_EACH + 60)) "blkrate /dev/$dev $SECONDS_EACH")
		say "sample {\"case\": \"ide\", \"who\": \"$who\", \"round\": $round, \"iops\": $iops}"
	done
	round=$((round + 1))
done
detach xvdb
guest_destroy $G
eventually 20 nothing_left || :
umount /tmp/mem

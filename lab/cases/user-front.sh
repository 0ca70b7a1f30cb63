# SPDX-License-Identifier: LGPL-2.1-or-later
# what: synth-blkfront on /dev/xen/*: reads, writes and verifies a disk the guest's kernel does not see; with NBD, a kernel nbd device and a file system on top
# time: 200
img=$(image user.img 24M)
random "$img" 24
synthctl attach disk "$G" "file:$img=xvdb" --user-frontend --queues 2
g 'synth-blkfront list; synth-blkfront info xvdb'
[ "$(g -t 60 'synth-blkfront read xvdb | md5sum' | cut -d' ' -f1)" = "$(sum "$img")" ]
g 'head -c 1048576 /dev/urandom >/tmp/new; synth-blkfront write xvdb --offset 1M </tmp/new'
[ "$(g 'md5sum </tmp/new' | cut -d' ' -f1)" = "$(dd if="$img" bs=1M skip=1 count=1 2>/dev/null | md5sum | cut -d' ' -f1)" ]
for how in '--queues 1 --ring-order 0 --grants per-io' '--queues 2 --ring-order 4'; do
	noted g -t 100 "synth-blkfront io xvdb --rw randrw,flush=1 --bs 512-64k --depth 16 --ios 200 --verify $how >/tmp/io || { cat /tmp/io; exit 1; }
		echo '$how'; tail -n 3 /tmp/io"
done
refuses g 'ls /sys/block | grep xvd'
# Killed in the middle: the next one takes over, and the guest's memory comes back.
g '(synth-blkfront io xvdb --rw randwrite --depth 32 --runtime 60 >/dev/null 2>&1 & echo $! >/tmp/pid); sleep 1; kill -9 $(cat /tmp/pid)'
[ "$(g -t 60 'synth-blkfront read xvdb | md5sum' | cut -d' ' -f1)" = "$(sum "$img")" ]
truncate -s 0 "$img"
truncate -s 24M "$img"
g -t 100 - <<'END'
set -e
modprobe nbd nbds_max=1
(synth-blkfront serve xvdb --unix /tmp/nbd.sock >/tmp/serve.log 2>&1 & echo $! >/tmp/pid)
eventually 20 [ -S /tmp/nbd.sock ] || { cat /tmp/serve.log; exit 1; }
nbd-client -unix /tmp/nbd.sock /dev/nbd0
blkverify --ios 200 --depth 16 --max 64k --trim --flush /dev/nbd0
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 /mnt
cp -r /lab /mnt/lab
echo kept >/mnt/file
umount /mnt
fsck.ext4 -f -n /dev/nbd0
nbd-client -d /dev/nbd0
kill $(cat /tmp/pid)
exits $(cat /tmp/pid)
rmmod nbd
END
detach xvdb
loop=$(losetup -f)
losetup "$loop" "$img"
fsck.ext4 -f -n "$loop"
mount -o ro "$loop" /mnt
kept=$(cat /mnt/file)
umount /mnt
losetup -d "$loop"
[ "$kept" = kept ]

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: partition, mkfs, mount, copy, fsync, unmount, fsck in the guest; dom0 finds the same files, clean, in the image
# set: short pvh
# time: 120
img=$(image fs.img 48M)
attach "file:$img" xvdb
g -t 60 - <<'END'
set -e
wait_dev xvdb
printf 'n\np\n1\n2048\n\nw\n' | fdisk -u /dev/xvdb >/dev/null
wait_dev xvdb1
mkfs.ext4 -q /dev/xvdb1
mount /dev/xvdb1 /mnt
cp -r /lib/modules /mnt/modules
dd if=/dev/urandom of=/mnt/random bs=64k count=64 conv=fsync 2>/dev/null
(cd /mnt && find . -type f -exec md5sum {} + | sort) >/tmp/sums
umount /mnt
fsck.ext4 -f -n /dev/xvdb1
END
g 'cat /tmp/sums' >/tmp/guest-sums
detach xvdb
[ "$(wc -l </tmp/guest-sums)" -gt 10 ]
loop=$(losetup -f)
losetup -o $((2048 * 512)) "$loop" "$img"
fsck.ext4 -f -n "$loop"
mount -o ro "$loop" /mnt
(cd /mnt && find . -type f -exec md5sum {} + | sort) >/tmp/image-sums
umount /mnt
losetup -d "$loop"
diff /tmp/guest-sums /tmp/image-sums

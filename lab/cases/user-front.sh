# SPDX-License-Identifier: LGPL-2.1-or-later
# what: synth-blkfront on /dev/xen/*: reads, writes and verifies a disk the guest's kernel does not see; with NBD and a kernel nbd device on top
# time: 150
img=$(image user.img 8M)
random "$img" 8
synthctl attach disk "$G" "file:$img=xvdb" --user-frontend
g 'export SYNTH_LOG=debug; synth-blkfront list; synth-blkfront info xvdb'
[ "$(g -t 60 'SYNTH_LOG=debug synth-blkfront read xvdb >/tmp/read && md5sum </tmp/read' | cut -d' ' -f1)" = "$(sum "$img")" ]
g 'head -c 1048576 /dev/urandom >/tmp/new; synth-blkfront write xvdb --offset 1M </tmp/new'
[ "$(g 'md5sum </tmp/new' | cut -d' ' -f1)" = "$(dd if="$img" bs=1M skip=1 count=1 2>/dev/null | md5sum | cut -d' ' -f1)" ]
note "$(g -t 60 'synth-blkfront io xvdb --rw randrw --bs 512-64k --depth 32 --ios 500 --verify' | tail -n 3 | tr '\n' ' ')"
g 'ls /sys/block' | refuses grep -q xvdb
g -t 60 - <<'END'
set -e
modprobe nbd nbds_max=1
(synth-blkfront serve xvdb --unix /tmp/nbd.sock >/tmp/serve.log 2>&1 &)
i=0; until [ -S /tmp/nbd.sock ]; do i=$((i + 1)); [ $i -lt 100 ] || { cat /tmp/serve.log; exit 1; }; usleep 100000; done
nbd-client -unix /tmp/nbd.sock /dev/nbd0
blkverify --ios 200 --depth 16 --max 64k --flush /dev/nbd0
nbd-client -d /dev/nbd0
killall nbdkit
rmmod nbd
END
detach xvdb

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: fio in the guest, random mixes of reads and writes which it verifies, depth 1 and 64, 512 bytes to 1 MiB, with trims
# time: 240
img=$(image fio.img 32M)
attach "file:$img" xvdb
g wait_dev xvdb
fio_run() {
	g -t 100 "fio --name=v --filename=/dev/xvdb --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randrepeat=1 $* >/tmp/fio.out 2>&1 || { cat /tmp/fio.out; exit 1; }; grep -E 'IOPS|err=' /tmp/fio.out" >/tmp/fio.said
	note "$*: $(tr -s ' \n' ' ' </tmp/fio.said | cut -c1-200)"
}
fio_run --rw=randrw --bs=4k --iodepth=1 --size=1M
fio_run --rw=randrw --bsrange=512-64k --bs_unaligned=0 --iodepth=64 --size=16M
fio_run --rw=randwrite --bs=1M --iodepth=8 --size=32M
fio_run --rw=randtrimwrite --bs=64k --iodepth=16 --size=8M --trim_backlog=16 || note 'no trim'
detach xvdb

# SPDX-License-Identifier: LGPL-2.1-or-later
# what: fio --verify in the guest: random mixes of reads and writes, depth 1 to 64, 512 bytes to 1 MiB, with flushes and trims; what was trimmed reads as zeros
# time: 240
img=$(image fio.img 32M)
attach "file:$img" xvdb
g wait_dev xvdb
# One block that is not as written ends fio with an error; so does a read, write, trim or flush that fails.
fio_run() {
	note "$*:"
	noted g -t 120 "fio --name=v --filename=/dev/xvdb --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
		--output=/tmp/fio.out $* || { cat /tmp/fio.out; exit 1; }
		grep -E '^ +(read|write|trim): ' /tmp/fio.out | tr -s ' '"
}
fio_run --rw=randrw --bs=4k --iodepth=1 --size=1M
fio_run --rw=randrw --bsrange=512-1M --blockalign=512 --iodepth=64 --size=24M --fsync=16
fio_run --rw=randwrite --bs=1M --iodepth=8 --size=32M --fdatasync=4
fio_run --rw=randtrimwrite --bs=64k --iodepth=16 --size=16M --fsync=8
fio_run --rw=randtrim --bs=256k --iodepth=4 --size=8M
[ "$(g 'head -c 8388608 /dev/xvdb | tr -d "\0" | wc -c')" = 0 ]
[ "$(g 'tail -c 8388608 /dev/xvdb | tr -d "\0" | wc -c')" != 0 ]
# All of it reached the daemon as what it was.
synthctl --json stat "$G/xvdb" | jq -e '.devices[0].metrics | .discard_requests > 0 and .flush_requests > 0 and .bad_requests == 0'
detach xvdb

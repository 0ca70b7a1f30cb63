#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The table of system calls of a disk's worker is what it needs, no more and no less: every engine under test-worker, then a guest of a daemon
# which is killed, and a disk from an NBD server.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/sandbox/calls.sh"
trace_workers synth-blkd-worker
world_start
nbd_sock=$W/nbd.sock
if command -v nbdkit >/dev/null; then
	background nbdkit -f -U "$nbd_sock" memory 8M 2>"$W/nbdkit.err"
	within 10 [ -S "$nbd_sock" ] || bail 'nbdkit does not start' "$W/nbdkit.err"
	check 'an NBD disk is attached' attach sinner "nbd+unix:///?socket=$nbd_sock" xvdb
	check 'and served' bad 1 -n 40 51728 verify
fi
check 'a disk in memory is attached' attach sinner "$(image a.img 8M)" xvda
check 'and served' bad 1 -n 40 51712 verify
check 'bad requests are answered' bad 1 51712 request past-end-write
disk=$(mktemp -p "${SYNTH_TEST_DISK:-/var/tmp}" synth-calls-XXXXXX)
world_dirs+=("$disk")
truncate -s 8M "$disk"
check 'a disk on a disk is attached' attach sinner "$disk" xvdc
check 'and served' bad 1 -q 2 -n 40 51744 verify
check 'a worker is stopped and continued' eval 'for p in $(world_pids); do [ "$(cat /proc/$p/comm)" != synth-blkd-work ] || { kill -STOP $p; kill -CONT $p; }; done'
kill -KILL "$blkd_pid"
blkd_wait_gone
blkd_start
check 'the next daemon has the disks' within 20 eval '[ "$(ctl list --json | jq ".devices | length")" -ge 2 ]'
check 'and they are served' bad 1 -n 40 51712 verify
if [ -x "$SYNTH_BUILDDIR/backend/worker/test-worker" ]; then
	check 'every engine, ring and error' timeout 150 hostxen run -d 1 -- "$SYNTH_BUILDDIR/backend/worker/test-worker"
fi
calls_hold synth-blkd-worker \
	'ioctl hypercalls go by it on real Xen, and questions to block devices' \
	'clock_gettime the vDSO tells the time' \
	'restart_syscall only a sleep with a time limit that was stopped in the middle makes it'
world_end

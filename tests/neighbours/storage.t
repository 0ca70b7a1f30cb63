#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# storage.t - storage that stops answering, under one guest: shown, and taken away from it in time; the other guests notice nothing.
# The image is a file of FUSE whose server is stopped: as with an NFS server that is gone, who waits for it cannot even be killed.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
[ -w /dev/fuse ] && command -v nbdfuse nbdkit >/dev/null || skip_all 'nbdfuse, nbdkit or /dev/fuse is missing'
world_start
honest_start

ms() { echo $(($(date +%s%N) / 1000000)); }
storage() # NAME: an image below $W/NAME, whose server is $server
{
	mkdir -p "$W/$1"
	background nbdfuse -o allow_other "$W/$1/disk" --command nbdkit -s memory 16M 2>>"$W/nbdfuse.log"
	server=${children[-1]}
	within 10 test -s "$W/$1/disk" || skip_all "FUSE does not work here: $(tail -n 1 "$W/nbdfuse.log")"
	world_dirs+=("$W/$1")
}
storage nfs
attach sinner "$W/nfs/disk" xvda --cache buffered >/dev/null || bail 'not attached' "$W/check.out"
attach sinner "$(image own.img 8M)" xvdb >/dev/null
background hostxen run -d 1 -- synth-blkfront io xvda --no-reconnect --rw randrw --bs 4k --depth 8 --runtime 600 --json >"$W/stuck.out" 2>"$W/stuck.log"
hostxen run -d 1 -- synth-blkfront io xvdb --no-reconnect --rw randrw --bs 4k --depth 4 --rate 200 --verify --runtime 600 --json >"$W/own.out" 2>"$W/own.log" &
own=$!
check 'a guest uses storage that answers' within 20 more_requests sinner/xvda 100
check '... and a disk of its own beside it' within 20 more_requests sinner/xvdb 10
kill -STOP "$server"
stuck() { [ "$(stat_of sinner/xvda oldest_request_ns)" -gt 1000000000 ]; }
check 'storage that does not answer shows in stat: the oldest request ages' within 10 stuck
undisturbed 'storage that does not answer'
check '... nor are others kept from attaching' attach honest "$(image c.img 1M)" xvdc
ctl detach honest/xvdc --force >/dev/null
worker=$(show sinner/xvda .worker)
began=$(ms)
check 'a disk on it is taken away by force' ctl detach sinner/xvda --force
took=$(($(ms) - began))
check "... within ten seconds: $took ms" test "$took" -lt $((10000 + 1000 * slow))
is '... and is gone' "$(ctl list --json | jq -r '.devices[].device' | grep xvda | grep sinner)" ''
undisturbed 'a disk taken away by force'
if [ -d "/proc/$worker" ]; then
	pass '... though its worker cannot be killed'
	n=$(requests_of sinner/xvdb)
	is '... whose other disks wait for its end: nothing of theirs may still be on its way' "${n:-0}" 0
else
	skip '... though its worker cannot be killed' 'it could be, here'
	skip '... whose other disks wait for its end' 'it could be killed'
fi
kill -CONT "$server"
check 'when the storage answers again, the other disk of the guest goes on' goes_on 30 sinner/xvdb 10
kill -TERM $own
wait $own
is '... with every byte right' "$(jq -r '.errors, .mismatch' "$W/own.out" 2>/dev/null | tr '\n' ' ')" '0 false '
check '... and the storage can be attached again' attach sinner "$W/nfs/disk" xvda --cache buffered
check '... and works' bad 1 -n 20 51712 verify
world_end

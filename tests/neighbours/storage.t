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
ctl detach sinner/xvda --force >/dev/null

# What opens an image on it waits too, on a thread of the daemon's, and there may be many.
kill -STOP "$server"
sleep 1.5 # what the kernel knows of the file is out of date then
opens() # NUMBER
{
	local n
	for n in $(seq "$1"); do
		background synthctl attach disk sinner "$W/nfs/disk=$((51712 + 16 * (n + 1)))" --ro --user-frontend >>"$W/opens.log" 2>&1
	done
	within 20 opening "$1"
}
opening() { [ "$(ctl list sinner --json | jq '[.devices[] | select(.phase == "attaching")] | length')" = "$1" ]; }
check 'many images are opened whose storage does not answer' opens 12
kill -KILL "$(show honest/xvda .worker)"
check "... another guest's disk is opened again after its worker's death" goes_on 20 honest/xvda 10
check '... another guest is attached a disk' attach honest "$(image d.img 1M)" xvdd
check '... which is resized' ctl resize honest/xvdd 2M
ctl daemon upgrade >"$W/upgrade.out" 2>&1
is '... and the daemon is not upgraded, since it could not end these threads' $? 1
like '... which it says' "$(cat "$W/upgrade.out")" '[0-9]+ jobs for disks or nics do not end, since storage or a switch does not answer'
kill -KILL "$(show honest/xvda .worker)"
check '... but goes on as before' goes_on 20 honest/xvda 10
undisturbed 'many opens that do not end'
began=$(ms)
check 'the daemon stops with them' ctl daemon stop
check '... at once' blkd_wait_gone 5
kill -CONT "$server"
blkd_start
undisturbed 'a stop with many opens that did not end'

# A worker that cannot die, since requests of it are with a server that does not answer, is to be replaced.
hung() # NAME DEV: its server answers no more; its requests are with it
{
	storage "$1"
	nbdkit=$(pgrep -P "$server")
	attach sinner "$W/$1/disk" "$2" --cache buffered >/dev/null || return 1
	background hostxen run -d 1 -- synth-blkfront io "$2" --no-reconnect --rw randrw --bs 4k --depth 8 --runtime 600 --json >"$W/hung.out" 2>"$W/hung.log"
	within 20 more_requests sinner/$2 100 || return 1
	kill -STOP "$nbdkit"
	within 10 eval '[ "$(stat_of sinner/'"$2"' oldest_request_ns)" -gt 1000000000 ]'
}
ctl detach sinner/xvdb --force >/dev/null
check 'storage that has requests answers no more' hung hung1 xvda
worker=$(show sinner/xvda .worker) other=$(show honest/xvda .worker)
ctl daemon upgrade >"$W/upgrade.out" 2>&1
is 'an upgrade under it has an end' $? 1
like '... says whose worker is not served again' "$(cat "$W/upgrade.out")" 'sinner/xvda is not served by its new worker yet'
check "... and has replaced the other guest's" [ "$(show honest/xvda .worker)" != "$other" ]
if [ -d "/proc/$worker" ]; then pass '... though the old one cannot be killed'; else skip '... though the old one cannot be killed' 'it could be'; fi
undisturbed 'a worker that cannot die is to be replaced'
kill -CONT "$nbdkit"
check 'when the storage answers again the disk is served' goes_on 30 sinner/xvda 10
check 'such storage again' hung hung2 xvdb
ctl daemon upgrade >"$W/upgrade.out" 2>&1 &
upgrade=$!
quitting() { [ "$(ctl daemon status --json | jq '[.worker_list[] | select(.domid == 1 and .state == "quitting")] | length')" -gt 0 ]; }
within 20 quitting
began=$(ms)
check 'a disk is taken away by force while its worker is being replaced' ctl detach sinner/xvdb --force
took=$(($(ms) - began))
check "... within ten seconds: $took ms" test "$took" -lt $((10000 + 1000 * slow))
wait $upgrade
kill -CONT "$nbdkit"
check 'when the storage answers again the other disk is served' goes_on 30 sinner/xvda 10
undisturbed 'after all that'

# Whoever stops the daemon hears how that went, however long it takes.
check 'storage answers no more, once again' hung hung3 xvdc
check 'a stop waits for it in vain, and has gone well' timeout 100 synthctl daemon stop
check '... the daemon is gone' blkd_wait_gone 10
kill -CONT "$nbdkit"
blkd_start
check 'the next daemon serves that disk when the storage answers' goes_on 30 sinner/xvdc 10
undisturbed 'a stop that took its time'
world_end

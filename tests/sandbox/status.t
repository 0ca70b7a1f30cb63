#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What /proc says of a worker that serves a guest: user, capabilities, filter, namespaces, root, descriptors, memory.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
[ $slow = 1 ] || skip_all 'a build with sanitizers is confined less'
[ "$(id -u)" = 0 ] || skip_all 'the worker of a daemon that is not root is asked about in another user namespace'
base=1990000000
world_start --worker-uid-base $base
check 'a disk is attached' attach sinner "$(image a.img 8M)" xvda
check 'and another guest gets one' attach honest "$(image b.img 8M)" xvda
worker_of() # DOMAIN'S NAME
{
	local pid
	for pid in $(world_pids); do
		[ "$(cat "/proc/$pid/comm")" != synth-blkd-work ] || ! tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "--name $1 " || echo "$pid"
	done
}
worker=$(worker_of sinner) other=$(worker_of honest)
check 'each guest has a worker' [ -n "$worker" -a -n "$other" -a "$worker" != "$other" ]
field() { awk -v f="$1:" '$1 == f { $1 = ""; print substr($0, 2) }' "/proc/$worker/status"; }
for f in CapInh CapPrm CapEff CapBnd CapAmb; do
	is "$f is empty" "$(field $f)" 0000000000000000
done
is 'no new privileges' "$(field NoNewPrivs)" 1
is 'its calls are filtered' "$(field Seccomp)" 2
uid=$((base + 1))
is 'its user is of its guest' "$(field Uid)" "$uid $uid $uid $uid"
is 'its group too' "$(field Gid)" "$uid $uid $uid $uid"
is 'it is in no other group' "$(field Groups)" ''
is "another guest's worker is another user" "$(awk '$1 == "Uid:" { print $2 }' "/proc/$other/status")" $((base + 2))
for ns in mnt net ipc uts pid; do
	check "its $ns namespace is its own" [ "$(readlink "/proc/$worker/ns/$ns")" != "$(readlink "/proc/$$/ns/$ns")" ]
done
is 'its root is empty' "$(ls -A "/proc/$worker/root/")" ''
is 'one file system is all it has' "$(wc -l <"/proc/$worker/mountinfo")" 1
like 'which is read-only' "$(cat "/proc/$worker/mountinfo")" ' / / ro,'
is 'it has no network but its own, with nothing in it' "$(nsenter -t "$worker" -n ip -o link 2>/dev/null | wc -l)" 1
like 'no core is dumped' "$(grep 'core file' "/proc/$worker/limits")" ' 0 +0 '
is 'its /proc is for root' "$(stat -c %u "/proc/$worker/fd")" 0

check 'its guest is served' bad 1 -n 40 51712 verify
# null, log, control plane, signals, eventfds, rings, the grant device (hostxen: pipe and socket), image; no file beside.
odd=$(for fd in /proc/"$worker"/fd/*; do readlink "$fd"; done | sort | uniq -c |
	grep -vE ' (/dev/null|pipe:\[[0-9]+\]|socket:\[[0-9]+\]|anon_inode:\[?(eventfd|signalfd|io_uring|eventpoll)\]?|/memfd:.*|/dev/shm/synth-test-[^/]*/(a\.img|blkd\.log)|/dev/shm/.*journal/.*( \(deleted\))?|/dev/xen/(gntdev|evtchn)|'"$W"'/.*)$')
is 'it has no descriptor but those it was given' "$odd" ''
is "it has no other guest's image" "$(for fd in /proc/"$worker"/fd/*; do readlink "$fd"; done | grep -c b.img)" 0
rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$other/status")
check "an idle worker has at most 8 MiB: $rss KiB" [ "$rss" -le 8192 ]
check 'a memory map that can be run and written: none' eval '! grep -qE "^[0-9a-f-]+ .w.?x|^[0-9a-f-]+ rwx" "/proc/$worker/maps"'

# A base that is no number, and users that do not exist, are told.
synth-blkd --worker-uid-base x >"$W/wrong" 2>&1
is 'a base that is no number' "$?" 2
ctl detach sinner/xvda --force >/dev/null
world_end

# SPDX-License-Identifier: LGPL-2.1-or-later
# lifecycle.t - a disk from attach to detach: data stays, guests reboot, close, come back; sizes change under way.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
img=$(image a.img 16M)
front() { local d=$1; shift; guest "$d" timeout 40 synth-blkfront "$@"; } # DOMID ARGS...
gone() { ! ctl show sinner/xvda >/dev/null 2>&1; }
node() { dom0 xenstore-read "/local/domain/0/backend/vbd/1/51712/$1" 2>/dev/null; }

# ------------------------------------------------------------------ data stays
head -c 16M /dev/urandom >"$W/data"
attach sinner "$img" xvda >/dev/null
is 'a new device waits for the guest (state 2 from birth)' "$(node state)" 2
check 'the guest writes the whole disk' front 1 write xvda <"$W/data"
front 1 read xvda >"$W/back"
check 'and reads it back' cmp "$W/data" "$W/back"
check 'what is flushed is in the image' cmp "$W/data" "$img"
check 'detach when the guest has closed it' ctl detach sinner/xvda
check 'after a detach no node is left' not dom0 xenstore-exists /local/domain/0/backend/vbd/1/51712
check 'after a detach the front directory is gone' not dom0 xenstore-exists /local/domain/1/device/svbd/51712
attach sinner "$img" xvda >/dev/null
front 1 read xvda >"$W/back"
check 'attached again, the data is there' cmp "$W/data" "$W/back"
check 'the image is not locked after a detach' eval 'ctl detach sinner/xvda >/dev/null && flock -n "$img" true'
attach sinner "$img" xvda >/dev/null

# --------------------------------------------------- close, come back, reboot, crash
ten_times() { local i; for i in 1 2 3 4 5 6 7 8 9 10; do front 1 flush xvda || return 1; done; }
check 'opened and closed ten times in a row' ten_times
is 'after a clean close the device waits again' "$(within 5 equal '$(node state)' 2; node state)" 2
background hostxen run -d 1 -- "$badfront" -p -t 600000 51712 load >"$W/load"
within 10 grep -q serving "$W/load"
kill -KILL "${children[-1]}"
is 'the front end is killed: the back end does not move' "$(node state)" 4
front 1 read xvda >/dev/null
is 'a rebooted guest finds its disk' $? 0
before=$(requests_of sinner/xvda)
check 'I/O of a rebooted guest is verified' bad 1 -n 30 51712 verify

# Windows and boot loaders close before they have ever connected
within 5 equal '$(node state)' 2
guest 1 xenstore-write device/svbd/51712/state 5
check 'closing before connecting: Closing is answered (Windows)' within 5 equal '$(node state)' 5
guest 1 xenstore-write device/svbd/51712/state 6
check 'closing before connecting: Closed is answered' within 5 equal '$(node state)' 6
guest 1 xenstore-write device/svbd/51712/state 1
check 'closing before connecting: then it waits again' within 5 equal '$(node state)' 2
check 'and connects' bad 1 -n 5 51712 verify
# GRUB and OVMF: straight to 4, never 3; then to Closed without Closing
check 'a front end that never says Initialised is served (mini-os, OVMF)' bad 1 --set state=4 51712 publish
check 'and the next one' bad 1 -n 5 51712 verify

# ---------------------------------------------------------------- detach asks the guest
background hostxen run -d 1 -- synth-blkfront io xvda --rw randread --rate 100 --runtime 600 >"$W/io" 2>&1
goes_on 10 sinner/xvda 1
check 'detach from a guest that lets go' ctl detach sinner/xvda
check '... and the device is gone' within 5 gone
children_kill
attach sinner "$img" xvda >/dev/null
background hostxen run -d 1 -- "$badfront" -t 600000 51712 hold >"$W/hold"
within 10 test -s "$W/hold"
ctl detach sinner/xvda --wait 0.5 >/dev/null 2>&1
is 'a guest that keeps the disk: detach is refused' $? 4
check '... --force takes it' ctl detach sinner/xvda --force
check '... and nothing of the guest stays mapped' eval 'children_kill; within 5 guest_empty 1'

# ---------------------------------------------------------------------- online resize
attach sinner "$img" xvda >/dev/null
background hostxen run -d 1 -- synth-blkfront io xvda --rw randrw --verify --rate 200 --runtime 600 >"$W/io" 2>&1
io=${children[-1]}
within 10 more_requests sinner/xvda 20
is 'online resize: the device says its new size' "$(ctl resize sinner/xvda 32M --json | jq .size)" $((32 << 20))
is 'online resize: the guest is told in sectors' "$(node sectors)" $((32 << 11))
is 'online resize: the image has grown' "$(stat -c %s "$img")" $((32 << 20))
is 'online resize: the state stays Connected' "$(node state)" 4
check 'online resize: I/O goes on' goes_on 5 sinner/xvda 1
kill -TERM "$io"; within 10 not kill -0 "$io"
is 'online resize: a front end connected later sees it' "$(front 1 info xvda --json | jq .size)" $((32 << 20))
like 'online resize: the new part is served' "$(bad 1 -n 60 51712 verify)" 'verified 60'
truncate -s 24M "$img"
is 'resize without a size takes the image as it is' "$(ctl resize sinner/xvda --json | jq .size)" $((24 << 20))

# Somebody dies in the middle of it, when the image has its new size and the guest does not know yet.
rm "$W/io"
background hostxen run -d 1 -- synth-blkfront io xvda --rw randrw --verify --rate 200 --runtime 600 --size 8M >"$W/io" 2>&1
within 10 more_requests sinner/xvda 20
has_size() { [ "$(stat -c %s "$img")" = $(($1 << 20)) ]; }
knows() { [ "$(node sectors)" = $(($2 << 11)) ] && grep -q "resized from $(($1 << 11)) to $(($2 << 11)) sectors" "$W/io"; } # MIB MIB
middle() # MIB: the image has that size; the worker hangs, so that no more happens
{
	worker=$(show sinner/xvda .worker)
	kill -STOP "$worker"
	timeout 40 synthctl resize sinner/xvda "$1M" >"$W/resize.out" 2>&1 &
	resize=$!
	within 10 has_size "$1"
}
check 'the worker dies in a resize' middle 32
kill -KILL "$worker"
wait $resize
is '... which succeeds all the same' $? 0
check '... and the connected guest is told' within 10 knows 24 32
for mib in 36 40; do # (a stopped process of a group that becomes an orphan is sent SIGHUP: the first time the worker may quit)
	check 'the daemon dies in a resize' middle $mib
	kill -KILL "$blkd_pid"
	wait $resize
	kill -CONT "$worker"
	blkd_start
	check '... the next one tells the connected guest' within 10 knows $((mib - 4)) $mib
done
check 'both die in a resize' middle 48
kill -KILL "$blkd_pid" "$worker"
wait $resize
blkd_start
check '... the next ones tell the connected guest' within 10 knows 40 48
check '... whose I/O goes on' goes_on 10 sinner/xvda 1
check 'a resize is asked for while another goes on' middle 56
is '... it is refused' "$(ctl resize sinner/xvda >/dev/null 2>&1; echo $?)" 4
kill -CONT "$worker"
wait $resize
is '... and the other succeeds' "$? $(node sectors)" "0 $((56 << 11))"
ctl detach sinner/xvda --force >/dev/null

# ------------------------------------------------------------- domain destroy, 50 cycles
fds() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
nodes() { dom0 xenstore-ls -f / | grep -cE 'vbd|/domain/[34]'; }
cycle() # DOMID
{
	local d=$1 pid
	hostxen create "$d" --name "cycle$d" || return 1
	attach "cycle$d" "$W/c$d.img" xvda --queues 2 >/dev/null || return 1
	rm -f "$W/load$d"
	hostxen run -d "$d" -- "$badfront" -p -q 2 -t 60000 51712 load >"$W/load$d" 2>&1 &
	pid=$!
	disown $pid
	within 10 grep -q serving "$W/load$d" || return 1
	hostxen destroy "$d" --kill || return 1
	within 10 no_device "$d" && within 10 no_domain "$d"
}
cycles() { local d=$1 n=$2 i; for i in $(seq "$n"); do cycle "$d" || return 1; done; }
# by number: the name goes with the domain
no_device() { ctl list --json | jq -e "[.devices[] | select(.domid == $1)] == []"; }
no_domain() { [ -z "$(dom_info "$1" state)" ]; }
image c3.img 4M >/dev/null
image c4.img 4M >/dev/null
cycles 3 1 >"$W/cycle" 2>&1
base="fds $(fds "$blkd_pid") ports $(dom_info 0 ports) nodes $(nodes)"
cycles 4 25 >"$W/cycle4" 2>&1 &
other=$!
check '50 domains destroyed with I/O in flight, two at a time: the first 25' cycles 3 25
wait $other
is '... the other 25' "$? $(cat "$W/cycle4")" '0 '
settled() { [ "fds $(fds "$blkd_pid") ports $(dom_info 0 ports) nodes $(nodes)" = "$base" ]; }
within 5 settled
is 'after 50 destroyed domains: file descriptors, ports and nodes as after the first' \
	"fds $(fds "$blkd_pid") ports $(dom_info 0 ports) nodes $(nodes)" "$base"
is 'after 50 destroyed domains: no worker is left' "$(pgrep -P "$blkd_pid" | wc -l)" 0
world_end

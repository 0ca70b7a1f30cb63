# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a write the dead worker had in flight lands late: its successor waits for that, so that what the guest wrote after is not overwritten
# time: 120
# A block device whose writes take as long as the case wants: nbd, served by a script.
img=$(image late.img 1M)
late=$LAB/late
rm -rf $late
mkdir -p $late
modprobe nbd
pwrite='
if [ -e '$late'/hold ]; then
	dd of='$late'/data 2>/dev/null
	echo >'$late'/held
	until [ -e '$late'/release ]; do sleep 0.1; done
	exec <'$late'/data
fi
dd of='$img' bs=512 seek=$(($4 / 512)) conv=notrunc 2>/dev/null
[ ! -e '$late'/held ] || echo >>'$late'/landed'
nbdkit -f -U $late/sock -t 8 eval thread_model='echo parallel' get_size="stat -c %s $img" can_write=true \
	pread="dd if=$img bs=512 skip=\$((\$4 / 512)) count=\$((\$3 / 512)) 2>/dev/null" pwrite="$pwrite" >$late/log 2>&1 9>&- &
eventually 10 test -S $late/sock
nbd-client -unix $late/sock /dev/nbd0
attach file:/dev/nbd0 xvdb
g 'wait_dev xvdb'
put='sector() { yes "$1" | head -c 512 | dd of=/dev/xvdb bs=512 count=1 iflag=fullblock oflag=direct 2>/dev/null; }'
g "$put; sector one"
[ "$(field xvdb cache)" = direct ]
[ "$(head -c 3 "$img")" = one ]

watch_states
touch $late/hold
g "$put; (sector two; echo >/tmp/two) >/dev/null 2>&1 &"
eventually 20 test -e $late/held
# From here on writes are quick again, but for the one that is held.
rm $late/hold
worker=$(field xvdb worker)
kill -9 "$worker"
# Without a fence the successor does it again at once, and the guest goes on with a sector for which a write is still under way.
answered() { g '[ -e /tmp/two ]'; }
if eventually 4 answered; then
	g "$put; sector three"
	touch $late/release
	eventually 20 test -s $late/landed
	sleep 1
	fail "the guest was answered while the dead worker's write was under way; it wrote 'three' after it, the image has '$(head -c 5 "$img" | head -n 1)'"
fi
[ ! -e $late/landed ]
touch $late/release
eventually 30 answered
another_worker xvdb "$worker"
g "$put; rm /tmp/two; sector three"
[ "$(head -c 5 "$img")" = three ]
sleep 1
[ "$(head -c 5 "$img")" = three ]
states_stood
detach xvdb
nbd-client -d /dev/nbd0

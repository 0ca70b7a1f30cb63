# SPDX-License-Identifier: LGPL-2.1-or-later
# what: synth-netfront against the kernel's own xen-netback: a TAP in the guest, ping and TCP of two kernels both ways, every byte; closed so that it could be opened again
# time: 300
d=$(xl domid "$G")
front=/local/domain/$d/device/svif/7
back=/local/domain/0/backend/vif/$d/7
vif=vif$d.7
modprobe -q tun || true
xenstore-write $front ''
xenstore-chmod $front n$d r0
xenstore-write $front/backend $back $front/backend-id 0 $front/handle 7 $front/mac 00:16:3e:00:00:07 $front/state 1
xenstore-write $back ''
xenstore-chmod $back n0 r$d
xenstore-write $back/frontend $front $back/frontend-id $d $back/handle 7 $back/mac 00:16:3e:00:00:07 $back/script /bin/true \
	$back/online 1 $back/hotplug-status connected $back/state 1
eventually 20 [ -e /sys/class/net/$vif ]
eventually 20 sh -c "[ \$(xenstore-read $back/state) = 2 ]"
ifconfig $vif 10.77.0.1 netmask 255.255.255.0 up
g 'synth-netfront list; synth-netfront info eth7'
noted g -t 60 'synth-netfront io eth7 --frames 2000 --queues 2 --kind udp4 --csum --size 82-1514'
[ "$(xenstore-read $back/state $front/state | xargs)" = '2 1' ]
g 'modprobe tun; (synth-netfront up eth7 --queues 2 >/tmp/up.log 2>&1 & echo $! >/tmp/pid)
	eventually 20 grep -q " is up as" /tmp/up.log || { cat /tmp/up.log; exit 1; }
	cat /tmp/up.log; ifconfig eth7 10.77.0.2 netmask 255.255.255.0 up'
g -t 60 'ping -c 5 -W 10 10.77.0.1'
g -t 60 'ping -c 3 -W 10 -s 8000 10.77.0.1'
head -c 4194304 /dev/urandom >/tmp/net-file
want=$(md5sum </tmp/net-file | cut -d' ' -f1)
# From the host to the guest, and back.  busybox's nc ends when its input does, so its input stays open; and nothing that
# stays may hold the output of g.
(cat /tmp/net-file; exec sleep 100) 2>/dev/null | nc -l -p 7001 >/dev/null 2>&1 &
got=$(g -t 100 ': >/tmp/got; sleep 100 2>/dev/null </dev/null | nc 10.77.0.1 7001 >/tmp/got 2>/dev/null &
	i=0; until [ "$(wc -c </tmp/got)" -ge 4194304 ]; do i=$((i + 1)); [ $i -lt 80 ] || break; sleep 1; done
	md5sum </tmp/got' | cut -d' ' -f1)
[ "$got" = "$want" ]
sleep 100 </dev/null 2>/dev/null | nc -l -p 7002 >/tmp/back-file 2>/dev/null &
g '(cat /tmp/got; exec sleep 100) 2>/dev/null </dev/null | nc 10.77.0.1 7002 >/dev/null 2>&1 &'
eventually 60 sh -c '[ "$(wc -c </tmp/back-file)" -ge 4194304 ]'
[ "$(md5sum </tmp/back-file | cut -d' ' -f1)" = "$want" ]
note "the host's interface: $(ifconfig $vif | grep -E 'RX packets|TX packets|bytes' | xargs)"
g 'kill $(cat /tmp/pid); exits $(cat /tmp/pid) 10 && cat /tmp/up.log'
[ "$(xenstore-read $back/state $front/state | xargs)" = '2 1' ]
xenstore-rm $front
xenstore-rm $back
xenstore-rm /local/domain/$d/device/svif || true
eventually 20 [ ! -e /sys/class/net/$vif ]

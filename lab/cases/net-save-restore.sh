# SPDX-License-Identifier: LGPL-2.1-or-later
# what: xl save -c, xl save and xl restore in the middle of a transfer: it goes on with the same bytes, and nobody has to do anything
# guest: own
# time: 300
G=saved-$TYPE
bridge lan 2
guest_boot "$G"
attach_nic eth0 --bridge lan --queues 2 --rate 1Mb/s
g 'net_up eth0 2 && reaches 10.9.2.1 && head -c 4194304 /dev/urandom >/tmp/up && (httpd -p "[::]:80" -h /tmp || true)'
want=$(g 'md5sum </tmp/up' | cut -d' ' -f1)
# Its rate makes it last half a minute.
wget -q -O /tmp/got http://10.9.2.2/up 9>&- &
transfer=$!
got() { [ "$(wc -c </tmp/got)" -ge "$1" ]; }
eventually 20 got 200000
xl save -c "$G" /srv/state
rm /srv/state
[ "$(field eth0 state)" = Connected ]
n=$(wc -c </tmp/got)
eventually 20 got $((n + 200000))
first=$(domid)
xl save "$G" /srv/state
eventually 10 refuses running
nothing_left
n=$(wc -c </tmp/got)
refuses got 4194304
xl restore /srv/state
rm /srv/state
[ "$(domid)" != "$first" ]
connected() { [ "$(field eth0 state)" = Connected ]; }
eventually 30 connected
[ "$(field eth0 max_queues)" = 2 ]
[ -e /sys/class/net/lan/brif/vif"$(domid)".0 ]
eventually 20 got $((n + 1))
wait $transfer
[ "$(sum /tmp/got)" = "$want" ]
note "$n of 4194304 bytes were there when the guest was saved"
rm /tmp/got
guest_destroy "$G"
eventually 20 nothing_left
# Destroyed, not suspended: nothing is kept for another life.
refuses xenstore-exists /synth
no_bridge lan

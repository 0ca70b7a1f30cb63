# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a guest with a nic from its first moment reboots in the middle of traffic: the new domain boots with the same nic on the same bridge
# guest: own
# time: 200
G=again-$TYPE
bridge lan 2
guest_create "$G" "on_reboot='restart'"
synthctl attach nic "$G" --dev eth0 --bridge lan --mac 00:16:3e:0a:0b:0c --rate 1000Mb/s
xl unpause "$G"
guest_wait "$G"
first=$(domid)
g 'net_up eth0 2 && reaches 10.9.2.1'
iperf_server
g '(iperf3 -c 10.9.2.1 -t 100 --bidir >/dev/null 2>&1 &)'
moved() { [ "$(counter eth0 tx_packets)" -ge 300 ]; }
eventually 30 moved
g '(usleep 300000; reboot -f) >/dev/null 2>&1 &'
new_domain() { id=$(domid) && [ -n "$id" ] && [ "$id" != "$first" ]; }
eventually 60 new_domain
guest_wait "$G"
old_gone() { [ -z "$(leftovers "$first")" ]; }
eventually 10 old_gone
# Nobody attached it again: it was there when the new kernel looked.
[ -e /sys/class/net/lan/brif/vif"$id".0 ]
g 'net_up eth0 2 && [ "$(cat /sys/class/net/$(nic eth0)/address)" = 00:16:3e:0a:0b:0c ] && reaches 10.9.2.1'
[ "$(field eth0 rate)" != null ]
random /srv/down 1
[ "$(to_guest 10.9.2.1 down)" = "$(sum /srv/down)" ]
guest_destroy "$G"
eventually 20 nothing_left
refuses xenstore-exists /synth
no_bridge lan

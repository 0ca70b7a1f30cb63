# SPDX-License-Identifier: LGPL-2.1-or-later
# what: xl network-list shows our nic, xentop -b counts its traffic, xl network-detach takes it away
# time: 60
# On a bridge: where a host has none, xentop (4.17) takes every interface for one of dom0's own.
bridge lan 2
attach_nic eth0 --bridge lan --mac 00:16:3e:0a:0b:0c
g 'net_up eth0 2 && reaches 10.9.2.1 && ping -c 20 -i 0.05 -s 1400 10.9.2.1 >/dev/null'
xl network-list "$G"
xl network-list "$G" | awk '$1 == 0 && $3 == "00:16:3e:0a:0b:0c" && $5 == 4 { found = 1 } END { exit !found }'
# Columns are found by their names.  What it counts is what passed: KiB from the guest (TX) and to it.
xentop -b -i 1 -n >$LAB/xentop
cat $LAB/xentop
awk -v g="$G" '$1 == "NAME" { for (i = 1; i <= NF; i++) at[$i] = i }
	$1 == g { ok = $at["NETS"] == 1 && $at["NETTX(k)"] >= 28 && $at["NETRX(k)"] >= 28 } END { exit !ok }' $LAB/xentop
xl network-detach "$G" 0
g no_nic eth0
eventually 10 nothing_left
refuses synthctl show "$G/eth0"
[ -z "$(xl network-list "$G" | awk 'NR > 1')" ]
no_bridge lan

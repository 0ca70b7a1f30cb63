# SPDX-License-Identifier: LGPL-2.1-or-later
# what: synthctl daemon upgrade, time and again, under fio --verify with trims and flushes, and of a nic in the middle of a transfer: each time another worker of the same daemon; the guest sees pauses, no error; no state moves, nothing leaks
# time: 300
upgrades=${UPGRADES:-3}
load_disks
attach_nic eth0
net_up eth0 1
random /srv/down 4
before=$(holds blkd xvdb)
era=$(synthctl daemon status --json | jq .era)
watch_states
# upgraded CLASS DEV: the daemon's own measure of the pause is added to $told, ms.
told=
upgraded() {
	_old=$(field "$2" worker)
	synthctl daemon upgrade "$1" --json >$LAB/upgrade.json
	told="$told $(jq '.pause.max_us / 1000 | floor' $LAB/upgrade.json)"
	another_worker "$2" "$_old"
}
load_start "$upgrades"
goes_on
n=0
while [ $n -lt "$upgrades" ]; do
	usleep $((RANDOM % 1000 * 1000))
	upgraded disk xvdb
	[ "$(field xvdb worker)" = "$(field xvdc worker)" ]
	goes_on
	n=$((n + 1))
done
# One that cannot take over changes nothing.
worker=$(field xvdb worker)
refuses synthctl daemon upgrade disk --program /bin/false
[ "$(field xvdb worker)" = "$worker" ]
goes_on
noted load_stop
note "pauses of $upgrades upgrades: $(load_pauses) in the guest, and as the daemon measured them$told ms"
[ "$(synthctl daemon status --json | jq '.pid, .era' | xargs)" = "$(cat $LAB/blkd.pid) $((era + upgrades))" ]

told=
netstat -ltn | grep -q ':80 ' || httpd -p '[::]:80' -h /srv 9>&-
g '(rm -f /tmp/down.*; wget -q -O - http://10.9.1.1/down | md5sum >/tmp/down.new; mv /tmp/down.new /tmp/down.sum) >/dev/null 2>&1 &'
sent() { [ "$(counter eth0 rx_packets)" -gt 50 ]; }
eventually 20 sent
upgraded nic eth0
[ "$(g -t 60 'ends /tmp/down.sum 50 && cat /tmp/down.sum' | cut -d' ' -f1)" = "$(sum /srv/down)" ]
note "the nic's pause, as the daemon measured it:$told ms"
g 'rm /tmp/down.sum'
states_stood
gone() { no_more_than "$before" "$(holds blkd xvdb)"; }
eventually 10 gone || fail "before: $before, after: $(holds blkd xvdb)"
detach eth0
detach xvdb
detach xvdc
[ "$(mapped "$id")" = "$mappings" ]
blkverify --scan "$other"

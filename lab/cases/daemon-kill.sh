# SPDX-License-Identifier: LGPL-2.1-or-later
# what: kill -9 of the control plane under load: the worker goes on without it, a new daemon finds it and takes it over; then both die at once
# time: 500
load_disks
watch_states
load_start 6
goes_on
worker=$(field xvdb worker)
kill_daemon() {
	kill -9 "$(cat $LAB/blkd.pid)"
	eventually 5 refuses daemon_runs blkd
}
found() { [ "$(field xvdb state) $(field xvdc state)" = 'Connected Connected' ]; }
for i in 1 2 3 4; do
	kill_daemon
	goes_on
	daemon_start blkd
	eventually 10 found
	[ "$(field xvdb worker)" = "$worker" ]
	[ "$(field xvdc worker)" = "$worker" ]
	goes_on
done
# The worker it found is watched over as one of its own.
kill -9 "$worker"
eventually 20 another_worker xvdb "$worker"
goes_on
worker=$(field xvdb worker)
kill -9 "$worker"
kill_daemon
daemon_start blkd
eventually 20 another_worker xvdb "$worker"
goes_on
noted load_stop
note "the longest pauses: $(load_pauses)"
states_stood
# It also takes orders.
truncate -s 12M "$img"
synthctl resize "$G/xvdb"
g 'grown() { [ "$(cat /sys/block/xvdb/size)" = 24576 ]; }; eventually 20 grown'
detach xvdb
detach xvdc
[ "$(mapped "$id")" = "$mappings" ]
blkverify --scan "$other"

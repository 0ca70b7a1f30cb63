# SPDX-License-Identifier: LGPL-2.1-or-later
# what: synth-netd killed, and its worker, in the middle of transfers both ways: the guest's nic pauses, no byte is wrong, nothing has to be attached again
# time: 200
random /srv/down 6
attach_nic eth0 --queues 2
net_up eth0 1
g 'head -c 6291456 /dev/urandom >/tmp/up; (httpd -p "[::]:80" -h /tmp || true)'
want=$(g 'md5sum </tmp/up' | cut -d' ' -f1)
netstat -ltn | grep -q ':80 ' || httpd -p '[::]:80' -h /srv 9>&-
for who in worker daemon both; do
	g '(rm -f /tmp/down.sum; wget -q -O - http://10.9.1.1/down | md5sum >/tmp/down.new; mv /tmp/down.new /tmp/down.sum) >/dev/null 2>&1 &'
	wget -q -O /tmp/got http://10.9.1.2/up 9>&- &
	transfer=$!
	got() { [ "$(wc -c </tmp/got)" -ge 300000 ]; }
	eventually 20 got
	worker=$(field eth0 worker)
	case $who in worker | both) kill -9 "$worker" ;; esac
	case $who in
	daemon | both)
		kill -9 "$(cat $LAB/netd.pid)"
		eventually 5 refuses daemon_runs netd
		daemon_start netd
		;;
	esac
	# A worker serves on while there is no daemon, and the next one finds it.
	case $who in
	daemon) served() { [ "$(field eth0 worker)" = "$worker" ] && [ "$(field eth0 state)" = Connected ]; } ;;
	*) served() { another_worker eth0 "$worker"; } ;;
	esac
	eventually 20 served
	wait $transfer
	[ "$(sum /tmp/got)" = "$want" ]
	[ "$(g -t 60 'ends /tmp/down.sum 50 && cat /tmp/down.sum' | cut -d' ' -f1)" = "$(sum /srv/down)" ]
	rm /tmp/got
done
[ "$(xenstore-read "/local/domain/$(domid)/device/vif/0/state")" = 4 ]
g 'rm /tmp/up'
detach eth0

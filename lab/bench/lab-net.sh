# SPDX-License-Identifier: LGPL-2.1-or-later
# what: our nic against the kernel's xen-netback: one guest with both, iperf3 TCP each way, small UDP packets each way, interleaved
# guest: own
# time: 6000
# Each measurement is a line "sample {...}"; `./bench lab-net` runs this and makes the table.
: "${ROUNDS:=3}" "${SECONDS_EACH:=3}" "${CASES:=tcp-out tcp-in udp-out udp-in}" "${COUNTS:=1}"
G=bench-$TYPE
set +x
[ "$(xl info nr_cpus)" -lt 2 ] || xl vcpu-pin 0 0 0
guest_boot "$G" "vcpus=1" $([ "$(xl info nr_cpus)" -lt 2 ] || echo "cpus='1'")
d=$(domid)
attach_nic eth0 -q ${POLL:+--poll-us $POLL}
net_up eth0 1 >/dev/null

# The kernel's, as its hotplug script would leave it.  All at once: a front end that finds no back end to read gives up.
front=/local/domain/$d/device/vif/7 back=/local/domain/0/backend/vif/$d/7
xenstore-write $front ''
xenstore-chmod $front "n$d" r0
xenstore-write $back ''
xenstore-chmod $back n0 "r$d"
xenstore-write $back/frontend $front $back/frontend-id "$d" $back/handle 7 $back/mac 00:16:3e:00:00:07 $back/script /bin/true \
	$back/online 1 $back/hotplug-status connected $front/backend $back $front/backend-id 0 $front/handle 7 $front/mac 00:16:3e:00:00:07 \
	$front/state 1 $back/state 1
is_there() { [ -e "/sys/class/net/vif$d.7" ]; }
eventually 20 is_there
host_net "vif$d.7" 7
g 'net_up eth7 7 && reaches 10.9.7.1 && reaches 10.9.1.1' || fail 'the guest does not reach dom0'

worker=$(field eth0 worker)
net_of() { case $1 in synth) echo 1 ;; netback) echo 7 ;; esac; }
if_of() { case $1 in synth) vif eth0 ;; netback) echo "vif$d.7" ;; esac; }
# All that dom0 did, iperf3 too: half of netback is no process's, but the network's softirq.
ticks() { awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
irqs='awk "/vif|eth|enX/ { for (i = 2; i <= NF && \$i ~ /^[0-9]+\$/; i++) n += \$i } END { print n + 0 }" /proc/interrupts'
# What dom0's interface has seen, both ways: packets (wire frames; of TCP they may be long ones).
packets() { awk -v i="$(if_of "$1"):" '$1 == i { print $3 + $11 }' /proc/net/dev; }
load() { # CASE WHO SECONDS: bits a second that arrived; for UDP packets a second
	_ip=10.9.$(net_of "$2").1
	case $1 in
	tcp-out) iperf $_ip -t "$3" ;;
	tcp-in) iperf $_ip -t "$3" -R ;;
	# 64-byte frames: 22 bytes of payload behind Ethernet, IP and UDP.
	udp-out) iperf $_ip -t "$3" -u -b 0 -l 22 >/dev/null && udp_rate ;;
	udp-in) iperf $_ip -t "$3" -u -b 0 -l 22 -R >/dev/null && udp_rate ;;
	esac
}
udp_rate() { jq '.end.sum | (.packets - .lost_packets) / .seconds * 10 | floor / 10' $LAB/iperf.json; }
measure() { # CASE WHO ROUND
	t0=$(ticks) p0=$(packets "$2") i0=$(g "$irqs")
	rate=$(load "$1" "$2" "$SECONDS_EACH") || fail "$1 on $2"
	t1=$(ticks) p1=$(packets "$2") i1=$(g "$irqs")
	say "sample {\"case\": \"$1\", \"who\": \"$2\", \"round\": $3, \"rate\": $rate, \"packets\": $((p1 - p0)), \"irqs\": $((i1 - i0)), \"cpu_ticks\": $((t1 - t0)), \"seconds\": $SECONDS_EACH}"
}
round=0
while [ $round -lt "$ROUNDS" ]; do
	for case in $CASES; do
		order='synth netback'
		[ $((round % 2)) = 0 ] || order='netback synth'
		for who in $order; do measure $case "$who" $round; done
	done
	round=$((round + 1))
done

# --- system calls a packet, apart since strace slows what it watches ---
copies() { echo $(($(counter eth0 tx_copy_calls) + $(counter eth0 rx_copy_calls))); }
if [ "$COUNTS" = 1 ]; then
	for case in $CASES; do
		strace -f -c -S name -o /tmp/strace.out -p "$worker" >/dev/null 2>&1 9>&- &
		tracer=$!
		usleep 500000
		p0=$(packets synth) c0=$(copies)
		rate=$(load $case synth 2) || :
		p1=$(packets synth) c1=$(copies)
		kill -INT $tracer
		wait $tracer || :
		calls=$(awk -v n=$((p1 - p0)) 'NR > 2 && $NF != "total" && $4 ~ /^[0-9]+$/ && $4 / n >= 0.005 { printf "%s\"%s\": %.3f", s, $NF, $4 / n; s = ", " }' /tmp/strace.out)
		say "calls {\"case\": \"$case\", \"who\": \"synth\", \"packets\": $((p1 - p0)), \"copy_calls\": $((c1 - c0)), \"per_packet\": {$calls}}"
	done
fi
synthctl --json stat "$G/eth0" | jq -c '.devices[0].metrics | with_entries(select(.value != 0))' | { read -r l; say "stat $l"; }

# --- down ---
xenstore-write $front/state 5 || :
xenstore-rm $front || :
xenstore-rm $back || :
detach eth0
guest_destroy "$G"
eventually 20 nothing_left || :

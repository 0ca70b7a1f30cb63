# SPDX-License-Identifier: LGPL-2.1-or-later
# net.sh - sourced by ./demo: guests web1 and web2 get nics in a bridge of the host.
#
# The host and each guest have a network of their own here: a network namespace that a sleeping process holds.  The bridge
# and the TAPs are in the host's, so nothing of this machine's own network is touched, and all of it is gone when the three
# processes are.  They go with the demo, even when it is killed.
net_names=(host web1 web2)
net4=([0]=192.0.2.1 [1]=192.0.2.11 [2]=192.0.2.12)
net6=([0]=fd00:77::1 [1]=fd00:77::11 [2]=fd00:77::12)
holder=() nic_up=() has_ipv6=
netd_pid=

# Why there are no networks in the demo; nothing when there can be.
net_why_not()
{
	local tool said
	for tool in ip ping iperf3 unshare nsenter setpriv; do
		command -v $tool >/dev/null || { echo "$tool is not installed"; return; }
	done
	[ "$(id -u)" = 0 ] || { echo 'namespaces, a bridge and TAPs need root: as root ./demo shows them'; return; }
	said=$(unshare -nm mount -t sysfs sysfs /sys 2>&1) || { echo "no namespaces may be made here ($said)"; return; }
	said=$(unshare -n ip tuntap add dev probe0 mode tap 2>&1) || { echo "no TAP can be made here (${said:-/dev/net/tun})"; return; }
	said=$(unshare -n ip link add probe0 type bridge 2>&1) || { echo "no bridge can be made here ($said)"; return; }
}

in_net() { local i=$1; shift; nsenter -t "${holder[i]}" -n -m -- "$@"; } # 0 the host, 1 web1, 2 web2
net_typed() # I CMD...: a command in one of the networks, and what it says
{
	local i=$1
	shift
	printf '    %s $ %s\n' "${net_names[i]}" "$*"
	in_net "$i" "$@" 2>&1 | indent
}

net_make()
{
	local i
	step 'Three networks of their own: the host with a bridge, and each guest'
	for i in 0 1 2; do
		setpriv --pdeathsig KILL unshare -nm sleep infinity &
		holder[i]=$!
		pids+=("${holder[i]}")
		within 5 net_apart "${holder[i]}" || fail 'no network namespace'
		in_net $i mount -t sysfs sysfs /sys # as that network sees it
		in_net $i ip link set lo up
	done
	[ ! -e /proc/sys/net/ipv6 ] || has_ipv6=1
	net_typed 0 ip link add br0 type bridge
	net_typed 0 ip link set br0 up
	net_address 0 br0
	[ -n "$has_ipv6" ] || note 'this machine has no IPv6: IPv4 alone'
}
net_apart() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
net_address() # I DEVICE
{
	net_typed "$1" ip addr add "${net4[$1]}/24" dev "$2"
	[ -z "$has_ipv6" ] || net_typed "$1" ip addr add "${net6[$1]}/64" dev "$2" nodad
}

net_attach()
{
	local i
	step 'Start synth-netd in dom0, and attach a nic to each guest'
	daemon_start synth-netd nsenter -t "${holder[0]}" -n -m -- synth-netd
	netd_pid=$daemon_pid
	hostxen create 2 --name web2
	for i in 1 2; do
		shown synthctl attach nic "web$i" --bridge br0 --user-frontend
	done
	net_typed 0 ip -br link show master br0

	step 'The guests bring their nics up'
	for i in 1 2; do
		printf '    web%s $ synth-netfront up eth0 &\n' "$i"
		hostxen run -d "$i" -- nsenter -t "${holder[i]}" -n -m -- synth-netfront up eth0 >"$W/web$i.out" 2>"$W/guest-web$i.log" &
		nic_up[i]=$!
		pids+=("${nic_up[i]}")
	done
	for i in 1 2; do
		within 15 grep -q ' is up as ' "$W/web$i.out" || fail "web$i does not bring up its nic"
		indent <"$W/web$i.out"
		net_address "$i" eth0
	done
	shown synthctl list
}

net_ping() # FROM TO ADDRESS: all come back
{
	local said
	said=$(in_net "$1" ping -q -A -c 10 -w 10 "$3" 2>&1) || fail "${net_names[$1]} does not reach ${net_names[$2]} ($3): $said"
	grep -q '^10 packets transmitted, 10 received, 0% packet loss' <<<"$said" || fail "${net_names[$1]} to ${net_names[$2]} ($3): $said"
	note "$(printf '%-4s -> %-4s %-13s 10 of 10, %s' "${net_names[$1]}" "${net_names[$2]}" "$3" "$(sed -n 's/^rtt //p' <<<"$said" | cut -d, -f1)")"
}
net_pings()
{
	local pair
	step 'They ping each other and the host'
	for pair in '1 0' '0 1' '1 2' '2 1' '2 0'; do
		set -- $pair
		net_ping "$1" "$2" "${net4[$2]}"
		[ -z "$has_ipv6" ] || net_ping "$1" "$2" "${net6[$2]}"
	done
}

net_tcp() # FROM TO ADDRESS: a second each way; TCP itself verifies what comes
{
	local back speed
	for back in '' --reverse; do
		in_net "$1" timeout 20 iperf3 --client "$3" --time 1 --json $back >"$W/iperf.json" 2>"$W/iperf.log" ||
			fail "iperf3 $back to $3: $(jq -r '.error // empty' "$W/iperf.json")"
		speed=$(jq -r '.end.sum_received.bits_per_second / 1e9 * 100 | floor / 100' "$W/iperf.json")
		[ "$(jq '.end.sum_received.bytes > 1000000' "$W/iperf.json")" = true ] || fail "iperf3 $back to $3: next to nothing came"
		note "$(printf '%-4s %s %-4s %-13s %6.2f Gb/s' "${net_names[$1]}" "$([ -z "$back" ] && echo '->' || echo '<-')" "${net_names[$2]}" "$3" "$speed")"
	done
}
net_bulk()
{
	local i pair
	step 'TCP in bulk, both ways'
	for i in 0 2; do
		# not by in_net: the shell that runs a function would be what is killed in the end
		nsenter -t "${holder[i]}" -n -m -- iperf3 --server >"$W/iperf-server-${net_names[i]}.log" 2>&1 &
		pids+=("$!")
		within 10 net_listens $i || fail 'iperf3 does not listen'
	done
	for pair in '1 0' '1 2'; do
		set -- $pair
		net_tcp "$1" "$2" "${net4[$2]}"
		[ -z "$has_ipv6" ] || net_tcp "$1" "$2" "${net6[$2]}"
	done
}
net_listens() { in_net "$1" ss -Hltn | grep -q ':5201 '; }

net_known()
{
	step 'What the host knows of the nics'
	shown synthctl list
	note ''
	shown synthctl show web1/eth0
	note ''
	printf '    $ synthctl stat web1/eth0\n'
	synthctl stat web1/eth0 -H >"$W/stat.out"
	grep -E ' (tx_packets|tx_bytes|tx_gso_packets|tx_errors|tx_dropped|rx_packets|rx_bytes|rx_gso_packets|rx_dropped|events_in|events_out) ' "$W/stat.out" | indent
	[ "$(synthctl stat web1/eth0 -H | awk '$2 == "tx_errors" { print $3 }')" = 0 ] || fail 'the guest sent what cannot be'
}

net_end()
{
	local i
	for i in 1 2; do
		shown synthctl detach "web$i/eth0"
	done
	note 'the front ends wait ten seconds, in case they come back'
	for i in 1 2; do
		within 30 not_running "${nic_up[i]}" || fail "web$i's front end does not end"
	done
	[ -z "$(in_net 0 ip -o link show master br0)" ] || fail 'a TAP is left in the bridge'
	note 'their TAPs are gone'
	synthctl daemon stop nic
	within 10 not_running "$netd_pid" || fail 'synth-netd does not stop'
	hostxen destroy 2
}

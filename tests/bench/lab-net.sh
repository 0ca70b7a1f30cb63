# SPDX-License-Identifier: LGPL-2.1-or-later
#: nics on real Xen in QEMU (docs/lab.md): synth-netd's TAP against the kernel's xen-netback, one stock guest with both, iperf3;
#: system calls a packet.  Minutes.  `-- pvh` for a PVH guest
#: cases: tcp-out tcp-in udp-out udp-in
# Sourced by ./bench.  The measuring itself is lab/bench/lab-net.sh, in dom0; here are its lines made a table.
. "$src/tests/bench/lib/lab.sh"

suite_run()
{
	lab_measure lab-net "${args[0]:-pv}" "CASES='${only:-tcp-out tcp-in udp-out udp-in}'"
	jq -c 'select(.what == "sample") | . + {frames: (.packets / .seconds), irqs_cost: (if .packets > 0 then .irqs / .packets else null end), back_cost: (if .packets > 0 then .cpu_ticks / .packets else null end)}' \
		"$W/lab.json" >"$samples"
	jq -c 'select(.what == "calls") | {case, metric: "system calls of the back end per packet of the interface (ioctl \(.per_packet.ioctl // 0); grant copies \(.copy_calls / ([.packets, 1] | max) * 1000 | round / 1000))",
		ours: ([.per_packet[]] | add), peer: null, peer_name: null, ratio: null, spread: null, target: ""}' "$W/lab.json" >>"$rows"
}
suite_rows='
	row("tcp-out"; "TCP, guest to dom0, Mb/s"; "rate"; "netback"; ">= 1.0"),
	row("tcp-in"; "TCP, dom0 to guest, Mb/s"; "rate"; "netback"; ">= 1.0"),
	row("udp-out"; "64-byte UDP, guest to dom0, packets/s received"; "rate"; "netback"; ">= 1.0"),
	row("udp-in"; "64-byte UDP, dom0 to guest, packets/s received"; "rate"; "netback"; ">= 1.0"),
	(("udp-out", "udp-in") as $c | row($c; "... packets/s through the interface in dom0, received or not"; "frames"; "netback"; "")),
	(("tcp-out", "tcp-in", "udp-out", "udp-in") as $c |
		row($c; "guest interrupts per packet of the interface"; "irqs_cost"; "netback"; ""),
		row($c; "CPU ticks of dom0 (iperf3 included) per packet of the interface"; "back_cost"; "netback"; ""))'

# SPDX-License-Identifier: LGPL-2.1-or-later
#: disks on real Xen in QEMU (docs/lab.md): synth-blkd against the kernel's blkback (RAM disks) and QEMU's qdisk (a file in
#: memory), one stock guest; what its limit is; system calls an I/O; an emulated IDE disk.  Minutes.  `-- pvh` for a PVH guest
#: cases: qd1 qd32-read qd32-write seq64k ide
# Sourced by ./bench.  The measuring itself is lab/bench/lab-block.sh, in dom0; here are its lines made a table.
. "$src/tests/bench/lib/lab.sh"

suite_run()
{
	local cases='qd1 qd32-read qd32-write seq64k'
	[ -z "$only" ] || cases=$only
	if [ "$cases" != ide ]; then
		lab_measure lab-block "${args[0]:-pv}" "CASES='$cases'"
		# Ours on the RAM disk is compared with blkback, ours on the file with qdisk; who does nothing (null:) shows what is left to win.
		jq -c 'select(.what == "sample") | . + {irqs_cost: (if .kib > 0 then .irqs / (.kib / .bs) else null end), back_cost: (if .kib > 0 then .cpu_ticks / (.kib / .bs) else null end)}
			| if .who == "synth" or .who == "blkback" then .
			  elif .who == "synth-file" then .case += "-file" | .who = "synth"
			  elif .who == "null" then .case += "-limit" | .who = "synth"
			  else (., (.case |= sub("-file$"; "") | .case += "-limit")) end
			| if .who == "qdisk" and (.case | endswith("-limit") | not) then .case += "-file" else . end' "$W/lab.json" >"$samples"
		jq -c 'select(.what == "calls") | {case: (.case + if .who == "synth" then "" else "-file" end), metric: "system calls of the back end per I/O (of them ioctl, nearly all hypercalls: \(.per_io.ioctl // 0))",
			ours: ([.per_io[]] | add), who}' "$W/lab.json" | jq -sc 'group_by(.case)[] | (map(select(.who != "qdisk"))[0]) as $o | (map(select(.who == "qdisk"))[0]) as $q
			| {case: $o.case, metric: $o.metric, ours: $o.ours, peer: ($q.ours // null), peer_name: (if $q then "qdisk" else null end),
			   ratio: (if $q then $q.ours / $o.ours else null end), spread: null, target: ""}' >>"$rows"
	fi
	if [ -z "$only" ] || [ "$only" = ide ]; then
		lab_measure lab-ide pv ''
		jq -c 'select(.what == "sample")' "$W/lab.json" >>"$samples"
	fi
}
suite_rows='
	row("qd1"; "4 KiB random read, depth 1, RAM disk, IOPS"; "iops"; "blkback"; ">= 0.8"),
	row("qd1-file"; "4 KiB random read, depth 1, file, IOPS"; "iops"; "qdisk"; ">= 2.0"),
	row("qd32-read"; "4 KiB random read, depth 32, RAM disk, IOPS"; "iops"; "blkback"; ">= 1.0"),
	row("qd32-write"; "4 KiB random write, depth 32, RAM disk, IOPS"; "iops"; "blkback"; ">= 1.0"),
	row("qd32-read-file"; "4 KiB random read, depth 32, file, IOPS"; "iops"; "qdisk"; ">= 2.0"),
	row("qd32-write-file"; "4 KiB random write, depth 32, file, IOPS"; "iops"; "qdisk"; ">= 2.0"),
	row("seq64k"; "64 KiB sequential read, depth 8, RAM disk, KiB/s"; "kib_s"; "blkback"; ">= 1.0"),
	(("qd32-read", "qd32-write") as $c |
		row($c; "guest interrupts per I/O"; "irqs_cost"; "blkback"; ">= 1.0"),
		row($c + "-file"; "guest interrupts per I/O"; "irqs_cost"; "qdisk"; ""),
		row($c; "CPU ticks of the back end per I/O"; "back_cost"; "blkback"; ""),
		row($c + "-file"; "CPU ticks of the back end per I/O"; "back_cost"; "qdisk"; "")),
	(("qd1", "qd32-read", "qd32-write") as $c |
		row($c + "-limit"; "the most this guest can do (null:), to qdisk, IOPS"; "iops"; "qdisk"; "")),
	row("ide"; "4 KiB random read, depth 1, one HVM guest, one file, IOPS"; "iops"; "ide"; "")'

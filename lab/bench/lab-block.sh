# SPDX-License-Identifier: LGPL-2.1-or-later
# what: our disks against the kernel's blkback (both on RAM disks) and QEMU's qdisk (both on one tmpfs file), one guest, interleaved
# guest: own
# needs: qemu
# time: 6000
# Each measurement is a line "sample {...}"; `./bench lab-block` runs this and makes the table.
: "${ROUNDS:=3}" "${SECONDS_EACH:=3}" "${CASES:=qd1 qd32-read qd32-write seq64k}" "${COUNTS:=1}"
G=bench-$TYPE
size=64
set +x

# --- the guest and its disks ---
# One virtual CPU on a CPU of its own, dom0 on the other: what is compared does not depend on who shares with whom.
xl vcpu-pin 0 0 0
guest_boot "$G" 'vcpus=1' "cpus='1'"
d=$(domid)
mkdir -p /tmp/mem
mountpoint -q /tmp/mem || mount -t tmpfs -o size=200m mem /tmp/mem
file=/tmp/mem/disk
for f in $file /dev/ram1 /dev/ram2; do dd if=/dev/urandom of=$f bs=1M count=$size conv=notrunc 2>/dev/null; done
opt=
[ -z "${POLL:-}" ] || opt="--poll-us $POLL"
attach "file:/dev/ram1" xvdb -q $opt
attach "file:$file" xvdc -q $opt
# What the guest reaches when the back end has nothing to do: nobody's disk can be faster.
attach null:${size}M xvdf -q $opt

# The kernel's: nodes as the hotplug script would leave them.
front=/local/domain/$d/device/vbd/51760 back=/local/domain/0/backend/vbd/$d/51760
xenstore-write $front ''
xenstore-chmod $front "n$d" r0
xenstore-write $back ''
xenstore-chmod $back n0 "r$d"
xenstore-write $back/frontend $front $back/frontend-id "$d" $back/online 1 $back/removable 0 $back/bootable 1 $back/dev xvdd \
	$back/type phy $back/mode w $back/device-type disk $back/params /dev/ram2 $back/physical-device 1:2 $back/hotplug-status connected \
	$back/discard-enable 0 $front/backend $back $front/backend-id 0 $front/virtual-device 51760 $front/device-type disk $front/state 1 $back/state 1

# QEMU's.
/usr/libexec/xen-qemu-system-i386 -M xenpv -xen-domid "$d" -xen-attach -nodefaults -no-user-config -display none -monitor none -serial none -m 1 \
	-object iothread,id=io0 -blockdev "driver=file,filename=$file,locking=off,node-name=d" -device xen-disk,vdev=xvde,drive=d,iothread=io0 >/tmp/qemu.log 2>&1 9>&- &
qemu=$!
for v in xvdb xvdc xvdd xvde xvdf; do
	g "wait_dev $v 60" || { [ $v != xvde ] || cat /tmp/qemu.log; fail "the guest has no $v"; }
done

# --- one measurement ---
dev_of() { case $1 in synth) echo xvdb ;; synth-file) echo xvdc ;; blkback) echo xvdd ;; qdisk) echo xvde ;; null) echo xvdf ;; esac; }
args_of() {
	case $1 in
	qd1) echo --rw=randread --bs=4k --iodepth=1 ;;
	qd32-read) echo --rw=randread --bs=4k --iodepth=32 ;;
	qd32-write) echo --rw=randwrite --bs=4k --iodepth=32 ;;
	seq64k) echo --rw=read --bs=64k --iodepth=8 ;;
	esac
}
worker=$(field xvdb worker)
pid_of() {
	case $1 in
	synth* | null) echo "$worker" ;;
	qdisk) echo $qemu ;;
	blkback) ps -o pid,comm | awk '$2 ~ /xvdd/ && !p { p = $1 } END { print p }' ;;
	esac
}
ticks() { [ -z "$1" ] || cut -d' ' -f14,15 "/proc/$1/stat" | { read -r u s; echo $((u + s)); }; }
irqs='awk "/blkif/ { for (i = 2; i <= NF && \$i ~ /^[0-9]+\$/; i++) n += \$i } END { print n + 0 }" /proc/interrupts'
# load CASE WHO SECONDS: fio's terse line, and the guest's interrupts: "IOPS KIB/S INTERRUPTS IOS"
load() {
	g -t $(($3 + 60)) "a=\$($irqs)
		fio --name=b --filename=/dev/$(dev_of "$2") --size=${size}m --ioengine=libaio --direct=1 $(args_of "$1") --norandommap --gtod_reduce=1 \
			--time_based --runtime=$3 --minimal --output=/tmp/fio.out >/tmp/fio.err 2>&1 || { cat /tmp/fio.err /tmp/fio.out; exit 1; }
		b=\$($irqs)
		tail -n 1 /tmp/fio.out | awk -F';' -v n=\$((b - a)) '{ io = \$6 + \$47; print \$8 + \$49, \$7 + \$48, n, io }'"
}
measure() { # CASE WHO ROUND
	pid=$(pid_of "$2")
	t0=$(ticks "$pid")
	out=$(load "$1" "$2" "$SECONDS_EACH")
	t1=$(ticks "$pid")
	bs=4
	[ "$1" != seq64k ] || bs=64
	set -- "$1" "$2" "$3" $out
	say "sample {\"case\": \"$1\", \"who\": \"$2\", \"round\": $3, \"iops\": $4, \"kib_s\": $5, \"irqs\": $6, \"kib\": $7, \"bs\": $bs, \"cpu_ticks\": $((${t1:-0} - ${t0:-0})), \"seconds\": $SECONDS_EACH}"
}
round=0
while [ $round -lt "$ROUNDS" ]; do
	for case in $CASES; do
		order='synth blkback synth-file qdisk null'
		[ $((round % 2)) = 0 ] || order='null qdisk synth-file blkback synth'
		[ $case != seq64k ] || order=$(for w in $order; do case $w in synth | blkback | null) echo $w ;; esac; done)
		for who in $order; do measure $case "$who" $round; done
	done
	round=$((round + 1))
done

# --- system calls an I/O, apart since strace slows what it watches ---
if [ "$COUNTS" = 1 ]; then
	for case in $CASES; do
		for who in synth synth-file qdisk; do
			[ $case != seq64k ] || [ $who = synth ] || continue
			strace -f -c -S name -o /tmp/strace.out -p "$(pid_of $who)" >/dev/null 2>&1 9>&- &
			tracer=$!
			usleep 500000
			out=$(load $case $who 2)
			kill -INT $tracer
			wait $tracer || :
			bs=4
			[ $case != seq64k ] || bs=64
			ios=$(echo "$out" | awk -v bs=$bs '{ print int($4 / bs) }')
			calls=$(awk -v ios="$ios" 'NR > 2 && $NF != "total" && $4 ~ /^[0-9]+$/ && $4 / ios >= 0.005 { printf "%s\"%s\": %.3f", s, $NF, $4 / ios; s = ", " }' /tmp/strace.out)
			say "calls {\"case\": \"$case\", \"who\": \"$who\", \"ios\": $ios, \"per_io\": {$calls}}"
		done
	done
fi
synthctl --json stat "$G/xvdb" | jq -c '.devices[0].metrics | with_entries(select(.value != 0))' | { read -r l; say "stat $l"; }

# --- down ---
kill $qemu
wait $qemu || :
xenstore-write $back/online 0 $back/state 5
state6() { [ "$(xenstore-read $back/state)" = 6 ]; }
eventually 20 state6 || :
xenstore-rm $back || :
xenstore-rm $front || :
xenstore-rm "/local/domain/0/backend/qdisk/$d" || :
detach xvdb
detach xvdc
detach xvdf
guest_destroy "$G"
umount /tmp/mem

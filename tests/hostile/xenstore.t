# SPDX-License-Identifier: LGPL-2.1-or-later
# xenstore.t - a front end's nodes: every one missing, empty, huge, negative, out of range; states in any order; watch floods.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
honest_start

# The cases are many and each is slowed down (a guest may change its state so often a second): several disks at once.
lanes=4
for lane in $(seq 0 $((lanes - 1))); do
	attach sinner "$(image a$lane.img 8M)" "$(printf 'xvd%b' "\\$(printf %o $((97 + lane)))")" --queues 4 >/dev/null
	lane_pid[lane]=0
done
img=$W/b.img
truncate -s 1M "$img"

# published WANT OPTIONS...: what the back end makes of it (served, refused, ignored); afterwards a good front end is served
next_lane=0
published()
{
	local want=$1 lane=$next_lane patience=1500
	shift
	next_lane=$(((next_lane + 1) % lanes))
	collect "$lane"
	lane_want[lane]=$want lane_args[lane]="$*"
	# what must come is waited for; only what must not come needs an end of its own
	[ "$want" = ignored ] || patience=15000
	bad 1 -t "$patience" "$@" $((51712 + 16 * lane)) publish >"$W/lane$lane" 2>&1 &
	lane_pid[lane]=$!
}
collect() # LANE: the case that ran there
{
	local out
	[ "${lane_pid[$1]}" != 0 ] || return 0
	wait "${lane_pid[$1]}"
	lane_pid[$1]=0
	out=$(tr '\n' ' ' <"$W/lane$1")
	case ${lane_want[$1]} in
	served) is "published [${lane_args[$1]}]: served" "$out" 'connected served yes reusable yes ' ;;
	refused) is "published [${lane_args[$1]}]: refused, and reusable" "$out" 'refused reusable yes ' ;;
	ignored) is "published [${lane_args[$1]}]: ignored, and reusable" "$out" 'ignored 2 reusable yes ' ;;
	esac
}
collect_all() { local l; for l in $(seq 0 $((lanes - 1))); do collect "$l"; done; }

published served
published refused --unset ring-ref
published refused --unset event-channel
published served --unset protocol -a none
published ignored --unset state
for node in ring-ref event-channel protocol; do
	published refused --set $node=
	published refused --huge $node
	published refused --set $node=-1
	published refused --set $node=1x
	published refused --set "$node= 8"
	published refused --set $node=0x8
	published refused --set $node=18446744073709551617
done
for node in ring-page-order num-ring-pages multi-queue-num-queues feature-persistent; do
	published refused --set $node=
	published refused --huge $node
	published refused --set $node=-1
	published refused --set $node=1x
	published refused --set $node=1000000
	published refused --set $node=18446744073709551617
done
published refused -o 1 --set ring-page-order=32
published refused -o 1 --set ring-page-order=31
published refused -o 1 --set ring-page-order=5
published refused -o 1 --set ring-page-order=4
# all 32 pages of an order that was not offered
# shellcheck disable=SC2046
published refused -o 4 --set ring-page-order=5 $(for i in $(seq 16 31); do echo "--set ring-ref$i=$((1000 + i))"; done)
published refused -o 1 --unset ring-ref1
published refused -o 1 --set num-ring-pages=3
published refused -o 1 --set num-ring-pages=0
published refused -q 2 --set multi-queue-num-queues=0
published refused -q 2 --set multi-queue-num-queues=5
published refused -q 2 --set multi-queue-num-queues=1000000
published refused -q 2 --unset queue-1/ring-ref
published refused -q 2 --unset queue-0/event-channel
published refused -q 2 --unset queue-1/event-channel
published refused -o 1 --set ring-ref1=@ref
published refused -q 2 --set queue-1/ring-ref=@ref
published refused -q 2 --set queue-1/event-channel=@port
published refused --set ring-ref=@readonly
published refused -o 2 --set ring-ref3=@readonly
published served -k
published served -o 1 --set num-ring-pages=2
published refused --set ring-ref=4294967295
published refused --set ring-ref=4294967296
published refused --set ring-ref=0
published refused --set ring-ref=30000
published refused --set event-channel=0
published refused --set event-channel=4000
published refused --set event-channel=4294967295
published refused --set protocol=x86_128-abi
published refused --set protocol=X86_64-ABI
published refused --set feature-persistent=2
published ignored --set state=
published ignored --huge state
published ignored --set state=-3
published ignored --set state=3x
published ignored --set state=99
collect_all
undisturbed 'bad nodes'

# Rings in pages of somebody else: the honest guest's numbers are good there and mean nothing here.
background hostxen run -d 2 -- "$badfront" -t 600000 51712 grefs >"$W/grefs"
within 10 test -s "$W/grefs"
published refused --set ring-ref="$(cat "$W/grefs")"

# XSA-57, XSA-175: what the guest can write about the other end is not believed
published refused --set backend=/local/domain/0/backend/vbd/2/51712
published served --set backend-id=2
published served --set virtual-device=51728
published served --set params=file:/etc/passwd
collect_all
is 'the images are still the ones the toolstack chose (XSA-57)' \
	"$(for d in a b c d; do show sinner/xvd$d .target; done | sort | tr '\n' ' ')" "file:$W/a0.img file:$W/a1.img file:$W/a2.img file:$W/a3.img "

seed=${SEED:-$RANDOM}
echo "# seed $seed (SEED=$seed repeats it)"
for walk in 1 2 3; do
	is "states and nodes in any order at any time, walk $((seed + walk))" \
		"$(bad 1 -s $((seed + walk)) -t 2500 51712 walk 2>&1 | tr '\n' ' ')" 'walked reusable yes '
	undisturbed "walk $walk"
done

# ------------------------------------------------- XSA-349: a watched node never stops changing
# xenstored limits what a guest can write in a second, so the flood comes from dom0, where nothing does: faster than any guest.
rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$blkd_pid/status"; }
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print int(($14 + $15) * 1000 / hz) }' "/proc/$blkd_pid/stat"; }
front=/local/domain/1/device/svbd/51712
before=$(rss_kb) cpu=$(cpu_ms)
background hostxen run -d 0 -- "$badfront" -n 1000000 -t 5000 -N x "$front" flood >"$W/flood1"
background hostxen run -d 0 -- "$badfront" -n 100000 -t 60000 "$front" flood >"$W/flood2"
background hostxen run -d 1 -- "$badfront" -n 100000 -t 4000 51712 flood >"$W/flood3"
start=$(date +%s%N)
check 'while nodes are written without end, others attach' attach honest "$img" xvdb
ms=$((($(date +%s%N) - start) / 1000000))
check "... in time: $ms ms" test "$ms" -lt $((3000 * slow))
check '... and detach' ctl detach honest/xvdb --force
attach_connect() { attach honest "$img" xvdc && bad 2 -n 5 "$(vdev xvdc)" verify && ctl detach honest/xvdc --force; }
check '... and are connected' attach_connect
undisturbed 'a watch flood'
flooded() { grep -q written "$W/flood1" && grep -q written "$W/flood2"; }
check '10^5 writes to a watched node have been made' within 60 flooded
diag <"$W/flood1"
diag <"$W/flood2"
written=$(awk '{ n += $2 } END { print n }' "$W/flood1" "$W/flood2")
check "memory is bounded under a watch flood: $before KiB, then $(rss_kb) KiB (XSA-349)" test "$(rss_kb)" -lt $((before + 8192 * slow))
cpu=$(($(cpu_ms) - cpu))
check "processor time is bounded under a watch flood: $cpu ms for $written writes (XSA-349)" test "$cpu" -lt $((written * slow / 20))
children_kill
dom0 xenstore-rm "$front/x"
check 'after the flood a good front end is served' bad 1 -n 5 51712 verify

world_end

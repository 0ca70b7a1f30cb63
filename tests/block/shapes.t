# SPDX-License-Identifier: LGPL-2.1-or-later
# shapes.t - what a disk can be: ABIs, ring sizes, queues, stores, read-only, CD-ROM, several at once; data verified in each.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
img=$(image a.img 16M)
front() { local d=$1; shift; guest "$d" timeout 60 synth-blkfront "$@"; } # DOMID ARGS...
info() { front 1 info "${2:-xvda}" --json | jq -r "$1"; }                 # FILTER [DEV]
node() { dom0 xenstore-read "/local/domain/0/backend/vbd/1/${2:-51712}/$1" 2>/dev/null; }

# ----------------------------------------------------------------------- ABIs and rings
attach sinner "$img" xvda --queues 4 >/dev/null
for abi in x86_64 x86_32 none; do
	for opt in '' '-p' '-k' '-o 1' '-o 4 -p' '-q 4' '-q 3 -o 2 -p'; do
		# shellcheck disable=SC2086
		is "protocol $abi, ${opt:-one page}: every byte comes back" "$(bad 1 -a $abi $opt -n 40 -s $RANDOM 51712 verify 2>&1)" 'verified 40'
	done
done
background hostxen run -d 1 -- "$badfront" -a none -t 60000 51712 hold >"$W/hold"
within 10 test -s "$W/hold"
is 'no protocol node is taken for x86_32' "$(show sinner/xvda .protocol)" x86_32-abi
children_kill
for opt in '--ring-order 0' '--ring-order 4' '--queues 4' '--grants persistent' '--grants reuse' '--grants per-io' '--no-indirect' '--poll'; do
	# shellcheck disable=SC2086
	check "synth-blkfront $opt: every byte comes back" front 1 io xvda --rw randrw --bs 512-64k --depth 16 --ios 1500 --verify $opt
done
like 'feature-barrier is not offered with several queues' "$(node feature-barrier)" '^0?$'
is 'the wire has 512-byte sectors' "$(node sector-size)" 512
ctl detach sinner/xvda >/dev/null
attach sinner "$img" xvda --queues 1 >/dev/null
is 'feature-barrier is offered with one queue' "$(node feature-barrier)" 1
like 'a barrier that was offered is served' "$(bad 1 51712 request barrier)" 'barrier ok'
is 'a discard that was offered is served' "$(bad 1 51712 request discard)" 'discard ok'
ctl detach sinner/xvda --force >/dev/null

# A discarded range gives its blocks back and reads as zeros
head -c 16M /dev/urandom >"$img"
attach sinner "$img" xvda >/dev/null
blocks=$(stat -c %b "$img")
check 'discard 8 MiB' front 1 discard xvda --offset 4M --length 8M
check 'discard gives blocks back' test "$(stat -c %b "$img")" -lt $((blocks / 2 + 1024))
is 'what was discarded reads as zeros' "$(front 1 read xvda --offset 4M --length 8M | tr -d '\0' | wc -c)" 0
ctl detach sinner/xvda >/dev/null

# ----------------------------------------------------------------------- kinds of disk
attach sinner "$img" xvda --ro >/dev/null
is 'a read-only disk: mode' "$(node mode)" r
is 'a read-only disk: info bit 4 (VDISK_READONLY)' $(($(node info) & 4)) 4
front 1 flush xvda
check 'a read-only disk refuses writing' not eval 'head -c 4k /dev/zero | front 1 write xvda'
front 1 read xvda >"$W/back"
check 'a read-only disk is read' cmp "$img" "$W/back"
ctl detach sinner/xvda >/dev/null
attach sinner "$img" xvda --cdrom >/dev/null
front 1 flush xvda
is 'a CD-ROM: info bits 1 and 4 (VDISK_CDROM, VDISK_READONLY)' $(($(node info) & 5)) 5
is 'a CD-ROM: device-type' "$(node device-type)" cdrom
ctl detach sinner/xvda >/dev/null
attach sinner "$img" xvda --removable >/dev/null
front 1 flush xvda
is 'a removable disk: info bit 2 (VDISK_REMOVABLE)' $(($(node info) & 2)) 2
ctl detach sinner/xvda >/dev/null

# ------------------------------------------------------------------------------- stores
attach sinner null:1G xvda >/dev/null
is 'null: has the size that was asked for' "$(info .size)" $((1 << 30))
is 'null: reads zeros' "$(front 1 read xvda --length 1M | tr -d '\0' | wc -c)" 0
ctl detach sinner/xvda >/dev/null

disk_dir=$(mktemp -d "${SYNTH_TEST_DISK:-/var/tmp}/synth-test-XXXXXX")
world_dirs+=("$disk_dir")
truncate -s 16M "$disk_dir/a.img"
for cache in direct buffered; do
	attach sinner "$disk_dir/a.img" xvda --cache $cache >/dev/null
	engine=$(show sinner/xvda .engine)
	is "a file on a disk, $cache ($engine): every byte comes back" "$(bad 1 -n 60 51712 verify)" 'verified 60'
	check "a file on a disk, $cache: at depth 32" front 1 io xvda --rw randrw --bs 4k-128k --depth 32 --ios 1000 --verify
	ctl detach sinner/xvda >/dev/null
done

if command -v nbdkit >/dev/null; then
	background nbdkit -f -U "$W/nbd.sock" memory 16M
	within 10 test -S "$W/nbd.sock"
	attach sinner "nbd+unix:///?socket=$W/nbd.sock" xvda --queues 2 >/dev/null
	is 'an NBD disk has the size of the export' "$(info .size)" $((16 << 20))
	check 'an NBD disk: every byte comes back' front 1 io xvda --rw randrw --bs 512-128k --depth 16 --ios 1500 --queues 2 --verify
	is 'an NBD disk, x86_32' "$(bad 1 -a x86_32 -n 40 51712 verify)" 'verified 40'
	check 'an NBD disk is discarded' front 1 discard xvda --offset 1M --length 1M
	is 'discarded on the NBD server: zeros' "$(front 1 read xvda --offset 1M --length 1M | tr -d '\0' | wc -c)" 0
	ctl detach sinner/xvda >/dev/null
	children_kill
else
	skip 'an NBD disk' 'nbdkit is not installed'
fi

# ------------------------------------------------------ two guests, several disks, at once
for d in 1 2; do
	for dev in xvda xvdb xvdc; do
		image "$d$dev.img" 8M >/dev/null
		attach $d "$W/$d$dev.img" $dev --queues 2 >/dev/null
	done
done
is 'six disks are listed' "$(ctl list --json | jq '.devices | length')" 6
is 'two guests have a worker each' "$(ctl list --json | jq -r '[.devices[].worker] | unique | length')" 2
pids=()
for d in 1 2; do
	for dev in xvda xvdb xvdc; do
		front $d io $dev --rw randrw --bs 4k-32k --depth 8 --queues 2 --ios 1200 --verify >"$W/io.$d$dev" 2>&1 &
		pids+=($!)
	done
done
bad_ends=0
for p in "${pids[@]}"; do wait "$p" || bad_ends=$((bad_ends + 1)); done
is 'six disks of two guests at once: every byte comes back' "$bad_ends $(cat "$W"/io.* | grep -i fail)" '0 '
check 'one disk is detached, the others stay' ctl detach 1/xvdb
is '... five are left' "$(ctl list --json | jq '.devices | length')" 5
check '... and served' front 1 flush xvdc
for dev in 1/xvda 1/xvdc 2/xvda 2/xvdb 2/xvdc; do ctl detach $dev >/dev/null; done
workers() { [ "$(pgrep -P "$blkd_pid" | wc -l)" = 0 ]; }
check 'a worker ends with the last disk of its guest' within 10 workers
world_end

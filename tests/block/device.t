# SPDX-License-Identifier: LGPL-2.1-or-later
# device.t - a disk whose image is a block device: data, discard, 4096-byte sectors, who else has it, its size, a worker that dies.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
[ "$(id -u)" = 0 ] || skip_all 'only root makes block devices'
command -v losetup >/dev/null || skip_all 'losetup is not installed'

# loop NAME SIZE [ARGS OF losetup]: sets $dev.  The device goes by itself when nobody has it open any more: this shell, those it
# started, who serves it; so none is left however the test ends.
loop()
{
	local file fd
	file=$(image "$1" "$2")
	shift 2
	dev=$(losetup -f --show "$@" "$file" 2>"$W/losetup") || return 1
	exec {fd}<>"$dev" && losetup -d "$dev"
}
loop a.img 16M || skip_all "no loop device can be made: $(cat "$W/losetup")"
img=$W/a.img
world_start
front() { local d=$1; shift; guest "$d" timeout 60 synth-blkfront "$@"; } # DOMID ARGS...
node() { dom0 xenstore-read "/local/domain/0/backend/vbd/1/51712/$1" 2>/dev/null; }
verified() { check "$1" front 1 io xvda --rw randread=4,randwrite=4,trim=1,flush=1 --bs 512-64k --depth 16 --ios 1500 --verify; }

# ------------------------------------------------------------------ data
attach sinner "$dev" xvda >/dev/null
is 'a block device is used without the page cache' "$(show sinner/xvda .cache)" direct
is '... and has its size' "$(show sinner/xvda .size)" $((16 << 20))
head -c 16M /dev/urandom >"$W/data"
check 'the guest writes all of it and flushes' front 1 write xvda <"$W/data"
check 'what is flushed is on the device' cmp "$W/data" "$img"
front 1 read xvda >"$W/back"
check '... and is read back' cmp "$W/data" "$W/back"
if [ "$(node feature-discard)" = 1 ]; then
	blocks=$(stat -c %b "$img")
	check 'discard 8 MiB' front 1 discard xvda --offset 4M --length 8M
	check 'discard reaches the device' test "$(stat -c %b "$img")" -lt $((blocks / 2 + 1024))
	is 'what was discarded reads as zeros' "$(front 1 read xvda --offset 4M --length 8M | tr -d '\0' | wc -c)" 0
else
	skip 'discard' 'this loop device has none'
fi
is 'a secure discard, which it has not, is not offered' "$(node discard-secure)" "$([ "$(node feature-discard)" != 1 ] || echo 0)"
verified 'reads, writes, trims and flushes of all sizes: every byte is right'

# ------------------------------------------------------------------ its size
truncate -s 24M "$img"
losetup -c "$dev"
check 'a device that grew: resize' ctl resize sinner/xvda
is '... tells the guest' "$(node sectors)" $((24 << 11))
verified '... and all of it serves'

# ------------------------------------------------------------------ who else
like 'a second attachment is told who has it' "$(attach honest "$dev" xvdb 2>&1)" 'attached already, as sinner/xvda'
ctl detach sinner/xvda >/dev/null
mkdir "$W/mnt"
world_dirs+=("$W/mnt")
hold() { mount "$dev" "$W/mnt"; }
if mkfs.ext2 -q "$dev" 2>"$W/mkfs" && hold 2>>"$W/mkfs"; then
	like 'one that is mounted is refused, and why' "$(attach sinner "$dev" xvda 2>&1)" 'in use by this host \(mounted'
	attach sinner "$dev" xvda >/dev/null 2>&1
	is '... with the status of what is in use' $? 4
	check 'it is read all the same' attach sinner "$dev" xvda --ro
	ctl detach sinner/xvda >/dev/null
	umount "$W/mnt"
else
	skip 'one that is mounted' "it cannot be: $(head -n 1 "$W/mkfs")"
fi
# As a worker that is on its way out has it for a moment.
have='sysopen(D, $ARGV[0], O_RDWR | O_EXCL) or exit 1; $| = 1; print "1\n"; sleep $ARGV[1]'
have() { perl -MFcntl -e "$have" "$dev" "$1"; } # SECONDS
let_go_meanwhile()
{
	local try attaching
	within 10 have 0 || return 1 # what was mounted is let go of a moment later, on a busy machine
	for try in 1 2 3 4 5 6 7 8; do
		: >"$W/have"
		background perl -MFcntl -e "$have" "$dev" 600 >"$W/have"
		within 10 test -s "$W/have" || return 1
		attach sinner "$dev" xvda &
		attaching=$!
		sleep 0.1
		children_kill
		! wait $attaching || return 0
	done
	return 1
}
if command -v perl >/dev/null; then
	check 'one that is let go of while it is attached is waited for' let_go_meanwhile
else
	skip 'one that is let go of while it is attached is waited for' 'perl is not installed'
	attach sinner "$dev" xvda >/dev/null
fi
check '... and then nobody has it to himself' not have 0

# ------------------------------------------------------------------ a worker dies
background hostxen run -d 1 -- synth-blkfront io xvda --rw randread=1,randwrite=2 --bs 4k-64k --depth 32 --verify --runtime 600 >"$W/io" 2>&1
io=${children[-1]}
for n in 1 2 3 4 5 6; do
	goes_on 20 sinner/xvda 20 >"$W/goes" || break
	kill -KILL "$(show sinner/xvda .worker)"
done
check 'its worker killed again and again: I/O goes on' goes_on 20 sinner/xvda 20
# Tried again at once, not in half a second.
is '... and what the dead one had under way is waited for' "$(grep -c 'not served again yet' "$W/blkd.log")" 0
kill -TERM "$io"
wait "$io"
like '... with every byte right' "$?" '^(0|130)$'
children=()
ctl detach sinner/xvda >/dev/null

# ------------------------------------------------------------------ what others wrote
# By the page cache, on a device that stays open, so that nothing flushes it.  (A kernel of today loses nothing here whatever is asked of it:
# what the store asks is in test-store.)
loop b.img 1M || bail 'no second loop device' "$W/losetup"
yes unsaved | head -c 64k | dd of="$dev" conv=notrunc status=none
attach sinner "$dev" xvda >/dev/null
front 1 flush xvda
is 'what was in the page cache is there when it is served' "$(front 1 read xvda --length 64k | sort -u)" unsaved
ctl detach sinner/xvda >/dev/null
is '... and after' "$(head -c 64k "$dev" | sort -u)" unsaved

# ------------------------------------------------------------------ 4096-byte sectors
if loop c.img 16M -b 4096; then
	attach sinner "$dev" xvda >/dev/null
	is '4096-byte sectors: the page cache serves' "$(show sinner/xvda .cache)" buffered
	like '... and why is told' "$(show sinner/xvda .cache_why)" '4096-byte alignment'
	is '... the wire has 512-byte sectors' "$(node sector-size)" 512
	is '... and says what the device has' "$(node physical-sector-size)" 4096
	verified '4096-byte sectors: every byte is right'
	check 'the guest writes all of it and flushes' front 1 write xvda <"$W/data"
	check '4096-byte sectors: what is flushed is on the device' cmp "$W/data" "$W/c.img"
	ctl detach sinner/xvda >/dev/null
else
	skip '4096-byte sectors' "no such loop device: $(cat "$W/losetup")"
fi
world_end

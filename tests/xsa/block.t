# SPDX-License-Identifier: LGPL-2.1-or-later
# block.t - what advisories ask of a disk and no other test does, each in a second or two: docs/advisories.md.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start

# XSA-482, XSA-487: who touches a guest's memory has no use for privcmd.
worker_file=$SYNTH_BUILDDIR/backend/.libs/synth-blkd-worker
[ -e "$worker_file" ] || worker_file=$SYNTH_BUILDDIR/backend/synth-blkd-worker
check 'the worker can be read' readelf -d "$worker_file"
is 'the worker knows nothing of privcmd (XSA-487)' "$( (cat "$worker_file"; readelf -d "$worker_file") | grep -aoE 'privcmd|libxen(ctrl|call|foreignmemory)' | sort -u)" ''

# What a guest can write reaches no shell: there is none to reach.
shells() # PROGRAM...: which of a shell's calls they make
{
	local p file
	for p in "$@"; do
		file=$SYNTH_BUILDDIR/backend/.libs/$p
		[ -e "$file" ] || file=$SYNTH_BUILDDIR/backend/$p
		nm -D -u "$file" | grep -qw read || echo "$p: nm does not tell"
		nm -D -u "$file" | grep -wE 'system|popen|wordexp' | sed "s/^/$p/"
	done
}
if command -v nm >/dev/null; then
	is 'no daemon and no worker calls a shell' "$(shells synth-blkd synth-netd synth-blkd-worker synth-netd-worker)" ''
else
	skip 'no daemon and no worker calls a shell' 'nm is not installed'
fi

img=$(image a.img 8M)
head -c 8M /dev/urandom >"$img"
attach sinner "$img" xvda >/dev/null
line() { tr '\n' ' '; }
broken() { [ "$(show sinner/xvda .broken)" != null ]; }

# XSA-90: what halts a ring halts it for good, also when the front end makes its producer right again.
is 'a ring that was halted stays deaf (XSA-90)' "$(bad 1 51712 repent | line)" 'answered 0 later 0 '
check '... and the reason is told' within 5 broken
check '... until the front end starts afresh' bad 1 -n 5 51712 verify

# XSA-39: also beside it
is 'one queue that lies halts all of its device (XSA-39)' "$(bad 1 -o 1 51712 jump-size+1)" 'answered 0'
check '... and the next front end is served' bad 1 -n 5 51712 verify

# XSA-396: a front end that did not agree to persistent grants takes each page back when it has its answer, so nobody may
# have it mapped then.  What is left of a process that is gone is what is mapped: the ring, and xenstore's page.
bad 1 51712 die >/dev/null 2>&1
few() { local g; g=$(dom_info 1 grants); [ "${g:-99}" -le 2 ]; }
check 'of a guest without persistent grants nothing is mapped but the ring (XSA-396)' within 5 few
check '... and the next front end is served' bad 1 -n 5 51712 verify

# XSA-371
is 'a front end closes' "$(bad 1 -n 1 51712 reconnect)" 'reconnected 1'
check 'when a front end has closed nothing of it is mapped (XSA-371)' within 4 guest_empty 1

# What was read by halves or not at all is not shown (the class of XSA-216: a bounce page has somebody's bytes in it).
check 'bounce pages have been used' bad 1 -n 50 51712 verify
truncate -s 4096 "$img"
truncate -s 0 "$img"
is 'a read that fails touches no byte of the guest' "$(bad 1 51712 request read)" 'read error'
ctl detach sinner/xvda --force >/dev/null
is 'the daemon lives' "$(ctl list --json | jq '.devices | length')" 0

# XSA-258: a guest writes the header of another format into its disk; the next attach sees bytes.
img=$(image b.img 1M)
printf 'QFI\xfb\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0\0\0\0\100\0\0\0' | dd of="$img" conv=notrunc status=none
attach sinner "$img" xvda >/dev/null
is 'an image is as large as it is, whatever its first bytes say (XSA-258)' "$(show sinner/xvda .size)" 1048576
ctl detach sinner/xvda --force >/dev/null

# XSA-142, XSA-266: below the parser too
attach sinner "$img" xvda --ro >/dev/null
worker=$(show sinner/xvda .worker)
writable() # are there descriptors of the image that can write?
{
	local fd
	for fd in "/proc/$worker/fd"/*; do
		[ "$(readlink "$fd")" = "$img" ] || continue
		[ $((8#$(awk '/^flags/ { print $2 }' "/proc/$worker/fdinfo/${fd##*/}") & 3)) -eq 0 ] || echo yes
		echo found
	done
}
is 'the worker of a read-only disk could not write if it wanted to (XSA-142)' "$(writable | sort -u | line)" 'found '
ctl detach sinner/xvda --force >/dev/null

# XSA-57: a guest reads what is told it, and writes none of it.
attach sinner "$img" xvda >/dev/null
back=/local/domain/0/backend/vbd/1/51712
refused() { ! guest 1 xenstore-write "$1" "$2" 2>/dev/null; }
check 'the back end directory is not the guest'\''s to write (XSA-57)' refused $back/params file:/etc/passwd
check '... nor to add to' refused $back/x 1
check '... nor what the toolstack keeps of it' refused /libxl/1/device/vbd/51712/backend /x
check '... nor may the guest make devices' refused device/svbd/51728/backend $back

# XSA-175: its own directory is, and is not believed.
is 'a front end whose backend node names another is not served (XSA-175)' \
	"$(bad 1 -t 5000 --set backend=/local/domain/0/backend/vbd/2/51712 51712 publish 2>&1 | line)" 'refused reusable yes '
is 'a state that does not exist is none (XSA-481)' "$(bad 1 -t 700 --set state=99 51712 publish 2>&1 | line)" 'ignored 2 reusable yes '
check 'the daemon lives on' ctl list

# XSA-322, XSA-419: a domain dies, and another has its number and its directories before anybody looks.
ctl detach sinner/xvda --force >/dev/null
attach sinner "$img" xvda >/dev/null
check 'a guest has a disk' dom0 xenstore-exists $back
front=/local/domain/1/device/svbd/51712
kill -STOP "$blkd_pid"
hostxen destroy 1 --kill >/dev/null
no_domain() { [ -z "$(dom_info 1 state)" ]; }
check '... and is gone' within 30 no_domain
check '... and another has its number' hostxen create 1 --name other
dom0 xenstore-write $front/backend $back $front/backend-id 0 $front/state 1
kill -CONT "$blkd_pid"
gone() { ! dom0 xenstore-exists $back 2>/dev/null; }
check 'a disk does not pass to another domain of the same number (XSA-322)' within 10 gone
dom0 xenstore-rm $front 2>/dev/null
check '... whose number can be used' attach other "$img" xvda

world_end

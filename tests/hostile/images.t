# SPDX-License-Identifier: LGPL-2.1-or-later
# images.t - what is wrong with what a disk is stored in: told at attach where it can be, else an error for the guest's request,
# while the daemon and other disks go on.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
honest_start

# refused NAME STATUS PATTERN TARGET [ARGS]: attach fails so, says so, and leaves nothing behind
refused()
{
	local name=$1 want=$2 pattern=$3 target=$4 err status
	shift 4
	err=$(attach sinner "$target" xvda "$@" 2>&1)
	status=$?
	if [[ $status =~ ^($want)$ ]] && [[ $err =~ $pattern ]] && ! show sinner/xvda .state | grep -q . &&
		! dom0 xenstore-exists /local/domain/0/backend/vbd/1/51712; then
		pass "$name"
	else
		fail "$name" "status $status, wanted $want; message wanted /$pattern/:" "$err"
	fi
}
refused 'an image that does not exist' 3 'does not exist' "file:$W/absent.img"
refused 'an image below a file' 3 'does not exist' "file:$W/blkd.log/x"
refused 'a directory' 1 'is a directory' "file:$W"
refused 'a device that is no disk' 1 'neither a file nor a block device' file:/dev/null
refused 'a FIFO' 1 'neither a file nor a block device' "file:$(mkfifo "$W/fifo" && echo "$W/fifo")"
truncate -s 0 "$W/empty.img"
refused 'an empty image' 1 'empty' "file:$W/empty.img"
truncate -s 1000 "$W/odd.img"
refused 'a size that is not a multiple of 512' 1 'multiple of 512' "file:$W/odd.img"
ln -s loop.img "$W/loop.img"
refused 'a symbolic link to itself' 1 'cannot open' "file:$W/loop.img"
refused 'a path far too long' '[12]' 'too long|longer' "file:/$(head -c 3000 /dev/zero | tr '\0' a)"
refused 'an NBD server that is not there' '1|3' 'connect|refused|No such' "nbd+unix:///?socket=$W/nobody.sock"
if [ "$(id -u)" = 0 ]; then
	skip 'an image without permission' 'root may open everything'
else
	image secret.img 1M >/dev/null && chmod 0 "$W/secret.img"
	refused 'an image without permission' 6 'permission' "file:$W/secret.img"
fi

# ------------------------------------------------------------------- attached already
img=$(image a.img 8M)
ln -s "$img" "$W/symlink.img"
ln "$img" "$W/hardlink.img"
attach sinner "$img" xvdb >/dev/null
for how in a symlink hardlink; do
	refused "an image attached for writing, again for writing, by its $how" 4 'attached already|locked' "file:$W/$how.img"
	refused "an image attached for writing, again for reading, by its $how" 4 'attached already|locked' "file:$W/$how.img" --ro
done
refused 'an image attached for writing, by a path with .. in it' 4 'attached already|locked' "file:$W/run/../a.img"
ctl detach sinner/xvdb --force >/dev/null
attach sinner "$img" xvdb --ro >/dev/null
refused 'an image attached for reading, again for writing' 4 'attached already|locked' "file:$img"
check 'an image attached for reading, again for reading' attach honest "$W/hardlink.img" xvdb --ro
ctl detach sinner/xvdb --force >/dev/null
ctl detach honest/xvdb --force >/dev/null
exec 8<"$img"
flock -n -x 8
refused 'an image locked by another program of the host' 4 'locked' "file:$img"
exec 8<&-
check '... and when it has let go' attach sinner "$img" xvda
ctl detach sinner/xvda --force >/dev/null
undisturbed 'images refused'

# ------------------------------------------------------- changing under I/O, in memory and on disk
disk_dir=$(mktemp -d "${SYNTH_TEST_DISK:-/var/tmp}/synth-test-XXXXXX")
world_dirs+=("$disk_dir")
for place in "$W" "$disk_dir"; do
	img=$place/shrink.img
	truncate -s 8M "$img"
	engine=$(attach sinner "$img" xvda >/dev/null; show sinner/xvda .engine)
	worker=$(show sinner/xvda .worker)
	like "a file cut to a quarter under I/O ($engine): each request is answered, past its end with an error" \
		"$( (sleep 0.4; truncate -s 2M "$img") & bad 1 -t $((1500 * slow)) 51712 full | tr '\n' ' ')" '^bad [1-9][0-9]* left 0 served many'
	check "a file cut under I/O ($engine): what is left is read" bad 1 51712 request same-gref-twice
	is "a file cut under I/O ($engine): the worker lives on" "$(show sinner/xvda .worker)" "$worker"
	truncate -s 16M "$img"
	like "a file that grows ($engine): served in its old size until it is resized" "$(bad 1 51712 request past-end)" 'error'
	is "a file that grows ($engine): its size is taken when told" "$(ctl resize sinner/xvda --json | jq .size)" 16777216
	check "a file that grew ($engine): verified I/O" bad 1 -n 50 51712 verify
	truncate -s 0 "$img"
	like "a file cut to nothing ($engine): an error, no more" "$(bad 1 51712 request same-gref-twice)" 'error'
	is "a file cut to nothing ($engine): the worker lives on" "$(show sinner/xvda .worker)" "$worker"
	rm "$img"
	like "a file removed ($engine): the device goes on or says error" "$(bad 1 51712 request same-gref-twice)" 'ok|error'
	ctl detach sinner/xvda --force >/dev/null
	undisturbed "a file that changes its size ($engine)"
done

# --------------------------------------------------------------------------- ENOSPC
mkdir "$W/small"
if mount -t tmpfs -o size=4m synth-test "$W/small" 2>/dev/null; then
	world_dirs+=("$W/small")
	truncate -s 16M "$W/small/a.img"
	attach sinner "$W/small/a.img" xvda >/dev/null
	worker=$(show sinner/xvda .worker)
	HOLE='--rw write --bs 64k --ios 256 --timeout 20'
	# shellcheck disable=SC2086
	guest 1 timeout 30 synth-blkfront io xvda $HOLE >"$W/out" 2>&1
	is 'a file system that is full: writing reports an error' $? 1
	check 'a file system that is full: what was written is read' guest 1 timeout 30 synth-blkfront io xvda --rw read --bs 64k --ios 16 --size 1M
	is 'a file system that is full: the worker lives on' "$(show sinner/xvda .worker)" "$worker"
	check 'a file system that is full: flush says the truth or nothing is lost' bad 1 51712 request flush-garbage
	ctl detach sinner/xvda --force >/dev/null
	undisturbed 'a file system that is full'
	umount "$W/small" || fail 'a detached image is let go of' "$(fuser -v "$W/small" 2>&1)"
else
	skip 'a file system that is full' 'mounting a small tmpfs needs root'
fi

# ------------------------------------------------------------------ EIO, short reads, NBD
if command -v nbdkit >/dev/null && nbdkit --filter=error null --dump-plugin >/dev/null 2>&1; then
	nbd() # NBDKIT-ARGS...
	{
		rm -f "$W/nbd.sock"
		background nbdkit -f -U "$W/nbd.sock" "$@" 2>>"$W/nbdkit.log"
		nbd_pid=${children[-1]}
		within 10 test -S "$W/nbd.sock"
	}
	touch "$W/fail"
	nbd --filter=error memory 8M error-file="$W/fail" error-pread-rate=100% error-pwrite-rate=100% error=EIO
	check 'an NBD disk that fails everything is attached' attach sinner "nbd+unix:///?socket=$W/nbd.sock" xvda
	worker=$(show sinner/xvda .worker)
	like 'EIO when reading' "$(bad 1 51712 request same-gref-twice)" 'error'
	like 'EIO under a full ring: each request is answered' "$(bad 1 -t 700 51712 full | tr '\n' ' ')" '^bad [1-9][0-9]* left 0 served many'
	rm "$W/fail"
	check 'EIO that has passed: verified I/O' bad 1 -n 30 51712 verify
	kill "$nbd_pid"
	within 5 not kill -0 "$nbd_pid"
	like 'the NBD server dies: an error' "$(bad 1 51712 request same-gref-twice)" 'error'
	like 'the NBD server is dead: a full ring is answered' "$(bad 1 -t 700 51712 full | tr '\n' ' ')" 'left 0'
	is 'the NBD server dies: the worker lives on' "$(show sinner/xvda .worker)" "$worker"
	check 'the NBD server is dead: detached' ctl detach sinner/xvda --force
	undisturbed 'an NBD server that fails'

	# a server that never answers must not hold up others, nor the detach
	nbd --filter=delay memory 8M delay-read=3600 delay-write=3600
	attach sinner "nbd+unix:///?socket=$W/nbd.sock" xvda >/dev/null
	background hostxen run -d 1 -- "$badfront" -t 600000 51712 full
	sleep 0.3
	check 'a store that never answers does not hold up other disks' attach honest "$(image c.img 1M)" xvdc
	ctl detach honest/xvdc --force >/dev/null
	undisturbed 'a store that never answers'
	kill "$nbd_pid"
	children_kill
	check 'a store that never answered and died: detached' ctl detach sinner/xvda --force
else
	skip 'EIO and dead servers' 'nbdkit or its error filter is not installed'
fi

world_end

# SPDX-License-Identifier: LGPL-2.1-or-later
# disk.sh - sourced by ./demo: guest web1 (domain 1) gets a disk, and every byte of it is proved.  In the end it is attached.
sum() { sha256sum "$1" | cut -d' ' -f1; }
size_of() { numfmt --to=iec "$(stat -c %s "$1")"; }

serve_pid=
guest_serves() # the guest exports its disk, in the guest, by NBD
{
	rm -f "$W/nbd.sock"
	hostxen run -d 1 -- synth-blkfront serve xvda --unix "$W/nbd.sock" >>"$W/guest-serve.log" 2>&1 &
	serve_pid=$!
	pids+=("$serve_pid")
	within 20 nbdinfo --size "nbd+unix:///?socket=$W/nbd.sock" || fail 'the guest does not serve its disk'
}
guest_stops_serving()
{
	kill -TERM "$serve_pid"
	within 10 not_running "$serve_pid" || fail 'the guest does not let go of its disk'
	wait "$serve_pid" 2>/dev/null || true
}
disk_of_guest() { echo "nbd+unix:///?socket=$W/nbd.sock"; }

disk_image() # disk.img, of the files in $W/files; its SHA-256 in $first
{
	step 'Make a file system image from real files: this source tree'
	mkdir "$W/files"
	tar -C "$src" -cf - --exclude=./build --exclude=./.git --exclude=./autom4te.cache . | tar -C "$W/files" -xf -
	truncate -s 96M "$W/disk.img"
	mke2fs -q -t ext4 -L synth-demo -d "$W/files" "$W/disk.img"
	first=$(sum "$W/disk.img")
	note "$(find "$W/files" -type f | wc -l) files in disk.img, $(size_of "$W/disk.img"), SHA-256 ${first:0:16}..."
}

disk_attach()
{
	step 'Start synth-blkd in dom0'
	daemon_start synth-blkd synth-blkd
	blkd_pid=$daemon_pid
	shown synthctl daemon status disk

	step 'Attach the image to guest web1'
	printf '    $ synthctl attach disk web1 disk.img=xvda --user-frontend\n'
	synthctl attach disk web1 "$W/disk.img=xvda" --user-frontend | indent
	shown synthctl list
}

disk_read()
{
	local second
	step 'The guest sees it, connects and exports it by NBD; nbdcopy reads all of it'
	guest_serves
	printf '    web1 $ synth-blkfront list\n'
	in_guest 1 synth-blkfront list | indent
	nbdcopy "$(disk_of_guest)" "$W/read-back.img" 2>"$W/nbdcopy.log"
	second=$(sum "$W/read-back.img")
	note "read back: SHA-256 ${second:0:16}..."
	[ "$first" = "$second" ] || fail "what the guest read is not what is in the image ($second, not $first)"
	note 'the same: every byte arrived'
	shown synthctl list

	step 'The files are all there, as the guest sees them'
	mkdir "$W/seen"
	debugfs -R "rdump / $W/seen" "$W/read-back.img" >"$W/debugfs.log" 2>&1
	rm -rf "$W/seen/lost+found"
	diff -r --no-dereference "$W/files" "$W/seen" >"$W/diff.log" 2>&1 || fail 'the files differ'
	note "$(find "$W/seen" -type f | wc -l) files compared, no difference"
}

disk_write()
{
	local copy kills=0 pid
	step 'The guest adds a file to its file system, writes the disk, flushes; meanwhile its worker is killed'
	head -c 8M /dev/urandom >"$W/letter"
	cp "$W/read-back.img" "$W/guest.img"
	debugfs -w -R "write $W/letter letter" "$W/guest.img" >>"$W/debugfs.log" 2>&1
	nbdcopy --flush "$W/guest.img" "$(disk_of_guest)" 2>>"$W/nbdcopy.log" &
	copy=$!
	while [ $kills -lt 3 ] && kill -0 $copy 2>/dev/null; do
		pid=$(synthctl show web1/xvda --json | jq -r .worker)
		[ "$pid" = null ] || { kill -KILL "$pid" 2>/dev/null && kills=$((kills + 1)); }
		sleep 0.02
	done
	wait $copy || fail 'the copy failed'
	[ $kills -gt 0 ] || fail 'the copy was over before a worker was killed'
	guest_stops_serving
	note "kill -9 of the worker in the middle of it, $kills times: the copy went on with the next, without an error"
	note "$(size_of "$W/guest.img") written; \"letter\" in it: SHA-256 $(sum "$W/letter" | cut -c1-16)..."

	step 'Detach'
	shown synthctl detach web1/xvda
	[ -z "$(synthctl list -Ho device)" ] || fail 'the device is still there'
	cmp "$W/disk.img" "$W/guest.img" || fail 'the image is not what the guest wrote'
	e2fsck -fn "$W/disk.img" >"$W/e2fsck.log" 2>&1 || fail 'the file system is damaged'
	note 'gone from xenstore; the image holds what the guest wrote, and e2fsck finds no fault in it'
}

disk_again()
{
	step 'Attach again: the guest finds its data'
	synthctl attach disk web1 "$W/disk.img=xvda" --user-frontend | indent
	guest_serves
	nbdcopy "$(disk_of_guest)" "$W/again.img" 2>>"$W/nbdcopy.log"
	debugfs -R "dump letter $W/letter-again" "$W/again.img" >>"$W/debugfs.log" 2>&1
	cmp "$W/letter" "$W/letter-again" || fail 'the letter is not the same'
	guest_stops_serving
	note '"letter" is the same after the round'
}

disk_figures()
{
	local depth
	step 'A few figures of this machine (./bench block compares with QEMU and fio)'
	for depth in 1 32; do
		in_guest 1 synth-blkfront io xvda --rw randread --bs 4k --depth $depth --runtime 1 | sed -n '2,4p' >"$W/io.out"
		note "4 KiB random reads, $depth at a time:"
		indent <"$W/io.out"
	done
	in_guest 1 synth-blkfront io xvda --rw randrw --bs 4k-64k --depth 16 --runtime 1 --verify >"$W/io.out" 2>"$W/io.log" ||
		fail 'verified reads and writes'
	note 'Random reads and writes, each byte read compared with what was written:'
	sed -n '2,$p' "$W/io.out" | indent
}

disk_known()
{
	step 'What the host knows of the disk'
	shown synthctl show web1/xvda
	note ''
	printf '    $ synthctl stat web1/xvda\n'
	synthctl stat web1/xvda -H >"$W/stat.out"
	grep -E ' (read_requests|write_requests|flush_requests|read_sectors|write_sectors|events_in|events_out|bad_requests) ' "$W/stat.out" | indent
}

disk_end()
{
	synthctl detach web1/xvda
	synthctl daemon stop disk
	within 10 not_running "$blkd_pid" || fail 'synth-blkd does not stop'
}
